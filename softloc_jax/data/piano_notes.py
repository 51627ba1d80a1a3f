"""What a piano plays: rows of onset and duration in seconds, MIDI pitch, and velocity in (0, 1] or NaN."""

from __future__ import annotations

import hashlib
import os
import pathlib

import numpy as np

from softloc_jax.data import maps, midi_files
from softloc_jax.data.splits import SPLITS

_HELD_OUT = 0.1  # share of the pieces to train on that validate


def read_notes(path: str | os.PathLike) -> np.ndarray:
  """The notes of a MAPS table or of a MIDI file. Tables do not say how hard they are struck.

  Returns:
    Notes, with NaN for the velocities of a table.

  Raises:
    ValueError: an unreadable file, a malformed row, as of `maps.read_table`, or an offset before its onset.
  """
  path = pathlib.Path(path)
  if path.suffix.lower() in (".mid", ".midi"):
    return _read_midi(path)
  if not maps.read_table(path):
    return np.zeros((0, 4))
  onsets_s, offsets_s, pitches = np.loadtxt(path, skiprows=1, ndmin=2).T
  if (offsets_s < onsets_s).any():
    row = int(np.argmax(offsets_s < onsets_s)) + 2
    raise ValueError(f"{path}: row {row}: the offset lies before the onset")
  return np.stack([onsets_s, offsets_s - onsets_s, pitches, np.full(len(pitches), np.nan)], axis=1)


def _read_midi(path: pathlib.Path) -> np.ndarray:
  notes = [(n.start_s, n.end_s - n.start_s, n.pitch, n.velocity / 127) for n in midi_files.read(path).notes]
  return np.array(sorted(notes), np.float64).reshape(-1, 4)


def random_notes(rng: np.random.Generator, duration_s: float) -> np.ndarray:
  """A melody over chords with human timing: `[n, 4]`, onset, duration (s), pitch and velocity in (0, 1].

  >>> notes = random_notes(np.random.default_rng(0), 5.0)
  >>> notes.shape[1], bool((notes[:, 0] < 5).all())
  (4, True)
  """
  notes = []
  for low, high, sizes, density in ((21, 65, (1, 2, 3, 4), 0.5), (50, 109, (1, 1, 1, 2, 3), 0.8)):
    step_s = rng.uniform(0.09, 0.4)
    length_s, loudness = rng.uniform(0.5, 3) * step_s, rng.uniform(0.2, 0.9)
    centre = rng.uniform(low + 8, high - 8)
    for onset_s in np.arange(rng.uniform(0, step_s), duration_s, step_s):
      if rng.random() > density:
        continue
      centre = float(np.clip(centre + rng.normal(0, 3), low, high - 1))
      pitches = np.unique(np.clip(np.round(rng.normal(centre, 5, rng.choice(sizes))), low, high - 1))
      for pitch in pitches:
        velocity = np.clip(loudness * rng.uniform(0.6, 1.4), 0.05, 1)
        struck_s = max(onset_s + rng.normal(0, 0.008), 0.0)
        notes.append((struck_s, length_s * rng.uniform(0.5, 1.5), pitch, velocity))
  played = np.array(sorted(notes), np.float64).reshape(-1, 4)
  return played[played[:, 0] < duration_s]


def checked(notes: np.ndarray) -> np.ndarray:
  """Notes as an array.

  Raises:
    ValueError: another shape, or a pitch, velocity or duration out of range.
  """
  notes = np.asarray(notes, np.float64)
  if notes.ndim != 2 or notes.shape[1] != 4:
    raise ValueError(f"notes have shape {notes.shape}; expected [n, 4]: onset, duration, pitch, velocity")
  for row, (onset_s, length_s, pitch, velocity) in enumerate(notes):
    if pitch not in maps.PITCHES or not (np.isnan(velocity) or 0 < velocity <= 1) or not length_s >= 0:
      raise ValueError(
        f"note {row} at {onset_s:.3f} s has duration {length_s}, pitch {pitch}, velocity {velocity};"
        " expected at least 0 s, a pitch of 21 to 108, and a velocity in (0, 1] or NaN"
      )
  return notes


def pieces_of(maps_dir: str | os.PathLike | None) -> dict[str, list[np.ndarray]]:
  """The notes of MAPS' pieces by split; every piece once, though several instruments play it.

  One in ten of the pieces to train on, and one at least of several, is for validation: always the same, by a
  hash of its name. The pieces of MAPS' test set are for testing.

  Args:
    maps_dir: as `maps.find` takes it; None gives no piece.

  Returns:
    "train", "validation" and "test" -> notes of each piece, as of `read_notes`.

  Raises:
    FileNotFoundError, ValueError: as `maps.find` and `read_notes`.
  """
  if not maps_dir:
    return {name: [] for name in SPLITS}
  split = maps.configuration_2(maps.find(maps_dir))
  once = {name: {maps.piece(item): item.label_path for item in split[name]} for name in ("train", "test")}
  names = sorted(once["train"], key=lambda name: hashlib.sha256(name.encode()).digest())
  num_held_out = min(max(round(_HELD_OUT * len(names)), 1), max(len(names) - 1, 0))
  once["validation"] = {name: once["train"].pop(name) for name in names[:num_held_out]}
  return {name: [read_notes(path) for path in once[name].values()] for name in SPLITS}
