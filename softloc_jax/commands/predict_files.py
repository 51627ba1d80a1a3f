"""Which files `softloc-jax predict` reads and writes, settled before any of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import pathlib
from typing import NamedTuple

from softloc_jax.data import event_writers, signal_files

# In a folder, a csv is as likely a label file, and is only read where it is named itself.
_IN_FOLDERS = (*signal_files.AUDIO_EXTENSIONS, ".npz", ".hea", ".mp4", ".mov", ".avi", ".mkv", ".webm")


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
  overwrite: bool = False,
  skip_existing: bool = False,
) -> list[Planned]:
  """Where each file's results go.

  Args:
    files: signals, or folders of them, which keep their inner folders in the results.
    out: where results go.
    extensions: of the results.
    overwrite: whether results that exist are replaced.
    skip_existing: whether files whose results all exist are left out.

  Raises:
    FileNotFoundError: a folder without any signal.
    FileExistsError: a result exists and is neither to be replaced nor its file to be left out.
    ImportError: the library that writes one of the formats is not installed.
    ValueError: two files would be written to one place.
  """
  event_writers.check_available(extensions)
  planned: list[Planned] = []
  owners: dict[pathlib.Path, pathlib.Path] = {}
  for source, stem in _sources(files):
    # Not with_suffix, which would cut names like `take.1`.
    targets = [out / stem.parent / f"{stem.name}{extension}" for extension in extensions]
    if targets[0] in owners:
      first = owners[targets[0]]
      raise ValueError(f"{first} and {source} would both be written to {targets[0]}; predict them apart")
    owners[targets[0]] = source
    if skip_existing and all(target.exists() for target in targets):
      continue
    for target in targets:
      if target.exists() and not (overwrite or skip_existing):
        raise FileExistsError(f"{target} exists; use --overwrite to replace it, --skip-existing to leave it")
    missing = targets if overwrite else [target for target in targets if not target.exists()]
    planned.append(Planned(source, missing))
  return planned


def _sources(files: Sequence[pathlib.Path]) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
  """Signals, and the names of their results without extension."""
  for path in files:
    if not path.is_dir():
      yield path, pathlib.Path(path.stem)
      continue
    found = sorted(one for one in path.rglob("*") if one.suffix.lower() in _IN_FOLDERS and one.is_file())
    if not found:
      raise FileNotFoundError(f"no signal in {path}: looked for {', '.join(_IN_FOLDERS)}")
    for one in found:
      relative = one.relative_to(path)
      yield one, relative.parent / one.stem


def with_progress(planned: Sequence[Planned]) -> Iterator[Planned]:
  """The same one by one, under a progress bar if there are several."""
  import tqdm

  yield from tqdm.tqdm(planned, unit="file", disable=len(planned) < 2)
