"""Places the events of windows whose number is known where a network says they most probably are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.special

from softloc_jax import decode, events, poisson_binomial
from softloc_jax.data.recording import CountedWindow

_BATCH = 64  # windows computed together
_MORE = 64  # events than the others have, of a window whose largest number nobody gave
_EDGE = 1e-9  # of probabilities, whose logits are to be finite


class Placed(NamedTuple):
  """Events in seconds, `[num_events]`, and how likely each is within the tolerance."""

  times_s: np.ndarray
  confidence: np.ndarray


def place(
  probs: np.ndarray,
  windows: Sequence[CountedWindow],
  *,
  frame_rate_hz: float,
  suppression_s: float,
  tolerance_s: float,
) -> Placed:
  """As many events in each window as somebody counted, at its most probable places.

  Of an interval of counts the most probable one is taken. Frames are ranked as by `decode.from_counts`; an
  event is where the posterior `Pr(e_t = 1 | Y = count)` (L6) has its centre of gravity around the frame, and
  its confidence is the mass of the posterior within the tolerance, with no frame given to two events.

  Args:
    probs: event probabilities of one class, `[T]`.
    windows: that were counted.
    frame_rate_hz: frames per second.
    suppression_s: least distance of two events, where the count leaves room.
    tolerance_s: what confidences refer to.

  Returns:
    The events of all windows, by time.

  >>> found = place(np.eye(20)[7] * 0.6 + 0.01, [CountedWindow(0.0, 0.2, 1, 1)], frame_rate_hz=100.0,
  ...               suppression_s=0.02, tolerance_s=0.02)
  >>> found.times_s.round(3), bool(found.confidence[0] > 0.85)
  (array([0.07]), True)
  """
  logits = scipy.special.logit(np.clip(np.asarray(probs, np.float64), _EDGE, 1 - _EDGE))
  ends_s = [(one.start_s, one.end_s) for one in windows]
  spans = np.minimum(events.seconds_to_frames(np.reshape(ends_s, (-1, 2)), frame_rate_hz), len(logits))
  reach, suppression = tolerance_s * frame_rate_hz, suppression_s * frame_rate_hz
  frames, confidence = [], []
  for some in _of_like_lengths(spans):
    own = [windows[number] for number in some]
    values, where = _stacked(logits, spans[some])
    counts = _most_probable_counts(values, where, own)
    posteriors = np.asarray(poisson_binomial.posterior(values, counts, where=where), np.float64)
    for number, count, posterior in zip(some, counts.tolist(), posteriors, strict=False):
      start, stop = spans[number]
      picked = decode.most_probable(logits[start:stop], np.arange(stop - start), count, suppression)
      for share in _shares(stop - start, picked, reach):
        mass = posterior[share].sum()
        frames.append(start + (posterior[share] @ share / mass if mass > 0 else share.mean()))
        confidence.append(min(mass, 1.0))
  order = np.argsort(frames, kind="stable")
  times_s = events.frames_to_seconds(np.array(frames, np.float64)[order], frame_rate_hz)
  return Placed(times_s, np.array(confidence, np.float64)[order])


def _of_like_lengths(spans: np.ndarray) -> list[np.ndarray]:
  """Numbers of windows that are computed together, as each new shape is compiled anew."""
  size = _padded(np.diff(spans, axis=1)[:, 0])
  groups = []
  for length in np.unique(size):
    some = np.flatnonzero(size == length)
    groups += np.array_split(some, -(-len(some) // _BATCH))
  return groups


def _padded(lengths: np.ndarray) -> np.ndarray:
  """The next power of two, 64 or more."""
  return 2 ** np.ceil(np.log2(np.maximum(lengths, 64))).astype(np.int64)


def _stacked(logits: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Windows one over the other, filled up in length and number; and which frames are theirs."""
  lengths = np.diff(spans, axis=1)[:, 0]
  longest, number = _padded(lengths.max()), _padded(np.array(len(spans)))
  values, where = np.zeros((number, longest), np.float32), np.zeros((number, longest), bool)
  for row, (start, stop) in enumerate(spans):
    values[row, : stop - start], where[row, : stop - start] = logits[start:stop], True
  return values, where


def _most_probable_counts(
  values: np.ndarray, where: np.ndarray, windows: Sequence[CountedWindow]
) -> np.ndarray:
  """The numbers of events that were given, or of those that are possible the most probable."""
  fill = [0] * (len(values) - len(windows))
  low = np.array([one.low for one in windows] + fill)
  if all(one.low == one.high for one in windows):
    return low
  given = np.array(
    [low if one.high is None else one.high for one, low in zip(windows, low, strict=False)] + fill
  )
  most = int(_padded(given.max() + _MORE))
  given = np.array([most if one.high is None else one.high for one in windows] + fill)
  log_pmf = np.asarray(poisson_binomial.log_pmf(values, max_count=most, where=where))
  counts = np.arange(most + 1)
  possible = (counts >= low[:, None]) & (counts <= given[:, None]) & (counts <= where.sum(1)[:, None])
  return np.where(possible, log_pmf, -np.inf).argmax(axis=1)


def _shares(num_frames: int, picked: np.ndarray, reach: float):
  """For each picked frame those within reach that are not nearer to another one."""
  frames = np.arange(num_frames)
  nearest = np.abs(frames[:, None] - picked).argmin(axis=1) if len(picked) else None
  for number, centre in enumerate(picked):
    yield frames[(nearest == number) & (np.abs(frames - centre) <= reach)]
