"""Signals to frames, in JAX, on the device.

A feature extractor says how many samples it needs for a stretch of frames and turns
exactly those into features, so that a crop and a whole recording give the same values
(but for the mean that `ReferenceLogMel` takes away). Frame `t` is centred on
`t * hop_samples`; differences are centred too: nothing moves an event in time.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from jax import Array
import jax.numpy as jnp
import numpy as np

from softloc_jax import mel

# Of red, green and blue.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
class SampleBlocks:
  """So many samples are a frame, with nothing between: `[..., N, C] -> [..., N / frame_samples, bins, C]`.

  Scenes are such signals: the samples of a frame are the pixels of a place. See `data.digit_scenes`.

  >>> SampleBlocks(sample_rate_hz=64.0, frame_samples=64)(jnp.zeros((128, 1))).shape
  (2, 64, 1)
  """

  sample_rate_hz: float
  frame_samples: int
  num_channels: int = 1

  @property
  def frame_rate_hz(self) -> float:
    return self.sample_rate_hz / self.frame_samples

  @property
  def shape(self) -> tuple[int, int]:
    """Bins and channels of a frame."""
    return self.frame_samples, self.num_channels

  def sample_range(self, start_frame: int, num_frames: int) -> tuple[int, int]:
    """First sample and number of samples that the frames are made of."""
    return start_frame * self.frame_samples, num_frames * self.frame_samples

  def num_frames(self, num_samples: int) -> int:
    """Frames that hold all samples; the last is filled up with zeros."""
    return -(-num_samples // self.frame_samples)

  def __call__(self, signal: Array) -> Array:
    signal = jnp.asarray(signal, jnp.float32)
    return signal.reshape(*signal.shape[:-2], -1, *self.shape)


@dataclasses.dataclass(frozen=True)
class VideoFrames:
  """Frames of a video, as bytes, less a mean and over a spread: `[..., N, H W 3] -> [..., N, H W, 3]`.

  Attributes:
    frame_size: height and width in pixels.
    sample_rate_hz: frames per second; 1 where time is counted in frames.
    mean: of red, green and blue, between 0 and 1; ImageNet's unless said otherwise.
    std: likewise.

  >>> VideoFrames(frame_size=(8, 6))(jnp.zeros((5, 144), jnp.uint8)).shape
  (5, 48, 3)
  """

  frame_size: tuple[int, int]
  sample_rate_hz: float = 1.0
  mean: tuple[float, float, float] = IMAGENET_MEAN
  std: tuple[float, float, float] = IMAGENET_STD

  @property
  def num_channels(self) -> int:
    """Values of a frame."""
    return 3 * self.frame_size[0] * self.frame_size[1]

  @property
  def frame_rate_hz(self) -> float:
    return self.sample_rate_hz

  @property
  def shape(self) -> tuple[int, int]:
    """Bins and channels of a frame."""
    return self.frame_size[0] * self.frame_size[1], 3

  def sample_range(self, start_frame: int, num_frames: int) -> tuple[int, int]:
    """First sample and number of samples that the frames are made of."""
    return start_frame, num_frames

  def num_frames(self, num_samples: int) -> int:
    """Frames whose centre lies inside a recording."""
    return num_samples

  def __call__(self, signal: Array) -> Array:
    pixels = jnp.asarray(signal, jnp.float32).reshape(*signal.shape[:-1], *self.shape)
    return (pixels / 255 - np.float32(self.mean)) / np.float32(self.std)


@dataclasses.dataclass(frozen=True)
class LogMel(mel.MelBands):
  """Log-mel spectrogram and its difference over time: `[..., N, 1] -> [..., T, num_mels, 2]`.

  Channel 0 is the level, `(dB - floor_db) / -floor_db` (0 at the floor, 1 at 0 dB); channel 1 is its
  `difference` times 4, to about the same size. See `mel.MelBands` for the other settings.

  Attributes:
    floor_db: power below this counts as this.
  """

  floor_db: float = -80.0

  def __post_init__(self):
    super().__post_init__()
    if not self.floor_db < 0:
      raise ValueError(f"floor_db is {self.floor_db}; expected a negative number")

  def __call__(self, signal: Array) -> Array:
    level = jnp.maximum(self._levels(signal) / -self.floor_db + 1.0, 0.0)
    return jnp.stack([level[..., 1:-1, :], 4 * self._difference(level)], axis=-1)


@dataclasses.dataclass(frozen=True)
class ReferenceLogMel(mel.MelBands):
  """The spectrogram of the papers' experiments and its difference: `[..., N, 1] -> [..., T, num_mels, 2]`.

  Channel 0 is `20 log10` of the mel powers minus its mean over the time of the clip; the signal goes through
  a pre-emphasis of 0.97 and a Hamming window, powers are divided by the length of the Fourier transform,
  and the triangles, of height 1, are even in `2595 log10(1 + f / 700)`. Channel 1 is its difference.

  What differs from the reference: frame `t` is centred on `t * hop_samples`, and the difference too, where
  the reference takes an event for the first window that ends after it and scores with a constant shift of 25
  to 30 ms; the window is periodic; triangles are not rounded to whole bins; powers count as 1e-10 at least.

  The mean is that of the stretch that is cut out, so the level of a frame depends on the stretch around it.
  `predict` cuts chunks: with their context they should be about as long as training clips. Frames of
  digital silence, such as those beyond the ends of a recording, have no part in the mean.

  Attributes:
    scale: both channels are multiplied by it; 1 gives the reference's numbers, 0.02 some of about 1.

  >>> drums = ReferenceLogMel(44_100, 220, 1_102, 72, fft_samples=4_096)  # L section 6
  >>> piano = ReferenceLogMel(44_100, 220, 1_102, 384, fft_samples=8_192, bank_mels=550)  # L 7, S 4.2
  >>> piano.shape
  (384, 2)
  """

  low_hz: float = 0.0
  _: dataclasses.KW_ONLY
  window: str = "hamming"
  mel_scale: str = "htk"
  mel_norm: str | None = None
  pre_emphasis: float = 0.97
  scale: float = 1.0

  def __call__(self, signal: Array) -> Array:
    decibels = self._levels(signal)
    divisor_db = 10 * np.log10(self.fft_samples or self.window_samples)
    level = 2 * jnp.maximum(decibels - divisor_db, mel.LEAST_DB)
    inner = level[..., 1:-1, :]
    heard = jnp.any(decibels[..., 1:-1, :] > mel.LEAST_DB, axis=-1, keepdims=True)
    total = jnp.sum(inner * heard, axis=-2, keepdims=True)
    mean = total / jnp.maximum(jnp.sum(heard, axis=-2, keepdims=True), 1)
    return self.scale * jnp.stack([inner - mean, self._difference(level)], axis=-1)


FeatureExtractor = SignalFrames | SampleBlocks | VideoFrames | LogMel | ReferenceLogMel


def from_config(config: Any) -> FeatureExtractor:
  """The extractor that `config.kind` names ("signal", "blocks", "video", "log_mel", "reference_log_mel").

  The other keys are its arguments.

  Raises:
    ValueError: an unknown kind, an unknown argument or one that is missing.

  >>> from_config({"kind": "signal", "sample_rate_hz": 100.0}).frame_rate_hz
  100.0
  """
  kinds = {
    "signal": SignalFrames,
    "blocks": SampleBlocks,
    "video": VideoFrames,
    "log_mel": LogMel,
    "reference_log_mel": ReferenceLogMel,
  }
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
