"""Groove MIDI: human drumming on an electronic kit, with the time and velocity of every stroke and no audio.

The folder is that of the distribution, `groove/info.csv` and `groove/<drummer>/<session>/<name>.mid`,
unzipped or still in its zip file (`groove-v1.0.0-midionly.zip`). `groove_rendered` makes audio of it.

References:
  Gillick et al., "Learning to groove with inverse sequence transformations", ICML 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
import csv
import dataclasses
import functools
import io
import os
import pathlib
import zipfile

import numpy as np

from softloc_jax.data import midi_files, text_files
from softloc_jax.data.splits import SPLITS, listing

# Notes of the Roland TD-11 that the drummers played; the rims of toms and the bows and edges of cymbals are
# strokes on the same instrument.
VOICE_OF_NOTE = {
  36: "kick",
  **dict.fromkeys((38, 40), "snare"),
  37: "sidestick",
  **dict.fromkeys((42, 22), "closed_hat"),
  44: "pedal_hat",
  **dict.fromkeys((46, 26), "open_hat"),
  **dict.fromkeys((48, 50), "tom_high"),
  **dict.fromkeys((45, 47), "tom_mid"),
  **dict.fromkeys((43, 58), "tom_low"),
  **dict.fromkeys((49, 55, 57, 52), "crash"),
  **dict.fromkeys((51, 59), "ride"),
  53: "ride_bell",
}
VOICES = tuple(dict.fromkeys(VOICE_OF_NOTE.values()))

_EXPECTED = "expected Groove MIDI: info.csv beside drummer1, drummer2, ... (or the distribution's zip file)"
_COLUMNS = ("drummer", "id", "style", "bpm", "beat_type", "midi_filename", "duration", "split")
_PEDAL_CONTROLLER = 4
_PEDAL_CLOSED = 90  # what the pedal sends when the hi-hat is just closed; more is pressure


@dataclasses.dataclass(frozen=True)
class Performance:
  """One performance before its MIDI file is read.

  Attributes:
    id: as in info.csv, `drummer1/session1/12`.
    drummer: who plays.
    style: such as "funk/groove1".
    beat_type: "beat" or "fill".
    bpm: tempo.
    duration_s: length in seconds.
    split: "train", "validation" or "test", the distribution's own.
    path: the folder with info.csv, or the zip file that holds it.
    midi_filename: relative to info.csv.
  """

  id: str
  drummer: str
  style: str
  beat_type: str
  bpm: float
  duration_s: float
  split: str
  path: pathlib.Path
  midi_filename: str


@dataclasses.dataclass(frozen=True, eq=False)
class Strokes:
  """What is played, in the order of time.

  Attributes:
    times_s: float64 `[n]`.
    voices: indices into `VOICES`, int `[n]`.
    velocities: in (0, 1], float `[n]`.
    openness: of the hi-hat at that time, 0 (closed) to 1 (wide open), float `[n]`; it matters to open hats.
  """

  times_s: np.ndarray
  voices: np.ndarray
  velocities: np.ndarray
  openness: np.ndarray

  def __len__(self) -> int:
    return len(self.times_s)

  def select(self, index: np.ndarray) -> Strokes:
    """Some of the strokes, by index or by truth values."""
    return Strokes(self.times_s[index], self.voices[index], self.velocities[index], self.openness[index])

  def shift(self, by_s: float, stretch: float = 1.0) -> Strokes:
    """The strokes at `times_s * stretch + by_s`."""
    return dataclasses.replace(self, times_s=self.times_s * stretch + by_s)

  def is_any(self, *names: str) -> np.ndarray:
    """Which strokes are on one of these voices: bool `[n]`."""
    return np.isin(self.voices, [VOICES.index(name) for name in names])


def join(parts: Sequence[Strokes]) -> Strokes:
  """All strokes of several performances, in the order of time."""
  fields = [np.concatenate([getattr(part, f.name) for part in parts]) for f in dataclasses.fields(Strokes)]
  joined = Strokes(*fields)
  return joined.select(np.argsort(joined.times_s, kind="stable"))


def find(data_dir: str | os.PathLike) -> list[Performance]:
  """The performances of a Groove MIDI folder or zip file, in the order of info.csv; no MIDI is read.

  Args:
    data_dir: the folder with info.csv, one that holds it as `groove`, one that holds the zip file, or the zip
      file.

  Raises:
    FileNotFoundError: no such folder, no info.csv, or a MIDI file that it names is missing.
    ValueError: info.csv is no text in UTF-8, a column is missing, or a row is malformed; with its number.
  """
  path = _locate(pathlib.Path(data_dir))
  if path.is_dir():
    text = text_files.read(path / "info.csv")
    present = {str(p.relative_to(path).as_posix()) for p in path.rglob("*.mid")}
  else:
    with zipfile.ZipFile(path) as archive:
      prefix = _prefix(archive)
      text = text_files.read(f"{path}: info.csv", archive.read(prefix + "info.csv"))
      present = {name.removeprefix(prefix) for name in archive.namelist()}
  reader = csv.DictReader(io.StringIO(text))
  missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
  if missing:
    raise ValueError(
      f"{path}: info.csv has no column {', '.join(missing)};"
      f" found {', '.join(reader.fieldnames or ['nothing'])}"
    )
  performances = [_performance(path, row, number) for number, row in enumerate(reader, start=2)]
  absent = [one.midi_filename for one in performances if one.midi_filename not in present]
  if absent:
    raise FileNotFoundError(f"{path}: {len(absent)} files of info.csv are missing: {listing(absent)}")
  return performances


def _locate(path: pathlib.Path) -> pathlib.Path:
  """The folder with info.csv, or the zip file."""
  if path.is_file() and zipfile.is_zipfile(path):
    return path
  if not path.is_dir():
    raise FileNotFoundError(f"no such folder or zip file: {path}; {_EXPECTED}")
  for folder in (path, path / "groove"):
    if (folder / "info.csv").is_file():
      return folder
  archives = sorted(path.glob("groove*.zip"))
  if not archives:
    found = listing(sorted(p.name for p in path.iterdir())) or "nothing"
    raise FileNotFoundError(f"no info.csv in {path}; {_EXPECTED}; found {found}")
  return archives[0]


def _prefix(archive: zipfile.ZipFile) -> str:
  """The folder in a zip file that holds info.csv."""
  for name in archive.namelist():
    if name == "info.csv" or name.endswith("/info.csv"):
      return name.removesuffix("info.csv")
  raise FileNotFoundError(f"{archive.filename}: no info.csv in it; {_EXPECTED}")


def _performance(path: pathlib.Path, row: dict[str, str], number: int) -> Performance:
  bpm, duration_s = (text_files.number(row[name] or "") for name in ("bpm", "duration"))
  if bpm is None or duration_s is None:
    raise ValueError(
      f"{path}: info.csv, row {number}: bpm {row['bpm']!r}, duration {row['duration']!r}; expected numbers"
    )
  if row["split"] not in SPLITS or not (bpm > 0 and duration_s > 0):
    raise ValueError(
      f"{path}: info.csv, row {number}: split {row['split']!r}, bpm {bpm}, duration {duration_s};"
      f" expected one of {', '.join(SPLITS)} and positive numbers"
    )
  fixed = (row[name] for name in ("id", "drummer", "style", "beat_type"))
  return Performance(*fixed, bpm, duration_s, row["split"], path, row["midi_filename"])


def official_split(performances: Sequence[Performance]) -> dict[str, list[Performance]]:
  """The distribution's own split: "train", "validation" and "test" -> performances."""
  return {split: [one for one in performances if one.split == split] for split in SPLITS}


@functools.lru_cache(maxsize=2048)
def read(performance: Performance) -> Strokes:
  """What is played in a performance.

  Raises:
    ValueError: an unreadable MIDI file, or a note that is none of the kit's.
    ImportError: mido is not installed.
  """
  name = f"{performance.path}: {performance.midi_filename}"
  if performance.path.is_dir():
    content = (performance.path / performance.midi_filename).read_bytes()
  else:
    # Opened anew each time: worker processes must not share a file's position.
    with zipfile.ZipFile(performance.path) as archive:
      content = archive.read(_prefix(archive) + performance.midi_filename)
  midi = midi_files.read(name, io.BytesIO(content))
  notes = sorted((note.start_s, note.pitch, note.velocity) for note in midi.notes)
  unknown = sorted({pitch for _, pitch, _ in notes} - set(VOICE_OF_NOTE))
  if unknown:
    raise ValueError(f"{name}: notes {unknown}; expected those of the kit, {sorted(VOICE_OF_NOTE)}")
  pedal = [(change.time_s, change.value) for change in midi.controls if change.number == _PEDAL_CONTROLLER]
  times_s, pitches, velocities = np.array(notes, np.float64).reshape(-1, 3).T
  return Strokes(
    times_s,
    np.array([VOICES.index(VOICE_OF_NOTE[int(pitch)]) for pitch in pitches], int),
    velocities / 127,
    _openness(times_s, pedal),
  )


def _openness(times_s: np.ndarray, pedal: Sequence[tuple[float, int]]) -> np.ndarray:
  """How far the hi-hat is open at some times; wide open where the pedal has not been heard of."""
  if not pedal:
    return np.ones(len(times_s))
  pedal_s, values = np.array(pedal, np.float64).T
  index = np.searchsorted(pedal_s, times_s, side="right") - 1
  openness = 1 - np.minimum(values[np.maximum(index, 0)], _PEDAL_CLOSED) / _PEDAL_CLOSED
  return np.where(index < 0, 1.0, openness)
