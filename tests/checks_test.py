"""What is refused before any training, and what is reported."""

import logging

import numpy as np
import pytest
from small_pulses import pulses

from softloc_jax import checks, features
from softloc_jax.data.recording import Recording

RATE_HZ = 100.0


def make_recording(events, num_samples=600, **changes):
  return Recording("take 3", np.zeros(num_samples, np.float32), RATE_HZ, events).replace(**changes)


def is_crowded(frames, lengths):
  """Whether a window of one of these lengths has more events than frames, by trying all."""
  return any(
    ((frames >= start) & (frames < start + length)).sum() > length for length in lengths for start in frames
  )


def test_windows_that_could_hold_too_many_events_are_found():
  rng = np.random.default_rng(0)
  verdicts = []
  for _ in range(300):
    frames = np.sort(rng.integers(0, 40, size=rng.integers(2, 16)))
    recording = make_recording({"KD": frames / RATE_HZ})
    lengths = {"shortest": int(rng.integers(1, 5)), "longest": int(rng.integers(5, 9))}
    verdicts.append(is_crowded(frames, range(lengths["shortest"], lengths["longest"] + 1)))
    if verdicts[-1]:
      with pytest.raises(ValueError, match="events 'KD' in the"):
        checks.check_counts(recording, RATE_HZ, **lengths)
    else:
      checks.check_counts(recording, RATE_HZ, **lengths)
  assert 30 < sum(verdicts) < 270


def test_the_crowded_window_is_named():
  recording = make_recording({"KD": [0.2, 1.0, 2.0, 2.001, 2.002, 2.003], "SD": [1.0]})
  message = r"recording 'take 3' has 4 events 'KD' in the 3 frames from 2\.000 s \(0\.030 s\)"
  with pytest.raises(ValueError, match=message):
    checks.check_counts(recording, RATE_HZ, shortest=3, longest=9)
  checks.check_counts(recording, RATE_HZ, shortest=4, longest=9)


def test_of_segments_only_those_that_there_are_count():
  recording = make_recording({"KD": [1.0, 1.001, 1.002]})  # in frame 100
  checks.check_counts(recording, RATE_HZ, shortest=1, longest=1, segments=np.array([[0, 99], [99, 102]]))
  with pytest.raises(ValueError, match=r"has 3 events 'KD' in the 2 frames from 0\.990 s"):
    checks.check_counts(recording, RATE_HZ, shortest=9, longest=9, segments=np.array([[0, 99], [99, 101]]))


def test_signals_that_the_features_are_not_made_for():
  sensor = features.SignalFrames(RATE_HZ, num_channels=2)
  checks.check_signal(make_recording({}, signal=np.zeros((9, 2), np.float32)), sensor)
  with pytest.raises(ValueError, match=r"'take 3' has 1 channels; the features expect 2"):
    checks.check_signal(make_recording({}), sensor)
  with pytest.raises(
    ValueError, match=r"'take 3' has 360 samples per second; expected 100, features\.sample_rate"
  ):
    checks.check_signal(make_recording({}, sample_rate_hz=360.0), sensor)
  audio = features.LogMel(sample_rate_hz=100, hop_samples=10, window_samples=20, num_mels=4)
  checks.check_signal(make_recording({}), audio)
  with pytest.raises(ValueError, match=r"'take 3' has 2 channels; the features expect 1"):
    checks.check_signal(make_recording({}, signal=np.zeros((9, 2), np.float32)), audio)


def test_events_that_share_a_frame_are_reported(caplog):
  recordings = [
    make_recording({"KD": [1.0, 1.001, 1.002, 2.0], "SD": [1.0]}),
    make_recording({"KD": [1.0, 1.004]}),
  ]
  with caplog.at_level(logging.WARNING):
    totals = checks.report_collisions(recordings, RATE_HZ)
  assert totals == {"KD": 3, "SD": 0}
  assert [record.getMessage()[:38] for record in caplog.records] == ["3 events 'KD' share a frame of 10.0 ms"]


def test_recordings_that_were_learned_from_are_not_tested_with():
  one, other, third = (pulses(number, duration_s=5.0)[0] for number in range(3))
  splits = {"train": [one], "validation": [other], "test": [third]}
  checks.check_unseen([[third]], [splits])
  for seen in (one, other):
    with pytest.raises(ValueError, match=f"{seen.id}: the network learned from this"):
      checks.check_unseen([[third, seen]], [splits])
  checks.check_unseen([range(3)], [splits])  # made when they are asked for
