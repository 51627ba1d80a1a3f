"""Seconds, frames and counts: the only place where units change.

Frame `t` of a feature sequence is centred on the instant `t / frame_rate_hz`. An
event belongs to the nearest frame, so going to frames and back moves it by at most
half a frame and, on average, not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from typing import NamedTuple

import numpy as np


class FrameLabels(NamedTuple):
  """Events of a stretch of a recording on the frame grid.

  Attributes:
    labels: `[T, C]` float32, 1 where a class has at least one event in the frame.
    counts: `[C]` int32, events in the stretch; every event counts, also the second
      one of a frame.
    collisions: `[C]` int32, events that share their frame with another of their class:
      `counts - labels.sum(0)`.
  """

  labels: np.ndarray
  counts: np.ndarray
  collisions: np.ndarray


def seconds_to_frames(times_s, frame_rate_hz: float) -> np.ndarray:
  """The nearest frame of each time (halves go up): seconds -> int64 frames.

  Raises:
    ValueError: a time that is NaN or infinite.

  >>> seconds_to_frames([0.0, 0.014, 0.015], 100)
  array([0, 1, 2])
  """
  times_s = np.asarray(times_s, dtype=np.float64)
  if not np.isfinite(times_s).all():
    raise ValueError(f"an event time is {times_s[~np.isfinite(times_s)][0]}; expected finite seconds")
  # The tiny nudge keeps 0.015 * 100 = 1.4999999999999998 a half.
  return np.floor(times_s * frame_rate_hz + 0.5 + 1e-9).astype(np.int64)


def frames_to_seconds(frames, frame_rate_hz: float) -> np.ndarray:
  """The centre of each frame, whole or fractional: frames -> float64 seconds.

  >>> frames_to_seconds([0, 1.5], 100)
  array([0.   , 0.015])
  """
  return np.asarray(frames, dtype=np.float64) / frame_rate_hz


def duration_to_frames(duration_s: float, frame_rate_hz: float) -> int:
  """A duration as a whole number of frames, at least 1: for suppression windows, crops and tolerances.

  >>> duration_to_frames(0.05, 100)
  5
  """
  return max(1, round(duration_s * frame_rate_hz))


def to_frame_labels(
  events: Mapping[str, Sequence[float]],
  classes: Sequence[str],
  *,
  start_frame: int,
  num_frames: int,
  frame_rate_hz: float,
) -> FrameLabels:
  """Event times to binary frame labels and counts, over `[start_frame, start_frame + num_frames)`.

  Args:
    events: class name -> event times in seconds.
    classes: the order of the class axis.
    start_frame: first frame of the stretch; may be negative.
    num_frames: length of the stretch.
    frame_rate_hz: frames per second.

  Returns:
    The labels, the counts, and how many events share a frame: nothing is merged silently.

  Raises:
    ValueError: an event class that is not in `classes`, or a time that is NaN or infinite.

  >>> to_frame_labels({"KD": [0.1, 0.104, 0.3]}, ["KD"], start_frame=0, num_frames=20,
  ...                 frame_rate_hz=100).collisions
  array([1], dtype=int32)
  """
  unknown = set(events) - set(classes)
  if unknown:
    raise ValueError(f"unknown event class {sorted(unknown)[0]!r}; expected one of {', '.join(classes)}")
  hits = np.zeros((num_frames, len(classes)), dtype=np.int32)
  for column, name in enumerate(classes):
    frames = seconds_to_frames(events.get(name, ()), frame_rate_hz) - start_frame
    frames = frames[(frames >= 0) & (frames < num_frames)]
    np.add.at(hits[:, column], frames, 1)
  labels = hits > 0
  counts = hits.sum(0, dtype=np.int32)
  return FrameLabels(labels.astype(np.float32), counts, counts - labels.sum(0, dtype=np.int32))


def bias_for_empty_count(omega: float, num_frames: int) -> float:
  """Logit that gives a count of zero the probability `omega` (L15): `log((1 - q) / q)`, `q = omega^(1/T)`.

  Args:
    omega: `Pr(Y = 0)` before training, strictly between 0 and 1.
    num_frames: frames in a counted window.

  Raises:
    ValueError: `omega` outside (0, 1) or no frames.

  >>> round(bias_for_empty_count(0.8, 100), 3)
  -6.104
  """
  if not 0 < omega < 1:
    raise ValueError(f"omega is {omega}; expected a probability strictly between 0 and 1")
  if num_frames < 1:
    raise ValueError(f"num_frames is {num_frames}; expected 1 or more")
  log_q = math.log(omega) / num_frames
  return math.log(-math.expm1(log_q)) - log_q
