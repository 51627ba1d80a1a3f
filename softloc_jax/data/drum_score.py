"""What the drum machine plays: patterns, tempo, swing, human timing, velocities, fills and drop-outs."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class _Family:
  """A kind of groove.

  Attributes:
    kick: probability in ninths of a stroke on each sixteenth of a bar.
    snare: the same for full strokes on the snare.
    ghosts: the same for ghost notes on it.
    hats: names in `_HATS` to choose from.
    tempo_bpm: usual range.
    swing: range of the share that the first of two notes takes.
    swung_steps: how many sixteenths long these notes are.
  """

  kick: str
  snare: str
  ghosts: str
  hats: tuple[str, ...]
  tempo_bpm: tuple[float, float]
  swing: tuple[float, float]
  swung_steps: int = 1


_HATS = {
  "4": "9000900090009000",
  "8": "9090909090909090",
  "16": "9999999999999999",
  "o": "0090009000900090",  # off the beat
  "s": "9270927092709270",  # syncopated
  "r": "4444444444444444",
}
_FAMILIES = {
  "rock": _Family(
    "9010003270310020", "0000900000009001", "0000000101000010", ("4", "8", "8", "o"), (80, 170), (0.50, 0.53)
  ),
  "funk": _Family(
    "9024003250420030", "0000900001009001", "0202020403020203", ("8", "16", "s"), (80, 125), (0.50, 0.60)
  ),
  "shuffle": _Family(
    "9000002070200030",
    "0000900000009000",
    "0010001000100010",
    ("4", "8", "8", "s"),
    (75, 160),
    (0.60, 0.68),
    2,
  ),
  "half-time": _Family(
    "9003002000420030",
    "0000000090000001",
    "0001010200020101",
    ("4", "8", "16", "s"),
    (100, 170),
    (0.50, 0.58),
  ),
  "dance": _Family(
    "9000900090009001",
    "0000800000008000",
    "0000000000000100",
    ("o", "o", "16", "8"),
    (110, 150),
    (0.50, 0.56),
  ),
  "breaks": _Family(
    "9090002000440020", "0000900201009002", "0002010301020203", ("8", "8", "s", "o"), (95, 170), (0.50, 0.56)
  ),
  # No pattern at all: nothing about one class follows from another.
  "loose": _Family(
    "3232323232323232", "2222222222222222", "1111111111111111", ("r", "r", "s"), (70, 120), (0.50, 0.60)
  ),
}
# What any family may be played at.
TEMPO_BPM = (70, 170)
# Sixteenths faster than this are thinned to eighths.
_FASTEST_SIXTEENTHS_BPM = 135


@dataclasses.dataclass(frozen=True)
class Score:
  """What is to be played.

  Attributes:
    strokes: voice -> `[n, 2]` array of times in seconds, in order, and velocities in (0, 1].
    step_times_s: `[num_bars, 16]` times of the sixteenths, which other instruments follow.
  """

  strokes: Mapping[str, np.ndarray]
  step_times_s: np.ndarray


def _ninths(pattern: str) -> np.ndarray:
  return np.array([int(digit) for digit in pattern]) / 9


def _repeat_with_changes(rng, probability, num_bars):
  """A bar drawn once and repeated, each step redrawn now and then: bool `[num_bars, 16]`."""
  bar = rng.random(16) < probability
  redrawn = rng.random((num_bars, 16)) < probability
  return np.where(rng.random((num_bars, 16)) < rng.uniform(0.05, 0.3), redrawn, bar)


def _step_times(rng, num_bars, step_s, swing, swung_steps):
  """Times of the sixteenths from a random point of the first bar on, with swing and drifting tempo."""
  position = np.arange(16) % (2 * swung_steps) / swung_steps
  warped = np.where(position < 1, 2 * swing * position, 2 * swing + 2 * (1 - swing) * (position - 1))
  in_bar = np.arange(16) // (2 * swung_steps) * 2 * swung_steps + warped * swung_steps
  bars_s = step_s * (1 + np.clip(np.cumsum(rng.normal(0, 0.004, num_bars)), -0.03, 0.03))
  starts_s = np.concatenate([[0], np.cumsum(16 * bars_s)[:-1]]) - rng.uniform(0, 16 * step_s)
  return starts_s[:, np.newaxis] + bars_s[:, np.newaxis] * in_bar


def _draw_grooves(rng, family, tempo_bpm, num_bars):
  """Which sixteenths are struck: voice -> bool `[num_bars, 16]`, ghost notes and open hats apart."""
  shape = (num_bars, 16)
  kick = _repeat_with_changes(rng, _ninths(family.kick), num_bars)
  snare = _repeat_with_changes(rng, _ninths(family.snare), num_bars)
  ghost = rng.random(shape) < _ninths(family.ghosts) * rng.uniform(0, 1.2)
  hat = _repeat_with_changes(rng, _ninths(_HATS[rng.choice(family.hats)]), num_bars)
  if tempo_bpm > _FASTEST_SIXTEENTHS_BPM:
    hat[:, 1::2] = False
  hat &= rng.random(shape) > rng.uniform(0, 0.15)
  # Drop-outs: a drum rests for a bar, the hat for half a bar.
  kick &= rng.random((num_bars, 1)) > 0.06
  snare &= rng.random((num_bars, 1)) > 0.06
  hat &= np.repeat(rng.random((num_bars, 2)) > 0.15, 8, axis=1)
  # A fill on snare and toms ends some bars; the hat rests meanwhile, and a crash may follow in its place.
  fill = (rng.random((num_bars, 1)) < rng.uniform(0, 0.3)) & (np.arange(16) >= rng.choice([8, 12]))
  kick &= ~fill | (rng.random(shape) < 0.3)
  snare = np.where(fill, rng.random(shape) < 0.4, snare)
  crash = np.zeros(shape, bool)
  crash[1:, 0] = fill[:-1, 15] & (rng.random(num_bars - 1) < 0.6)
  hat &= ~fill & ~crash
  off_beat = np.arange(16) % 4 == 2
  return {
    "kick": kick,
    "snare": snare,
    "ghost": ghost & ~fill & ~snare,
    "hat": hat,
    "open_hat": hat & (rng.random(shape) < rng.choice([0, 0.1, 0.3]) * np.where(off_beat, 2.5, 0.4)),
    "tom": fill & (rng.random(shape) < 0.5),
    "crash": crash,
  }


def draw_score(rng: np.random.Generator, duration_s: float) -> Score:
  """Draws a score that fills a recording.

  Strokes may lie outside the recording or too near to each other; `drum_machine.render` leaves
  these out.

  Args:
    rng: source of randomness.
    duration_s: length of the recording in seconds.

  >>> score = draw_score(np.random.default_rng(0), 4.0)
  >>> sorted(score.strokes)
  ['closed_hat', 'crash', 'kick', 'open_hat', 'snare', 'tom']
  """
  family = _FAMILIES[rng.choice(list(_FAMILIES))]
  # A tempo usual for the family, or any: a class must not be countable from the tempo alone.
  tempo_bpm = rng.uniform(*(family.tempo_bpm if rng.random() < 0.7 else TEMPO_BPM))
  step_s = 15 / tempo_bpm
  # A bar more than fits, as the first starts before the recording, and one for a tempo that drifts.
  num_bars = int(np.ceil(duration_s / (16 * step_s) * 1.04)) + 2
  times_s = _step_times(rng, num_bars, step_s, rng.uniform(*family.swing), family.swung_steps)
  on = _draw_grooves(rng, family, tempo_bpm, num_bars)

  dynamics = rng.uniform(0.05, 0.3)  # a player's own
  velocities = 1 - dynamics * rng.random((4, num_bars, 16))
  hat_accents = np.where(np.arange(16) % 4 == 0, 1, rng.uniform(0.5, 1))
  snare_accents = np.where(on["ghost"], rng.uniform(0.22, 0.4), 1)
  jitter_s = rng.choice([0.001, rng.uniform(0.002, 0.012)], p=[0.2, 0.8])  # a machine or a human

  def strike(played, velocity):
    push_s = rng.uniform(-0.012, 0.012)  # this limb is early or late throughout
    struck_s = times_s + push_s + np.clip(rng.normal(0, jitter_s, times_s.shape), -0.03, 0.03)
    return np.stack([struck_s[played], velocity[played]], axis=1)

  hat = strike(on["hat"], hat_accents * velocities[2])  # one limb, open or closed
  opened = on["open_hat"][on["hat"]]
  strokes = {
    "kick": strike(on["kick"], velocities[0]),
    "snare": strike(on["snare"] | on["ghost"], snare_accents * velocities[1]),
    "closed_hat": hat[~opened],
    "open_hat": hat[opened],
    "tom": strike(on["tom"], velocities[3]),
    "crash": strike(on["crash"], velocities[3]),
  }
  return Score({voice: rows[np.argsort(rows[:, 0])] for voice, rows in strokes.items()}, times_s)
