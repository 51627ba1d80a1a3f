"""Convolutions, then a recurrent layer, then one logit per class: the papers' kind of network."""

from __future__ import annotations

from collections.abc import Sequence

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import layers
from softloc_jax.models import recurrent as recurrent_layers

_ACTIVATIONS = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}


class CRNN(nnx.Module):
  """`[B, T, bins, channels] -> [B, T, num_classes]`, the length of time unchanged, logits in float32.

  The networks of the papers, of Hawthorne et al. and small ones for sensors are settings of it. In training
  (`model.train()`) batch normalisation updates its `nnx.BatchStat` variables, and dropout draws from the
  stream `dropout` of `rngs`.

  Args:
    frame_shape: bins and channels of the input.
    num_classes: logits per frame.
    initial_bias: bias of the logits before training (L15).
    conv_features: filters of each convolution.
    conv_kernel: frames and bins a convolution spans.
    conv_pool: max-pooling over bins after each convolution, one number per convolution or one for all.
    conv_norm: "batch" for batch normalisation before each convolution's ReLU, or None.
    conv_dropout: share of values dropped after each convolution that pools.
    merge_bins: whether the bins become channels first: then the convolutions run over time only,
      far cheaper where the position on the frequency axis has a fixed meaning.
    time_stride: frames the first convolution advances by; later layers run that much coarser, and each
      of their steps gives this many frames' logits. About as many times cheaper, and as exact.
    conv_dilation: frames between the taps of each convolution, one number per convolution or one for all.
    residual: whether a convolution that keeps its shape adds its input.
    bottleneck_units: width of a layer with ReLU between the bins and the recurrent layer, 0 for none.
    bottleneck_dropout: share of its values dropped.
    recurrent: "gru", "lstm", "cudnn_lstm", "min_gru" or None.
    recurrent_units: units per direction.
    bidirectional: whether the recurrent layer runs both ways; a causal one never does.
    dense_units: width of the layer before the logits, or of each of several; 0 for none.
    dense_activation: "relu" or "sigmoid".
    local_logits: whether what goes into the recurrent layer also gives logits by itself, which are added:
      then the recurrence need only tell what the convolutions cannot see.
    causal: whether a logit depends on frames up to its own only; otherwise convolutions are centred.
    dtype: "float32" or "bfloat16", of activations and products; parameters and logits are float32.
    rngs: where the parameters come from.

  Raises:
    ValueError: an unknown name among the settings, a dropout outside [0, 1), pooling that does not match the
      convolutions or the bins, a stride beyond what the first convolution spans (it would skip frames), or a
      causal network with a stride (it would have to see the later frames of a step).

  References:
    L section 6.1 (drums) and 7.1 (piano); S appendix B.2.
    Hawthorne et al., "Onsets and frames: dual-objective piano transcription", ISMIR 2018.
  """

  def __init__(
    self,
    *,
    frame_shape: tuple[int, int],
    num_classes: int,
    initial_bias: float,
    conv_features: Sequence[int],
    conv_kernel: tuple[int, int],
    conv_pool: int | Sequence[int] = 1,
    conv_norm: str | None = None,
    conv_dropout: float = 0.0,
    conv_dilation: int | Sequence[int] = 1,
    merge_bins: bool = False,
    time_stride: int = 1,
    residual: bool = True,
    bottleneck_units: int = 0,
    bottleneck_dropout: float = 0.0,
    recurrent: str | None = "gru",
    recurrent_units: int = 32,
    bidirectional: bool = True,
    dense_units: int | Sequence[int] = 0,
    dense_activation: str = "relu",
    local_logits: bool = False,
    causal: bool = False,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    pools = _one_each("conv_pool", conv_pool, len(conv_features))
    self.dilations = _one_each("conv_dilation", conv_dilation, len(conv_features))
    if conv_norm not in ("batch", None):
      raise ValueError(f"conv_norm is {conv_norm!r}; expected 'batch' or None")
    if dense_activation not in _ACTIVATIONS:
      raise ValueError(f"dense_activation is {dense_activation!r}; expected one of {', '.join(_ACTIVATIONS)}")
    layers.check_time_stride(time_stride, most=1 if causal or not conv_features else conv_kernel[0])
    self.dtype = layers.compute_dtype(dtype)
    self.pools, self.merge_bins, self.residual = pools, merge_bins, residual
    self.time_stride, self.num_classes = time_stride, num_classes
    self.dense_activation = dense_activation
    width = self._add_convs(frame_shape, conv_features, conv_kernel, conv_norm, causal, rngs)
    self.bottleneck = nnx.data(None)
    if bottleneck_units:
      self.bottleneck = nnx.data(nnx.Linear(width, bottleneck_units, dtype=self.dtype, rngs=rngs))
      width = bottleneck_units
    self.recurrent, local_width = nnx.data(None), width
    if recurrent is not None:
      both = bidirectional and not causal
      layer = recurrent_layers.Bidirectional if both else recurrent_layers.Forward
      self.recurrent = nnx.data(layer(recurrent, width, recurrent_units, dtype=self.dtype, rngs=rngs))
      width = recurrent_units * (2 if both else 1)
    self._add_head(width, dense_units, initial_bias, rngs)
    self.local_logits = nnx.data(None)
    if local_logits:
      self.local_logits = nnx.data(
        nnx.Linear(local_width, self.num_classes * self.time_stride, use_bias=False, rngs=rngs)
      )
    # Last, so that the parameters of a seed do not depend on whether there is dropout.
    self.conv_dropout = layers.dropout(conv_dropout, rngs)
    self.bottleneck_dropout = layers.dropout(bottleneck_dropout, rngs)

  def _add_convs(self, frame_shape, conv_features, conv_kernel, conv_norm, causal, rngs) -> int:
    """The layers up to where bins become features; returns how many there are then."""
    bins, channels = (1, frame_shape[0] * frame_shape[1]) if self.merge_bins else frame_shape
    convs, norms = [], []
    settings = {"causal": causal, "use_bias": conv_norm is None, "dtype": self.dtype, "rngs": rngs}
    for features, pool, gap in zip(conv_features, self.pools, self.dilations, strict=True):
      spacing = {"strides": (1 if convs else self.time_stride, 1), "dilation": (gap, 1)}
      convs.append(layers.time_conv(channels, features, conv_kernel, **spacing, **settings))
      if conv_norm == "batch":
        norms.append(nnx.BatchNorm(features, dtype=self.dtype, rngs=rngs))
      if not 1 <= pool <= bins:
        raise ValueError(f"conv_pool has {pool}; expected 1 to {bins}, the bins that are left there")
      bins, channels = bins // pool, features
    self.convs, self.norms = nnx.List(convs), nnx.List(norms)
    return bins * channels

  def _add_head(self, width: int, dense_units: int | Sequence[int], bias: float, rngs: nnx.Rngs) -> None:
    """The layers after the recurrent one."""
    dense = []
    for units in (dense_units,) if isinstance(dense_units, int) else dense_units:
      if units:
        dense.append(nnx.Linear(width, units, dtype=self.dtype, rngs=rngs))
        width = units
    self.dense = nnx.List(dense)
    self.logits = nnx.Linear(
      width,
      self.num_classes * self.time_stride,
      bias_init=nnx.initializers.constant(bias),
      rngs=rngs,
    )

  def __call__(self, frames: Array) -> Array:
    num_frames = frames.shape[1]
    # Whole steps of the stride; the zeros that fill the last one are cut off again below.
    x = jnp.pad(frames, ((0, 0), (0, -num_frames % self.time_stride), (0, 0), (0, 0))).astype(self.dtype)
    if self.merge_bins:
      x = x.reshape(*x.shape[:2], 1, -1)
    for number, (conv, pool) in enumerate(zip(self.convs, self.pools, strict=True)):
      y = conv(x)
      y = jax.nn.relu(self.norms[number](y) if self.norms else y)
      x = layers.max_pool_bins(x + y if self.residual and x.shape == y.shape else y, pool)
      if pool > 1:
        x = self.conv_dropout(x)
    x = x.reshape(*x.shape[:2], -1)
    if self.bottleneck is not None:
      x = self.bottleneck_dropout(jax.nn.relu(self.bottleneck(x)))
    local = x
    if self.recurrent is not None:
      x = self.recurrent(x)
    for dense in self.dense:
      x = _ACTIVATIONS[self.dense_activation](dense(x))
    logits = self.logits(x.astype(jnp.float32))
    if self.local_logits is not None:
      logits = logits + self.local_logits(local.astype(jnp.float32))
    return logits.reshape(logits.shape[0], -1, self.num_classes)[:, :num_frames]


def _one_each(name: str, value: int | Sequence[int], number: int) -> tuple[int, ...]:
  """A setting of each of `number` convolutions from one number for all or one for each."""
  values = (value,) * number if isinstance(value, int) else tuple(value)
  if len(values) != number:
    raise ValueError(f"{name} has {len(values)} entries; expected {number}, one per convolution")
  return values
