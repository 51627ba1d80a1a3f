"""Places the events of windows whose number is known where a network says they most probably are.

A network spreads an event over a few frames, which are no events of their own. So what may be an event is a
*candidate*, a local centre of probability with the mass around it (`decode.mass_pick`), and the number of
events in a window has the Poisson-binomial distribution (L6) of its candidates.
"""

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

_LEAST_MASS = 1e-3  # of a candidate
_EDGE = 1e-4  # no candidate is surer than 1 - _EDGE, or there would be no surprise
_MORE = 64  # events than the least number, of a window whose largest nobody gave


class Placed(NamedTuple):
  """Events in seconds, `[num_events]`, and how likely each is an event, given what is known of the count."""

  times_s: np.ndarray
  confidence: np.ndarray


class Candidates(NamedTuple):
  """What may be events in each of the windows of a recording.

  Attributes:
    times_s: of each window, `[num_candidates]`, ascending.
    logits: of their probabilities, `[num_candidates]`.
    windows: that were counted; a window has at least as many candidates as events.
  """

  times_s: Sequence[np.ndarray]
  logits: Sequence[np.ndarray]
  windows: Sequence[CountedWindow]


def candidates(
  probs: np.ndarray, windows: Sequence[CountedWindow], *, frame_rate_hz: float, suppression_s: float
) -> Candidates:
  """The candidates of counted windows.

  Args:
    probs: event probabilities of one class, `[T]`.
    windows: that were counted.
    frame_rate_hz: frames per second.
    suppression_s: least distance of two candidates, where the count leaves room.
  """
  suppression = suppression_s * frame_rate_hz
  found = decode.mass_pick(probs, threshold=_LEAST_MASS, suppression=suppression)
  spans = frame_rate_hz * np.reshape([(one.start_s, one.end_s) for one in windows], (-1, 2))
  # 0.07 * 100 = 7.000000000000001 would lose the window its first frame.
  spans = np.where(np.abs(spans - np.round(spans)) < 1e-6, np.round(spans), spans)
  firsts, lasts = np.searchsorted(found.frames, spans.T)
  times_s, logits = [], []
  for (start, stop), first, last, window in zip(spans, firsts, lasts, windows, strict=True):
    frames, mass = found.frames[first:last], found.confidence[first:last]
    if len(frames) < window.low:
      more = _more_frames(probs, frames, start, stop, window.low - len(frames), suppression)
      frames, mass = np.append(frames, more), np.append(mass, probs[more])
    order = np.argsort(frames, kind="stable")
    times_s.append(events.frames_to_seconds(frames[order], frame_rate_hz))
    logits.append(scipy.special.logit(np.clip(mass[order].astype(np.float64), 1e-9, 1 - _EDGE)))
  return Candidates(times_s, logits, windows)


def _more_frames(
  probs: np.ndarray, taken: np.ndarray, start: float, stop: float, number: int, suppression: float
) -> np.ndarray:
  """The most probable frames of a window that are no candidates yet, far from those that are if possible."""
  first, last = int(np.ceil(start)), int(np.ceil(stop))
  if last - first < len(taken) + number:  # events near a border may be those of the frame that it cuts
    first, last = int(np.floor(start)), int(np.ceil(stop)) + 1
  frames = np.arange(max(first, 0), min(last, len(probs)))
  frames = np.setdiff1d(frames, np.round(taken).astype(int))
  near = (np.abs(frames[:, None] - taken) <= suppression).any(axis=1)
  score = np.array(probs, np.float64)
  score[frames[near]] -= 1.0  # after all others
  return decode.most_probable(score, frames, number, suppression)


def place(found: Candidates, *, weight: float = 1.0, bias: float = 0.0) -> Placed:
  """As many events in each window as somebody counted: its most probable candidates.

  Of an interval of counts the most probable one is taken. The confidence is the posterior probability of the
  candidate, given that the count lies in the interval: `p + d log Pr(low <= Y <= high) / d logit`.

  Args:
    found: the candidates of a recording.
    weight: factor on their logits, see `fit_scales`.
    bias: added to them; of no effect where counts are exact.

  Returns:
    The events of all windows, by time.

  >>> window = CountedWindow(0.0, 0.2, 1, 1)
  >>> probs = np.eye(20)[7] * 0.6 + np.eye(20)[15] * 0.1
  >>> found = place(candidates(probs, [window], frame_rate_hz=100.0, suppression_s=0.04))
  >>> found.times_s.round(3), found.confidence.round(2)
  (array([0.07]), array([0.93]))
  """
  if not len(found.windows):
    return Placed(np.zeros(0), np.zeros(0))
  stack = _stacked([found])
  logits = np.where(stack.where, weight * stack.logits + bias, 0.0).astype(np.float32)
  counts = _most_probable_counts(logits, stack)
  posteriors = np.asarray(_posterior(logits, *stack[1:]), np.float64)
  times_s, confidence = [np.zeros(0)], [np.zeros(0)]
  for own_s, values, count, posterior in zip(
    found.times_s, found.logits, counts.tolist(), posteriors, strict=False
  ):
    kept = np.argsort(-values, kind="stable")[:count]
    times_s.append(own_s[kept])
    confidence.append(np.clip(posterior[kept], 0, 1))
  times_s, confidence = np.concatenate(times_s), np.concatenate(confidence)
  order = np.argsort(times_s, kind="stable")
  return Placed(times_s[order], confidence[order])


class Scales(NamedTuple):
  """What logits of candidates are to be multiplied with, and what of each recording is added then."""

  weight: float
  biases: np.ndarray


def fit_scales(found: Sequence[Candidates]) -> Scales:
  """The scale of logits under which the counts of windows are most probable: how sure a network may be.

  A network that is too sure of itself, or not sure enough, is surprised by counts: so counts alone, of
  windows that it was not trained on, tell it (Platt's scaling, with the likelihood of a count in the place of
  that of a label). Logits get a factor, and a constant for each recording, of which a network may hear too
  many events, or too few. A weak prior keeps both where windows are few.

  Args:
    found: candidates of each recording.

  References:
    Platt. Probabilistic outputs for support vector machines. Advances in large margin classifiers, 1999.
  """
  stack = _stacked(found)
  recording = np.zeros(len(stack.logits), np.int32)  # rows that only fill up surprise nobody
  recording[: sum(len(one.windows) for one in found)] = np.repeat(
    np.arange(len(found)), [len(one.windows) for one in found]
  )

  def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
    value, gradient = _surprise(jnp.asarray(parameters, jnp.float32), recording, *stack)
    return float(value), np.asarray(gradient, np.float64)

  # The logarithm of the weight, the constant of all, and what those of recordings differ by.
  best = scipy.optimize.minimize(cost, np.zeros(2 + len(found)), jac=True, method="L-BFGS-B")
  return Scales(float(np.exp(best.x[0])), best.x[1] + best.x[2:])


class _Stack(NamedTuple):
  """Windows one over the other, filled up in length and number, so that few shapes are compiled."""

  logits: np.ndarray  # [N, K]
  where: np.ndarray  # [N, K], which candidates are real
  low: np.ndarray  # [N]
  high: np.ndarray  # [N]
  most: np.ndarray  # [M + 1], counts that are told apart


def _stacked(found: Sequence[Candidates]) -> _Stack:
  rows = [row for one in found for row in one.logits]
  windows = [window for one in found for window in one.windows]
  longest, number = (_padded(size) for size in (max(map(len, rows)), len(rows)))
  logits, where = np.zeros((number, longest), np.float32), np.zeros((number, longest), bool)
  low, high = np.zeros((2, number), np.int64)  # of rows that only fill up, none
  for row, (values, window) in enumerate(zip(rows, windows, strict=True)):
    logits[row, : len(values)], where[row, : len(values)] = values, True
    low[row], high[row] = window.low, window.low + _MORE if window.high is None else window.high
  high = np.minimum(high, np.maximum(where.sum(1), low))
  # One bin more than the largest count: the last stands for all that are larger.
  most = np.arange(_padded(int(high.max()) + 1) + 1)
  return _Stack(logits, where, low.astype(np.int32), high.astype(np.int32), most)


def _padded(size: int) -> int:
  """The next power of two, 16 or more."""
  return 1 << (max(size, 16) - 1).bit_length()


@jax.jit
@jax.value_and_grad
def _surprise(parameters, recording, logits, where, low, high, most):
  """Negative log-probability of the counts, and of the parameters."""
  log_weight, common, own = parameters[0], parameters[1], parameters[2:]
  scaled = jnp.exp(log_weight) * logits + (common + own[recording])[:, None]
  log_prob = poisson_binomial.log_interval_prob(scaled, low, high, max_count=len(most) - 1, where=where)
  prior = jnp.square(log_weight) + jnp.square(common / 3) + jnp.sum(jnp.square(own))
  return prior / 2 - jnp.sum(log_prob)


@jax.jit
def _posterior(logits, where, low, high, most):
  """Probability of each candidate to be an event, given that the count lies in its interval."""

  def log_prob(x):
    return jnp.sum(poisson_binomial.log_interval_prob(x, low, high, max_count=len(most) - 1, where=where))

  return jnp.where(where, jax.nn.sigmoid(logits) + jax.grad(log_prob)(logits), 0.0)


def _most_probable_counts(logits: np.ndarray, stack: _Stack) -> np.ndarray:
  """The numbers of events that were given, or of those that are possible the most probable."""
  log_pmf = poisson_binomial.log_pmf(logits, max_count=len(stack.most) - 1, where=stack.where)
  possible = (stack.most >= stack.low[:, None]) & (stack.most <= stack.high[:, None])
  return np.where(possible, np.asarray(log_pmf), -np.inf).argmax(axis=1)
