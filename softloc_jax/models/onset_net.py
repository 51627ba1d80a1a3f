"""Convolutions that treat all pitches alike, and beside them a recurrent view of the whole frame."""

from __future__ import annotations

from collections.abc import Sequence

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import layers
from softloc_jax.models import recurrent as recurrent_layers
from softloc_jax.models.harmonic_stack import HarmonicStack


class OnsetNet(nnx.Module):
  """`[B, T, bins, channels] -> [B, T, num_classes]`, the length of time unchanged, logits in float32.

  1. With `harmonics`, the mel bins become pitches with their partials side by side (`HarmonicStack`).
  2. The stem, one convolution, advances by `time_stride` frames and `bin_stride` bins: all that follows is
     that much cheaper. A learned offset per bin lets the filters, shared by all bins, know where they are.
  3. Residual convolutions with dilation over time and bins. Twelve bins of a pitch axis are an octave, where
     most mistaken notes lie.
  4. The context: all bins of a frame in one dense layer, then a recurrent one, then logits of all classes.
  5. With `harmonics`, every bin is a class, with logits of its own by one filter for all; they are added.

  Normalisation is over the bins and channels of one frame: it remembers nothing, so that a causal network
  stays causal, and takes out most of how loud the recording is. In training (`model.train()`) dropout draws
  from the stream `dropout` of `rngs`.

  Args:
    frame_shape: bins and channels of the input.
    num_classes: logits per frame.
    initial_bias: bias of the logits before training (L15).
    features: filters of every convolution.
    stem_kernel: frames and bins that the stem spans.
    time_stride: frames that the stem advances by; each step gives this many frames' logits.
    bin_stride: bins that it advances by; with `harmonics`, the bins of a pitch.
    kernel: frames and bins that the residual convolutions span, before dilation.
    dilations: frames and bins between their taps, one pair for each.
    harmonics: multiples of a pitch's frequency to look at; none leaves the bins as they are.
    mel_range_hz: with `harmonics`, the frequencies that the mel bins of the input cover.
    lowest_pitch: with `harmonics`, the MIDI number of the first class; the others follow by semitones.
    context_units: width of the dense layer, 0 for no context.
    recurrent: "gru", "lstm", "cudnn_lstm" or "min_gru" after it, or None for a receptive field of the
      convolutions alone.
    recurrent_units: units per direction.
    dropout: share of values dropped before the dense layer and before the logits of the context.
    causal: whether a logit depends on frames up to its own only.
    dtype: "float32" or "bfloat16", of activations and products; parameters and logits are float32.
    rngs: where the parameters come from.

  Raises:
    ValueError: an unknown name, a dropout outside [0, 1), settings of the pitch axis that make none, a
      stride beyond what the stem spans, a causal network with a stride over time (it would have to see the
      later frames of a step), or neither harmonics nor context.

  References:
    Bittner et al., "A lightweight instrument-agnostic model for polyphonic note transcription and multipitch
      estimation", ICASSP 2022 (one small network on stacked harmonics).
    Wei et al., "HPPNet: modeling the harmonic structure and pitch invariance in piano transcription",
      ISMIR 2022 (dilation by musical intervals).
  """

  def __init__(
    self,
    *,
    frame_shape: tuple[int, int],
    num_classes: int,
    initial_bias: float,
    features: int = 32,
    stem_kernel: tuple[int, int] = (4, 3),
    time_stride: int = 1,
    bin_stride: int = 2,
    kernel: tuple[int, int] = (3, 3),
    dilations: Sequence[tuple[int, int]] = ((1, 1), (1, 12), (2, 1)),
    harmonics: Sequence[float] = (),
    mel_range_hz: tuple[float, float] = (30.0, 8000.0),
    lowest_pitch: int = 21,
    context_units: int = 128,
    recurrent: str | None = "gru",
    recurrent_units: int = 128,
    dropout: float = 0.1,
    causal: bool = False,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    layers.check_time_stride(time_stride, most=1 if causal else stem_kernel[0])
    if not 1 <= bin_stride <= stem_kernel[1]:
      raise ValueError(f"bin_stride is {bin_stride}; expected 1 to {stem_kernel[1]} (the bins of the stem)")
    if not harmonics and not context_units:
      raise ValueError(
        "harmonics is empty and context_units 0; expected one of them, as logits come from them"
      )
    self.dtype = layers.compute_dtype(dtype)
    self.time_stride, self.bin_stride, self.num_classes = time_stride, bin_stride, num_classes
    bins, channels = frame_shape
    self.stack = None
    if harmonics:
      self.stack = HarmonicStack(
        bins, tuple(mel_range_hz), lowest_pitch, num_classes, bin_stride, tuple(harmonics)
      )
      bins, channels = num_classes * bin_stride, len(harmonics) * channels
    bins = -(-bins // bin_stride)
    conv = {"causal": causal, "dtype": self.dtype, "rngs": rngs}
    self.stem = layers.time_conv(channels, features, stem_kernel, strides=(time_stride, bin_stride), **conv)
    self.place = nnx.Param(jnp.zeros((bins, features), jnp.float32))
    self.convs = nnx.List(
      [layers.time_conv(features, features, kernel, dilation=dilation, **conv) for dilation in dilations]
    )
    width = bins * features
    self.context = nnx.data(None)
    if context_units:
      self.context = nnx.data(
        _Context(width, context_units, recurrent, recurrent_units, not causal, dropout, self.dtype, rngs)
      )
      self.context_logits = nnx.data(self._logits(self.context.width, num_classes, initial_bias, rngs))
    else:
      self.context_logits = nnx.data(None)
    own_bias = 0.0 if context_units else initial_bias
    self.own_logits = nnx.data(self._logits(features, 1, own_bias, rngs) if harmonics else None)

  def _logits(self, width: int, num_classes: int, bias: float, rngs: nnx.Rngs) -> nnx.Linear:
    """The last layer; with small weights, as the count before training is to follow from the bias."""
    return nnx.Linear(
      width,
      num_classes * self.time_stride,
      kernel_init=nnx.initializers.variance_scaling(0.1, "fan_in", "truncated_normal"),
      bias_init=nnx.initializers.constant(bias),
      rngs=rngs,
    )

  def __call__(self, frames: Array) -> Array:
    num_frames = frames.shape[1]
    x = frames if self.stack is None else self.stack(frames)
    # Whole steps of the strides; the frames that fill the last one are cut off again below.
    fill = (-num_frames % self.time_stride, -x.shape[2] % self.bin_stride)
    x = jnp.pad(x, ((0, 0), (0, fill[0]), (0, fill[1]), (0, 0))).astype(self.dtype)
    x = self.stem(x) + self.place[...].astype(self.dtype)
    for conv in self.convs:
      x = x + conv(jax.nn.relu(_normalize(x)))
    x = jax.nn.relu(_normalize(x))
    logits = jnp.zeros((), jnp.float32)
    if self.own_logits is not None:  # [B, steps, classes, frames of a step]
      logits = jnp.moveaxis(self.own_logits(x.astype(jnp.float32)), 2, 3)
    if self.context is not None:
      y = self.context_logits(self.context(x.reshape(*x.shape[:2], -1)).astype(jnp.float32))
      logits = logits + y.reshape(*y.shape[:2], self.time_stride, self.num_classes)
    return logits.reshape(logits.shape[0], -1, self.num_classes)[:, :num_frames]


class _Context(nnx.Module):
  """All bins of a frame in one dense layer, then a recurrent one: `[B, T, in_features] -> [B, T, width]`."""

  def __init__(self, in_features, units, recurrent, recurrent_units, bidirectional, dropout, dtype, rngs):
    self.dense = nnx.Linear(in_features, units, dtype=dtype, rngs=rngs)
    self.recurrent, self.width = nnx.data(None), units
    if recurrent is not None:
      layer = recurrent_layers.Bidirectional if bidirectional else recurrent_layers.Forward
      self.recurrent = nnx.data(layer(recurrent, units, recurrent_units, dtype=dtype, rngs=rngs))
      self.width = recurrent_units * (2 if bidirectional else 1)
    self.dropout = layers.dropout(dropout, rngs)

  def __call__(self, x: Array) -> Array:
    x = jax.nn.relu(self.dense(self.dropout(x)))
    return self.dropout(x if self.recurrent is None else self.recurrent(x))


def _normalize(x: Array) -> Array:
  """Every frame to mean 0 and variance 1 over bins and channels, in float32; silence stays silent."""
  y = x.astype(jnp.float32)
  y = y - y.mean(axis=(-2, -1), keepdims=True)
  return (y * jax.lax.rsqrt(jnp.square(y).mean(axis=(-2, -1), keepdims=True) + 1e-4)).astype(x.dtype)
