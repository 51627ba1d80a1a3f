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
import json
import logging
import os
import pathlib
import re
from typing import Any

import numpy as np

from softloc_jax.data import sampler, signal_files
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
  paths = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in signal_files.AUDIO_EXTENSIONS]
  if not paths:
    found = listing(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise FileNotFoundError(f"no audio in {folder}; {_EXPECTED}; found {found}")
  if mapping is None:
    mapping = _mapping_of(folder)
  if mapping is not None and "files" in mapping:
    shots = [_row(folder, row, number) for number, row in enumerate(mapping["files"], start=2)]
    unknown = sorted({path.name for path in paths} - {shot.path.name for shot in shots})
  else:
    conventions = _CONVENTIONS if mapping is None else (mapping,)
    for convention in conventions:
      matched = {path: shot for path in paths if (shot := _match(path, convention))}
      if matched:
        break
    else:
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


def _mapping_of(folder: pathlib.Path) -> Mapping[str, Any] | None:
  """What the folder's own mapping file holds."""
  if (folder / "mapping.json").exists():
    try:
      mapping = json.loads((folder / "mapping.json").read_text(encoding="utf-8"))
    except ValueError as error:
      raise ValueError(f"{folder / 'mapping.json'}: not json: {error}") from error
    if not isinstance(mapping, dict):
      raise ValueError(f"{folder / 'mapping.json'}: holds a {type(mapping).__name__}; expected an object")
    return mapping
  if not (folder / "mapping.csv").exists():
    return None
  with open(folder / "mapping.csv", encoding="utf-8-sig", newline="") as file:
    reader = csv.DictReader(file)
    rows = list(reader)
  names = reader.fieldnames or []
  if "file" not in names or not {"voice", "pitch"} & set(names):
    raise ValueError(
      f"{folder / 'mapping.csv'}: the header is {','.join(names)!r}; expected file,voice or file,pitch,"
      " and perhaps layer and instrument"
    )
  return {"files": rows}


def _row(folder: pathlib.Path, row: Mapping[str, str], number: int) -> OneShot:
  path = folder / str(row.get("file"))
  if not path.is_file():
    raise FileNotFoundError(f"{folder}: row {number} of the mapping names {row.get('file')!r}; no such file")
  if bool(row.get("voice")) == bool(row.get("pitch")):
    raise ValueError(f"{folder}: row {number} of the mapping is {dict(row)}; expected a voice or a pitch")
  pitch = parse_pitch(row["pitch"], path) if row.get("pitch") else None
  voice = row.get("voice") or ""
  instrument = row.get("instrument") or voice or str(row["pitch"])
  return OneShot(path, instrument, voice, pitch, _layer(row.get("layer"), path))


def _match(path: pathlib.Path, mapping: Mapping[str, Any]) -> OneShot | None:
  """The one-shot that a file's name says it is, or None."""
  unknown = set(mapping) - {"pattern", "voices"}
  if unknown or "pattern" not in mapping:
    raise ValueError(f"a mapping has the keys {sorted(mapping)}; expected pattern and voices, or files")
  pattern = re.compile(mapping["pattern"])
  if not {"name", "pitch"} & set(pattern.groupindex):
    raise ValueError(
      f"the mapping's pattern {pattern.pattern!r} has no group (?P<name>...) or (?P<pitch>...)"
    )
  match = pattern.fullmatch(path.stem)
  if match is None:
    return None
  groups = match.groupdict()
  layer = _layer(groups.get("layer"), path)
  if groups.get("pitch") is not None:
    return OneShot(path, groups["pitch"], "", parse_pitch(groups["pitch"], path), layer)
  voice = mapping.get("voices", {}).get(groups["name"])
  return OneShot(path, groups["name"], voice, None, layer) if voice else None


def _layer(text: str | None, path: pathlib.Path) -> float:
  if text is None or text == "":
    return 0.0
  if text in LAYERS:
    return float(LAYERS.index(text))
  try:
    return float(text)
  except ValueError:
    raise ValueError(f"{path}: layer {text!r}; expected a number or one of {', '.join(LAYERS)}") from None


def parse_pitch(text: str, path: pathlib.Path | str = "pitch") -> float:
  """MIDI number of a note's name, with C4 the middle C, or of a number as text.

  >>> parse_pitch("C4"), parse_pitch("F#1"), parse_pitch("21")
  (60.0, 30.0, 21.0)
  """
  match = _NOTE.fullmatch(text)
  if match:
    shift = {"": 0, "#": 1, "b": -1}[match["accidental"]]
    return 12.0 * (int(match["octave"]) + 1) + _STEPS[match["step"]] + shift
  try:
    return float(text)
  except ValueError:
    raise ValueError(f"{path}: pitch {text!r}; expected a MIDI number or a name such as F#1") from None


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
  """Voice -> its instruments, each the tuple of its one-shots, softest first."""
  grouped: dict[tuple[str, str], list[OneShot]] = {}
  for shot in shots:
    grouped.setdefault((shot.voice, str(shot.path.parent) + shot.instrument), []).append(shot)
  voices: dict[str, list[tuple[OneShot, ...]]] = {}
  for (voice, _), members in sorted(grouped.items()):
    voices.setdefault(voice, []).append(tuple(sorted(members, key=lambda shot: (shot.layer, shot.path))))
  return voices


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
