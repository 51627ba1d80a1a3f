"""Prepares a recording's signal on the host: bandpass, sample rate, scale.

The steps never move an event: filters run forwards and backwards, the resampling filter is symmetric
and its delay is taken out, and event times stay in seconds.
"""

from __future__ import annotations

import fractions
import math

import numpy as np

from softloc_jax.data.recording import Recording, validate

SCALINGS = ("robust", "peak")

# The interquartile range of a normal distribution is 1.349 standard deviations.
_IQR_OF_UNIT_NORMAL = 1.349
# Variation below this fraction of the input's peak is rounding error of the filters (float32 resolves 6e-8).
_FLAT = 1e-9
# Above this, the resampling filter (20 taps per unit of the ratio) would cost more than the signal is worth.
_MAX_RATIO_TERM = 100_000
# How far, in new samples, a ratio of whole numbers may drift from the true one by the end of the recording.
# This matters in long recordings whose rate is off a round number by millionths, as time stamps give it.
_MAX_DRIFT_SAMPLES = 0.25


def condition(
  recording: Recording,
  *,
  sample_rate_hz: float | None = None,
  bandpass_hz: tuple[float, float] | None = None,
  scaling: str | None = None,
) -> Recording:
  """Filters, resamples and scales a signal, in this order, each channel on its own.

  Args:
    recording: signal `[num_samples]` or `[num_samples, channels]`, and its events.
    sample_rate_hz: the new sample rate, reached by polyphase resampling without delay; None keeps the
      rate. The result has `ceil(num_samples * new / old)` samples. Where rounding would still make it
      shorter in seconds than the input, its last sample is repeated: an event that was inside the
      recording stays inside.
    bandpass_hz: `(low, high)`, the edges of a Butterworth bandpass of second order, run forwards and
      backwards (no delay, -6 dB at the edges, 24 dB per octave beyond); None leaves the band.
    scaling: "robust" takes away the median and divides by the interquartile range over 1.349 (one
      standard deviation of a normal signal), "peak" divides by the largest absolute value, None keeps
      the units. Nothing is clipped. A flat channel becomes 0 under "robust". A channel whose
      interquartile range is 0 though it is not flat (silence with some clicks) is divided by its
      standard deviation instead.

  Returns:
    A recording with a float32 signal of the same number of channels, and the same events in seconds.

  Raises:
    ValueError: an invalid recording, an unknown scaling, a band outside (0, half the sample rate), a
      sample rate that is not positive, or one whose ratio to the old rate is further from every ratio of
      whole numbers up to 100000 than a quarter of a new sample over the recording.

  >>> beep = Recording("beep", np.array([0, 3, -6, 3], np.float32), 4.0, {"hit": np.array([0.25])})
  >>> condition(beep, scaling="peak").signal.tolist()
  [0.0, 0.5, -1.0, 0.5]
  >>> condition(beep, sample_rate_hz=8.0).signal.shape
  (8,)
  """
  validate(recording)  # one NaN would spread over the whole signal
  if scaling is not None and scaling not in SCALINGS:
    raise ValueError(f"scaling is {scaling!r}; expected one of {', '.join(map(repr, SCALINGS))} or None")
  rate_hz = float(recording.sample_rate_hz)
  if bandpass_hz is None and scaling is None and sample_rate_hz in (None, rate_hz):
    return recording.replace(signal=np.asarray(recording.signal, np.float32), sample_rate_hz=rate_hz)
  signal = np.asarray(recording.signal, dtype=np.float64)
  input_peak = np.abs(signal).max(axis=0)
  if bandpass_hz is not None:
    signal = _bandpass(signal, rate_hz, bandpass_hz)
  if sample_rate_hz is not None:
    signal = _resample(signal, rate_hz, float(sample_rate_hz))
    rate_hz = float(sample_rate_hz)
  if scaling is not None:
    signal = _scale(signal, scaling, _FLAT * input_peak)
  return recording.replace(signal=signal.astype(np.float32), sample_rate_hz=rate_hz)


def _bandpass(signal: np.ndarray, rate_hz: float, bandpass_hz: tuple[float, float]) -> np.ndarray:
  """Zero-phase Butterworth bandpass along the first axis."""
  import scipy.signal

  try:
    low_hz, high_hz = (float(edge) for edge in bandpass_hz)
  except (TypeError, ValueError):
    raise ValueError(f"bandpass_hz is {bandpass_hz!r}; expected (low, high) in Hz") from None
  if not 0 < low_hz < high_hz < rate_hz / 2:
    raise ValueError(
      f"bandpass_hz is ({low_hz:g}, {high_hz:g}); expected 0 < low < high < {rate_hz / 2:g} Hz,"
      f" half the sample rate of the recording"
    )
  sos = scipy.signal.butter(2, (low_hz, high_hz), btype="bandpass", fs=rate_hz, output="sos")
  # One period of the lowest frequency on each side lets the filter settle before the signal begins.
  padding = min(len(signal) - 1, math.ceil(rate_hz / low_hz))
  return scipy.signal.sosfiltfilt(sos, signal, axis=0, padlen=padding)


def _resample(signal: np.ndarray, old_hz: float, new_hz: float) -> np.ndarray:
  """Polyphase resampling along the first axis; sample 0 stays at 0 s."""
  import scipy.signal

  if not (new_hz > 0 and math.isfinite(new_hz)):
    raise ValueError(f"sample_rate_hz is {new_hz}; expected a positive number")
  if new_hz == old_hz:
    return signal
  ratio = _whole_number_ratio(old_hz, new_hz, len(signal))
  # The straight line between the end points goes around the filter: the signal then starts and ends at 0,
  # so that nothing rings at its edges, and a large offset does not leak through the filter's ripple.
  channels = signal.reshape(len(signal), -1)
  slope = (channels[-1] - channels[0]) / max(len(channels) - 1, 1)
  line = channels[0] + slope * np.arange(len(channels))[:, None]
  resampled = scipy.signal.resample_poly(channels - line, ratio.numerator, ratio.denominator, axis=0)
  resampled += channels[0] + slope * (np.arange(len(resampled)) * (old_hz / new_hz))[:, None]
  if len(resampled) / new_hz < len(signal) / old_hz:
    resampled = np.concatenate([resampled, resampled[-1:]])
  return resampled.reshape(-1, *signal.shape[1:])


def _whole_number_ratio(old_hz: float, new_hz: float, num_samples: int) -> fractions.Fraction:
  """new / old as a fraction whose drift over the recording is far below a sample."""
  exact = fractions.Fraction(new_hz) / fractions.Fraction(old_hz)
  limit = min(_MAX_RATIO_TERM, max(1, int(_MAX_RATIO_TERM / exact)))  # bounds the numerator too
  ratio = exact.limit_denominator(limit)
  drift_samples = float(abs(ratio - exact) * num_samples)
  if ratio == 0 or ratio.numerator > _MAX_RATIO_TERM or drift_samples > _MAX_DRIFT_SAMPLES:
    raise ValueError(
      f"sample_rate_hz: cannot resample from {old_hz!r} to {new_hz!r} Hz: the nearest ratio of whole"
      f" numbers up to {_MAX_RATIO_TERM} is {ratio}, {drift_samples:.3g} samples off by the end;"
      f" expected at most {_MAX_DRIFT_SAMPLES}"
    )
  return ratio


def _scale(signal: np.ndarray, scaling: str, flat: np.ndarray) -> np.ndarray:
  """Robust or peak scaling per channel; up to a size of `flat` (per channel) a channel becomes 0."""
  if scaling == "peak":
    size = np.abs(signal).max(axis=0)
  else:
    lower, median, upper = np.percentile(signal, (25, 50, 75), axis=0)
    signal = signal - median
    size = (upper - lower) / _IQR_OF_UNIT_NORMAL
    size = np.where(size > flat, size, signal.std(axis=0))
  is_flat = size <= flat
  return np.where(is_flat, 0.0, signal / np.where(is_flat, 1.0, size))
