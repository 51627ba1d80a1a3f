"""Plays strokes on a sampled kit, dry, and tells which of them can be heard in the mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np

from softloc_jax.data import sampled_kit, sampler
from softloc_jax.data.groove import VOICES, Strokes
from softloc_jax.data.groove_excerpts import VOICE_CLASS

# Drums that share a place in the room: kick; snare, sidestick and toms; hats and cymbals.
NUM_BUSES = 3
_BUSES = {"kick": 0, **dict.fromkeys(("snare", "sidestick", *sampled_kit.TOMS), 1)}
_HOP_S = 0.01
_DRUM_AGAINST_HAT = 10 ** (-15 / 10)
# About what the loudest sample is of a stroke whose attack level is 1.
_PEAK_OF_ATTACK = 2.5


@dataclasses.dataclass(frozen=True, eq=False)
class _Hit:
  """A stroke about to be mixed."""

  voice: str
  at_sample: float
  sound: sampler.Sound
  gain: float
  length_s: float


def mix_strokes(
  rng: np.random.Generator,
  strokes: Strokes,
  kit: sampled_kit.Kit,
  num_samples: int,
  *,
  audible_db: Mapping[str, float],
  noise_db: float = -90.0,
  drop_faint: bool = True,
  background: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Plays strokes on a kit, dry, and tells which of them can be heard.

  Args:
    rng: source of the choice of recordings.
    strokes: what to play, in the order of time.
    kit: what it is played on.
    num_samples: length of the mix.
    audible_db: class -> a stroke whose level against all else that is played then, from its attack on for
      30 ms, is less than this both with and without emphasis of the highs, is not heard. Against a hat, drums
      count 15 dB less than cymbals and the background: behind a drum listeners hear the hat they expect.
    noise_db: level of the noise that will be added, against the loudest sample; nor is a stroke under it.
    drop_faint: whether strokes that are not heard are left out.
    background: what else sounds, `[num_samples]`; it counts for what is heard but is not mixed in.

  Returns:
    Three buses (kick; snare, sidestick and toms; hats and cymbals), float32 `[3, num_samples]`, and whether
    each stroke is heard, bool `[n]`.
  """
  rate_hz = kit.sample_rate_hz
  is_hat = strokes.is_any(*sampled_kit.HATS)
  hat_times_s = np.append(strokes.times_s[is_hat], np.inf)
  hits = []
  for time_s, voice, velocity, openness in zip(
    strokes.times_s, strokes.voices, strokes.velocities, strokes.openness, strict=True
  ):
    name = VOICES[voice]
    sound, gain = kit.stroke(rng, name, velocity, openness)
    # The next stroke on the hat ends this one; strokes of a flam do not.
    following_s = hat_times_s[np.searchsorted(hat_times_s, time_s + 0.02)]
    length_s = following_s - time_s if name in sampled_kit.HATS else np.inf
    hits.append(_Hit(name, round(time_s * rate_hz), sound, gain, length_s))
  background = np.zeros(num_samples, np.float32) if background is None else background
  heard = _is_heard(hits, background, rate_hz, audible_db, noise_db)
  buses = np.zeros((NUM_BUSES, num_samples), np.float32)
  for hit, is_heard in zip(hits, heard, strict=True):
    if is_heard or not drop_faint:
      bus = buses[_BUSES.get(hit.voice, 2)]
      sampler.add(bus, hit.sound, hit.at_sample, hit.gain, length_s=hit.length_s)
  return buses, heard


def _is_heard(
  hits: Sequence[_Hit], background: np.ndarray, rate_hz: float, audible_db: Mapping, noise_db: float
) -> np.ndarray:
  """Which hits stand out enough from the others to be heard: bool `[n]`; cymbals and toms always do."""
  loudest = _PEAK_OF_ATTACK * max((hit.gain for hit in hits), default=0.0)
  hop = max(int(_HOP_S * rate_hz), 1)
  # What drums are heard against, and what hats are.
  total = np.pad(_energies(background, hop), ((0, 0), (0, 4)))[None].repeat(2, axis=0)
  energies: dict[int, np.ndarray] = {}
  placed = []
  for hit in hits:
    if id(hit.sound) not in energies:
      energies[id(hit.sound)] = _energies(hit.sound.samples[int(hit.sound.attack_samples) :], hop)
    first = int(hit.at_sample) // hop
    frames = min(int(min(hit.length_s, 1e6) / _HOP_S) + 1, total.shape[-1] - first)
    energy = energies[id(hit.sound)][:, :frames] * hit.gain**2
    weights = np.array([1.0, _DRUM_AGAINST_HAT if hit.voice in _BUSES else 1.0])
    total[:, :, first : first + energy.shape[1]] += weights[:, None, None] * energy
    placed.append((first, energy[:, :3]))
  # Of white noise the difference has twice the power.
  noise = hop * (loudest * 10 ** (noise_db / 20)) ** 2 * np.array([1.0, 2.0])
  heard = np.ones(len(hits), bool)
  for index, (hit, (first, energy)) in enumerate(zip(hits, placed, strict=True)):
    if hit.voice in VOICE_CLASS:
      label = VOICE_CLASS[hit.voice]
      others = np.maximum(total[int(label == "HH"), :, first : first + energy.shape[1]] - energy, 0)
      share = 10 ** (audible_db[label] / 10)
      least = np.maximum(share * others.sum(1), noise * energy.shape[1])
      heard[index] = bool((energy.sum(1) >= least).any())
  return heard


def _energies(samples: np.ndarray, hop: int) -> np.ndarray:
  """Energy per frame, as it is and with the highs emphasised: `[2, frames]`."""
  both = np.square([samples, np.diff(samples, prepend=np.float32(0))])
  return np.add.reduceat(both, np.arange(0, len(samples), hop), axis=1)
