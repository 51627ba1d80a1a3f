"""What a rendered clip plays: excerpts of Groove MIDI performances, varied, and the events they amount to.

Counts alone teach where a hi-hat is struck only if its number does not follow from the tempo and from the
other drums; hence strokes and whole bars are left out at random, hats may come from another performance, and
what was played on the ride is played on the hat or the reverse. What is left out is left out of the audio and
of the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import functools

import numpy as np

from softloc_jax.data import groove
from softloc_jax.data.groove import VOICES, Performance, Strokes
from softloc_jax.data.rendered import check_probability
from softloc_jax.data.sampled_kit import HATS

CLASSES = ("KD", "SD", "HH")
VOICE_CLASS = {"kick": "KD", "snare": "SD", **dict.fromkeys(HATS, "HH")}

TOGETHER_S = 0.04


@dataclasses.dataclass(frozen=True)
class ScoreVariation:
  """How far what is played differs from what was performed; each is drawn anew for every clip.

  Attributes:
    tempo: least and greatest factor on the tempo.
    jitter_s: standard deviation of what is added to every stroke's time.
    other_hats: probability that the hats come from another performance.
    ride_on_hat: probability that what is played on the ride is played on the closed hat.
    hat_on_ride: probability that what is played on the closed and open hat is played on the ride.
    lone_hats: probability, for kicks and for snares, that no hat is struck together with them. Nearly every
      performance has one, and a network would learn to hear hats that it expects.
    open_hats: largest share of closed-hat strokes that are played open.
    drop: class -> largest share of its strokes that are left out; half of all clips leave out none.
    rest: class -> probability that it rests for 1 to 4 s.
    sidestick: "clutter" plays it without a label, "drop" leaves it out, "snare" counts it as SD.
  """

  tempo: tuple[float, float] = (0.8, 1.25)
  jitter_s: float = 0.002
  other_hats: float = 0.2
  ride_on_hat: float = 0.35
  hat_on_ride: float = 0.1
  lone_hats: float = 0.0
  open_hats: float = 0.3
  drop: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"KD": 0.15, "SD": 0.15, "HH": 0.5})
  rest: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"KD": 0.2, "SD": 0.2, "HH": 0.4})
  sidestick: str = "clutter"

  def __post_init__(self):
    if not 0 < self.tempo[0] <= self.tempo[1]:
      raise ValueError(f"tempo is {tuple(self.tempo)}; expected two positive factors, the smaller first")
    if not self.jitter_s >= 0:
      raise ValueError(f"jitter_s is {self.jitter_s}; expected at least 0")
    for name in ("other_hats", "ride_on_hat", "hat_on_ride", "lone_hats", "open_hats"):
      check_probability(name, getattr(self, name))
    for name in ("drop", "rest"):
      for label, share in getattr(self, name).items():
        if label not in CLASSES:
          raise ValueError(f"{name} has the class {label!r}; expected {', '.join(CLASSES)}")
        check_probability(f"{name}[{label!r}]", share)
    if self.ride_on_hat + self.hat_on_ride > 1:
      raise ValueError(
        f"ride_on_hat is {self.ride_on_hat} and hat_on_ride {self.hat_on_ride}; expected at most 1 together"
      )
    if self.sidestick not in ("clutter", "drop", "snare"):
      raise ValueError(f"sidestick is {self.sidestick!r}; expected 'clutter', 'drop' or 'snare'")


def draw_excerpt(
  rng: np.random.Generator,
  performances: Sequence[Performance],
  duration_s: float,
  variation: ScoreVariation,
) -> tuple[Strokes, np.ndarray]:
  """As many excerpts of random performances, one after another, as a clip takes.

  Args:
    rng: source of randomness.
    performances: what to choose from, each with a probability proportional to its length.
    duration_s: length of the clip in seconds.
    variation: how tempo, timing and strokes are varied.

  Returns:
    The strokes, at times in [0, duration_s), and the times of the sixteenths, which other instruments follow.
  """
  pieces_rng, hats_rng, change_rng = rng.spawn(3)
  strokes, steps_s = _excerpts(pieces_rng, performances, duration_s, variation)
  if hats_rng.random() < variation.other_hats:
    hats, _ = _excerpts(hats_rng, performances, duration_s, variation)
    strokes = groove.join([strokes.select(~strokes.is_any(*HATS)), hats.select(hats.is_any(*HATS))])
  strokes = _on_other_voices(change_rng, strokes, variation)
  times_s = strokes.times_s + change_rng.normal(0, 1, len(strokes)) * variation.jitter_s
  strokes = groove.join([dataclasses.replace(strokes, times_s=times_s)])
  keep = _keep(change_rng, strokes, duration_s, variation)
  return strokes.select(keep & (strokes.times_s >= 0) & (strokes.times_s < duration_s)), steps_s


def _excerpts(rng, performances, duration_s, variation) -> tuple[Strokes, np.ndarray]:
  cumulative = _cumulative_durations(tuple(performances))
  parts, steps, at_s = [], [], 0.0
  low, high = np.log(variation.tempo)
  while at_s < duration_s:
    chosen = performances[int(np.searchsorted(cumulative, rng.uniform(0, cumulative[-1]), side="right"))]
    stretch = float(np.exp(-rng.uniform(low, high)))
    length_s = chosen.duration_s * stretch
    start_s = rng.uniform(0, max(length_s - (duration_s - at_s), 0))
    taken_s = min(duration_s - at_s, length_s - start_s)
    # A performance may ring out with a stroke after its stated end; the next one starts there all the same.
    part = groove.read(chosen).shift(-start_s, stretch)
    parts.append(part.select((part.times_s >= 0) & (part.times_s < taken_s)).shift(at_s))
    step_s = 15 / chosen.bpm * stretch
    steps.append(at_s + np.arange(-start_s % step_s, taken_s, step_s))
    at_s += taken_s
  return groove.join(parts), np.concatenate(steps)


@functools.lru_cache(maxsize=8)
def _cumulative_durations(performances: tuple[Performance, ...]) -> np.ndarray:
  return np.cumsum([performance.duration_s for performance in performances])


def _on_other_voices(rng, strokes: Strokes, variation: ScoreVariation) -> Strokes:
  voices, openness = strokes.voices.copy(), strokes.openness.copy()
  closed, ride, opened = (VOICES.index(name) for name in ("closed_hat", "ride", "open_hat"))
  chance = rng.random()
  if chance < variation.ride_on_hat:
    voices[voices == ride] = closed
  elif chance < variation.ride_on_hat + variation.hat_on_ride:
    voices[np.isin(voices, (closed, opened))] = ride
  share = variation.open_hats * rng.uniform(-1, 1)  # none at all in half of the clips
  open_up = (voices == closed) & (rng.random(len(voices)) < share)
  voices[open_up] = opened
  openness[open_up] = rng.random(int(open_up.sum()))
  if variation.sidestick == "snare":
    voices[voices == VOICES.index("sidestick")] = VOICES.index("snare")
  return dataclasses.replace(strokes, voices=voices, openness=openness)


def _keep(rng, strokes: Strokes, duration_s: float, variation: ScoreVariation) -> np.ndarray:
  keep = np.ones(len(strokes), bool)
  for label in CLASSES:
    members = strokes.is_any(*(voice for voice, name in VOICE_CLASS.items() if name == label))
    share = variation.drop.get(label, 0.0) * max(rng.uniform(-1, 1), 0)
    keep &= ~members | (rng.random(len(strokes)) >= share)
    rests = rng.random() < variation.rest.get(label, 0.0)
    start_s, length_s = rng.uniform(-2, duration_s), rng.uniform(1, 4)
    if rests:
      keep &= ~members | (strokes.times_s < start_s) | (strokes.times_s >= start_s + length_s)
  if variation.sidestick == "drop":
    keep &= ~strokes.is_any("sidestick")
  for drum in ("kick", "snare"):
    if rng.random() < variation.lone_hats:
      keep &= ~_together(strokes, strokes.is_any(*HATS), strokes.is_any(drum) & keep)
  return keep


def _together(strokes: Strokes, members: np.ndarray, others: np.ndarray) -> np.ndarray:
  """Which members are struck within `TOGETHER_S` of one of the others: bool `[n]`."""
  times_s = np.concatenate([[-np.inf], strokes.times_s[others], [np.inf]])
  following = np.searchsorted(times_s, strokes.times_s)
  distance_s = np.minimum(times_s[following] - strokes.times_s, strokes.times_s - times_s[following - 1])
  return members & (distance_s < TOGETHER_S)


def events_of(strokes: Strokes, *, merge_s: float = 0.03) -> dict[str, np.ndarray]:
  """The events of each class: strokes on its voices, those of a flam taken together.

  Args:
    strokes: what is played, in the order of time.
    merge_s: a stroke less than this after the event before is part of that event (a flam, or hats struck by
      foot and stick at once); an event is where its first stroke is.

  Returns:
    For each of `CLASSES`, sorted times in seconds.

  >>> times_s, voices = np.array([0.1, 0.115, 0.2]), np.full(3, VOICES.index("snare"))
  >>> events_of(Strokes(times_s, voices, np.ones(3), np.ones(3)))["SD"].tolist()
  [0.1, 0.2]
  """
  events = {}
  for label in CLASSES:
    members = strokes.is_any(*(voice for voice, name in VOICE_CLASS.items() if name == label))
    times: list[float] = []
    for time_s in strokes.times_s[members]:
      if not times or time_s - times[-1] >= merge_s:
        times.append(float(time_s))
    events[label] = np.array(times, np.float64)
  return events
