"""From what a network outputs, frame by frame, to events: positions in frames, each with a confidence.

Everything here runs on the host, on whole recordings, one class at a time. Positions are in frames and may
fall between two of them; `events.py` turns them into seconds.

Which one to use: `threshold` for networks whose probabilities are sharp peaks; `mass_pick` for those
trained from counts, which may split one event over neighbouring frames (0.5 + 0.5 counts as one event as
well as 1 does); `peak_pick` for networks trained to output a smoothed heat map; `from_counts` where the
number of events is known, and `count_decoding.count_posterior` where its distribution decides.
"""

from __future__ import annotations

from collections.abc import Callable
import heapq
from typing import NamedTuple

import numpy as np

from softloc_jax import poisson_binomial


class Detections(NamedTuple):
  """Detected events of one class, in the order of time.

  Attributes:
    frames: positions in frames, `[num_events]`, float64, possibly between two frames.
    confidence: how sure each one is, between 0 and 1, `[num_events]`.
  """

  frames: np.ndarray
  confidence: np.ndarray


def _finite(name: str, values) -> np.ndarray:
  values = np.asarray(values, dtype=np.float64)
  if values.ndim not in (1, 2):
    raise ValueError(f"{name} has shape {values.shape}; expected [T] or [T, C]")
  if not np.isfinite(values).all():
    first = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
    raise ValueError(f"{name}{list(first)} is {values[first]}; expected finite values")
  return values


def checked_probabilities(probs) -> np.ndarray:
  """Probabilities `[T]` or `[T, C]` as float64, or a ValueError that says what they are instead."""
  probs = _finite("probs", probs)
  if probs.size and (probs.min() < 0 or probs.max() > 1):
    raise ValueError(
      f"probs lie between {probs.min():g} and {probs.max():g}; expected probabilities in [0, 1], not logits"
    )
  return probs


def _nonnegative(name: str, value: float) -> float:
  if not 0 <= value < np.inf:
    raise ValueError(f"{name} is {value}; expected a number of frames, 0 or more")
  return value


def by_class(decode_one: Callable, values: np.ndarray, threshold) -> Detections | list[Detections]:
  """Applies `decode_one(values [T], threshold)` to each class, with its own threshold."""
  num_classes = 1 if values.ndim == 1 else values.shape[1]
  if np.ndim(threshold) != 0 and np.shape(threshold) != (num_classes,):
    raise ValueError(
      f"threshold has shape {np.shape(threshold)}; expected a number or {num_classes}, one per class"
    )
  thresholds = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (num_classes,))
  if not ((thresholds > 0) & np.isfinite(thresholds)).all():
    raise ValueError(f"threshold is {threshold}; expected positive numbers")
  if values.ndim == 1:
    return decode_one(values, thresholds[0])
  return [decode_one(values[:, c], thresholds[c]) for c in range(num_classes)]


def suppress(score: np.ndarray, candidates: np.ndarray, suppression: float) -> np.ndarray:
  """Greedy non-maximum suppression: the frames kept, strongest first.

  Args:
    score: `[T]`, compared only with each other.
    candidates: frames that may be kept, ascending.
    suppression: a kept frame drops all candidates at most that many frames away.
  """
  from scipy import signal

  if not len(candidates):
    return candidates
  # Equal neighbours (a saturated sigmoid) rank from their middle outwards: the first would be early.
  breaks = (np.diff(score[candidates]) != 0) | (np.diff(candidates) > 1)
  run = np.concatenate([[0], np.cumsum(breaks)])
  starts, lengths = candidates[np.unique(run, return_index=True)[1]], np.bincount(run)
  off_middle = np.abs(candidates - (starts + (lengths - 1) / 2)[run])
  order = candidates[np.lexsort((candidates, off_middle, -score[candidates]))]
  # find_peaks does the greedy part in compiled code, but looks at local maxima only: put a valley between
  # any two frames, which makes each candidate one, at twice its position.
  comb = np.full(2 * len(score) + 1, -1.0)
  comb[2 * order + 1] = np.arange(len(order))[::-1]
  spacing = np.floor(min(suppression, len(score))) + 1
  kept = signal.find_peaks(comb, height=0, distance=2 * spacing)[0]
  return kept[np.argsort(-comb[kept])] // 2


def threshold(probs, *, threshold, suppression: float) -> Detections | list[Detections]:
  """Frames at or above a threshold, with local non-maximum suppression.

  The most probable frame is an event; all frames within `suppression` of it are dropped; repeat while a
  frame reaches the threshold. Of equally probable neighbours the middle one is taken. Stronger events come
  first: the events at a higher threshold are those at a lower one whose confidence reaches it.

  Args:
    probs: event probabilities, `[T]` or `[T, C]`.
    threshold: least probability of an event, above 0; one number, or one per class.
    suppression: in frames; no two events of a class are that close or closer.

  Returns:
    Detections of `[T]`, or a list of them, one per class, of `[T, C]`. The confidence is the frame's
    probability.

  Raises:
    ValueError: probabilities outside [0, 1] or not finite, a threshold that is not positive or does not
      fit the number of classes, a negative suppression.

  >>> threshold([0.1, 0.9, 0.6, 0.0, 0.5], threshold=0.4, suppression=2)
  Detections(frames=array([1., 4.]), confidence=array([0.9, 0.5]))
  """
  probs = checked_probabilities(probs)
  _nonnegative("suppression", suppression)

  def decode_one(p, least):
    kept = np.sort(suppress(p, np.flatnonzero(p >= least), suppression))
    return Detections(kept.astype(np.float64), p[kept])

  return by_class(decode_one, probs, threshold)


def mass_pick(
  probs, *, threshold, suppression: float, window: float | None = None
) -> Detections | list[Detections]:
  """Events by the probability mass around a frame, which finds an event that is split over several frames.

  A count loss cannot tell one frame of probability 1 from two neighbours of 0.5 (S section 3.3). So the
  probabilities within `window` of a local centre of mass are summed, the sum is compared with the
  threshold, and the event is put at their centroid. Centres are the local maxima of the probabilities
  smoothed with a triangle of that half-width, strongest first, more than `suppression` frames apart. The
  window is at most half the suppression, so no probability counts twice, and the events at a higher
  threshold are those at a lower one whose confidence reaches it.

  Args:
    probs: event probabilities, `[T]` or `[T, C]`.
    threshold: least mass of an event, above 0; one number, or one per class.
    suppression: in frames; no two centres of a class are that close or closer.
    window: mass is summed over this many frames on each side; half of `suppression` if not given.

  Returns:
    Detections of `[T]`, or a list of them, one per class, of `[T, C]`. Positions are between frames; the
    confidence is the mass, at most 1.

  Raises:
    ValueError: as `threshold`, and a window above half the suppression.

  >>> mass_pick([0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.25], threshold=0.6, suppression=4)
  Detections(frames=array([1.5]), confidence=array([1.]))
  """
  from scipy import signal

  probs = checked_probabilities(probs)
  _nonnegative("suppression", suppression)
  window = suppression / 2 if window is None else _nonnegative("window", window)
  if 2 * window > suppression:
    raise ValueError(
      f"window is {window} frames; expected at most half the suppression ({suppression} frames)"
    )
  half = int(min(window, len(probs)))
  offsets = np.arange(-half, half + 1)
  triangle = 1 - np.abs(offsets) / (half + 1)

  def decode_one(p, least):
    # One frame beyond either end, so that the first and the last can be a maximum.
    smooth = np.convolve(np.pad(p, half + 1), triangle, mode="valid")  # [T + 2]
    # No weight is under 1 / (half + 1): below that share of `least`, the mass cannot reach it either.
    height = least / (half + 1) * (1 - 1e-9)
    spacing = np.floor(min(suppression, len(p))) + 1
    centres = signal.find_peaks(smooth, height=height, distance=spacing)[0] - 1
    around = np.pad(p, half)[centres[:, None] + offsets + half]  # [num_centres, 2 half + 1]
    mass = around.sum(1)
    kept = np.minimum(mass, 1) >= least
    frames = centres[kept] + around[kept] @ offsets / mass[kept]
    return Detections(frames, np.minimum(mass[kept], 1))

  return by_class(decode_one, probs, threshold)


def peak_pick(heatmap, *, softness: float, threshold=0.3) -> Detections | list[Detections]:
  """Events in a prediction of the smoothed labels, what one-sided smoothing (S1) trains a network to make.

  With `G` the Gaussian of unit sum and standard deviation `softness`, an event adds a bump of height
  `max(G)`. Repeatedly the highest frame of `(heatmap - sum of G centred at the events so far) / max(G)`
  becomes an event, until it is under the threshold. A bump of double height gives two events in one frame.

  Args:
    heatmap: predicted `G * labels`, `[T]` or `[T, C]`.
    softness: standard deviation of the smoothing in frames, above 0.
    threshold: least height of an event, above 0, in units of a lone event's; one number, or one per class.

  Returns:
    Detections of `[T]`, or a list of them, one per class, of `[T, C]`. The confidence is the height at
    which the event was picked, at most 1.

  Raises:
    ValueError: a softness or threshold that is not positive, values that are not finite.

  >>> kernel = np.exp(-0.5 * (np.arange(9) - 4.0) ** 2) / np.sqrt(2 * np.pi)
  >>> peak_pick(kernel, softness=1)
  Detections(frames=array([4.]), confidence=array([1.]))
  """
  heatmap = _finite("heatmap", heatmap)
  if not 0 < softness < np.inf:
    raise ValueError(f"softness is {softness}; expected a positive number of frames")
  radius = int(np.ceil(6 * softness))  # beyond it a bump is under 2e-8 of its height
  bump = np.exp(-0.5 * (np.arange(-radius, radius + 1) / softness) ** 2)

  def decode_one(values, least):
    left = np.pad(values * bump.sum(), radius)  # max(G) = 1 / bump.sum()
    # Heights only fall, so an entry of the heap is at least its frame's height: when one that is up to
    # date comes first, no frame is higher. Each pick then costs its neighbourhood, not the whole recording.
    heap = [(-left[i + radius], i) for i in np.flatnonzero(values * bump.sum() >= least).tolist()]
    heapq.heapify(heap)
    picked = []
    while heap:
      height, frame = -heap[0][0], heap[0][1]
      if left[frame + radius] == height:
        picked.append((frame, min(height, 1.0)))
        left[frame : frame + 2 * radius + 1] -= bump
      now = left[frame + radius]
      if now >= least:
        heapq.heapreplace(heap, (-now, frame))
      else:
        heapq.heappop(heap)
    found = np.array(sorted(picked), dtype=np.float64).reshape(-1, 2)
    return Detections(found[:, 0], found[:, 1])

  return by_class(decode_one, heatmap, threshold)


def most_probable(logits: np.ndarray, frames: np.ndarray, count: int, suppression: float) -> np.ndarray:
  """The `count` frames that `from_counts` takes of those given, in order."""
  # The odds of frames a and b, one an event and the other not, are exp(x_a - x_b) whatever the count:
  # logits rank as the posterior does, and still tell apart what rounding has made equal to 1.
  ranked = suppress(logits, frames, suppression)
  rest = np.setdiff1d(frames, ranked)
  ranked = np.concatenate([ranked, rest[np.argsort(-logits[rest], kind="stable")]])
  return np.sort(ranked[:count])


def one_each(probs, *, window: float = 0.0, threshold=0.5) -> Detections | list[Detections]:
  """The one event of a class that happens exactly once: where it is most probable.

  Args:
    probs: event probabilities, `[T]` or `[T, C]`.
    window: in frames; the highest mass within so many frames on each side wins, and its centre of gravity is
      the event. 0 takes the most probable frame, as the papers do for golf swings.
    threshold: of no effect, as there is always an event; where other decoders have theirs.

  Returns:
    Detections of `[T]`, or a list of them, one per class, of `[T, C]`; of nothing, none. The confidence is
    the mass, at most 1.

  Raises:
    ValueError: a negative window, values that are no probabilities.

  >>> one_each([0.1, 0.2, 0.7, 0.1, 0.4]).frames
  array([2.])
  """
  probs = checked_probabilities(probs)
  half = int(_nonnegative("window", window))
  offsets = np.arange(-half, half + 1)

  def decode_one(p, _):
    if not len(p):
      return Detections(np.zeros(0), np.zeros(0))
    mass = np.convolve(np.pad(p, half), np.ones(2 * half + 1), mode="valid")
    first = int(np.argmax(mass))
    # Of equal ones next to each other the middle: the first would be early.
    lower = np.flatnonzero(mass[first:] < mass[first])
    centre = first + (int(lower[0]) - 1 if len(lower) else len(mass) - first - 1) // 2
    around = np.pad(p, half)[centre + offsets + half]
    moved = around @ offsets / mass[centre] if mass[centre] > 0 else 0.0
    return Detections(np.array([centre + moved]), np.array([min(mass[centre], 1.0)]))

  return by_class(decode_one, probs, threshold)


def from_counts(logits, counts, *, where=None, suppression: float = 0.0) -> Detections | list[Detections]:
  """The most probable events of a sequence whose number of events is known.

  Frames are ranked by their posterior `Pr(e_t = 1 | Y = count)` under the Poisson-binomial distribution of
  the count (L6), and the first `count` of them are the events. Time and memory grow with `T * count`: cut
  long recordings into the windows that were counted.

  Args:
    logits: `[T]` or `[T, C]`.
    counts: the number of events, an integer of `[T]` and `[C]` of `[T, C]`.
    where: `[T]`, True where a frame is real; None if all are.
    suppression: in frames; prefers events that are further apart than this, so that an event split over
      neighbouring frames is not taken twice. The count comes first: if fewer than `count` frames can be
      that far apart, the most probable frames of the rest fill up the number.

  Returns:
    Detections of `[T]`, or a list of them, one per class, of `[T, C]`; exactly `count` each. The
    confidence is the posterior.

  Raises:
    ValueError: a count that is no integer, is negative or above the number of real frames; logits that are
      not finite.

  >>> from_counts([-2.0, 3.0, -1.0, 0.5, -3.0], 2).frames
  array([1., 3.])
  """
  logits = _finite("logits", logits)
  _nonnegative("suppression", suppression)
  where = np.ones(len(logits), bool) if where is None else np.asarray(where, dtype=bool)
  if where.shape != logits.shape[:1]:
    raise ValueError(f"where has shape {where.shape}; expected [T] = {logits.shape[:1]}")
  counts = np.asarray(counts)
  if counts.shape != logits.shape[1:]:
    raise ValueError(f"counts have shape {counts.shape}; expected {logits.shape[1:]}, one for each class")
  whole = np.round(counts).astype(np.int64)
  if not ((whole == counts) & (counts >= 0) & (counts <= where.sum())).all():
    raise ValueError(
      f"counts are {counts.tolist()}; expected integers from 0 to the {where.sum()} real frames"
    )
  posterior = np.asarray(poisson_binomial.posterior(logits.T, whole, where=where), dtype=np.float64)
  frames = np.flatnonzero(where)

  def decode_one(x, q, count):
    kept = most_probable(x, frames, count, suppression)
    return Detections(kept.astype(np.float64), np.clip(q[kept], 0, 1))

  if logits.ndim == 1:
    return decode_one(logits, posterior, int(whole))
  return [decode_one(*args) for args in zip(logits.T, posterior, whole.tolist(), strict=True)]
