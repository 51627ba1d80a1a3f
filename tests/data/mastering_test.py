"""Rooms, filters and compressors: they do what their settings say and delay nothing."""

import numpy as np
import pytest
from small_groove import strike

from softloc_jax.data import mastering, sampler


def tone(hz, rate_hz, length_s=1.0):
  return np.cos(2 * np.pi * hz * np.arange(round(length_s * rate_hz)) / rate_hz).astype(np.float32)


def test_minimum_phase_has_the_gains_and_comes_early():
  rng = np.random.default_rng(0)
  hz = np.linspace(0, 1, 513)
  gain_db = 12 * np.exp(-0.5 * ((hz[:, None] - rng.random(4)) / 0.1) ** 2) @ rng.normal(0, 1, 4)
  taps = mastering.minimum_phase(gain_db)
  measured_db = 20 * np.log10(np.abs(np.fft.rfft(taps, 1024)))
  np.testing.assert_allclose(measured_db, gain_db, atol=0.1)
  # Of all filters with these gains, the energy is in the first samples.
  linear_phase = np.fft.irfft(10 ** (gain_db / 20), 1024)
  assert np.square(taps[:16]).sum() > 0.95 * np.square(linear_phase).sum()
  with pytest.raises(ValueError, match=r"gain_db has shape \(3,\)"):
    mastering.minimum_phase(np.zeros(3))


def test_reverberation_keeps_the_direct_sound():
  dry = np.zeros(100, np.float32)
  dry[20] = 1
  wet = mastering.reverberate(dry, 0.5 * dry, np.array([1, 0, 0.25], np.float32))
  np.testing.assert_allclose(wet[[19, 20, 21, 22, 23]], [0, 1, 0, 0.125, 0], atol=1e-6)


def test_compression_lowers_what_is_loud_and_looks_back_only():
  loud = 0.5 * tone(1000, 16_000)
  loud[:8000] *= 0.01
  settings = {"threshold_db": -30, "ratio": 4, "time_s": 0.02}
  compressed = mastering.compress(loud, 16_000, **settings)
  np.testing.assert_allclose(compressed[:8000], loud[:8000], rtol=1e-3)
  # 9 dB under full scale as root mean square: 21 dB over the threshold, of which a quarter stays.
  reduction_db = 20 * np.log10(np.abs(compressed[-2000:]).max() / 0.5)
  assert reduction_db == pytest.approx(-0.75 * (30 - 9.03), abs=0.5)
  cut = mastering.compress(loud[:9000], 16_000, **settings)
  np.testing.assert_allclose(cut[:8950], compressed[:8950], atol=1e-6)


@pytest.mark.parametrize("chance", (0.0, 1.0))
def test_master_sets_level_and_noise_and_delays_nothing(chance):
  mix = np.zeros(16_000, np.float32)
  mix[8000:12_000] = 3 * strike(16_000, 0, decay_s=0.05)[:4000]
  signal = mastering.master(
    np.random.default_rng(0),
    mix,
    16_000,
    compression=chance,
    saturation=chance,
    low_pass=chance,
    noise_db=-60,
    peak_db=-6,
  )
  assert signal.dtype == np.float32 and np.abs(signal).max() == pytest.approx(10 ** (-6 / 20), rel=1e-4)
  assert np.sqrt(np.mean(signal[:7000] ** 2)) == pytest.approx(10 ** (-66 / 20), rel=0.2)
  assert abs(sampler.attack_sample(signal, 16_000) - 8000) <= 16
