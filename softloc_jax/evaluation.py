"""Scoring a network on whole recordings: predict, choose thresholds, decode, compare, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools
import logging
import os
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

from softloc_jax import alignment, count_decoding, decode, events, metrics, plots, predict, thresholds
from softloc_jax.data import event_writers
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network, Variables

Events = dict[str, np.ndarray]


class Calibration(NamedTuple):
  """What decoding learns from held-out recordings with labels of the kind that training has.

  Attributes:
    thresholds: of each class, `[C]`.
    offsets_s: seconds added to the events of each class, `[C]`.
  """

  thresholds: list[float]
  offsets_s: list[float]


class Decoder:
  """Event probabilities to events in seconds, as a config says.

  Args:
    config: `method` ("threshold", "mass", "count_posterior", "peak_pick" or "one_each"), `suppression_s`,
      `window_s` (mass, one_each: of an event; count_posterior: of the counts),
      `softness_s` (peak_pick), `count_window_s` (threshold choice), `align_softness_s` (0 where labels
      hold no times) and `align_max_s` (offset), `shared` (whether all classes have one threshold and one
      offset: for classes of one kind, such as pitches, many of which are rare).
    classes: order of the class axis.
    frame_rate_hz: frames per second.

  Raises:
    ValueError: an unknown method, or settings that it refuses.
  """

  def __init__(self, config: Any, classes: Sequence[str], frame_rate_hz: float):
    suppression = config.suppression_s * frame_rate_hz
    methods = {
      "threshold": functools.partial(decode.threshold, suppression=suppression),
      "mass": functools.partial(
        decode.mass_pick, suppression=suppression, window=config.window_s * frame_rate_hz
      ),
      "count_posterior": functools.partial(
        count_decoding.count_posterior,
        suppression=suppression,
        window=config.window_s * frame_rate_hz,
      ),
      "peak_pick": functools.partial(decode.peak_pick, softness=config.softness_s * frame_rate_hz),
      "one_each": functools.partial(decode.one_each, window=config.window_s * frame_rate_hz),
    }
    if config.method not in methods:
      raise ValueError(f"decode.method is {config.method!r}; expected one of {', '.join(methods)}")
    self._decode = methods[config.method]
    self._decode(np.zeros((1, len(classes))), threshold=0.5)  # refuses bad settings now, not after training
    self._classes, self._frame_rate_hz = tuple(classes), frame_rate_hz
    self._count_window = config.count_window_s * frame_rate_hz
    self._align = (
      {"softness_s": config.align_softness_s, "max_offset_s": config.align_max_s}
      if config.align_softness_s
      else None
    )
    self._shared = config.shared

  def detections(self, probs: np.ndarray, threshold: float) -> tuple[Events, Events]:
    """Times in seconds and confidences of all events that reach one threshold, not moved by any offset."""
    num_classes = len(self._classes)
    return self(probs, Calibration([threshold] * num_classes, [0.0] * num_classes))

  def calibrate(
    self, probs: Sequence[np.ndarray], recordings: Sequence[Recording]
  ) -> tuple[Calibration, float]:
    """Thresholds that agree best with the *given* labels' counts, and offsets with their times.

    Args:
      probs: `[T, C]` of each recording.
      recordings: with labels as training has them, noisy or not.

    Returns:
      The calibration, and the count error it leaves as a share of the events.
    """
    choice = self._choose_thresholds(probs, recordings)
    num_classes = len(self._classes)
    plain = Calibration(np.broadcast_to(choice.threshold, num_classes).tolist(), [0.0] * num_classes)
    error = float(choice.count_error.min(axis=-1).sum() / max(_num_events(recordings, self._classes), 1))
    if self._align is None:
      return plain, error
    found = [self(p, plain)[0] for p in probs]

    def offset_s(names: Sequence[str]) -> float:
      labels_s = [one.times_s(name) for name in names for one in recordings]
      estimates_s = [f[name] for name in names for f in found]
      return alignment.constant_offset(labels_s, estimates_s, **self._align)

    if self._shared:
      return plain._replace(offsets_s=[offset_s(self._classes)] * num_classes), error
    return plain._replace(offsets_s=[offset_s([name]) for name in self._classes]), error

  def _choose_thresholds(self, probs, recordings) -> thresholds.ThresholdChoice:
    """Of each class, or one of all of them, each recording then standing for as many as it has classes.

    A class that these recordings know nothing of is left at one half.
    """
    found = [self._known_counts(len(p), one) for p, one in zip(probs, recordings, strict=True)]
    windows, counts, known = (list(part) for part in zip(*found, strict=True))
    if self._shared:
      windows = [one for one in windows for _ in self._classes]
      probs, counts, known = (
        [x[:, c, None] for x in one for c in range(x.shape[1])] for one in (probs, counts, known)
      )
    some = np.any([one.any(axis=0) for one in known], axis=0)
    if not some.all():
      names = [name for name, any_known in zip(self._classes, some, strict=False) if not any_known]
      logging.warning("nothing is known of %s in the held-out recordings: threshold 0.5", ", ".join(names))
    choice = (
      thresholds.choose_threshold(
        [p[:, some] for p in probs],
        [one[:, some] for one in counts],
        decode_fn=self._decode,
        window=self._count_window,
        where=[one[:, some] for one in known],
        windows=windows,
      )
      if some.any()
      else thresholds.ThresholdChoice(np.zeros(0), np.zeros(0), np.zeros((0, 1)))
    )
    return choice._replace(threshold=_spread(choice.threshold, some))

  def _known_counts(self, num_frames: int, recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows `[W, 2]` in frames, least and largest counts `[W, C, 2]`, and which are known, `[W, C]`.

    Consecutive windows where there are times, and those that somebody counted.
    """
    rate_hz = self._frame_rate_hz
    timed = [recording.is_labelled(name) for name in self._classes]
    spans, counts, known = [], [], []
    if any(timed):
      # The last event may lie past the centre of the last frame.
      per_class = [
        thresholds.window_counts(
          np.minimum(recording.times_s(name) * rate_hz, num_frames),
          window=self._count_window,
          duration=num_frames,
        )
        for name in self._classes
      ]
      consecutive = thresholds.consecutive_windows(num_frames, self._count_window)
      spans.append(consecutive)
      counts.append(np.repeat(np.stack(per_class, axis=-1)[..., None], 2, axis=-1))
      known.append(np.broadcast_to(timed, (len(consecutive), len(timed))))
    for column, name in enumerate(self._classes):
      windows = recording.counted.get(name, ())
      if not windows:
        continue
      bounds = np.zeros((len(windows), len(self._classes), 2))
      bounds[:, column] = [(one.low, np.inf if one.high is None else one.high) for one in windows]
      spans.append(rate_hz * np.array([(one.start_s, one.end_s) for one in windows]))
      counts.append(bounds)
      known.append(np.broadcast_to(np.arange(len(self._classes)) == column, bounds.shape[:2]))
    if not spans:
      num_classes = len(self._classes)
      return np.zeros((0, 2)), np.zeros((0, num_classes, 2)), np.zeros((0, num_classes), bool)
    return np.concatenate(spans), np.concatenate(counts), np.concatenate(known)

  def __call__(self, probs: np.ndarray, calibration: Calibration) -> tuple[Events, Events]:
    """Times in seconds and confidences of the events of each class in `[T, C]`.

    An offset moves no event out of the recording: it stops at the border.
    """
    found = self._decode(probs, threshold=np.asarray(calibration.thresholds))
    last_s = events.frames_to_seconds(max(len(probs) - 1, 0), self._frame_rate_hz)
    times = {
      name: np.clip(events.frames_to_seconds(one.frames, self._frame_rate_hz) + offset_s, 0.0, last_s)
      for name, one, offset_s in zip(self._classes, found, calibration.offsets_s, strict=True)
    }
    return times, {name: one.confidence for name, one in zip(self._classes, found, strict=True)}


def _num_events(recordings: Sequence[Recording], classes: Sequence[str]) -> int:
  """Events of known time, and those that were counted at least."""
  timed = sum(len(one.times_s(name)) for one in recordings for name in classes)
  return timed + sum(
    window.low for one in recordings for name in classes for window in one.counted.get(name, ())
  )


def _spread(values: np.ndarray, some: np.ndarray) -> np.ndarray:
  """Thresholds of some classes among those of all, the others one half."""
  found = np.full(len(some), 0.5)
  found[some] = values
  return found


def score(
  estimates: Sequence[Events],
  recordings: Sequence[Recording],
  *,
  classes: Sequence[str],
  window_s: float,
  more_windows_s: Sequence[float] = (),
  official_shift_s: float | None = None,
) -> dict[str, float]:
  """`metrics.evaluate` of estimated events against the recordings' own.

  Args:
    estimates: of each recording, times of each class in seconds.
    recordings: with the true events.
    classes: all that may occur.
    window_s: tolerance in seconds.
    more_windows_s: tolerances at which F1 is added: `f1@20ms`, `f1@20ms/<class>`, `f1_recordings@20ms`, ...
    official_shift_s: adds F1 as the papers' own code scores it, `f1@official` and so on: matched in order,
      all estimates moved by a constant. None leaves it out.

  Returns:
    The metrics; where somebody counted windows, also `window_count_error`, by how much the number of events
    in them is too large or too small, on average.
  """
  evaluate = functools.partial(
    metrics.evaluate,
    [{name: one.times_s(name) for name in classes} for one in recordings],
    classes=tuple(classes),
    durations_s=[one.duration_s for one in recordings],
    labelled=[{name: one.is_labelled(name) for name in classes} for one in recordings],
  )
  estimates = list(estimates)
  scores = evaluate(estimates, window_s=window_s)
  for other_s in more_windows_s:
    scores |= _f1_of(evaluate(estimates, window_s=other_s), f"{1000 * other_s:g}ms")
  if any(one.counted for one in recordings):
    scores["window_count_error"] = _window_count_error(estimates, recordings)
  if official_shift_s is not None:
    moved = [{k: np.maximum(v + official_shift_s, 0) for k, v in one.items()} for one in estimates]
    found = evaluate(moved, window_s=window_s, match_fn=metrics.match_in_order)
    scores |= _f1_of(found, "official")
  return scores


def _window_count_error(estimates: Sequence[Events], recordings: Sequence[Recording]) -> float:
  """Mean distance of the number of events in a counted window to what is right."""
  errors = []
  for found, recording in zip(estimates, recordings, strict=True):
    for name, windows in recording.counted.items():
      times_s = np.sort(found[name])
      for one in windows:
        count = np.diff(np.searchsorted(times_s, [one.start_s, one.end_s]))[0]
        errors.append(max(one.low - count, count - (count if one.high is None else one.high), 0))
  return float(np.mean(errors)) if errors else float("nan")


def protocol_scores(
  name: str, estimates: Sequence[Events], recordings: Sequence[Recording]
) -> dict[str, float]:
  """What a benchmark scores by, beside what every experiment does: "golf_pce", or "" for nothing.

  Raises:
    ValueError: another name.
  """
  if not name:
    return {}
  if name != "golf_pce":
    raise ValueError(f"protocol is {name!r}; expected 'golf_pce' or ''")
  # One event of each class; where none was found, the first frame stands for it.
  frames = [[next(iter(one[event]), 0.0) for event in metrics.GOLF_EVENTS] for one in estimates]
  true = [[one.times_s(event)[0] for event in metrics.GOLF_EVENTS] for one in recordings]
  return metrics.golf_pce(frames, true)


def _f1_of(scores: Mapping[str, float], suffix: str) -> dict[str, float]:
  """`f1` and `f1_recordings`, of all and of each class, under a name with a suffix."""
  names = {key: key.split("/") for key in scores}
  return {
    "/".join([f"{name}@{suffix}", *of]): scores[key]
    for key, (name, *of) in names.items()
    if name in ("f1", "f1_recordings")
  }


def evaluate_replicas(
  config: Any,
  network: Network,
  variables: Variables,
  calibrations: Sequence[Mapping[str, Any]],
  recordings: Sequence[Sequence[Recording]],
  *,
  out: pathlib.Path,
) -> list[dict[str, Any]]:
  """Scores every replica on whole recordings, and writes what it predicts.

  Args:
    config: of the experiment.
    network: signal to logits.
    variables: stacked over replicas.
    calibrations: the fields of `Calibration`, one per replica.
    recordings: of each replica, with their true events.
    out: gets `predictions/<id>.csv` (`predictions/seed_<seed>/<id>.csv` of several replicas), and the
      first replica's `figures/<id>.png` of the first `config.num_figures` recordings.

  Returns:
    For each replica the metrics of `score`, its `calibration`, and under `recordings` the metrics of each.
  """
  predictor = predict.Predictor.from_config(network, config.predict)
  decoder = Decoder(config.decode, network.classes, network.extractor.frame_rate_hz)
  probs_of = probabilities(predictor, variables, recordings)
  results = []
  for replica, (fields, own) in enumerate(zip(calibrations, recordings, strict=False)):
    calibration = Calibration(**fields)
    folder = out / "predictions"
    if len(calibrations) > 1:
      folder = folder / f"seed_{config.seed + replica}"
    estimates = []
    for number, (one, probs) in enumerate(zip(own, probs_of[replica], strict=True)):
      times, confidence = decoder(probs, calibration)
      write_predictions(folder, one.id, times, confidence)
      estimates.append(times)
      if replica == 0 and number < config.num_figures:
        figure = out / "figures" / f"{one.id}.png"
        plots.save_recording(figure, one, network.extractor, probs, times, network.classes)
    scores = functools.partial(
      score,
      classes=network.classes,
      window_s=config.score_window_s,
      more_windows_s=config.more_score_windows_s,
      official_shift_s=config.official_shift_s,
    )
    overall = scores(estimates, own) | protocol_scores(config.get("protocol", ""), estimates, own)
    alone = {one.id: scores([times], [one]) for one, times in zip(own, estimates, strict=True)}
    results.append(overall | {"calibration": calibration._asdict(), "recordings": alone})
  return results


def probabilities(
  predictor: predict.Predictor, variables: Variables, recordings: Sequence[Sequence[Recording]]
) -> list[list[np.ndarray]]:
  """Event probabilities `[T, C]` of each replica's recordings; of an ensemble, one list for all.

  Where all replicas have the same recordings, they listen to them together.
  """
  if all(own is recordings[0] for own in recordings):
    found = [predictor.probabilities(variables, one.signal) for one in recordings[0]]
    return [list(of_replica) for of_replica in zip(*found, strict=True)]
  found = []
  for replica, own in enumerate(recordings):
    alone = jax.tree.map(lambda leaf, at=replica: leaf[at : at + 1], variables)
    found.append([predictor.probabilities(alone, one.signal)[0] for one in own])
  return found


def summarize(per_replica: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Mean of each metric over the replicas, `<metric>/seed_std` if there are several, and `replicas` whole."""
  numbers = [{k: v for k, v in one.items() if isinstance(v, float)} for one in per_replica]
  results: dict[str, Any] = mean(numbers)
  if len(per_replica) > 1:
    values = {key: [one[key] for one in numbers if key in one] for key in results}
    results |= {f"{key}/seed_std": float(np.std(v, ddof=1)) for key, v in values.items() if len(v) > 1}
  return results | {"replicas": [dict(one) for one in per_replica]}


def mean(scalars: Sequence[Mapping[str, Any]]) -> dict[str, float]:
  """Mean of each key over the dicts that have it."""
  keys = dict.fromkeys(key for one in scalars for key in one)
  return {key: float(np.mean([np.asarray(one[key]) for one in scalars if key in one])) for key in keys}


def write_predictions(
  folder: str | os.PathLike,
  recording_id: str,
  times: Mapping[str, np.ndarray],
  confidence: Mapping[str, np.ndarray],
) -> None:
  """`<folder>/<id>.csv` with `time,label,confidence`, as the folder loader reads it."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  event_writers.write_events(folder / f"{recording_id}.csv", times, confidence, overwrite=True)
