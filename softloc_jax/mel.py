"""Mel spectra in JAX: windows, Fourier transform and triangular filters, as librosa defines them.

Frame `t` is centred on `t * hop_samples`, whatever the settings: nothing moves an event in time.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar

import jax
from jax import Array
import jax.numpy as jnp
import numpy as np

from softloc_jax import fourier

# Bands of one matrix product. Filters are narrow: a few products of the bins that a few bands cover take a
# fraction of the time of one with all bins, and the values are the same.
_BANDS_AT_A_TIME = 16
# Numbers of the frames that a CPU transforms at a time: beyond its caches, which two batches of a prediction
# share, it takes up to three times as long.
_NUMBERS_AT_A_TIME = 2**19
# Power below this counts as this, here and in librosa.
LEAST_DB = -100.0


@dataclasses.dataclass(frozen=True)
class MelBands:
  """Powers of mel bands around each frame; the features of `features` are made of these.

  Attributes:
    sample_rate_hz: rate of the signal.
    hop_samples: samples between frames.
    window_samples: length of the window, even.
    num_mels: mel bands, between `low_hz` and `high_hz`.
    low_hz, high_hz: lower end of the first band and upper end of the last; None is half the rate.
    window: "hann" or "hamming", periodic.
    fft_samples: length of the Fourier transform, with zeros beyond the window; None is `window_samples`.
    bank_mels: bands into which `low_hz` to `high_hz` is cut, of which the lowest `num_mels` are used;
      None is `num_mels`.
    mel_scale: "slaney" (linear up to 1 kHz) or "htk" (`2595 log10(1 + f / 700)`).
    mel_norm: "slaney" for filters of unit area, None for filters of unit height.
    pre_emphasis: `a` of `x[n] - a x[n - 1]`, which the signal goes through first.
    difference: between which levels over time: "centred", from the frame before to the frame after,
      halved; "forward", from the frame before to this one, which sits half a hop late;
      "forward_positive", the same without falls.
  """

  num_channels: ClassVar[int] = 1

  sample_rate_hz: float
  hop_samples: int
  window_samples: int
  num_mels: int
  low_hz: float = 30.0
  high_hz: float | None = None
  _: dataclasses.KW_ONLY
  window: str = "hann"
  fft_samples: int | None = None
  bank_mels: int | None = None
  mel_scale: str = "slaney"
  mel_norm: str | None = "slaney"
  pre_emphasis: float = 0.0
  difference: str = "centred"

  def __post_init__(self):
    if self.window_samples % 2:
      raise ValueError(f"window_samples is {self.window_samples}; expected an even number")
    if not 1 <= self.hop_samples <= self.window_samples:
      raise ValueError(
        f"hop_samples is {self.hop_samples}; expected 1 to window_samples, {self.window_samples}:"
        f" events could fall between windows"
      )
    high_hz = 0.5 * self.sample_rate_hz if self.high_hz is None else self.high_hz
    if not 0 <= self.low_hz < high_hz <= 0.5 * self.sample_rate_hz:
      raise ValueError(
        f"low_hz is {self.low_hz} and high_hz {self.high_hz}; expected 0 <= low_hz < high_hz, at most half of"
        f" sample_rate_hz, {0.5 * self.sample_rate_hz:g} Hz"
      )
    for name, least in (("fft_samples", self.window_samples), ("bank_mels", self.num_mels)):
      value = getattr(self, name)
      if value is not None and value < least:
        raise ValueError(f"{name} is {value}; expected None or {least} or more")
    for name, expected in _CHOICES.items():
      if getattr(self, name) not in expected:
        raise ValueError(
          f"{name} is {getattr(self, name)!r}; expected one of {', '.join(map(repr, expected))}"
        )
    if not 0 <= self.pre_emphasis <= 1:
      raise ValueError(f"pre_emphasis is {self.pre_emphasis}; expected 0 to 1")

  @property
  def frame_rate_hz(self) -> float:
    return self.sample_rate_hz / self.hop_samples

  @property
  def shape(self) -> tuple[int, int]:
    """Bins and channels of a frame."""
    return self.num_mels, 2

  @property
  def band_hz(self) -> np.ndarray:
    """Frequency at the top of each band's triangle, `[num_mels]`."""
    import librosa

    high_hz = 0.5 * self.sample_rate_hz if self.high_hz is None else self.high_hz
    bands = (self.bank_mels or self.num_mels) + 2
    edges_hz = librosa.mel_frequencies(bands, fmin=self.low_hz, fmax=high_hz, htk=self.mel_scale == "htk")
    return edges_hz[1 : self.num_mels + 1]

  def sample_range(self, start_frame: int, num_frames: int) -> tuple[int, int]:
    """First sample and number of samples: one more frame on each side feeds the difference."""
    before = 1 if self.pre_emphasis else 0
    first = (start_frame - 1) * self.hop_samples - self.window_samples // 2
    return first - before, (num_frames + 1) * self.hop_samples + self.window_samples + before

  def num_frames(self, num_samples: int) -> int:
    """Frames whose centre lies inside a recording."""
    return -(-num_samples // self.hop_samples)

  def decibels(self, signal: Array) -> Array:
    """Mel power in decibels, at least -100: `[..., N] -> [..., frames, num_mels]`.

    Frame `i` covers samples `i * hop_samples` to `i * hop_samples + window_samples`. Pre-emphasis takes
    the sample before the first for 0.
    """
    if self.pre_emphasis:
      signal = self._emphasize(jnp.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(1, 0)]))
    return self._decibels(signal)

  def _levels(self, signal: Array) -> Array:
    """Decibels of the frames of a crop and of one more on each side: `[..., N, 1] -> [..., T + 2, M]`."""
    mono = jnp.asarray(signal, jnp.float32)[..., 0]
    return self._decibels(self._emphasize(mono) if self.pre_emphasis else mono)

  def _emphasize(self, signal: Array) -> Array:
    return signal[..., 1:] - self.pre_emphasis * signal[..., :-1]

  def _decibels(self, signal: Array) -> Array:
    """`[..., N] -> [..., frames, num_mels]`, on a CPU some frames at a time."""
    num_frames = (signal.shape[-1] - self.window_samples) // self.hop_samples + 1
    pieces = 1
    sizes_are_known = all(isinstance(size, int) for size in signal.shape)  # which exports leave open
    # Devices that exchange their batch within the loop have been seen to wait for each other for ever.
    if jax.default_backend() == "cpu" and jax.device_count() == 1 and sizes_are_known:
      numbers = math.prod(signal.shape[:-1]) * num_frames * self.window_samples
      pieces = min(-(-numbers // _NUMBERS_AT_A_TIME), num_frames)
    if pieces <= 1:
      return self._decibels_of_frames(signal, num_frames)
    size = -(-num_frames // pieces)  # of a piece, in frames
    pieces = -(-num_frames // size)
    fill = (pieces * size - num_frames) * self.hop_samples
    signal = jnp.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, fill)])
    num_samples = (size - 1) * self.hop_samples + self.window_samples

    def of_piece(first_sample: Array) -> Array:
      piece = jax.lax.dynamic_slice_in_dim(signal, first_sample, num_samples, axis=-1)
      # With the logarithm: outside of the loop it would be taken again by everything that reads a level.
      return self._decibels_of_frames(piece, size)

    found = jax.lax.map(of_piece, size * self.hop_samples * jnp.arange(pieces))
    found = jnp.moveaxis(found, 0, -3)  # [..., pieces, size, num_mels]
    return found.reshape(*found.shape[:-3], -1, self.num_mels)[..., :num_frames, :]

  def _decibels_of_frames(self, signal: Array, num_frames: int) -> Array:
    def window_at(first_sample: Array) -> Array:
      return jax.lax.dynamic_slice_in_dim(signal, first_sample, self.window_samples, axis=-1)

    frames = jax.vmap(window_at, out_axes=-2)(self.hop_samples * np.arange(num_frames))
    fft_samples = self.fft_samples or self.window_samples
    spectrum = fourier.rfft(frames * _window(self.window, self.window_samples), fft_samples)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    groups = _filters(
      self.sample_rate_hz,
      fft_samples,
      self.bank_mels or self.num_mels,
      self.num_mels,
      self.low_hz,
      self.high_hz,
      self.mel_scale,
      self.mel_norm,
    )
    bands = [
      jnp.matmul(power[..., low : low + len(weights)], weights, precision="highest")
      for low, weights in groups
    ]
    return 10 * jnp.log10(jnp.maximum(jnp.concatenate(bands, axis=-1), 10 ** (LEAST_DB / 10)))

  def _difference(self, level: Array) -> Array:
    """`[..., T + 2, M] -> [..., T, M]`."""
    if self.difference == "centred":
      return 0.5 * (level[..., 2:, :] - level[..., :-2, :])
    forward = level[..., 1:-1, :] - level[..., :-2, :]
    return forward if self.difference == "forward" else jnp.maximum(forward, 0.0)


_CHOICES = {
  "window": ("hann", "hamming"),
  "mel_scale": ("slaney", "htk"),
  "mel_norm": ("slaney", None),
  "difference": ("centred", "forward", "forward_positive"),
}


@functools.cache
def _window(name: str, window_samples: int) -> np.ndarray:
  """Periodic, as librosa's."""
  mean = {"hann": 0.5, "hamming": 0.54}[name]
  turn = 2 * np.pi * np.arange(window_samples) / window_samples
  return (mean - (1 - mean) * np.cos(turn)).astype(np.float32)


@functools.cache
def _filters(
  sample_rate_hz, fft_samples, bank_mels, num_mels, low_hz, high_hz, mel_scale, mel_norm
) -> list[tuple[int, np.ndarray]]:
  """For each few bands the first bin they cover, and their weights `[bins, bands]`."""
  import librosa

  bank = librosa.filters.mel(
    sr=sample_rate_hz,
    n_fft=fft_samples,
    n_mels=bank_mels,
    fmin=low_hz,
    fmax=high_hz,
    htk=mel_scale == "htk",
    norm=mel_norm,
  )[:num_mels].astype(np.float32)
  groups = []
  for first in range(0, num_mels, _BANDS_AT_A_TIME):
    weights = bank[first : first + _BANDS_AT_A_TIME]
    bins = np.flatnonzero(weights.any(axis=0))
    low, stop = (bins[0], bins[-1] + 1) if len(bins) else (0, 1)
    groups.append((int(low), np.ascontiguousarray(weights[:, low:stop].T)))
  return groups
