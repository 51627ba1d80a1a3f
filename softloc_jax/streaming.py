"""Events of a signal that is still arriving: what `softloc-jax predict --stream` does."""

from __future__ import annotations

from collections.abc import Callable
import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.special

from softloc_jax import detector, events, features, online_decode
from softloc_jax.network import Network
from softloc_jax.online_decode import Event

# Samples of output after which a resampler has shown how much it holds back; and how many go in at a time.
_RESAMPLER_SAMPLES, _RESAMPLER_PIECE = 8192, 8


class Latency(NamedTuple):
  """Parts of the longest time, in seconds, between an event and when it is told, without that of computing.

  Attributes:
    features_s: signal that a frame's features need after it.
    network_s: frames that the network sees after an event's: 0 if it is causal.
    decoder_s: what must have followed an event, so that nothing can change it any more. One beside stronger
      candidates that wait themselves waits for them.
    block_s: frames are computed in blocks of this length.
    resampler_s: what the resampler holds back.
  """

  features_s: float
  network_s: float
  decoder_s: float
  block_s: float
  resampler_s: float = 0.0

  @property
  def total_s(self) -> float:
    return sum(self)

  def __str__(self) -> str:
    """
    >>> str(Latency(0.042, 0.0, 0.1, 0.1))
    '0.24 s (features 0.042, network 0.000, decoder 0.100, block 0.100)'
    """
    parts = {name.removesuffix("_s"): part for name, part in self._asdict().items()}
    if not self.resampler_s:
      del parts["resampler"]
    return f"{self.total_s:.2f} s ({', '.join(f'{name} {part:.3f}' for name, part in parts.items())})"


class Stream:
  """Finds events in a signal piece by piece, in constant memory.

  Frames are computed in blocks, each with `predict.context_s` before it and as much after it as the network
  looks ahead: nothing if it is causal, little if it only convolves, and at most the same context. So the
  probabilities are those of `Detector.detect`, as far as the context covers what the network remembers, and
  decoding adds no difference (see `online_decode`). How the signal is cut into pieces changes nothing.

  Args:
    trained: a `Detector`.
    rate_hz: samples per second of what is pushed; that of the network if None. Others are resampled, where
      the network's settings resample recordings, and by another filter than theirs.
    block_s: frames are computed in blocks of about this length: longer ones come later, and cost less.
    ahead_s: how far a network that looks further ahead may do so: events come sooner with less than
      `predict.context_s`, which None stands for, and are more often others.

  Attributes:
    latency: how long after an event it is told.

  Raises:
    ValueError: a network that needs the whole recording, naming the setting; a rate that it does not take; an
      empty block, or a negative `ahead_s`.
    ImportError: another rate, without the library that resamples.
  """

  def __init__(
    self,
    trained: detector.Detector,
    *,
    rate_hz: float | None = None,
    block_s: float = 0.1,
    ahead_s: float | None = None,
  ):
    refuse_whole_recordings(trained.config)
    network, settings = trained.network, trained.config.predict
    ahead_s = settings.context_s if ahead_s is None else ahead_s
    if not (0 < block_s < math.inf and 0 <= ahead_s < math.inf):
      raise ValueError(
        f"block_s is {block_s} and ahead_s {ahead_s}; expected seconds, more than 0 and 0 or more"
      )
    self._extractor, self._variables = network.extractor, trained.variables
    self._num_classes, self._is_ensemble = len(network.classes), settings.get("ensemble", False)
    frame_rate_hz = self._extractor.frame_rate_hz
    self._decoder = online_decode.OnlineDecoder(
      trained.config.decode, trained.calibration, network.classes, frame_rate_hz
    )
    self._resampler = _resampler(trained.config, self._extractor, rate_hz)
    self._apply = _compiled(network)
    # In whole steps of the model, as a recording is cut into chunks.
    block = events.duration_to_frames(block_s, frame_rate_hz)
    context, most_ahead = (round(length_s * frame_rate_hz) for length_s in (settings.context_s, ahead_s))
    stride = network.time_stride
    context, block, most_ahead = (-(-frames // stride) * stride for frames in (context, block, most_ahead))
    self._before, self._block = context, block
    ahead = self._frames_ahead(most_ahead)
    first, self._num_samples = self._extractor.sample_range(-context, context + block + ahead)
    self._hop = self._extractor.sample_range(block, 1)[0] - self._extractor.sample_range(0, 1)[0]
    # From the first sample of the next block's context on; before the signal begins there are zeros.
    self._signal = np.zeros((max(-first, 0), self._extractor.num_channels), np.float32)
    self._received, self._computed, self._finished = 0, 0, False
    self._logits(np.zeros((self._num_samples, self._extractor.num_channels), np.float32))  # compiled by now
    start, needed = self._extractor.sample_range(0, 1)
    self.latency = Latency(
      features_s=(start + needed) / self._extractor.sample_rate_hz,
      network_s=ahead / frame_rate_hz,
      decoder_s=self._decoder.wait_s,
      block_s=block / frame_rate_hz,
      resampler_s=_held_back_s(trained.config, self._extractor, rate_hz),
    )

  @property
  def latency_s(self) -> float:
    """Seconds between an event and when it is told; see `Latency` for what may wait longer."""
    return self.latency.total_s

  @property
  def size(self) -> int:
    """Numbers in memory between two pushes, beside the network's: it does not grow with the stream."""
    return self._signal.size + self._decoder.size

  def push(self, samples: np.ndarray) -> list[Event]:
    """Takes the next samples, `[N]` or `[N, channels]`, and returns the events that became certain.

    Raises:
      ValueError: samples that are not finite or have other channels, or a stream that is finished.
    """
    if self._finished:
      raise ValueError("the stream is finished; expected a new one for more samples")
    samples = self._checked(samples)
    if self._resampler is not None:
      samples = self._resampler.resample_chunk(samples)
    return self._advance(samples)

  def finish(self) -> list[Event]:
    """Ends the stream, and returns the events that are left."""
    if self._finished:
      return []
    self._finished = True
    rest = np.zeros((0, self._extractor.num_channels), np.float32)
    found = self._advance(
      rest if self._resampler is None else self._resampler.resample_chunk(rest, last=True)
    )
    while self._computed < self._num_frames:
      missing = max(self._num_samples - len(self._signal), 0)
      self._signal = np.pad(self._signal, ((0, missing), (0, 0)))
      found += self._compute()
    return found + self._decoder.push(np.zeros((0, self._num_classes)), last=True)

  @property
  def _num_frames(self) -> int:
    return self._extractor.num_frames(self._received)

  def _checked(self, samples: np.ndarray) -> np.ndarray:
    samples, channels = np.asarray(samples), self._extractor.num_channels
    if samples.ndim not in (1, 2) or (samples.shape[1] if samples.ndim == 2 else 1) != channels:
      raise ValueError(
        f"samples have shape {samples.shape}; expected [N, {channels}], the network's channels"
      )
    samples = samples.reshape(-1, channels).astype(np.float32)
    if not np.isfinite(samples).all():
      raise ValueError("samples are NaN or infinite; expected finite numbers")
    return samples

  def _advance(self, samples: np.ndarray) -> list[Event]:
    """Computes all blocks that are complete with these samples, at the rate of the network."""
    self._received += len(samples)
    self._signal = np.concatenate([self._signal, samples])
    found = []
    while len(self._signal) >= self._num_samples:
      found += self._compute()
    self._signal = self._signal.copy()  # and not a view that holds on to all that was pushed
    return found

  def _compute(self) -> list[Event]:
    """Events that are certain with one block more."""
    logits = self._logits(self._signal[: self._num_samples])[:, self._before : self._before + self._block]
    self._signal = self._signal[self._hop :]
    probs = scipy.special.expit(logits)
    probs = probs.mean(axis=0) if self._is_ensemble else probs[0]
    # At the end of the stream, frames beyond it are none of its.
    count = min(self._block, self._num_frames - self._computed) if self._finished else self._block
    self._computed += count
    return self._decoder.push(probs[:count])

  def _logits(self, signal: np.ndarray) -> np.ndarray:
    """Of the frames that these samples `[N, channels]` are made for, `[R, frames, C]`."""
    return np.asarray(self._apply(self._variables, signal[None]))[:, 0]

  def _frames_ahead(self, most: int) -> int:
    """Frames after a block that its logits depend on, at most so many: found by trying.

    What is not a number makes everything that depends on it not a number.
    """
    if not most:
      return 0
    end = self._before + self._block
    _, num_samples = self._extractor.sample_range(-self._before, end + most)
    _, num_known = self._extractor.sample_range(-self._before, end)
    signal = np.zeros((num_samples, self._extractor.num_channels), np.float32)
    signal[num_known:] = np.nan
    unknown = np.isnan(self._logits(signal)).any(axis=(0, 2))
    if not unknown[end:].all():  # something in the network turns it into a number again: it tells nothing
      return most
    return min(most, end - int(np.argmax(unknown)))


@functools.lru_cache(maxsize=16)
def _compiled(network: Network) -> Callable:
  """The network over replicas: compiled once for all streams of it."""
  return jax.jit(jax.vmap(network.apply, in_axes=(0, None)))


def refuse_whole_recordings(config: Any) -> None:
  """Refuses a network that cannot work on a stream, naming the setting.

  Raises:
    ValueError: features, conditioning or prediction that need the whole recording, or longer stretches of it.
  """
  kind = config.features.kind
  if kind not in ("signal", "log_mel"):
    why = {"reference_log_mel": ", whose levels are relative to the stretch they are cut from"}.get(kind, "")
    raise ValueError(f"features.kind is {kind!r}{why}; of a stream, expected 'signal' or 'log_mel'")
  for name in ("bandpass_hz", "scaling"):
    value = (config.data.conditioning or {}).get(name)
    if value is not None:
      raise ValueError(
        f"data.conditioning.{name} is {value!r}, which takes the whole recording; of a stream, expected None"
      )
  overlap, rates = config.predict.get("overlap", "cut"), tuple(config.predict.get("rates", (1.0,)))
  if overlap != "cut":
    raise ValueError(f"predict.overlap is {overlap!r}; of a stream, expected 'cut'")
  if rates != (1.0,):
    raise ValueError(
      f"predict.rates are {rates}, copies of the whole recording; of a stream, expected (1.0,)"
    )


def _resampler(config: Any, extractor: features.FeatureExtractor, rate_hz: float | None) -> Any:
  """From `rate_hz` to the rate of the network, or None where they are the same."""
  wanted_hz = extractor.sample_rate_hz
  if rate_hz is None or rate_hz == wanted_hz:
    return None
  if not (rate_hz > 0 and math.isfinite(rate_hz)):
    raise ValueError(f"rate_hz is {rate_hz}; expected a positive number")
  if (config.data.conditioning or {}).get("sample_rate_hz") is None:
    raise ValueError(
      f"rate_hz is {rate_hz:g}; expected {wanted_hz:g}, as the network's data.conditioning does not resample"
    )
  try:
    import soxr
  except ImportError as error:
    raise ImportError(
      f"from {rate_hz:g} to {wanted_hz:g} samples per second needs soxr: pip install softloc-jax[audio]"
    ) from error
  return soxr.ResampleStream(rate_hz, wanted_hz, extractor.num_channels, dtype="float32")


def _held_back_s(config: Any, extractor: features.FeatureExtractor, rate_hz: float | None) -> float:
  """The longest time between what goes into a resampler and what has come out of it: found by trying."""
  resampler = _resampler(config, extractor, rate_hz)
  if resampler is None:
    return 0.0
  silence = np.zeros((_RESAMPLER_PIECE, extractor.num_channels), np.float32)
  longest_s, given, received = 0.0, 0, 0
  while received < _RESAMPLER_SAMPLES:
    given += len(silence)
    received += len(resampler.resample_chunk(silence))
    longest_s = max(longest_s, given / rate_hz - received / extractor.sample_rate_hz)
  return longest_s
