"""Event probabilities to events while they arrive: what `decode` finds, as soon as it is certain.

Frames that are still to come may hold anything. An event is certain once no such frame could change it,
however probable: then what is found piece by piece is what `decode` finds in the whole. Where two centres of
mass are equal to the last bit, and too close for both, either may be taken; and `Threshold` does not wait for
the end of one value that stays for more than ten times the suppression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
from typing import Any, NamedTuple, Protocol

import numpy as np

from softloc_jax import decode, evaluation, events

# Candidates that wait for stronger ones, which wait themselves, are decided as if nothing came any more after
# so many reaches: what is held in memory must not grow. It takes a slope of that length, or one value.
_MOST_REACHES = 10


class Event(NamedTuple):
  """An event of a stream.

  Attributes:
    time_s: since the stream began.
    label: name of the class.
    confidence: between 0 and 1.
  """

  time_s: float
  label: str
  confidence: float


class Picker(Protocol):
  """Events of one class: `push` takes the next frames, `[T]`, and returns what became certain.

  Attributes:
    wait_frames: frames after its own that an event needs, where no stronger candidate beside it waits.
  """

  wait_frames: int

  def push(self, probs: np.ndarray, *, last: bool = False) -> list[tuple[float, float]]:
    """Positions in frames and confidences; after the `last` frames, all that is left."""


class _Candidate(NamedTuple):
  rank: tuple[float, ...]  # the smallest is the strongest
  frame: int
  position: float
  confidence: float


class _Suppressor:
  """Greedy non-maximum suppression of candidates that come in the order of time.

  A candidate is dropped when a stronger one within reach is kept. It is kept when all stronger ones within
  reach are dropped, and no unseen frame is within reach. Neither can change any more. All others wait.
  """

  def __init__(self, reach: int):
    self._reach = reach
    self._waiting: list[_Candidate] = []
    self._kept: list[int] = []  # those that may still drop others

  @property
  def size(self) -> int:
    """Candidates in memory."""
    return len(self._waiting) + len(self._kept)

  def settle(self, new: Sequence[_Candidate], unseen: float) -> list[_Candidate]:
    """Candidates that are certain to be events, where others may appear from frame `unseen` on."""
    self._waiting += new
    found = self._decide(unseen)
    if self._waiting and unseen - self._waiting[0].frame > _MOST_REACHES * (self._reach + 1):
      found += self._decide(np.inf)
    return sorted(found, key=lambda one: one.frame)

  def _decide(self, unseen: float) -> list[_Candidate]:
    found, waiting, open_frames = [], [], []
    for one in sorted(self._waiting):
      if self._near(self._kept, one.frame):
        continue
      if one.frame + self._reach >= unseen or self._near(open_frames, one.frame):
        waiting.append(one)
        open_frames.append(one.frame)
      else:
        found.append(one)
        self._kept.append(one.frame)
    self._waiting = sorted(waiting, key=lambda one: one.frame)
    first = min([unseen, *open_frames])
    if np.isfinite(first):
      self._kept = [frame for frame in self._kept if frame + self._reach >= first]
    return found

  def _near(self, frames: Sequence[int], frame: int) -> bool:
    return any(abs(frame - other) <= self._reach for other in frames)


class Threshold:
  """`decode.threshold` of a stream, with the same arguments, of one class.

  Of equally probable neighbours the middle one is taken: frames wait until one comes that is not as probable.
  """

  def __init__(self, *, threshold: float, suppression: float):
    self._least, self._reach = threshold, int(suppression)
    self.wait_frames = self._reach + 1
    self._suppressor = _Suppressor(self._reach)
    self._run = np.zeros(0)  # the frames at the end that are equally probable
    self._num_frames = 0

  @property
  def size(self) -> int:
    """Numbers in memory."""
    return len(self._run) + self._suppressor.size

  def push(self, probs: np.ndarray, *, last: bool = False) -> list[tuple[float, float]]:
    values = np.concatenate([self._run, decode.checked_probabilities(probs)])
    first = self._num_frames - len(self._run)
    self._num_frames += len(probs)
    starts = np.flatnonzero(np.diff(values, prepend=np.nan))
    stops = np.append(starts, len(values))[1:]
    if len(starts) and not last:
      # An endless run of one value, as of a network that is quite certain, must end somewhere.
      is_endless = stops[-1] - starts[-1] > _MOST_REACHES * (self._reach + 1)
      if values[-1] >= self._least and not is_endless:
        starts, stops = starts[:-1], stops[:-1]
    used = stops[-1] if len(stops) else 0
    self._run = values[used:]
    new = []
    for start, stop in zip(starts, stops, strict=True):
      if values[start] < self._least:
        continue
      middle = (start + stop - 1) / 2
      for at in range(start, stop):
        frame, p = int(first + at), float(values[at])
        new.append(_Candidate((-p, abs(at - middle), frame), frame, float(frame), p))
    unseen = np.inf if last else first + used
    return [(one.position, one.confidence) for one in self._suppressor.settle(new, unseen)]


class _Plateau(NamedTuple):
  """Equal heights after a rise: an event lies in their middle, if they fall in the end."""

  start: int
  height: float
  confidence: float


class Mass:
  """`decode.mass_pick` of a stream, with the same arguments, of one class."""

  def __init__(self, *, threshold: float, suppression: float, window: float):
    self._least, self._reach, self._half = threshold, int(suppression), int(window)
    self.wait_frames = self._reach + 2 * self._half + 1  # an event lies up to a half before its centre
    self._offsets = np.arange(-self._half, self._half + 1)
    self._triangle = 1 - np.abs(self._offsets) / (self._half + 1)
    self._height = threshold / (self._half + 1) * (1 - 1e-9)
    self._suppressor = _Suppressor(self._reach)
    # One frame beyond the beginning, so that the first can be a maximum, and what it is smoothed with.
    self._values = np.zeros(self._half + 1)
    self._first = -1  # frame of the first smoothed value, `half` after that of the first value
    self._plateau: _Plateau | None = None  # one that is too long to be kept

  @property
  def size(self) -> int:
    """Numbers in memory."""
    return len(self._values) + self._suppressor.size

  def push(self, probs: np.ndarray, *, last: bool = False) -> list[tuple[float, float]]:
    from scipy import signal

    parts = [self._values, decode.checked_probabilities(probs), np.zeros(self._half + 1 if last else 0)]
    self._values = np.concatenate(parts)
    if len(self._values) <= 2 * self._half:
      return []
    smooth = np.convolve(self._values, self._triangle, mode="valid")
    new = self._end_of_plateau(smooth)
    new += [self._candidate(int(at), smooth[at]) for at in signal.find_peaks(smooth, height=self._height)[0]]
    # A maximum may still appear at the end: at its last value, or in the middle of several equal ones.
    differs = np.flatnonzero(smooth != smooth[-1])
    begins = int(differs[-1]) + 1 if len(differs) else 0
    if smooth[-1] < self._height:
      begins = len(smooth) - 1
    elif len(smooth) - begins > _MOST_REACHES * (self._reach + 1):
      middle = (begins + len(smooth)) // 2
      if begins and smooth[begins - 1] < smooth[-1]:
        confidence = self._candidate(middle, smooth[-1]).confidence
        self._plateau = _Plateau(self._first + begins, float(smooth[-1]), confidence)
      begins = len(smooth) - 1
    unseen = self._first + begins if self._plateau is None else self._plateau.start
    unseen = np.inf if last else unseen
    # The value before the open ones stays: it tells whether they rise.
    keep = max(begins - 1, 0)
    self._values, self._first = self._values[keep:], self._first + keep
    found = self._suppressor.settle(new, unseen)
    return [(one.position, one.confidence) for one in found if one.confidence >= self._least]

  def _end_of_plateau(self, smooth: np.ndarray) -> list[_Candidate]:
    """The event of a plateau that falls now; one that rises has none."""
    if self._plateau is None:
      return []
    differs = np.flatnonzero(smooth != self._plateau.height)
    if not len(differs):
      return []
    start, height, confidence = self._plateau
    self._plateau = None
    if smooth[differs[0]] > height:
      return []
    middle = (start + self._first + int(differs[0]) - 1) // 2
    return [_Candidate((-height, -middle), middle, float(middle), confidence)]

  def _candidate(self, at: int, height: float) -> _Candidate:
    around, centre = self._values[at : at + len(self._offsets)], self._first + at
    mass = around.sum()
    position = centre + float(around @ self._offsets / mass)
    return _Candidate((-float(height), -centre), centre, position, float(min(mass, 1)))


class PeakPick:
  """`decode.peak_pick` of a stream, with the same arguments, of one class.

  Heights fall with every event within six times the softness, and what its neighbours' neighbours change is
  felt further away, less and less: events are taken for certain 18 times the softness after them. That is no
  proof, but none of 24 000 events in heat maps of noise differed, where 12 times changed 7 of them.
  """

  def __init__(self, *, threshold: float, softness: float):
    self._decode = functools.partial(decode.peak_pick, softness=softness, threshold=threshold)
    self.wait_frames = 3 * int(np.ceil(6 * softness))
    self._values, self._first, self._done = np.zeros(0), 0, 0

  @property
  def size(self) -> int:
    """Numbers in memory."""
    return len(self._values)

  def push(self, probs: np.ndarray, *, last: bool = False) -> list[tuple[float, float]]:
    self._values = np.concatenate([self._values, probs])
    num_frames = self._first + len(self._values)
    certain = num_frames if last else max(num_frames - self.wait_frames, self._done)
    found = self._decode(self._values)
    frames = found.frames + self._first
    new = (frames >= self._done) & (frames < certain)
    # As much of what was decided is kept as must follow: the same may come from there.
    drop = max(certain - self.wait_frames - self._first, 0)
    self._values, self._first, self._done = self._values[drop:], self._first + drop, certain
    return list(zip(frames[new].tolist(), found.confidence[new].tolist(), strict=True))


class OnlineDecoder:
  """`evaluation.Decoder` of a stream: probabilities `[T, C]` in, in any pieces, events out.

  Args:
    config: as of `evaluation.Decoder`; `method` is "threshold", "mass" or "peak_pick".
    calibration: thresholds and offsets of the classes.
    classes: order of the class axis.
    frame_rate_hz: frames per second.

  Attributes:
    wait_s: seconds after its time that an event's last frame comes, where no stronger candidate beside it
      waits for others.

  Raises:
    ValueError: a method that looks at the whole recording.
  """

  def __init__(
    self,
    config: Any,
    calibration: evaluation.Calibration,
    classes: Sequence[str],
    frame_rate_hz: float,
  ):
    evaluation.Decoder(config, classes, frame_rate_hz)  # refuses bad settings
    make = _picker(config, frame_rate_hz)
    self._pickers = [make(threshold=float(least)) for least in calibration.thresholds]
    self._classes, self._offsets_s, self._rate_hz = tuple(classes), calibration.offsets_s, frame_rate_hz
    self._num_frames = 0
    self._held: list[Event] = []
    wait_s = events.frames_to_seconds(self._pickers[0].wait_frames, frame_rate_hz)
    # Events that are moved to later wait less, but at least for a frame after them: the stream may end first.
    self.wait_s = max(float(wait_s) - min(calibration.offsets_s), 1 / frame_rate_hz)

  @property
  def size(self) -> int:
    """Numbers in memory: it does not grow with the stream."""
    return len(self._held) + sum(picker.size for picker in self._pickers)

  def push(self, probs: np.ndarray, *, last: bool = False) -> list[Event]:
    """Events that became certain with these frames `[T, C]`, in order; after the `last`, all that are left.

    An offset moves no event out of the stream: one that is moved past its end so far waits for more.
    """
    self._num_frames += len(probs)
    last_s = float(events.frames_to_seconds(max(self._num_frames - 1, 0), self._rate_hz))
    found = self._held
    for column, (name, picker) in enumerate(zip(self._classes, self._pickers, strict=True)):
      for frame, confidence in picker.push(probs[:, column], last=last):
        time_s = float(events.frames_to_seconds(frame, self._rate_hz)) + self._offsets_s[column]
        found.append(Event(max(time_s, 0.0), name, confidence))
    if last:
      return sorted(one._replace(time_s=min(one.time_s, last_s)) for one in found)
    self._held = [one for one in found if one.time_s > last_s]
    return sorted(one for one in found if one.time_s <= last_s)


def _picker(config: Any, frame_rate_hz: float) -> Callable[..., Picker]:
  """What `decode.method` names, but for the threshold."""
  suppression = config.suppression_s * frame_rate_hz
  makers = {
    "threshold": functools.partial(Threshold, suppression=suppression),
    "mass": functools.partial(Mass, suppression=suppression, window=config.window_s * frame_rate_hz),
    "peak_pick": functools.partial(PeakPick, softness=config.softness_s * frame_rate_hz),
  }
  if config.method not in makers:
    raise ValueError(
      f"decode.method is {config.method!r}, which looks at the whole recording;"
      f" of a stream, expected one of {', '.join(makers)}"
    )
  return makers[config.method]
