"""IDMT-SMT-Drums: loops of kick drum, snare drum and hi-hat, acoustic, sampled and synthetic.

The folder has the layout of the distribution (version 2), `audio/<track>#MIX.wav` and
`annotation_xml/<track>#MIX.xml`, where a track is called after its subset: `RealDrum01_00`,
`TechnoDrum02_03`, `WaveDrum02_60`. The recordings of single drums beside the mixes (`#HH`, `#KD`, `#SD`, and
`#HH#train` and so on) are not read: they hold the same hits once more.

References:
  Dittmar and Gaertner, "Real-time transcription and separation of drum recordings based on NMF
  decomposition", DAFx 2014.
  Wu et al., "A review of automatic drum transcription", IEEE/ACM Trans. Audio Speech Lang. Process. 26(9),
  2018 (the tasks "D-DTD, Eval Random" and "Eval Subset").
"""

from __future__ import annotations

from collections.abc import Sequence
import math
import os
import pathlib
import re
from xml.etree import ElementTree

from softloc_jax.data import drum_labels, item_splits, layout, text_files
from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording

CLASSES = drum_labels.CLASSES
SUBSETS = ("RealDrum", "TechnoDrum", "WaveDrum")

_EXPECTED = "expected IDMT-SMT-Drums, audio/<track>#MIX.wav and annotation_xml/<track>#MIX.xml"
_MIX = "#MIX"
_NAME = re.compile(rf"(?P<subset>{'|'.join(SUBSETS)})\d+_\d+")


def find(data_dir: str | os.PathLike) -> list[Item]:
  """The mixes of an IDMT-SMT-Drums folder, sorted by id; names only, nothing is read.

  Args:
    data_dir: the folder with `audio` and `annotation_xml`, or the one that holds it.

  Returns:
    Items with the track, such as `WaveDrum02_60`, as id, and the subset as group. A mix without annotation
    and an annotation without mix are left out, with a warning.

  Raises:
    FileNotFoundError: no such folder, or no annotated mix in it.
    ValueError: a mix that is called after none of the subsets.
  """
  root = layout.top_folder(data_dir, "annotation_xml", _EXPECTED)
  paths = layout.files_in(root / "annotation_xml", (".xml",), _MIX)
  labels = {path.stem.removesuffix(_MIX): path for path in paths}
  pairs = layout.pair(layout.signals_in(root / "audio", _MIX), labels, _EXPECTED)
  return [Item(track, signal, label, group=_subset(signal, track)) for track, signal, label in pairs]


def _subset(path: pathlib.Path, track: str) -> str:
  match = _NAME.fullmatch(track)
  if not match:
    raise ValueError(f"{path}: the track is {track!r}; expected one of {', '.join(SUBSETS)}, and 01_00 or so")
  return match["subset"]


def read(item: Item) -> Recording:
  """A mix with the hits of its three drums.

  Raises:
    ValueError: an unreadable file, an event without time or instrument, or a hit outside the recording; with
      the number of the event.
  """
  hits = read_annotation(item.label_path)
  return drum_labels.recording(item, hits, class_of={name: name for name in CLASSES})


def read_annotation(path: str | os.PathLike) -> list[tuple[float, str]]:
  """Onset in seconds and instrument of every `<event>` of a file's `<transcription>`.

  Raises:
    ValueError: not XML, no transcription, or an event without a time or an instrument.
  """
  try:
    root = ElementTree.parse(path).getroot()
  except ElementTree.ParseError as error:
    raise ValueError(f"{path}: cannot read as XML: {error}") from error
  transcription = root.find("transcription")
  if transcription is None:
    raise ValueError(f"{path}: no <transcription> in <{root.tag}>; expected one, with <event> in it")
  hits = []
  for number, event in enumerate(transcription.findall("event"), start=1):
    onset, instrument = (event.findtext(tag, "").strip() for tag in ("onsetSec", "instrument"))
    time_s = text_files.number(onset)
    if time_s is None or not math.isfinite(time_s) or not instrument:
      raise ValueError(
        f"{path}: event {number} has onsetSec {onset!r} and instrument {instrument!r}; expected a time in"
        f" seconds and one of {', '.join(CLASSES)}"
      )
    hits.append((time_s, instrument))
  return hits


def random_split(items: Sequence[Item], seed: int) -> dict[str, list[Item]]:
  """Eval Random of Wu et al.: 70 % of the tracks train, 15 % validate, 15 % test.

  The tracks are drawn within each subset, so that none is missing from a split by chance.

  Args:
    items: of `find`.
    seed: number of the run; the papers' six runs are the seeds 0 to 5.

  Returns:
    "train", "validation" and "test" -> items.

  Raises:
    ValueError: a subset with fewer than three tracks.
  """
  return item_splits.random_by_group(items, seed=seed)


def subset_split(items: Sequence[Item], test_subset: str, *, seed: int = 0) -> dict[str, list[Item]]:
  """Eval Subset of Wu et al.: one subset is tested, the others train, 15 % of their tracks validate.

  Raises:
    ValueError: a subset that is not there, or no other one to train on.
  """
  return item_splits.leave_out_group(items, test_subset, seed=seed)
