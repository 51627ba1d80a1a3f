"""MDB Drums: 23 pieces of many styles, drums alone and with the band, every hit annotated.

The folder has the layout of the distribution, `MDB Drums/audio/drum_only/<track>_Drum.wav`,
`audio/full_mix/<track>_MIX.wav` and `annotations/class/<track>_class.txt` with one hit per line, time and
class. Beside the class (kick drum, snare drum, hi-hat, toms, cymbals, other), `annotations/subclass` has the
instrument and the way it is played.

References:
  Southall et al., "MDB Drums: an annotated subset of MedleyDB for automatic drum transcription", ISMIR 2017
  (late-breaking), https://github.com/CarlSouthall/MDBDrums, whose MIREX2017.md has the split.
"""

from __future__ import annotations

from collections.abc import Sequence
import os
import pathlib

import numpy as np

from softloc_jax.data import drum_labels, event_files, layout
from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording

CLASSES = drum_labels.CLASSES
MIXES = {"drum_only": "_Drum", "full_mix": "_MIX"}

# The tracks of the drum transcription task of MIREX 2017; the others are its test set.
MIREX_TRAIN = tuple(
  f"MusicDelta_{style}"
  for style in (
    *("80sRock", "BebopJazz", "Britpop", "CoolJazz", "Disco", "FunkJazz", "FusionJazz"),
    *("Reggae", "Rock", "Rockabilly", "Shadows", "Zeppelin"),
  )
)
MIREX_TEST = tuple(
  f"MusicDelta_{style}"
  for style in (
    *("Beatles", "Country1", "FreeJazz", "Gospel", "Grunge", "Hendrix", "LatinJazz"),
    *("ModalJazz", "Punk", "SpeedMetal", "SwingJazz"),
  )
)

_IGNORED = frozenset(("TT", "CY", "OT"))  # toms, cymbals, other
_EXPECTED = "expected MDB Drums, audio/drum_only/<track>_Drum.wav and annotations/class/<track>_class.txt"


def find(data_dir: str | os.PathLike, *, mix: str = "drum_only") -> list[Item]:
  """The tracks of an MDB Drums folder, sorted by id; names only, nothing is read.

  Args:
    data_dir: the folder `MDB Drums`, or the one that holds it.
    mix: "drum_only", or "full_mix" for drums and band together.

  Returns:
    Items with the track, such as `MusicDelta_Rock`, as id; the group is the mix. An annotation without
    audio, or the reverse, is left out, with a warning.

  Raises:
    FileNotFoundError: no such folder, or no annotated track of this mix in it.
    ValueError: an unknown mix.
  """
  if mix not in MIXES:
    raise ValueError(f"mix is {mix!r}; expected one of {', '.join(MIXES)}")
  root = layout.top_folder(data_dir, "annotations/class", _EXPECTED)
  signals = layout.signals_in(root / "audio" / mix, MIXES[mix])
  paths = layout.files_in(root / "annotations" / "class", (".txt",), "_class")
  labels = {path.stem.removesuffix("_class"): path for path in paths}
  return [Item(track, *files, group=mix) for track, *files in layout.pair(signals, labels, _EXPECTED)]


def read(item: Item) -> Recording:
  """A track with the hits of kick drum, snare drum and hi-hat; the other classes are left out by design.

  Raises:
    ValueError: an unreadable file, a malformed row, or a hit outside the recording.
  """
  events = event_files.read_events(item.label_path, earliest_s=-drum_labels.EDGE_S)
  hits = [(float(time_s), label) for label, times_s in events.items() for time_s in times_s]
  return drum_labels.recording(item, hits, {name: name for name in CLASSES}, _IGNORED)


def read_subclasses(item: Item) -> dict[str, np.ndarray]:
  """Hit times in seconds by instrument and way of playing, such as open (`OHH`) and closed hi-hat (`CHH`).

  Returns:
    Subclass -> sorted times of every hit of the track, toms and cymbals too. Hits up to 50 ms before the
    start are moved to it, as by `read`.

  Raises:
    FileNotFoundError: the track has no file in `annotations/subclass`.
    ValueError: a malformed row.
  """
  annotations = pathlib.Path(item.label_path).parents[1]
  path = annotations / "subclass" / f"{item.id}_subclass.txt"
  events = event_files.read_events(path, earliest_s=-drum_labels.EDGE_S)
  return {name: np.maximum(times_s, 0.0) for name, times_s in events.items()}


def mirex_split(items: Sequence[Item]) -> dict[str, list[Item]]:
  """The split of MIREX 2017, halves of the data set; there is no validation set.

  Raises:
    ValueError: a track that is in neither half.
  """
  known = {**dict.fromkeys(MIREX_TRAIN, "train"), **dict.fromkeys(MIREX_TEST, "test")}
  split: dict[str, list[Item]] = {"train": [], "test": []}
  for item in items:
    if item.id not in known:
      raise ValueError(f"track {item.id!r} is in neither half of the split; expected MusicDelta_Rock or so")
    split[known[item.id]].append(item)
  return split
