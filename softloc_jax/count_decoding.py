"""Decoding by the distribution of the count: as many events as there probably are, where they most are."""

from __future__ import annotations

from collections.abc import Sequence
import itertools

import numpy as np
import scipy.special

from softloc_jax import decode, poisson_binomial

# Windows of the distribution computed at a time: few shapes to compile, little memory.
_BATCH = 256
_LEAST = 64  # events that are told apart in a window: few shapes to compile


def count_posterior(
  probs, *, threshold, suppression: float, window: float
) -> decode.Detections | list[decode.Detections]:
  """The `k` most probable frames of a window are events if it probably holds at least `k` of them.

  The recording is cut into windows at quiet places. In each, frames are ranked by their probability, which is
  also the order of the posterior `Pr(e_t = 1 | Y = k)` for every `k`, no two within `suppression` of each
  other. The `k`-th has the confidence `Pr(Y >= k)` under the Poisson-binomial distribution of the window's
  count (L6), so a threshold of one half takes the median count. Unlike a threshold on single frames, it
  counts events that are split: of two neighbours of .6 one is an event (`Pr(Y >= 1) = .84`), at one of them.

  Args:
    probs: event probabilities, `[T]` or `[T, C]`.
    threshold: least `Pr(Y >= k)`, above 0; one number, or one per class.
    suppression: in frames; no two events of a window are that close or closer.
    window: about how many frames a window has.

  Returns:
    Detections of `[T]`, or a list of them, one per class, of `[T, C]`. The events at a higher threshold are
    those at a lower one whose confidence reaches it.

  Raises:
    ValueError: as `decode.threshold`, and a window that is not longer than 1 frame.

  >>> found = count_posterior([0.0, 0.6, 0.6, 0.0, 0.0, 0.0, 0.9], threshold=0.5, suppression=2, window=7)
  >>> found.frames, found.confidence.round(3)
  (array([1., 6.]), array([0.792, 0.984]))
  """
  probs = decode.checked_probabilities(probs)
  if not 1 < window < np.inf:
    raise ValueError(f"window is {window} frames; expected more than 1")

  def decode_one(p, least):
    if not len(p):
      return decode.Detections(np.zeros(0), np.zeros(0))
    borders = _borders(p, int(window))
    ranks = [
      decode.suppress(p[start:stop], np.flatnonzero(p[start:stop] > 0), suppression)
      for start, stop in itertools.pairwise(borders)
    ]
    survival = _survival(p, borders, _most_events(p, borders, ranks))
    frames, confidence = [], []
    for start, ranked, row in zip(borders[:-1], ranks, survival, strict=True):
      ranked = ranked[: len(row)]
      sure = row[: len(ranked)]
      kept = sure >= least
      frames.append(start + ranked[kept])
      confidence.append(sure[kept])
    frames, confidence = np.concatenate(frames), np.concatenate(confidence)
    order = np.argsort(frames, kind="stable")
    return decode.Detections(frames[order].astype(np.float64), confidence[order])

  return decode.by_class(decode_one, probs, threshold)


def _borders(p: np.ndarray, window: int) -> np.ndarray:
  """Where windows begin, and the end: within a quarter of a window of even spacing, where p is least."""
  places = [0]
  for nominal in range(window, len(p) - window // 2, window):
    low, high = nominal - window // 4, min(nominal + window // 4 + 1, len(p))
    # An event that straddles the border would be counted in both halves: two frames decide.
    quiet = p[low - 1 : high - 1] + p[low:high]
    places.append(low + int(np.argmin(quiet)))
  return np.array([*places, len(p)])


def _most_events(p: np.ndarray, borders: np.ndarray, ranks: Sequence[np.ndarray]) -> int:
  """A power of two that no window has more events than, but for a probability of 1e-15 (Bernstein)."""
  expected = np.add.reduceat(p, borders[:-1])
  likely = int((expected + 10 * np.sqrt(expected) + 20).max())
  return 1 << (max(_LEAST, min(likely, max(map(len, ranks)))) - 1).bit_length()


def _survival(p: np.ndarray, borders: np.ndarray, most: int) -> np.ndarray:
  """`Pr(Y >= k)` of each window for `k` from 1 to `most`, `[num_windows, most]`."""
  lengths = np.diff(borders)
  longest = int(lengths.max(initial=1))
  place = borders[:-1, None] + np.arange(longest)
  where = np.arange(longest) < lengths[:, None]
  values = np.where(where, p[np.minimum(place, len(p) - 1)], 0.0)
  logits = scipy.special.logit(np.clip(values, 1e-12, 1 - 1e-7)).astype(np.float32)
  survival = []
  for first in range(0, len(logits), _BATCH):
    some, real = logits[first : first + _BATCH], where[first : first + _BATCH]
    size = min(_BATCH, 1 << (len(some) - 1).bit_length())
    fill = ((0, size - len(some)), (0, -longest % 64))
    log_pmf = poisson_binomial.log_pmf(np.pad(some, fill), max_count=most, where=np.pad(real, fill))
    pmf = np.exp(np.asarray(log_pmf, dtype=np.float64))[: len(some)]
    survival.append(np.minimum(pmf[:, ::-1].cumsum(1)[:, ::-1][:, 1:], 1.0))
  return np.concatenate(survival)
