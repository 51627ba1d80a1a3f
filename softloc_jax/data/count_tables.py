"""Tables of how many events stretches of a recording hold: labels that say no times.

    start,end,label,count
    0,4,KD,7              seven
    0,4,SD,3-5            three to five
    4,8,KD,1+             one or more
    4,8,SD,?              nobody knows: as if the row were not there
    ,,HH,0                an empty start is that of the recording, an empty end its end; so is one up to
                          10 ms beyond it

A row may also hold an event of known time, of a class that is not counted: `1.25,,CR,` with neither end nor
count. So one table holds all that is known of a recording. Columns are separated by tabs or commas. What no
row speaks of is not known: a class without a row takes no part in training.
"""

from __future__ import annotations

import csv
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np

from softloc_jax.data import text_files
from softloc_jax.data.event_files import COUNT_HEADER as HEADER
from softloc_jax.data.recording import CountedWindow

_ROUNDING_S = 0.01  # whoever wrote down the end of the last window may have rounded it
_COUNT = re.compile(r"(\d+)(?:\.0*)?(?:-(\d+)|(\+))?")  # a spreadsheet may make 7.0 of 7


class Table(NamedTuple):
  """What a table says.

  Attributes:
    events: label -> sorted times in seconds, of classes with times.
    counted: label -> windows by their start, of classes with counts; an end that the table leaves open is
      infinite.
    is_whole: whether labels that are not in it have no event, as in a list of times; otherwise nothing is
      known of them.
  """

  events: dict[str, np.ndarray]
  counted: dict[str, list[CountedWindow]]
  is_whole: bool

  def until(self, duration_s: float) -> dict[str, list[CountedWindow]]:
    """The windows of a recording of this length: open ends, and those just beyond it, become its own."""
    longest_s = duration_s + _ROUNDING_S
    return {
      label: [
        one._replace(end_s=duration_s) if duration_s < one.end_s <= longest_s or one.end_s == np.inf else one
        for one in windows
      ]
      for label, windows in self.counted.items()
    }


def is_count_table(path: str | os.PathLike) -> bool:
  """Whether the first line of a text file that is not blank is the header `start,end,label,count`."""
  try:
    lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
  except UnicodeDecodeError:
    return False
  shown = next((line for line in lines if line.strip()), "")
  return _fields(shown.lower()) == HEADER


def read_counts(path: str | os.PathLike) -> Table:
  """Reads a table of counts.

  Args:
    path: a text file with the header `start,end,label,count`.

  Raises:
    FileNotFoundError: no such file.
    ValueError: no text in UTF-8, another header, or a row that makes no sense; the message names the file,
      the row (counted from 1, with the header), the value and what was expected.
  """
  path = pathlib.Path(path)
  numbered = enumerate(text_files.read(path).splitlines(), start=1)
  lines = [(number, line) for number, line in numbered if line.strip()]
  if not lines or _fields(lines[0][1].lower()) != HEADER:
    found = lines[0][1] if lines else ""
    raise ValueError(f"{path}: the header is {found!r}; expected {','.join(HEADER)!r}")
  times: dict[str, list[float]] = {}
  counted: dict[str, list[CountedWindow]] = {}
  for number, line in lines[1:]:
    where = f"{path}: row {number}"
    fields = _fields(line)
    if len(fields) != len(HEADER):
      raise ValueError(f"{where} has {len(fields)} columns; expected {len(HEADER)}: {','.join(HEADER)}")
    start, end, label, count = fields
    if not label:
      raise ValueError(f"{where}: the label is empty; expected a name")
    start_s = _seconds(where, "start", start, 0.0)
    if not count and not end and start:
      times.setdefault(label, []).append(start_s)
      continue
    end_s = _seconds(where, "end", end, np.inf)
    if end_s <= start_s:
      raise ValueError(f"{where}: the end, {end} s, is not after the start, {start_s:g} s")
    bounds = _bounds(where, count)
    if bounds is not None:
      counted.setdefault(label, []).append(CountedWindow(start_s, end_s, *bounds))
  both = sorted(set(times) & set(counted))
  if both:
    raise ValueError(f"{path}: class {both[0]!r} has times and counts; expected one kind of label")
  return Table(
    {label: np.sort(np.array(times[label])) for label in sorted(times)},
    {label: sorted(counted[label]) for label in sorted(counted)},
    is_whole=False,
  )


def format_count(low: int, high: int | None) -> str:
  """As a table has it.

  >>> format_count(3, 3), format_count(3, 5), format_count(1, None)
  ('3', '3-5', '1+')
  """
  return f"{low}+" if high is None else f"{low}" if low == high else f"{low}-{high}"


def _fields(line: str) -> tuple[str, ...]:
  """The fields of a line, stripped."""
  # One line at a time, so that a stray quotation mark cannot swallow the lines after it.
  fields = next(csv.reader([line], delimiter="\t" if "\t" in line else ","), [])
  return tuple(field.strip() for field in fields)


def _seconds(where: str, name: str, text: str, if_empty: float) -> float:
  if not text:
    return if_empty
  value = text_files.number(text)
  if value is None or not 0 <= value < np.inf:
    raise ValueError(f"{where}: {name} is {text!r}; expected seconds, a number >= 0, or nothing")
  return value


def _bounds(where: str, text: str) -> tuple[int, int | None] | None:
  """Least and largest count; None where nobody knows."""
  if text == "?":
    return None
  found = _COUNT.fullmatch(text)
  if found is None:
    raise ValueError(f"{where}: count is {text!r}; expected a number, or one like 3-5, 1+ or ?")
  low, high, more = found.groups()
  if high is not None and int(high) < int(low):
    raise ValueError(f"{where}: count is {text!r}; expected the smaller number first")
  return int(low), None if more else int(high or low)
