"""Metrics against mir_eval, hand-made cases and published outputs."""

import itertools
import math
import warnings

from hypothesis import given, settings
from hypothesis import strategies as st
import mir_eval
import numpy as np
import pytest

from softloc_jax import metrics

# Multiples of 10 ms make distances equal to the tolerance common, multiples of 1 ms make ties rare.
GRID_TIMES = st.lists(st.integers(0, 60), max_size=25).map(lambda ticks: np.sort(np.array(ticks)) / 100)
FINE_TIMES = st.lists(st.integers(0, 600), max_size=25).map(lambda ticks: np.sort(np.array(ticks)) / 1000)
TIMES = st.one_of(GRID_TIMES, FINE_TIMES)


def brute_force_cost(reference, estimate, window_s):
  """Most pairs, and of those the least sum of squared distances, over all matchings."""
  best = (0, 0.0)
  for size in range(1, min(len(reference), len(estimate)) + 1):
    for ref in itertools.combinations(range(len(reference)), size):
      for est in itertools.permutations(range(len(estimate)), size):
        distance = np.abs(reference[list(ref)] - estimate[list(est)])
        if (distance <= window_s).all():
          best = min(best, (-size, float((distance**2).sum())))
  return best


@settings(max_examples=300, deadline=None)
@given(reference=TIMES, estimate=TIMES, window_s=st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.1]))
def test_onset_scores_equal_mir_eval(reference, estimate, window_s):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mir_eval warns of empty lists
    f1, precision, recall = mir_eval.onset.f_measure(reference, estimate, window=window_s)
  scores = metrics.onset_scores(reference, estimate, window_s=window_s)
  np.testing.assert_allclose([scores["f1"], scores["precision"], scores["recall"]], [f1, precision, recall])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_matching_is_the_largest_and_then_the_closest(data):
  times = st.lists(st.integers(0, 200), max_size=5).map(lambda ticks: np.sort(np.array(ticks)) / 1000)
  reference, estimate = data.draw(times), data.draw(times)
  ref_index, est_index = metrics.match_events(reference, estimate, window_s=0.0505)
  num_pairs, cost = brute_force_cost(reference, estimate, 0.0505)
  assert len(ref_index) == len(est_index) == -num_pairs
  errors = reference[ref_index] - estimate[est_index]
  assert (np.abs(errors) <= 0.0505).all()
  np.testing.assert_allclose((errors**2).sum(), cost, atol=1e-12)
  assert (np.diff(ref_index) > 0).all()
  assert (np.diff(est_index) > 0).all()  # pairs do not cross


def test_an_event_detected_twice_is_matched_to_the_nearer_one():
  for spurious in (0.97, 1.03):
    scores = metrics.onset_scores([1.0], sorted([spurious, 1.002]))
    assert scores["time_error_ms/mean"] == pytest.approx(2)
    assert (scores["num_reference"], scores["num_estimate"], scores["num_matched"]) == (1, 2, 1)


def test_equal_total_distances_are_decided_by_the_squares():
  # 10 and 25 ms, or 15 and 20 ms: two small errors are likelier than a large one.
  ref_index, est_index = metrics.match_events([0.1, 0.13], [0.085, 0.11, 0.155])
  assert (ref_index.tolist(), est_index.tolist()) == ([0, 1], [0, 1])


def test_time_errors_are_signed_and_late_is_positive():
  scores = metrics.onset_scores([1.0, 2.0, 3.0], [1.01, 2.03, 3.02])
  assert scores["time_error_ms/mean"] == pytest.approx(20)
  assert scores["time_error_ms/std"] == pytest.approx(math.sqrt(200 / 3))


def test_time_errors_without_matches_are_nan():
  scores = metrics.onset_scores([1.0], [2.0])
  assert math.isnan(scores["time_error_ms/mean"]) and math.isnan(scores["time_error_ms/std"])
  assert scores["f1"] == 0


@pytest.mark.parametrize(
  ("times", "message"),
  [
    ([2.0, 1.0], "reference is not sorted: 1.0 s at index 1"),
    ([-0.1, 1.0], "reference holds the time -0.1"),
    ([1.0, np.nan], "reference holds the time nan"),
    ([1.0, np.inf], "reference holds the time inf"),
    ([[1.0]], r"reference has shape \(1, 1\)"),
  ],
)
def test_bad_times_are_refused(times, message):
  with pytest.raises(ValueError, match=message):
    metrics.onset_scores(times, [1.0])
  with pytest.raises(ValueError, match=message.replace("reference", "estimate")):
    metrics.onset_scores([1.0], times)


def test_bad_tolerance_is_refused():
  with pytest.raises(ValueError, match=r"window_s is -0\.05"):
    metrics.onset_scores([1.0], [1.0], window_s=-0.05)


def test_long_lists_match():
  rng = np.random.default_rng(0)
  reference = np.sort(rng.uniform(0, 1800, 4000))
  estimate = np.sort(reference + 0.01)
  scores = metrics.onset_scores(reference, estimate)
  assert scores["f1"] == 1
  assert scores["time_error_ms/mean"] == pytest.approx(10)
  assert scores["time_error_ms/std"] == pytest.approx(0, abs=1e-6)


def test_tolerance_curve_is_onset_scores_at_each_tolerance():
  rng = np.random.default_rng(0)
  reference, estimate = np.sort(rng.uniform(0, 20, 50)), np.sort(rng.uniform(0, 20, 40))
  windows_s = [0.01, 0.05, 0.2]
  curve = metrics.tolerance_curve(reference, estimate, windows_s)
  for i, window_s in enumerate(windows_s):
    scores = metrics.onset_scores(reference, estimate, window_s=window_s)
    for key in ("precision", "recall", "f1"):
      assert curve[key][i] == scores[key]
  assert (np.diff(curve["f1"]) >= 0).all() and curve["f1"][0] < curve["f1"][-1]


def test_count_errors_are_signed_and_lose_no_event():
  reference, estimate = np.array([0.5, 1.5, 9.9]), np.array([0.5, 0.7, 10.2])
  errors = metrics.count_errors(reference, estimate, window_s=1, duration_s=10)
  assert errors.tolist() == [1, -1, 0, 0, 0, 0, 0, 0, 0, -1, 1]
  assert metrics.count_errors([], [], window_s=1, duration_s=2.5).tolist() == [0, 0, 0]
  with pytest.raises(ValueError, match="window is 0"):
    metrics.count_errors([], [], window_s=0, duration_s=2.5)


REFERENCES = [{"KD": [1.0, 2.0], "SD": [1.5]}, {"KD": [1.0], "SD": []}]
ESTIMATES = [{"KD": [1.01, 2.02], "SD": [1.9]}, {"KD": [1.03, 3.0], "SD": []}]


def test_evaluate_pools_within_classes_and_averages_over_them():
  scores = metrics.evaluate(REFERENCES, ESTIMATES, classes=["KD", "SD"])
  assert scores["precision/KD"] == pytest.approx(3 / 4)
  assert scores["recall/KD"] == pytest.approx(1)
  assert scores["f1/KD"] == pytest.approx(6 / 7)
  assert scores["f1/SD"] == 0
  assert scores["f1"] == pytest.approx(3 / 7)
  assert scores["precision"] == pytest.approx(3 / 8)
  # recording 0: 2 of 3 and 3, recording 1: 1 of 1 and 2
  assert scores["f1_recordings"] == pytest.approx((2 / 3 + 2 / 3) / 2)
  assert scores["time_error_ms/mean"] == pytest.approx(20)
  assert scores["count_error"] == pytest.approx(1 / 4)
  assert (scores["num_reference"], scores["num_estimate"], scores["num_matched"]) == (4, 5, 3)
  assert all(isinstance(value, (int, float)) for value in scores.values())


def test_evaluate_of_one_recording_and_class_is_onset_scores():
  rng = np.random.default_rng(0)
  reference, estimate = np.sort(rng.uniform(0, 20, 50)), np.sort(rng.uniform(0, 20, 40))
  scores = metrics.evaluate([{"beat": reference}], [{"beat": estimate}], classes=["beat"])
  for key, value in metrics.onset_scores(reference, estimate).items():
    assert scores[key] == pytest.approx(value)
  assert scores["f1_recordings"] == pytest.approx(scores["f1"])
  assert math.isnan(scores["f1_recordings_low"])


def test_what_was_not_annotated_takes_no_part():
  labelled = [{"SD": False}, {"KD": True}]
  scores = metrics.evaluate(REFERENCES, ESTIMATES, classes=["KD", "SD"], labelled=labelled)
  assert scores["f1/KD"] == pytest.approx(6 / 7)
  assert math.isnan(scores["f1/SD"])  # no event in the one recording left
  assert scores["f1"] == scores["f1/KD"]
  assert scores["num_reference"] == 3
  nothing = metrics.evaluate(
    REFERENCES, ESTIMATES, classes=["KD", "SD"], labelled=[{"KD": False, "SD": False}] * 2
  )
  assert math.isnan(nothing["f1"]) and math.isnan(nothing["count_error"]) and nothing["num_reference"] == 0


def test_a_correct_silence_is_no_error_and_a_false_alarm_is():
  silent, events = {"KD": []}, {"KD": [1.0]}
  assert metrics.evaluate([events, silent], [events, silent], classes=["KD"])["f1_recordings"] == 1
  assert metrics.evaluate([events, silent], [events, events], classes=["KD"])["f1_recordings"] == 0.5


def test_count_error_in_windows():
  scores = metrics.evaluate(
    [{"KD": [1.0, 11.0]}], [{"KD": [1.0, 2.0]}], classes=["KD"], durations_s=[20.0], count_window_s=10.0
  )
  assert scores["count_error"] == 1  # one too many, one too few; the total is right
  assert metrics.evaluate([{"KD": [1.0, 11.0]}], [{"KD": [1.0, 2.0]}], classes=["KD"])["count_error"] == 0


@pytest.mark.parametrize(
  ("references", "estimates", "kwargs", "message"),
  [
    ([], [], {}, "'references': 0"),
    ([{}], [], {}, "'estimates': 0"),
    ([{}], [{}], {"labelled": [{}, {}]}, "'labelled': 2"),
    ([{}], [{}], {"durations_s": [1.0, 2.0]}, "'durations_s': 2"),
    ([{}], [{"XX": [1.0]}], {}, "estimates, recording 0: unknown class 'XX'; expected one of KD"),
    ([{}], [{"KD": [2.0, 1.0]}], {}, "recording 0, class 'KD': estimate is not sorted"),
  ],
)
def test_evaluate_refuses(references, estimates, kwargs, message):
  with pytest.raises(ValueError, match=message):
    metrics.evaluate(references, estimates, classes=["KD"], **kwargs)


def test_bootstrap_interval_covers_the_mean():
  rng = np.random.default_rng(0)
  hits = 0
  for trial in range(200):
    low, high = metrics.bootstrap_interval(rng.normal(size=40), num_samples=400, seed=trial)
    hits += low <= 0 <= high
  assert 180 <= hits <= 199  # 95% of 200 is 190


def test_bootstrap_interval_is_seeded_and_widens_with_confidence():
  values = np.random.default_rng(0).random(20)
  assert metrics.bootstrap_interval(values) == metrics.bootstrap_interval(values)
  assert metrics.bootstrap_interval(values) != metrics.bootstrap_interval(values, seed=1)
  (low, high), (wide_low, wide_high) = (metrics.bootstrap_interval(values, confidence=c) for c in (0.5, 0.99))
  assert wide_low < low < values.mean() < high < wide_high


@pytest.mark.parametrize(
  ("values", "confidence", "message"),
  [
    ([], 0.95, "one finite score"),
    ([0.5, np.nan], 0.95, "one finite score"),
    ([0.5, 0.6], 95, "confidence is 95"),
  ],
)
def test_bootstrap_interval_refuses(values, confidence, message):
  with pytest.raises(ValueError, match=message):
    metrics.bootstrap_interval(values, confidence=confidence)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), num_reference=st.integers(1, 30), num_estimate=st.integers(1, 30))
def test_note_scores_equal_mir_eval(seed, num_reference, num_estimate):
  rng = np.random.default_rng(seed)
  reference, estimate = rng.integers(0, 100, num_reference) / 100, rng.integers(0, 100, num_estimate) / 100
  reference_midi, estimate_midi = rng.integers(60, 63, num_reference), rng.integers(60, 63, num_estimate)
  precision, recall, f1, _ = mir_eval.transcription.precision_recall_f1_overlap(
    np.stack([reference, reference + 1], 1),
    mir_eval.util.midi_to_hz(reference_midi),
    np.stack([estimate, estimate + 1], 1),
    mir_eval.util.midi_to_hz(estimate_midi),
    offset_ratio=None,
  )
  scores = metrics.note_scores(reference, reference_midi, estimate, estimate_midi)
  np.testing.assert_allclose([scores["precision"], scores["recall"], scores["f1"]], [precision, recall, f1])
  assert not abs(scores["time_error_ms/mean"]) > 50.1


def test_note_scores_of_nothing_are_zero():
  assert metrics.note_scores([], [], [1.0], [60])["f1"] == 0
  assert metrics.note_scores([1.0], [60], [], [])["f1"] == 0


@pytest.mark.parametrize(
  ("estimate", "midi", "message"),
  [([1.0], [60, 61], "estimate_midi"), ([1.0], [-1], "estimate_midi"), ([-1.0], [60], "holds the time -1.0")],
)
def test_note_scores_refuse(estimate, midi, message):
  with pytest.raises(ValueError, match=message):
    metrics.note_scores([1.0], [60], estimate, midi)


def test_golf_pce_of_swingnet(shared_data):
  stored = np.load(shared_data("golfdb") / "swingnet_split1_probs.npz")
  clips = np.split(stored["probs"], np.cumsum(stored["lengths"])[:-1])
  frames = np.stack([clip[:, :8].argmax(0) for clip in clips])
  scores = metrics.golf_pce(frames, stored["events"])
  assert scores["pce"] == pytest.approx(0.795, abs=0.005)
  assert scores["pce"] == pytest.approx(np.mean([scores[f"pce/{name}"] for name in metrics.GOLF_EVENTS]))
  # address and finish have no sharp moment; impact has
  assert scores["pce/address"] < scores["pce/impact"] > scores["pce/finish"]


@pytest.mark.parametrize(("impact", "tolerance"), [(10, 1), (44, 1), (46, 2), (300, 10)])
def test_golf_tolerance_grows_with_the_swing(impact, tolerance):
  events = np.array([[0, 1, 2, 3, 4, impact, impact + 5, impact + 9]])
  assert metrics.golf_pce(events + tolerance, events)["pce"] == 1
  assert metrics.golf_pce(events + tolerance + 1, events)["pce"] == 0


@pytest.mark.parametrize(
  ("frames", "events", "message"),
  [
    (np.zeros((2, 8)), np.zeros((3, 8)), r"\(2, 8\) and events \(3, 8\)"),
    (np.zeros((2, 9)), np.zeros((2, 9)), r"expected \[N, 8\]"),
    (np.zeros((0, 8)), np.zeros((0, 8)), "N above 0"),
    (np.full((1, 8), np.nan), np.zeros((1, 8)), "NaN"),
    (np.zeros((1, 8)), np.arange(8, 0, -1)[None], "clip 0: the impact comes before the address"),
  ],
)
def test_golf_pce_refuses(frames, events, message):
  with pytest.raises(ValueError, match=message):
    metrics.golf_pce(frames, events)


def test_time_errors_of_each_class():
  reference = [{"KD": [1.0, 2.0], "SD": [3.0]}, {"KD": [1.0], "SD": []}]
  estimate = [{"KD": [1.01, 2.03], "SD": [2.98]}, {"KD": [1.02], "SD": []}]
  scores = metrics.evaluate(reference, estimate, classes=["KD", "SD"])
  assert scores["time_error_ms/mean/KD"] == pytest.approx(20.0)
  assert scores["time_error_ms/mean/SD"] == pytest.approx(-20.0)
  assert scores["time_error_ms/mean"] == pytest.approx(10.0)
  assert scores["time_error_ms/std/SD"] == pytest.approx(0.0)


def test_means_over_recordings_of_each_class():
  references = [{"KD": [1.0, 2.0]}, {"KD": [1.0], "SD": [5.0]}, {}]
  estimates = [{"KD": [1.0]}, {"KD": [1.0], "SD": [5.0]}, {"SD": [4.0]}]
  scores = metrics.evaluate(references, estimates, classes=["KD", "SD"])
  assert scores["f1_recordings/KD"] == pytest.approx((2 / 3 + 1) / 2)  # the third has and finds none
  assert scores["f1_recordings/SD"] == pytest.approx((1 + 0) / 2)  # a false alarm counts without a snare too
  assert scores["precision_recordings"] == pytest.approx((1 + 1 + 0) / 3)
  assert scores["recall_recordings"] == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_matching_in_order_takes_the_first_in_reach():
  reference, estimate = [1.0, 1.06], [1.04, 1.2]
  np.testing.assert_array_equal(metrics.match_in_order(reference, estimate), ([0], [0]))
  np.testing.assert_array_equal(metrics.match_in_order([], [1.0]), ([], []))
  rng = np.random.default_rng(0)
  for grid in [None] * 50 + [100] * 50:  # on a grid many are as far apart as they may be, up to rounding
    reference, estimate = (np.sort(rng.uniform(0, 3, rng.integers(1, 30))) for _ in range(2))
    if grid:
      reference, estimate = (np.round(times_s * grid) / grid for times_s in (reference, estimate))
    pairs = metrics.match_in_order(reference, estimate)
    assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))
    assert (np.abs(reference[pairs[0]] - estimate[pairs[1]]) <= 0.05 + 1e-9).all()
    # Of points on a line, taking the first in reach pairs as many as any matching.
    assert len(pairs[0]) == len(metrics.match_events(reference, estimate)[0])


def test_classes_may_be_called_low_and_high():
  found = metrics.evaluate([{"low": [1.0]}] * 2, [{"low": [1.0], "high": [2.0]}] * 2, classes=["low", "high"])
  assert found["f1_recordings/low"] == 1 and found["f1_recordings/high"] == 0
  assert found["f1_recordings_low"] == found["f1_recordings_high"] == pytest.approx(2 / 3)


def test_a_matching_can_be_chosen():
  found = {
    match_fn: metrics.evaluate([{"KD": [1.0]}], [{"KD": [0.96, 1.0]}], classes=["KD"], match_fn=match_fn)
    for match_fn in (metrics.match_in_order, metrics.match_events)
  }
  assert found[metrics.match_in_order]["time_error_ms/mean"] == pytest.approx(-40)
  assert found[metrics.match_events]["time_error_ms/mean"] == pytest.approx(0)


@pytest.mark.parametrize("match", [metrics.match_events, metrics.match_in_order])
@pytest.mark.parametrize("window_s", [-1.0, np.nan, np.inf])
def test_matching_refuses_tolerances_that_are_none(match, window_s):
  with pytest.raises(ValueError, match=f"window_s is {window_s}; expected seconds, 0 or more"):
    match([1.0], [1.0], window_s=window_s)


def test_what_else_makes_no_sense():
  with pytest.raises(ValueError, match="duration_s is -3; expected a positive number of seconds"):
    metrics.count_errors([1.0], [1.0], window_s=1.0, duration_s=-3)
  with pytest.raises(ValueError, match="num_samples is 0; expected 1 or more"):
    metrics.bootstrap_interval([0.5, 0.6], num_samples=0)
  with pytest.raises(ValueError, match="classes are KD, KD; expected each once"):
    metrics.evaluate([{"KD": [1.0]}], [{"KD": [1.0]}], classes=["KD", "KD"])
