"""How the labels of a recording lie beside what a detector hears: offset, drift of the clock, and jitter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_STEP_S = 0.002  # of the search for an offset
_SMOOTHING_S = 0.01
_MOST_SEARCHED = 2000  # labels that take part in the search: time grows with them
_MOST_DRIFTS = 50  # on each side, at a time
_FEWEST = 8  # pairs that a line is fitted to
_CLOSE = 0.97  # offsets that explain nearly as much as the best: then the smallest is believed


class Timing(NamedTuple):
  """What was found.

  Attributes:
    offset_s: how much later labels are than detections, in the middle of the recording.
    drift: how much faster the labels' clock runs, as a fraction: .001 is a tenth of a second in 100 s.
    jitter_s: robust standard deviation of labels about that line; infinite if it is more than the tolerance,
      as only lags near the line are looked at.
    matched: share of the labels that then have a detection within the tolerance.
    matched_as_is: the same without any correction.
    num_labels: how many labels there are.
    drift_error: standard error of the drift, from jitter, number and spread of the labels; infinite where
      the jitter is.
  """

  offset_s: float
  drift: float
  jitter_s: float
  matched: float
  matched_as_is: float
  num_labels: int
  drift_error: float


def compare(
  labels_s,
  detections_s,
  strengths=None,
  *,
  max_offset_s: float = 1.0,
  max_drift: float = 0.005,
  tolerance_s: float = 0.05,
) -> Timing:
  """Offset and drift that put most labels on detections, and what is left.

  Lags between all labels and detections are counted for every drift that could matter; the highest place of
  the smoothed counts is the offset. Then a line is fitted to the pairs near it. A steady beat fits itself
  after a shift by a beat: of offsets that explain about as much, the smallest is taken.

  Args:
    labels_s: label times in seconds, `[N]`.
    detections_s: detected times in seconds, `[M]`.
    strengths: weight of each detection, `[M]`; None for equal ones.
    max_offset_s: largest offset considered.
    max_drift: largest drift considered, as a fraction; 0 for none.
    tolerance_s: within which a label has a detection.

  Returns:
    The timing; NaN offset and jitter where no label is near any detection.

  Raises:
    ValueError: settings that are not positive, or strengths that do not fit.

  >>> rng = np.random.default_rng(0)
  >>> events_s = np.cumsum(rng.uniform(0.2, 1.0, 200))
  >>> found = compare(events_s * 1.001 + 0.409 - 0.0005 * events_s[-1], events_s)
  >>> round(found.offset_s, 2), round(found.drift, 4)
  (0.41, 0.001)
  """
  labels_s, detections_s = np.sort(np.asarray(labels_s, float)), np.asarray(detections_s, float)
  strengths = np.ones(len(detections_s)) if strengths is None else np.asarray(strengths, float)
  if not (max_offset_s > 0 and max_drift >= 0 and tolerance_s > 0):
    raise ValueError(
      f"max_offset_s is {max_offset_s}, max_drift {max_drift} and tolerance_s {tolerance_s}; expected"
      f" positive numbers"
    )
  if strengths.shape != detections_s.shape:
    raise ValueError(f"strengths have shape {strengths.shape}; expected {detections_s.shape}")
  order = np.argsort(detections_s)
  detections_s, strengths = detections_s[order], strengths[order]
  as_is = _matched(labels_s, detections_s, tolerance_s)
  if not len(labels_s) or not len(detections_s):
    return Timing(np.nan, 0.0, np.nan, as_is, as_is, len(labels_s), np.inf)
  ends_s = min(labels_s[0], detections_s[0]), max(labels_s[-1], detections_s[-1])
  middle_s, length_s = sum(ends_s) / 2, max(ends_s[1] - ends_s[0], 1e-9)
  offset_s, drift = 0.0, 0.0
  if len(labels_s) >= _FEWEST:
    # Some of the labels, all along the recording, are enough to search with.
    some_s = labels_s[:: -(-len(labels_s) // _MOST_SEARCHED)]
    lags = _lags(some_s, detections_s, strengths, max_offset_s + max_drift * length_s / 2)
    offset_s, drift = _search(*lags, middle_s, length_s, max_offset_s, max_drift)
  else:
    offset_s, _ = _search(
      *_lags(labels_s, detections_s, strengths, max_offset_s), middle_s, length_s, max_offset_s, 0.0
    )
  near_s = labels_s - offset_s - drift * (labels_s - middle_s)
  lag_s, place_s, _ = _lags(near_s, detections_s, strengths, 3 * tolerance_s)
  place_s = place_s - middle_s
  lag_s = lag_s + offset_s + drift * place_s
  offset_s, drift, jitter_s = _fit_line(lag_s, place_s, offset_s, drift, max_drift, tolerance_s)
  if np.isnan(offset_s):
    return Timing(np.nan, 0.0, np.nan, as_is, as_is, len(labels_s), np.inf)
  corrected_s = labels_s - offset_s - drift * (labels_s - middle_s)
  matched = _matched(corrected_s, detections_s, tolerance_s)
  error = jitter_s / max(np.sqrt(matched * len(labels_s)) * np.std(labels_s), 1e-9)
  return Timing(offset_s, drift, jitter_s, matched, as_is, len(labels_s), float(error))


def _lags(labels_s, detections_s, strengths, reach_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Lag of every label behind every detection within reach, the detection's time and its weight."""
  low = np.searchsorted(detections_s, labels_s - reach_s, side="left")
  high = np.searchsorted(detections_s, labels_s + reach_s, side="right")
  counts = high - low
  index = np.arange(counts.sum()) + np.repeat(low - np.cumsum(counts) + counts, counts)
  return np.repeat(labels_s, counts) - detections_s[index], detections_s[index], strengths[index]


def _search(
  lag_s, place_s, weight, middle_s: float, length_s: float, max_offset_s: float, max_drift: float
) -> tuple[float, float]:
  """The offset and drift at which most lags agree; coarse drifts first, and finer ones about the best."""
  place_s = place_s - middle_s
  low, high = -max_drift, max_drift
  # Neighbouring drifts part by one smoothing width over half the recording.
  width_s = max(_SMOOTHING_S, max_drift * length_s / 2 / _MOST_DRIFTS)
  while True:
    step = width_s / (length_s / 2)
    num = int(np.ceil((high - low) / 2 / step)) if max_drift else 0
    drifts = np.unique(np.append(np.linspace(low, high, 2 * num + 1), 0.0)) if num else np.zeros(1)
    best = (-1.0, 0.0, 0.0)
    for drift in drifts[np.argsort(np.abs(drifts), kind="stable")]:
      value, offset_s = _best_offset(lag_s - drift * place_s, weight, width_s, max_offset_s)
      if value > best[0] * 1.01:  # a larger drift has to explain more
        best = (value, offset_s, float(drift))
    if width_s <= _SMOOTHING_S:
      return best[1], best[2]
    low, high = (float(np.clip(best[2] + sign * 2 * step, -max_drift, max_drift)) for sign in (-1, 1))
    width_s = max(width_s / 5, _SMOOTHING_S)


def _best_offset(lag_s, weight, width_s: float, max_offset_s: float) -> tuple[float, float]:
  """How much lags agree at most, and where; of places that are about as good, the one nearest to 0."""
  from scipy import signal

  num_steps = round(max_offset_s / _STEP_S)
  index = np.round(lag_s / _STEP_S).astype(np.int64) + num_steps
  inside = (index >= 0) & (index <= 2 * num_steps)
  counts = np.bincount(index[inside], weight[inside], 2 * num_steps + 1)
  half = round(4 * width_s / _STEP_S)
  kernel = np.exp(-0.5 * np.square(np.arange(-half, half + 1) * _STEP_S / width_s))
  agreement = signal.fftconvolve(counts, kernel)[half : half + len(counts)]
  good = np.flatnonzero(agreement >= _CLOSE * agreement.max())
  at = good[np.abs(good - num_steps).argmin()]
  # A plateau belongs to one peak: climb to its top.
  start = max(at - half, 0)
  at = start + int(agreement[start : at + half + 1].argmax())
  return float(agreement[at]), float((at - num_steps) * _STEP_S)


def _fit_line(lag_s, place_s, offset_s: float, drift: float, max_drift: float, tolerance_s: float):
  """The line through the lags near it, by least squares that forget outliers, and their scatter.

  NaN where no lag is near.
  """
  jitter_s = tolerance_s
  num_fitted = 1
  for _ in range(10):
    rest_s = lag_s - offset_s - drift * place_s
    near = np.abs(rest_s) <= max(min(3 * jitter_s, 2 * tolerance_s), 0.02)
    if not near.any():
      return np.nan, drift, np.nan
    if near.sum() < 3:
      break
    if max_drift and near.sum() >= _FEWEST and np.ptp(place_s[near]) > 10:
      num_fitted = 2
      slope, start_s = np.polyfit(place_s[near], rest_s[near], 1)
      drift, offset_s = float(np.clip(drift + slope, -max_drift, max_drift)), offset_s + float(start_s)
    else:
      offset_s += float(np.median(rest_s[near]))
    rest_s = (lag_s - offset_s - drift * place_s)[near]
    freedom = len(rest_s) / (len(rest_s) - num_fitted)
    scatter_s = 1.4826 * np.median(np.abs(rest_s - np.median(rest_s)))
    jitter_s = max(float(scatter_s * np.sqrt(freedom)), 1e-4)
  return offset_s, drift, jitter_s if jitter_s <= tolerance_s else np.inf


def _matched(labels_s: np.ndarray, detections_s: np.ndarray, tolerance_s: float) -> float:
  """Share of the labels with a detection within the tolerance."""
  if not len(labels_s) or not len(detections_s):
    return 0.0
  after = np.searchsorted(detections_s, labels_s)
  padded = np.concatenate([[-np.inf], detections_s, [np.inf]])
  nearest = np.minimum(labels_s - padded[after], padded[after + 1] - labels_s)
  return float(np.mean(nearest <= tolerance_s))
