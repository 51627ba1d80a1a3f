"""Places the events of windows whose number is known where a network says they most probably are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.special

from softloc_jax import decode, events, poisson_binomial
from softloc_jax.data.recording import CountedWindow

_BATCH = 64  # windows computed together
_MORE = 64  # events than the least number, of a window whose largest nobody gave
_EDGE = 1e-9  # of probabilities, whose logits are to be finite


class Scale(NamedTuple):
  """Logits are to be taken times `weight`, plus `bias`."""

  weight: float
  bias: float


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
  scale: Scale | None = None,
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
    scale: of the logits, see `fit_scale`; None leaves them.

  Returns:
    The events of all windows, by time.

  >>> found = place(np.eye(20)[7] * 0.6 + 0.01, [CountedWindow(0.0, 0.2, 1, 1)], frame_rate_hz=100.0,
  ...               suppression_s=0.02, tolerance_s=0.02)
  >>> found.times_s.round(3), bool(found.confidence[0] > 0.85)
  (array([0.07]), True)
  """
  logits = _logits(probs) if scale is None else scale.weight * _logits(probs) + scale.bias
  spans = _spans(windows, len(logits), frame_rate_hz)
  reach, suppression = tolerance_s * frame_rate_hz, suppression_s * frame_rate_hz
  frames, confidence = [], []
  for some in _of_like_lengths(spans):
    own = [windows[number] for number in some]
    values, where = _stacked([logits[start:stop] for start, stop in spans[some]])
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


def fit_scale(tracks: Sequence[tuple[np.ndarray, Sequence[CountedWindow]]], frame_rate_hz: float) -> Scale:
  """The scale of logits under which the counts of windows are most probable.

  A network that is too sure of itself is surprised by counts: so counts alone, of windows that it was not
  trained on, tell how sure it may be (Platt's scaling, with the likelihood of a count in the place of that of
  a label). A weak prior keeps the scale where windows are few.

  Args:
    tracks: event probabilities `[T]` and counted windows, of each recording.
    frame_rate_hz: frames per second.

  References:
    Platt. Probabilistic outputs for support vector machines. Advances in large margin classifiers, 1999.
  """
  groups: dict[int, list[tuple[np.ndarray, CountedWindow]]] = {}
  for probs, windows in tracks:
    logits = _logits(probs)
    for (start, stop), window in zip(_spans(windows, len(logits), frame_rate_hz), windows, strict=True):
      groups.setdefault(int(_padded(np.array(stop - start))), []).append((logits[start:stop], window))
  stacks = []
  for own in groups.values():
    values, where = _stacked([one for one, _ in own])
    bounds = np.zeros((2, len(values)), np.int32)
    bounds[:, : len(own)] = np.array([_bounds(window) for _, window in own]).T
    stacks.append((values, where, *bounds, np.arange(len(values)) < len(own)))

  def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
    parameters = jnp.asarray(parameters, jnp.float32)
    found = [_surprise(parameters, *stack) for stack in stacks]
    value = float(sum(value for value, _ in found) + np.square(parameters).sum() / 2)
    return value, np.asarray(sum(gradient for _, gradient in found) + parameters, np.float64)

  log_weight, bias = scipy.optimize.minimize(cost, np.zeros(2), jac=True, method="L-BFGS-B").x
  return Scale(float(np.exp(log_weight)), float(bias))


@jax.jit
@jax.value_and_grad
def _surprise(parameters, logits, where, low, high, real):
  """Negative log-probability of the counts of real windows."""
  scaled = jnp.exp(parameters[0]) * logits + parameters[1]
  most = _MORE  # a count beyond is "or more"
  log_prob = poisson_binomial.log_interval_prob(scaled, low, high, max_count=most, where=where)
  return -jnp.sum(log_prob, where=real)


def _bounds(window: CountedWindow) -> tuple[int, int]:
  return window.low, _MORE if window.high is None else window.high


def _logits(probs: np.ndarray) -> np.ndarray:
  return scipy.special.logit(np.clip(np.asarray(probs, np.float64), _EDGE, 1 - _EDGE))


def _spans(windows: Sequence[CountedWindow], num_frames: int, frame_rate_hz: float) -> np.ndarray:
  """From which frame to which windows reach, `[n, 2]`."""
  ends_s = np.reshape([(one.start_s, one.end_s) for one in windows], (-1, 2))
  return np.minimum(events.seconds_to_frames(ends_s, frame_rate_hz), num_frames)


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


def _stacked(windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Windows one over the other, filled up in length and number; and which frames are theirs."""
  longest, number = _padded(np.array([max(map(len, windows)), len(windows)]))
  values, where = np.zeros((number, longest), np.float32), np.zeros((number, longest), bool)
  for row, logits in enumerate(windows):
    values[row, : len(logits)], where[row, : len(logits)] = logits, True
  return values, where


def _most_probable_counts(
  values: np.ndarray, where: np.ndarray, windows: Sequence[CountedWindow]
) -> np.ndarray:
  """The numbers of events that were given, or of those that are possible the most probable."""
  low, high = np.zeros((2, len(values)), np.int64)  # of rows that only fill up, none
  low[: len(windows)] = [one.low for one in windows]
  high[: len(windows)] = [one.low + _MORE if one.high is None else one.high for one in windows]
  if (low == high).all():
    return low
  counts = np.arange(_padded(high.max()) + 1)
  log_pmf = np.asarray(poisson_binomial.log_pmf(values, max_count=len(counts) - 1, where=where))
  possible = (counts >= low[:, None]) & (counts <= np.minimum(high, where.sum(1))[:, None])
  return np.where(possible, log_pmf, -np.inf).argmax(axis=1)


def _shares(num_frames: int, picked: np.ndarray, reach: float):
  """For each picked frame those within reach that are not nearer to another one."""
  frames = np.arange(num_frames)
  nearest = np.abs(frames[:, None] - picked).argmin(axis=1) if len(picked) else None
  for number, centre in enumerate(picked):
    yield frames[(nearest == number) & (np.abs(frames - centre) <= reach)]
