"""Seconds, frames and counts: exactness, no bias, nothing lost without a word."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import stats

from softloc_jax import events, poisson_binomial


def test_the_nearest_frame():
  times_s = [0.0, 0.004, 0.005, 0.0149, 0.015, 1.0, -0.004, -0.005, -0.006]
  np.testing.assert_array_equal(events.seconds_to_frames(times_s, 100), [0, 0, 1, 1, 2, 100, 0, 0, -1])
  assert events.seconds_to_frames([], 100).shape == (0,)
  assert events.seconds_to_frames(times_s, 100).dtype == np.int64


@given(frame=st.integers(-(10**7), 10**7), rate_hz=st.floats(0.1, 1e5))
def test_frames_come_back(frame, rate_hz):
  assert events.seconds_to_frames(events.frames_to_seconds(frame, rate_hz), rate_hz) == frame


@given(time_s=st.floats(-1e3, 1e4), rate_hz=st.floats(0.1, 1e3))
def test_an_event_moves_by_half_a_frame_at_most(time_s, rate_hz):
  back_s = events.frames_to_seconds(events.seconds_to_frames(time_s, rate_hz), rate_hz)
  assert abs(back_s - time_s) <= (0.5 + 1e-6) / rate_hz


@pytest.mark.parametrize("rate_hz", [31.25, 100.0, 200.0, 44100 / 441])
def test_no_bias(rate_hz):
  times_s = np.random.default_rng(0).uniform(0, 1000, 100_000)
  moved_s = events.frames_to_seconds(events.seconds_to_frames(times_s, rate_hz), rate_hz) - times_s
  # Uniform within half a frame: five standard errors of the mean, and the standard deviation itself.
  assert abs(moved_s.mean()) < 5 / (rate_hz * math.sqrt(12 * len(times_s)))
  np.testing.assert_allclose(moved_s.std() * rate_hz, 1 / math.sqrt(12), rtol=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_times_that_are_none(bad):
  with pytest.raises(ValueError, match=f"an event time is {bad}; expected finite seconds"):
    events.to_frame_labels({"KD": [0.1, bad]}, ["KD"], start_frame=0, num_frames=9, frame_rate_hz=100)


@pytest.mark.parametrize(("duration_s", "frames"), [(0.05, 5), (0.004, 1), (0.0, 1), (0.026, 3), (2.0, 200)])
def test_durations_are_whole_frames(duration_s, frames):
  assert events.duration_to_frames(duration_s, 100) == frames


def test_labels_counts_and_collisions():
  found = events.to_frame_labels(
    {"KD": [0.10, 0.104, 0.3, 0.5], "SD": [0.2]},
    ["HH", "KD", "SD"],
    start_frame=10,
    num_frames=21,
    frame_rate_hz=100,
  )
  assert found.labels.shape == (21, 3) and found.labels.dtype == np.float32
  assert [(int(t), int(c)) for t, c in np.argwhere(found.labels)] == [(0, 1), (10, 2), (20, 1)]
  np.testing.assert_array_equal(found.counts, [0, 3, 1])
  np.testing.assert_array_equal(found.collisions, [0, 1, 0])
  assert found.counts.dtype == found.collisions.dtype == np.int32


@settings(deadline=None)
@given(
  times_s=st.lists(st.floats(-1, 3), max_size=40),
  start_frame=st.integers(-50, 200),
  num_frames=st.integers(0, 100),
)
def test_windows_hold_what_falls_into_them(times_s, start_frame, num_frames):
  arguments = {"classes": ["KD"], "frame_rate_hz": 50}
  found = events.to_frame_labels({"KD": times_s}, start_frame=start_frame, num_frames=num_frames, **arguments)
  frames = events.seconds_to_frames(times_s, 50)
  inside = frames[(frames >= start_frame) & (frames < start_frame + num_frames)]
  assert found.counts[0] == len(inside)
  assert set(np.flatnonzero(found.labels[:, 0]) + start_frame) == set(inside.tolist())
  assert found.collisions[0] == len(inside) - len(set(inside.tolist()))
  # Two windows side by side hold what one over both does: no event is lost or counted twice.
  half = num_frames // 2
  left = events.to_frame_labels({"KD": times_s}, start_frame=start_frame, num_frames=half, **arguments)
  right = events.to_frame_labels(
    {"KD": times_s}, start_frame=start_frame + half, num_frames=num_frames - half, **arguments
  )
  np.testing.assert_array_equal(np.concatenate([left.labels, right.labels]), found.labels)
  np.testing.assert_array_equal(left.counts + right.counts, found.counts)


def test_unknown_class():
  with pytest.raises(ValueError, match="unknown event class 'TT'; expected one of KD, SD"):
    events.to_frame_labels(
      {"KD": [], "TT": [0.1]}, ["KD", "SD"], start_frame=0, num_frames=9, frame_rate_hz=100
    )


@pytest.mark.parametrize("omega", [1e-6, 0.2, 0.8, 0.999])
@pytest.mark.parametrize("num_frames", [1, 12, 400, 100_000])
def test_the_bias_gives_an_empty_count_its_probability(omega, num_frames):
  bias = events.bias_for_empty_count(omega, num_frames)
  p = 1 / (1 + math.exp(-bias))
  np.testing.assert_allclose(stats.binom.pmf(0, num_frames, p), omega, rtol=1e-9)
  logits = np.full(num_frames, bias, np.float32)
  if num_frames <= 400:
    np.testing.assert_allclose(np.exp(poisson_binomial.log_prob(logits, 0)), omega, rtol=2e-4)


@pytest.mark.parametrize("omega", [0.0, 1.0, -0.5, 1.5, math.nan])
def test_bias_needs_a_probability(omega):
  with pytest.raises(ValueError, match=f"omega is {omega}; expected a probability strictly between 0 and 1"):
    events.bias_for_empty_count(omega, 100)


def test_bias_needs_frames():
  with pytest.raises(ValueError, match="num_frames is 0; expected 1 or more"):
    events.bias_for_empty_count(0.8, 0)
