"""Folders of one-shot samples: an audio file per stroke of a drum or note of a piano, softer and louder ones.

Which stroke a file holds follows from its name. Two conventions are known:

| file name | what it is | used by |
|---|---|---|
| `<layer>-<Drum>.flac`: `12-Snare.flac` | stroke number 12 on "Snare", 1 the softest | DrumGizmo's kits |
| `<Note><octave>[v<layer>].flac`: `F#1vH.flac` | note F#1 (C4 is middle C), layer L, M, H | sampled pianos |

Any other folder says so in a mapping, given as an argument or as a file `mapping.json` or `mapping.csv` in
the folder. A table has the header `file,voice` or `file,pitch`, and perhaps `layer` and `instrument`:

    file,voice,layer,instrument
    bd-soft.wav,kick,1,bass drum
    bd-hard.wav,kick,2,bass drum

In json (or as a Python dict) it is `{"files": [...]}` with such rows as objects, or a regular expression
whose named groups are read from the name:

    {"pattern": "(?P<name>[a-z]+)_v(?P<layer>[0-9]+)", "voices": {"bd": "kick", "sn": "snare"}}

with the groups `name` (looked up in `voices`) or `pitch` (a MIDI number or a name such as `F#1`), and `layer`
(a number, or one of `LAYERS`). The files of one drum that share voice, instrument and layer are alternatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import csv
import dataclasses
import functools
import io
import json
import logging
import math
import os
import pathlib
import re
from typing import Any

import numpy as np

from softloc_jax.data import layout, sampler, signal_files, text_files
from softloc_jax.data.splits import listing

# Layers that are not numbers, softest first.
LAYERS = ("ppp", "pp", "p", "L", "mp", "M", "mf", "f", "H", "ff", "fff")

# Names of drums in DrumGizmo's kits; the side ("L", "R") is part of the instrument, not of the voice.
_DRUM_VOICES = {
  **dict.fromkeys(("Kdrum", "KdrumL", "KdrumR"), "kick"),
  **dict.fromkeys(("Crash", "CrashL", "CrashR", "China", "ChinaL", "ChinaR", "Splash"), "crash"),
  **dict.fromkeys(("Ride", "RideL", "RideR"), "ride"),
  **dict.fromkeys(("RideBell", "RideLBell", "RideRBell"), "ride_bell"),
  **{"Snare": "snare", "SnareRim": "snare", "Sidestick": "sidestick"},
  **{"HihatClosed": "closed_hat", "HihatOpen": "open_hat", "HihatPedal": "pedal_hat"},
  **{"Tom1": "tom_high", "Tom2": "tom_mid", "Tom3": "tom_low", "Tom4": "tom_low"},
}
_CONVENTIONS: tuple[Mapping[str, Any], ...] = (
  {"pattern": r"(?P<layer>\d+)-(?P<name>[A-Za-z]+\d*)", "voices": _DRUM_VOICES},
  {"pattern": r"(?P<pitch>[A-G][#b]?-?\d)(v(?P<layer>[A-Za-z]+|\d+))?"},
)
_COLUMNS = ("file", "voice", "pitch", "layer", "instrument")
_EXPECTED = "expected audio files named as 12-Snare.flac or F#1vH.flac, or a mapping.json or mapping.csv"
_NOTE = re.compile(r"(?P<step>[A-G])(?P<accidental>[#b]?)(?P<octave>-?\d+)")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclasses.dataclass(frozen=True)
class OneShot:
  """One audio file of a folder.

  Attributes:
    path: the file.
    instrument: the drum it is a stroke of, as the folder calls it; the note's name for a piano.
    voice: "kick", "snare", ...; empty for a note.
    pitch: MIDI number of a note; None for a drum.
    layer: rank among the strokes of its instrument; louder ones are higher.
  """

  path: pathlib.Path
  instrument: str
  voice: str
  pitch: float | None
  layer: float


def find(data_dir: str | os.PathLike, mapping: Mapping[str, Any] | None = None) -> list[OneShot]:
  """The one-shots of a folder, by instrument and then layer; names only, nothing is read.

  Args:
    data_dir: the folder.
    mapping: what the names mean (see the module's docstring); None goes by the folder's `mapping.json` or
      `mapping.csv`, or else by the known conventions.

  Raises:
    FileNotFoundError: no such folder, no audio in it, or a file of the mapping that is not there.
    ValueError: a malformed mapping, or names that fit none. Where some fit, the others are logged.
  """
  folder = pathlib.Path(data_dir)
  if not folder.is_dir():
    raise FileNotFoundError(f"no such folder: {folder}; {_EXPECTED}")
  paths = layout.files_in(folder, signal_files.AUDIO_EXTENSIONS)
  if not paths:
    found = listing(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise FileNotFoundError(f"no audio in {folder}; {_EXPECTED}; found {found}")
  where, first_row = f"{folder}: the mapping", 1
  if mapping is None:
    mapping, where, first_row = _own_mapping(folder)
  if mapping is not None and "files" in mapping:
    rows = _rows_of(mapping, where)
    shots = [_row(folder, row, f"{where}: row {number}") for number, row in enumerate(rows, start=first_row)]
    unknown = sorted({path.name for path in paths} - {shot.path.name for shot in shots})
  else:
    conventions = _CONVENTIONS if mapping is None else (mapping,)
    matched = next(filter(None, (_match(paths, convention, where) for convention in conventions)), None)
    if matched is None:
      raise ValueError(f"{folder}: no file name fits; {_EXPECTED}; found {listing([p.name for p in paths])}")
    shots = list(matched.values())
    unknown = [path.name for path in paths if path not in matched]
  if unknown:
    logging.warning("%s: %d audio files fit no voice: %s", folder, len(unknown), listing(unknown))
  return sorted(shots, key=lambda shot: (shot.voice, shot.pitch or 0, shot.instrument, shot.layer, shot.path))


def find_all(data_dirs: str | os.PathLike | Sequence[str | os.PathLike]) -> list[OneShot]:
  """The one-shots of several folders: a sequence of them, or their names joined as in PATH ("a:b").

  Raises:
    FileNotFoundError, ValueError: as `find`, for any of them.
  """
  if isinstance(data_dirs, str | os.PathLike):
    data_dirs = [name for name in os.fspath(data_dirs).split(os.pathsep) if name]
  return [shot for data_dir in data_dirs for shot in find(data_dir)]


def _own_mapping(folder: pathlib.Path) -> tuple[Mapping[str, Any] | None, str, int]:
  """What the folder's own mapping file holds, its name for messages, and the number of its first row."""
  path = folder / "mapping.json"
  if path.exists():
    text = text_files.read(path)
    try:
      mapping = json.loads(text)
    except ValueError as error:
      raise ValueError(f"{path}: not json: {error}") from error
    if not isinstance(mapping, dict):
      raise ValueError(f"{path}: holds a {type(mapping).__name__}; expected an object")
    return mapping, str(path), 1
  path = folder / "mapping.csv"
  if not path.exists():
    return None, str(folder), 1
  reader = csv.DictReader(io.StringIO(text_files.read(path)))
  rows = list(reader)
  names = reader.fieldnames or []
  if "file" not in names or not {"voice", "pitch"} & set(names):
    raise ValueError(
      f"{path}: the header is {','.join(names)!r}; expected file,voice or file,pitch, and perhaps layer and"
      " instrument"
    )
  return {"files": rows}, str(path), 2


def _rows_of(mapping: Mapping[str, Any], where: str) -> Sequence[Any]:
  rows = mapping["files"]
  if isinstance(rows, str | Mapping) or not isinstance(rows, Sequence):
    raise ValueError(f"{where}: files is {rows!r}; expected a list of objects with file, and voice or pitch")
  return rows


def _row(folder: pathlib.Path, row: Any, where: str) -> OneShot:
  """The one-shot that a row says; json has numbers where tables have text."""
  if not isinstance(row, Mapping):
    raise ValueError(f"{where} is {row!r}; expected an object with file, and voice or pitch")
  fields = {name: _text(row.get(name), name, where) for name in _COLUMNS}
  path = folder / fields["file"]
  if not path.is_file():
    raise FileNotFoundError(f"{where} names {row.get('file')!r}; no such file")
  if bool(fields["voice"]) == bool(fields["pitch"]):
    raise ValueError(f"{where} is {dict(row)}; expected a voice or a pitch")
  pitch = parse_pitch(fields["pitch"], where) if fields["pitch"] else None
  instrument = fields["instrument"] or fields["voice"] or fields["pitch"]
  return OneShot(path, instrument, fields["voice"], pitch, _layer(fields["layer"], where))


def _text(value: Any, name: str, where: str) -> str:
  if value is None:
    return ""
  if isinstance(value, bool) or not isinstance(value, str | int | float):
    raise ValueError(f"{where}: {name} is {value!r}; expected a text or a number")
  return str(value)


def _match(
  paths: Iterable[pathlib.Path], mapping: Mapping[str, Any], where: str
) -> dict[pathlib.Path, OneShot]:
  """The one-shots that names say files are, of those whose names do."""
  pattern, voices = _pattern(mapping, where)
  matches = {path: match for path in paths if (match := pattern.fullmatch(path.stem))}
  found = {path: _named(path, match.groupdict(), voices) for path, match in matches.items()}
  return {path: shot for path, shot in found.items() if shot is not None}


def _named(path: pathlib.Path, groups: Mapping[str, str | None], voices: Mapping[str, str]) -> OneShot | None:
  """The one-shot that the parts of a name say, or None."""
  layer = _layer(groups.get("layer"), path)
  if (pitch := groups.get("pitch")) is not None:
    return OneShot(path, pitch, "", parse_pitch(pitch, path), layer)
  name = groups.get("name")
  return OneShot(path, name, voices[name], None, layer) if name in voices else None


def _pattern(mapping: Mapping[str, Any], where: str) -> tuple[re.Pattern[str], Mapping[str, str]]:
  """The regular expression of a mapping, and its voices."""
  if set(mapping) - {"pattern", "voices"} or "pattern" not in mapping:
    raise ValueError(f"{where}: has the keys {sorted(mapping)}; expected pattern and voices, or files")
  try:
    pattern = re.compile(mapping["pattern"])
  except (re.error, TypeError) as error:
    raise ValueError(
      f"{where}: pattern is {mapping['pattern']!r}; expected a regular expression ({error})"
    ) from error
  if not {"name", "pitch"} & set(pattern.groupindex):
    raise ValueError(
      f"{where}: pattern {pattern.pattern!r} has no group (?P<name>...) or (?P<pitch>...); expected one"
    )
  voices = mapping.get("voices", {})
  if not isinstance(voices, Mapping) or not all(isinstance(voice, str) for voice in voices.values()):
    raise ValueError(f"{where}: voices is {voices!r}; expected an object of names and voices")
  return pattern, voices


def _layer(text: str | None, where: pathlib.Path | str) -> float:
  if not text:
    return 0.0
  if text in LAYERS:
    return float(LAYERS.index(text))
  layer = text_files.number(text)
  if layer is None or not math.isfinite(layer):
    raise ValueError(f"{where}: layer {text!r}; expected a number or one of {', '.join(LAYERS)}")
  return layer


def parse_pitch(text: str, path: pathlib.Path | str = "pitch") -> float:
  """MIDI number of a note's name, with C4 the middle C, or of a number as text.

  >>> parse_pitch("C4"), parse_pitch("F#1"), parse_pitch("21")
  (60.0, 30.0, 21.0)
  """
  match = _NOTE.fullmatch(text)
  if match:
    shift = {"": 0, "#": 1, "b": -1}[match["accidental"]]
    return 12.0 * (int(match["octave"]) + 1) + _STEPS[match["step"]] + shift
  pitch = text_files.number(text)
  if pitch is None or not math.isfinite(pitch):
    raise ValueError(f"{path}: pitch {text!r}; expected a MIDI number or a name such as F#1")
  return pitch


@functools.lru_cache(maxsize=4096)
def read(shot: OneShot) -> sampler.Sound:
  """A one-shot's sound with its attack, whatever silence comes before it (see `sampler.attack_sample`).

  Raises:
    ValueError: an unreadable, silent or damaged file.
  """
  samples, rate_hz = signal_files.read_signal(shot.path)
  if not np.isfinite(samples).all():
    raise ValueError(f"{shot.path}: NaN or infinite samples; expected a stroke")
  try:
    attack = sampler.attack_sample(samples, rate_hz)
  except ValueError as error:
    raise ValueError(f"{shot.path}: {error}") from None
  return sampler.Sound(samples, rate_hz, attack)


def by_voice(shots: Iterable[OneShot]) -> dict[str, list[tuple[OneShot, ...]]]:
  """Voice -> its instruments, each the tuple of its one-shots, softest first.

  Instruments are in the order of their folders among `shots`, and of their names within a folder: where
  folders lie does not matter.
  """
  grouped: dict[tuple[str, int, str], list[OneShot]] = {}
  folders: dict[pathlib.Path, int] = {}
  for shot in shots:
    place = folders.setdefault(shot.path.parent, len(folders))
    grouped.setdefault((shot.voice, place, shot.instrument), []).append(shot)
  voices: dict[str, list[tuple[OneShot, ...]]] = {}
  for (voice, _, _), members in sorted(grouped.items()):
    voices.setdefault(voice, []).append(tuple(sorted(members, key=lambda shot: (shot.layer, shot.path))))
  return voices


def described(shots: Iterable[OneShot]) -> list[tuple[str, str, str, float | None, float]]:
  """What one-shots are taken for, without the folders they are in; for telling whether that has changed."""
  return [(shot.path.name, shot.instrument, shot.voice, shot.pitch, shot.layer) for shot in shots]


def pick(
  rng: np.random.Generator, shots: Sequence[OneShot], strength: float, previous: OneShot | None = None
) -> OneShot:
  """One of an instrument's one-shots for a strength in [0, 1], by chance and not the same twice in a row.

  Args:
    rng: source of the choice among those of about this strength (round robin without a fixed order).
    shots: of one instrument, softest first.
    strength: 0 takes the softest, 1 the loudest.
    previous: what was picked last.
  """
  ranks = (np.arange(len(shots)) + 0.5) / len(shots)
  order = np.argsort(np.abs(ranks - strength), kind="stable")
  near = max(1, round(0.12 * len(shots)))
  candidates = [shots[i] for i in order[: near + 1] if shots[i] != previous][:near] or [shots[order[0]]]
  return candidates[rng.integers(len(candidates))]
