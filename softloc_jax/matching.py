"""Which detected event is which true one, and the scores that follow from the pairs."""

from __future__ import annotations

import numpy as np


def check_times(name: str, times_s) -> np.ndarray:
  """Times as float64, or a ValueError unless they are sorted, finite and not negative."""
  times_s = np.asarray(times_s, dtype=np.float64)
  if times_s.ndim != 1:
    raise ValueError(f"{name} has shape {times_s.shape}; expected times in seconds, [num_events]")
  bad = ~((times_s >= 0) & (times_s < np.inf))
  if bad.any():
    raise ValueError(f"{name} holds the time {times_s[bad][0]}; expected seconds, 0 or more")
  if (np.diff(times_s) < 0).any():
    first = int(np.flatnonzero(np.diff(times_s) < 0)[0])
    raise ValueError(
      f"{name} is not sorted: {times_s[first + 1]} s at index {first + 1} comes after {times_s[first]} s"
    )
  return times_s


def match_events(reference, estimate, *, window_s: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
  """Pairs each event with at most one of the other list, at most `window_s` apart.

  As many pairs as possible, as in `mir_eval.util.match_events`. Which of the matchings of that size, is
  left open there, so an event detected twice can be matched to the worse detection, and pairs can cross.
  Here it is the one of least squared distance: time errors depend on nothing but the times.

  Args:
    reference: sorted true times in seconds, `[R]`.
    estimate: sorted detected times in seconds, `[E]`.
    window_s: tolerance in seconds.

  Returns:
    Indices into `reference` and into `estimate`, `[num_matched]` each, ascending.

  Raises:
    ValueError: times that are negative, not finite or not sorted; a negative tolerance.

  >>> match_events([1.0, 2.0], [0.96, 1.01, 2.2])
  (array([0]), array([1]))
  """
  from scipy.sparse import csgraph, csr_array

  reference, estimate = _check(reference, estimate, window_s)
  low, high = _near(reference, estimate, window_s)
  num_near = high - low
  near_est = np.repeat(np.arange(len(estimate)), num_near)
  near_ref = np.arange(num_near.sum()) + np.repeat(low - np.cumsum(num_near) + num_near, num_near)
  if not len(near_est):
    return np.zeros(0, np.int64), np.zeros(0, np.int64)
  # A matching of all references, each to an estimate near it or to a stand-in of its own: "missed". A miss
  # costs more than all distances together. (1 more on every cost changes nothing, but 0 would be no edge.)
  everyone = np.arange(len(reference))
  distance = (estimate[near_est] - reference[near_ref]) / max(window_s, 1e-9)
  cost = 1 + np.concatenate([distance**2, np.full(len(reference), 2.0 * len(reference) + 2)])
  edges = np.concatenate([near_ref, everyone]), np.concatenate([near_est, len(estimate) + everyone])
  graph = csr_array((cost, edges), shape=(len(reference), len(estimate) + len(reference)))
  ref_index, est_index = csgraph.min_weight_full_bipartite_matching(graph)
  matched = est_index < len(estimate)
  # Sorted, as equal times may come out in any order.
  return ref_index[matched].astype(np.int64), np.sort(est_index[matched]).astype(np.int64)


def match_in_order(reference, estimate, *, window_s: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
  """Pairs each true event, in the order of time, with the first detection near it that is still free.

  What simple scoring code does. It finds as many pairs as `match_events`, but not the nearest ones: time
  errors differ.

  Args:
    reference: sorted true times in seconds, `[R]`.
    estimate: sorted detected times in seconds, `[E]`.
    window_s: tolerance in seconds.

  Returns:
    Indices into `reference` and into `estimate`, `[num_matched]` each, ascending.

  Raises:
    ValueError: as `match_events`.

  >>> match_in_order([1.0, 2.0], [0.96, 1.01, 2.2])
  (array([0]), array([0]))
  """
  reference, estimate = _check(reference, estimate, window_s)
  pairs, first_free = [], 0
  low, high = _near(reference, estimate, window_s)
  for i in range(len(reference)):
    # As times are sorted, the first free detection in reach is at or after the last one taken.
    first_free = max(first_free, int(np.searchsorted(high, i, side="right")))
    if first_free < len(estimate) and low[first_free] <= i:
      pairs.append((i, first_free))
      first_free += 1
  ref_index, est_index = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
  return ref_index, est_index


def _near(reference: np.ndarray, estimate: np.ndarray, window_s: float) -> tuple[np.ndarray, np.ndarray]:
  """The first true event near each detection, and the first after it that is not."""
  # The same comparisons as mir_eval: on a frame grid many distances equal the tolerance up to rounding.
  return (
    np.searchsorted(reference, estimate - window_s, side="left"),
    np.searchsorted(reference, estimate + window_s, side="right"),
  )


def _check(reference, estimate, window_s: float) -> tuple[np.ndarray, np.ndarray]:
  if not 0 <= window_s < np.inf:
    raise ValueError(f"window_s is {window_s}; expected seconds, 0 or more")
  return check_times("reference", reference), check_times("estimate", estimate)


def _ratio(part: float, whole: float) -> float:
  return part / whole if whole else 0.0


def precision_recall_f1(num_reference: int, num_estimate: int, num_matched: int) -> dict[str, float]:
  """Precision, recall and F1 from counts; 0 where there is nothing, as in mir_eval."""
  return {
    "precision": _ratio(num_matched, num_estimate),
    "recall": _ratio(num_matched, num_reference),
    "f1": _ratio(2 * num_matched, num_reference + num_estimate),
  }


def time_errors_ms(errors_s) -> dict[str, float]:
  """Mean and standard deviation in milliseconds of errors in seconds; NaN without any."""
  errors_ms = 1000 * np.asarray(errors_s, dtype=np.float64)
  return {
    "time_error_ms/mean": float(errors_ms.mean()) if errors_ms.size else np.nan,
    "time_error_ms/std": float(errors_ms.std()) if errors_ms.size else np.nan,
  }
