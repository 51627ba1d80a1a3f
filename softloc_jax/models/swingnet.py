"""SwingNet (McNally et al. 2019): a convolutional network sees each frame, a recurrent one the swing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import layers
from softloc_jax.models import recurrent as recurrent_layers
from softloc_jax.models.mobilenet import MobileNetV2
from softloc_jax.models.scene import ConvStack


class SmallEncoder(nnx.Module):
  """Images to features with few convolutions, for a CPU: `[B, H, W, C] -> [B, units]`.

  Args:
    in_features: channels of the image.
    frame_size: height and width in pixels; multiples of `stride`.
    conv_layers: see `scene.ConvStack`.
    conv_norm: see `scene.ConvStack`.
    stride: pixels between positions of the last convolution.
    units: width of the layer that looks at all positions.
    dtype: of the products.
    rngs: where the parameters come from.
  """

  def __init__(
    self, in_features, *, frame_size, conv_layers, conv_norm, stride, units, dtype, rngs: nnx.Rngs
  ):
    self.convs = ConvStack(in_features, conv_layers, stride=stride, norm=conv_norm, dtype=dtype, rngs=rngs)
    rows, columns = (-(-side // stride) for side in frame_size)
    # Not a mean over positions: where club and hands are is what tells the events apart.
    self.dense = nnx.Linear(rows * columns * self.convs.features, units, dtype=dtype, rngs=rngs)
    self.features = units

  def __call__(self, x: Array) -> Array:
    x = self.convs(x)
    return jax.nn.relu(self.dense(x.reshape(x.shape[0], -1)))


class SwingNet(nnx.Module):
  """Videos to event logits: `[B, T, H W, 3] -> [B, T, num_classes]`.

  Args:
    frame_shape: pixels of a frame, and channels.
    num_classes: logits per frame.
    initial_bias: bias of the logits before training (L15).
    frame_size: height and width in pixels.
    conv_layers: "mobilenet_v2", or layers of a `SmallEncoder`.
    conv_norm: of a `SmallEncoder`.
    conv_stride: of a `SmallEncoder`.
    conv_units: of a `SmallEncoder`.
    less_mean: whether the mean of the clip's frames is taken away from each, and with it what does not move.
    width: of `MobileNetV2`.
    frozen_stages: of `MobileNetV2`.
    convention: of `MobileNetV2`.
    recurrent: a kind of `recurrent.CELLS`.
    recurrent_units: units per direction.
    bidirectional: whether it also goes from the last frame to the first; a causal network does not.
    dropout: of what is seen of a frame.
    dtype: "float32" or "bfloat16", of activations and products.
    rngs: where the parameters come from.

  Raises:
    ValueError: a frame size that does not fit the frames, or settings that do not fit together.

  References:
    McNally et al. GolfDB: a video database for golf swing sequencing. CVPR Workshops 2019. Section 4.
  """

  def __init__(
    self,
    *,
    frame_shape: tuple[int, int],
    num_classes: int,
    initial_bias: float,
    frame_size: tuple[int, int],
    conv_layers: Sequence[Any] | str = "mobilenet_v2",
    conv_norm: str | None = None,
    conv_stride: int = 16,
    conv_units: int = 64,
    less_mean: bool = False,
    width: float = 1.0,
    frozen_stages: int = 0,
    convention: str = "torch",
    recurrent: str = "lstm",
    recurrent_units: int = 256,
    bidirectional: bool = True,
    dropout: float = 0.5,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    pixels, channels = frame_shape
    if frame_size[0] * frame_size[1] != pixels:
      raise ValueError(f"frame_size is {tuple(frame_size)}; expected {pixels} pixels, as the features have")
    self.frame_size, compute = tuple(frame_size), layers.compute_dtype(dtype)
    if conv_layers == "mobilenet_v2":
      self.encoder = MobileNetV2(
        channels,
        width=width,
        frozen_stages=frozen_stages,
        convention=convention,
        dtype=compute,
        rngs=rngs,
      )
    else:
      self.encoder = SmallEncoder(
        channels,
        frame_size=self.frame_size,
        conv_layers=conv_layers,
        conv_norm=conv_norm,
        stride=conv_stride,
        units=conv_units,
        dtype=compute,
        rngs=rngs,
      )
    self.dropout = layers.dropout(dropout, rngs)
    layer = recurrent_layers.Bidirectional if bidirectional else recurrent_layers.Forward
    self.recurrent = layer(recurrent, self.encoder.features, recurrent_units, dtype=compute, rngs=rngs)
    width_out = recurrent_units * (2 if bidirectional else 1)
    self.logits = nnx.Linear(
      width_out, num_classes, bias_init=nnx.initializers.constant(initial_bias), rngs=rngs
    )
    self.dtype, self.less_mean = compute, less_mean

  def __call__(self, frames: Array) -> Array:
    batch, num_frames, _, channels = frames.shape
    if self.less_mean:
      # The barrier: fused with the mean, XLA subtracts four times as slowly on a CPU.
      frames = frames - jax.lax.optimization_barrier(frames.mean(axis=1, keepdims=True))
    images = frames.astype(self.dtype).reshape(batch * num_frames, *self.frame_size, channels)
    seen = self.dropout(self.encoder(images))
    return self.logits(self.recurrent(seen.reshape(batch, num_frames, -1)).astype(jnp.float32))
