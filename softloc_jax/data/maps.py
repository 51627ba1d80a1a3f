"""MAPS: piano pieces played by software and by a Disklavier, with the time and pitch of every note.

The folder has the layout of the distribution, `<instrument>/MUS/MAPS_MUS-<piece>_<instrument>` with the
extensions `.wav` (or `.flac`, `.ogg`) and `.txt` (or `.mid`). Only the pieces of music (`MUS`) are read; the
isolated notes and chords of the distribution may be there or not.

References:
  Emiya, Badeau, David, "Multipitch estimation of piano sounds using a new probabilistic spectral smoothness
  principle", IEEE Trans. Audio Speech Lang. Process. 18(6), 2010.
  Hawthorne et al., "Onsets and frames: dual-objective piano transcription", ISMIR 2018 (configuration 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import math
import os
import pathlib
import re

import numpy as np

from softloc_jax.data import event_files, signal_files, text_files
from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording, validate
from softloc_jax.data.splits import listing

PITCHES = tuple(range(21, 109))
CLASSES = tuple(str(pitch) for pitch in PITCHES)  # MIDI numbers, A0 to C8

TEST_INSTRUMENTS = ("ENSTDkAm", "ENSTDkCl")
INSTRUMENTS = (
  *("AkPnBcht", "AkPnBsdf", "AkPnCGdD", "AkPnStgb", "SptkBGAm", "SptkBGCl", "StbgTGd2"),
  *TEST_INSTRUMENTS,
)

# The music of the two test instruments in the whole distribution: training leaves it out, wherever those are.
TEST_PIECES = frozenset(
  (
    *(
      "alb_se2",
      "bk_xmas1",
      "bk_xmas4",
      "bk_xmas5",
      "bor_ps6",
      "chpn-e01",
      "chpn-p4",
      "chpn-p14",
      "chpn-p15",
    ),
    *("chpn-p19", "chpn_op7_1", "chpn_op25_e3", "chpn_op25_e4", "chpn_op33_2", "chpn_op35_1", "chpn_op66"),
    *("deb_clai", "deb_menu", "grieg_butterfly", "grieg_kobold", "liz_et6", "liz_et_trans5", "liz_rhap02"),
    *("liz_rhap09", "liz_rhap12", "mendel_op62_5", "muss_1", "mz_311_1", "mz_331_2", "mz_331_3", "mz_332_2"),
    *("mz_333_2", "mz_333_3", "mz_545_3", "mz_570_1", "pathetique_1", "pathetique_2", "pathetique_3"),
    *("schu_143_1", "schu_143_3", "schub_d760_3", "schuim-1", "schumm-1", "scn15_6", "scn15_9", "scn15_11"),
    *("scn15_12", "scn16_3", "scn16_4", "ty_maerz", "ty_mai", "ty_november", "waldstein_1"),
  )
)

_EXPECTED = (
  "expected MAPS, <instrument>/MUS/MAPS_MUS-<piece>_<instrument>.wav (or .flac, .ogg) and .txt (or .mid)"
)
_HEADER = ["OnsetTime", "OffsetTime", "MidiPitch"]
_NAME = re.compile(r"MAPS_MUS-(?P<piece>.+)_(?P<instrument>[^_]+)")
_SIGNAL_EXTENSIONS = (".wav", ".flac", ".ogg")
_LABEL_EXTENSIONS = (".txt", ".mid")


def find(data_dir: str | os.PathLike) -> list[Item]:
  """The pieces of a MAPS folder, sorted by id; names only, nothing is read.

  Args:
    data_dir: the folder with the instruments' folders, or the one that holds it as `MAPS`.

  Returns:
    Items with the id `MAPS_MUS-<piece>_<instrument>` and the instrument as group. Where a piece is there in
    several formats, `.wav` goes before `.flac` before `.ogg`, and `.txt` before `.mid`.

  Raises:
    FileNotFoundError: no such folder, no piece in it, or a piece without its labels or its audio.
  """
  folder = pathlib.Path(data_dir)
  if not folder.is_dir():
    raise FileNotFoundError(f"no such folder: {folder}; {_EXPECTED}")
  root = folder / "MAPS" if (folder / "MAPS").is_dir() else folder
  by_stem: dict[str, dict[str, pathlib.Path]] = {}
  for path in sorted(root.glob("*/MUS/MAPS_MUS-*")):
    match = _NAME.fullmatch(path.stem)
    if match and path.suffix.lower() in (*_SIGNAL_EXTENSIONS, *_LABEL_EXTENSIONS):
      if match["instrument"] != path.parts[-3]:
        raise ValueError(f"{path}: the name says {match['instrument']!r}, the folder {path.parts[-3]!r}")
      by_stem.setdefault(path.stem, {})[path.suffix.lower()] = path
  if not by_stem:
    found = listing(sorted(path.name for path in root.iterdir())) or "nothing"
    raise FileNotFoundError(f"no piece in {root}; {_EXPECTED}; found {found}")
  return [_item(stem, files) for stem, files in sorted(by_stem.items())]


def _item(stem: str, files: dict[str, pathlib.Path]) -> Item:
  chosen = []
  for what, extensions in (("audio", _SIGNAL_EXTENSIONS), ("labels", _LABEL_EXTENSIONS)):
    present = [extension for extension in extensions if extension in files]
    if not present:
      folder = next(iter(files.values())).parent
      raise FileNotFoundError(f"{folder / stem} has no {what}: expected {' or '.join(extensions)}")
    chosen.append(files[present[0]])
  return Item(stem, *chosen, group=_NAME.fullmatch(stem)["instrument"])


def piece(item: Item) -> str:
  """Name of the music without the instrument: what the overlap filter goes by.

  >>> piece(Item("MAPS_MUS-chpn-e01_ENSTDkAm", pathlib.Path("a.wav"), pathlib.Path("a.txt"), "ENSTDkAm"))
  'chpn-e01'
  """
  return _NAME.fullmatch(item.id)["piece"]


def configuration_2(
  items: Sequence[Item], *, validation_instruments: Iterable[str] = ()
) -> dict[str, list[Item]]:
  """The split of Hawthorne et al.: real pianos are tested; music that is tested is not trained on.

  Args:
    items: of `find`.
    validation_instruments: software pianos to hold out, as none of the training recordings tells how a
      network does on a piano it has never heard.

  Returns:
    "train", "validation" and "test" -> items. Pieces of the software pianos that occur in the test set, here
    or in the whole distribution, are in none.

  Raises:
    ValueError: a validation instrument that is not there or is tested.
  """
  validation_instruments = tuple(validation_instruments)
  software = {item.group for item in items} - set(TEST_INSTRUMENTS)
  for name in validation_instruments:
    if name not in software:
      raise ValueError(f"validation instrument {name!r}: expected one of {', '.join(sorted(software))}")
  test = [item for item in items if item.group in TEST_INSTRUMENTS]
  tested = TEST_PIECES | {piece(item) for item in test}
  rest = [item for item in items if item.group not in TEST_INSTRUMENTS and piece(item) not in tested]
  return {
    "train": [item for item in rest if item.group not in validation_instruments],
    "validation": [item for item in rest if item.group in validation_instruments],
    "test": test,
  }


def read(item: Item) -> Recording:
  """A piece with its note onsets: class = MIDI pitch, "21" (A0) to "108" (C8).

  Raises:
    ValueError: an unreadable file, a malformed row, a pitch that a piano does not have, or an onset outside
      the recording.
  """
  signal, rate_hz = signal_files.read_signal(item.signal_path)
  recording = Recording(item.id, signal, rate_hz, read_labels(item))
  validate(recording, CLASSES)
  return recording


def read_labels(item: Item) -> dict[str, np.ndarray]:
  """Class -> sorted onsets in seconds of a piece.

  Raises:
    ValueError: an unreadable file, a malformed row, or a pitch that a piano does not have.
  """
  is_midi = item.label_path.suffix.lower() == ".mid"
  notes = read_midi(item.label_path) if is_midi else read_table(item.label_path)
  times: dict[str, list[float]] = {}
  for onset_s, pitch in sorted(notes):
    if pitch not in PITCHES:
      raise ValueError(f"{item.label_path}: pitch {pitch} at {onset_s:.3f} s; expected 21 to 108")
    times.setdefault(str(pitch), []).append(onset_s)
  return {name: np.array(times_s) for name, times_s in times.items()}


def read_table(path: pathlib.Path) -> list[tuple[float, int]]:
  """Onset in seconds and MIDI pitch of every row of a MAPS `.txt` table.

  Raises:
    ValueError: no text in UTF-8, another header, or a row that does not hold two times and a pitch; with its
      number.
  """
  lines = text_files.read(path).splitlines()
  if not lines or lines[0].split() != _HEADER:
    raise ValueError(f"{path}: the header is {lines[0] if lines else ''!r}; expected {' '.join(_HEADER)}")
  notes = []
  for number, line in enumerate(lines[1:], start=2):
    fields = line.split()
    if not fields:
      continue
    times_s = [text_files.number(field) for field in fields[:2]]
    if len(fields) != 3 or None in times_s or not fields[2].isdecimal():
      raise ValueError(f"{path}: row {number} is {line!r}; expected {' '.join(_HEADER)}")
    if not 0 <= times_s[0] < math.inf:
      raise ValueError(f"{path}: row {number} is {line!r}; expected {' '.join(_HEADER)}, from 0 s on")
    notes.append((times_s[0], int(fields[2])))
  return notes


def read_midi(path: pathlib.Path) -> list[tuple[float, int]]:
  """Onset in seconds and MIDI pitch of every note of a MAPS `.mid` file."""
  found = event_files.read_events(path)
  return [(float(onset_s), int(label)) for label, times_s in found.items() for onset_s in times_s]
