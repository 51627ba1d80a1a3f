"""Recordings of any length to event probabilities, in chunks of constant size."""

from __future__ import annotations

from collections.abc import Sequence
import concurrent.futures
import fractions
import functools
from typing import Any

import jax
import numpy as np
import scipy.special

from softloc_jax import data_parallel, events, input_pipeline
from softloc_jax.network import Network, Variables

OVERLAPS = ("cut", "fade")
# While one batch is cut, moved or waits for a core, the other computes.
BATCHES_AT_A_TIME = 2


class Predictor:
  """Runs a network over whole recordings, for all replicas at once.

  A recording is cut into chunks with context on both sides. Cut off again (`overlap="cut"`), what the
  context yields only informs the rest, and the result is that of one pass over the whole recording where
  the context covers what the network remembers. Kept (`"fade"`, overlap-add), each chunk fades into the
  next over twice the context: for networks that remember further. What is computed with does not grow with
  the recording; its signal and the result do.

  Beyond its ends a recording is filled with zeros. Without any context nothing is filled: the last chunk ends
  where the recording does, over frames of the one before, whose results stay; and a recording that is shorter
  than a chunk is computed as it is.

  Where variables were copied to several devices, each computes its share of a batch.

  Args:
    network: signal to logits.
    chunk_frames: frames a chunk stands for, rounded up to whole steps of the model.
    context_frames: frames more on each side, rounded up likewise.
    batch_size: chunks computed at a time, at most, or one on each device if they share them.
    overlap: what becomes of the context, "cut" or "fade".
    rates: the recording is also played this many times as fast, each copy is predicted, and the mean is
      taken (`merge_rates`); (1.0,) is the recording itself.
    ensemble: whether the replicas are one network, whose probabilities are the mean of theirs.

  Attributes:
    chunk_frames, context_frames: as rounded.
    fades: whether chunks are added where they overlap.
    rates: as given.

  Raises:
    ValueError: an empty chunk or batch, a negative context, an unknown overlap or one of more than two
      chunks, or a rate that is not positive.
  """

  def __init__(
    self,
    network: Network,
    *,
    chunk_frames: int,
    context_frames: int,
    batch_size: int = 8,
    overlap: str = "cut",
    rates: Sequence[float] = (1.0,),
    ensemble: bool = False,
  ):
    if chunk_frames < 1 or context_frames < 0 or batch_size < 1:
      raise ValueError(
        f"chunk_frames is {chunk_frames}, context_frames {context_frames} and batch_size {batch_size};"
        f" expected 1 or more, 0 or more and 1 or more"
      )
    if overlap not in OVERLAPS:
      raise ValueError(f"overlap is {overlap!r}; expected one of {', '.join(OVERLAPS)}")
    if not len(rates) or not all(rate > 0 for rate in rates):
      raise ValueError(f"rates are {tuple(rates)}; expected positive numbers")
    self._network = network
    # Chunks start on the steps of the model, as the whole recording does.
    stride = network.time_stride
    self.chunk_frames, self.context_frames = (
      -(-frames // stride) * stride for frames in (chunk_frames, context_frames)
    )
    if overlap == "fade" and 2 * self.context_frames > self.chunk_frames:
      raise ValueError(
        f"context_frames is {context_frames}; expected at most half of chunk_frames, {chunk_frames}, to fade"
      )
    self._batch_size, self.rates, self._ensemble = batch_size, tuple(rates), ensemble
    self.fades = overlap == "fade" and self.context_frames > 0

    def apply(variables: Variables, signal: jax.Array, mesh: jax.sharding.Mesh | None) -> jax.Array:
      with data_parallel.batches_on(mesh):
        return jax.vmap(network.apply, in_axes=(0, None))(variables, signal)

    self._apply = jax.jit(apply, static_argnames="mesh")

  @classmethod
  def from_config(cls, network: Network, config: Any) -> Predictor:
    """From seconds, `chunk_s` and `context_s`, and the other arguments as they are."""
    rate_hz = network.extractor.frame_rate_hz
    settings = dict(config)
    chunk_s, context_s = settings.pop("chunk_s"), settings.pop("context_s")
    return cls(
      network,
      chunk_frames=events.duration_to_frames(chunk_s, rate_hz),
      context_frames=round(context_s * rate_hz),
      **settings,
    )

  def probabilities(self, variables: Variables, signal: np.ndarray) -> np.ndarray:
    """Event probabilities of every frame of a recording, the mean over its copies at other rates.

    Args:
      variables: stacked over replicas, `[R, ...]` each.
      signal: `[num_samples]` or `[num_samples, channels]`, conditioned as for training.

    Returns:
      `[R, T, C]` float32; of an ensemble `[1, T, C]`.
    """
    num_frames = self._network.extractor.num_frames(len(signal))
    copies = [scipy.special.expit(self.logits(variables, play(signal, rate))) for rate in self.rates]
    if self._ensemble:
      copies = [probs.mean(axis=0, keepdims=True) for probs in copies]
    return merge_rates(copies, self.rates, num_frames)

  def logits(self, variables: Variables, signal: np.ndarray) -> np.ndarray:
    """Logits of every frame of a recording as it is; see `probabilities`."""
    total = self._network.extractor.num_frames(len(signal))
    length, starts = self._chunks(total)
    on_cpu = jax.default_backend() == "cpu"  # whose two batches share what one may take
    mesh = data_parallel.mesh_of(variables)
    most = -(-self._batch_size // BATCHES_AT_A_TIME) if on_cpu else self._batch_size
    size = data_parallel.in_shares(most, mesh)
    batches = [starts[first : first + size] for first in range(0, len(starts), size)]
    compute = functools.partial(self._batch, variables, mesh, signal, size, length)
    pieces = [compute(batch) for batch in batches[:1]]  # alone, so that it is compiled once
    with concurrent.futures.ThreadPoolExecutor(_at_a_time(variables)) as pool:
      pieces += pool.map(compute, batches[1:])
    chunks = np.concatenate(pieces, axis=1)
    return self._faded(chunks)[:, :total] if self.fades else self._joined(chunks, starts, total)

  def _chunks(self, total: int) -> tuple[int, np.ndarray]:
    """Frames of a chunk with its context, and the first frame of each without it."""
    if self.context_frames:
      return self.chunk_frames + 2 * self.context_frames, np.arange(0, total, self.chunk_frames)
    stride = self._network.time_stride
    end = -(-total // stride) * stride
    length = min(self.chunk_frames, end)
    return length, np.minimum(np.arange(0, end, length), end - length)

  def _joined(self, chunks: np.ndarray, starts: np.ndarray, total: int) -> np.ndarray:
    """Chunks `[R, num_chunks, chunk + 2 context, C]` without their context, each as far as the next one."""
    frames = np.arange(total)
    chunk = frames // (chunks.shape[2] - 2 * self.context_frames)
    return chunks[:, chunk, self.context_frames + frames - starts[chunk]]

  def _faded(self, chunks: np.ndarray) -> np.ndarray:
    """Chunks added where they overlap, with weights that sum to 1; the ends have but one chunk."""
    num_replicas, num_chunks, length, num_classes = chunks.shape
    weight = fade_weights(self.chunk_frames, self.context_frames)
    out = np.zeros((num_replicas, (num_chunks - 1) * self.chunk_frames + length, num_classes), np.float32)
    total = np.zeros((out.shape[1], 1), np.float32)
    for number in range(num_chunks):
      here = slice(number * self.chunk_frames, number * self.chunk_frames + length)
      out[:, here] += weight * chunks[:, number]
      total[here] += weight
    return (out / total)[:, self.context_frames :]

  def _batch(
    self,
    variables: Variables,
    mesh: jax.sharding.Mesh | None,
    signal: np.ndarray,
    most: int,
    length: int,
    starts: np.ndarray,
  ) -> np.ndarray:
    """Logits of the chunks at these frames, `most` or fewer, with context, `[R, chunks, length, C]`."""
    # Filled up to a power of two: few programs to compile, and little is computed for nothing.
    size = min(most, data_parallel.in_shares(1 << (len(starts) - 1).bit_length(), mesh))
    padded = np.concatenate([starts, np.full(size - len(starts), starts[0])])
    cut = [
      input_pipeline.cut_signal(
        signal, *self._network.extractor.sample_range(int(s) - self.context_frames, length)
      )
      for s in padded
    ]
    batch = jax.device_put(np.stack(cut), None if mesh is None else data_parallel.split(mesh))
    return np.asarray(self._apply(variables, batch, mesh))[:, : len(starts)]


def _at_a_time(variables: Variables) -> int:
  """How many batches: programs on the same several devices have to take turns, or may wait for each other."""
  arrays = [leaf for leaf in jax.tree.leaves(variables) if isinstance(leaf, jax.Array)]
  return BATCHES_AT_A_TIME if all(len(array.devices()) == 1 for array in arrays) else 1


def fade_weights(chunk_frames: int, context_frames: int) -> np.ndarray:
  """Weights `[frames, 1]` of a chunk with context, which sum to 1 with those of the chunks beside it.

  >>> fade_weights(4, 1).ravel().tolist()
  [0.25, 0.75, 1.0, 1.0, 0.75, 0.25]
  """
  ramp = np.arange(0.5, 2 * context_frames) / (2 * context_frames)
  weight = np.ones((chunk_frames + 2 * context_frames, 1), np.float32)
  weight[: len(ramp), 0], weight[len(weight) - len(ramp) :, 0] = ramp, ramp[::-1]
  return weight


def play(signal: np.ndarray, rate: float) -> np.ndarray:
  """The signal played `rate` times as fast, and as much higher, at an unchanged sample rate.

  Args:
    signal: `[num_samples]` or `[num_samples, channels]`.
    rate: above 0; taken to the nearest fraction with terms up to about 100.

  >>> play(np.ones(1000, np.float32), 2.0).shape
  (500,)
  """
  import scipy.signal

  ratio = _as_ratio(rate)
  if ratio == 1:
    return signal
  return scipy.signal.resample_poly(signal, ratio.denominator, ratio.numerator, axis=0).astype(np.float32)


def merge_rates(copies: Sequence[np.ndarray], rates: Sequence[float], num_frames: int) -> np.ndarray:
  """Mean of the probabilities of one recording played at several rates.

  A copy's frames are laid over those of the recording; each gives its probability to the frames that it
  covers, in proportion. So the expected number of events of any stretch stays what it was in the copy.

  Args:
    copies: `[..., T_i, C]` of each rate, as `play` makes them: frame `u` is at `u * rate`.
    rates: of the copies.
    num_frames: of the recording at rate 1.

  Returns:
    `[..., num_frames, C]`, at most 1.

  >>> fast = np.zeros((50, 1))
  >>> fast[20] = 1.0
  >>> np.flatnonzero(merge_rates([fast], [2.0], 100)[:, 0]).tolist()
  [39, 40, 41]
  """
  total = 0.0
  for probs, rate in zip(copies, rates, strict=True):
    ratio = float(_as_ratio(rate))
    if ratio == 1:
      total = total + probs[..., :num_frames, :]
      continue
    mass = np.concatenate([np.zeros_like(probs[..., :1, :]), np.cumsum(probs, axis=-2, dtype=np.float64)], -2)
    edges = np.clip((np.arange(num_frames + 1) - 0.5) / ratio + 0.5, 0, probs.shape[-2])
    edges[0], edges[-1] = 0, probs.shape[-2]  # what lies half a frame beyond an end belongs to its frame
    below = np.minimum(edges.astype(int), probs.shape[-2] - 1)
    part = (edges - below)[:, None]
    at_edges = mass[..., below, :] * (1 - part) + mass[..., below + 1, :] * part
    total = total + np.diff(at_edges, axis=-2)
  return np.minimum(np.asarray(total) / len(rates), 1.0).astype(np.float32)


def _as_ratio(rate: float) -> fractions.Fraction:
  return fractions.Fraction(rate).limit_denominator(100)
