"""The pitch axis: partials of a note line up, whatever its pitch."""

import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from softloc_jax.models.harmonic_stack import HarmonicStack

MELS, RANGE_HZ = 229, (30.0, 8000.0)


def stack(**changes):
  settings = {"lowest_pitch": 21, "num_pitches": 88, "bins_per_pitch": 2, "harmonics": (0.5, 1, 2, 3)}
  return HarmonicStack(MELS, RANGE_HZ, **(settings | changes))


def spectrum(*partials_hz):
  """Bumps at these frequencies on the mel bins, `[1, 1, MELS, 1]`, as wide as a semitone."""
  centres_hz = librosa.mel_frequencies(MELS + 2, fmin=RANGE_HZ[0], fmax=RANGE_HZ[1])[1:-1]
  semitones = 12 * np.log2(centres_hz[:, None] / np.array(partials_hz))
  return np.exp(-0.5 * semitones**2).sum(axis=1).astype(np.float32)[None, None, :, None]


@pytest.mark.parametrize("pitch", [60, 69, 76, 83])
def test_a_note_lights_up_the_harmonics_of_its_own_pitch(pitch):
  hz = 440.0 * 2 ** ((pitch - 69) / 12)
  found = np.asarray(stack()(spectrum(hz, 2 * hz, 3 * hz)))[0, 0]
  assert found.shape == (176, 4)
  half, first, second, third = found.reshape(88, 2, 4).mean(axis=1)[pitch - 21]
  assert min(first, second, third) > 0.85 and half < 0.1
  # The pitch whose harmonics are all there is this one; an octave below, only every other is.
  complete = found[:, 1:].min(axis=1).reshape(88, 2).mean(axis=1)
  assert complete.argmax() == pitch - 21
  below = found.reshape(88, 2, 4).mean(axis=1)[pitch - 21 - 12]
  assert below[2] > 0.85 and below[1] < 0.1


def test_bins_are_read_at_their_frequencies():
  # A spectrum that is linear in frequency is interpolated exactly.
  centres_hz = librosa.mel_frequencies(MELS + 2, fmin=RANGE_HZ[0], fmax=RANGE_HZ[1])[1:-1]
  mels = jnp.asarray(centres_hz[None, None, :, None], jnp.float32)
  one = stack(bins_per_pitch=1, harmonics=(1, 2))(mels)[0, 0]
  pitches = np.arange(21, 109)
  expected = 440.0 * 2 ** ((pitches - 69) / 12)
  outside = expected < centres_hz[0]
  np.testing.assert_array_equal(one[outside, 0], 0.0)
  np.testing.assert_allclose(one[~outside, 0], expected[~outside], rtol=1e-4)
  np.testing.assert_allclose(one[:, 1], np.where(2 * expected > centres_hz[-1], 0, 2 * expected), rtol=1e-4)
  three = stack(bins_per_pitch=3, harmonics=(2,))(mels)[0, 0, :, 0].reshape(88, 3)
  np.testing.assert_allclose(three[5:80, 1], 2 * expected[5:80], rtol=1e-4)  # the middle bin is the pitch's
  np.testing.assert_allclose(three[5:80, 2] / three[5:80, 0], 2 ** (2 / 36), rtol=1e-4)


def test_channels_stay_together():
  mels = np.random.default_rng(0).standard_normal((2, 3, MELS, 2)).astype(np.float32)
  both = stack(harmonics=(1, 3))(mels)
  assert both.shape == (2, 3, 176, 4)
  np.testing.assert_allclose(both[..., 0::2], stack(harmonics=(1, 3))(mels[..., :1]), atol=1e-6)
  np.testing.assert_allclose(both[..., 2:], stack(harmonics=(3,))(mels), atol=1e-6)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"harmonics": ()}, r"harmonics are \(\); expected positive numbers"),
    ({"harmonics": (1, 0)}, r"harmonics are \(1, 0\); expected positive numbers"),
    ({"mel_range_hz": (8000.0, 30.0)}, "mel_range_hz is .*; expected two rising frequencies"),
    ({"mel_range_hz": (10.0, 20.0)}, "the second above the lowest pitch, 27.5 Hz"),
  ],
)
def test_axes_that_cannot_be_are_refused(changes, message):
  settings = {"num_mels": MELS, "mel_range_hz": RANGE_HZ, "lowest_pitch": 21, "num_pitches": 88}
  with pytest.raises(ValueError, match=message):
    HarmonicStack(**(settings | changes))
