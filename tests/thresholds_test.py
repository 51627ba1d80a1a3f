"""Thresholds chosen from counts: against decoding at each threshold anew."""

import functools

import numpy as np
import pytest

from softloc_jax import decode, thresholds


def make_recordings(rng, num_recordings=3, num_frames=700, num_classes=2):
  """Peaks of mixed height as probabilities, and the counts of windows of 200 frames."""
  probs, counts = [], []
  for _ in range(num_recordings):
    probs.append(rng.random((num_frames, num_classes)) ** 6)
    counts.append(rng.integers(0, 25, size=(4, num_classes)))
  return probs, counts


@pytest.mark.parametrize(
  "decode_fn",
  [
    functools.partial(decode.threshold, suppression=5),
    functools.partial(decode.mass_pick, suppression=6),
    functools.partial(decode.peak_pick, softness=2.0),
  ],
)
def test_count_error_equals_decoding_at_every_threshold(decode_fn):
  probs, counts = make_recordings(np.random.default_rng(0))
  grid = np.geomspace(0.05, 0.95, 12)
  chosen = thresholds.choose_threshold(probs, counts, decode_fn=decode_fn, window=200, grid=grid)
  for g, level in enumerate(grid):
    for c in range(2):
      expected = 0
      for p, y in zip(probs, counts, strict=True):
        frames = decode_fn(p, threshold=level)[c].frames
        expected += np.abs(thresholds.window_counts(frames, window=200, duration=700) - y[:, c]).sum()
      assert chosen.count_error[c, g] == expected
  for c in range(2):
    assert chosen.threshold[c] in grid


def test_the_middle_of_the_widest_plateau_is_taken():
  probs = np.zeros((100, 1))
  probs[[10, 30, 50], 0] = 0.64, 0.64, 0.04
  pick = functools.partial(decode.threshold, suppression=3)
  grid = np.geomspace(0.01, 0.99, 201)
  chosen = thresholds.choose_threshold([probs], [[[2]]], decode_fn=pick, window=100, grid=grid)
  assert chosen.count_error.min() == 0
  np.testing.assert_allclose(chosen.threshold, [0.214], rtol=0.03)  # log-odds half way from .04 to .64


def test_the_grid_point_nearest_the_middle_in_log_odds_is_taken():
  # Counts of 1 and 3 with equal events in both: every number of events from 1 to 3 has the same error.
  probs = np.zeros((100, 1))
  probs[[10, 30, 50, 70], 0] = 0.9, 0.2, 0.15, 0.05
  pick = functools.partial(decode.threshold, suppression=3)
  grid = np.array([0.01, 0.1, 0.17, 0.3, 0.6, 0.7, 0.95])
  counts = [[[1]], [[3]]] * 20  # often enough that worse is worse, not chance
  chosen = thresholds.choose_threshold([probs] * 40, counts, decode_fn=pick, window=100, grid=grid)
  assert chosen.count_error[0].tolist() == [80, 40, 40, 40, 40, 40, 80]
  assert chosen.threshold.tolist() == [0.3]  # log-odds half way from .1 to .7: .34


def test_chance_does_not_choose_between_thresholds():
  # Every window holds one event of .9 and a distractor of .1; the given counts are noisy, and happen to
  # favour counting the distractor in two windows more than not.
  rng = np.random.default_rng(0)
  probs = np.zeros((100 * 40, 1))
  probs[10::100], probs[60::100] = 0.9, 0.1
  counts = np.concatenate([np.full(21, 2), np.full(19, 1)])
  rng.shuffle(counts)
  pick = functools.partial(decode.threshold, suppression=3)
  grid = np.array([0.05, 0.2, 0.5, 0.8, 0.95])
  chosen = thresholds.choose_threshold([probs], [counts[:, None]], decode_fn=pick, window=100, grid=grid)
  assert chosen.count_error[0].tolist() == [19, 21, 21, 21, 61]
  assert chosen.threshold[0] in (0.2, 0.5)  # the middle of .05 to .8; least error alone would say .05


def test_the_wider_of_two_plateaus_wins():
  # Two windows whose events agree at low thresholds in one and at high ones in the other.
  probs = np.zeros((200, 1))
  probs[[10, 30], 0] = 0.9, 0.02
  probs[[110, 130], 0] = 0.9, 0.3
  pick = functools.partial(decode.threshold, suppression=3)
  grid = np.array([0.01, 0.015, 0.1, 0.25, 0.4, 0.8])
  chosen = thresholds.choose_threshold([probs], [[[2], [1]]], decode_fn=pick, window=100, grid=grid)
  assert chosen.count_error[0].tolist() == [1, 1, 2, 2, 1, 1]
  assert chosen.threshold[0] in (0.4, 0.8)  # a factor of 2, against 1.5


def test_unknown_counts_take_no_part():
  probs = np.zeros((200, 1))
  probs[[10, 30, 150], 0] = 0.5, 0.9, 0.5
  pick = functools.partial(decode.threshold, suppression=3)
  counts, where = [np.array([[1.0], [np.nan]])], [np.array([[True], [False]])]
  chosen = thresholds.choose_threshold([probs], counts, where=where, decode_fn=pick, window=100)
  assert chosen.count_error.min() == 0
  assert 0.5 < chosen.threshold[0] <= 0.9


def test_a_confidence_equal_to_a_threshold_reaches_it():
  probs = np.zeros((100, 1))
  probs[[10, 30], 0] = 0.5, 0.75
  pick = functools.partial(decode.threshold, suppression=3)
  grid = [0.25, 0.5, 0.625, 0.75, 0.875]
  chosen = thresholds.choose_threshold([probs], [[[0]]], decode_fn=pick, window=100, grid=grid)
  assert chosen.count_error[0].tolist() == [2, 2, 1, 1, 0]


def test_a_lower_threshold_than_a_tenth_can_be_chosen():
  probs = np.full((1000, 1), 1e-3)
  probs[::100, 0] = 0.04
  pick = functools.partial(decode.threshold, suppression=20)
  chosen = thresholds.choose_threshold([probs], [[[10]]], decode_fn=pick, window=1000)
  assert 0.01 <= chosen.threshold[0] <= 0.04
  assert chosen.count_error.min() == 0


@pytest.mark.parametrize("duration", [0.9, 1.0, 2.5, 3.0000000001, 30.0])
def test_window_counts_hold_every_event(duration):
  times = np.sort(np.random.default_rng(0).uniform(0, duration, 50))
  times[[0, -1]] = 0, duration
  counts = thresholds.window_counts(times, window=1.0, duration=duration)
  assert len(counts) == {0.9: 1, 1.0: 1, 2.5: 3, 30.0: 30}.get(duration, 3)
  assert counts.sum() == 50
  for i, count in enumerate(counts):
    last = i == len(counts) - 1
    assert count == ((times >= i) & ((times < i + 1) | last)).sum()


ONE = [np.zeros((100, 1))]
PICK = functools.partial(decode.threshold, suppression=3)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: thresholds.window_counts([3.0], window=1, duration=2), "event at 3 lies outside"),
    (lambda: thresholds.window_counts([-0.1], window=1, duration=2), "event at -0.1 lies outside"),
    (lambda: thresholds.window_counts([np.nan], window=1, duration=2), "event at nan lies outside"),
    (lambda: thresholds.window_counts([], window=0, duration=2), "window is 0"),
    (lambda: thresholds.choose_threshold([], [], decode_fn=PICK, window=10), "0 recordings"),
    (lambda: thresholds.choose_threshold(ONE, [], decode_fn=PICK, window=10), "1 recordings with 0 counts"),
    (lambda: thresholds.choose_threshold(ONE, [[[1]]], decode_fn=PICK, window=50), r"\[W, C\] = \(2, 1\)"),
    (
      lambda: thresholds.choose_threshold(ONE, [[[1]]], where=[[[False]]], decode_fn=PICK, window=100),
      "class 0 has no window with a known count",
    ),
    (
      lambda: thresholds.choose_threshold(ONE, [[[1]]], decode_fn=PICK, window=100, grid=[0.5, 0.1]),
      "ascending thresholds",
    ),
  ],
)
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


@pytest.mark.parametrize("window", [1.1, 2.3, 0.7])
def test_events_on_borders_lie_in_the_window_that_begins_there(window):
  positions = window * np.arange(30)
  found = thresholds.window_counts(positions, window=window, duration=30 * window)
  np.testing.assert_array_equal(found, np.ones(30))
