"""Notes rendered through sampled pianos: piano recordings with exact onset times.

Every clip has a piano, a tuning, dampers, a room and a master of its own. A note takes the nearest recorded
pitch of about its strength, resampled, and is damped at its end. Classes are MIDI pitches, "21" (A0) to "108"
(C8), as of `maps`; so clips can be added to MAPS, with its own notes or random ones as what is played (see
`piano_notes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from softloc_jax.data import drum_voices, maps, mastering, one_shots, piano_notes, sampler
from softloc_jax.data.one_shots import OneShot
from softloc_jax.data.rendered import Clip, Rendered, check_level_range, check_probability, clips

CLASSES = maps.CLASSES
# Nothing is struck this near to the end: there would be too little of it to hear.
EDGE_S = 0.05
_NEEDED = {
  "train": "pieces of the software pianos that are not tested",
  "validation": "two or more pieces to train on, one of which validates, or num_validation=0",
  "test": "pieces of the Disklavier, or num_test=0",
}
_UNDAMPED_PITCH = 89  # from about F6 on, pianos have no dampers


@dataclasses.dataclass(frozen=True)
class PianoVariation:
  """How far clips differ; each is drawn anew for every clip.

  Attributes:
    tuning_cents: how far the tuning may be off, up and down, in hundredths of a semitone.
    pedal: probability of a pedal that lets notes ring up to four times as long.
    room: probability of a room.
    compression: probability of a compressor.
    saturation: probability of saturation.
    low_pass: probability that highs are cut.
    noise_db: range of the noise, in decibels against the loudest sample.
    peak_db: range of the loudest sample, in decibels under full scale.
  """

  tuning_cents: float = 25.0
  pedal: float = 0.5
  room: float = 0.8
  compression: float = 0.2
  saturation: float = 0.0
  low_pass: float = 0.1
  noise_db: tuple[float, float] = (-90.0, -45.0)
  peak_db: tuple[float, float] = (-20.0, -0.2)

  def __post_init__(self):
    if not self.tuning_cents >= 0:
      raise ValueError(f"tuning_cents is {self.tuning_cents}; expected at least 0")
    for name in ("pedal", "room", "compression", "saturation", "low_pass"):
      check_probability(name, getattr(self, name))
    for name in ("noise_db", "peak_db"):
      check_level_range(name, getattr(self, name))


def pianos(shots: Sequence[OneShot]) -> list[tuple[OneShot, ...]]:
  """The one-shots of each folder, in the order of folders among `shots`: its notes, by pitch.

  Raises:
    ValueError: a one-shot that is no note.
  """
  folders: dict[pathlib.Path, list[OneShot]] = {}
  for shot in shots:
    if shot.pitch is None:
      raise ValueError(f"{shot.path}: a stroke on {shot.voice!r}; expected a note with a pitch")
    folders.setdefault(shot.path.parent, []).append(shot)
  return [tuple(notes) for notes in folders.values()]


def nearest(rng: np.random.Generator, piano: Sequence[OneShot], pitch: float, velocity: float) -> OneShot:
  """The recording to play a note with: near in pitch, and near in strength where there is a choice.

  A layer that is wrong altogether weighs as much as three semitones.
  """
  layers = np.array([shot.layer for shot in piano])
  steps = np.unique(layers)
  strength = (np.searchsorted(steps, layers) + 0.5) / len(steps)
  cost = np.abs([shot.pitch - pitch for shot in piano]) + 3 * np.abs(strength - velocity)
  # A tie is broken by chance, and so is what lies within half a semitone of the best.
  candidates = np.flatnonzero(cost <= cost.min() + 0.5)
  return piano[candidates[rng.integers(len(candidates))]]


def render(
  rng: np.random.Generator,
  notes: np.ndarray,
  piano: Sequence[OneShot],
  *,
  duration_s: float = 10.0,
  sample_rate_hz: float = 16_000,
  variation: PianoVariation | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Renders notes as one clip.

  Args:
    rng: source of all randomness.
    notes: `[n, 4]`: onset and duration in seconds, MIDI pitch, and velocity in (0, 1] or NaN, which is drawn.
      Those that start before the clip, or less than 50 ms before its end, are not played.
    piano: one of `pianos`.
    duration_s: length in seconds.
    sample_rate_hz: samples per second.
    variation: how the sound is drawn; None takes the defaults.

  Returns:
    signal: float32 `[num_samples]`.
    events: pitch as text -> sorted onset times in seconds, for the pitches that are played.

  Raises:
    ValueError: notes of another shape, or a pitch or velocity out of range.
  """
  variation = PianoVariation() if variation is None else variation
  notes = piano_notes.checked(notes)
  notes = notes[(notes[:, 0] >= 0) & (notes[:, 0] < duration_s - EDGE_S)]
  notes = notes[np.argsort(notes[:, 0], kind="stable")]
  piano_rng, notes_rng, room_rng, master_rng = rng.spawn(4)
  mix = np.zeros(round(duration_s * sample_rate_hz), np.float32)
  times_s = _play(piano_rng, notes_rng, mix, notes, piano, sample_rate_hz, variation)
  if room_rng.random() < variation.room:
    room = drum_voices.draw_room(room_rng, "train")
    mix = mastering.reverberate(mix, mix, drum_voices.room_response(room_rng, room, sample_rate_hz))
  signal = mastering.master(
    master_rng,
    mix,
    sample_rate_hz,
    compression=variation.compression,
    saturation=variation.saturation,
    low_pass=variation.low_pass,
    noise_db=master_rng.uniform(*variation.noise_db),
    peak_db=master_rng.uniform(*variation.peak_db),
  )
  return signal, times_s


def _play(
  piano_rng, notes_rng, mix, notes, piano, sample_rate_hz, variation: PianoVariation
) -> dict[str, np.ndarray]:
  """Adds the notes to a mix, and says when they start."""
  tuning = variation.tuning_cents * piano_rng.uniform(-1, 1) / 1200
  release_s, gamma = piano_rng.uniform(0.02, 0.12), piano_rng.uniform(0.8, 1.6)
  ringing = piano_rng.uniform(1, 4) if piano_rng.random() < variation.pedal else 1.0
  sounds: dict[tuple[OneShot, float], sampler.Sound] = {}
  times: dict[str, list[float]] = {}
  for onset_s, length_s, pitch, velocity in notes:
    velocity = notes_rng.uniform(0.25, 0.9) if np.isnan(velocity) else velocity
    shot = nearest(notes_rng, piano, pitch, velocity)
    if (shot, pitch) not in sounds:
      ratio = 2 ** ((pitch - shot.pitch) / 12 + tuning)
      sounds[shot, pitch] = sampler.reshape(one_shots.read(shot), sample_rate_hz, pitch=ratio, fade_s=0.3)
    at_sample = round(onset_s * sample_rate_hz)
    damped_s = np.inf if pitch >= _UNDAMPED_PITCH else max(length_s, 0.05) * ringing
    sampler.add(mix, sounds[shot, pitch], at_sample, velocity**gamma, length_s=damped_s, release_s=release_s)
    times.setdefault(str(int(pitch)), []).append(at_sample / sample_rate_hz)
  return {pitch: np.array(times_s) for pitch, times_s in times.items()}


def find(
  data_dir: str | os.PathLike | Sequence[str | os.PathLike],
  *,
  test_dir: str | os.PathLike | Sequence[str | os.PathLike] = (),
  maps_dir: str | os.PathLike | None = None,
  num_train: int = 400,
  num_validation: int = 24,
  num_test: int = 24,
  seed: int = 0,
  duration_s: float = 20.0,
  sample_rate_hz: float = 16_000,
  variation: Mapping[str, Any] | None = None,
) -> list[Clip]:
  """The clips of a data set, none of them rendered yet; `rendered.read` renders one.

  Args:
    data_dir: sampled pianos to train on, a folder each, as `one_shots.find_all` takes them.
    test_dir: those to test on; none tests on the same.
    maps_dir: MAPS, whose pieces are played, those of its test set in "test" alone, and one in ten of the
      others in "validation" alone (see `piano_notes.pieces_of`); None plays random notes.
    num_train: how many clips; 0 for none.
    num_validation: likewise.
    num_test: likewise.
    seed: see `PianoRendered`, as the rest.
    duration_s: length of each clip.
    sample_rate_hz: samples per second.
    variation: what of `PianoVariation` is not to be as by default.

  Raises:
    FileNotFoundError, ValueError: as `one_shots.find`, `piano_notes.pieces_of` and `PianoRendered`.
    ValueError: no piece in `maps_dir` for a split that has clips.
  """
  train_shots = one_shots.find_all(data_dir)
  test_shots = one_shots.find_all(test_dir) or train_shots
  pieces = piano_notes.pieces_of(maps_dir)
  settings = {"seed": seed, "duration_s": duration_s, "sample_rate_hz": sample_rate_hz}
  settings["variation"] = PianoVariation(**(variation or {}))

  def make(split: str, num_recordings: int) -> PianoRendered:
    is_test = split == "test"
    if maps_dir and not pieces[split]:
      raise ValueError(f"{maps_dir}: no piece for the split {split!r}; expected {_NEEDED[split]}")
    return PianoRendered(
      split,
      test_shots if is_test else train_shots,
      pieces[split],
      num_recordings=num_recordings,
      **settings,
    )

  return clips(make, train=num_train, validation=num_validation, test=num_test)


class PianoRendered(Rendered):
  """Rendered piano clips, each rendered anew whenever it is asked for.

  Item `i` depends on `seed`, `split`, `i`, the pieces and the one-shots alone (and on how it is to be
  rendered).

  Args:
    split: part of the ids and of the seed; which pianos and pieces belong to it is the caller's to say.
    one_shots: notes of one sampled piano or of several; each clip plays one folder.
    pieces: note arrays as `render` takes them, of which clips play excerpts; none plays random notes.
    num_recordings: how many clips.
    seed: a non-negative integer.
    duration_s: length of each clip in seconds.
    sample_rate_hz: samples per second.
    variation: how clips differ.

  Raises:
    ValueError: an unknown split, no note at all, or a number out of range.
  """

  def __init__(
    self,
    split: str,
    one_shots: Sequence[OneShot],
    pieces: Sequence[np.ndarray] = (),
    *,
    num_recordings: int,
    seed: int = 0,
    duration_s: float = 10.0,
    sample_rate_hz: float = 16_000,
    variation: PianoVariation | None = None,
  ):
    super().__init__(
      split, num_recordings=num_recordings, seed=seed, duration_s=duration_s, sample_rate_hz=sample_rate_hz
    )
    self.pianos = pianos(one_shots)
    if not self.pianos:
      raise ValueError("no one-shot at all; expected the notes of a sampled piano")
    self.pieces = [piano_notes.checked(piece) for piece in pieces]
    self.variation = PianoVariation() if variation is None else variation

  def make(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """See `Rendered`."""
    piano = self.pianos[rng.integers(len(self.pianos))]
    if self.pieces:
      notes = self.pieces[rng.integers(len(self.pieces))].copy()
      end_s = notes[:, 0].max(initial=0.0)
      notes[:, 0] -= rng.uniform(0, max(end_s - self.duration_s, 0))
    else:
      notes = piano_notes.random_notes(rng, self.duration_s)
    return render(
      rng,
      notes,
      piano,
      duration_s=self.duration_s,
      sample_rate_hz=self.sample_rate_hz,
      variation=self.variation,
    )

  def files(self) -> list[pathlib.Path]:
    """See `Rendered`: the one-shots."""
    return sorted(shot.path for piano in self.pianos for shot in piano)

  def content(self) -> Any:
    """See `Rendered`: what the one-shots are, and the notes that are played."""
    notes = hashlib.sha256()
    for piece in self.pieces:
      notes.update(repr(piece.shape).encode() + piece.tobytes())
    return [one_shots.described(piano) for piano in self.pianos], notes.hexdigest()
