"""Detected events against true ones. Times are in seconds, time errors in milliseconds, results flat dicts.

Onset scores agree with `mir_eval.onset.f_measure`, note scores with `mir_eval.transcription`; the tests
hold them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from softloc_jax import thresholds
from softloc_jax.matching import (
  check_times,
  match_events,
  match_in_order,
  precision_recall_f1,
  time_errors_ms,
)
from softloc_jax.protocols import GOLF_EVENTS, golf_pce, note_scores

__all__ = [
  "GOLF_EVENTS",
  "bootstrap_interval",
  "count_errors",
  "evaluate",
  "golf_pce",
  "match_events",
  "match_in_order",
  "note_scores",
  "onset_scores",
  "tolerance_curve",
]

# match_fn(reference, estimate, window_s=...) -> indices into both
MatchFn = Callable[..., tuple[np.ndarray, np.ndarray]]


def onset_scores(reference, estimate, *, window_s: float = 0.05) -> dict[str, float]:
  """Precision, recall and F1 at a tolerance, and the time errors of the matched events.

  Args:
    reference: sorted true times in seconds, `[R]`.
    estimate: sorted detected times in seconds, `[E]`.
    window_s: tolerance in seconds.

  Returns:
    `precision`, `recall`, `f1`, equal to `mir_eval.onset.f_measure` (so 0 where either list is empty, also
    where both are); `num_reference`, `num_estimate`, `num_matched`; `time_error_ms/mean` and
    `time_error_ms/std` of estimate minus reference over the matched pairs (positive is late), NaN without
    any.

  Raises:
    ValueError: times that are negative, not finite or not sorted; a negative tolerance.

  >>> scores = onset_scores([1.0, 2.0, 3.0], [1.01, 2.03, 5.0, 6.0])
  >>> [round(scores[key], 3) for key in ("precision", "recall", "f1", "time_error_ms/mean")]
  [0.5, 0.667, 0.571, 20.0]
  """
  ref_index, est_index = match_events(reference, estimate, window_s=window_s)
  counts = {
    "num_reference": len(reference),
    "num_estimate": len(estimate),
    "num_matched": len(ref_index),
  }
  errors_s = np.asarray(estimate)[est_index] - np.asarray(reference)[ref_index]
  return {**precision_recall_f1(**counts), **counts, **time_errors_ms(errors_s)}


def tolerance_curve(reference, estimate, windows_s: Sequence[float]) -> dict[str, np.ndarray]:
  """Onset scores as a function of the tolerance.

  Args:
    reference: sorted true times in seconds, `[R]`.
    estimate: sorted detected times in seconds, `[E]`.
    windows_s: tolerances in seconds, `[W]`.

  Returns:
    `window_s`, `precision`, `recall`, `f1`, each `[W]`.

  >>> tolerance_curve([1.0, 2.0], [1.01, 2.04], [0.005, 0.02, 0.05])["f1"]
  array([0. , 0.5, 1. ])
  """
  rows = [onset_scores(reference, estimate, window_s=w) for w in windows_s]
  curve = {key: np.array([row[key] for row in rows]) for key in ("precision", "recall", "f1")}
  return {"window_s": np.asarray(windows_s, dtype=np.float64), **curve}


def count_errors(reference, estimate, *, window_s: float, duration_s: float) -> np.ndarray:
  """Detected minus true number of events, in consecutive windows.

  Args:
    reference: sorted true times in seconds, `[R]`.
    estimate: sorted detected times in seconds, `[E]`.
    window_s: length of a window in seconds.
    duration_s: length of the recording in seconds. An event after it is counted too, in a window of its
      own if need be.

  Returns:
    Signed differences, `[W]`; the mean of their absolute values is the count error.

  Raises:
    ValueError: times that are negative, not finite or not sorted; a window or duration that is not
      positive.

  >>> count_errors([0.5, 0.6, 2.5], [0.5, 1.5, 1.6, 2.5], window_s=1, duration_s=3)
  array([-1,  2,  0])
  """
  reference, estimate = check_times("reference", reference), check_times("estimate", estimate)
  if not 0 < duration_s < np.inf:
    raise ValueError(f"duration_s is {duration_s}; expected a positive number of seconds")
  end_s = max(duration_s, *reference[-1:], *estimate[-1:], 0)
  found, true = (thresholds.window_counts(t, window=window_s, duration=end_s) for t in (estimate, reference))
  return found - true


def bootstrap_interval(
  values, *, confidence: float = 0.95, num_samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
  """Percentile bootstrap interval of a mean, over recordings.

  Args:
    values: one score per recording, `[num_recordings]`.
    confidence: coverage of the interval, between 0 and 1.
    num_samples: how often the recordings are drawn anew.
    seed: of the draws.

  Returns:
    Lower and upper end; NaN for a single recording, which says nothing of the others.

  Raises:
    ValueError: no values, values that are not finite, a confidence outside (0, 1), or no samples.

  References:
    Efron, Tibshirani. An introduction to the bootstrap. 1993. Chapter 13.

  >>> low, high = bootstrap_interval([0.8, 0.9, 1.0, 0.9])
  >>> 0.8 < low < 0.9 < high < 1.0
  True
  """
  values = np.asarray(values, dtype=np.float64)
  if values.ndim != 1 or not values.size or not np.isfinite(values).all():
    raise ValueError(f"values are {values}; expected one finite score per recording")
  if not 0 < confidence < 1:
    raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1")
  if num_samples < 1:
    raise ValueError(f"num_samples is {num_samples}; expected 1 or more")
  if len(values) == 1:
    return np.nan, np.nan
  draws = np.random.default_rng(seed).integers(len(values), size=(num_samples, len(values)))
  tail = (1 - confidence) / 2
  low, high = np.quantile(values[draws].mean(1), [tail, 1 - tail])
  return float(low), float(high)


def _check_lists(classes: Sequence[str], **lists) -> None:
  sizes = {name: len(items) for name, items in lists.items() if items is not None}
  if len(set(sizes.values())) != 1 or not next(iter(sizes.values())):
    raise ValueError(f"got {sizes}; expected one entry per recording in each, and a recording")
  if len(set(classes)) < len(classes):
    raise ValueError(f"classes are {', '.join(classes)}; expected each once")
  for name in ("references", "estimates", "labelled"):
    for i, by_class in enumerate(lists[name] or ()):
      if unknown := set(by_class) - set(classes):
        raise ValueError(
          f"{name}, recording {i}: unknown class {sorted(unknown)[0]!r}; expected one of {', '.join(classes)}"
        )


def _mean(values: Iterable[float]) -> float:
  values = [v for v in values if not np.isnan(v)]
  return float(np.mean(values)) if values else np.nan


def evaluate(
  references: Sequence[Mapping[str, Sequence[float]]],
  estimates: Sequence[Mapping[str, Sequence[float]]],
  *,
  classes: Sequence[str],
  window_s: float = 0.05,
  labelled: Sequence[Mapping[str, bool]] | None = None,
  durations_s: Sequence[float] | None = None,
  count_window_s: float = 10.0,
  match_fn: MatchFn = match_events,
) -> dict[str, float]:
  """Scores of a set of recordings with several classes of events.

  Args:
    references: for each recording, class name -> sorted true times in seconds; a missing class has no
      events.
    estimates: for each recording, class name -> sorted detected times in seconds.
    classes: the classes, all that may occur.
    window_s: tolerance in seconds.
    labelled: for each recording, class name -> whether it was annotated; a missing class was. Pairs of a
      recording and a class that were not annotated take no part in any score.
    durations_s: length of each recording; None counts each recording as one window.
    count_window_s: length of the windows of the count error, in seconds.
    match_fn: which events are pairs; `match_in_order` is how simple scoring code does it.

  Returns:
    A flat dict:

    - `f1/<class>`, `precision/<class>`, `recall/<class>`: events of all recordings pooled; NaN for a class
      without any true or detected event;
    - `f1`, `precision`, `recall`: their means over the classes;
    - `f1_recordings`, `precision_recordings`, `recall_recordings`: means over recordings of the scores of a
      recording's events of all classes, matched within their class, as papers on piano report it; silent
      recordings without detections are left out; `f1_recordings_low` and `f1_recordings_high`: a 95%
      bootstrap interval over recordings;
    - `f1_recordings/<class>`: the mean over recordings of the F1 of one class, as papers on drums report it;
      0 for a recording without such an event where some are detected;
    - `time_error_ms/mean`, `time_error_ms/std`: of all matched pairs, estimate minus reference; with
      `/<class>` of those of a class;
    - `count_error`: mean absolute count error of a class in a window;
    - `num_recordings`, `num_reference`, `num_estimate`, `num_matched`.

  Raises:
    ValueError: no recordings, lists of unequal length, a class that is not in `classes`, or twice, bad times.

  >>> scores = evaluate([{"KD": [1.0, 2.0]}], [{"KD": [1.0, 3.0], "SD": [2.0]}], classes=["KD", "SD"])
  >>> scores["f1/KD"], scores["f1"], scores["f1_recordings"]
  (0.5, 0.25, 0.4)
  """
  _check_lists(
    classes, references=references, estimates=estimates, labelled=labelled, durations_s=durations_s
  )
  counts = np.zeros((len(references), len(classes), 3), np.int64)  # true, detected, matched
  errors_s, differences = [[] for _ in classes], []
  for i, c, reference, estimate in _labelled_pairs(references, estimates, classes, labelled):
    ref_index, est_index = match_fn(reference, estimate, window_s=window_s)
    counts[i, c] = len(reference), len(estimate), len(ref_index)
    errors_s[c].extend(estimate[est_index] - reference[ref_index])
    if durations_s is None:
      differences.append(len(estimate) - len(reference))
    else:
      seconds = {"window_s": count_window_s, "duration_s": durations_s[i]}
      differences.extend(count_errors(reference, estimate, **seconds))
  totals = zip(("num_reference", "num_estimate", "num_matched"), counts.sum((0, 1)).tolist(), strict=True)
  return {
    **_class_scores(counts.sum(0), classes),
    **_recording_scores(counts, classes),
    **time_errors_ms([error for one in errors_s for error in one]),
    **{
      f"{key}/{name}": value
      for name, one in zip(classes, errors_s, strict=True)
      for key, value in time_errors_ms(one).items()
    },
    "count_error": _mean(np.abs(differences)),
    "num_recordings": len(references),
    **dict(totals),
  }


def _labelled_pairs(
  references, estimates, classes, labelled
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
  """Recording, class, true and detected times of all that was annotated."""
  for i, (reference, estimate) in enumerate(zip(references, estimates, strict=True)):
    for c, name in enumerate(classes):
      if labelled is None or labelled[i].get(name, True):
        where = f"recording {i}, class {name!r}"
        yield (
          i,
          c,
          check_times(f"{where}: reference", reference.get(name, ())),
          check_times(f"{where}: estimate", estimate.get(name, ())),
        )


def _class_scores(counts: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
  """Scores of each class, and their means over classes, from `[C, 3]` counts."""
  scores = {}
  for name, row in zip(classes, counts.tolist(), strict=True):
    for key, value in precision_recall_f1(*row).items():
      scores[f"{key}/{name}"] = value if row[0] + row[1] else np.nan
  means = {key: _mean(scores[f"{key}/{name}"] for name in classes) for key in ("f1", "precision", "recall")}
  return {**means, **scores}


def _recording_scores(counts: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
  """Means over recordings, of all classes and of each, from `[N, C, 3]` counts."""

  def by_recording(rows: np.ndarray) -> list[dict[str, float]]:
    return [precision_recall_f1(*row) for row in rows.tolist() if row[0] + row[1]]

  scores = by_recording(counts.sum(1))
  low, high = bootstrap_interval([one["f1"] for one in scores]) if scores else (np.nan, np.nan)
  return {
    **{f"{key}_recordings": _mean(one[key] for one in scores) for key in ("f1", "precision", "recall")},
    "f1_recordings_low": low,
    "f1_recordings_high": high,
    **{
      f"f1_recordings/{name}": _mean(one["f1"] for one in by_recording(counts[:, c]))
      for c, name in enumerate(classes)
    },
  }
