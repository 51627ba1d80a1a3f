"""What `softloc-jax predict` does with files: which it reads and writes, settled before any of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import logging
import os
import pathlib
from typing import NamedTuple

from softloc_jax import detector
from softloc_jax.data import event_writers, signal_files, video_files
from softloc_jax.data import folder as folder_lib
from softloc_jax.data.splits import listing

_SIGNALS = (*signal_files.EXTENSIONS, ".hea")


class Planned(NamedTuple):
  """A file and what becomes of it.

  Attributes:
    source: the signal.
    targets: what is written, label files first.
  """

  source: pathlib.Path
  targets: list[pathlib.Path]


def plan(
  files: Sequence[pathlib.Path],
  out: pathlib.Path,
  extensions: Sequence[str],
  *,
  videos: bool = False,
  overwrite: bool = False,
  skip_existing: bool = False,
) -> list[Planned]:
  """Where each file's results go.

  Args:
    files: signals, or folders of them, which keep their inner folders in the results. A csv file of a folder
      is a signal if it begins as one (see `signal_files.is_csv_signal`) and no other signal beside it has its
      stem; those that are no labels either are named in a warning.
    out: where results go.
    extensions: of the results.
    videos: whether the files of folders that are read are videos, and not other signals.
    overwrite: whether results that exist are replaced; never signals, nor what lies in one of the folders.
    skip_existing: whether files whose results all exist are left out.

  Raises:
    FileNotFoundError: a folder without any signal, or with a link that leads nowhere.
    FileExistsError: a result exists and is neither to be replaced nor its file to be left out, or may not be
      replaced.
    ImportError: the library that writes one of the formats is not installed.
    ValueError: an extension that is given twice, a result in the place of a signal, or two files that would
      be written to one place.
  """
  _check_extensions(extensions)
  listed = {path: folder_lib.list_files(path) for path in files if path.is_dir()}
  sources = list(_sources(files, listed, video_files.EXTENSIONS if videos else _SIGNALS))
  signals = _identities([source for source, _ in sources])
  beside = _identities([path / one for path, found in listed.items() for one in found])
  planned: list[Planned] = []
  owners: dict[pathlib.Path, pathlib.Path] = {}
  for source, stem in sources:
    # Not with_suffix, which would cut names like `take.1`.
    targets = [out / stem.parent / f"{stem.name}{extension}" for extension in extensions]
    if targets[0] in owners:
      first = owners[targets[0]]
      raise ValueError(f"{first} and {source} would both be written to {targets[0]}; predict them apart")
    owners[targets[0]] = source
    _check_no_signal(targets, signals)
    existing = [target for target in targets if target.exists()]
    if skip_existing and len(existing) == len(targets):
      continue
    if overwrite or not skip_existing:
      _check_existing(existing, beside, overwrite)
    missing = targets if overwrite else [target for target in targets if target not in existing]
    planned.append(Planned(source, missing))
  return planned


def _check_extensions(extensions: Sequence[str]) -> None:
  """Refuses formats that cannot be written, or would be twice."""
  event_writers.check_available(extensions)
  for one in extensions:
    if extensions.count(one) > 1:
      raise ValueError(f"format {one.lstrip('.')} is given more than once; expected each once")


def _check_no_signal(targets: Sequence[pathlib.Path], signals: set) -> None:
  """Refuses results in the place of what is read."""
  for target in targets:
    if _identities([target]) & signals:
      raise ValueError(f"{target} is a signal that is read, not a result; expected another --out")


def _check_existing(existing: Sequence[pathlib.Path], beside: set, overwrite: bool) -> None:
  """Refuses to replace what was not given up, and what lies in a folder that is read."""
  for target in existing:
    # Nothing tells a result of before from true labels, which may have confidences as well.
    if _identities([target]) & beside:
      raise FileExistsError(
        f"{target} exists in a folder that is read, where it may hold true labels; expected another --out, or"
        f" --skip-existing alone to leave it"
      )
    if not overwrite:
      raise FileExistsError(f"{target} exists; use --overwrite to replace it, --skip-existing to leave it")


def _identities(paths: Sequence[pathlib.Path]) -> set[tuple[int, int]]:
  """What tells files apart that exist, whatever links and spellings lead to them."""
  return {(found.st_dev, found.st_ino) for found in (os.stat(path) for path in paths if path.exists())}


def _sources(
  files: Sequence[pathlib.Path],
  listed: Mapping[pathlib.Path, Sequence[pathlib.PurePosixPath]],
  extensions: Sequence[str],
) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
  """Signals, and the names of their results without extension."""
  for path in files:
    if path not in listed:
      yield path, pathlib.Path(path.stem)
      continue
    found = [one for one in listed[path] if one.suffix.lower() in extensions]
    found = _without_other_tables(path, found)
    if not found:
      raise FileNotFoundError(f"no signal in {path}: looked for {', '.join(extensions)}")
    for one in found:
      yield path / one, pathlib.Path(one.parent / one.stem)


def _without_other_tables(
  folder: pathlib.Path, found: Sequence[pathlib.PurePosixPath]
) -> list[pathlib.PurePosixPath]:
  """The files of a folder but for the csv files among them that hold labels, or nothing that is known."""
  tables = {one for one in found if one.suffix.lower() == ".csv"}
  stems = {one.with_suffix("") for one in found if one not in tables}
  others = {
    one for one in tables if one.with_suffix("") in stems or not signal_files.is_csv_signal(folder / one)
  }
  unknown = [str(one) for one in sorted(others) if not _are_labels(folder / one)]
  if unknown:
    logging.warning(
      "%s: left out %d csv files that are no labels, nor signals without another of their stem: %s; expected"
      " a header with time and channels, or a first line `# sample_rate_hz: 100`",
      folder,
      len(unknown),
      listing(unknown),
    )
  return [one for one in found if one not in others]


def _are_labels(path: pathlib.Path) -> bool:
  """Whether a csv file belongs to the labels of a folder."""
  if path.stem.lower() in folder_lib.NOT_SIDECARS:
    return True
  try:
    folder_lib.read_labels(path)
  except (OSError, ValueError):
    return False
  return True


def predict(
  trained: detector.Detector,
  planned: Sequence[Planned],
  *,
  overwrite: bool = False,
  start_s: float = 0.0,
  length_s: float = 10.0,
) -> Iterator[str]:
  """Writes what is found in each file, and gives a line of it; one of several that fails stops no other.

  Args:
    trained: what finds events.
    planned: files and their results, see `plan`.
    overwrite: whether results that exist are replaced.
    start_s, length_s: the stretch that figures show.

  Raises:
    OSError, ValueError, FloatingPointError: what is wrong with the only file, or why nothing can be written.
    ValueError: naming each file that failed, once the others are done.
  """
  failures: list[tuple[pathlib.Path, Exception]] = []
  for one in with_progress(planned):
    found = None
    try:
      found = trained.detect_file(one.source)
      _write(found, one.targets, overwrite=overwrite, start_s=start_s, length_s=length_s)
    except (OSError, ValueError, FloatingPointError) as error:
      # A disk that is full, or a folder that may not be written to, would fail all the others too.
      if len(planned) == 1 or (found is not None and isinstance(error, OSError)):
        raise
      failures.append((one.source, error))
      continue
    counts = ", ".join(f"{len(times)} {name}" for name, times in found.times_s.items())
    yield f"{one.source}: {counts} -> {one.targets[0]}"
  if failures:
    lines = [f"{error}" if f"{path}" in f"{error}" else f"{path}: {error}" for path, error in failures]
    raise ValueError("\n  ".join([f"{len(failures)} of {len(planned)} files failed:", *lines]))


def _write(
  found: detector.Detection,
  targets: Sequence[pathlib.Path],
  *,
  overwrite: bool,
  start_s: float,
  length_s: float,
) -> None:
  # Figures first: only they refuse a stretch beyond the recording, and nothing else is to be left then.
  for target in sorted(targets, key=lambda one: one.suffix != ".png"):
    if target.suffix == ".png":
      found.plot(target, start_s=start_s, length_s=length_s)
    else:
      found.write(target, overwrite=overwrite)


def with_progress(planned: Sequence[Planned]) -> Iterator[Planned]:
  """The same one by one, under a progress bar if there are several."""
  import tqdm

  yield from tqdm.tqdm(planned, unit="file", disable=len(planned) < 2)
