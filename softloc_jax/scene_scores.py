"""How well things in scenes are counted and located: what L section 8.3 asks of digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
import scipy.optimize


class Objects(NamedTuple):
  """Things in a scene.

  Attributes:
    centres: row and column in pixels, `[n, 2]`.
    labels: what they are, `[n]`.
  """

  centres: np.ndarray
  labels: np.ndarray


def without_doubles(found: Objects, confidence: ArrayLike, *, within: float) -> Objects:
  """Objects less those that lie on a surer one of their label: what does not overlap is not that close.

  Args:
    found: of a scene.
    confidence: of each, `[n]`.
    within: pixels; two centres this close or closer are one thing.

  >>> twice = Objects(np.array([[10.0, 10.0], [18.0, 10.0], [60.0, 10.0]]), np.array([2, 2, 2]))
  >>> without_doubles(twice, [0.6, 0.9, 0.7], within=14).centres[:, 0]
  array([18., 60.])
  """
  kept: list[int] = []
  for one in np.argsort(-np.asarray(confidence), kind="stable"):
    same = [other for other in kept if found.labels[other] == found.labels[one]]
    apart = np.linalg.norm(found.centres[same] - found.centres[one], axis=1)
    if not (apart <= within).any():
      kept.append(int(one))
  kept.sort()
  return Objects(found.centres[kept], found.labels[kept])


def score(found: Sequence[Objects], true: Sequence[Objects], *, within: float) -> dict[str, float]:
  """Counts and places of found objects against the true ones, over all scenes.

  In each scene, found and true objects of one label are paired, as many as can be, with the least sum of
  distances; no object is paired twice, so a second find of a thing is a stray one.

  Args:
    found: of each scene.
    true: of each scene.
    within: pixels; further apart, two objects are no pair.

  Returns:
    `counts_exact`: share of scenes where all labels are found as often as they occur.
    `recall`: share of the true objects that are found; `stray`: share of the found ones that are not true.
    `centre_error_px/mean` and `/std`: distance of the pairs. What nothing can be said about is NaN.

  Raises:
    ValueError: another number of scenes.

  >>> true = [Objects(np.array([[10.0, 10.0]]), np.array([3]))]
  >>> found = [Objects(np.array([[10.0, 13.0], [14.0, 10.0]]), np.array([3, 3]))]
  >>> {key: round(value, 2) for key, value in score(found, true, within=14).items() if value > 0}
  {'recall': 1.0, 'stray': 0.5, 'centre_error_px/mean': 3.0}
  """
  if len(found) != len(true):
    raise ValueError(f"{len(found)} scenes are found and {len(true)} true; expected as many")
  distances = [_paired(*pair, within) for pair in zip(found, true, strict=True)]
  exact = [np.array_equal(np.sort(a.labels), np.sort(b.labels)) for a, b in zip(found, true, strict=True)]
  apart = np.concatenate([np.zeros(0), *distances])
  num_found, num_true = (sum(len(one.labels) for one in objects) for objects in (found, true))
  nan = float("nan")
  return {
    "counts_exact": float(np.mean(exact)) if exact else nan,
    "recall": len(apart) / num_true if num_true else nan,
    "stray": 1 - len(apart) / num_found if num_found else nan,
    "centre_error_px/mean": float(apart.mean()) if len(apart) else nan,
    "centre_error_px/std": float(apart.std()) if len(apart) else nan,
  }


def _paired(found: Objects, true: Objects, within: float) -> np.ndarray:
  """Distances of the pairs of one scene."""
  apart = np.linalg.norm(found.centres.reshape(-1, 1, 2) - true.centres.reshape(1, -1, 2), axis=-1)
  possible = (found.labels[:, None] == true.labels) & (apart <= within)
  # One pair more is worth any sum of distances.
  unpaired = (1 + within) * (1 + min(apart.shape))
  rows, columns = scipy.optimize.linear_sum_assignment(np.where(possible, apart, unpaired))
  kept = possible[rows, columns]
  return apart[rows[kept], columns[kept]]


def single_accuracy(probs: Sequence[ArrayLike], labels: ArrayLike) -> float:
  """Share of scenes of a single thing whose label is the one that is expected most often.

  Args:
    probs: event probabilities of each scene, `[T, C]`.
    labels: what is there, `[n]`, as numbers of the classes.
  """
  expected = np.array([np.asarray(one).sum(axis=0) for one in probs])
  return float(np.mean(expected.argmax(axis=1) == np.asarray(labels)))
