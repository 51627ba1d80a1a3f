"""Thresholds chosen with no more than training labels: from counts, which misaligned labels still hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# The low end matters: cross entropy on jittered labels spreads events thin, its best threshold is near .02.
THRESHOLDS = np.geomspace(0.01, 0.95, 60)


class ThresholdChoice(NamedTuple):
  """What `choose_threshold` found.

  Attributes:
    threshold: the chosen threshold of each class, `[C]`.
    grid: the thresholds tried, `[G]`, ascending.
    count_error: absolute count error, summed over the windows, of each class and threshold, `[C, G]`.
  """

  threshold: np.ndarray
  grid: np.ndarray
  count_error: np.ndarray


def window_counts(positions, *, window: float, duration: float) -> np.ndarray:
  """How many events fall into each of the consecutive windows of a recording.

  Args:
    positions: event positions, `[num_events]`, in any unit (seconds, frames).
    window: length of a window in the same unit.
    duration: length of the recording in the same unit. The last window may reach beyond it, and holds an
      event exactly at the end.

  Returns:
    int64 counts, `[ceil(duration / window)]`.

  Raises:
    ValueError: a window or duration that is not positive, a position outside the recording.

  >>> window_counts([0.5, 1.0, 2.5], window=1.0, duration=2.6)
  array([1, 1, 1])
  """
  if not (0 < window < np.inf and 0 < duration < np.inf):
    raise ValueError(f"window is {window} and duration {duration}; expected positive numbers")
  positions = np.asarray(positions, dtype=np.float64)
  outside = ~((positions >= 0) & (positions <= duration))
  if outside.any():
    raise ValueError(f"event at {positions[outside][0]:g} lies outside the recording (0 to {duration:g})")
  # 1e-9: a duration of 3.0000000001 windows is three of them and a rounding error
  num_windows = max(int(np.ceil(duration / window - 1e-9)), 1)
  # By the borders themselves: a quotient may be rounded to the other side of one.
  index = np.searchsorted(window * np.arange(num_windows), positions, side="right") - 1
  return np.bincount(index, minlength=num_windows)


def _choose(errors: np.ndarray, grid: np.ndarray) -> float:
  """The threshold in the middle of those that are as good as the best, given the windows' errors `[W, G]`.

  As good: not worse than the best by a standard error of their difference, window by window. Noisy
  counts let chance decide between such thresholds, and the extremes of the range generalise worst.
  """
  best = errors.sum(0).argmin()
  worse = errors - errors[:, best : best + 1]
  as_good = (worse.sum(0) < np.sqrt(np.square(worse).sum(0))) | (worse.sum(0) == 0)
  edges = np.concatenate([[False], as_good, [False]])
  starts, stops = np.flatnonzero(edges[1:] & ~edges[:-1]), np.flatnonzero(edges[:-1] & ~edges[1:]) - 1
  log_odds = np.log(grid) - np.log1p(-grid)
  widest = np.argmax(log_odds[stops] - log_odds[starts])
  middle = (log_odds[starts[widest]] + log_odds[stops[widest]]) / 2
  return float(grid[np.argmin(np.abs(log_odds - middle))])


def consecutive_windows(num_frames: int, window: float) -> np.ndarray:
  """From which frame to which the windows of `window_counts` reach, `[W, 2]`; the last has no end."""
  num_windows = len(window_counts([], window=window, duration=num_frames))
  starts = window * np.arange(num_windows)
  return np.stack([starts, np.append(starts[1:], np.inf)], axis=1)


def _reaching(detections, spans: np.ndarray, grid: np.ndarray) -> np.ndarray:
  """How many detections of each window reach each threshold, `[W, G]`."""
  order = np.argsort(detections.frames, kind="stable")
  positions, confidence = detections.frames[order], detections.confidence[order]
  reach = np.cumsum(confidence[:, None] >= grid, axis=0)
  before = np.concatenate([np.zeros((1, len(grid)), np.int64), reach])  # of the first n detections
  first, last = np.searchsorted(positions, np.reshape(spans, (-1, 2)).T)
  return before[last] - before[first]


def choose_threshold(
  probs: Sequence,
  counts: Sequence,
  *,
  decode_fn: Callable,
  window: float,
  grid=THRESHOLDS,
  where: Sequence | None = None,
  windows: Sequence | None = None,
) -> ThresholdChoice:
  """The threshold of each class whose events agree best with known counts.

  Labels as they are used for training, misaligned times or mere counts, hold the number of events but not
  their places: so the criterion is the absolute count error, summed over windows long enough that
  misaligned labels seldom leave them. Of the thresholds that are as good as the best, within a standard
  error of the difference, the middle of the widest range (in log-odds) is taken.

  Each recording is decoded once, at the lowest threshold: `threshold`, `mass_pick` and `peak_pick` find at
  a higher one exactly those events whose confidence reaches it.

  Args:
    probs: what the network outputs for each recording, a sequence of `[T, C]`.
    counts: for each recording the number of events in consecutive windows, `[W, C]` with `W = ceil(T /
      window)`: see `window_counts`; or, `[W, C, 2]`, the least and the largest number that would be right.
    decode_fn: called as `decode_fn(probs [T, C], threshold=...)`; `functools.partial(decode.threshold,
      suppression=20)`.
    window: length of a window in frames.
    grid: thresholds to try, ascending, below 1.
    where: for each recording, `[W, C]`, True where a count is known; None if all are.
    windows: for each recording, in the place of consecutive windows, from which position to which, in frames,
      any windows reach: `[W, 2]`.

  Returns:
    ThresholdChoice: thresholds `[C]`, the grid `[G]`, and the count error `[C, G]`.

  Raises:
    ValueError: no recordings, lists of unequal length, counts whose shape does not fit, a grid that does
      not ascend, a class without any known count.

  >>> import functools
  >>> from softloc_jax import decode
  >>> probs = np.zeros([100, 1])
  >>> probs[[10, 40, 70], 0] = 0.6, 0.8, 0.05
  >>> pick = functools.partial(decode.threshold, suppression=5)
  >>> chosen = choose_threshold([probs], [[[2]]], decode_fn=pick, window=100)
  >>> bool(0.05 < chosen.threshold[0] <= 0.6), int(chosen.count_error.min())
  (True, 0)
  """
  grid = np.asarray(grid, dtype=np.float64)
  if grid.ndim != 1 or not grid.size or grid[0] <= 0 or grid[-1] >= 1 or (np.diff(grid) <= 0).any():
    raise ValueError(f"grid is {grid}; expected ascending thresholds between 0 and 1")
  where = [None] * len(probs) if where is None else where
  windows = [consecutive_windows(len(p), window) for p in probs] if windows is None else windows
  if not len(probs) or not len(probs) == len(counts) == len(where) == len(windows):
    raise ValueError(
      f"{len(probs)} recordings with {len(counts)} counts, {len(where)} masks and {len(windows)} lists of"
      f" windows; expected as many of each"
    )
  errors = []
  for i, (p, expected, known, spans) in enumerate(zip(probs, counts, where, windows, strict=True)):
    expected, shape = np.asarray(expected), (len(spans), np.shape(p)[1])
    if expected.shape not in (shape, (*shape, 2)) or (known is not None and np.shape(known) != shape):
      raise ValueError(
        f"counts or mask of recording {i} have shape {expected.shape}; expected [W, C] = {shape}, counts also"
        f" [W, C, 2]"
      )
    low, high = (expected, expected) if expected.shape == shape else np.moveaxis(expected, -1, 0)
    found = np.stack([_reaching(one, spans, grid) for one in decode_fn(p, threshold=grid[0])], axis=1)
    error = np.maximum(np.maximum(low[..., None] - found, found - high[..., None]), 0)
    known = np.ones(shape, bool) if known is None else np.asarray(known, dtype=bool)
    errors.append(np.where(known[..., None], error, np.nan))
  by_class = [e[~np.isnan(e[:, 0])] for e in np.moveaxis(np.concatenate(errors), 1, 0)]  # [known windows, G]
  for c, known_errors in enumerate(by_class):
    if not len(known_errors):
      raise ValueError(f"class {c} has no window with a known count; expected one or more")
  thresholds = np.array([_choose(known_errors, grid) for known_errors in by_class])
  return ThresholdChoice(thresholds, grid, np.stack([known_errors.sum(0) for known_errors in by_class]))
