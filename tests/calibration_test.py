"""Calibration error: by hand, at its extremes, and of answers that are as right as they say."""

import numpy as np
import pytest

from softloc_jax import calibration


def test_by_hand():
  bins = calibration.reliability([0.05, 0.15, 0.12, 1.0], [0, 1, 0, 1])
  np.testing.assert_allclose(bins.confidence, [0.05, 0.135, 1.0])
  np.testing.assert_allclose(bins.correct, [0, 0.5, 1])
  assert bins.count.tolist() == [1, 2, 1]
  expected = (0.05 + 2 * 0.365 + 0) / 4
  assert calibration.calibration_error([0.05, 0.15, 0.12, 1.0], [0, 1, 0, 1]) == pytest.approx(expected)


def test_honest_and_dishonest_answers():
  rng = np.random.default_rng(0)
  confidence = rng.random(50_000)
  assert calibration.calibration_error(confidence, rng.random(50_000) < confidence) < 0.01
  assert calibration.calibration_error(np.ones(10), np.zeros(10)) == 1


@pytest.mark.parametrize(
  ("confidence", "correct", "message"),
  [([], [], "N above 0"), ([0.5], [1, 0], "expected"), ([1.5], [1], "expected 0 to 1")],
)
def test_bad_input_is_refused(confidence, correct, message):
  with pytest.raises(ValueError, match=message):
    calibration.calibration_error(confidence, correct)
