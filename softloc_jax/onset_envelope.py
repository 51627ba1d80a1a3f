"""Events without any training: where the spectrum of a sound, or the energy of a sensor, rises suddenly."""

from __future__ import annotations

import numpy as np

from softloc_jax.data.recording import Recording

_FRAME_RATE_HZ = 100.0
_SMOOTHING_S = 0.02
_LEAST_GAP_S = 0.05
# Of the scale that peaks are measured by: where events are rare, what is usual is noise.
_SURE_PEAKS, _SHARE_OF_THEM = 5, 0.25


def onsets(recording: Recording, *, audio: bool) -> tuple[np.ndarray, np.ndarray]:
  """Times in seconds and strengths of sudden rises.

  Args:
    recording: the signal; audio of one channel.
    audio: whether it is heard by spectral flux (librosa), or read by its energy.

  Returns:
    Times in seconds, ascending, and strengths relative to the median one.
  """
  envelope, rate_hz = _spectral_flux(recording) if audio else _energy_rise(recording)
  from scipy import signal

  floor, distance = np.median(envelope), max(round(_LEAST_GAP_S * rate_hz), 1)
  highest = np.sort(envelope[signal.find_peaks(envelope, distance=distance)[0]])[-_SURE_PEAKS:]
  usual = np.quantile(envelope, 0.95) - floor
  scale = max(usual, _SHARE_OF_THEM * (np.median(highest) - floor)) if len(highest) else usual
  if not scale > 0:
    return np.zeros(0), np.zeros(0)
  peaks, _ = signal.find_peaks(
    envelope, height=floor + 0.25 * scale, prominence=0.25 * scale, distance=distance
  )
  strengths = envelope[peaks] - floor
  return peaks / rate_hz, np.minimum(strengths / max(np.median(strengths), 1e-12), 3.0) if len(
    peaks
  ) else strengths


def _spectral_flux(recording: Recording) -> tuple[np.ndarray, float]:
  import librosa

  hop = max(round(recording.sample_rate_hz / _FRAME_RATE_HZ), 1)
  signal = recording.signal if recording.signal.ndim == 1 else recording.signal.mean(1)
  flux = librosa.onset.onset_strength(
    y=np.asarray(signal, np.float32), sr=recording.sample_rate_hz, hop_length=hop, n_fft=4 * hop, n_mels=64
  )
  return flux, recording.sample_rate_hz / hop


def _energy_rise(recording: Recording) -> tuple[np.ndarray, float]:
  from scipy import ndimage

  rate_hz = recording.sample_rate_hz
  signal = np.asarray(recording.signal, np.float64).reshape(len(recording.signal), -1)
  width = max(_SMOOTHING_S * rate_hz, 0.5)
  # Changes rather than levels: gravity and wandering baselines are no events.
  change = ndimage.gaussian_filter1d(signal, width, axis=0, order=1)
  scale = np.maximum(change.std(0), 1e-12)
  power = np.square(change / scale).sum(1)
  # A bump rises and falls: one event.
  return ndimage.gaussian_filter1d(power, _LEAST_GAP_S * rate_hz), rate_hz
