"""Signals to frames, in JAX, on the device.

A feature extractor says how many samples it needs for a stretch of frames and turns
exactly those into features, so that a crop and a whole recording give the same values.
Frame `t` is centred on `t * hop_samples`; differences are centred too: nothing moves an
event in time.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any, ClassVar

from jax import Array
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class SignalFrames:
  """Every sample of a sensor is a frame: `[..., N, channels] -> [..., N, 1, channels]`.

  >>> SignalFrames(sample_rate_hz=100.0)(jnp.zeros((5, 2))).shape
  (5, 1, 2)
  """

  sample_rate_hz: float
  num_channels: int = 1

  @property
  def frame_rate_hz(self) -> float:
    return self.sample_rate_hz

  @property
  def shape(self) -> tuple[int, int]:
    """Bins and channels of a frame."""
    return 1, self.num_channels

  def sample_range(self, start_frame: int, num_frames: int) -> tuple[int, int]:
    """First sample and number of samples that the frames are made of."""
    return start_frame, num_frames

  def num_frames(self, num_samples: int) -> int:
    """Frames whose centre lies inside a recording."""
    return num_samples

  def __call__(self, signal: Array) -> Array:
    return jnp.asarray(signal, jnp.float32)[..., None, :]


@dataclasses.dataclass(frozen=True)
class LogMel:
  """Log-mel spectrogram and its centred difference: `[..., N, 1] -> [..., T, num_mels, 2]`.

  The power spectrogram under a Hann window goes through librosa's (Slaney) mel filters and
  to decibels. Channel 0 is the level, `(dB - floor_db) / -floor_db` (0 at the floor, 1 at
  0 dB); channel 1 is `(level[t + 1] - level[t - 1]) / 2` times 4, to about the same size.

  Attributes:
    sample_rate_hz: rate of the signal.
    hop_samples: samples between frames.
    window_samples: length of the window, even.
    num_mels: mel bands between `low_hz` and `high_hz`.
    floor_db: power below this counts as this.
  """

  num_channels: ClassVar[int] = 1

  sample_rate_hz: float
  hop_samples: int
  window_samples: int
  num_mels: int
  low_hz: float = 30.0
  high_hz: float | None = None
  floor_db: float = -80.0

  def __post_init__(self):
    if self.window_samples % 2:
      raise ValueError(f"window_samples is {self.window_samples}; expected an even number")
    if not 1 <= self.hop_samples <= self.window_samples:
      raise ValueError(
        f"hop_samples is {self.hop_samples}; expected 1 to window_samples, {self.window_samples}:"
        f" events could fall between windows"
      )
    if not self.floor_db < 0:
      raise ValueError(f"floor_db is {self.floor_db}; expected a negative number")

  @property
  def frame_rate_hz(self) -> float:
    return self.sample_rate_hz / self.hop_samples

  @property
  def shape(self) -> tuple[int, int]:
    """Bins and channels of a frame."""
    return self.num_mels, 2

  def sample_range(self, start_frame: int, num_frames: int) -> tuple[int, int]:
    """First sample and number of samples: one more frame on each side feeds the difference."""
    first = (start_frame - 1) * self.hop_samples - self.window_samples // 2
    return first, (num_frames + 1) * self.hop_samples + self.window_samples

  def num_frames(self, num_samples: int) -> int:
    """Frames whose centre lies inside a recording."""
    return -(-num_samples // self.hop_samples)

  def decibels(self, signal: Array) -> Array:
    """Mel power in decibels, not floored by `floor_db` but at 1e-10: `[..., N] -> [..., frames, num_mels]`.

    Frame `i` covers samples `i * hop_samples` to `i * hop_samples + window_samples`.
    """
    num_frames = (signal.shape[-1] - self.window_samples) // self.hop_samples + 1
    index = np.arange(num_frames)[:, None] * self.hop_samples + np.arange(self.window_samples)
    frames = signal[..., index] * _hann(self.window_samples)
    power = jnp.square(jnp.abs(jnp.fft.rfft(frames)))
    filters = _mel_filters(self.sample_rate_hz, self.window_samples, self.num_mels, self.low_hz, self.high_hz)
    mel = jnp.einsum("...f,mf->...m", power, filters, precision="highest")
    return 10 * jnp.log10(jnp.maximum(mel, 1e-10))

  def __call__(self, signal: Array) -> Array:
    mono = jnp.asarray(signal, jnp.float32)[..., 0]
    level = jnp.maximum(self.decibels(mono) / -self.floor_db + 1.0, 0.0)
    difference = 2 * (level[..., 2:, :] - level[..., :-2, :])
    return jnp.stack([level[..., 1:-1, :], difference], axis=-1)


FeatureExtractor = SignalFrames | LogMel


def from_config(config: Any) -> FeatureExtractor:
  """The extractor that `config.kind` names, "signal" or "log_mel", with the other keys as arguments.

  Raises:
    ValueError: an unknown kind, an unknown argument or one that is missing.

  >>> from_config({"kind": "signal", "sample_rate_hz": 100.0}).frame_rate_hz
  100.0
  """
  kinds = {"signal": SignalFrames, "log_mel": LogMel}
  arguments = dict(config)
  kind = arguments.pop("kind", None)
  if kind not in kinds:
    raise ValueError(f"features.kind is {kind!r}; expected one of {', '.join(kinds)}")
  signature = inspect.signature(kinds[kind])
  try:
    signature.bind(**arguments)
  except TypeError as error:
    raise ValueError(f"features {kind!r}: {error}; expected {', '.join(signature.parameters)}") from error
  return kinds[kind](**arguments)


@functools.cache
def _hann(window_samples: int) -> np.ndarray:
  """Periodic Hann window, as librosa's."""
  return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_samples) / window_samples)).astype(np.float32)


@functools.cache
def _mel_filters(sample_rate_hz, window_samples, num_mels, low_hz, high_hz) -> np.ndarray:
  """`[num_mels, window_samples // 2 + 1]`."""
  import librosa

  return librosa.filters.mel(
    sr=sample_rate_hz, n_fft=window_samples, n_mels=num_mels, fmin=low_hz, fmax=high_hz
  ).astype(np.float32)
