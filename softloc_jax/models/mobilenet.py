"""MobileNetV2 (Sandler et al. 2018): what SwingNet sees a frame with."""

from __future__ import annotations

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import convolution

# Of each group of blocks: expansion, filters, blocks, stride of the first.
_GROUPS = (
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 2),
  (6, 320, 1, 1),
)
_FIRST, _LAST = 32, 1280
_EPSILON = {"torch": 1e-5, "keras": 1e-3}  # of batch normalisation
NUM_STAGES = 19  # a convolution, 17 blocks, a convolution


class ConvNorm(nnx.Module):
  """A convolution and batch normalisation: `[B, H, W, C] -> [B, H / stride, W / stride, filters]`.

  Args:
    in_features: C.
    features: filters.
    kernel: side of the kernel.
    stride: 1 or 2.
    groups: of channels that see nothing of each other; as many as channels for a depthwise convolution.
    convention: see `MobileNetV2`.
    dtype: of the products.
    rngs: where the parameters come from.
  """

  def __init__(
    self, in_features, features, kernel, *, stride=1, groups=1, convention="torch", dtype, rngs: nnx.Rngs
  ):
    both_sides = [(kernel // 2, kernel // 2)] * 2
    self.conv = nnx.Conv(
      in_features,
      features,
      (kernel, kernel),
      strides=stride,
      # "SAME" pads an even image on one side, if the stride is 2.
      padding=both_sides if convention == "torch" else "SAME",
      feature_group_count=groups,
      use_bias=False,
      kernel_init=nnx.initializers.he_normal(),
      dtype=dtype,
      conv_general_dilated=convolution.conv_general_dilated,
      rngs=rngs,
    )
    self.norm = nnx.BatchNorm(features, momentum=0.9, epsilon=_EPSILON[convention], dtype=dtype, rngs=rngs)

  def __call__(self, x: Array) -> Array:
    return self.norm(self.conv(x))


class InvertedResidual(nnx.Module):
  """Widens pixel by pixel, looks around in each channel, narrows again; adds its input where it can.

  Args:
    in_features: channels.
    features: filters.
    stride: 1 or 2.
    expansion: how many times wider it is inside.
    convention: see `MobileNetV2`.
    dtype: of the products.
    rngs: where the parameters come from.
  """

  def __init__(self, in_features, features, *, stride, expansion, convention="torch", dtype, rngs: nnx.Rngs):
    wide = in_features * expansion
    shared = {"convention": convention, "dtype": dtype, "rngs": rngs}
    self.expand = nnx.data(None if expansion == 1 else ConvNorm(in_features, wide, 1, **shared))
    self.depthwise = ConvNorm(wide, wide, 3, stride=stride, groups=wide, **shared)
    self.project = ConvNorm(wide, features, 1, **shared)
    self.adds_input = stride == 1 and in_features == features

  def __call__(self, x: Array) -> Array:
    y = x if self.expand is None else jax.nn.relu6(self.expand(x))
    y = self.project(jax.nn.relu6(self.depthwise(y)))
    return x + y if self.adds_input else y


class MobileNetV2(nnx.Module):
  """Images to features: `[B, H, W, 3] -> [B, F]`, the mean over pixels of the last stage.

  Differentiable once, in reverse (`convolution`).

  Args:
    in_features: channels of the image.
    width: factor on the numbers of filters; the last stage has never less than 1280. With torch's convention
      it is as by SwingNet's authors: the first stage keeps its 32 below 1, no other has less than 16. Keras
      takes multiples of 8.
    frozen_stages: stages whose parameters are not trained and whose normalisation uses the stored statistics.
      Only with weights that were trained elsewhere does that make sense.
    convention: "torch" or "keras": where the weights come from, as the two pad and normalise differently.
    dtype: of the products.
    rngs: where the parameters come from.

  Raises:
    ValueError: a width that is not positive, more frozen stages than there are, or another convention.

  References:
    Sandler et al. MobileNetV2: inverted residuals and linear bottlenecks. CVPR 2018.
  """

  def __init__(
    self,
    in_features: int = 3,
    *,
    width: float = 1.0,
    frozen_stages: int = 0,
    convention: str = "torch",
    dtype=jnp.float32,
    rngs: nnx.Rngs,
  ):
    if convention not in _EPSILON:
      raise ValueError(f"convention is {convention!r}; expected one of {', '.join(_EPSILON)}")
    if not width > 0 or not 0 <= frozen_stages <= NUM_STAGES:
      raise ValueError(
        f"width is {width} and frozen_stages {frozen_stages}; expected more than 0, and 0 to {NUM_STAGES}"
      )
    shared = {"convention": convention, "dtype": dtype, "rngs": rngs}
    channels = _filters(_FIRST, max(width, 1.0) if convention == "torch" else width, convention)
    stages: list[nnx.Module] = [ConvNorm(in_features, channels, 3, stride=2, **shared)]
    for expansion, filters, number, stride in _GROUPS:
      filters = _filters(filters, width, convention)
      for block in range(number):
        stages.append(
          InvertedResidual(
            channels, filters, stride=stride if block == 0 else 1, expansion=expansion, **shared
          )
        )
        channels = filters
    self.features = _filters(_LAST, max(width, 1.0), convention)
    stages.append(ConvNorm(channels, self.features, 1, **shared))
    self.stages, self.frozen_stages = nnx.List(stages), frozen_stages

  def __call__(self, x: Array) -> Array:
    for number, stage in enumerate(self.stages):
      if number < self.frozen_stages:
        # Whatever the mode of the network, this one is not in training.
        stage.eval()
      x = stage(x)
      x = jax.nn.relu6(x) if isinstance(stage, ConvNorm) else x
      if number == self.frozen_stages - 1:
        x = jax.lax.stop_gradient(x)
    return x.mean(axis=(1, 2))


def _filters(number: int, width: float, convention: str) -> int:
  """Filters of a stage at a width: at least 16 by SwingNet's authors, multiples of 8 by Keras."""
  wanted = int(number * width)
  if convention == "torch":
    return max(wanted, 16)
  nearest = max((wanted + 4) // 8 * 8, 8)
  return nearest + 8 if nearest < 0.9 * wanted else nearest  # not more than a tenth is taken away
