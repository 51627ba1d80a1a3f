"""What happens to a mix on its way to the listener: rooms, equalisers, compression, saturation, noise, level.

None of it delays an attack: filters are minimum phase, compressors look back, and a room's direct path comes
at once.
"""

from __future__ import annotations

import numpy as np

from softloc_jax.data.drum_voices import shaped_noise

# Half of `minimum_phase`'s grid: filters are this many samples long.
FILTER_SAMPLES = 512


def minimum_phase(gain_db: np.ndarray) -> np.ndarray:
  """A filter that has these gains and delays as little as possible, so that attacks stay where they are.

  Args:
    gain_db: gains at frequencies from 0 to half the sample rate, evenly spaced, `[513]`.

  Returns:
    The impulse response, float32 `[512]`.

  References:
    Oppenheim, Schafer, "Discrete-Time Signal Processing": the folded real cepstrum.

  >>> minimum_phase(np.zeros(513))[:2].tolist()
  [1.0, 0.0]
  """
  size = 2 * FILTER_SAMPLES
  if np.shape(gain_db) != (FILTER_SAMPLES + 1,):
    raise ValueError(f"gain_db has shape {np.shape(gain_db)}; expected ({FILTER_SAMPLES + 1},)")
  cepstrum = np.fft.irfft(np.asarray(gain_db, np.float64) * (np.log(10) / 20), size)
  cepstrum[1:FILTER_SAMPLES] *= 2
  cepstrum[FILTER_SAMPLES + 1 :] = 0
  return np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[:FILTER_SAMPLES].astype(np.float32)


def equalizer(
  rng: np.random.Generator, sample_rate_hz: float, *, tilt_db: float, peaks_db: float, num_peaks: int = 4
) -> np.ndarray:
  """A random equaliser: a tilt and some broad peaks and dips, minimum phase, float32 `[512]`.

  Args:
    rng: source of the peaks.
    sample_rate_hz: samples per second of what it will filter.
    tilt_db: decibels per octave, with 0 dB at 1 kHz.
    peaks_db: standard deviation of the peaks' heights.
    num_peaks: how many, anywhere from 60 Hz to 10 kHz, a third to one octave wide.
  """
  hz = np.linspace(0, sample_rate_hz / 2, FILTER_SAMPLES + 1)
  octaves = np.log2(np.maximum(hz, 40) / 1000)
  gain_db = tilt_db * octaves
  centre, width = rng.uniform(-4, 3.3, num_peaks), rng.uniform(0.3, 1, num_peaks)
  bells = np.exp(-0.5 * np.square((octaves[:, None] - centre) / width))
  return minimum_phase(gain_db + bells @ rng.normal(0, peaks_db, num_peaks))


def reverberate(dry: np.ndarray, send: np.ndarray, response: np.ndarray) -> np.ndarray:
  """`dry` plus `send` in a room, without the room's direct path, which is `dry` itself: `[num_samples]`."""
  wet = response.copy()
  wet[0] = 0
  return dry + _filter(send, wet)


def gated_response(rng: np.random.Generator, sample_rate_hz: float) -> np.ndarray:
  """Impulse response of a gated reverberation, as snares and toms of the 1980s have it: float32 `[n]`.

  A dense tail that hardly decays and then is cut off, within 0.1 to 0.4 s. It has no direct path: it is to be
  added to the dry sound.
  """
  length_s, fade_s = rng.uniform(0.1, 0.4), rng.uniform(0.005, 0.03)
  t = np.arange(round(length_s * sample_rate_hz)) / sample_rate_hz
  low_hz, high_hz = rng.uniform(100, 300), rng.uniform(3000, 7500)
  tail = shaped_noise(rng, len(t), sample_rate_hz, low_hz, min(high_hz, 0.45 * sample_rate_hz))
  tail = tail * np.exp(-np.log(1000) / rng.uniform(0.8, 3) * t) * np.clip((length_s - t) / fade_s, 0, 1)
  tail[: round(rng.uniform(0.001, 0.015) * sample_rate_hz)] = 0  # it builds up after the stroke
  return (rng.uniform(0.3, 1.5) * tail / np.sqrt(np.sum(tail**2))).astype(np.float32)


def compress(
  signal: np.ndarray, sample_rate_hz: float, *, threshold_db: float, ratio: float, time_s: float
) -> np.ndarray:
  """Makes what is louder than a threshold quieter: float32 `[num_samples]`.

  The gain follows the signal's power, smoothed over `time_s` (towards the past only), so that attacks come
  through.

  Args:
    signal: `[num_samples]`.
    sample_rate_hz: samples per second.
    threshold_db: level above which it works, relative to a root mean square of 1.
    ratio: decibels in per decibel out above the threshold.
    time_s: time constant.
  """
  from scipy.signal import lfilter

  hop = max(round(0.002 * sample_rate_hz), 1)
  power = np.add.reduceat(np.square(signal, dtype=np.float64), np.arange(0, len(signal), hop)) / hop
  keep = np.exp(-hop / (time_s * sample_rate_hz))
  level_db = 10 * np.log10(lfilter([1 - keep], [1, -keep], power) + 1e-12)
  gain_db = -(1 - 1 / ratio) * np.maximum(level_db - threshold_db, 0)
  # The power of a block is known at its end.
  gain = np.interp(np.arange(len(signal)), (np.arange(len(gain_db)) + 1) * hop, 10 ** (gain_db / 20))
  return (signal * gain).astype(np.float32)


def master(
  rng: np.random.Generator,
  mix: np.ndarray,
  sample_rate_hz: float,
  *,
  compression: float,
  saturation: float,
  low_pass: float,
  noise_db: float,
  peak_db: float,
) -> np.ndarray:
  """What happens to a mix on its way to the listener: equaliser, compressor, saturation, noise and level.

  Args:
    rng: source of the settings and of the noise.
    mix: float32 `[num_samples]`.
    sample_rate_hz: samples per second.
    compression: probability of a compressor.
    saturation: probability of saturation.
    low_pass: probability that highs are cut.
    noise_db: level of the noise against the loudest sample, in decibels.
    peak_db: level of the loudest sample of the result, under full scale.

  Returns:
    float32 `[num_samples]`.
  """
  tilt_db, peaks_db = rng.uniform(-2, 2), rng.uniform(0, 4)
  mix = _at_peak(_filter(mix, equalizer(rng, sample_rate_hz, tilt_db=tilt_db, peaks_db=peaks_db)))
  if rng.random() < compression:
    settings = {"threshold_db": rng.uniform(-30, -12), "ratio": rng.uniform(1.3, 4)}
    mix = _at_peak(compress(mix, sample_rate_hz, time_s=rng.uniform(0.01, 0.15), **settings))
  if rng.random() < saturation:
    mix = np.tanh(np.float32(rng.uniform(0.5, 4)) * mix)
  if rng.random() < low_pass:
    hz = np.linspace(0, sample_rate_hz / 2, FILTER_SAMPLES + 1)
    mix = _filter(mix, minimum_phase(-10 * np.log10(1 + (hz / rng.uniform(3500, 7500)) ** 8)))
  noise = shaped_noise(rng, len(mix), sample_rate_hz, 20, tilt=rng.uniform(-0.6, 0))
  mix = _at_peak(_at_peak(mix) + np.float32(10 ** (noise_db / 20)) * noise)
  return np.float32(10 ** (peak_db / 20)) * mix


def _at_peak(signal: np.ndarray) -> np.ndarray:
  """The signal with its loudest sample at 1, or silence as it is."""
  peak = float(np.max(np.abs(signal)))
  return signal / np.float32(peak) if peak > 0 else signal


def _filter(signal: np.ndarray, taps: np.ndarray) -> np.ndarray:
  from scipy.signal import oaconvolve

  return oaconvolve(signal, taps)[: len(signal)].astype(np.float32)
