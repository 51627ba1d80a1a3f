"""Recordings of any length to event probabilities, in chunks of constant size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softloc_jax import events, input_pipeline
from softloc_jax.network import Network, Params


class Predictor:
  """Runs a network over whole recordings, for all replicas at once.

  A recording is cut into chunks with context on both sides; what the context yields is thrown
  away. So the result is that of one pass over the whole recording where the context covers what
  the network remembers, and memory does not grow with the recording.

  Args:
    network: signal to logits.
    chunk_frames: frames kept of each chunk, rounded up to whole steps of the model.
    context_frames: frames on each side that only inform it, rounded up likewise.
    batch_size: chunks computed at a time, at most.

  Raises:
    ValueError: an empty chunk or batch, or a negative context.
  """

  def __init__(self, network: Network, *, chunk_frames: int, context_frames: int, batch_size: int = 8):
    if chunk_frames < 1 or context_frames < 0 or batch_size < 1:
      raise ValueError(
        f"chunk_frames is {chunk_frames}, context_frames {context_frames} and batch_size {batch_size};"
        f" expected 1 or more, 0 or more and 1 or more"
      )
    self._network = network
    # Chunks start on the steps of the model, as the whole recording does.
    stride = network.time_stride
    self._chunk, self._context = (-(-frames // stride) * stride for frames in (chunk_frames, context_frames))
    self._batch_size = batch_size
    self._apply = jax.jit(jax.vmap(network.apply, in_axes=(0, None)))

  @classmethod
  def from_config(cls, network: Network, config: Any) -> Predictor:
    """From seconds: `chunk_s`, `context_s`; and `batch_size`."""
    rate_hz = network.extractor.frame_rate_hz
    return cls(
      network,
      chunk_frames=events.duration_to_frames(config.chunk_s, rate_hz),
      context_frames=round(config.context_s * rate_hz),
      batch_size=config.batch_size,
    )

  def logits(self, params: Params, signal: np.ndarray) -> np.ndarray:
    """Logits of every frame of a recording.

    Args:
      params: stacked over replicas, `[R, ...]` each.
      signal: `[num_samples]` or `[num_samples, channels]`, conditioned as for training.

    Returns:
      `[R, T, C]` float32.
    """
    extractor = self._network.extractor
    total = extractor.num_frames(len(signal))
    starts = np.arange(0, total, self._chunk)
    pieces = []
    for first in range(0, len(starts), self._batch_size):
      batch = starts[first : first + self._batch_size]
      # Filled up to a power of two: few programs to compile, and little is computed for nothing.
      size = min(self._batch_size, 1 << (len(batch) - 1).bit_length())
      padded = np.concatenate([batch, np.full(size - len(batch), total)])
      pieces.append(self._batch(params, signal, padded)[:, : len(batch)])
    logits = np.concatenate(pieces, axis=1)
    return logits.reshape(len(logits), -1, logits.shape[-1])[:, :total]

  def _batch(self, params: Params, signal: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Logits of the chunks at these frames, `[R, chunks, chunk_frames, C]`."""
    length = self._chunk + 2 * self._context
    cut = [
      input_pipeline.cut_signal(signal, *self._network.extractor.sample_range(int(s) - self._context, length))
      for s in starts
    ]
    logits = self._apply(params, jnp.asarray(np.stack(cut)))
    return np.asarray(logits[:, :, self._context : self._context + self._chunk])
