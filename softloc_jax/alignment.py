"""The constant offset between detected events and labels that say roughly where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STEP_S = 0.001


def constant_offset(
  labels_s: Sequence[np.ndarray], estimates_s: Sequence[np.ndarray], *, softness_s: float, max_offset_s: float
) -> float:
  """How much later the labels are than the estimates, all recordings together.

  A loss that forgives misalignment leaves the network some freedom to be early or late by a constant
  (L section 4.5), while labels that are off by noise of zero mean are right on average. So the
  offset is the shift of the estimates that maximises their overlap with the labels, both smoothed
  by a Gaussian (S2 as a function of the shift); events need no pairing. Noise that is skewed has its
  maximum beside its mean, and its offset there too: by up to an eighth of the noise, where few labels are
  late by much (`noise.misalign`'s "skewed").

  Args:
    labels_s: for each recording, label times in seconds.
    estimates_s: for each recording, detected times in seconds.
    softness_s: standard deviation of the smoothing, about that of the label noise.
    max_offset_s: largest offset considered.

  Returns:
    Seconds to add to the estimates; 0 where the overlap has no maximum up to `max_offset_s`.

  Raises:
    ValueError: lists of unequal length, or settings that are not positive.

  >>> labels_s, estimates_s = np.array([1.0, 2.0, 3.5]), np.array([0.97, 1.97, 3.47])
  >>> constant_offset([labels_s], [estimates_s], softness_s=0.1, max_offset_s=0.3)
  0.03
  """
  if len(labels_s) != len(estimates_s):
    raise ValueError(
      f"{len(labels_s)} recordings with labels and {len(estimates_s)} with estimates; expected as many"
    )
  if not (softness_s > 0 and max_offset_s > 0):
    raise ValueError(f"softness_s is {softness_s} and max_offset_s {max_offset_s}; expected positive numbers")
  spread_s = np.sqrt(2) * softness_s  # both sides are smoothed
  reach_s = max_offset_s + 4 * spread_s
  near = [
    _differences(np.sort(label), estimate, reach_s)
    for label, estimate in zip(labels_s, estimates_s, strict=True)
  ]
  differences = np.concatenate(near) if near else np.zeros(0)
  if not len(differences):
    return 0.0
  num_steps = round(reach_s / _STEP_S)
  histogram, _ = np.histogram(differences, (np.arange(-num_steps, num_steps + 2) - 0.5) * _STEP_S)
  half = round(4 * spread_s / _STEP_S)
  kernel = np.exp(-0.5 * np.square(np.arange(-half, half + 1) * _STEP_S / spread_s))
  overlap = np.convolve(histogram, kernel, mode="same")
  offsets_s = np.arange(-num_steps, num_steps + 1) * _STEP_S
  padded = np.pad(overlap, 1)
  # At the border of what is searched there is often more than within, but no maximum.
  is_peak = (overlap > 0) & (overlap >= padded[:-2]) & (overlap >= padded[2:])
  allowed = np.flatnonzero(is_peak & (np.abs(offsets_s) <= max_offset_s))
  if not len(allowed):
    return 0.0
  best = allowed[overlap[allowed].argmax()]
  return float(np.round(offsets_s[best], 6))


def _differences(labels_s: np.ndarray, estimates_s: np.ndarray, reach_s: float) -> np.ndarray:
  """All `label - estimate` up to `reach_s` in size."""
  low = np.searchsorted(labels_s, np.asarray(estimates_s) - reach_s, side="left")
  high = np.searchsorted(labels_s, np.asarray(estimates_s) + reach_s, side="right")
  repeats = high - low
  first = np.repeat(low - np.cumsum(repeats) + repeats, repeats)
  return labels_s[first + np.arange(repeats.sum())] - np.repeat(estimates_s, repeats)
