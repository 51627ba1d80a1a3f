"""Networks that look at an image window by window along a curve, and locate with a recurrent layer (L 8).

The windows overlap. Instead of each by itself, the image is convolved once: every layer is computed for all
windows together, and where the network would halve a window's size once more than the windows are apart, its
later layers run on a dilated grid instead. That equals window by window where no layer pads. With padding, a
window by itself ends in zeros where here it goes on into its neighbours; only the border of the image is the
same. What it then reports at a position need not lie there: `attribution` tells where in the image it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp
import numpy as np

from softloc_jax import hilbert
from softloc_jax.models import convolution, layers
from softloc_jax.models import recurrent as recurrent_layers

# The convolutional layers of VGG-13 (Simonyan and Zisserman 2014): filters, and "pool" to halve the size.
VGG13 = (64, 64, "pool", 128, 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")


class ConvStack(nnx.Module):
  """Convolutions with ReLU, and maxima of 2 x 2, of an image: `[B, H, W, C] -> [B, H / s, W / s, F]`.

  Args:
    in_features: channels of the image.
    layers_config: for each layer filters (3 x 3, stride 1), "pool", or `(kernel, stride, filters)`.
    stride: `s`, pixels between positions at the end. What would make it larger runs on a dilated grid.
    padding: "SAME" or "VALID".
    norm: "batch" for batch normalisation before each ReLU, or None.
    dtype: of the products.
    rngs: where the parameters come from.

  Raises:
    ValueError: an unknown layer, or strides that never reach `stride`, or step over it.
  """

  def __init__(
    self,
    in_features: int,
    layers_config: Sequence[Any],
    *,
    stride: int,
    padding: str = "SAME",
    norm: str | None = None,
    dtype=jnp.float32,
    rngs: nnx.Rngs,
  ):
    if norm not in ("batch", None):
      raise ValueError(f"conv_norm is {norm!r}; expected 'batch' or None")
    self.padding = padding
    self.steps: list[tuple] = []  # ("pool", stride, dilation) or ("conv", number)
    convs, norms, reached, dilation = [], [], 1, 1
    for layer in layers_config:
      kernel, step, features = _parse(layer)
      wanted, step = step, (step if reached * step <= stride else 1)
      if features is None:
        self.steps.append(("pool", step, dilation))
      else:
        self.steps.append(("conv", len(convs)))
        convs.append(
          nnx.Conv(
            in_features,
            features,
            (kernel, kernel),
            strides=step,
            kernel_dilation=dilation,
            padding=padding,
            use_bias=norm is None,
            dtype=dtype,
            conv_general_dilated=convolution.conv_general_dilated,
            rngs=rngs,
          )
        )
        norms += [nnx.BatchNorm(features, dtype=dtype, rngs=rngs)] if norm == "batch" else []
        in_features = features
      reached, dilation = reached * step, dilation * (wanted // step)
    if reached != stride:
      raise ValueError(
        f"stride is {stride}; the layers reach {reached}, expected layers that reach it exactly"
      )
    self.convs, self.norms, self.features = nnx.List(convs), nnx.List(norms), in_features

  def __call__(self, x: Array) -> Array:
    for step in self.steps:
      if step[0] == "pool":
        x = _pool(x, step[1], step[2], self.padding)
      else:
        x = self.convs[step[1]](x)
        x = jax.nn.relu(self.norms[step[1]](x) if self.norms else x)
    return x


def _parse(layer: Any) -> tuple[int, int, int | None]:
  """Kernel, stride and filters of a layer; no filters for a maximum."""
  if layer == "pool":
    return 2, 2, None
  if isinstance(layer, int):
    return 3, 1, layer
  if not isinstance(layer, str) and len(layer) == 3:
    return tuple(layer)
  raise ValueError(f"conv_layers has {layer!r}; expected a number, 'pool' or (kernel, stride, filters)")


def _pool(x: Array, stride: int, dilation: int, padding: str) -> Array:
  """Maxima of 2 x 2, of pixels that lie `dilation` apart."""
  if stride == 2 and dilation == 1:
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    x = x[:, : 2 * rows, : 2 * columns]
    return x.reshape(x.shape[0], rows, 2, columns, 2, x.shape[-1]).max(axis=(2, 4))
  if padding == "SAME":
    x = jnp.pad(x, ((0, 0), (0, dilation), (0, dilation), (0, 0)))  # after a ReLU nothing is below 0
  x = jnp.maximum(x[:, :-dilation], x[:, dilation:])
  x = jnp.maximum(x[:, :, :-dilation], x[:, :, dilation:])
  return x[:, ::stride, ::stride]


class SceneNet(nnx.Module):
  """Scenes along a curve to event logits: `[B, T, pixels, channels] -> [B, T, num_classes]`.

  Frames are blocks of pixels as `data.digit_scenes` makes them; T is the number of blocks of the canvas.
  Differentiable once, in reverse (`convolution`).

  Args:
    frame_shape: pixels of a block, and channels.
    num_classes: logits per frame.
    initial_bias: bias of the logits before training (L15).
    canvas_size: height and width in pixels.
    curve: of `hilbert.CURVES`.
    conv_layers: see `ConvStack`; "vgg13" is the paper's.
    conv_norm: see `ConvStack`.
    recurrent: a kind of `recurrent.CELLS`, or None.
    recurrent_units: units per direction.
    bidirectional: whether it runs along the curve both ways.
    dense_units: width of the layer before the logits, 0 for none.
    dtype: "float32" or "bfloat16", of activations and products.
    rngs: where the parameters come from.

  Raises:
    ValueError: blocks that are not square or do not tile the canvas, or settings that do not fit together.

  References:
    L section 8.2.
  """

  def __init__(
    self,
    *,
    frame_shape: tuple[int, int],
    num_classes: int,
    initial_bias: float,
    canvas_size: tuple[int, int],
    curve: str = "hilbert",
    conv_layers: Sequence[Any] | str = "vgg13",
    conv_norm: str | None = None,
    recurrent: str | None = "lstm",
    recurrent_units: int = 48,
    bidirectional: bool = False,
    dense_units: int = 24,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    pixels, channels = frame_shape
    self.stride = round(pixels**0.5)
    if self.stride**2 != pixels:
      raise ValueError(f"frames have {pixels} pixels; expected square blocks")
    path = hilbert.block_path(canvas_size, self.stride, curve)
    self.grid_size, self.order = path.grid_size, tuple(path.order.tolist())
    compute = layers.compute_dtype(dtype)
    given = VGG13 if conv_layers == "vgg13" else conv_layers
    self.convs = ConvStack(channels, given, stride=self.stride, norm=conv_norm, dtype=compute, rngs=rngs)
    width, self.dtype = self.convs.features, compute
    self.recurrent = nnx.data(None)
    if recurrent is not None:
      layer = recurrent_layers.Bidirectional if bidirectional else recurrent_layers.Forward
      self.recurrent = nnx.data(layer(recurrent, width, recurrent_units, dtype=compute, rngs=rngs))
      width = recurrent_units * (2 if bidirectional else 1)
    self.dense = nnx.data(None)
    if dense_units:
      self.dense = nnx.data(nnx.Linear(width, dense_units, dtype=compute, rngs=rngs))
      width = dense_units
    self.logits = nnx.Linear(width, num_classes, bias_init=nnx.initializers.constant(initial_bias), rngs=rngs)

  def __call__(self, frames: Array) -> Array:
    if frames.shape[1] != len(self.order):
      raise ValueError(f"{frames.shape[1]} frames; expected {len(self.order)}, all blocks of the canvas")
    x = self.features(self.image(frames))
    if self.recurrent is not None:
      x = self.recurrent(x)
    if self.dense is not None:
      x = jax.nn.relu(self.dense(x))
    return self.logits(x.astype(jnp.float32))

  def image(self, frames: Array) -> Array:
    """The canvas of which the frames are the blocks: `[B, T, pixels, C] -> [B, H, W, C]`."""
    batch, _, _, channels = frames.shape
    rows, columns = self.grid_size
    blocks = frames[:, np.argsort(self.order)]
    x = blocks.reshape(batch, rows, columns, self.stride, self.stride, channels)
    return x.swapaxes(2, 3).reshape(batch, rows * self.stride, columns * self.stride, channels)

  def features(self, image: Array) -> Array:
    """What the convolutions see around each block, along the curve: `[B, H, W, C] -> [B, T, F]`."""
    grid = self.convs(image.astype(self.dtype))
    return grid.reshape(grid.shape[0], -1, grid.shape[-1])[:, np.array(self.order)]
