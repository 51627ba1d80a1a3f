"""Reads the files that hold a recording's events, its sidecars; `event_writers` writes them.

| extension | content | label |
|---|---|---|
| csv, tsv, txt | columns `time,label` or `time,label,confidence`, with or without this header | `label` |
| csv, tsv, txt | one column `time`, with or without this header | "event" |
| csv, tsv, txt | Audacity: start, end, label between tabs, no header; its time is the start | `label` |
| txt | MAPS: header `OnsetTime OffsetTime MidiPitch` | the pitch |
| jams | namespaces of `JAMS_NAMESPACES` | the value, or else the namespace |
| mid, midi | the notes of every instrument, drums too | the pitch |

Columns are separated by tabs, commas or blanks, whichever the first line shows. A file with a header and
nothing else says that there are no events; an empty file is refused, since it may as well be a lost one.
Without a header, so is what may mean something else: `0,512` in every row, which is a decimal comma or a time
and a class `512`, and classes such as `0.512`, which are times.
Tables of counts are read by `count_tables`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
import math
import os
import pathlib
import re

import numpy as np

from softloc_jax.data import midi_files, text_files

EXTENSIONS = (".csv", ".tsv", ".txt", ".jams", ".mid", ".midi")

# The label of events that a file gives no label for.
DEFAULT_LABEL = "event"

# JAMS namespaces whose observations are events; the others (chord, tempo, ...) are not read.
JAMS_NAMESPACES = ("onset", "beat", "tag_open", "segment_open", "note_midi")

# Of tables of counts, which are no lists of events: `count_tables` reads them.
COUNT_HEADER = ("start", "end", "label", "count")

_MAPS_HEADER = ("onsettime", "offsettime", "midipitch")

# How lines begin: a time with a decimal comma, and a time before a semicolon.
_DECIMAL_COMMA = re.compile(r'"?\d+,\d+"?(?=[\s,;]|$)')
_SEMICOLON = re.compile(r'"?\d+(?:[.,]\d+)?"?\s*;')
_FRACTION = re.compile(r"\d*\.\d+")


def read_events(path: str | os.PathLike, *, earliest_s: float = 0.0) -> dict[str, np.ndarray]:
  """Reads the events of one recording.

  Args:
    path: a csv, tsv, txt, jams, mid or midi file.
    earliest_s: times before this are refused; less than 0 for annotations that may begin a little early.

  Returns:
    Label -> sorted event times in seconds, float64. Repeated events are kept; confidences are not read.

  Raises:
    FileNotFoundError: no such file.
    ValueError: an unknown extension, an unreadable or empty file, or a malformed row; the message names the
      file, the row (counted from 1, with the header), the value and what was expected.
    ImportError: a JAMS or MIDI file without the extra that reads it.
  """
  path = pathlib.Path(path)
  extension = path.suffix.lower()
  if extension not in EXTENSIONS:
    raise ValueError(
      f"{path}: cannot read events from {extension!r}; expected one of {', '.join(EXTENSIONS)}"
    )
  if not path.is_file():
    raise FileNotFoundError(f"no such file: {path}")
  if extension == ".jams":
    pairs = _read_jams(path, earliest_s)
  elif extension in (".mid", ".midi"):
    pairs = _read_midi(path, earliest_s)
  else:
    pairs = _read_table(path, earliest_s)
  times: dict[str, list[float]] = {}
  for time_s, label in pairs:
    times.setdefault(label, []).append(time_s)
  return {label: np.sort(np.array(times[label], dtype=np.float64)) for label in sorted(times)}


def _read_table(path: pathlib.Path, earliest_s: float) -> list[tuple[float, str]]:
  """(time, label) per row of a text table."""
  lines = text_files.read(path).splitlines()
  rows = [
    (number, fields) for number, fields in enumerate(_split_fields(path, lines), start=1) if any(fields)
  ]
  if not rows:
    raise ValueError(
      f"{path}: the file is empty; expected a header `time,label`, alone if there are no events"
    )
  number, first = rows[0]
  names = tuple(name.lower() for name in first)
  _refuse_decimal_commas(path, lines)
  has_header = text_files.number(first[0]) is None
  if not has_header:
    columns = _columns_without_header(path, rows, is_tabbed="\t" in lines[number - 1])
  else:
    columns = _columns_of_header(path, number, names)
    rows = rows[1:]
  pairs = [_parse_row(path, row, fields, columns, earliest_s) for row, fields in rows]
  if not has_header:
    _refuse_times_as_labels(path, number, [label for _, label in pairs])
  return pairs


def _split_fields(path: pathlib.Path, lines: list[str]) -> list[list[str]]:
  """The fields of every line, stripped; the first line that is not blank shows the separator."""
  shown = next((line for line in lines if line.strip()), "")
  delimiter = "\t" if "\t" in shown else "," if "," in shown else None
  if delimiter is None:
    return [line.split() for line in lines]
  try:
    # One line at a time, so that a stray quotation mark cannot swallow the lines after it.
    split = [next(csv.reader([line], delimiter=delimiter, strict=True), []) for line in lines]
  except csv.Error as error:
    raise ValueError(f"{path}: {error}; expected fields separated by {delimiter!r}") from error
  return [[field.strip() for field in fields] for fields in split]


def _refuse_decimal_commas(path: pathlib.Path, lines: Sequence[str]) -> None:
  """Refuses what is written where the comma is the decimal mark, in a file without a header."""
  shown = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
  if not shown[0][1].lstrip('"')[:1].isdigit():
    return
  for number, line in shown:
    if _SEMICOLON.match(line):
      raise ValueError(
        f"{path}: row {number} is {line!r}, with a semicolon after the time; expected columns separated by"
        f" tabs, commas or blanks, and times with a decimal point"
      )
  # One time with a point shows that commas separate: a time of 0 s may well stand before a pitch. So does a
  # confidence with one.
  if all(_DECIMAL_COMMA.match(line) and not _FRACTION.fullmatch(_last_field(line)) for _, line in shown):
    number, line = shown[0]
    raise ValueError(
      f"{path}: row {number} is {line!r}, and every row may begin with a decimal comma; expected times with a"
      f" decimal point, or the header `time,label` if commas separate"
    )


def _last_field(line: str) -> str:
  return line.rsplit(",", 1)[-1].strip()


def _columns_of_header(path: pathlib.Path, number: int, names: tuple[str, ...]) -> dict[str, int]:
  """Role -> column, where "width" is the number of columns."""
  if names == COUNT_HEADER:
    raise ValueError(f"{path}: holds counts of windows ({','.join(names)}); expected times of events")
  if names == _MAPS_HEADER:
    return {"time": 0, "pitch": 2, "width": 3}
  columns = {name: names.index(name) for name in ("time", "label", "confidence") if name in names}
  needs_label = bool(set(names) - {"time", "confidence"})
  if "time" not in columns or (needs_label and "label" not in columns) or len(set(names)) != len(names):
    raise ValueError(
      f"{path}: row {number} is {', '.join(names)!r}; expected a time in seconds, or a header with the"
      f" columns time and label (time alone where all events are of one kind), or OnsetTime OffsetTime"
      f" MidiPitch, or for counts start,end,label,count"
    )
  return {**columns, "width": len(names)}


def _columns_without_header(
  path: pathlib.Path, rows: Sequence[tuple[int, list[str]]], *, is_tabbed: bool
) -> dict[str, int]:
  """Columns in the order time, label, confidence, or start, end, label."""
  number, first = rows[0]
  if len(first) > 3:
    raise ValueError(
      f"{path}: row {number} has {len(first)} columns without a header; expected time, label, confidence"
    )
  roles = ("time", "label", "confidence")[: len(first)]
  if is_tabbed and _are_intervals([fields for _, fields in rows]):
    roles = ("time", "end", "label")
  return {**{role: column for column, role in enumerate(roles)}, "width": len(first)}


def _are_intervals(rows: Sequence[list[str]]) -> bool:
  """Whether rows are start, end, label: the second column holds numbers, not all whole as pitches are."""
  seconds = [fields[1] for fields in rows if len(fields) == 3]
  return (
    len(seconds) == len(rows)
    and all(text_files.number(text) is not None for text in seconds)
    and any(_FRACTION.fullmatch(text) for text in seconds)
  )


def _refuse_times_as_labels(path: pathlib.Path, number: int, labels: Sequence[str]) -> None:
  """Refuses rows without labels, of which the second time would become a class; `number` is the first's."""
  if all(_FRACTION.fullmatch(label) for label in labels):
    raise ValueError(
      f"{path}: row {number}: the label is {labels[0]!r}, and every row has such a number; expected a name"
      f" (times alone are one column, and under the header `time,label` any text is a name)"
    )


def _parse_row(
  path: pathlib.Path, number: int, fields: list[str], columns: Mapping[str, int], earliest_s: float
) -> tuple[float, str]:
  """One (time, label); the row's number is for the message."""
  where = f"{path}: row {number}"
  if len(fields) != columns["width"]:
    raise ValueError(f"{where} has {len(fields)} columns ({fields}); expected {columns['width']}")
  time_s = text_files.number(fields[columns["time"]])
  if time_s is None or not math.isfinite(time_s) or time_s < earliest_s:
    shown = fields[columns["time"]]
    raise ValueError(f"{where}: time is {shown!r}; expected seconds, a number >= {earliest_s:g}")
  if "pitch" in columns:
    pitch = fields[columns["pitch"]]
    if not pitch.isdecimal():
      raise ValueError(f"{where}: MidiPitch is {pitch!r}; expected a whole number")
    return time_s, str(int(pitch))
  if "end" in columns and not (end_s := text_files.number(fields[columns["end"]])) >= time_s:
    raise ValueError(f"{where}: end is {end_s}; expected seconds, a number >= the start of {time_s}")
  # Not used, but a column that does not hold numbers is not a confidence: the file means something else.
  confidence = fields[columns["confidence"]] if "confidence" in columns else ""
  if confidence and text_files.number(confidence) is None:
    raise ValueError(f"{where}: confidence is {confidence!r}; expected a number")
  label = fields[columns["label"]] if "label" in columns else DEFAULT_LABEL
  if not label:
    raise ValueError(f"{where}: the label is empty; expected a name")
  return time_s, label


def _read_jams(path: pathlib.Path, earliest_s: float) -> list[tuple[float, str]]:
  """(time, label) per observation of the event namespaces."""
  try:
    import jams
  except ImportError as error:
    raise ImportError(f"{path}: reading JAMS needs jams: pip install softloc-jax[formats]") from error
  # Whatever is wrong in the file, from its JSON to its schema, ends here under the file's name. Only what is
  # read is validated: a tempo without confidence, as many files have it, is no reason to refuse the events.
  try:
    annotations = jams.load(str(path), validate=False).annotations
    for annotation in annotations:
      if annotation.namespace in JAMS_NAMESPACES:
        annotation.validate(strict=True)
    found = [(a.namespace, [(obs.time, obs.value) for obs in a.data]) for a in annotations]
  except Exception as error:
    raise ValueError(f"{path}: cannot read as JAMS: {type(error).__name__}: {error}") from error
  namespaces = [namespace for namespace, _ in found]
  if not set(namespaces) & set(JAMS_NAMESPACES):
    raise ValueError(
      f"{path}: holds annotations of {sorted(set(namespaces))}; expected one of {', '.join(JAMS_NAMESPACES)}"
    )
  for namespace in ("onset", "beat"):
    if namespaces.count(namespace) > 1:
      raise ValueError(
        f"{path}: holds {namespaces.count(namespace)} {namespace} annotations, which would count every event"
        f" as often; expected one: keep one annotator's"
      )
  pairs = []
  for namespace, observations in found:
    if namespace in JAMS_NAMESPACES:
      pairs += [
        (_checked_time(path, time_s, earliest_s), _jams_label(namespace, value))
        for time_s, value in observations
      ]
  return pairs


def _jams_label(namespace: str, value) -> str:
  """A beat's value is its place in the bar and an onset has none: neither is a class."""
  if namespace == "note_midi":
    return str(round(value))  # JAMS allows fractions of a semitone
  if namespace in ("onset", "beat") or not str(value).strip():
    return namespace
  return str(value).strip()


def _read_midi(path: pathlib.Path, earliest_s: float) -> list[tuple[float, str]]:
  """(onset, pitch) of every note."""
  notes = midi_files.read(path).notes
  return [(_checked_time(path, note.start_s, earliest_s), str(note.pitch)) for note in notes]


def _checked_time(path: pathlib.Path, time_s: float, earliest_s: float) -> float:
  """A finite time that is not too early."""
  if not (math.isfinite(time_s) and time_s >= earliest_s):
    raise ValueError(f"{path}: event at {time_s} s; expected a time >= {earliest_s:g} s")
  return float(time_s)
