"""Scoring a network on whole recordings: predict, choose thresholds, decode, compare, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools
import os
import pathlib
from typing import Any

import numpy as np
import scipy.special

from softloc_jax import decode, events, metrics, thresholds
from softloc_jax.data import event_files
from softloc_jax.data.recording import Recording

Events = dict[str, np.ndarray]


class Decoder:
  """Event probabilities to events in seconds, as a config says.

  Args:
    config: `method` ("threshold", "mass" or "peak_pick"), `suppression_s`, `window_s` (mass),
      `softness_s` (peak_pick), `count_window_s` (threshold choice).
    classes: order of the class axis.
    frame_rate_hz: frames per second.

  Raises:
    ValueError: an unknown method.
  """

  def __init__(self, config: Any, classes: Sequence[str], frame_rate_hz: float):
    suppression = config.suppression_s * frame_rate_hz
    methods = {
      "threshold": functools.partial(decode.threshold, suppression=suppression),
      "mass": functools.partial(decode.mass_pick, suppression=suppression, window=config.window_s * frame_rate_hz),
      "peak_pick": functools.partial(decode.peak_pick, softness=max(config.softness_s * frame_rate_hz, 1e-3)),
    }
    if config.method not in methods:
      raise ValueError(f"decode.method is {config.method!r}; expected one of {', '.join(methods)}")
    self._decode = methods[config.method]
    self._classes, self._frame_rate_hz = tuple(classes), frame_rate_hz
    self._count_window = config.count_window_s * frame_rate_hz

  def choose_thresholds(self, probs: Sequence[np.ndarray], recordings: Sequence[Recording]) -> thresholds.ThresholdChoice:
    """Thresholds whose events agree best with the counts of the labels *as given*, noisy or not."""
    counts, known = [], []
    for p, recording in zip(probs, recordings, strict=True):
      per_class = [
        thresholds.window_counts(
          recording.times_s(name) * self._frame_rate_hz, window=self._count_window, duration=len(p)
        )
        for name in self._classes
      ]
      counts.append(np.stack(per_class, axis=-1))
      known.append(np.broadcast_to([recording.is_labelled(name) for name in self._classes], counts[-1].shape))
    return thresholds.choose_threshold(
      probs, counts, decode_fn=self._decode, window=self._count_window, where=known
    )

  def __call__(self, probs: np.ndarray, threshold: Sequence[float]) -> tuple[Events, Events]:
    """Times in seconds and confidences of the events of each class in `[T, C]`."""
    found = self._decode(probs, threshold=np.asarray(threshold))
    last_s = events.frames_to_seconds(max(len(probs) - 1, 0), self._frame_rate_hz)
    times = {
      name: np.clip(events.frames_to_seconds(one.frames, self._frame_rate_hz), 0.0, last_s)
      for name, one in zip(self._classes, found, strict=True)
    }
    return times, {name: one.confidence for name, one in zip(self._classes, found, strict=True)}


def probabilities(logits: np.ndarray) -> np.ndarray:
  """Sigmoid, on the host."""
  return scipy.special.expit(np.asarray(logits, np.float32))


def score(
  estimates: Sequence[Mapping[str, np.ndarray]],
  recordings: Sequence[Recording],
  classes: Sequence[str],
  *,
  window_s: float,
) -> dict[str, float]:
  """`metrics.evaluate` of estimated events against the recordings' own."""
  return metrics.evaluate(
    [{name: one.times_s(name) for name in classes} for one in recordings],
    list(estimates),
    classes=tuple(classes),
    window_s=window_s,
    durations_s=[one.duration_s for one in recordings],
    labelled=[{name: one.is_labelled(name) for name in classes} for one in recordings],
  )


def write_predictions(
  folder: str | os.PathLike, recording_id: str, times: Mapping[str, np.ndarray], confidence: Mapping[str, np.ndarray]
) -> None:
  """`<folder>/<id>.csv` with `time,label,confidence`, as the folder loader reads it."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  event_files.write_events(folder / f"{recording_id}.csv", times, confidence, overwrite=True)
