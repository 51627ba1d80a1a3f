"""What times and counts say of a window, class by class."""

from __future__ import annotations

from collections.abc import Sequence
import zlib

import numpy as np

from softloc_jax.data.recording import CountedWindow, Recording

# What is known of the events of a class in a window.
UNLABELLED, EXACT, JITTERED, COUNTED = range(4)

# Stands for "or more"; more than any window holds, and adds up without overflow.
UNBOUNDED = 1 << 24


class CountedFrames:
  """Counted windows of one class on the frame grid, and what follows from them for others.

  An event belongs to the frame whose centre is nearest, so a border cuts a frame in two. To which side the
  frame goes is drawn, by its shares: whoever always took the same side would teach a network to be half a
  frame early or late. The draw depends on the border alone: neighbouring windows and all classes agree on it.

  Args:
    windows: by their start, none overlapping another.
    num_frames: of the recording.
    frame_rate_hz: frames per second.
    duration_s: of the recording, whose ends are cut by no border; None takes it from its frames.

  >>> known = CountedFrames([CountedWindow(0, 1.005, 2, 2), CountedWindow(1.005, 2, 1, None)], 200, 100.0)
  >>> known.bounds(0, 101), known.bounds(20, 80), known.bounds(80, 200) == (1, UNBOUNDED)
  ((2, 2), (0, 2), True)
  """

  def __init__(
    self,
    windows: Sequence[CountedWindow],
    num_frames: int,
    frame_rate_hz: float,
    duration_s: float | None = None,
  ):
    last_s = (num_frames / frame_rate_hz if duration_s is None else duration_s) - 0.5 / frame_rate_hz
    ends_s = np.reshape([(one.start_s, one.end_s) for one in windows], (-1, 2))
    frames = np.minimum(_border_frames(ends_s, frame_rate_hz), num_frames)
    frames = np.where(ends_s <= 0, 0, np.where(ends_s >= last_s, num_frames, frames))
    self.spans = frames.astype(np.int64)  # [n, 2]
    lengths = np.diff(self.spans, axis=1)[:, 0].tolist()
    self.low = np.array([one.low for one in windows], np.int64)
    high = [
      UNBOUNDED if one.high is None else max(min(one.high, length), one.low)
      for one, length in zip(windows, lengths, strict=True)
    ]
    self.high = np.array(high, np.int64)

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


def _border_frames(times_s: np.ndarray, frame_rate_hz: float) -> np.ndarray:
  """The first frame after each border: the one that it cuts, or the next, as its share of it is drawn."""
  draw = np.array([zlib.crc32(f"{time_s:.6f}".encode()) / 2**32 for time_s in times_s.ravel()])
  return np.floor(times_s * frame_rate_hz + 0.5 + draw.reshape(times_s.shape))


def counted_frames(
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
    found[name] = CountedFrames(windows, num_frames, frame_rate_hz, recording.duration_s)
    lengths = np.diff(found[name].spans, axis=1)[:, 0]
    for one, length in zip(windows, lengths, strict=True):
      if length < max(one.low, 1):
        raise ValueError(
          f"recording {recording.id!r}, class {name!r}: the window from {one.start_s:.3f} to"
          f" {one.end_s:.3f} s has {length} frames for {one.low} events; expected a frame or more, and no"
          f" more events than frames"
        )
  return found


def distinct_windows(spans: Sequence[np.ndarray]) -> np.ndarray:
  """The windows of several classes, each once, by their start: `[n, 2]` frames."""
  return np.unique(np.concatenate([np.zeros((0, 2), np.int64), *spans]), axis=0)


def _within(known: CountedFrames, longest: int) -> np.ndarray:
  """Windows, those without any event in pieces that are no longer than the longest: each has none either."""
  pieces = []
  for (start, stop), high in zip(known.spans.tolist(), known.high.tolist(), strict=True):
    number = -(-(stop - start) // longest) if high == 0 else 1
    borders = np.linspace(start, stop, number + 1).astype(np.int64)
    pieces.append(np.stack([borders[:-1], borders[1:]], axis=1))
  return np.concatenate(pieces)


class MixedLabels:
  """What is known of the windows of one recording.

  Args:
    recording: with times of some classes and counts of others.
    classes: order of the class axis.
    num_frames: of the recording.
    frame_rate_hz: frames per second.
    longest: frames of the longest window that can be drawn.

  Raises:
    ValueError: as `counted_frames`; a counted window that is longer than the longest.
  """

  def __init__(
    self,
    recording: Recording,
    classes: Sequence[str],
    num_frames: int,
    frame_rate_hz: float,
    longest: int,
  ):
    self._counted = counted_frames(recording, classes, num_frames, frame_rate_hz)
    self._classes, self._exact = tuple(classes), recording.exact
    self._timed = {name for name in classes if recording.is_labelled(name)}
    self._windows = distinct_windows([_within(one, longest) for one in self._counted.values()])
    lengths = np.diff(self._windows, axis=1)[:, 0]
    if lengths.max(initial=0) > longest:
      raise ValueError(
        f"recording {recording.id!r}: a window of {lengths.max() / frame_rate_hz:.3f} s was counted; expected"
        f" at most window.counted_s, {longest / frame_rate_hz:.3f} s"
      )
    covered = np.zeros(num_frames, bool)
    for start, stop in self._windows:
      covered[start:stop] = True
    # In how many frames something is known: a recording is drawn that often.
    self.num_frames = num_frames if self._timed else int(covered.sum())

  def draw(self, rng: np.random.Generator) -> tuple[int, int] | None:
    """A counted window, or None for one anywhere; where there are counts and times, either is as likely."""
    if not len(self._windows) or (self._timed and rng.random() < 0.5):
      return None
    start, stop = self._windows[rng.integers(len(self._windows))]
    return int(start), int(stop)

  def known(self, start: int, stop: int) -> dict[str, np.ndarray]:
    """What a loss needs to know of frames `[start, stop)`.

    Returns:
      `supervision` `[C]` (UNLABELLED, EXACT, JITTERED or COUNTED), `count_interval` `[C, 2]`, and `labelled`
      `[C]`. A class whose counts say nothing of this window is unlabelled in it.
    """
    kinds, intervals = [], []
    for name in self._classes:
      interval = self._counted[name].bounds(start, stop) if name in self._counted else (0, UNBOUNDED)
      if name in self._timed:
        kinds.append(EXACT if name in self._exact else JITTERED)
      else:
        kinds.append(UNLABELLED if interval == (0, UNBOUNDED) else COUNTED)
      intervals.append(interval)
    return {
      "supervision": np.array(kinds, np.int32),
      "count_interval": np.array(intervals, np.int32),
      "labelled": np.array(kinds) != UNLABELLED,
    }
