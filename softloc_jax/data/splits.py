"""Splits a data set by recording: no recording gives windows to two splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import csv
import fnmatch
import hashlib
import math
import os
import pathlib
import types

from softloc_jax.data.recording import Recording

SPLITS = ("train", "validation", "test")
DEFAULT_FRACTIONS: Mapping[str, float] = types.MappingProxyType(
  {"train": 0.7, "validation": 0.15, "test": 0.15}
)


def split_by_recording(
  recordings: Sequence[Recording],
  *,
  fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
  seed: int,
) -> dict[str, list[Recording]]:
  """Random split that depends on the recordings' ids and the seed alone.

  The ids are put in the order of a hash of seed and id, and cut where the fractions say. The order in which
  recordings come does not matter, and one more recording moves few of the others to another split.

  Args:
    recordings: recordings with unique ids.
    fractions: split -> share of the recordings, positive, 1 in total. Sizes are rounded so that they add up
      to all recordings; every split gets at least one.
    seed: another seed, another split.

  Returns:
    Split -> its recordings, sorted by id.

  Raises:
    ValueError: repeated ids, fractions that are not positive or do not add up to 1, or fewer recordings than
      splits.

  >>> import numpy as np
  >>> ten = [Recording(f"{n:02d}", np.zeros(4), 1.0, {}) for n in range(10)]
  >>> split = split_by_recording(ten, fractions={"train": 0.8, "test": 0.2}, seed=0)
  >>> len(split["train"]), len(split["test"])
  (8, 2)
  """
  by_id = _by_id(recordings)
  bad = {name: share for name, share in fractions.items() if not share > 0}
  if not fractions or bad or not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
    raise ValueError(f"fractions are {dict(fractions)}; expected positive numbers that add up to 1")
  if len(by_id) < len(fractions):
    raise ValueError(f"{len(by_id)} recordings for {len(fractions)} splits; expected at least one for each")
  order = sorted(by_id, key=lambda id_: hashlib.sha256(f"{seed}/{id_}".encode()).digest())
  result, start = {}, 0
  for name, size in _sizes(len(order), fractions).items():
    result[name] = [by_id[id_] for id_ in sorted(order[start : start + size])]
    start += size
  return result


def explicit_split(
  recordings: Sequence[Recording],
  patterns: Mapping[str, Iterable[str]],
  *,
  allow_unused: bool = False,
) -> dict[str, list[Recording]]:
  """Split by name, such as a data set's official one.

  Args:
    recordings: recordings with unique ids.
    patterns: split -> ids, or shell patterns of ids (`drummer_1__*`).
    allow_unused: whether recordings may be in no split.

  Returns:
    Split -> its recordings, sorted by id.

  Raises:
    ValueError: repeated ids, an id or pattern that fits no recording, a recording in two splits or (unless
      `allow_unused`) in none, or an empty split.
  """
  by_id = _by_id(recordings)
  assigned = assign_ids(by_id, patterns, allow_unused=allow_unused)
  return {name: [by_id[id_] for id_ in ids] for name, ids in assigned.items()}


def assign_ids(
  ids: Iterable[str], patterns: Mapping[str, Iterable[str]], *, allow_unused: bool = False
) -> dict[str, list[str]]:
  """`explicit_split` on ids alone, for use before any signal is read."""
  ids = sorted(ids)
  owner: dict[str, str] = {}
  result = {}
  for split, entries in patterns.items():
    if isinstance(entries, str):
      raise ValueError(f"split {split!r} is the text {entries!r}; expected a list of ids or patterns")
    chosen: set[str] = set()
    for entry in entries:
      # An id may itself contain the characters of a pattern, so an exact match comes first.
      matches = [entry] if entry in ids else fnmatch.filter(ids, entry)
      if not matches:
        raise ValueError(f"split {split!r}: {entry!r} fits no recording; found {listing(ids)}")
      chosen.update(matches)
    if not chosen:
      raise ValueError(f"split {split!r} is empty; expected at least one recording")
    for id_ in sorted(chosen):
      if id_ in owner:
        raise ValueError(f"recording {id_!r} is in two splits, {owner[id_]!r} and {split!r}; expected one")
      owner[id_] = split
    result[split] = sorted(chosen)
  unused = [id_ for id_ in ids if id_ not in owner]
  if unused and not allow_unused:
    raise ValueError(
      f"{len(unused)} recordings are in no split: {listing(unused)}; expected every one"
      f" (or allow_unused=True)"
    )
  return result


def read_split(path: str | os.PathLike) -> dict[str, list[str]]:
  """Reads a table `id,split` into what `explicit_split` takes.

  Args:
    path: a csv file with the header `id,split`, one recording (or pattern of ids) per row; ids may be
      written as paths without extension, see `as_id`.

  Returns:
    Split -> ids, in the order of the file.

  Raises:
    FileNotFoundError: no such file.
    ValueError: no csv table in UTF-8, another header, a malformed row, an id given twice, or no row at all;
      the message names file and row.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f"no such file: {path}; expected a table with the header id,split")
  result: dict[str, list[str]] = {}
  row_of: dict[str, int] = {}
  for number, fields in read_rows(path, ["id", "split"]):
    if len(fields) != 2 or not all(fields):
      raise ValueError(f"{path}: row {number} is {fields}; expected an id and a split")
    id_, split = as_id(fields[0]), fields[1]
    if id_ in row_of:
      raise ValueError(f"{path}: row {number}: {id_!r} is in row {row_of[id_]} too; expected it once")
    row_of[id_] = number
    result.setdefault(split, []).append(id_)
  if not result:
    raise ValueError(f"{path}: no row after the header; expected an id and a split per row")
  return result


def as_id(text: str) -> str:
  """The id, or pattern of ids, that a table means, which may have it as a path without extension.

  >>> as_id("studio/*"), as_id("studio__take1")
  ('studio__*', 'studio__take1')
  """
  return text.replace("/", "__")


def read_rows(path: str | os.PathLike, header: Sequence[str]) -> list[tuple[int, list[str]]]:
  """Reads a csv table of names.

  Args:
    path: a csv file in UTF-8; rows without content are passed over.
    header: names of its columns.

  Returns:
    (line in the file, fields without blanks around them) of each row below the header.

  Raises:
    FileNotFoundError: no such file.
    ValueError: no text in UTF-8, no csv, or another header; the message names the file.
  """
  expected = f"expected a csv table in UTF-8 with the header {','.join(header)!r}"
  try:
    with open(path, encoding="utf-8-sig", newline="") as file:
      reader = csv.reader(file)
      rows = [(reader.line_num, [field.strip() for field in row]) for row in reader if any(row)]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f"{path}: cannot read as a table ({error}); {expected}") from error
  if not rows or rows[0][1] != list(header):
    found = ",".join(rows[0][1]) if rows else ""
    raise ValueError(f"{path}: the header is {found!r}; expected {','.join(header)!r}")
  return rows[1:]


def _by_id(recordings: Sequence[Recording]) -> dict[str, Recording]:
  """Id -> recording."""
  by_id: dict[str, Recording] = {}
  for recording in recordings:
    if recording.id in by_id:
      raise ValueError(f"two recordings have the id {recording.id!r}; expected unique ids")
    by_id[recording.id] = recording
  return by_id


def _sizes(num_recordings: int, fractions: Mapping[str, float]) -> dict[str, int]:
  """Whole sizes by largest remainder, none of them 0."""
  exact = {name: share * num_recordings for name, share in fractions.items()}
  # The small constant keeps 0.15 * 20 = 3.0000000000000004 and its like from deciding.
  sizes = {name: math.floor(size + 1e-9) for name, size in exact.items()}
  by_remainder = sorted(fractions, key=lambda name: sizes[name] - exact[name])
  for name in by_remainder[: num_recordings - sum(sizes.values())]:
    sizes[name] += 1
  for name in sizes:
    if sizes[name] == 0:
      sizes[max(sizes, key=sizes.__getitem__)] -= 1
      sizes[name] = 1
  return sizes


def listing(names: Sequence[str]) -> str:
  """The first five names, and how many more there are: for messages."""
  more = f" and {len(names) - 5} more" if len(names) > 5 else ""
  return ", ".join(names[:5]) + more
