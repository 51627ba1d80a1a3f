"""Decoders against their plain definitions, and the properties that choosing thresholds relies on."""

import itertools
import time

from hypothesis import given, settings
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax import decode


def naive_threshold(probs, threshold, suppression):
  """The definition, one maximum at a time (values without ties)."""
  left = np.array(probs, dtype=float)
  picked = []
  while left.size and left.max() >= threshold:
    best = int(left.argmax())
    picked.append(best)
    left[np.abs(np.arange(len(left)) - best) <= suppression] = -1
  return sorted(picked)


def naive_peak_pick(heatmap, softness, threshold):
  """The definition, over all frames and with the whole Gaussian."""
  frames = np.arange(len(heatmap))
  left = heatmap * np.sqrt(2 * np.pi) * softness  # the sum of the Gaussian, to 1e-8 for softness >= 1
  picked = []
  while left.max() >= threshold:
    best = int(left.argmax())
    picked.append(best)
    left = left - np.exp(-0.5 * ((frames - best) / softness) ** 2)
  return sorted(picked)


def smoothed(events, num_frames, softness):
  """Unit-sum Gaussians at the events."""
  frames = np.arange(num_frames)[:, None]
  bumps = np.exp(-0.5 * ((frames - np.asarray(events)[None]) / softness) ** 2)
  return bumps.sum(1) / (np.sqrt(2 * np.pi) * softness)


@settings(max_examples=200, deadline=None)
@given(
  seed=st.integers(0, 2**31),
  num_frames=st.integers(0, 60),
  threshold=st.floats(0.01, 1),
  suppression=st.floats(0, 70),
)
def test_threshold_is_greedy_suppression(seed, num_frames, threshold, suppression):
  probs = np.random.default_rng(seed).random(num_frames)
  found = decode.threshold(probs, threshold=threshold, suppression=suppression)
  assert found.frames.tolist() == naive_threshold(probs, threshold, suppression)
  np.testing.assert_array_equal(found.confidence, probs[found.frames.astype(int)])


def test_threshold_descends_a_slope():
  # A slope has one local maximum; suppression still leaves events further down, as defined.
  found = decode.threshold(np.linspace(1, 0.5, 10), threshold=0.4, suppression=3)
  assert found.frames.tolist() == [0, 4, 8]


@pytest.mark.parametrize(("suppression", "expected"), [(4, [2]), (3, [2, 6]), (3.9, [2, 6])])
def test_suppression_reaches_frames_at_that_distance(suppression, expected):
  probs = np.zeros(10)
  probs[[2, 6]] = 0.9, 0.8
  assert decode.threshold(probs, threshold=0.5, suppression=suppression).frames.tolist() == expected


@pytest.mark.parametrize(("start", "length"), [(0, 3), (4, 5), (17, 3)])
def test_the_middle_of_a_saturated_run_is_taken(start, length):
  probs = np.zeros(20)
  probs[start : start + length] = 1
  found = decode.threshold(probs, threshold=0.5, suppression=6)
  assert found.frames.tolist() == [start + length // 2]


def test_two_saturated_runs_are_two_events():
  probs = np.zeros(30)
  probs[[5, 6, 7, 20, 21, 22]] = 1
  assert decode.threshold(probs, threshold=0.5, suppression=3).frames.tolist() == [6, 21]


def test_each_class_has_its_own_threshold():
  probs = np.zeros((20, 2))
  probs[[3, 10], 0] = 0.5, 0.9
  probs[[4, 11], 1] = 0.5, 0.9
  first, second = decode.threshold(probs, threshold=[0.4, 0.6], suppression=2)
  assert first.frames.tolist() == [3, 10]
  assert second.frames.tolist() == [11]


def test_a_threshold_is_reached_by_equality_and_half_precision_is_accepted():
  probs = jnp.array([0.0, 0.5, 0.0], dtype=jnp.bfloat16)
  assert decode.threshold(probs, threshold=0.5, suppression=1).frames.tolist() == [1]


DECODERS = {
  "threshold": lambda p, least: decode.threshold(p, threshold=least, suppression=4),
  "mass_pick": lambda p, least: decode.mass_pick(p, threshold=least, suppression=4),
  "mass_pick, narrow": lambda p, least: decode.mass_pick(p, threshold=least, suppression=7, window=2),
  "peak_pick": lambda p, least: decode.peak_pick(p / 3, softness=2.0, threshold=least),
}


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), low=st.floats(0.01, 0.6), rise=st.floats(0, 0.35))
def test_a_higher_threshold_keeps_the_events_of_at_least_that_confidence(name, seed, low, rise):
  probs = np.random.default_rng(seed).random(80) ** 4
  at_low, at_high = DECODERS[name](probs, low), DECODERS[name](probs, low + rise)
  kept = at_low.confidence >= low + rise
  np.testing.assert_allclose(at_low.frames[kept], at_high.frames, rtol=0, atol=1e-9)
  np.testing.assert_allclose(at_low.confidence[kept], at_high.confidence, rtol=0, atol=1e-9)


def test_split_mass_is_one_event_between_the_frames():
  probs = np.zeros(50)
  probs[[10, 11]] = 0.5
  probs[[30, 31, 32]] = 0.2, 0.6, 0.2
  found = decode.mass_pick(probs, threshold=0.9, suppression=8)
  np.testing.assert_allclose(found.frames, [10.5, 31])
  np.testing.assert_allclose(found.confidence, [1, 1])
  assert len(decode.threshold(probs, threshold=0.9, suppression=8).frames) == 0


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31), suppression=st.floats(0, 20), threshold=st.floats(0.05, 1))
def test_mass_is_counted_once(seed, suppression, threshold):
  rng = np.random.default_rng(seed)
  probs = rng.random(60) * (rng.random(60) < 0.2)
  found = decode.mass_pick(probs, threshold=threshold, suppression=suppression)
  assert found.confidence.sum() <= probs.sum() + 1e-9
  assert (found.confidence >= threshold).all() and (found.confidence <= 1).all()
  assert (np.diff(found.frames) > 0).all()
  assert (found.frames >= 0).all() and (found.frames <= 59).all()


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31), window=st.integers(1, 8), num_events=st.integers(0, 8))
def test_events_split_at_random_are_all_found_at_their_centroids(seed, window, num_events):
  rng = np.random.default_rng(seed)
  spacing = 4 * window + 2
  probs, centroids = np.zeros(spacing * (num_events + 1)), []
  for event in range(num_events):
    frames = spacing * event + rng.integers(0, window) + np.arange(window + 1)
    shares = rng.dirichlet(np.full(window + 1, 0.4))
    probs[frames] = shares
    centroids.append(frames @ shares)
  found = decode.mass_pick(probs, threshold=0.99, suppression=2 * window)
  np.testing.assert_allclose(found.frames, centroids, atol=1e-9)
  np.testing.assert_allclose(found.confidence, 1, atol=1e-9)


@pytest.mark.parametrize("frame", [0, 1, 9])
def test_mass_pick_finds_events_at_the_edges(frame):
  probs = np.zeros(10)
  probs[frame] = 0.8
  found = decode.mass_pick(probs, threshold=0.5, suppression=30)
  assert found.frames.tolist() == [frame]
  np.testing.assert_allclose(found.confidence, 0.8)


@pytest.mark.parametrize("gap", [5, 6, 9])
def test_mass_pick_keeps_neighbours_beyond_the_suppression_apart(gap):
  probs = np.zeros(40)
  probs[[15, 15 + gap]] = 1.0, 0.9
  found = decode.mass_pick(probs, threshold=0.5, suppression=4)
  np.testing.assert_allclose(found.frames, [15, 15 + gap])


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), softness=st.floats(1, 8), threshold=st.floats(0.15, 0.9))
def test_peak_pick_equals_its_definition(seed, softness, threshold):
  rng = np.random.default_rng(seed)
  events = rng.choice(150, size=rng.integers(0, 15), replace=False)
  heatmap = smoothed(events, 150, softness) * rng.uniform(0.5, 1.2, 150).cumsum().clip(0.5, 1.2)
  heatmap = heatmap + 0.02 * rng.random(150) / softness
  found = decode.peak_pick(heatmap, softness=softness, threshold=threshold)
  assert found.frames.tolist() == naive_peak_pick(heatmap, softness, threshold)


@pytest.mark.parametrize("softness", [0.4, 2.0, 15.0])
def test_peak_pick_inverts_the_smoothing_of_spread_events(softness):
  events = np.array([40, 120, 230, 299])
  kernel = np.exp(-0.5 * (np.arange(-99, 100) / softness) ** 2)
  labels = np.zeros(300)
  labels[events] = 1
  heatmap = np.convolve(labels, kernel / kernel.sum(), mode="same")
  found = decode.peak_pick(heatmap, softness=softness)
  assert found.frames.tolist() == events.tolist()
  np.testing.assert_allclose(found.confidence, 1, atol=1e-2)


def test_peak_pick_finds_two_events_in_one_frame():
  found = decode.peak_pick(2 * smoothed([25], 60, 3.0), softness=3.0)
  assert found.frames.tolist() == [25, 25]


def test_long_recordings_are_fast():
  rng = np.random.default_rng(0)
  num_frames = 100_000
  labels = np.zeros(num_frames)
  labels[rng.choice(num_frames, 3000, replace=False)] = 1
  kernel = np.exp(-0.5 * (np.arange(-30, 31) / 5) ** 2)
  heatmap = np.convolve(labels, kernel / kernel.sum(), mode="same")
  probs = np.clip(labels * 0.7 + 0.1 * rng.random(num_frames), 0, 1)
  start = time.perf_counter()
  num_found = [
    len(decode.threshold(probs, threshold=0.01, suppression=10).frames),
    len(decode.mass_pick(probs, threshold=0.1, suppression=10).frames),
    len(decode.peak_pick(heatmap, softness=5.0).frames),
  ]
  assert min(num_found) > 2000
  assert time.perf_counter() - start < 10  # takes half a second


def brute_force_posterior(logits, count):
  """Event probabilities given the count, over all subsets of the frames."""
  total, marginal = 0.0, np.zeros(len(logits))
  for subset in itertools.combinations(range(len(logits)), count):
    weight = np.exp(logits[list(subset)].sum())
    total += weight
    marginal[list(subset)] += weight
  return marginal / total


def test_one_each_takes_the_best_frame_of_each_class():
  probs = np.zeros((9, 2))
  probs[[2, 6], 0] = 0.2, 0.7
  probs[4, 1] = 1e-6  # however improbable: it happens once
  found = decode.one_each(probs)
  assert [one.frames.tolist() for one in found] == [[6.0], [4.0]]
  np.testing.assert_allclose([one.confidence[0] for one in found], [0.7, 1e-6])


def test_one_each_by_mass():
  probs = np.zeros(12)
  probs[[2, 7, 8]] = 0.5, 0.4, 0.3  # the event near 7 is split
  found = decode.one_each(probs, window=1)
  np.testing.assert_allclose(found.frames, (7 * 0.4 + 8 * 0.3) / 0.7)
  np.testing.assert_allclose(found.confidence, 0.7)
  assert decode.one_each(probs).frames.tolist() == [2.0]


def test_one_each_of_nothing_and_of_zeros():
  assert len(decode.one_each(np.zeros(0)).frames) == 0
  assert decode.one_each(np.zeros(3), window=1).frames.tolist() == [1.0]
  with pytest.raises(ValueError, match="window is -1"):
    decode.one_each(np.zeros(3), window=-1)
  with pytest.raises(ValueError, match="expected probabilities in \\[0, 1\\], not logits"):
    decode.one_each(np.array([-5.0, -3.0]))


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_from_counts_takes_the_most_probable_frames(count):
  logits = np.random.default_rng(count).normal(size=8)
  expected = brute_force_posterior(logits, count)
  found = decode.from_counts(logits, count)
  assert found.frames.tolist() == sorted(np.argsort(-expected)[:count].tolist())
  np.testing.assert_allclose(found.confidence, expected[found.frames.astype(int)], rtol=1e-4)


def test_from_counts_by_class_under_a_mask():
  logits = np.random.default_rng(1).normal(size=(30, 3))
  where = np.arange(30) < 20
  logits[25] = 50  # masked: never an event
  found = decode.from_counts(logits, np.array([0, 4, 20]), where=where)
  assert [len(d.frames) for d in found] == [0, 4, 20]
  assert max(d.frames.max() for d in found[1:]) < 20
  alone = decode.from_counts(logits[:20, 1], 4)
  assert found[1].frames.tolist() == alone.frames.tolist()


def test_from_counts_does_not_take_a_split_event_twice():
  logits = np.full(40, -8.0)
  logits[[10, 11]] = 0.1, 0.0
  logits[30] = -1.0
  assert decode.from_counts(logits, 2).frames.tolist() == [10, 11]
  assert decode.from_counts(logits, 2, suppression=3).frames.tolist() == [10, 30]


def test_from_counts_keeps_the_count_where_suppression_leaves_too_few():
  logits = np.array([0.0, 5.0, 1.0, 3.0, 2.0])
  assert decode.from_counts(logits, 3, suppression=10).frames.tolist() == [1, 3, 4]


def test_from_counts_ranks_frames_whose_posteriors_round_to_one():
  logits = np.full(40, -20.0)
  logits[[10, 11, 20]] = 20.0, 25.0, 22.0  # given three events, all three are certain in float32
  found = decode.from_counts(logits, 3, suppression=4)
  assert 11 in found.frames and 20 in found.frames and 10 not in found.frames


EMPTY = np.zeros(0)


def test_empty_and_silent_input_has_no_events():
  for probs in (EMPTY, np.zeros(20)):
    assert len(decode.threshold(probs, threshold=0.1, suppression=3).frames) == 0
    assert len(decode.mass_pick(probs, threshold=0.1, suppression=3).frames) == 0
    assert len(decode.peak_pick(probs, softness=2.0).frames) == 0


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: decode.threshold([0.1, 3.0], threshold=0.5, suppression=1), "not logits"),
    (lambda: decode.threshold([0.1, np.nan], threshold=0.5, suppression=1), r"probs\[1\] is nan"),
    (lambda: decode.threshold(np.zeros((4, 2, 2)), threshold=0.5, suppression=1), r"expected \[T\]"),
    (lambda: decode.threshold(np.zeros((4, 2)), threshold=[0.1] * 3, suppression=1), "or 2, one per class"),
    (lambda: decode.threshold([0.5], threshold=0.0, suppression=1), "threshold is 0.0"),
    (lambda: decode.threshold([0.5], threshold=0.5, suppression=-1), "suppression is -1"),
    (lambda: decode.threshold([0.5], threshold=0.5, suppression=np.nan), "suppression is nan"),
    (lambda: decode.mass_pick([0.5], threshold=0.5, suppression=4, window=3), "at most half the suppression"),
    (lambda: decode.peak_pick([0.5], softness=0), "softness is 0"),
    (lambda: decode.peak_pick([np.inf], softness=1), r"heatmap\[0\] is inf"),
    (lambda: decode.from_counts([0.5, 1.0], 3), "from 0 to the 2 real frames"),
    (lambda: decode.from_counts([0.5, 1.0], 1, where=[False, False]), "from 0 to the 0 real frames"),
    (lambda: decode.from_counts([0.5, 1.0], -1), "counts are -1"),
    (lambda: decode.from_counts([0.5, 1.0], 0.5), "expected integers"),
    (lambda: decode.from_counts([0.5, np.nan], 1), r"logits\[1\] is nan"),
    (lambda: decode.from_counts(np.zeros((4, 2)), [1]), "one for each class"),
    (lambda: decode.from_counts(np.zeros(4), 1, where=[True]), "where has shape"),
  ],
)
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


@pytest.mark.parametrize("window", [0, 1, 3])
def test_one_each_takes_the_middle_of_a_saturated_run(window):
  found = decode.one_each(np.concatenate([np.zeros(5), np.ones(11), np.zeros(4)]), window=window)
  assert found.frames.tolist() == [10.0] and found.confidence.tolist() == [1.0]
