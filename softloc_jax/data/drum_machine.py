"""Embedded drum recordings with exact event times: unlimited, seeded, rendered when asked for.

A recording is a score (`drum_score`: pattern, tempo, swing, human timing, ghost notes, fills,
drop-outs) played on a random kit in a random room (`drum_voices`), beside instruments that are not
labelled. Classes are those of the transcription literature: kick drum "KD", snare drum "SD" and hi-hat
"HH" (closed and open).

An event time is the sample at which the stroke starts: attacks are sharp, the room's direct path adds
no delay, so labels have no bias.

Held out for "test": every parameter of the kit and the room lies outside its training intervals
(`drum_voices.KIT_RANGES`, `ROOM_RANGES`), and hats are synthesised in another way (`HAT_FAMILIES`).
Scores, levels, how wet the room is and the clutter have the same distribution in all splits.
"validation" has training-type kits and rooms, drawn from other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
import itertools

import numpy as np

from softloc_jax.data import drum_voices
from softloc_jax.data.drum_score import Score, draw_score
from softloc_jax.data.rendered import Rendered, check_sound

CLASSES = ("KD", "SD", "HH")
VOICE_CLASS = {"kick": "KD", "snare": "SD", "closed_hat": "HH", "open_hat": "HH"}
# Nothing is struck this near to either end: there would be too little of it to hear.
EDGE_S = 0.05
# How hard a stroke sounds when its velocity is below 0.45, below 0.8, and above.
HARDNESSES = (0.2, 0.6, 1.0)


def _place(score: Score, num_samples: int, sample_rate_hz: float, min_gap_s: float):
  """Strokes in samples: class -> sorted list of (sample, voice, velocity), at least `min_gap_s` apart."""
  edge, min_gap = round(EDGE_S * sample_rate_hz), int(np.ceil(min_gap_s * sample_rate_hz))
  placed = {}
  for label in CLASSES:
    placed[label] = []
    voices = [voice for voice in VOICE_CLASS if VOICE_CLASS[voice] == label]
    played = sorted((time_s, voice, level) for voice in voices for time_s, level in score.strokes[voice])
    for time_s, voice, velocity in played:
      sample = round(time_s * sample_rate_hz)
      if edge <= sample < num_samples - edge and (
        not placed[label] or sample - placed[label][-1][0] >= min_gap
      ):
        placed[label].append((sample, voice, velocity))
  return placed


def _add(mix: np.ndarray, sound: np.ndarray, start: int, gain: float) -> None:
  if start < 0:
    sound, start = sound[-start:], 0
  stop = min(len(mix), start + len(sound))
  if stop > start:
    mix[start:stop] += np.float32(gain) * sound[: stop - start]


def mix_drums(
  rng: np.random.Generator, placed: Mapping, kit: Mapping, num_samples: int, sample_rate_hz: float
) -> np.ndarray:
  """Plays the strokes on a kit, dry: float32 `[num_samples]`.

  Of each voice there are two takes at three hardnesses, picked by velocity and chance. An open hat
  is choked by the next stroke on the hat.

  Args:
    rng: source of randomness: the levels of the kit's voices and the strokes' noise.
    placed: class -> sorted list of (sample, voice, velocity).
    kit: what `drum_voices.draw_kit` returned.
    num_samples: length of the mix.
    sample_rate_hz: samples per second.
  """
  mix = np.zeros(num_samples, np.float32)
  level_db = {"kick": rng.uniform(-4, 2), "snare": rng.uniform(-4, 2)}
  level_db["closed_hat"] = level_db["open_hat"] = rng.uniform(-12, -3)
  sounds = {}  # (voice, layer of hardness, take) -> stroke, rendered when first used
  choke = np.exp(-np.arange(int(0.05 * sample_rate_hz)) / (0.008 * sample_rate_hz)).astype(np.float32)
  for strokes in placed.values():
    for index, (sample, voice, velocity) in enumerate(strokes):
      layer = int(np.digitize(velocity, (0.45, 0.8)))
      key = voice, layer, int(rng.integers(2))
      if key not in sounds:
        sounds[key] = drum_voices.render_voice(rng, kit, voice, sample_rate_hz, hardness=HARDNESSES[layer])
      sound = sounds[key]
      if voice == "open_hat" and index + 1 < len(strokes):
        length = strokes[index + 1][0] - sample
        if length < len(sound):
          choked = sound[length : length + len(choke)]
          sound = np.concatenate([sound[:length], choked * choke[: len(choked)]])
      _add(mix, sound, sample, 10 ** (level_db[voice] / 20) * velocity)
  return mix


def mix_clutter(
  rng: np.random.Generator, score: Score, num_samples: int, sample_rate_hz: float
) -> np.ndarray:
  """Instruments that are not labelled, dry: float32 `[num_samples]`.

  Toms and crashes of the score's fills; then each of a bass, chords, a clave and a shaker by
  chance, at random sixteenths with their own timing. Notes are plucked or swell softly.
  """
  mix = np.zeros(num_samples, np.float32)
  for voice, level_db in (("tom", rng.uniform(-8, -1)), ("crash", rng.uniform(-14, -7))):
    for time_s, velocity in score.strokes[voice]:
      sound = drum_voices.render_clutter(rng, voice, sample_rate_hz)
      _add(mix, sound, round(time_s * sample_rate_hz), velocity * 10 ** (level_db / 20))
  steps_s = score.step_times_s.ravel()
  for voice, chance, level_db in (("clave", 0.2, (-22, -10)), ("shaker", 0.2, (-22, -14))):
    if rng.random() < chance:
      gain = 10 ** (rng.uniform(*level_db) / 20)
      sound = drum_voices.render_clutter(rng, voice, sample_rate_hz)
      for time_s in steps_s[rng.random(len(steps_s)) < rng.uniform(0.1, 0.4)]:
        _add(mix, sound, round((time_s + rng.normal(0, 0.008)) * sample_rate_hz), gain * rng.uniform(0.6, 1))
  for chance, level_db, low_hz, voicing, density in (
    (0.6, (-20, -8), 41.2, (0,), 0.3),
    (0.45, (-24, -12), 130.8, (0, 4, 7, 11), 0.08),
  ):
    if rng.random() > chance:
      continue
    gain = 10 ** (rng.uniform(*level_db) / 20)
    attack_s, decay_s = ((0.003, 0.3), (0.02, 0.8), (0.12, 3.0))[rng.integers(3)]
    cycle = drum_voices.note_cycle(rng.uniform(1, 2.5))
    starts_s = steps_s[rng.random(len(steps_s)) < density] + rng.normal(0, 0.01)
    for start_s, stop_s in itertools.pairwise(starts_s):
      root_hz = low_hz * 2 ** (rng.integers(0, 13) / 12)
      for interval in voicing:
        hz = root_hz * 2 ** (interval / 12)
        length_s = min(stop_s - start_s, 1.5) * rng.uniform(0.6, 1)
        note = drum_voices.render_note(
          cycle, hz, length_s, sample_rate_hz, attack_s=attack_s, decay_s=decay_s
        )
        _add(mix, note, round(start_s * sample_rate_hz), gain / len(voicing) ** 0.5)
  return mix


def render(
  rng: np.random.Generator,
  split: str,
  duration_s: float = 10.0,
  sample_rate_hz: float = 16_000,
  *,
  clutter: float = 1.0,
  min_gap_s: float = 0.04,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Renders one recording.

  Args:
    rng: source of all randomness. The score does not depend on `split`, `sample_rate_hz` or `clutter`.
    split: "train" or "validation" for training-type kits and rooms, "test" for held-out ones.
    duration_s: length in seconds, at least 0.5.
    sample_rate_hz: samples per second, at least 8000.
    clutter: factor on the amplitude of everything that is not labelled, background noise included.
    min_gap_s: no two events of a class are nearer than this; of two that would be, the later is
      not played at all. The default of 40 ms is under half a sixteenth at the fastest tempo.

  Returns:
    signal: float32 `[num_samples]`, peak between 0.1 and 0.98.
    events: for each of `CLASSES`, sorted times in seconds.

  Raises:
    ValueError: an unknown split, or a number out of range.

  >>> signal, events = render(np.random.default_rng(0), "train", 2.0)
  >>> signal.shape, sorted(events)
  ((32000,), ['HH', 'KD', 'SD'])
  """
  check_sound(split, duration_s, sample_rate_hz)
  _check(clutter, min_gap_s)
  from scipy.signal import oaconvolve

  score_rng, kit_rng, drums_rng, clutter_rng, room_rng, level_rng = rng.spawn(6)
  num_samples = round(duration_s * sample_rate_hz)
  score = draw_score(score_rng, duration_s)
  placed = _place(score, num_samples, sample_rate_hz, min_gap_s)
  kit = drum_voices.draw_kit(kit_rng, split)
  mix = mix_drums(drums_rng, placed, kit, num_samples, sample_rate_hz)
  if clutter > 0:
    mix += np.float32(clutter) * mix_clutter(clutter_rng, score, num_samples, sample_rate_hz)
  response = drum_voices.room_response(room_rng, drum_voices.draw_room(room_rng, split), sample_rate_hz)
  mix = oaconvolve(mix, response)[:num_samples].astype(np.float32)
  noise_db, peak_db = level_rng.uniform(-66, -38), level_rng.uniform(-20, -0.2)
  noise = level_rng.standard_normal(num_samples, dtype=np.float32)
  mix += np.float32(clutter * 10 ** (noise_db / 20)) * noise
  peak = np.max(np.abs(mix))
  if peak > 0:  # with no clutter, a short recording may hold no stroke at all
    mix *= np.float32(10 ** (peak_db / 20)) / peak
  events = {
    label: np.array([sample for sample, _, _ in strokes], np.float64) / sample_rate_hz
    for label, strokes in placed.items()
  }
  return mix, events


def _check(clutter, min_gap_s) -> None:
  if not (np.isfinite(clutter) and clutter >= 0):
    raise ValueError(f"clutter is {clutter}; expected a number of at least 0")
  if not (np.isfinite(min_gap_s) and min_gap_s > 0):
    raise ValueError(f"min_gap_s is {min_gap_s}; expected a positive number of seconds")


class DrumMachine(Rendered):
  """A split of synthetic drum recordings, each rendered anew whenever it is asked for.

  Item `i` depends on `seed`, `split` and `i` alone (and on how it is to be rendered), never on
  `num_recordings` or on what was asked for before, so a bigger set contains the smaller one.

  Args:
    split: "train", "validation" or "test"; the module's docstring says what test holds out.
    num_recordings: how many.
    seed: a non-negative integer; another seed gives an unrelated data set.
    duration_s: length of each recording in seconds.
    sample_rate_hz: samples per second.
    clutter: factor on everything that is not labelled; see `render`.
    min_gap_s: least distance of two events of a class; see `render`.

  Raises:
    ValueError: an unknown split, or a number out of range.

  >>> recordings = DrumMachine("train", num_recordings=4, duration_s=2.0)
  >>> recordings[3].id, recordings[3].signal.shape
  ('train-0003', (32000,))
  """

  ID_DIGITS = 4

  def __init__(
    self,
    split: str,
    *,
    num_recordings: int,
    seed: int = 0,
    duration_s: float = 10.0,
    sample_rate_hz: float = 16_000,
    clutter: float = 1.0,
    min_gap_s: float = 0.04,
  ):
    super().__init__(
      split, num_recordings=num_recordings, seed=seed, duration_s=duration_s, sample_rate_hz=sample_rate_hz
    )
    _check(clutter, min_gap_s)
    self.clutter = clutter
    self.min_gap_s = min_gap_s

  def make(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """See `Rendered`."""
    return render(
      rng,
      self.split,
      self.duration_s,
      self.sample_rate_hz,
      clutter=self.clutter,
      min_gap_s=self.min_gap_s,
    )
