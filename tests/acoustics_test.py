"""Equalisers, rooms and noise: their spectra, decays and levels; and that none delays a sound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax import acoustics

RATE_HZ, NUM_SAMPLES = 16_000, 16_000
HZ = np.fft.rfftfreq(NUM_SAMPLES, 1 / RATE_HZ)
KEY = jax.random.key(0)


def through(signal, name, key=KEY, **settings):
  return np.asarray(acoustics.through_effects(jnp.asarray(signal), RATE_HZ, {name: (key, settings)}))


def make_signal(size=4, num_samples=8_000, channels=1):
  return np.random.default_rng(0).standard_normal((size, num_samples, channels)).astype(np.float32)


def equalizers_db(size=500, **settings):
  return 20 * np.log10(acoustics.equalizer(KEY, (size,), NUM_SAMPLES, RATE_HZ, **settings))


def test_equalizer_has_its_deviation_at_its_points_and_is_smooth_between():
  response_db = equalizers_db(std_db=6.0, num_points=8, low_hz=60.0)
  points_hz = np.geomspace(60, RATE_HZ / 2, 8)
  at_points = response_db[:, np.searchsorted(HZ, points_hz[1:-1])]
  np.testing.assert_allclose(at_points.std(0), 6, rtol=0.1)
  np.testing.assert_allclose(at_points.mean(0), 0, atol=1)
  correlation = np.corrcoef(at_points.T)
  assert np.abs(correlation - np.eye(6)).max() < 0.2
  np.testing.assert_allclose(response_db[:, HZ < 60], response_db[:, :1] * np.ones((1, 60)), atol=1e-4)
  # Over a tenth of an octave the steepest curve of these changes by little.
  tenth = np.interp(HZ * 2**0.1, HZ, np.arange(len(HZ))).astype(int)
  assert np.abs(response_db[:, tenth] - response_db)[:, HZ < 7_000].max() < 6


def test_tilt_is_so_many_decibels_per_octave():
  response_db = equalizers_db(std_db=0.0, tilt_db=3.0)
  slope = response_db[:, 4_000] - response_db[:, 2_000]
  assert -3 <= slope.min() < -2.8 and 2.8 < slope.max() <= 3
  np.testing.assert_allclose(response_db[:, 1_000], 0, atol=1e-4)
  np.testing.assert_allclose(response_db[:, 500], -slope, atol=1e-3)
  np.testing.assert_allclose(equalizers_db(size=3, std_db=0.0), 0, atol=1e-6)


def rooms(size=64, **settings):
  """Impulse responses, `[size, samples]`."""
  return np.fft.irfft(acoustics.room(KEY, (size,), NUM_SAMPLES, RATE_HZ, **settings))


def decay_db_per_s(tails):
  """Slope of the energy that is still to come (Schroeder), where it is 3 to 20 dB down, over all rooms."""
  left = np.cumsum(np.square(tails).mean(0)[::-1])[::-1]
  left_db = 10 * np.log10(left / left[0] + 1e-12)
  used = np.flatnonzero((left_db < -3) & (left_db > -20))
  return np.polyfit(used / RATE_HZ, left_db[used], 1)[0]


@pytest.mark.parametrize("rt60_s", [0.1, 0.3, 0.6])
def test_rooms_keep_the_direct_sound_and_decay_as_they_should(rt60_s):
  found = rooms(rt60_s=(rt60_s, rt60_s), damping=(1.0, 1.0), direct_db=(3.0, 10.0))
  np.testing.assert_allclose(found[:, 0], 1, atol=1e-5)
  direct_db = -10 * np.log10(np.square(found[:, 1:]).sum(1))
  assert 3 - 1e-3 <= direct_db.min() < 4 and 9 < direct_db.max() <= 10 + 1e-3
  length = acoustics.tail_samples((rt60_s, rt60_s), RATE_HZ)
  np.testing.assert_allclose(found[:, length + 1 :], 0, atol=1e-5)
  assert decay_db_per_s(found[:, 1 : length + 1]) == pytest.approx(-60 / rt60_s, rel=0.15)


def test_high_frequencies_decay_faster():
  found = rooms(rt60_s=(0.6, 0.6), damping=(0.3, 0.3))[:, 1:]
  spectrum = np.fft.rfft(found, NUM_SAMPLES)
  low, high = (np.fft.irfft(spectrum * band) for band in ((HZ < 500), (HZ > 4_000)))
  assert decay_db_per_s(low[:, :8_000]) > -150
  assert decay_db_per_s(high[:, :8_000]) < -250


@pytest.mark.parametrize("color", [0.0, 1.0])
def test_noise_has_its_colour_and_is_gaussian(color):
  spectrum = acoustics.noise(KEY, (8,), NUM_SAMPLES, RATE_HZ, color=(color, color))
  signal = np.fft.irfft(spectrum)
  np.testing.assert_allclose(np.sqrt(np.square(signal).mean(1)), 1, rtol=1e-3)
  power = np.square(np.abs(np.asarray(spectrum)))
  octaves = np.log2(power[:, 4_000] / power[:, 500])
  np.testing.assert_allclose(octaves, -3 * color, atol=1e-3)
  assert np.mean(np.square(signal) ** 2) == pytest.approx(3, rel=0.05)  # kurtosis
  # Also within a short stretch: the bins of a short transform are as spread as those of Gaussian noise.
  short = np.abs(np.fft.rfft(signal[:, :15_872].reshape(8, -1, 256), axis=-1))[..., 60:70] ** 2
  assert short.std(1).mean() / short.mean(1).mean() == pytest.approx(1, rel=0.15)


def test_colours_span_their_range():
  power = np.square(np.abs(np.asarray(acoustics.noise(KEY, (200,), 1_000, RATE_HZ, color=(0.0, 1.0)))))
  exponent = -np.log2(power[:, 400] / power[:, 100]) / 2
  assert 0 <= exponent.min() < 0.05 and 0.95 < exponent.max() <= 1.0001


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_as_loud_as_its_ratio_says(channels):
  signal = make_signal(40, channels=channels) * np.geomspace(1e-3, 1, 40, dtype=np.float32)[:, None, None]
  added = through(signal, "add_noise", snr_db=(10.0, 30.0)) - signal
  snr_db = 10 * np.log10(np.square(signal).mean((1, 2)) / np.square(added).mean((1, 2)))
  assert 9.5 < snr_db.min() < 13 and 27 < snr_db.max() < 30.5
  assert not through(np.zeros((2, 500, 1), np.float32), "add_noise", snr_db=(10.0, 30.0)).any()


@pytest.mark.parametrize("settings", [{"std_db": 6.0, "tilt_db": 1.0}, {}])
def test_no_effect_moves_a_click(settings):
  clicks = np.zeros((50, 4_000, 1), np.float32)
  places = np.random.default_rng(0).integers(1_000, 3_000, 50)
  clicks[np.arange(50), places] = 1
  found = through(clicks, "equalize" if settings else "reverberate", **settings)[..., 0]
  np.testing.assert_array_equal(np.abs(found).argmax(1), places)
  before = np.stack([row[place - 1_000 : place] for row, place in zip(found, places, strict=True)])
  after = np.stack([row[place + 1 : place + 1_001] for row, place in zip(found, places, strict=True)])
  if settings:  # as much before as after
    np.testing.assert_allclose(before[:, ::-1], after, atol=1e-5)
  else:  # nothing before
    np.testing.assert_allclose(before, 0, atol=1e-5)
    assert np.abs(after).max() > 0.01


def test_a_room_does_not_wrap_around():
  signal = np.zeros((20, 4_000, 1), np.float32)
  signal[:, -1] = 1
  np.testing.assert_allclose(through(signal, "reverberate")[:, :-1], 0, atol=1e-5)


def test_channels_share_a_room():
  signal = make_signal(channels=2)
  signal[..., 1] = 2 * signal[..., 0]
  found = through(signal, "reverberate")
  np.testing.assert_allclose(found[..., 1], 2 * found[..., 0], atol=1e-4)
  assert np.abs(found - signal).max() > 0.1


@pytest.mark.parametrize(
  ("name", "settings"),
  [("equalize", {"std_db": 6.0}), ("reverberate", {}), ("add_noise", {"snr_db": (0.0, 0.0)})],
)
def test_a_fraction_of_the_clips_is_changed(name, settings):
  signal = make_signal(200, 400)
  for probability, low, high in ((0.0, 0, 0), (0.4, 50, 110), (1.0, 200, 200)):
    found = through(signal, name, probability=probability, **settings)
    assert low <= (np.abs(found - signal).max((1, 2)) > 1e-3).sum() <= high


def test_no_effects_change_nothing():
  signal = make_signal(channels=2)
  np.testing.assert_allclose(acoustics.through_effects(signal, RATE_HZ, {}), signal, atol=1e-5)


@pytest.mark.parametrize("settings", [{"num_points": 1}, {"low_hz": 8_000.0}, {"low_hz": 0.0}])
def test_equalizers_that_cannot_be_are_refused(settings):
  with pytest.raises(ValueError, match=r"num_points is \d+ and low_hz .*; expected 2 or more points"):
    acoustics.equalizer(KEY, (2,), NUM_SAMPLES, RATE_HZ, std_db=1.0, **settings)
