"""ENST-Drums: three drummers, each on a kit of their own, phrases, solos and play-along tracks.

The folder has the layout of the distribution: `drummer_<1 to 3>/annotation/<track>.txt` with one hit per
line, `time label`, and the audio of the same name below `drummer_<1 to 3>/audio/` in one folder per mix
(`dry_mix`, `wet_mix`) and per microphone. In a "minus one" track the drummer plays along with music that the
drums' mixes do not contain.

References:
  Gillet and Richard, "ENST-Drums: an extensive audio-visual database for drum signals processing", ISMIR
  2006.
  Wu et al., "A review of automatic drum transcription", IEEE/ACM Trans. Audio Speech Lang. Process. 26(9),
  2018 (the task "D-DTP": the drums of the minus-one tracks).
"""

from __future__ import annotations

from collections.abc import Sequence
import os

from softloc_jax.data import drum_labels, event_files, item_splits, layout
from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import listing

CLASSES = drum_labels.CLASSES
DRUMMERS = ("drummer_1", "drummer_2", "drummer_3")

CLASS_OF = {"bd": "KD", "sd": "SD", "sd-": "SD", "chh": "HH", "ohh": "HH"}
# Rim shot, cross stick, brush sweep, sticks, cowbell, and the toms with their rims.
_OTHER_DRUMS = ("rs", "cs", "sweep", "sticks", "cb", "lmt", "mt", "mtr", "lt", "ltr", "lft")
# Ride, crash, china, splash and other cymbals; kits with several number them.
_CYMBALS = ("rc", "cr", "ch", "spl", "c")
IGNORED = frozenset(_OTHER_DRUMS + tuple(f"{name}{n}" for name in _CYMBALS for n in ("", *range(1, 10))))

_EXPECTED = "expected ENST-Drums, drummer_<1 to 3>/annotation/<track>.txt and drummer_<1 to 3>/audio/<mix>/"
_NO_DRUMS = "accompaniment"


def find(data_dir: str | os.PathLike, *, mix: str = "wet_mix") -> list[Item]:
  """The tracks of an ENST-Drums folder, sorted by id; names only, nothing is read.

  Args:
    data_dir: the folder with the drummers' folders, or the one that holds it.
    mix: the folder below `audio` to take the signals from: "wet_mix", "dry_mix" or a microphone.

  Returns:
    Items with the id `<drummer>__<track>` and the drummer as group. An annotation without audio, or the
    reverse, is left out, with a warning.

  Raises:
    FileNotFoundError: no such folder, no such mix, or no annotated track in it.
    ValueError: the mix without drums.
  """
  if mix == _NO_DRUMS:
    raise ValueError(f"mix is {mix!r}, which has no drums; expected wet_mix, dry_mix or a microphone")
  root = layout.top_folder(data_dir, "drummer_[123]/annotation", _EXPECTED)
  signals, labels = {}, {}
  for drummer in DRUMMERS:
    folder = root / drummer
    for stem, path in layout.signals_in(folder / "audio" / mix).items():
      signals[f"{drummer}__{stem}"] = path
    for path in layout.files_in(folder / "annotation", (".txt",)):
      labels[f"{drummer}__{path.stem}"] = path
  if not signals:
    mixes = sorted({path.name for path in root.glob("drummer_[123]/audio/*") if path.is_dir()})
    raise FileNotFoundError(f"{root} has no audio of the mix {mix!r}; found {listing(mixes) or 'no mix'}")
  pairs = layout.pair(signals, labels, _EXPECTED)
  return [Item(id_, signal, label, group=id_.split("__")[0]) for id_, signal, label in pairs]


def minus_one(items: Sequence[Item]) -> list[Item]:
  """The play-along tracks: those of the task D-DTP.

  >>> import pathlib
  >>> audio, labels = pathlib.Path("a.wav"), pathlib.Path("a.txt")
  >>> names = ("drummer_1__036_phrase_disco_simple_slow_sticks", "drummer_1__107_minus-one_salsa_sticks")
  >>> [item.id for item in minus_one([Item(name, audio, labels, "drummer_1") for name in names])]
  ['drummer_1__107_minus-one_salsa_sticks']
  """
  return [item for item in items if "minus-one" in item.id]


def read(item: Item) -> Recording:
  """A track with the hits of kick drum (`bd`), snare drum (`sd`, `sd-`) and hi-hat (`chh`, `ohh`).

  The other drums and the cymbals are left out by design; a label that ENST-Drums does not document is left
  out with a warning.

  Raises:
    ValueError: an unreadable file, a malformed row, or a hit outside the recording.
  """
  events = event_files.read_events(item.label_path, earliest_s=-drum_labels.EDGE_S)
  hits = [(float(time_s), label) for label, times_s in events.items() for time_s in times_s]
  return drum_labels.recording(item, hits, CLASS_OF, IGNORED)


def random_split(items: Sequence[Item], seed: int) -> dict[str, list[Item]]:
  """Eval Random of Wu et al.: 70 % of the tracks train, 15 % validate, 15 % test, within each drummer.

  Args:
    items: of `find`, or of `minus_one`.
    seed: number of the run; the papers' six runs are the seeds 0 to 5.

  Returns:
    "train", "validation" and "test" -> items.

  Raises:
    ValueError: a drummer with fewer than three tracks.
  """
  return item_splits.random_by_group(items, seed=seed)


def drummer_split(items: Sequence[Item], test_drummer: str, *, seed: int = 0) -> dict[str, list[Item]]:
  """Eval Subset of Wu et al.: one drummer is tested, the others train, 15 % of their tracks validate.

  Raises:
    ValueError: a drummer who is not there, or no other one to train on.
  """
  return item_splits.leave_out_group(items, test_drummer, seed=seed)
