"""Sampled strokes: attacks where they are said to be, at any pitch and rate, and mixed to the sample."""

import numpy as np
import pytest
from small_groove import strike

from softloc_jax.data import mastering, sampler
from softloc_jax.data.sampler import Sound


def tone(hz, rate_hz, length_s=1.0):
  return np.cos(2 * np.pi * hz * np.arange(round(length_s * rate_hz)) / rate_hz).astype(np.float32)


def loudest_hz(samples, rate_hz):
  spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
  return np.fft.rfftfreq(len(samples), 1 / rate_hz)[np.argmax(spectrum)]


@pytest.mark.parametrize("silence_s", (0.0, 0.0021, 0.1, 0.7))
@pytest.mark.parametrize("level", (1e-4, 1.0))
def test_attack_after_silence_and_noise(silence_s, level):
  sound = level * strike(16_000, silence_s)
  noisy = sound + level * 0.01 * np.random.default_rng(0).uniform(-1, 1, len(sound))
  for samples in (sound, noisy):
    assert sampler.attack_sample(samples, 16_000) == round(silence_s * 16_000)


def test_a_swell_after_the_stroke_does_not_delay_it():
  swelling = np.concatenate([np.zeros(100), 0.11 * np.ones(8000), np.ones(100)])
  assert sampler.attack_sample(swelling, 16_000) == 100


@pytest.mark.parametrize("samples", (np.zeros(10), np.zeros(0)))
def test_silence_has_no_attack(samples):
  with pytest.raises(ValueError, match="silent; expected a stroke"):
    sampler.attack_sample(samples, 16_000)


@pytest.mark.parametrize("rate_hz", (8_000, 16_000, 44_100))
@pytest.mark.parametrize("pitch", (0.61, 1.0, 1.9))
@pytest.mark.parametrize("tilt_db", (None, -3.0, 3.0))
def test_reshaped_strokes_start_where_they_say(rate_hz, pitch, tilt_db):
  sound = Sound(strike(22_050, 0.013).astype(np.float32), 22_050, round(0.013 * 22_050))
  taps = None
  if tilt_db is not None:
    taps = mastering.equalizer(np.random.default_rng(1), rate_hz, tilt_db=tilt_db, peaks_db=4)
  reshaped = sampler.reshape(sound, rate_hz, pitch=pitch, equalizer=taps)
  found = sampler.attack_sample(reshaped.samples, rate_hz)
  assert abs(found - reshaped.attack_samples) < 0.001 * rate_hz
  assert sampler.attack_level(reshaped) == pytest.approx(1)


def test_pitch_and_rate():
  sound = Sound(tone(500, 22_050), 22_050, 0)
  for pitch in (0.7, 1.0, 1.6):
    reshaped = sampler.reshape(sound, 16_000, pitch=pitch)
    assert loudest_hz(reshaped.samples, 16_000) == pytest.approx(500 * pitch, rel=0.003)
    assert len(reshaped.samples) == pytest.approx(16_000 / pitch, rel=0.01)


def test_nothing_folds_back_over_half_the_rate():
  samples = sampler.reshape(Sound(tone(9_000, 44_100) + tone(100, 44_100), 44_100, 0), 16_000).samples
  power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
  assert power[len(power) // 8 :].sum() < 1e-4 * power.sum()


def test_decay_and_end():
  sound = Sound(tone(500, 16_000), 16_000, 0)
  shorter = sampler.finish(sound, decay_s=0.1).samples
  ratio = np.abs(shorter[4000:4400]).max() / np.abs(shorter[2400:2800]).max()
  assert ratio == pytest.approx(np.exp(-1), rel=0.01)
  assert len(shorter) < len(sound.samples)  # the inaudible end is cut off
  assert np.abs(sampler.finish(sound, fade_s=0.2).samples[-32:]).max() < 0.02
  with pytest.raises(ValueError, match="silent after its attack"):
    sampler.finish(Sound(np.zeros(100, np.float32), 16_000, 0))


@pytest.mark.parametrize("least", (1, 600, 17_640, 90_001))
@pytest.mark.parametrize("ratio", (0.31, 0.7256, 1.0, 2.9))
def test_transform_sizes(least, ratio):
  size, new_size = sampler._transform_sizes(max(least, 300), ratio)
  assert max(least, 300) <= size <= 1.25 * max(least, 300)
  assert new_size / size == pytest.approx(ratio, rel=0.004)
  for number in (size, new_size):
    for prime in (2, 3, 5, 7, 11):
      while number % prime == 0:
        number //= prime
    assert number == 1


def test_layers_start_together():
  click, late = np.zeros(50, np.float32), np.zeros(90, np.float32)
  click[10], late[40] = 1, 1
  early, later = Sound(click, 8000, 10), Sound(late, 8000, 40)
  for one, other, attack in ((early, later, 40), (later, early, 40)):
    both = sampler.layer(one, other, 0.5)
    assert np.argmax(np.abs(both.samples)) == both.attack_samples == attack


def test_add_places_attacks_and_leaves_out_what_lies_outside():
  sound = Sound(np.array([0.25, 1, 0.5, 0.125], np.float32), 1000, 1)
  mix = np.zeros(6, np.float32)
  sampler.add(mix, sound, 3, 2.0)
  np.testing.assert_array_equal(mix, [0, 0, 0.5, 2, 1, 0.25])
  for at_sample, expected in ((0, [1, 0.5, 0.125]), (2, [0, 0.25, 1]), (-9, [0, 0, 0]), (9, [0, 0, 0])):
    short = np.zeros(3, np.float32)
    sampler.add(short, sound, at_sample, 1.0)
    np.testing.assert_array_equal(short, expected)


def test_add_damps():
  mix = np.zeros(2000, np.float32)
  sampler.add(mix, Sound(np.ones(2000, np.float32), 1000, 100), 300, 1.0, length_s=0.5, release_s=0.02)
  assert (mix[200:800] == 1).all() and not mix[1000:].any()
  assert mix[820] == pytest.approx(np.exp(-1), rel=0.01)
