"""Groove MIDI performances rendered through folders of one-shots: drum recordings with exact event times.

Every clip has a kit of its own (`sampled_kit`), a room, a mix and a master of its own, and plays excerpts of
its split's performances (`groove_excerpts`). Classes are kick drum "KD", snare drum "SD" and hi-hat "HH"
(closed, open and by foot); toms, crashes, rides and, by default, sidesticks are played but not labelled.

An event is labelled where the stroke's attack is, to half a sample. Strokes that nothing could be heard of,
as louder ones sound at the same time, are left out of the audio and of the labels (see `Variation.faint`).

Held out for "test": the performances, as the distribution says; recordings and ranges of the kit (see
`sampled_kit`); rooms and electronic sounds (see `drum_voices`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import os
import pathlib
from typing import Any

import numpy as np

from softloc_jax.data import drum_machine, drum_mix, drum_voices, groove, mastering, one_shots, sampled_kit
from softloc_jax.data.drum_score import Score
from softloc_jax.data.groove import Performance, Strokes
from softloc_jax.data.groove_excerpts import (
  CLASSES,
  ScoreVariation,
  draw_excerpt,
  events_of,
)
from softloc_jax.data.one_shots import OneShot
from softloc_jax.data.rendered import Clip, Rendered, check_level_range, check_probability, clips

# Nothing is struck this near to either end: there would be too little of it to hear.
EDGE_S = 0.05


@dataclasses.dataclass(frozen=True)
class Variation(ScoreVariation):
  """How far clips differ; what `ScoreVariation` says of the strokes, and the sound.

  Attributes:
    synthesized: probability that a voice is synthesised though there are recordings of it.
    layered: probability that a synthesised stroke sounds together with the recorded one.
    hold_out: False plays all recordings, ranges and rooms in every split: the most varied training, but test
      clips are then of the same kits.
    room: probability of a room.
    gated: probability of a gated reverberation of snare and toms.
    clutter: probability of instruments that are not drums: a bass, chords, a clave, a shaker.
    compression: probability of a compressor.
    saturation: probability of saturation.
    low_pass: probability that highs are cut.
    noise_db: range of the noise, in decibels against the loudest sample.
    peak_db: range of the loudest sample, in decibels under full scale.
    merge_s: strokes of a class that are nearer than this are one event; see `groove_excerpts.events_of`.
    audible_db: class -> a stroke whose level against all else that is played then is less than this is not
      heard, nor is one under the noise; see `drum_mix.mix_strokes`.
    faint: "drop" leaves strokes that are not heard out; "unlabelled" plays them without labels; "labelled"
      labels everything that is played.
  """

  synthesized: float = 0.3
  layered: float = 0.25
  hold_out: bool = True
  room: float = 0.9
  gated: float = 0.0
  clutter: float = 0.3
  compression: float = 0.4
  saturation: float = 0.3
  low_pass: float = 0.1
  noise_db: tuple[float, float] = (-95.0, -50.0)
  peak_db: tuple[float, float] = (-20.0, -0.2)
  merge_s: float = 0.03
  audible_db: Mapping[str, float] = dataclasses.field(
    default_factory=lambda: {"KD": -15.0, "SD": -10.0, "HH": -10.0}
  )
  faint: str = "drop"

  def __post_init__(self):
    super().__post_init__()
    names = ("synthesized", "layered", "room", "gated", "clutter", "compression", "saturation", "low_pass")
    for name in names:
      check_probability(name, getattr(self, name))
    for name in ("noise_db", "peak_db"):
      check_level_range(name, getattr(self, name))
    if set(self.audible_db) != set(CLASSES):
      raise ValueError(f"audible_db has the classes {sorted(self.audible_db)}; expected {sorted(CLASSES)}")
    if self.faint not in ("drop", "unlabelled", "labelled"):
      raise ValueError(f"faint is {self.faint!r}; expected 'drop', 'unlabelled' or 'labelled'")


def render(
  rng: np.random.Generator,
  strokes: Strokes,
  voices: Mapping[str, Sequence[tuple[OneShot, ...]]],
  *,
  split: str = "train",
  duration_s: float = 15.0,
  sample_rate_hz: float = 16_000,
  variation: Variation | None = None,
  steps_s: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Renders strokes as one clip.

  Args:
    rng: source of all randomness.
    strokes: what to play.
    voices: recordings, of `sampled_kit.playable`; may be empty.
    split: whose kits and rooms.
    duration_s: length in seconds.
    sample_rate_hz: samples per second.
    variation: how the sound is drawn; None takes the defaults.
    steps_s: times that other instruments follow, `[n]`; None leaves them out.

  Returns:
    signal: float32 `[num_samples]`.
    events: for each of `CLASSES`, sorted times in seconds.
  """
  variation = Variation() if variation is None else variation
  kit_rng, strokes_rng, clutter_rng, room_rng, master_rng, gate_rng = rng.spawn(6)
  num_samples = round(duration_s * sample_rate_hz)
  inside = (strokes.times_s >= EDGE_S) & (strokes.times_s < duration_s - EDGE_S)
  options = {name: getattr(variation, name) for name in ("synthesized", "layered", "hold_out")}
  kit = sampled_kit.Kit(kit_rng, voices, split, sample_rate_hz, **options)
  noise_db = master_rng.uniform(*variation.noise_db)
  other = _other_instruments(clutter_rng, steps_s, num_samples, sample_rate_hz, variation)
  strokes = strokes.select(inside)
  buses, heard = drum_mix.mix_strokes(
    strokes_rng,
    strokes,
    kit,
    num_samples,
    audible_db=variation.audible_db,
    noise_db=noise_db,
    drop_faint=variation.faint == "drop",
    background=other,
  )
  if gate_rng.random() < variation.gated:
    gated = mastering.gated_response(gate_rng, sample_rate_hz)
    buses[1] = mastering.reverberate(buses[1], buses[1], gated)
  buses[1] += other
  labelled = strokes if variation.faint == "labelled" else strokes.select(heard)
  mix = _in_room(room_rng, buses, split, sample_rate_hz, variation)
  signal = mastering.master(
    master_rng,
    mix,
    sample_rate_hz,
    compression=variation.compression,
    saturation=variation.saturation,
    low_pass=variation.low_pass,
    noise_db=noise_db,
    peak_db=master_rng.uniform(*variation.peak_db),
  )
  return signal, events_of(labelled, merge_s=variation.merge_s)


def _other_instruments(rng, steps_s, num_samples, sample_rate_hz, variation) -> np.ndarray:
  """Bass, chords, clave and shaker by chance, or silence: float32 `[num_samples]`."""
  if steps_s is None or not len(steps_s) or rng.random() >= variation.clutter:
    return np.zeros(num_samples, np.float32)
  score = Score({"tom": np.zeros((0, 2)), "crash": np.zeros((0, 2))}, steps_s)
  played = drum_machine.mix_clutter(rng, score, num_samples, sample_rate_hz)
  return np.float32(rng.uniform(0.1, 1.5)) * played


def _in_room(rng, buses, split, sample_rate_hz, variation) -> np.ndarray:
  if rng.random() >= variation.room:
    return buses.sum(0)
  room = drum_voices.draw_room(rng, split if variation.hold_out else str(rng.choice(("train", "test"))))
  sends = rng.uniform((0.0, 0.1, 0.0), (1.0, 1.5, 1.0)).astype(np.float32)
  response = drum_voices.room_response(rng, room, sample_rate_hz)
  return mastering.reverberate(buses.sum(0), sends @ buses, response)


def find(
  data_dir: str | os.PathLike,
  *,
  one_shots_dir: str | os.PathLike | Sequence[str | os.PathLike] = (),
  num_train: int = 1000,
  num_validation: int = 60,
  num_test: int = 60,
  seed: int = 0,
  duration_s: float = 15.0,
  sample_rate_hz: float = 16_000,
  variation: Mapping[str, Any] | None = None,
) -> list[Clip]:
  """The clips of a data set, none of them rendered yet; `rendered.read` renders one.

  Args:
    data_dir: Groove MIDI, as `groove.find` takes it.
    one_shots_dir: folders of one-shots, as `one_shots.find_all` takes them; none gives synthesised kits only.
    num_train: how many clips; 0 for none.
    num_validation: likewise.
    num_test: likewise.
    seed: see `GrooveRendered`, as the rest.
    duration_s: length of each clip.
    sample_rate_hz: samples per second.
    variation: what of `Variation` is not to be as by default.

  Raises:
    FileNotFoundError, ValueError: as `groove.find`, `one_shots.find` and `GrooveRendered`.
  """
  performances, shots = groove.find(data_dir), one_shots.find_all(one_shots_dir)
  make = functools.partial(
    GrooveRendered,
    performances=performances,
    one_shots=shots,
    seed=seed,
    duration_s=duration_s,
    sample_rate_hz=sample_rate_hz,
    variation=Variation(**(variation or {})),
  )
  return clips(make, train=num_train, validation=num_validation, test=num_test)


class GrooveRendered(Rendered):
  """A split of rendered clips, each rendered anew whenever it is asked for.

  Item `i` depends on `seed`, `split`, `i`, the performances of the split and the one-shots alone (and on how
  it is to be rendered), never on `num_recordings` or on what was asked for before.

  Args:
    split: "train", "validation" or "test"; the module's docstring says what test holds out.
    performances: of `groove.find`; those of the split are played.
    one_shots: of `one_shots.find`, of one folder or several; none at all gives synthesised kits only.
    num_recordings: how many clips.
    seed: a non-negative integer; another seed gives an unrelated data set.
    duration_s: length of each clip in seconds.
    sample_rate_hz: samples per second.
    variation: how clips differ.

  Raises:
    ValueError: an unknown split, a split without performances, a voice that drum kits do not have, or a
      number out of range.
  """

  def __init__(
    self,
    split: str,
    performances: Sequence[Performance],
    one_shots: Sequence[OneShot] = (),
    *,
    num_recordings: int,
    seed: int = 0,
    duration_s: float = 15.0,
    sample_rate_hz: float = 16_000,
    variation: Variation | None = None,
  ):
    super().__init__(
      split, num_recordings=num_recordings, seed=seed, duration_s=duration_s, sample_rate_hz=sample_rate_hz
    )
    self.performances = tuple(one for one in performances if one.split == split)
    if not self.performances:
      raise ValueError(f"none of the {len(performances)} performances is of the split {split!r}")
    self.voices = sampled_kit.playable(one_shots)
    self.variation = Variation() if variation is None else variation

  def make(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """See `Rendered`."""
    strokes, steps_s = draw_excerpt(rng, self.performances, self.duration_s, self.variation)
    return render(
      rng,
      strokes,
      self.voices,
      split=self.split,
      duration_s=self.duration_s,
      sample_rate_hz=self.sample_rate_hz,
      variation=self.variation,
      steps_s=steps_s,
    )

  def files(self) -> list[pathlib.Path]:
    """See `Rendered`: the performances, or the archive that holds them, and the one-shots."""
    played = {one.path if one.path.is_file() else one.path / one.midi_filename for one in self.performances}
    shots = {shot.path for kits in self.voices.values() for kit in kits for shot in kit}
    return sorted(played | shots)

  def content(self) -> Any:
    """See `Rendered`: what info.csv says of the performances, and what the one-shots are."""
    played = [dataclasses.replace(one, path=pathlib.Path()) for one in self.performances]
    return played, {voice: [one_shots.described(kit) for kit in kits] for voice, kits in self.voices.items()}
