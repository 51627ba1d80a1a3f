"""Conditioning must clean a signal without moving what happens in it."""

import numpy as np
import pytest

from softloc_jax.data.condition import condition
from softloc_jax.data.recording import Recording, validate


def make(signal, rate_hz=360.0, events_s=(), label="beat"):
  return Recording("r", np.asarray(signal, np.float32), rate_hz, {label: np.asarray(events_s, np.float64)})


def sine(freq_hz, rate_hz=360.0, seconds=20.0):
  return np.sin(2 * np.pi * freq_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def middle_gain(recording, **kwargs):
  """Amplitude of the middle of the result over that of the middle of the input, as RMS."""

  def rms(x):
    return np.sqrt(np.mean(np.square(x[len(x) // 4 : -len(x) // 4])))

  return rms(condition(recording, **kwargs).signal) / rms(recording.signal)


def test_an_excerpt_holds_its_events():
  for duration_s in (0.1, 0.29, 1.0):
    excerpt = make(np.ones(8), 4.0, [np.nextafter(duration_s, 0)]).first_seconds(duration_s)
    validate(excerpt)
    assert len(excerpt.times_s("beat")) == 1 and excerpt.duration_s < duration_s + 1 / 4


@pytest.mark.parametrize("rate_hz", [0.0, np.inf, np.nan])
def test_rates_that_cannot_be(rate_hz):
  with pytest.raises(ValueError, match=f"sample rate is {rate_hz} Hz; expected a positive number"):
    validate(make(np.ones(8), rate_hz))


@pytest.mark.parametrize(
  "old_hz, new_hz", [(360.0, 100.0), (360.0, 250.0), (50.0, 100.0), (44100.0, 16000.0), (99.5, 100.0)]
)
@pytest.mark.parametrize("position", [0.13, 0.5, 0.77])
def test_click_stays_where_it_is(old_hz, new_hz, position):
  signal = np.zeros(round(4 * old_hz))
  at = int(position * len(signal))
  signal[at] = 1.0
  out = condition(make(signal, old_hz), sample_rate_hz=new_hz, bandpass_hz=(0.5, 0.4 * min(old_hz, new_hz)))
  assert out.sample_rate_hz == new_hz
  assert abs(np.argmax(out.signal) / new_hz - at / old_hz) <= 0.5 / new_hz + 1e-9


def test_filter_has_zero_phase():
  signal = np.zeros(2001)
  signal[1000] = 1.0
  out = condition(make(signal), bandpass_hz=(0.5, 40.0)).signal
  np.testing.assert_allclose(out, out[::-1], atol=1e-6)


@pytest.mark.parametrize(
  "freq_hz, low, high",
  [(10.0, 0.99, 1.01), (0.5, 0.45, 0.55), (40.0, 0.45, 0.55), (0.05, 0.0, 0.001), (120.0, 0.0, 0.01)],
)
def test_band_passes_inside_halves_at_the_edges_and_stops_outside(freq_hz, low, high):
  gain = middle_gain(make(sine(freq_hz, seconds=80.0)), bandpass_hz=(0.5, 40.0))
  assert low <= gain <= high


def test_downsampling_does_not_alias():
  assert middle_gain(make(sine(130.0)), sample_rate_hz=100.0) < 0.01
  assert middle_gain(make(sine(20.0)), sample_rate_hz=100.0) == pytest.approx(1.0, abs=0.01)


def test_resampled_sine_equals_the_sine_sampled_at_the_new_rate():
  out = condition(make(sine(3.0)), sample_rate_hz=128.0).signal
  np.testing.assert_allclose(out[50:-50], sine(3.0, 128.0)[50:-50], atol=2e-3)


def test_resampling_keeps_an_offset_and_a_drift_up_to_the_edges():
  time_s = np.arange(1000) / 360
  out = condition(make(700.0 + 5.0 * time_s), sample_rate_hz=100.0).signal
  np.testing.assert_allclose(out, 700.0 + 5.0 * np.arange(len(out)) / 100, rtol=1e-6)


@pytest.mark.parametrize("num_samples", [1, 2, 359, 360, 361, 1000])
@pytest.mark.parametrize("old_hz, new_hz", [(360, 100), (50, 100), (3, 7), (0.1, 0.3), (100, 100.00001)])
def test_length_and_events_at_the_very_end(num_samples, old_hz, new_hz):
  recording = make(np.ones(num_samples), float(old_hz), [0.0, num_samples / old_hz])
  out = condition(recording, sample_rate_hz=float(new_hz))
  expected = num_samples * new_hz / old_hz
  assert expected - 1e-6 <= len(out.signal) < expected + 1 + 1e-6
  assert out.duration_s >= recording.duration_s
  validate(out)
  np.testing.assert_array_equal(out.times_s("beat"), recording.times_s("beat"))


def test_a_rate_measured_from_time_stamps_is_resampled_within_its_tolerance():
  rate_hz = 99.98731
  recording = make(sine(2.0, rate_hz, 600.0), rate_hz, [599.9])
  out = condition(recording, sample_rate_hz=100.0)
  late = slice(-1500, -100)  # a wrong ratio would have drifted by 7 samples here
  np.testing.assert_allclose(out.signal[late], sine(2.0, 100.0, 600.0)[: len(out.signal)][late], atol=2e-3)
  validate(out)


def test_ratio_that_no_whole_numbers_meet_is_refused():
  with pytest.raises(ValueError, match=r"cannot resample from 10000000.0 to 1\.0 Hz"):
    condition(make(np.zeros(100), 1e7), sample_rate_hz=1.0)
  with pytest.raises(ValueError, match=r"cannot resample from 1\.0 to 10000000.0 Hz"):
    condition(make(np.zeros(100), 1.0), sample_rate_hz=1e7)
  with pytest.raises(ValueError, match=r"the nearest ratio .* is 1, 0\.3 samples off by the end"):
    condition(make(np.zeros(300_000), 100.0001), sample_rate_hz=100.0)


def test_robust_scaling_is_one_standard_deviation_of_a_normal_signal_whatever_the_outliers():
  signal = 5.0 + 3.0 * np.random.default_rng(0).standard_normal(40000)
  signal[:40] = 1e4
  out = condition(make(signal), scaling="robust").signal
  assert np.median(out) == pytest.approx(0.0, abs=1e-6)
  assert np.subtract(*np.percentile(out, (75, 25))) == pytest.approx(1.349, rel=1e-5)
  assert np.std(out[40:]) == pytest.approx(1.0, abs=0.02)
  assert out.max() == pytest.approx(1e4 / 3, rel=0.02)  # nothing is clipped


def test_every_channel_is_conditioned_alone():
  rng = np.random.default_rng(1)
  signal = rng.standard_normal((3000, 3)) * [1.0, 50.0, 0.01] + [0.0, 9.0, -9.0]
  kwargs = {"sample_rate_hz": 100.0, "bandpass_hz": (1.0, 30.0), "scaling": "robust"}
  together = condition(make(signal), **kwargs).signal
  assert together.shape == (834, 3)
  assert together.dtype == np.float32
  for channel in range(3):
    np.testing.assert_allclose(together[:, channel], condition(make(signal[:, channel]), **kwargs).signal)


def test_peak_scaling():
  out = condition(make([[0.0, 4.0], [-2.0, 1.0], [1.0, 0.0]]), scaling="peak").signal
  np.testing.assert_allclose(out, [[0.0, 1.0], [-1.0, 0.25], [0.5, 0.0]])


@pytest.mark.parametrize("bandpass_hz", [None, (0.5, 40.0), (0.05, 100.0)])
def test_flat_channel_becomes_zero_and_its_rounding_error_is_not_blown_up(bandpass_hz):
  signal = np.stack([np.full(4000, 0.1), sine(5.0, seconds=4000 / 360)], axis=1)
  out = condition(make(signal), bandpass_hz=bandpass_hz, scaling="robust").signal
  np.testing.assert_array_equal(out[:, 0], 0.0)
  assert np.std(out[:, 1]) > 0.5
  silent = condition(make(np.zeros(100)), scaling="peak").signal
  np.testing.assert_array_equal(silent, 0.0)


def test_mostly_silent_channel_keeps_its_clicks():
  signal = np.zeros(1000)
  signal[::100] = 2.0
  out = condition(make(signal), scaling="robust").signal
  np.testing.assert_allclose(out, signal / signal.std(), rtol=1e-6)


def test_without_arguments_nothing_changes():
  recording = make(sine(3.0), events_s=[1.0, 2.0]).replace(labelled={"beat": False})
  out = condition(recording)
  np.testing.assert_array_equal(out.signal, recording.signal)
  assert (out.id, out.sample_rate_hz, dict(out.labelled)) == ("r", 360.0, {"beat": False})


def test_shorter_than_the_filter_settles():
  assert condition(make([1.0, 2.0, 3.0]), bandpass_hz=(0.5, 40.0)).signal.shape == (3,)
  assert condition(make([1.0]), bandpass_hz=(0.5, 40.0)).signal.shape == (1,)


@pytest.mark.parametrize(
  "kwargs, message",
  [
    ({"scaling": "zscore"}, r"scaling is 'zscore'; expected one of 'robust', 'peak' or None"),
    ({"bandpass_hz": (40.0, 0.5)}, r"bandpass_hz is \(40, 0.5\); expected 0 < low < high < 180 Hz"),
    ({"bandpass_hz": (0.5, 180.0)}, r"expected 0 < low < high < 180 Hz"),
    ({"bandpass_hz": (0.0, 40.0)}, r"expected 0 < low"),
    ({"bandpass_hz": (float("nan"), 40.0)}, r"expected 0 < low"),
    ({"bandpass_hz": (1.0, 2.0, 3.0)}, r"expected \(low, high\) in Hz"),
    ({"bandpass_hz": 40.0}, r"expected \(low, high\) in Hz"),
    ({"sample_rate_hz": 0.0}, r"sample_rate_hz is 0.0; expected a positive number"),
    ({"sample_rate_hz": -5.0}, r"expected a positive number"),
    ({"sample_rate_hz": float("nan")}, r"expected a positive number"),
    ({"sample_rate_hz": float("inf")}, r"expected a positive number"),
  ],
)
def test_bad_arguments(kwargs, message):
  with pytest.raises(ValueError, match=message):
    condition(make(np.zeros(100)), **kwargs)


def test_nan_in_the_signal_is_refused():
  with pytest.raises(ValueError, match="recording 'r': 1 samples are NaN or infinite"):
    condition(make([0.0, np.nan, 0.0]), bandpass_hz=(0.5, 40.0))
