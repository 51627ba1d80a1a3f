"""The one thing every data set yields: a signal and what is known about its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np


class CountedWindow(NamedTuple):
  """A stretch of a recording of which somebody said how many events of a class it holds.

  Attributes:
    start_s, end_s: from and to, in seconds; an event at the start is in it, one at the end is not.
    low: the least number of events.
    high: the largest; None where there may be more.
  """

  start_s: float
  end_s: float
  low: int
  high: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
  """One recording with what is known of its events.

  Attributes:
    id: unique name within its data set; predictions are written as `<id>.csv`.
    signal: float32 samples, `[num_samples]` or `[num_samples, channels]`; of videos, bytes (see `golfdb`).
    sample_rate_hz: samples per second; sample `n` is at `n / sample_rate_hz` s.
    events: class name -> sorted event times in seconds.
    labelled: class name -> whether this recording was annotated for the class
      with times at all. A class that is missing here counts as labelled; a class that is
      not labelled takes no part in the scores, nor, unless it is counted, in the loss.
    counted: class name -> windows whose events were counted, by their start, none overlapping another. A
      class has times or counts, not both.
    exact: classes whose times are exact, rather than about right; only the loss "mixed" goes by it.
  """

  id: str
  signal: np.ndarray
  sample_rate_hz: float
  events: Mapping[str, np.ndarray]
  labelled: Mapping[str, bool] = dataclasses.field(default_factory=dict)
  counted: Mapping[str, Sequence[CountedWindow]] = dataclasses.field(default_factory=dict)
  exact: frozenset[str] = frozenset()

  @property
  def duration_s(self) -> float:
    """Length of the signal in seconds."""
    return len(self.signal) / self.sample_rate_hz

  def times_s(self, label: str) -> np.ndarray:
    """Event times of one class in seconds; empty where there are none."""
    return np.asarray(self.events.get(label, ()), dtype=np.float64)

  def is_labelled(self, label: str) -> bool:
    """Whether the recording was annotated for `label` with times; a class that was counted was not."""
    return label not in self.counted and bool(self.labelled.get(label, True))

  @property
  def has_labels(self) -> bool:
    """Whether there is any event of known time, or any window that was counted."""
    return any(map(len, (*self.events.values(), *self.counted.values())))

  def first_seconds(self, duration_s: float) -> Recording:
    """The recording up to a time, with what is known before it; whole if it is no longer than that.

    >>> click = Recording("click", np.zeros(8), 4.0, {"hit": np.array([0.5, 1.5])})
    >>> click.first_seconds(1.0).signal.shape, click.first_seconds(1.0).events
    ((4,), {'hit': array([0.5])})
    """
    if duration_s >= self.duration_s:
      return self
    events = {label: self.times_s(label)[self.times_s(label) < duration_s] for label in self.events}
    counted = {
      label: [one for one in windows if one.end_s <= duration_s] for label, windows in self.counted.items()
    }
    num_samples = round(duration_s * self.sample_rate_hz)
    if num_samples / self.sample_rate_hz < duration_s:
      num_samples += 1  # so that no event lies beyond the signal
    return self.replace(signal=self.signal[:num_samples], events=events, counted=counted)

  def replace(self, **changes) -> Recording:
    """A copy with some fields changed."""
    return dataclasses.replace(self, **changes)


def validate(recording: Recording, classes: Sequence[str] | None = None) -> None:
  """Refuses a recording that would spoil training.

  Args:
    recording: what to check.
    classes: the classes the experiment knows; None accepts any.

  Raises:
    ValueError: an empty signal, NaN or infinity in it, a sample rate that is
      not positive or infinite, an event or counted window outside the recording, windows of a class
      that overlap, a class with both, or an unknown label. The message names the
      recording, the value and what was expected.
  """
  name = f"recording {recording.id!r}"
  signal = recording.signal
  if np.ndim(signal) not in (1, 2) or len(signal) == 0:
    raise ValueError(
      f"{name}: signal has shape {np.shape(signal)}; expected [num_samples] or [num_samples, channels]"
    )
  if not 0 < recording.sample_rate_hz < np.inf:
    raise ValueError(f"{name}: sample rate is {recording.sample_rate_hz} Hz; expected a positive number")
  if signal.dtype != np.uint8:  # which is never NaN
    _check_finite(name, np.asarray(signal), recording.sample_rate_hz)
  for label in (*recording.events, *recording.counted, *recording.exact):
    if classes is not None and label not in classes:
      raise ValueError(f"{name}: unknown label {label!r}; expected one of {', '.join(classes)}")
  for label, windows in recording.counted.items():
    if len(recording.times_s(label)):
      raise ValueError(f"{name}: class {label!r} has times and counts; expected one kind of label")
    _check_windows(f"{name}, class {label!r}", windows, recording.duration_s)
  for label, times_s in recording.events.items():
    times_s = np.asarray(times_s, dtype=np.float64)
    outside = ~((times_s >= 0) & (times_s <= recording.duration_s))  # NaN counts as outside
    if outside.any():
      raise ValueError(
        f"{name}: event {label!r} at {times_s[outside][0]:.3f} s lies outside the recording"
        f" (0 to {recording.duration_s:.3f} s)"
      )


def _check_windows(name: str, windows: Sequence[CountedWindow], duration_s: float) -> None:
  end_s = 0.0
  for one in windows:
    shown = f"the window from {one.start_s:.3f} to {one.end_s:.3f} s"
    if one.start_s >= duration_s:
      raise ValueError(f"{name}: a window begins at {one.start_s:.3f} s, after the end at {duration_s:.3f} s")
    if not 0 <= one.start_s < one.end_s <= duration_s:
      raise ValueError(f"{name}: {shown} does not lie in the recording (0 to {duration_s:.3f} s)")
    if one.start_s < end_s:
      raise ValueError(f"{name}: {shown} overlaps the one before, which ends at {end_s:.3f} s")
    if one.low < 0 or (one.high is not None and one.high < one.low):
      raise ValueError(f"{name}: {shown} holds {one.low} to {one.high} events; expected 0 <= low <= high")
    end_s = one.end_s


def _check_finite(name: str, signal: np.ndarray, sample_rate_hz: float) -> None:
  finite = np.isfinite(signal)
  if not finite.all():
    first = int(np.argwhere(~finite)[0][0])
    raise ValueError(
      f"{name}: {int((~finite).sum())} samples are NaN or infinite, the first at sample {first}"
      f" ({first / sample_rate_hz:.3f} s)"
    )


def digest(parts: Sequence[Sequence[Recording]], more: str = "") -> str:
  """Changes with recordings, labels or parts, so that no training goes on with others than it began with.

  Args:
    parts: recordings, such as those of each split.
    more: what else it depends on.

  >>> one, other = (Recording("a", np.zeros(4), 1.0, {"KD": np.array([time_s])}) for time_s in (1.0, 2.0))
  >>> digest([[one]]) == digest([[one]]), digest([[one]]) == digest([[other]])
  (True, False)
  """
  hasher = hashlib.sha256(more.encode())
  for part in parts:
    for one in part:
      hasher.update(f"{one.id}/{one.signal.shape}/{one.sample_rate_hz}".encode())
      hasher.update(np.ascontiguousarray(one.signal))
      for name in sorted(one.events):
        hasher.update(f"{name}/{one.is_labelled(name)}".encode() + one.times_s(name).tobytes())
      silent = sorted((name, known) for name, known in one.labelled.items() if name not in one.events)
      if silent:
        hasher.update(repr(silent).encode())
      if one.counted or one.exact:
        hasher.update(repr((sorted(one.exact), sorted(one.counted.items()))).encode())
    hasher.update(b"next part")
  return hasher.hexdigest()[:16]
