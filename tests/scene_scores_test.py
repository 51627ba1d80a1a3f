"""Scores of objects in scenes: pairs, duplicates, and what cannot be said."""

import itertools

import numpy as np
import pytest

from softloc_jax import scene_scores
from softloc_jax.scene_scores import Objects


def objects(*places, labels=None):
  return Objects(np.array(places, float).reshape(-1, 2), np.array(labels or [1] * len(places), int))


def test_a_second_find_is_a_stray_one():
  found = scene_scores.score([objects((10, 10), (10, 12))], [objects((10, 11))], within=14)
  assert found["recall"] == 1 and found["stray"] == 0.5 and found["counts_exact"] == 0
  assert found["centre_error_px/mean"] == 1


def test_another_label_or_too_far_is_no_pair():
  true = [objects((10, 10)), objects((10, 10))]
  found = scene_scores.score([objects((10, 10), labels=[2]), objects((10, 25))], true, within=14)
  assert found["recall"] == 0 and found["stray"] == 1 and found["counts_exact"] == 0.5
  assert np.isnan(found["centre_error_px/mean"])


def test_nothing_there_and_nothing_found():
  found = scene_scores.score([objects()], [objects()], within=14)
  assert found["counts_exact"] == 1 and np.isnan(found["recall"]) and np.isnan(found["stray"])


def test_as_many_pairs_as_can_be_and_of_those_the_nearest():
  rng = np.random.default_rng(0)
  for _ in range(200):
    sizes = rng.integers(0, 5, 2)
    a, b = (objects(*rng.uniform(0, 40, (n, 2)), labels=rng.integers(0, 2, n).tolist()) for n in sizes)
    few, many = (a, b) if len(a.labels) <= len(b.labels) else (b, a)
    apart = np.linalg.norm(few.centres[:, None] - many.centres, axis=-1)
    possible = (few.labels[:, None] == many.labels) & (apart <= 14)
    best = (0, 0.0)
    for chosen in itertools.permutations(range(len(many.labels)), len(few.labels)):
      pairs = [(i, j) for i, j in enumerate(chosen) if possible[i, j]]
      best = max(best, (len(pairs), -sum(apart[pair] for pair in pairs)))
    found = scene_scores.score([a], [b], within=14)
    if len(b.labels):
      assert found["recall"] == pytest.approx(best[0] / len(b.labels))
    if best[0]:
      assert found["centre_error_px/mean"] == pytest.approx(-best[1] / best[0])


def test_another_number_of_scenes():
  with pytest.raises(ValueError, match="1 scenes are found and 2 true; expected as many"):
    scene_scores.score([objects()], [objects(), objects()], within=14)


def test_a_single_thing_is_what_is_expected_most():
  probs = [np.array([[0.6, 0.4], [0.0, 0.4]]), np.array([[0.6, 0.4], [0.0, 0.1]])]
  assert scene_scores.single_accuracy(probs, [1, 0]) == 1
  assert scene_scores.single_accuracy(probs, [0, 0]) == 0.5
