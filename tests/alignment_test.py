"""The constant offset between detections and labels that jitter around it."""

import numpy as np
import pytest

from softloc_jax import alignment, noise


def make_events(kind, rng, num_recordings=4, num_events=150):
  """True event times of some recordings: a steady pulse each, or random gaps."""
  recordings = []
  for _ in range(num_recordings):
    gaps_s = (
      np.full(num_events, rng.uniform(0.7, 0.9)) if kind == "periodic" else rng.uniform(0.25, 1.5, num_events)
    )
    recordings.append(1.0 + np.cumsum(gaps_s))
  return recordings


def detect(rng, events_s, *, missed=0.1, extra=0.1):
  """Detections with small errors, some missing and some made up."""
  kept = events_s[rng.random(len(events_s)) > missed] + 0.0
  invented = rng.uniform(0, events_s[-1], int(extra * len(events_s)))
  return np.sort(np.concatenate([kept + rng.normal(0, 0.003, len(kept)), invented]))


@pytest.mark.parametrize("kind", ["periodic", "random"])
@pytest.mark.parametrize(("jitter_s", "error_s"), [(0.0, 0.003), (0.05, 0.01), (0.1, 0.02), (0.2, 0.045)])
def test_finds_the_offset_under_jitter_misses_and_false_alarms(kind, jitter_s, error_s):
  for number, offset_s in enumerate((-0.2, -0.037, 0.0, 0.012, 0.2)):
    rng = np.random.default_rng((number, round(1000 * jitter_s)))
    truth = make_events(kind, rng)
    labels = [noise.misalign(rng, one, kind="normal", scale_s=jitter_s).times_s for one in truth]
    estimates = [detect(rng, one) - offset_s for one in truth]
    found = alignment.constant_offset(labels, estimates, softness_s=max(jitter_s, 0.05), max_offset_s=0.25)
    assert found == pytest.approx(offset_s, abs=error_s)


def test_recordings_vote_together_by_their_number_of_events():
  labels = [np.arange(1.0, 21.0), np.arange(1.0, 5.0)]
  estimates = [labels[0] - 0.04, labels[1] + 0.1]
  assert alignment.constant_offset(labels, estimates, softness_s=0.01, max_offset_s=0.2) == 0.04


def test_exact_to_the_millisecond_without_noise():
  times_s = np.sort(np.random.default_rng(0).uniform(0, 60, 50))
  for offset_s in (-0.25, -0.001, 0.0, 0.13, 0.25):
    found = alignment.constant_offset([times_s], [times_s - offset_s], softness_s=0.02, max_offset_s=0.25)
    assert found == pytest.approx(offset_s, abs=1e-3)


def test_beyond_the_largest_offset_there_is_none():
  times_s = np.arange(1.0, 30.0)
  for largest_s, expected_s in ((0.2, 0.15), (0.1, 0.0)):
    found = alignment.constant_offset([times_s], [times_s - 0.15], softness_s=0.02, max_offset_s=largest_s)
    assert found == pytest.approx(expected_s, abs=1e-9)


def test_order_does_not_matter():
  rng = np.random.default_rng(0)
  labels, estimates = rng.uniform(0, 60, 80), rng.uniform(0, 60, 70)
  settings = {"softness_s": 0.05, "max_offset_s": 0.2}
  sorted_pair = alignment.constant_offset([np.sort(labels)], [np.sort(estimates)], **settings)
  assert alignment.constant_offset([labels], [estimates], **settings) == sorted_pair


@pytest.mark.parametrize(
  ("labels", "estimates"),
  [([], []), ([[]], [[]]), ([[1.0]], [[]]), ([[]], [[1.0]]), ([[1.0]], [[50.0]])],
)
def test_nothing_to_compare_gives_no_offset(labels, estimates):
  labels, estimates = ([np.array(one) for one in lists] for lists in (labels, estimates))
  assert alignment.constant_offset(labels, estimates, softness_s=0.05, max_offset_s=0.2) == 0.0


@pytest.mark.parametrize(
  ("labels", "settings", "message"),
  [
    ([], {}, "0 recordings with labels and 1 with estimates"),
    ([np.ones(1)], {"softness_s": 0.0}, "softness_s is 0.0"),
    ([np.ones(1)], {"max_offset_s": -0.1}, "max_offset_s -0.1; expected positive"),
    ([np.ones(1)], {"softness_s": np.nan}, "softness_s is nan"),
  ],
)
def test_bad_input_is_refused(labels, settings, message):
  with pytest.raises(ValueError, match=message):
    alignment.constant_offset(labels, [np.ones(1)], **{"softness_s": 0.05, "max_offset_s": 0.2} | settings)


def test_the_border_of_what_is_searched_is_no_offset():
  settings = {"softness_s": 0.05, "max_offset_s": 0.3}
  assert alignment.constant_offset([np.array([1.0])], [np.array([1.5])], **settings) == 0.0
  assert alignment.constant_offset([np.array([1.0])], [np.array([1.29])], **settings) == -0.29
