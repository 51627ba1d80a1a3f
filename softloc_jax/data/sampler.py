"""Strokes of sampled instruments: where they start, at another pitch or with another timbre, and in a mix."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from softloc_jax.data.mastering import FILTER_SAMPLES

_PADDING_SAMPLES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Sound:
  """A single stroke.

  Attributes:
    samples: float32 `[num_samples]`.
    sample_rate_hz: samples per second.
    attack_samples: where it starts, counted from the first sample; not always a whole number.
  """

  samples: np.ndarray
  sample_rate_hz: float
  attack_samples: float


def attack_sample(samples: np.ndarray, sample_rate_hz: float) -> int:
  """Where a stroke starts.

  The loudest magnitude is looked for in the 30 ms after the sound first reaches a tenth of its largest
  magnitude; the attack is the first sample that reaches a twentieth (-26 dB) of it. Noise before the stroke
  must stay under that. A cymbal that swells after the stroke is not late, since only 30 ms count.

  Args:
    samples: `[num_samples]`.
    sample_rate_hz: samples per second.

  Raises:
    ValueError: silence.

  >>> attack_sample(np.array([0, 0.01, -0.2, 1, -0.5]), 1000.0)
  2
  """
  size = np.abs(samples)
  if not size.size or size.max() == 0:
    raise ValueError("the sound is silent; expected a stroke")
  window = max(round(0.03 * sample_rate_hz), 1)
  reached = int(np.argmax(size >= 0.1 * size.max()))
  first = max(reached - window, 0)
  return first + int(np.argmax(size[first:] >= 0.05 * size[reached : reached + window].max()))


def attack_level(sound: Sound) -> float:
  """Root mean square of the loudest 10 ms of the first 100 ms after the attack."""
  start, step = int(sound.attack_samples), max(int(0.005 * sound.sample_rate_hz), 1)
  power = np.square(sound.samples[start : start + 20 * step].astype(np.float64))
  sums = np.add.reduceat(power, np.arange(0, len(power), step))
  return float(np.sqrt((sums + np.append(sums[1:], 0)).max() / (2 * step)))


def reshape(
  sound: Sound,
  sample_rate_hz: float,
  *,
  pitch: float = 1.0,
  equalizer: np.ndarray | None = None,
  decay_s: float = np.inf,
  fade_s: float = 0.01,
) -> Sound:
  """A stroke at another pitch, with another timbre and a shorter decay; its attack level is 1.

  Args:
    sound: what was recorded.
    sample_rate_hz: sample rate of the result.
    pitch: how much faster it is played, which makes it higher and shorter.
    equalizer: impulse response at the new rate, at most `[512]`; None leaves the timbre.
    decay_s: from the attack on the sound also falls by 1/e in this time; infinity leaves its decay.
    fade_s: length of the fade at its end, for recordings that were cut off.

  >>> click = Sound(np.eye(1, 100, 10, dtype=np.float32)[0], 8000.0, 10)
  >>> faster = reshape(click, 16000.0, pitch=2.0)
  >>> int(np.argmax(np.abs(faster.samples)) - round(faster.attack_samples))
  0
  """
  from scipy import fft

  ratio = sample_rate_hz / (sound.sample_rate_hz * pitch)
  # Room at both ends: what the band limit rings before the attack, and the tail of the filter.
  room = 2 * _PADDING_SAMPLES + int(np.ceil(FILTER_SAMPLES / ratio))
  size, new_size = _transform_sizes(len(sound.samples) + room, ratio)
  padded = np.zeros(size, np.float32)
  padded[_PADDING_SAMPLES : _PADDING_SAMPLES + len(sound.samples)] = sound.samples
  spectrum = fft.rfft(padded)[: new_size // 2 + 1]
  # A smooth end of the band rings less than an abrupt one.
  taper = len(spectrum) // 20 + 1
  spectrum[-taper:] *= np.cos(np.linspace(0, np.pi / 2, taper, dtype=np.float32)) ** 2
  if equalizer is not None:
    spectrum *= fft.rfft(np.asarray(equalizer, np.float32), new_size)[: len(spectrum)]
  samples = fft.irfft(spectrum, new_size) * np.float32(new_size / size)
  attack = (_PADDING_SAMPLES + sound.attack_samples) * new_size / size
  # A millisecond before the attack is enough for what leads up to it.
  start = max(int(attack) - round(0.001 * sample_rate_hz), 0)
  tail = 0 if equalizer is None else len(equalizer)
  stop = int((_PADDING_SAMPLES + len(sound.samples)) * new_size / size) + tail
  return finish(Sound(samples[start:stop], sample_rate_hz, attack - start), decay_s=decay_s, fade_s=fade_s)


def _transform_sizes(least: int, ratio: float) -> tuple[int, int]:
  """Lengths of two transforms, the first at least `least`, the second about `ratio` times that.

  Both are products of small primes, as other lengths may take ten times as long. Where their ratio can be had
  to a two-thousandth (a hundredth of a semitone) with little padding, it is.
  """
  fast = _fast_sizes()
  sizes = fast[np.searchsorted(fast, least) : np.searchsorted(fast, 1.2 * least) + 1]
  after = np.clip(np.searchsorted(fast, sizes * ratio), 1, len(fast) - 1)
  pairs = np.concatenate([[sizes, fast[after]], [sizes, fast[after - 1]]], axis=1)
  error = np.abs(pairs[1] / (pairs[0] * ratio) - 1)
  close = error < max(5e-4, error.min() * 1.01)
  size, new_size = pairs[:, close][:, np.argmin(pairs[0, close])]
  return int(size), int(new_size)


@functools.cache
def _fast_sizes() -> np.ndarray:
  """Every number up to 2**22 whose prime factors are at most 11, in order."""
  sizes = np.array([1])
  for prime in (2, 3, 5, 7, 11):
    powers = prime ** np.arange(int(22 / np.log2(prime)) + 1)
    sizes = np.outer(sizes, powers).ravel()
    sizes = sizes[sizes <= 2**22]
  return np.sort(sizes)


def finish(sound: Sound, *, decay_s: float = np.inf, fade_s: float = 0.01) -> Sound:
  """The stroke with attack level 1, a shorter decay, and without an abrupt end or an inaudible tail."""
  samples = sound.samples.astype(np.float32)
  if np.isfinite(decay_s):
    since = np.maximum(np.arange(len(samples), dtype=np.float32) - np.float32(sound.attack_samples), 0)
    samples = samples * np.exp(since * np.float32(-1 / (decay_s * sound.sample_rate_hz)))
  level = attack_level(Sound(samples, sound.sample_rate_hz, sound.attack_samples))
  if level == 0:
    raise ValueError("the sound is silent after its attack; expected a stroke")
  samples = samples / np.float32(level)
  audible = np.flatnonzero(np.abs(samples) > 1e-4)  # 80 dB below the attack
  samples = samples[: audible[-1] + 1]
  fade = min(int(fade_s * sound.sample_rate_hz), (len(samples) - int(sound.attack_samples)) // 2)
  if fade > 0:
    samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
  return Sound(samples, sound.sample_rate_hz, sound.attack_samples)


def layer(first: Sound, second: Sound, gain: float) -> Sound:
  """Two strokes at once, attack on attack; the second times `gain`; attack level 1 again."""
  shift = round(first.attack_samples - second.attack_samples)
  start, other_start = max(-shift, 0), max(shift, 0)
  samples = np.zeros(max(start + len(first.samples), other_start + len(second.samples)), np.float32)
  samples[start : start + len(first.samples)] += first.samples
  samples[other_start : other_start + len(second.samples)] += np.float32(gain) * second.samples
  return finish(Sound(samples, first.sample_rate_hz, first.attack_samples + start))


def add(
  mix: np.ndarray, sound: Sound, at_sample: float, gain: float, *, length_s: float = np.inf, release_s=0.01
) -> None:
  """Adds a stroke to a mix, in place; what lies outside the mix is left out.

  Args:
    mix: float32 `[num_samples]`.
    sound: the stroke, at the mix's sample rate.
    at_sample: where its attack goes, to half a sample.
    gain: factor on its amplitude.
    length_s: after this time, counted from the attack, it is damped.
    release_s: time in which a damped stroke falls by 1/e.
  """
  samples, start = sound.samples, round(at_sample - sound.attack_samples)
  stop = sound.attack_samples + length_s * sound.sample_rate_hz
  if stop < len(samples):
    stop, release = int(stop), release_s * sound.sample_rate_hz
    tail = samples[stop : stop + int(7 * release)]
    damped = tail * np.exp(np.arange(len(tail), dtype=np.float32) * np.float32(-1 / release))
    samples = np.concatenate([samples[:stop], damped])
  first = max(-start, 0)
  last = min(len(samples), len(mix) - start)
  if last > first:
    mix[start + first : start + last] += np.float32(gain) * samples[first:last]
