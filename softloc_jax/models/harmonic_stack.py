"""Mel bins to a pitch axis, with the partials of every pitch side by side."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import functools

from jax import Array
import jax.numpy as jnp
import numpy as np

SEMITONES_PER_OCTAVE = 12


@dataclasses.dataclass(frozen=True)
class HarmonicStack:
  """`[B, T, mels, channels] -> [B, T, num_pitches * bins_per_pitch, len(harmonics) * channels]`.

  A note has its partials at the same distances on a logarithmic frequency axis whatever its pitch. With
  those distances taken out, the filters of a convolution are about a note, not about a place in the
  spectrum, and serve all pitches.

  Attributes:
    num_mels: Slaney mel bins of the input, as `features.LogMel` spaces them.
    mel_range_hz: their lowest and highest frequency.
    lowest_pitch: MIDI number of the first pitch.
    num_pitches: pitches from there up.
    bins_per_pitch: resolution; the bins of a pitch are centred on its frequency.
    harmonics: which multiples of a pitch's frequency are looked up; what lies outside the mel bins is zero.

  Raises:
    ValueError: a harmonic that is not positive, an empty frequency range or no pitches in it.

  References:
    Bittner et al., "Deep salience representations for F0 estimation in polyphonic music", ISMIR 2017.

  >>> stack = HarmonicStack(229, (30.0, 8000.0), lowest_pitch=21, num_pitches=88, harmonics=(1, 2, 3))
  >>> stack(jnp.zeros((1, 5, 229, 2))).shape
  (1, 5, 176, 6)
  """

  num_mels: int
  mel_range_hz: tuple[float, float]
  lowest_pitch: int
  num_pitches: int
  bins_per_pitch: int = 2
  harmonics: Sequence[float] = (0.5, 1, 2, 3, 4, 5, 6)

  def __post_init__(self):
    if not self.harmonics or min(self.harmonics) <= 0:
      raise ValueError(f"harmonics are {tuple(self.harmonics)}; expected positive numbers")
    low_hz, high_hz = self.mel_range_hz
    lowest_hz = _pitch_to_hz(self.lowest_pitch)
    if not 0 <= low_hz < high_hz or lowest_hz >= high_hz:
      raise ValueError(
        f"mel_range_hz is {tuple(self.mel_range_hz)}; expected two rising frequencies, the second above the"
        f" lowest pitch, {lowest_hz:.1f} Hz"
      )

  def __call__(self, mels: Array) -> Array:
    bins = jnp.einsum("btmc,mn->btnc", mels, self._to_pitch_bins(), precision="highest")
    num_bins, offsets = self.num_pitches * self.bins_per_pitch, self._offsets()
    first = offsets.min()
    return jnp.concatenate([bins[:, :, o - first : o - first + num_bins] for o in offsets], axis=-1)

  def _offsets(self) -> np.ndarray:
    """Bins from a pitch to each of its harmonics."""
    return np.rint(SEMITONES_PER_OCTAVE * self.bins_per_pitch * np.log2(self.harmonics)).astype(int)

  def _to_pitch_bins(self) -> np.ndarray:
    """Linear interpolation `[num_mels, bins]` from the lowest harmonic of the lowest pitch up."""
    offsets, per_pitch = self._offsets(), self.bins_per_pitch
    places = np.arange(offsets.min(), self.num_pitches * per_pitch + offsets.max())
    pitches = self.lowest_pitch + (places - (per_pitch - 1) / 2) / per_pitch
    return _interpolation(_mel_centres_hz(self.num_mels, *self.mel_range_hz), _pitch_to_hz(pitches))


def _pitch_to_hz(pitch):
  return 440.0 * 2.0 ** ((pitch - 69) / SEMITONES_PER_OCTAVE)


@functools.cache
def _mel_centres_hz(num_mels: int, low_hz: float, high_hz: float) -> np.ndarray:
  import librosa

  return librosa.mel_frequencies(num_mels + 2, fmin=low_hz, fmax=high_hz)[1:-1]


def _interpolation(centres_hz: np.ndarray, wanted_hz: np.ndarray) -> np.ndarray:
  """Weights `[centres, wanted]` of linear interpolation; none for a frequency outside the centres."""
  weights = np.stack([np.interp(wanted_hz, centres_hz, one, 0.0, 0.0) for one in np.eye(len(centres_hz))])
  return weights.astype(np.float32)
