"""Events by the distribution of their number, against enumeration and brute force."""

import numpy as np
import pytest
import scipy.stats

from softloc_jax import count_decoding, decode


def test_confidence_is_the_probability_of_so_many_events():
  rng = np.random.default_rng(0)
  p = rng.uniform(0, 0.7, 40)
  found = count_decoding.count_posterior(p, threshold=1e-6, suppression=0, window=60)
  ranked = found.confidence[np.argsort(-p[found.frames.astype(int)])]
  expected = scipy.stats.poisson_binom(p).sf(np.arange(len(ranked)))
  np.testing.assert_allclose(ranked, expected, atol=1e-5)
  assert found.frames.tolist() == sorted(found.frames.tolist())


def test_half_takes_the_median_count_of_every_window():
  rng = np.random.default_rng(1)
  p = np.concatenate([rng.uniform(0, 0.5, 35), np.zeros(10), rng.uniform(0, 0.5, 35)])
  found = count_decoding.count_posterior(p, threshold=0.5, suppression=0, window=40)
  for part in (slice(0, 40), slice(40, 80)):
    inside = (found.frames >= part.start) & (found.frames < part.stop)
    assert inside.sum() == scipy.stats.poisson_binom(p[part]).median()


def test_a_split_event_is_one_where_a_threshold_finds_none():
  p = np.zeros(200)
  p[[50, 51]] = 0.45
  p[[149, 150, 151]] = 0.3
  found = count_decoding.count_posterior(p, threshold=0.5, suppression=5, window=100)
  assert len(found.frames) == 2 and found.frames[0] in (50, 51) and found.frames[1] == 150
  assert not len(decode.threshold(p, threshold=0.5, suppression=5).frames)


def test_borders_lie_in_quiet_places():
  p = np.zeros(400)
  p[[99, 100, 101, 199, 200, 299, 300]] = 0.5
  borders = count_decoding._borders(p, 100)
  assert borders[0] == 0 and borders[-1] == 400 and len(borders) == 5
  assert all(p[border - 1] == p[border] == 0 for border in borders[1:-1])


def test_higher_thresholds_give_subsets():
  p = np.random.default_rng(2).beta(0.2, 3, (500, 3))
  low = count_decoding.count_posterior(p, threshold=0.1, suppression=4, window=80)
  high = count_decoding.count_posterior(p, threshold=[0.3, 0.6, 0.9], suppression=4, window=80)
  for one, other, least in zip(low, high, (0.3, 0.6, 0.9), strict=True):
    np.testing.assert_array_equal(other.frames, one.frames[one.confidence >= least])


def test_windows_of_many_events_lose_none():
  p = np.zeros(3000)
  p[5::10] = 1 - 1e-6
  found = count_decoding.count_posterior(p, threshold=0.5, suppression=2, window=3000)
  np.testing.assert_array_equal(found.frames, np.arange(5, 3000, 10))


@pytest.mark.parametrize("num_frames", [0, 1, 2, 7, 149, 150, 151])
def test_any_length(num_frames):
  p = np.full(num_frames, 0.9)
  found = count_decoding.count_posterior(p, threshold=0.5, suppression=0, window=100)
  assert len(found.frames) <= num_frames
  assert num_frames == 0 or len(found.frames) >= min(num_frames, 1)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"window": 1}, "window is 1 frames; expected more than 1"),
    ({"threshold": 0}, "threshold is 0; expected positive"),
    ({"probs": [0.5, 1.5]}, "expected probabilities"),
  ],
)
def test_bad_settings(changes, message):
  settings = {"probs": [0.5, 0.5], "threshold": 0.5, "suppression": 1, "window": 10} | changes
  with pytest.raises(ValueError, match=message):
    count_decoding.count_posterior(settings.pop("probs"), **settings)
