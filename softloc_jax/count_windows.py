"""What counts of windows say of any other window: on frames, for training and for thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softloc_jax import events
from softloc_jax.data.recording import CountedWindow, Recording

# Stands for "or more"; more than any window holds, and adds up without overflow.
UNBOUNDED = 1 << 24


class CountedFrames:
  """Counted windows of one class on the frame grid, and what follows from them for others.

  Args:
    windows: by their start, none overlapping another.
    num_frames: of the recording.
    frame_rate_hz: frames per second.

  >>> known = CountedFrames([CountedWindow(0, 1, 2, 2), CountedWindow(1, 2, 1, None)], 200, 100.0)
  >>> known.bounds(0, 100), known.bounds(0, 200) == (3, UNBOUNDED), known.bounds(20, 80), known.bounds(80, 200)
  ((2, 2), True, (0, 2), (1, 16777216))
  """

  def __init__(self, windows: Sequence[CountedWindow], num_frames: int, frame_rate_hz: float):
    bounds = [
      events.seconds_to_frames([one.start_s, min(one.end_s, (num_frames + 1) / frame_rate_hz)], frame_rate_hz)
      for one in windows
    ]
    self.spans = np.minimum(np.array(bounds, np.int64).reshape(-1, 2), num_frames)  # [n, 2]
    self.low = np.array([one.low for one in windows], np.int64)
    self.high = np.array([UNBOUNDED if one.high is None else one.high for one in windows], np.int64)

  def bounds(self, start: int, stop: int) -> tuple[int, int]:
    """Least and largest number of events in frames `[start, stop)`, as far as it follows from the counts.

    Windows within it hold events that it holds too; it holds no more than all that it touches, if they leave
    nothing of it out. `UNBOUNDED` where nothing follows.
    """
    starts, stops = self.spans.T
    within = (starts >= start) & (stops <= stop)
    touched = (starts < stop) & (stops > start)
    covered = np.minimum(stops[touched], stop) - np.maximum(starts[touched], start)
    low = int(self.low[within].sum())
    if covered.sum() < stop - start:
      return low, UNBOUNDED
    return low, int(min(self.high[touched].sum(), UNBOUNDED))


def of_recording(
  recording: Recording, classes: Sequence[str], num_frames: int, frame_rate_hz: float
) -> dict[str, CountedFrames]:
  """Class -> its counted windows, of the classes that have any.

  Raises:
    ValueError: a window of less than a frame, or with more events than frames.
  """
  found = {}
  for name in classes:
    windows = recording.counted.get(name, ())
    if not windows:
      continue
    known = CountedFrames(windows, num_frames, frame_rate_hz)
    lengths = np.diff(known.spans, axis=1)[:, 0]
    for one, length in zip(windows, lengths, strict=True):
      if length < max(one.low, 1):
        raise ValueError(
          f"recording {recording.id!r}, class {name!r}: the window from {one.start_s:.3f} to {one.end_s:.3f} s"
          f" has {length} frames for {one.low} events; expected a frame or more, and no more events than frames"
        )
    found[name] = known
  return found


def distinct(known: Sequence[CountedFrames]) -> np.ndarray:
  """The windows of several classes, each once, by their start: `[n, 2]`."""
  spans = [one.spans for one in known]
  return np.unique(np.concatenate([np.zeros((0, 2), np.int64), *spans]), axis=0)
