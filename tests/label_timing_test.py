"""Offsets, drifts and jitter of labels, found again."""

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from softloc_jax import label_timing, onset_envelope
from softloc_jax.data import drum_machine, mdb_drums
from softloc_jax.data.recording import Recording


def heard_events(rng, num=120):
  """Labels at events, and detections: nine of ten events, 8 ms early or late, and half as many false ones."""
  events_s = np.cumsum(rng.uniform(0.15, 0.9, num))
  true_s = events_s[rng.permutation(num) >= num // 10]
  true_s = true_s + rng.normal(0, 0.008, len(true_s))
  return events_s, np.sort(np.append(true_s, rng.uniform(0, events_s[-1], num // 2)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-0.9, 0.9), st.sampled_from([0.0, 0.001, -0.002]))
def test_offset_and_drift_are_found(seed, offset_s, drift):
  events_s, detections_s = heard_events(np.random.default_rng(seed))
  middle_s = (events_s[0] + events_s[-1]) / 2
  found = label_timing.compare(events_s + offset_s + drift * (events_s - middle_s), detections_s)
  assert found.offset_s == pytest.approx(offset_s, abs=0.01)
  assert found.drift == pytest.approx(drift, abs=4e-4)
  assert found.matched > 0.85 and found.num_labels == len(events_s)


def test_jitter_is_found():
  rng = np.random.default_rng(0)
  events_s = np.cumsum(rng.uniform(0.5, 1.5, 400))
  for jitter_s in (0.005, 0.02):
    labels_s = np.sort(events_s + rng.normal(0, jitter_s, 400))
    assert label_timing.compare(labels_s, events_s).jitter_s == pytest.approx(jitter_s, rel=0.2)


def test_a_steady_beat_is_not_moved_by_a_beat():
  beats_s = np.arange(0, 60, 0.5)
  found = label_timing.compare(beats_s + 0.03, beats_s)
  assert found.offset_s == pytest.approx(0.03, abs=0.003) and found.drift == pytest.approx(0, abs=1e-4)


def test_nothing_to_compare():
  none = label_timing.compare([], [1.0])
  assert np.isnan(none.offset_s) and none.matched == 0 and none.num_labels == 0
  silent = label_timing.compare([1.0], [])
  assert np.isnan(silent.offset_s) and silent.matched == 0
  for labels_s in ([1.0], [1.0, 2.0, 3.0]):
    far = label_timing.compare(labels_s, [50.0])
    assert np.isnan(far.offset_s) and np.isnan(far.jitter_s) and far.matched == 0


@pytest.mark.parametrize(
  ("settings_", "message"),
  [
    ({"max_offset_s": 0}, "max_offset_s is 0"),
    ({"tolerance_s": -1}, "tolerance_s -1"),
    ({"strengths": [1.0]}, "strengths"),
  ],
)
def test_bad_settings_are_refused(settings_, message):
  with pytest.raises(ValueError, match=message):
    label_timing.compare([1.0, 2.0], [1.0, 2.0], **settings_)


def test_rises_of_sounds_are_onsets():
  recording = drum_machine.DrumMachine("test", num_recordings=1, duration_s=8.0, sample_rate_hz=16000)[0]
  hits_s = np.sort(np.concatenate([recording.times_s(name) for name in ("KD", "SD")]))
  times_s, strengths = onset_envelope.onsets(recording, audio=True)
  assert (np.diff(times_s) > 0).all() and (strengths > 0).all() and len(times_s) == len(strengths)
  assert label_timing.compare(hits_s, times_s).matched > 0.9


def test_rises_of_energy_are_onsets():
  times_s = np.arange(2000) / 100
  bumps_s = np.array([3.0, 7.5, 12.25])
  signal = np.exp(-0.5 * ((times_s[:, None] - bumps_s) / 0.02) ** 2).sum(1)
  recording = Recording("bumps", signal.astype(np.float32), 100.0, {})
  found_s, _ = onset_envelope.onsets(recording, audio=False)
  assert all(np.abs(found_s - bump_s).min() < 0.04 for bump_s in bumps_s)
  flat = recording.replace(signal=np.zeros(2000, np.float32))
  assert len(onset_envelope.onsets(flat, audio=False)[0]) == 0


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_rare_sounds_are_onsets_and_noise_is_none(noise):
  rng = np.random.default_rng(0)
  bursts_s = np.arange(10) * 5.7 + 3.0
  samples = rng.normal(0, noise, 60 * 8000)
  for start in np.round(bursts_s * 8000).astype(int):
    samples[start : start + 800] += rng.normal(0, 0.3, 800) * np.exp(-np.arange(800) / 200)
  times_s, _ = onset_envelope.onsets(Recording("rare", samples.astype(np.float32), 8000.0, {}), audio=True)
  assert np.abs(times_s[:, None] - bursts_s).min(0).max() < 0.03
  assert len(times_s) <= 11  # the beginning of noise is a rise, too


def test_rare_pulses_are_onsets():
  pulses_s = np.arange(10) * 57.0 + 30.0
  signal = np.zeros(60_000, np.float32)
  signal[np.round(pulses_s * 100).astype(int)] = 1.0
  times_s, _ = onset_envelope.onsets(Recording("rare", signal, 100.0, {}), audio=False)
  assert len(times_s) == 10 and np.abs(times_s - pulses_s).max() < 0.03


def test_real_drums_moved_by_four_tenths(shared_data):
  for item in mdb_drums.find(shared_data("MDBDrums"), mix="drum_only")[:3]:
    recording = mdb_drums.read(item)
    labels_s = np.sort(np.concatenate([recording.times_s(name) for name in recording.events]))
    heard = onset_envelope.onsets(recording, audio=True)
    moved = label_timing.compare(labels_s + 0.409, *heard)
    as_is = label_timing.compare(labels_s, *heard)
    assert moved.offset_s - as_is.offset_s == pytest.approx(0.409, abs=0.005)
    assert moved.matched > 0.9 > moved.matched_as_is
    fast = label_timing.compare(labels_s * 1.001, *heard)
    assert fast.drift - as_is.drift == pytest.approx(0.001, abs=1e-4)


def test_hours_of_labels_are_searched_in_seconds():
  rng = np.random.default_rng(0)
  events_s = np.cumsum(rng.uniform(0.1, 0.5, 12_000))  # an hour
  found = label_timing.compare(events_s * 1.0002, events_s)
  assert found.drift == pytest.approx(2e-4, abs=1e-5) and found.matched > 0.99


@pytest.mark.parametrize(("drift", "duration_s"), [(0.0, 40.0), (0.0, 200.0), (0.001, 200.0)])
def test_a_drift_of_jittered_labels_is_known_as_well_as_it_is_said(drift, duration_s):
  surely = []
  for seed in range(30):
    rng = np.random.default_rng(seed)
    events_s = np.cumsum(rng.uniform(0.4, 1.0, round(duration_s / 0.7)))
    labels_s = events_s * (1 + drift) + rng.normal(0, 0.03, len(events_s))
    found = label_timing.compare(labels_s, events_s)
    surely.append(abs(found.drift) > 4 * found.drift_error)
  assert np.mean(surely) > 0.95 if drift else np.mean(surely) < 0.05


@pytest.mark.parametrize("jitter_s", [0.15, 0.4])
def test_more_jitter_than_the_tolerance_is_not_measured(jitter_s):
  rng = np.random.default_rng(0)
  events_s = 1 + np.cumsum(rng.uniform(1, 3, 300))
  found = label_timing.compare(events_s + rng.normal(0, jitter_s, 300), events_s)
  assert found.jitter_s == np.inf and found.drift_error == np.inf


def test_jitter_of_a_few_labels_is_not_too_small():
  found = []
  for seed in range(60):
    rng = np.random.default_rng(seed)
    events_s = 1 + np.cumsum(rng.uniform(1, 3, 9))
    found.append(label_timing.compare(events_s + rng.normal(0, 0.01, 9), events_s).jitter_s)
  assert 0.008 < np.median(found) < 0.012
