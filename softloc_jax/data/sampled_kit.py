"""A drum kit drawn at random for a clip: recorded strokes, synthesised ones or both, each drum varied anew.

Every property that makes a kit another kit (pitch, decay, tilt of the spectrum) is an affine function of a
number in [-1, 1]. Kits of the test split have these numbers in `TEST_UNITS` and others in `TRAIN_UNITS`,
which do not touch; kits of training and validation play other recordings than test kits do, wherever a voice
has enough of them: where it has several instruments, test has the last one; where it has one of four strokes
or more, every fourth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses

import numpy as np

from softloc_jax.data import cymbal_voices, drum_voices, mastering, one_shots, sampler
from softloc_jax.data.groove import VOICES
from softloc_jax.data.one_shots import OneShot
from softloc_jax.data.sampler import Sound

TRAIN_UNITS = ((-1.0, -0.35), (0.05, 1.0))
TEST_UNITS = ((-0.3, 0.0),)

HATS = ("closed_hat", "pedal_hat", "open_hat")
TOMS = ("tom_high", "tom_mid", "tom_low")
# Drums that are one thing, or tuned and heard together: they share pitch and equaliser.
_FAMILIES = {**dict.fromkeys(HATS, "hat"), **dict.fromkeys(TOMS, "tom"), "ride": "ride", "ride_bell": "ride"}
# Octaves up and down, and tilt in decibels per octave up and down.
_PITCH_OCTAVES = {"kick": 0.35, "snare": 0.35, "hat": 0.35, "tom": 0.3, "crash": 0.4, "ride": 0.4}
_TILT_DB = {"kick": 2.5, "tom": 2.0}
# Which other voice stands in for one without recordings, and how many octaves away.
_STAND_INS = {
  "tom_high": (("tom_mid", 0.25), ("tom_low", 0.5)),
  "tom_mid": (("tom_high", -0.25), ("tom_low", 0.3)),
  "tom_low": (("tom_mid", -0.3), ("tom_high", -0.5)),
  "pedal_hat": (("closed_hat", 0.0),),
  "ride_bell": (("ride", 0.15),),
}
# All toms are synthesised over one range.
_RENDERED_OCTAVES = {"tom_high": 0.2, "tom_mid": -0.15, "tom_low": -0.6}
# Level of a voice's hardest stroke, in decibels; the master makes what it likes of the whole.
_LEVELS_DB = {
  "kick": (-3, 3),
  "snare": (-6, 4),
  "sidestick": (-14, -3),
  "closed_hat": (-24, -4),
  **dict.fromkeys(TOMS, (-6, 3)),
  "crash": (-20, -5),
  "ride": (-30, -10),
}
# Level against another voice: an open hat is louder than a closed one, and a foot softer than a stick.
_RELATIVE_DB = {
  "open_hat": ("closed_hat", 0, 8),
  "pedal_hat": ("closed_hat", -9, 0),
  "ride_bell": ("ride", -1, 7),
}
# Time in which strokes fall by 1/e on top of their own decay.
_DECAYS_S = {
  "kick": (0.05, 0.5),
  "snare": (0.05, 0.5),
  "sidestick": (0.05, 0.2),
  "closed_hat": (0.02, 0.3),
  "pedal_hat": (0.015, 0.08),
  "open_hat": (0.12, 1.0),
  **dict.fromkeys(TOMS, (0.06, 0.8)),
  "crash": (0.25, 2.0),
  "ride": (0.15, 2.0),
  "ride_bell": (0.15, 2.0),
}
_SOFTEST = 10 ** (-32 / 20)


@dataclasses.dataclass(frozen=True)
class _Drum:
  """How one voice of a kit sounds."""

  shots: tuple[OneShot, ...]
  synthesized: float  # gain of the synthesised stroke against the recorded one; infinite: no recording
  render: Callable[[np.random.Generator, float], np.ndarray]
  pitch: float  # of the recording
  rendered_pitch: float  # of the synthesised stroke
  equalizer: np.ndarray
  decay_s: float
  level_db: float
  gamma: float


def playable(shots: Iterable[OneShot]) -> dict[str, list[tuple[OneShot, ...]]]:
  """Voice -> its instruments (see `one_shots.by_voice`), checked to be a drum kit's.

  Raises:
    ValueError: a voice that the kit does not have.
  """
  voices = one_shots.by_voice(shots)
  unknown = sorted(set(voices) - set(VOICES))
  if unknown:
    raise ValueError(f"one-shots of the voices {unknown}; a drum kit has {', '.join(VOICES)}")
  return voices


def recordings_of(instruments: Sequence[tuple[OneShot, ...]], split: str) -> list[tuple[OneShot, ...]]:
  """The recordings of a voice that kits of a split may play; see the module's docstring."""
  is_test = split == "test"
  if len(instruments) > 1:
    return list(instruments[-1:] if is_test else instruments[:-1])
  return [
    tuple(shot for i, shot in enumerate(shots) if (i % 4 == 3) == is_test) if len(shots) >= 4 else shots
    for shots in instruments
  ]


class Kit:
  """A kit that plays strokes.

  Args:
    rng: source of everything that is drawn.
    voices: what `playable` returned; a voice without recordings, and without a stand-in, is synthesised.
    split: "train", "validation" (kits as in training) or "test".
    sample_rate_hz: samples per second.
    synthesized: probability that a voice is synthesised though it has recordings; a tenth of that for the
      kit.
    layered: probability that a synthesised stroke sounds together with the recorded one.
    hold_out: False lets kits of every split use all recordings and all ranges.

  >>> kit = Kit(np.random.default_rng(0), {}, "train", 16_000)
  >>> sound, gain = kit.stroke(np.random.default_rng(0), "snare", velocity=0.8)
  >>> sound.sample_rate_hz, gain > 0
  (16000, True)
  """

  def __init__(
    self,
    rng: np.random.Generator,
    voices: Mapping[str, Sequence[tuple[OneShot, ...]]],
    split: str,
    sample_rate_hz: float,
    *,
    synthesized: float = 0.3,
    layered: float = 0.25,
    hold_out: bool = True,
  ):
    self.sample_rate_hz = sample_rate_hz
    self._units = TEST_UNITS if split == "test" else TRAIN_UNITS
    if not hold_out:
      self._units = ((-1.0, 1.0),)
      split = str(rng.choice(("train", "test")))
    else:
      voices = {voice: recordings_of(instruments, split) for voice, instruments in voices.items()}
    if rng.random() < synthesized / 10:
      voices = {}
    self._electronic = drum_voices.draw_kit(rng, split)
    families = sorted({_FAMILIES.get(voice, voice) for voice in VOICES})
    self._octaves = {name: _PITCH_OCTAVES.get(name, 0.3) * self._unit(rng) for name in families}
    self._equalizers = {name: self._equalizer(rng, name) for name in families}
    self._levels_db = {voice: rng.uniform(*range_db) for voice, range_db in _LEVELS_DB.items()}
    for voice, (other, low, high) in _RELATIVE_DB.items():
      self._levels_db[voice] = self._levels_db[other] + rng.uniform(low, high)
    gammas = {name: rng.uniform(0.6, 1.5) for name in families}
    self._drums = {
      voice: self._draw_drum(rng, voice, voices, synthesized, layered, gammas) for voice in VOICES
    }
    self._sounds: dict[tuple, Sound] = {}
    self._previous: dict[str, OneShot] = {}

  def _unit(self, rng) -> float:
    low, high = np.transpose(self._units)
    interval = rng.choice(len(low), p=(high - low) / (high - low).sum())
    return float(rng.uniform(low[interval], high[interval]))

  def _equalizer(self, rng, family: str) -> np.ndarray:
    tilt_db = _TILT_DB.get(family, 3.0) * self._unit(rng)
    return mastering.equalizer(rng, self.sample_rate_hz, tilt_db=tilt_db, peaks_db=rng.uniform(0, 6))

  def _draw_drum(self, rng, voice, voices, synthesized, layered, gammas) -> _Drum:
    family = _FAMILIES.get(voice, voice)
    source, octaves = self._source(rng, voice, voices)
    instruments = voices.get(source, ())
    shots = instruments[rng.integers(len(instruments))] if instruments else ()
    chance = rng.random()
    if not shots or chance < synthesized:
      gain = np.inf
    else:
      gain = rng.uniform(0.2, 1) if chance < synthesized + layered else 0.0
    low_s, high_s = _DECAYS_S[voice]
    decay_s = np.sqrt(low_s * high_s) * (high_s / low_s) ** (self._unit(rng) / 2)
    if source == voice != "open_hat" and rng.random() < 0.3:
      decay_s = np.inf
    return _Drum(
      shots,
      gain,
      self._renderer(rng, voice),
      2.0 ** (self._octaves[family] + octaves),
      2.0 ** _RENDERED_OCTAVES.get(voice, 0.0),
      self._equalizers[family],
      decay_s,
      self._levels_db[voice],
      gammas[family],
    )

  @staticmethod
  def _source(rng, voice, voices) -> tuple[str, float]:
    """The voice whose recordings are played for a voice, and how many octaves higher."""
    chance = rng.random()
    if voice == "closed_hat" and "open_hat" in voices and chance < 0.25:
      return "open_hat", 0.0  # a hat that never closes quite, cut short by its decay
    if voice == "open_hat" and "crash" in voices and chance < 0.15:
      return "crash", rng.uniform(0.3, 0.8)
    if voice in voices:
      return voice, 0.0
    present = [pair for pair in _STAND_INS.get(voice, ()) if pair[0] in voices]
    return present[rng.integers(len(present))] if present else (voice, 0.0)

  def _renderer(self, rng, voice) -> Callable[[np.random.Generator, float], np.ndarray]:
    """What synthesises a voice: electronic sounds, or cymbals after real ones."""
    rate_hz, kit = self.sample_rate_hz, self._electronic
    is_electronic = voice in drum_voices.VOICES and (voice in ("kick", "snare") or rng.random() < 0.3)
    if is_electronic:
      return lambda rng, hardness: drum_voices.render_voice(rng, kit, voice, rate_hz, hardness=hardness)
    if voice in TOMS:
      seed = int(rng.integers(2**32))  # a tom's parameters are drawn by its renderer: always the same ones
      return lambda rng, hardness: drum_voices.render_clutter(np.random.default_rng(seed), "tom", rate_hz)
    cymbal = cymbal_voices.draw_cymbal(rng, voice)
    return lambda rng, hardness: cymbal_voices.render_cymbal(rng, cymbal, voice, rate_hz, hardness=hardness)

  def stroke(
    self, rng: np.random.Generator, voice: str, velocity: float, openness: float = 1.0
  ) -> tuple[Sound, float]:
    """A stroke's sound, with attack level 1, and the gain to play it with.

    Args:
      rng: source of the choice among strokes of about this strength.
      voice: one of `VOICES`.
      velocity: in (0, 1]; it decides on the recording and on the gain.
      openness: of the hi-hat, in [0, 1]; what an open hat's decay follows.

    Raises:
      ValueError: an unknown voice.
    """
    if voice not in self._drums:
      raise ValueError(f"unknown voice {voice!r}; expected one of {', '.join(VOICES)}")
    drum = self._drums[voice]
    strength = 0.5 * velocity if voice == "pedal_hat" else velocity
    shot, take = None, (0, 0)
    if drum.shots and np.isfinite(drum.synthesized):
      shot = self._previous[voice] = one_shots.pick(rng, drum.shots, strength, self._previous.get(voice))
    if drum.synthesized:
      take = (int(np.digitize(velocity, (0.35, 0.7))), int(rng.integers(2)))
    step = round(3 * openness) if voice == "open_hat" else 3
    key = voice, shot and shot.path, take, step
    if key not in self._sounds:
      self._sounds[key] = self._sound(rng, drum, shot, take[0], drum.decay_s * (0.2 + 0.8 * step / 3))
    gain_db = drum.level_db + rng.normal(0, 0.7)
    return self._sounds[key], float(10 ** (gain_db / 20) * max(velocity**drum.gamma, _SOFTEST))

  def _sound(self, rng, drum: _Drum, shot: OneShot | None, hardness: int, decay_s: float) -> Sound:
    changes = {"equalizer": drum.equalizer, "decay_s": decay_s}
    recorded = None
    if shot:
      recorded = sampler.reshape(one_shots.read(shot), self.sample_rate_hz, pitch=drum.pitch, **changes)
      if not drum.synthesized:
        return recorded
    samples = drum.render(rng, (0.2, 0.6, 1.0)[hardness])
    struck = Sound(samples, self.sample_rate_hz, 0)
    rendered = sampler.reshape(struck, self.sample_rate_hz, pitch=drum.rendered_pitch, **changes)
    return sampler.layer(recorded, rendered, drum.synthesized) if recorded else rendered
