"""Whether confidences are what they say: shares of right answers, bin by bin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
  """Bins of equal width with at least one answer.

  Attributes:
    confidence: mean confidence of each bin, `[B]`.
    correct: share of right answers of each, `[B]`.
    count: how many answers each has, `[B]`.
  """

  confidence: np.ndarray
  correct: np.ndarray
  count: np.ndarray


def reliability(confidence, correct, *, num_bins: int = 10) -> Reliability:
  """Mean confidence and share of right answers in bins of the confidence.

  Args:
    confidence: of each answer, between 0 and 1, `[N]`.
    correct: whether it is right, `[N]`.
    num_bins: bins of equal width between 0 and 1.

  Raises:
    ValueError: no answers, unequal lengths, or a confidence outside [0, 1].
  """
  confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
  if not len(confidence) or confidence.shape != correct.shape or confidence.ndim != 1:
    raise ValueError(
      f"confidence has shape {confidence.shape} and correct {correct.shape}; expected [N] both, N above 0"
    )
  if not ((confidence >= 0) & (confidence <= 1)).all():
    raise ValueError(
      f"confidence lies between {confidence.min():g} and {confidence.max():g}; expected 0 to 1"
    )
  index = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
  count = np.bincount(index, minlength=num_bins)
  sums = [np.bincount(index, values, num_bins) for values in (confidence, correct)]
  known = count > 0
  return Reliability(*(total[known] / count[known] for total in sums), count[known])


def calibration_error(confidence, correct, *, num_bins: int = 10) -> float:
  """Expected calibration error: how far confidence and share of right answers of a bin are apart.

  The mean over answers of the difference in their bin.

  Arguments and errors as of `reliability`.

  References:
    Naeini, Cooper, Hauskrecht. Obtaining well calibrated probabilities using Bayesian binning. AAAI 2015.

  >>> calibration_error([0.9, 0.9, 0.9, 0.9], [True, True, True, False])
  0.15
  """
  bins = reliability(confidence, correct, num_bins=num_bins)
  error = np.average(np.abs(bins.confidence - bins.correct), weights=bins.count)
  return float(np.round(error, 12))
