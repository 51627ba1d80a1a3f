"""What labels of uncertain time say about detected events, and detected events about the labels.

The model: each detection of confidence `m` is a labelled event with probability `a(m)`. Its label lies at its
time plus an offset, off by two normal errors: the label's own, and the detection's, which grows with the
spread of its probability in time. Besides, labels without any detection come at a constant rate. Labels and
events keep their order. Everything is estimated from the labels themselves, by expectation and maximisation:
the noise, the offset of each recording (drawn to that of all, as far as it has few labels), the rate, and
`a`, which is the reliability curve of whatever made the detections. Sums over all the ways to pair labels
with detections are exact (`label_pairing`), so one detection never stands for two labels.

Where noise is as large as the time between events, labels change their order, which the model takes for
labels that are extra and others that are missing: the noise comes out too small, and pairs are guesses
(`is_crowded`).
"""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import NamedTuple

import numpy as np

from softloc_jax import label_pairing, label_timing
from softloc_jax.label_pairing import Layout, Track

_FEWEST = 8  # labels that an offset is searched with
_REACH = 5.0  # pairs further apart than this many standard deviations of the noise are not considered
_LEAST_CROWDED, _CROWDED = 0.25, 0.4  # noise in gaps between events, and that plus the share of stray labels
_SHARPEST_S = 1e-3
_DETECTIONS_IN_A_BIN = 20
_PRIOR_VARIANCE = 0.25  # of the squared scale of spreads


class LabelModel(NamedTuple):
  """How labels come about.

  Attributes:
    noise_s: standard deviation of a label's time about its event's.
    spread_scale: what the spread of a detection is to be multiplied by for the standard deviation of its
      time.
    offset_s: how much later labels are than detections on average, in each recording, `[R]`.
    kind_offset_s: what comes to this in each class, `[K]`.
    stray_hz: labels per second that belong to no detection.
    knots: confidences, ascending, `[G]`.
    reliability: probability that a detection of such a confidence has a label, `[G]`, never decreasing.
  """

  noise_s: float
  spread_scale: float
  offset_s: np.ndarray
  kind_offset_s: np.ndarray
  stray_hz: float
  knots: np.ndarray
  reliability: np.ndarray

  def expected_s(self, track: Track) -> np.ndarray:
    """Where the labels of a track's detections are on average, `[M]`."""
    return track.detections_s + self.offset_s[track.recording] + self.kind_offset_s[track.kind]

  def labelled(self, confidence) -> np.ndarray:
    """Probability that detections of these confidences have a label."""
    return np.interp(confidence, self.knots, self.reliability)

  def real(self, confidence) -> np.ndarray:
    """Probability that detections are events, if the surest are: what `labelled` is, relative to its best."""
    return self.labelled(confidence) / self.reliability[-1]


class Pairing(NamedTuple):
  """Which label belongs to which detection, of one track.

  Attributes:
    detection: the most probable detection of each label in the best pairing, -1 for none, `[N]`.
    probability: of each pair that is near enough, `[N, W]`; what is left to 1 is "no detection".
    first: `probability[i, k]` is that of detection `first[i] + k`, `[N]`.
  """

  detection: np.ndarray
  probability: np.ndarray
  first: np.ndarray

  def labelled(self, num_detections: int) -> np.ndarray:
    """Probability that each detection has a label, `[M]`."""
    result = np.zeros(num_detections + self.probability.shape[1])
    np.add.at(result, self.first[:, None] + np.arange(self.probability.shape[1]), self.probability)
    return result[:num_detections]


def fit(
  tracks: Sequence[Track],
  *,
  noise_s: float,
  common_offset: bool = False,
  num_iterations: int = 60,
) -> LabelModel:
  """Estimates how labels came about.

  Args:
    tracks: labels and detections. The detector should not have seen these labels in training.
    noise_s: where the estimate of the noise begins. Labels and detections further apart than five times
      this are never paired, so better too large than too small.
    common_offset: whether all recordings have the same offset.
    num_iterations: at most, from each of two beginnings: no offsets, and those that put most labels of a
      recording on detections. Of the models that they lead to, the one that explains more is taken.

  Returns:
    The model.

  Raises:
    ValueError: no label or no detection at all, times that are not sorted, confidences outside [0, 1], or a
      noise that is not positive.

  >>> rng = np.random.default_rng(0)
  >>> events_s = np.cumsum(rng.uniform(0.3, 1.0, 400))
  >>> labels_s = np.sort(events_s + 0.02 + rng.normal(0, 0.05, 400))
  >>> model = fit([Track(labels_s, events_s, np.ones(400), np.zeros(400), 300.0)], noise_s=0.2)
  >>> round(model.noise_s, 2), model.offset_s.round(2)
  (0.05, array([0.02]))
  """
  if not 0 < noise_s < np.inf:
    raise ValueError(f"noise_s is {noise_s}; expected a positive number of seconds")
  for track in tracks:
    _check(track)
  num_labels = sum(len(one.labels_s) for one in tracks)
  confidence = np.concatenate([one.confidence for one in tracks]) if tracks else np.zeros(0)
  if not num_labels or not len(confidence):
    raise ValueError(f"{num_labels} labels and {len(confidence)} detections; expected both")
  duration_s = sum(one.duration_s for one in tracks)
  heard_s = _heard_offsets(tracks, _REACH * noise_s, common_offset)
  layout = label_pairing.lay_out(tracks, _REACH * noise_s + np.abs(heard_s).max())
  start = LabelModel(
    noise_s=noise_s,
    spread_scale=0.0,
    offset_s=np.zeros_like(heard_s),
    kind_offset_s=np.zeros(1 + max(one.kind for one in tracks)),
    stray_hz=0.1 * num_labels / duration_s,
    knots=np.array([0.0, 1.0]),
    reliability=np.array([0.02, 0.9]),
  )

  def improve(model: LabelModel) -> LabelModel:
    for _ in range(num_iterations):
      before = model
      model = _maximize(before, layout, _pair_probabilities(before, layout), duration_s, common_offset)
      if abs(model.noise_s - before.noise_s) < 1e-4 * before.noise_s:
        break
    return model

  model = improve(start)
  if np.abs(model.offset_s - heard_s).max() < model.noise_s:
    return model
  # Labels that are late by about a gap between events lie on the wrong ones: there are several maxima.
  other = improve(start._replace(offset_s=heard_s))
  return max(model, other, key=lambda one: label_pairing.log_weight(layout, *_weights(one, layout)))


def is_crowded(model: LabelModel, tracks: Sequence[Track]) -> bool:
  """Whether labels are off by so much of the time between events that noise and pairs are not to be believed.

  On simulated labels the noise is within a tenth of the true one where this is False.
  """
  gaps_s = np.concatenate(
    [np.zeros(0), *(np.diff(one.detections_s[one.confidence >= 0.5]) for one in tracks)]
  )
  num_labels = sum(len(one.labels_s) for one in tracks)
  if not len(gaps_s) or not num_labels:
    return False
  share = model.noise_s / max(float(np.median(gaps_s)), 1e-9)
  stray = model.stray_hz * sum(one.duration_s for one in tracks) / num_labels
  return share > _LEAST_CROWDED and share + stray > _CROWDED


def pair(model: LabelModel, tracks: Sequence[Track]) -> list[Pairing]:
  """The probability of every pair of a label and a detection, and the best pairing, of each track.

  Raises:
    ValueError: tracks as `fit` refuses them.
  """
  for track in tracks:
    _check(track)
  furthest_s = np.abs(model.offset_s).max() + np.abs(model.kind_offset_s).max()
  broadest_s = model.spread_scale * max((one.spread_s.max(initial=0.0) for one in tracks), default=0.0)
  layout = label_pairing.lay_out(tracks, _REACH * np.hypot(model.noise_s, broadest_s) + furthest_s)
  chance, choice = (_pair_probabilities(model, layout, best=best) for best in (False, True))
  detection = np.where(choice.sum(1) > 0.5, layout.first + choice.argmax(1), -1)
  result, label, detected = [], 0, 0
  for track in tracks:
    own = slice(label, label + len(track.labels_s))
    # Among all detections these are the first ones after those of the tracks before.
    numbers = np.where(detection[own] < 0, -1, detection[own] - detected)
    result.append(Pairing(numbers, chance[own], layout.first[own] - detected))
    label, detected = own.stop, detected + len(track.detections_s)
  return result


def _check(track: Track) -> None:
  for name in ("labels_s", "detections_s"):
    times_s = np.asarray(getattr(track, name))
    if times_s.ndim != 1 or not np.isfinite(times_s).all() or (np.diff(times_s) < 0).any():
      raise ValueError(f"{name} are {times_s}; expected finite times in seconds, sorted")
  confidence = np.asarray(track.confidence)
  spread_s = np.asarray(track.spread_s)
  if spread_s.shape != np.shape(track.detections_s) or not ((spread_s >= 0) & np.isfinite(spread_s)).all():
    raise ValueError(f"spread_s is {spread_s}; expected {len(track.detections_s)} numbers, 0 or more")
  if confidence.shape != np.shape(track.detections_s) or not ((confidence >= 0) & (confidence <= 1)).all():
    raise ValueError(
      f"confidence is {confidence}; expected {len(track.detections_s)} numbers between 0 and 1"
    )


def _heard_offsets(tracks: Sequence[Track], reach_s: float, common_offset: bool) -> np.ndarray:
  """How late the labels of each recording are, by the shift that puts most of them on detections, `[R]`.

  0 for recordings of few labels, which some shift fits by chance.
  """
  offsets_s = np.zeros(1 + max(one.recording for one in tracks))
  groups = [np.arange(len(offsets_s))] if common_offset else np.arange(len(offsets_s))[:, None]
  for group in groups:
    own = [one for one in tracks if one.recording in group]
    if not own:  # all that it has was counted
      continue
    # One track after the other, so that no label is taken for one of another class.
    ends_s = [max(one.duration_s, *one.labels_s[-1:], *one.detections_s[-1:], 0.0) for one in own]
    starts_s = np.cumsum([0.0, *(end_s + 2 * reach_s for end_s in ends_s)])[:-1]
    labels_s, detections_s = (
      np.concatenate([getattr(one, name) + start_s for one, start_s in zip(own, starts_s, strict=True)])
      for name in ("labels_s", "detections_s")
    )
    if min(len(labels_s), len(detections_s)) < _FEWEST:
      continue
    confidence = np.concatenate([one.confidence for one in own])
    found = label_timing.compare(labels_s, detections_s, confidence, max_offset_s=reach_s, max_drift=0.0)
    offsets_s[group] = np.nan_to_num(found.offset_s)
  return offsets_s


def _maximize(
  before: LabelModel, layout: Layout, chance: np.ndarray, duration_s: float, common_offset: bool
) -> LabelModel:
  """The model that explains the pairs best, each as far as it is probable."""
  shrunk = functools.partial(_shrunk_means, chance, noise_s=before.noise_s)
  kind_offset_s = before.kind_offset_s[layout.kind][:, None]
  lag_s = layout.lag_s - kind_offset_s
  offset_s, variance = shrunk(lag_s, layout.recording, before.offset_s, equal=common_offset)
  error_s = layout.lag_s - offset_s[layout.recording][:, None]
  doubt = variance[layout.recording]
  kind_offset_s = np.zeros(1)  # of a single kind it is part of the other
  if len(before.kind_offset_s) > 1:
    kind_offset_s, variance = shrunk(error_s, layout.kind, before.kind_offset_s, equal=False)
    doubt = doubt + variance[layout.kind]
  error_s = error_s - kind_offset_s[layout.kind][:, None]
  noise_s, spread_scale = _errors(chance, np.square(error_s) + doubt[:, None], layout.spread_s)
  labelled = Pairing(layout.first, chance, layout.first).labelled(len(layout.confidence))
  knots, reliability = _reliability(layout.confidence, labelled)
  num_stray = max(len(chance) - chance.sum(), 0.0)
  return LabelModel(
    noise_s=noise_s,
    spread_scale=spread_scale,
    offset_s=offset_s,
    kind_offset_s=kind_offset_s,
    stray_hz=(num_stray + 0.5) / duration_s,  # half a label more, so that nothing is impossible
    knots=knots,
    reliability=reliability,
  )


def _errors(chance: np.ndarray, squared: np.ndarray, spread_s: np.ndarray) -> tuple[float, float]:
  """The noise of labels and the scale of spreads that add up to the squared errors, by least squares.

  Few labels say little about the scale. Probability that is true to its word reaches as far as the errors do,
  so the prior expectation of its square is 1.
  """
  x, y = np.square(spread_s), squared
  total = max(chance.sum(), 1e-9)
  x_mean, y_mean = (chance * x).sum() / total, (chance * y).sum() / total
  covariance = (chance * (x - x_mean) * (y - y_mean)).sum() / total
  x_variance = (chance * np.square(x - x_mean)).sum() / total
  slope = 0.0
  if x_variance > 1e-18:
    slope = covariance / x_variance
    rest = (chance * np.square(y - y_mean - slope * (x - x_mean))).sum() / total
    error = rest / x_variance / total + 1e-12  # its variance
    slope = (slope * _PRIOR_VARIANCE + error) / (_PRIOR_VARIANCE + error)
    slope = np.clip(slope, 0.0, y_mean / x_mean)
  return max(float(np.sqrt(max(y_mean - slope * x_mean, 0.0))), _SHARPEST_S), float(np.sqrt(slope))


def _shrunk_means(
  chance: np.ndarray,
  lag_s: np.ndarray,
  group: np.ndarray,
  before_s: np.ndarray,
  *,
  noise_s: float,
  equal: bool,
) -> tuple[np.ndarray, np.ndarray]:
  """Mean lag of each group, drawn to that of all by how little they differ and how few labels it has.

  And its variance: of a few labels the mean is near them by itself, which is no reason to call them exact.
  """
  num_groups = len(before_s)
  mass = np.bincount(group, chance.sum(1), num_groups)
  own_s = np.bincount(group, (chance * lag_s).sum(1), num_groups) / np.maximum(mass, 1e-9)
  mean_s = mass @ own_s / max(mass.sum(), 1e-9)
  known = mass >= 1
  if equal or known.sum() < 2:
    return np.full(num_groups, mean_s), np.full(num_groups, noise_s**2 / max(mass.sum(), 1e-9))
  error = noise_s**2 / np.maximum(mass, 1e-9)
  # Variance between groups: what is left of their spread without the errors of their means (moments).
  between = max(float(np.mean(np.square(own_s - mean_s)[known] - error[known])), _SHARPEST_S**2)
  return (own_s * between + mean_s * error) / (between + error), between * error / (between + error)


def _reliability(confidence: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """How often detections of a confidence have labels: the best curve through bins that never decreases."""
  from scipy.optimize import isotonic_regression

  order = np.argsort(confidence, kind="stable")
  num_bins = int(np.clip(len(order) // _DETECTIONS_IN_A_BIN, 1, 100))
  starts = np.linspace(0, len(order), num_bins, endpoint=False).astype(int)
  sizes = np.diff(np.append(starts, len(order)))
  # Half a success and half a failure: few detections make no certainty.
  share = (np.add.reduceat(labelled[order], starts) + 0.5) / (sizes + 1)
  knots = np.add.reduceat(confidence[order], starts) / sizes
  return knots, np.clip(isotonic_regression(share, weights=sizes).x, 0.002, 0.998)


def _pair_probabilities(model: LabelModel, layout: Layout, *, best: bool = False) -> np.ndarray:
  """Probability of each near pair, `[N, W]`; of the best pairing alone, 0 or 1."""
  if not len(layout.first):
    return np.zeros(layout.near.shape)
  rows, _ = _weights(model, layout)
  return label_pairing.probabilities(rows, len(layout.first), best=best)


def _weights(model: LabelModel, layout: Layout) -> tuple[label_pairing.Rows, np.ndarray]:
  """What pairs weigh by a model, and the probability that each detection has a label."""
  labelled = model.labelled(layout.confidence)
  rows = label_pairing.weigh(
    layout,
    labelled=labelled,
    std_s=np.hypot(model.noise_s, model.spread_scale * layout.spread_s),
    offset_s=model.offset_s[layout.recording] + model.kind_offset_s[layout.kind],
    stray_hz=model.stray_hz,
  )
  return rows, labelled
