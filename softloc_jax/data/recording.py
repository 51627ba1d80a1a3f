"""The one thing every data set yields: a signal and what is known about its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
  """One recording with its event times.

  Attributes:
    id: unique name within its data set; predictions are written as `<id>.csv`.
    signal: float32 samples, `[num_samples]` or `[num_samples, channels]`; of videos, bytes (see `golfdb`).
    sample_rate_hz: samples per second; sample `n` is at `n / sample_rate_hz` s.
    events: class name -> sorted event times in seconds.
    labelled: class name -> whether this recording was annotated for the class
      at all. A class that is missing here counts as labelled; a class that is
      not labelled takes no part in the loss nor in the scores.
  """

  id: str
  signal: np.ndarray
  sample_rate_hz: float
  events: Mapping[str, np.ndarray]
  labelled: Mapping[str, bool] = dataclasses.field(default_factory=dict)

  @property
  def duration_s(self) -> float:
    """Length of the signal in seconds."""
    return len(self.signal) / self.sample_rate_hz

  def times_s(self, label: str) -> np.ndarray:
    """Event times of one class in seconds; empty where there are none."""
    return np.asarray(self.events.get(label, ()), dtype=np.float64)

  def is_labelled(self, label: str) -> bool:
    """Whether the recording was annotated for `label`."""
    return bool(self.labelled.get(label, True))

  def first_seconds(self, duration_s: float) -> Recording:
    """The recording up to a time, with the events before it; whole if it is no longer than that.

    >>> click = Recording("click", np.zeros(8), 4.0, {"hit": np.array([0.5, 1.5])})
    >>> click.first_seconds(1.0).signal.shape, click.first_seconds(1.0).events
    ((4,), {'hit': array([0.5])})
    """
    if duration_s >= self.duration_s:
      return self
    events = {label: self.times_s(label)[self.times_s(label) < duration_s] for label in self.events}
    return self.replace(signal=self.signal[: round(duration_s * self.sample_rate_hz)], events=events)

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
      not positive, an event outside the recording, or an unknown label. The
      message names the recording, the value and what was expected.
  """
  name = f"recording {recording.id!r}"
  signal = recording.signal
  if np.ndim(signal) not in (1, 2) or len(signal) == 0:
    raise ValueError(
      f"{name}: signal has shape {np.shape(signal)}; expected [num_samples] or [num_samples, channels]"
    )
  if not recording.sample_rate_hz > 0:
    raise ValueError(f"{name}: sample rate is {recording.sample_rate_hz} Hz; expected a positive number")
  if signal.dtype != np.uint8:  # which is never NaN
    _check_finite(name, np.asarray(signal), recording.sample_rate_hz)
  for label, times_s in recording.events.items():
    if classes is not None and label not in classes:
      raise ValueError(f"{name}: unknown label {label!r}; expected one of {', '.join(classes)}")
    times_s = np.asarray(times_s, dtype=np.float64)
    outside = ~((times_s >= 0) & (times_s <= recording.duration_s))  # NaN counts as outside
    if outside.any():
      raise ValueError(
        f"{name}: event {label!r} at {times_s[outside][0]:.3f} s lies outside the recording"
        f" (0 to {recording.duration_s:.3f} s)"
      )


def _check_finite(name: str, signal: np.ndarray, sample_rate_hz: float) -> None:
  finite = np.isfinite(signal)
  if not finite.all():
    first = int(np.argwhere(~finite)[0][0])
    raise ValueError(
      f"{name}: {int((~finite).sum())} samples are NaN or infinite, the first at sample {first}"
      f" ({first / sample_rate_hz:.3f} s)"
    )
