"""Playing at another rate: error on tones, no aliases, nothing from beyond the ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax import resampling

CENTRE, CENTRE_OUT = 2_499.5, 999.5
resample = jax.jit(resampling.resample, static_argnames=("num_samples", "centre", "centre_out"))


def tone(frequency, place):
  """A tone of so many cycles per sample of the original, at these places in it."""
  return np.cos(2 * np.pi * frequency * (np.asarray(place, np.float64) - 2_500.3) + 0.4)


def level_db(error, signal):
  return 10 * np.log10(np.mean(np.square(error)) / np.mean(np.square(signal)))


@pytest.mark.parametrize("factor", [7 / 8, 2 ** (-1 / 12), 0.999, 1.0, 2 ** (1 / 12), 9 / 8, 1.25])
@pytest.mark.parametrize(
  ("frequency", "most_db"), [(0.01, -80), (0.05, -80), (0.125, -72), (0.25, -62), (0.35, -50)]
)
def test_a_tone_stays_a_tone(factor, frequency, most_db):
  found = resample(
    jnp.asarray(tone(frequency, np.arange(5_000)), jnp.float32),
    jnp.float32(factor),
    num_samples=2_000,
    centre=CENTRE,
    centre_out=CENTRE_OUT,
  )
  expected = tone(frequency, CENTRE + factor * (np.arange(2_000) - CENTRE_OUT))
  assert level_db(found - expected, expected) < most_db


def test_what_would_be_too_high_is_left_out():
  signal = tone(0.46, np.arange(5_000)).astype(np.float32)
  found = resample(signal, jnp.float32(1.2), num_samples=2_000, centre=CENTRE, centre_out=CENTRE_OUT)
  assert level_db(found, signal) < -50


def test_silence_beyond_both_ends():
  signal = np.ones(100, np.float32)
  place = 50 + 1.5 * (np.arange(400) - 200)
  found = np.asarray(resample(signal, jnp.float32(1.5), num_samples=400, centre=50.0, centre_out=200.0))
  inside, outside = (place > 10) & (place < 90), (place < -60) | (place > 200)
  np.testing.assert_allclose(found[inside], 1, atol=0.1)  # it rings where it begins and ends
  assert outside.sum() > 200 and np.abs(found[outside]).max() < 1e-2


def test_every_sound_has_its_own_factor():
  signals = np.random.default_rng(0).standard_normal((3, 2, 1_000)).astype(np.float32)
  factors = np.array([[0.9, 1.0], [1.05, 0.97], [1.1, 1.2]], np.float32)
  options = {"num_samples": 600, "centre": 500.0, "centre_out": 300.0}
  found = resample(signals, factors, **options)
  for place in np.ndindex(3, 2):
    np.testing.assert_allclose(found[place], resample(signals[place], factors[place], **options), atol=1e-4)


def test_fast_lengths_are_the_smallest_even_ones_without_other_factors():
  def is_fast(number):
    for prime in (2, 3, 5):
      while number % prime == 0:
        number //= prime
    return number == 1

  fast = [number for number in range(2, 3_200, 2) if is_fast(number)]
  for number in (*range(1, 400), 2_049, 3_001):
    assert resampling.fast_length(number) == min(one for one in fast if one >= number)
