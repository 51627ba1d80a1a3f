"""Your own data: a folder of signals, each with a sidecar file of its events.

A signal is a wav, flac, ogg, mp3, npz or csv file (`signal_files`), its sidecar a csv, tsv, txt, jams, mid
or midi file of events (`event_files`) or a table of counts (`count_tables`) of the same stem, either beside
it or in a folder `annotations/` or `labels/`:

    clip.wav            data/clip.wav                 audio/kit1/clip.wav
    clip.csv            data/labels/clip.csv          annotations/kit1/clip.csv

A csv file is a sidecar, and a signal only where no other signal beside it has its stem and another file is
its sidecar: one beside it with another extension, or one in `annotations/` or `labels/`.

The id of a recording is its path within the folder, without extension and with "/" written as "__":
`kit1__clip`. Links are followed. Hidden files are not read, nor are event files named README, LICENSE,
metadata, split or supervision that belong to no signal. `split.csv` may say which recordings train and test
(`splits`), and `supervision.csv`, at the top or in the folder `annotations/` or `labels/` there, how far
times may be trusted (`supervision`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import fnmatch
import os
import pathlib

import numpy as np

from softloc_jax.data import count_tables, event_files, signal_files, supervision
from softloc_jax.data.recording import Recording, validate
from softloc_jax.data.splits import assign_ids, listing, read_split

MISSING = ("error", "unlabelled", "empty")
SPLIT_FILE = "split.csv"

_LABEL_FOLDERS = ("annotations", "labels")
NOT_SIDECARS = ("readme", "license", "metadata", "split", "supervision")
# Tables hold times with 6 decimals: an event at the very end may be written as just beyond it.
_TIME_RESOLUTION_S = 1e-6
_TABLES = (".csv", ".tsv", ".txt")


@dataclasses.dataclass(frozen=True)
class Pair:
  """A signal and its sidecars, as paths within the folder."""

  signal: pathlib.PurePosixPath
  sidecars: tuple[pathlib.PurePosixPath, ...]

  @property
  def id(self) -> str:
    return "__".join(self.signal.with_suffix("").parts)


def load(
  data_dir: str | os.PathLike,
  *,
  classes: Sequence[str] | None = None,
  class_map: Mapping[str, str | None] | None = None,
  split: str | None = None,
  include: str | None = None,
  missing: str = "error",
  sidecar_extension: str | None = None,
  mono: bool = True,
) -> list[Recording]:
  """Reads a folder of recordings; everything that can be wrong with it is found before anything is trained.

  Args:
    data_dir: the folder, with any folders inside.
    classes: the labels that may occur; None accepts every label.
    class_map: label in the files -> class, or None to leave events of this label out. Every label that
      occurs must be a key.
    split: a split of the folder's `split.csv` (`id,split`, see `splits.read_split`); None reads all.
    include: shell pattern of paths within the folder (`*ENSTDkAm*`, `kit1/*`); other signals are not read.
    missing: what a signal without sidecar is: an "error", "unlabelled" (it takes no part in loss and
      scores), or "empty" (it is known to have no event).
    sidecar_extension: read sidecars with this extension only, for folders that hold the same events in
      several formats (".txt" in MAPS, which has ".mid" too).
    mono: whether the channels of audio files are averaged.

  Returns:
    Recordings sorted by id. Every recording has an entry for every class: those of `classes`, or those of
    `class_map`, or else the labels found.

  Raises:
    FileNotFoundError: no such folder, no signal in it, a link that leads nowhere, or no `split.csv` though
      `split` is given.
    ValueError: files that do not pair up, unknown labels, events outside their recording, unreadable or empty
      files, NaN in a signal, a `supervision.csv` where it is not read, or nothing left to read; the message
      names the files and what was expected.
  """
  folder = pathlib.Path(data_dir)
  check_arguments(classes, class_map, missing, sidecar_extension)
  if not folder.is_dir():
    raise FileNotFoundError(f"no such folder: {folder}; expected signals with sidecar files of events")
  every, orphans = find(folder, sidecar_extension)
  pairs, orphans = _select(folder, every, orphans, split, include)
  _check_pairs(folder, pairs, orphans, missing)
  rules = read_rules(folder, every)
  # All sidecars before the first signal: they are small, and most mistakes are in them.
  tables = {pair.id: read_sidecar(folder, pair, classes, class_map) for pair in pairs}
  if classes is None and class_map is not None:
    classes = [name for name in dict.fromkeys(class_map.values()) if name is not None]
  if classes is None:
    classes = sorted({label for one in tables.values() if one for label in (*one.events, *one.counted)})
  if missing == "unlabelled" and not classes:
    raise ValueError(f"{folder}: no label found; expected classes=... (--classes) to say what is unlabelled")
  recordings = [_read_recording(folder, pair, tables[pair.id], classes, missing, mono) for pair in pairs]
  others = [pair.id for pair in every if pair not in pairs]
  return supervision.apply(rules, recordings, others=others)


def find(
  folder: pathlib.Path, sidecar_extension: str | None = None
) -> tuple[list[Pair], list[pathlib.PurePosixPath]]:
  """Signals of a folder with all their sidecars, and event files without a signal; nothing is read.

  Raises:
    FileNotFoundError: no signal in it, or a link that leads nowhere.
  """
  return _pair_up(folder, list_files(folder), sidecar_extension)


def read_rules(folder: pathlib.Path, pairs: Iterable[Pair]) -> list[supervision.Rule]:
  """What `supervision.csv` says, at the top of a folder or in its `annotations/` or `labels/`.

  Args:
    folder: of recordings.
    pairs: all that `find` finds in it; a sidecar of this name is no table of rules.

  Returns:
    The rules; none where there is no such table.

  Raises:
    ValueError: two such tables, one further down, where nobody would read it, or as `supervision.read_rules`.
  """
  taken = {path for pair in pairs for path in (pair.signal, *pair.sidecars)}
  tables = [
    path for path in list_files(folder) if path.name.lower() == supervision.FILE and path not in taken
  ]
  places = f"at the top of {folder} or in its folder {' or '.join(_LABEL_FOLDERS)}"
  for path in tables:
    above = path.parts[:-1]
    if above and (len(above) > 1 or above[0].lower() not in _LABEL_FOLDERS):
      raise ValueError(
        f"{folder / path}: would not be read where it lies; expected {supervision.FILE} {places}"
      )
  if len(tables) > 1:
    raise ValueError(
      f"{folder / tables[1]}: there is {tables[0]} too; expected one {supervision.FILE}, {places}"
    )
  return supervision.read_rules(folder / tables[0]) if tables else []


def list_files(folder: str | os.PathLike) -> list[pathlib.PurePosixPath]:
  """Every file in a folder and those inside that is not hidden, as sorted paths within it; follows links.

  Raises:
    FileNotFoundError: a link that leads nowhere, or no such folder.
    OSError: a folder that may not be read.
  """
  return sorted(_walk(pathlib.Path(folder), pathlib.PurePosixPath(), ()))


def _walk(
  folder: pathlib.Path, within: pathlib.PurePosixPath, above: tuple[str, ...]
) -> Iterator[pathlib.PurePosixPath]:
  """The files of one of its folders, which lies in those of the true paths `above`."""
  here = os.path.realpath(folder / within)
  if here in above:  # a link back up, whose files are listed there
    return
  with os.scandir(folder / within) as entries:
    for entry in entries:
      if entry.name.startswith("."):
        continue
      if entry.is_dir():
        yield from _walk(folder, within / entry.name, (*above, here))
      elif entry.is_file():
        yield within / entry.name
      elif entry.is_symlink() and not os.path.exists(entry.path):
        raise FileNotFoundError(
          f"{entry.path} is a link to {os.readlink(entry.path)}, which does not exist; expected a file or"
          f" folder"
        )


def check_arguments(
  classes: Sequence[str] | None,
  class_map: Mapping[str, str | None] | None,
  missing: str,
  sidecar_extension: str | None,
) -> None:
  """Refuses arguments of `load` that would otherwise read as something else.

  Raises:
    ValueError: naming the argument, its value and what was expected.
  """
  if isinstance(classes, str):
    raise ValueError(f"classes is the text {classes!r}; expected a list of labels")
  if missing not in MISSING:
    raise ValueError(f"missing is {missing!r}; expected one of {', '.join(MISSING)}")
  if sidecar_extension is not None and sidecar_extension not in event_files.EXTENSIONS:
    raise ValueError(
      f"sidecar_extension is {sidecar_extension!r}; expected one of {', '.join(event_files.EXTENSIONS)}"
    )
  if classes is not None and class_map is not None:
    unknown = sorted({name for name in class_map.values() if name is not None} - set(classes))
    if unknown:
      raise ValueError(
        f"class_map (--map) leads to {', '.join(unknown)}; expected one of {', '.join(classes)}"
      )


def _pair_up(
  folder: pathlib.Path, files: Iterable[pathlib.PurePosixPath], sidecar_extension: str | None
) -> tuple[list[Pair], list[pathlib.PurePosixPath]]:
  """Signals with their sidecars, and the sidecars without a signal."""
  csv_files, signals, by_place = [], [], {}
  allowed = event_files.EXTENSIONS if sidecar_extension is None else (sidecar_extension,)
  for path in files:
    extension = path.suffix.lower()
    in_label_folder = any(part.lower() in _LABEL_FOLDERS for part in path.parts[:-1])
    if extension in signal_files.EXTENSIONS and extension != ".csv":
      signals.append(path)
    elif extension == ".csv" and not in_label_folder and path.name.lower() != supervision.FILE:
      csv_files.append(path)
    if extension in allowed:
      by_place.setdefault(_place(path), []).append(path)
  with_signal = {path.with_suffix("") for path in signals}
  for path in csv_files:
    others = [other for other in _sidecars_of(path, by_place) if other != path]
    if path.with_suffix("") not in with_signal and others:
      signals.append(path)
      if path in by_place.get(_place(path), ()):
        by_place[_place(path)].remove(path)
  pairs = [Pair(path, tuple(_sidecars_of(path, by_place))) for path in sorted(signals)]
  used = {sidecar for pair in pairs for sidecar in pair.sidecars}
  rest = [path for paths in by_place.values() for path in paths if path not in used]
  orphans = sorted(path for path in rest if path.stem.lower() not in NOT_SIDECARS)
  if not pairs:
    found = Counter(path.suffix.lower() or "no extension" for path in files)
    raise FileNotFoundError(
      f"no recording in {folder}: looked for {', '.join(signal_files.EXTENSIONS)} (csv only with a sidecar of"
      f" its own), found {', '.join(f'{n} {ext}' for ext, n in found.most_common()) or 'no file'}"
    )
  return pairs, orphans


def _place(path: pathlib.PurePosixPath) -> tuple[tuple[str, ...], tuple[str, ...] | None, str]:
  """(folders above the label folder, folders below it or None where there is none, stem)."""
  folders = path.parts[:-1]
  for depth, name in enumerate(folders):
    if name.lower() in _LABEL_FOLDERS:
      return folders[:depth], folders[depth + 1 :], path.stem
  return folders, None, path.stem


def _sidecars_of(signal: pathlib.PurePosixPath, by_place: Mapping) -> list[pathlib.PurePosixPath]:
  """The event files beside a signal, and those in the places of a label folder that fit it."""
  folders = signal.parts[:-1]
  places = [_place(signal)]
  for depth in range(len(folders) + 1):
    # x/labels/y fits x/y, and x/audio/y whatever the name of the one folder in between.
    places += [(folders[:depth], folders[depth + skip :], signal.stem) for skip in (0, 1)]
  return sorted({path for place in places for path in by_place.get(place, ())})


def _select(folder, pairs, orphans, split, include) -> tuple[list[Pair], list[pathlib.PurePosixPath]]:
  """The pairs of a split and a pattern; orphans matter only where they could belong to one of them."""
  if split is not None:
    splits = assign_ids([pair.id for pair in pairs], read_split(folder / SPLIT_FILE))
    if split not in splits:
      raise ValueError(f"{folder / SPLIT_FILE} has no split {split!r}; expected one of {', '.join(splits)}")
    pairs = [pair for pair in pairs if pair.id in splits[split]]
  if include is not None:
    chosen = [pair for pair in pairs if fnmatch.fnmatchcase(str(pair.signal), include)]
    if not chosen:
      known = listing([str(pair.signal) for pair in pairs])
      raise ValueError(f"{folder}: include={include!r} fits none of {len(pairs)} signals: {known}")
    pairs = chosen
    orphans = [path for path in orphans if fnmatch.fnmatchcase(str(path), include)]
  return pairs, orphans


def _check_pairs(folder, pairs, orphans, missing) -> None:
  """Refuses signals and sidecars that do not pair up one to one."""
  ids = {}
  owners = {}
  for pair in pairs:
    if pair.id in ids:
      raise ValueError(f"{folder}: {ids[pair.id]} and {pair.signal} would both have the id {pair.id!r}")
    ids[pair.id] = pair.signal
    if len(pair.sidecars) > 1:
      raise ValueError(
        f"{folder}: {pair.signal} has {len(pair.sidecars)} sidecars:"
        f" {listing(list(map(str, pair.sidecars)))}; expected one (sidecar_extension=... or --labels-from"
        f" chooses)"
      )
    for sidecar in pair.sidecars:
      if sidecar in owners:
        raise ValueError(f"{folder}: {sidecar} fits two signals, {owners[sidecar]} and {pair.signal}")
      owners[sidecar] = pair.signal
  if orphans:
    raise ValueError(
      f"{folder}: {len(orphans)} event files without a signal: {listing(list(map(str, orphans)))}; expected a"
      f" signal of the same stem (a csv file is taken for a signal only if it has a sidecar of its own)"
    )
  without = [str(pair.signal) for pair in pairs if not pair.sidecars]
  if without and missing == "error":
    raise ValueError(
      f"{folder}: {len(without)} signals without a sidecar of events: {listing(without)}; expected one of"
      f" {', '.join(event_files.EXTENSIONS)}, or missing=... (--missing) 'unlabelled' or 'empty'"
    )


def read_sidecar(
  folder: pathlib.Path,
  pair: Pair,
  classes: Sequence[str] | None = None,
  class_map: Mapping[str, str | None] | None = None,
) -> count_tables.Table | None:
  """What is known of one recording, by class; None where there is no sidecar.

  Raises:
    FileNotFoundError, ValueError, ImportError: as `read_labels`.
    ValueError: a label that is not in `class_map`, or a class not in `classes`.
  """
  if not pair.sidecars:
    return None
  path = folder / pair.sidecars[0]
  table = read_labels(path)
  renamed = {label: _class_of(path, label, classes, class_map) for label in (*table.events, *table.counted)}
  times: dict[str, list[np.ndarray]] = {}
  for label, times_s in table.events.items():
    times.setdefault(renamed[label], []).append(times_s)
  counted = {renamed[label]: windows for label, windows in table.counted.items()}
  kept = [renamed[label] for label in table.counted if renamed[label] is not None]
  if len(set(kept)) < len(kept):
    raise ValueError(
      f"{path}: class_map (--map) makes one class of several that were counted, {', '.join(kept)}"
    )
  events = {name: np.sort(np.concatenate(found)) for name, found in times.items() if name is not None}
  return table._replace(events=events, counted={k: v for k, v in counted.items() if k is not None})


def read_labels(path: str | os.PathLike) -> count_tables.Table:
  """What a sidecar knows of a recording: times, or counts, or some of each.

  Raises:
    FileNotFoundError, ValueError, ImportError: as `event_files.read_events` and `count_tables.read_counts`.
  """
  path = pathlib.Path(path)
  if path.suffix.lower() in _TABLES and count_tables.is_count_table(path):
    return count_tables.read_counts(path)
  return count_tables.Table(event_files.read_events(path), {}, is_whole=True)


def _class_of(path: pathlib.Path, label: str, classes, class_map) -> str | None:
  """The class that a label of a file stands for; None where it is to be left out."""
  if class_map is not None and label not in class_map:
    raise ValueError(
      f"{path}: label {label!r} is not in class_map (--map), which has {', '.join(class_map)}; expected every"
      f" label that occurs"
    )
  name = label if class_map is None else class_map[label]
  if name is not None and classes is not None and name not in classes:
    raise ValueError(
      f"{path}: unknown label {label!r}; expected one of {', '.join(classes)}"
      f" (class_map=... or --map renames or drops labels)"
    )
  return name


def _read_recording(folder, pair, table, classes, missing, mono) -> Recording:
  """Reads the signal and puts the two together."""
  path = folder / pair.signal
  signal, rate_hz = signal_files.read_signal(path, mono=mono)
  labelled = dict.fromkeys(classes, table is not None or missing != "unlabelled")
  times = {name: table.events.get(name, np.zeros(0)) if table else np.zeros(0) for name in classes}
  duration_s = len(signal) / rate_hz
  for name, times_s in times.items():
    at_end = (times_s > duration_s) & (times_s <= duration_s + _TIME_RESOLUTION_S)
    times[name] = np.where(at_end, duration_s, times_s)
  counted = table.until(duration_s) if table else {}
  if table and not table.is_whole:
    labelled |= {name: name in table.events for name in classes}
  recording = Recording(pair.id, signal, rate_hz, times, labelled, counted)
  try:
    validate(recording, classes)
  except ValueError as error:
    sidecar = f" (labels in {pair.sidecars[0]})" if pair.sidecars else ""
    raise ValueError(f"{path}{sidecar}: {error}") from error
  return recording
