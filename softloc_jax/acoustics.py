"""Random equalisers, rooms and noise for `augment`, all within one FFT.

`equalizer`, `room` and `noise` draw, per clip, values of the bins of a real FFT: `shape` are the leading
axes, one draw for each, and `F = num_samples // 2 + 1` are the bins of an FFT over `num_samples`.
`through_effects` takes waveforms to the spectrum, through any of them, and back. None delays a sound: an
equaliser has zero phase, a room keeps its direct path at delay 0.
"""

from __future__ import annotations

from collections.abc import Mapping
import functools
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
import numpy as np

from softloc_jax import fourier, resampling

Range = tuple[float, float]
# Name of an effect -> its random key and its settings.
Effects = Mapping[str, tuple[Array, Mapping[str, Any]]]

_RT60_S: Range = (0.1, 1.0)


def equalizer(
  key: Array,
  shape: tuple[int, ...],
  num_samples: int,
  sample_rate_hz: float,
  *,
  std_db: float,
  num_points: int = 8,
  tilt_db: float = 0.0,
  low_hz: float = 60.0,
) -> Array:
  """Gain of a random smooth curve over log frequency, plus a random tilt: `[*shape, F]`, real (zero phase).

  Args:
    key: random key.
    shape: leading axes.
    num_samples: of the FFT.
    sample_rate_hz: of the signal.
    std_db: standard deviation of the curve at its control points.
    num_points: control points, evenly spaced in log frequency from `low_hz` to half the rate; the curve
      goes smoothly between them and stays constant below the first.
    tilt_db: largest tilt, in dB per octave around 1 kHz, up or down.
    low_hz: lowest control point. Detail at lower frequencies would smear sounds over time.

  Raises:
    ValueError: fewer than two control points, or none below half the rate.
  """
  if num_points < 2 or not 0 < low_hz < 0.5 * sample_rate_hz:
    raise ValueError(
      f"num_points is {num_points} and low_hz {low_hz}; expected 2 or more points and a frequency below half"
      f" the sample rate, {0.5 * sample_rate_hz} Hz"
    )
  curve_key, tilt_key = jax.random.split(key)
  points = std_db * jax.random.normal(curve_key, (*shape, num_points))
  tilt = uniform(tilt_key, (*shape, 1), (-tilt_db, tilt_db))
  basis = _equalizer_basis(num_samples, sample_rate_hz, num_points, low_hz)
  return amplitude(jnp.concatenate([points, tilt], axis=-1) @ basis)


def room(
  key: Array,
  shape: tuple[int, ...],
  num_samples: int,
  sample_rate_hz: float,
  *,
  rt60_s: Range = _RT60_S,
  direct_db: Range = (0.0, 20.0),
  damping: Range = (0.3, 1.0),
) -> Array:
  """Frequency response of a random room: `[*shape, F]` complex.

  The impulse response is the direct path, 1 at delay 0, and a tail of exponentially decaying noise, whose
  lower frequencies (below about 1.5 kHz) decay by 60 dB within `rt60_s` and whose higher ones in a
  fraction `damping` of it.

  Args:
    key: random key.
    shape: leading axes.
    num_samples: of the FFT; at least the signal and `tail_samples` together, else the tail wraps around.
    sample_rate_hz: of the signal.
    rt60_s: reverberation time.
    direct_db: energy of the direct path over that of the tail.
    damping: decay time of high frequencies, as a fraction of that of low ones.
  """
  keys = jax.random.split(key, 4)
  length = tail_samples(rt60_s, sample_rate_hz)
  low_rt60_s = uniform(keys[0], (*shape, 1), rt60_s)
  high_rt60_s = low_rt60_s * uniform(keys[1], (*shape, 1), damping)
  kernel = np.hanning(max(round(sample_rate_hz / 1500.0), 1) + 2)[1:-1].astype(np.float32)
  kernel /= kernel.sum()
  white = _random_signs(keys[2], (*shape, length + len(kernel) - 1))
  low = sum(weight * white[..., i : i + length] for i, weight in enumerate(kernel))
  high = white[..., len(kernel) // 2 :][..., :length] - low
  # 60 dB in a second
  decay = (math.log(1000.0) / sample_rate_hz) * np.arange(1, length + 1, dtype=np.float32)
  tail = low * jnp.exp(-decay / low_rt60_s) + high * jnp.exp(-decay / high_rt60_s)
  energy = jnp.sum(jnp.square(tail), axis=-1, keepdims=True)
  tail *= amplitude(-uniform(keys[3], (*shape, 1), direct_db)) / jnp.sqrt(energy)
  return 1.0 + fourier.rfft(jnp.pad(tail, [(0, 0)] * len(shape) + [(1, 0)]), num_samples)


def tail_samples(rt60_s: Range, sample_rate_hz: float) -> int:
  """Samples after which `room` ends: half the longest reverberation time, 30 dB down."""
  return max(1, round(0.5 * rt60_s[1] * sample_rate_hz))


def noise(
  key: Array,
  shape: tuple[int, ...],
  num_samples: int,
  sample_rate_hz: float,
  *,
  color: Range = (0.0, 1.0),
) -> Array:
  """Spectrum of stationary noise with an RMS of 1, `[*shape, F]` complex: power falls with `f ** -color`.

  Colour 0 is white, 1 pink. Every bin has its exact magnitude and one of four phases, which within any
  part of the signal, a sum over many bins, sounds as Gaussian noise does.

  Args:
    key: random key.
    shape: leading axes.
    num_samples: of the FFT.
    sample_rate_hz: of the signal; colours are flat below 20 Hz.
    color: range of the exponent.
  """
  color_key, real_key, imag_key = jax.random.split(key, 3)
  log_hz = np.log(np.maximum(np.fft.rfftfreq(num_samples, 1 / sample_rate_hz), 20.0)).astype(np.float32)
  level = jnp.exp(-0.5 * uniform(color_key, (*shape, 1), color) * log_hz)
  level = level.at[..., 0].set(0.0)  # no offset
  level *= num_samples / jnp.sqrt(4.0 * jnp.sum(jnp.square(level), axis=-1, keepdims=True))
  real, imag = (_random_signs(k, (*shape, len(log_hz))) for k in (real_key, imag_key))
  return jax.lax.complex(level * real, level * imag)


def through_effects(
  signal: Array, sample_rate_hz: float, effects: Effects, factor: Array | None = None, **playback
) -> Array:
  """Waveforms through effects, and played at another rate if there is one, in one FFT.

  Args:
    signal: `[B, N, channels]`; the channels of a clip share its equaliser and room.
    sample_rate_hz: of the signal.
    effects: any of "equalize", "reverberate" and "add_noise"; these are applied in this order, that of
      an instrument, the room around it and the microphone.
    factor: `[B]` to play clips at, as in `resampling.resample`; None keeps their rate and length.
    **playback: the other arguments of `resampling.resample`.

  Returns:
    `[B, N, channels]`, or as many samples as `playback` asks for.
  """
  num_samples = signal.shape[1]
  # Zeros after the signal take in what a room adds there and what zero phase puts before the start.
  pad = round(0.05 * sample_rate_hz) + 2 * resampling.REACH_SAMPLES
  if "reverberate" in effects:
    pad += tail_samples(effects["reverberate"][1].get("rt60_s", _RT60_S), sample_rate_hz)
  fft_samples = resampling.fast_length(num_samples + pad)
  spectrum = fourier.rfft(jnp.moveaxis(signal, 1, 2), fft_samples)  # [B, channels, F]
  sizes = ((len(signal), 1), fft_samples, sample_rate_hz)
  if "equalize" in effects:
    spectrum *= _response(equalizer, *effects["equalize"], sizes)
  if "reverberate" in effects:
    spectrum *= _response(room, *effects["reverberate"], sizes)
  if "add_noise" in effects:
    spectrum += _added_noise(*effects["add_noise"], spectrum, num_samples, fft_samples, sample_rate_hz)
  if factor is None:
    result = fourier.irfft(spectrum, fft_samples)[..., :num_samples]
  else:
    factor = jnp.broadcast_to(factor[:, None], spectrum.shape[:-1])
    spectrum *= resampling.spline_response(fft_samples, factor)
    result = resampling.sample_spline(spectrum, factor, fft_samples, **playback)
  return jnp.moveaxis(result, 2, 1)


def uniform(key: Array, shape: tuple[int, ...], limits: Range) -> Array:
  """Uniform between two limits, float32."""
  return jax.random.uniform(key, shape, minval=limits[0], maxval=limits[1])


def amplitude(db: Array) -> Array:
  """Decibels to a factor of the amplitude."""
  return jnp.exp(db * (math.log(10.0) / 20.0))


def _response(draw, key: Array, settings: Mapping[str, Any], sizes) -> Array:
  """Response of an equaliser or a room for a fraction of the clips, 1 for the others: `[B, 1, F]`."""
  arguments = dict(settings)
  probability = arguments.pop("probability", 1.0)
  draw_key, chance_key = jax.random.split(key)
  chosen = jax.random.bernoulli(chance_key, probability, (*sizes[0], 1))
  return jnp.where(chosen, draw(draw_key, *sizes, **arguments), 1.0)


def _added_noise(
  key: Array,
  settings: Mapping[str, Any],
  spectrum: Array,
  num_samples: int,
  fft_samples: int,
  sample_rate_hz: float,
) -> Array:
  """Spectrum of the noise of each clip, as loud as its ratio to the clip says: `[B, channels, F]`."""
  arguments = dict(settings)
  probability, snr_db = arguments.pop("probability", 1.0), arguments.pop("snr_db")
  noise_key, level_key, chance_key = jax.random.split(key, 3)
  shape = (len(spectrum), 1, 1)
  energy = 2.0 * jnp.sum(jnp.square(jnp.abs(spectrum)), axis=(-2, -1), keepdims=True)  # Parseval
  rms = jnp.sqrt(energy / float(fft_samples * num_samples * spectrum.shape[1]))
  level = rms * amplitude(-uniform(level_key, shape, snr_db))
  level = jnp.where(jax.random.bernoulli(chance_key, probability, shape), level, 0.0)
  return level * noise(noise_key, spectrum.shape[:-1], fft_samples, sample_rate_hz, **arguments)


def _random_signs(key: Array, shape: tuple[int, ...]) -> Array:
  """+1 or -1, float32; 32 of them cost one draw of the generator, which matters on a CPU."""
  words = jax.random.bits(key, (*shape[:-1], -(-shape[-1] // 32)))
  bits = (words[..., None] >> np.arange(32, dtype=np.uint32)) & 1
  return (2.0 * bits.reshape(*shape[:-1], -1) - 1.0)[..., : shape[-1]]


@functools.cache
def _equalizer_basis(num_samples: int, sample_rate_hz: float, num_points: int, low_hz: float) -> np.ndarray:
  """What a control point, and a tilt of 1 dB per octave, add in dB: `[num_points + 1, F]`.

  Raised cosines between neighbouring points, which sum to 1.
  """
  hz = np.maximum(np.fft.rfftfreq(num_samples, 1 / sample_rate_hz), low_hz)
  place = (num_points - 1) * np.log(hz / low_hz) / np.log(0.5 * sample_rate_hz / low_hz)
  distance = np.minimum(np.abs(place - np.arange(num_points)[:, None]), 1.0)
  return np.concatenate([0.5 + 0.5 * np.cos(np.pi * distance), [np.log2(hz / 1000.0)]]).astype(np.float32)
