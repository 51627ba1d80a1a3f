"""Synthesised cymbals: they start at once, ring as long as they should, and hats are brighter than wood."""

import numpy as np
import pytest

from softloc_jax.data import cymbal_voices


def strokes(voice, rate_hz=16_000, num=8):
  rng = np.random.default_rng(0)
  for _ in range(num):
    cymbal = cymbal_voices.draw_cymbal(rng, voice)
    yield cymbal_voices.render_cymbal(rng, cymbal, voice, rate_hz)


def decay_s(sound, rate_hz=16_000):
  """Time after which a hundredth of the energy is left."""
  left = np.cumsum(np.square(sound, dtype=np.float64)[::-1])[::-1]
  return np.argmax(left < 0.01 * left[0]) / rate_hz


@pytest.mark.parametrize("rate_hz", (8_000, 16_000, 44_100))
@pytest.mark.parametrize("voice", cymbal_voices.VOICES)
def test_strokes_start_at_once_and_fade(voice, rate_hz):
  for sound in strokes(voice, rate_hz):
    assert sound.dtype == np.float32 and np.abs(sound).max() == pytest.approx(1)
    early = np.abs(sound[: int(0.03 * rate_hz)]).max()
    assert np.argmax(np.abs(sound) > 0.05 * early) <= 0.002 * rate_hz
    assert abs(sound[-1]) < 1e-3


def test_open_hats_ring_longer_than_closed_and_rides_longest():
  medians = {
    v: np.median([decay_s(s) for s in strokes(v)]) for v in ("pedal_hat", "closed_hat", "open_hat", "ride")
  }
  assert medians["pedal_hat"] < medians["open_hat"] and medians["closed_hat"] < 0.15 < medians["open_hat"]
  assert medians["open_hat"] < medians["ride"]


def test_soft_strokes_have_fewer_highs():
  rng = np.random.default_rng(0)
  cymbal = cymbal_voices.draw_cymbal(rng, "ride")

  def highs(hardness):
    sound = cymbal_voices.render_cymbal(rng, cymbal, "ride", 16_000, hardness=hardness)
    power = np.abs(np.fft.rfft(sound)) ** 2
    return power[len(power) * 5 // 8 :].sum() / power.sum()

  assert highs(0.0) < 0.6 * highs(1.0)


def test_unknown_voice():
  with pytest.raises(ValueError, match="unknown voice 'gong'; expected one of closed_hat"):
    cymbal_voices.draw_cymbal(np.random.default_rng(0), "gong")
