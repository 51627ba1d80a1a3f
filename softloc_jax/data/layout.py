"""Finds the files of a distribution by their names, and says what was found where they are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
import logging
import os
import pathlib

from softloc_jax.data.splits import listing

# In the order of preference where a recording is there in several formats.
SIGNAL_EXTENSIONS = (".wav", ".flac", ".ogg")

_log = logging.getLogger(__name__)


def top_folder(data_dir: str | os.PathLike, marker: str, expected: str) -> pathlib.Path:
  """The folder in which a distribution's own folders are.

  Args:
    data_dir: that folder, or the one that holds it.
    marker: pattern of something that is in the top folder and nowhere else, such as `annotation_xml`.
    expected: the layout, for the message.

  Returns:
    `data_dir`, or the one folder in it that has the marker.

  Raises:
    FileNotFoundError: no such folder, no marker in it and in the folders in it, or several folders with one.
  """
  folder = pathlib.Path(data_dir)
  if not folder.is_dir():
    raise FileNotFoundError(f"no such folder: {folder}; {expected}")
  if any(folder.glob(marker)):
    return folder
  candidates = sorted(path for path in folder.iterdir() if path.is_dir() and any(path.glob(marker)))
  if not candidates:
    found = listing(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise FileNotFoundError(f"no {marker} in {folder}; {expected}; found {found}")
  if len(candidates) > 1:
    names = listing([path.name for path in candidates])
    raise FileNotFoundError(f"{folder} holds several copies: {names}; expected the path of one of them")
  return candidates[0]


def is_hidden(path: pathlib.PurePath) -> bool:
  """Whether a file is no part of a distribution, as those that macOS puts beside others (`._track.wav`)."""
  return path.name.startswith(".")


def files_in(folder: pathlib.Path, extensions: Collection[str], suffix: str = "") -> list[pathlib.Path]:
  """The files of a folder that are not hidden, sorted; none where there is no such folder.

  Args:
    folder: not those inside it.
    extensions: that files have, such as ".txt"; in capitals, too.
    suffix: with which names end before the extension.
  """
  return sorted(
    path
    for path in folder.glob(f"*{suffix}.*")
    if path.suffix.lower() in extensions and path.stem.endswith(suffix) and not is_hidden(path)
  )


def signals_in(folder: pathlib.Path, suffix: str = "") -> dict[str, pathlib.Path]:
  """Audio files by name, without `suffix` and extension; one each, `.wav` before `.flac` before `.ogg`."""
  found: dict[str, pathlib.Path] = {}
  for extension in SIGNAL_EXTENSIONS:
    for path in files_in(folder, (extension,), suffix):
      found.setdefault(path.stem.removesuffix(suffix), path)
  return found


def pair(
  signals: Mapping[str, pathlib.Path], labels: Mapping[str, pathlib.Path], expected: str
) -> list[tuple[str, pathlib.Path, pathlib.Path]]:
  """Puts signals and labels of one name together; those that have no partner are left out, with a warning.

  Args:
    signals: name -> audio file.
    labels: name -> annotation file.
    expected: the layout, for the message.

  Returns:
    (name, audio file, annotation file), sorted by name.

  Raises:
    FileNotFoundError: no pair at all.
  """
  names = sorted(set(signals) & set(labels))
  alone = {
    "audio files without annotation": [str(signals[name]) for name in sorted(set(signals) - set(labels))],
    "annotations without audio": [str(labels[name]) for name in sorted(set(labels) - set(signals))],
  }
  if not names:
    found = "; ".join(f"{len(paths)} {what}: {listing(paths)}" for what, paths in alone.items() if paths)
    raise FileNotFoundError(f"no recording with its annotation; {expected}; found {found or 'nothing'}")
  for what, paths in alone.items():
    if paths:
      _log.warning("left out %d %s: %s; %s", len(paths), what, listing(paths), expected)
  return [(name, signals[name], labels[name]) for name in names]
