"""Convolutions, then a recurrent layer, then one logit per class: the papers' kind of network."""

from __future__ import annotations

from collections.abc import Sequence

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

_CELLS = {"gru": nnx.GRUCell, "lstm": nnx.OptimizedLSTMCell}


class CRNN(nnx.Module):
  """`[B, T, bins, channels] -> [B, T, num_classes]`, the length of time unchanged.

  Args:
    frame_shape: bins and channels of the input.
    num_classes: logits per frame.
    initial_bias: bias of the logits before training (L15).
    conv_features: filters of each convolution.
    conv_kernel: frames and bins a convolution spans.
    conv_pool: max-pooling over bins after each convolution, one number per convolution or one for all.
    merge_bins: whether the bins become channels first: then the convolutions run over time only,
      far cheaper where the position on the frequency axis has a fixed meaning.
    time_stride: frames the first convolution advances by; later layers run that much coarser, and each
      of their steps gives this many frames' logits. About as many times cheaper, and as exact.
    residual: whether a convolution that keeps its shape adds its input.
    recurrent: "gru", "lstm" or None.
    recurrent_units: units per direction.
    dense_units: width of the layer before the logits, 0 for none.
    causal: whether a logit depends on frames up to its own only; otherwise convolutions are
      centred and the recurrent layer runs both ways.
    rngs: where the parameters come from.

  Raises:
    ValueError: an unknown recurrent layer, pooling that does not match the convolutions or the bins, a
      stride beyond what the first convolution spans (it would skip frames), or a causal network with a
      stride (it would have to see the later frames of a step).
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
    merge_bins: bool = False,
    time_stride: int = 1,
    residual: bool = True,
    recurrent: str | None = "gru",
    recurrent_units: int = 32,
    dense_units: int = 0,
    causal: bool = False,
    rngs: nnx.Rngs,
  ):
    pools = [conv_pool] * len(conv_features) if isinstance(conv_pool, int) else list(conv_pool)
    if len(pools) != len(conv_features):
      raise ValueError(
        f"conv_pool has {len(pools)} entries; expected {len(conv_features)}, one per convolution"
      )
    if recurrent is not None and recurrent not in _CELLS:
      raise ValueError(f"recurrent is {recurrent!r}; expected one of {', '.join(_CELLS)} or None")
    most = 1 if causal or not conv_features else conv_kernel[0]
    if not 1 <= time_stride <= most:
      raise ValueError(
        f"time_stride is {time_stride}; expected 1 to {most} (the frames of the kernel; 1 if causal)"
      )
    bins, channels = (1, frame_shape[0] * frame_shape[1]) if merge_bins else frame_shape
    self.pools = tuple(pools)
    self.merge_bins, self.residual, self.causal = merge_bins, residual, causal
    self.time_stride, self.num_classes = time_stride, num_classes
    convs = []
    for features, pool in zip(conv_features, pools, strict=True):
      stride = 1 if convs else time_stride
      convs.append(_time_conv(channels, features, tuple(conv_kernel), stride, causal, rngs))
      if not 1 <= pool <= bins:
        raise ValueError(f"conv_pool has {pool}; expected 1 to {bins}, the bins that are left there")
      bins, channels = bins // pool, features
    self.convs = nnx.List(convs)
    width = bins * channels
    self.recurrent = nnx.data(None)
    if recurrent is not None:
      self.recurrent = nnx.data(_recurrent(recurrent, width, recurrent_units, causal, rngs))
      width = recurrent_units * (1 if causal else 2)
    self.dense = nnx.data(nnx.Linear(width, dense_units, rngs=rngs) if dense_units else None)
    self.logits = nnx.Linear(
      dense_units or width,
      num_classes * time_stride,
      bias_init=nnx.initializers.constant(initial_bias),
      rngs=rngs,
    )

  def __call__(self, frames: Array) -> Array:
    num_frames = frames.shape[1]
    # Whole steps of the stride; the zeros that fill the last one are cut off again below.
    x = jnp.pad(frames, ((0, 0), (0, -num_frames % self.time_stride), (0, 0), (0, 0)))
    if self.merge_bins:
      x = x.reshape(*x.shape[:2], 1, -1)
    for conv, pool in zip(self.convs, self.pools, strict=True):
      y = jax.nn.relu(conv(x))
      x = x + y if self.residual and x.shape == y.shape else y
      if pool > 1:
        x = nnx.max_pool(x, window_shape=(1, pool), strides=(1, pool))
    x = x.reshape(*x.shape[:2], -1)
    if self.recurrent is not None:
      x = self.recurrent(x)
    if self.dense is not None:
      x = jax.nn.relu(self.dense(x))
    logits = self.logits(x).astype(jnp.float32)
    return logits.reshape(len(logits), -1, self.num_classes)[:, :num_frames]


def _time_conv(
  channels: int, features: int, kernel: tuple[int, int], stride: int, causal: bool, rngs: nnx.Rngs
) -> nnx.Conv:
  """A convolution over as much time as it gets, centred on each step of its stride or looking back only."""
  frames, bins = kernel
  reach = max(frames - stride, 0)
  time = (reach, 0) if causal else (reach // 2, reach - reach // 2)
  padding = (time, ((bins - 1) // 2, bins // 2))
  return nnx.Conv(channels, features, kernel, strides=(stride, 1), padding=padding, rngs=rngs)


def _recurrent(kind: str, width: int, units: int, causal: bool, rngs: nnx.Rngs) -> nnx.Module:
  """A recurrent layer forwards in time, or one in each direction, concatenated."""
  forward = nnx.RNN(_CELLS[kind](width, units, rngs=rngs))
  if causal:
    return forward
  return nnx.Bidirectional(forward, nnx.RNN(_CELLS[kind](width, units, rngs=rngs)))
