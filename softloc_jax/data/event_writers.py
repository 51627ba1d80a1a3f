"""Writes a recording's events: tables, JAMS, MIDI, and layers of Sonic Visualiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
import importlib.util
import os
import pathlib
from xml.etree import ElementTree

import numpy as np

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
EXTENSIONS = (*_DELIMITERS, ".jams", ".mid", ".svl")

# Keys of General MIDI's drum kit.
_DRUM_KEYS = {"KD": 36, "SD": 38, "HH": 42, "TT": 47, "CY": 49, "OT": 56}
_FIRST_FREE_KEY = 60
# pretty_midi reads no file of more ticks; less than this many in half a second are no longer precise.
_MOST_TICKS, _FEWEST_TICKS = 9.9e6, 100
_NOTE_S = 0.05


def write_events(
  path: str | os.PathLike,
  events: Mapping[str, Sequence[float] | np.ndarray],
  confidence: Mapping[str, Sequence[float] | np.ndarray] | None = None,
  *,
  overwrite: bool = False,
  duration_s: float | None = None,
  sample_rate_hz: float = 44100.0,
) -> None:
  """Writes events in the order of time: tables `time,label[,confidence]`, JAMS, MIDI or a layer.

  The file appears whole or not at all. A class without events leaves no row, so it is not read back.

  JAMS holds events as `tag_open` with their confidences. A layer of Sonic Visualiser (svl) has instants with
  labels. MIDI has short notes, as loud as they are sure: a class whose name is a number is that key, drums
  are those of General MIDI, and other classes take keys from 60 on, in order.

  Args:
    path: a file with one of `EXTENSIONS`, in an existing folder.
    events: label -> times in seconds; tables have 6 decimals.
    confidence: label -> one number per time, in the order of `events`; None writes no such column.
    overwrite: whether an existing file may be replaced.
    duration_s: length of the recording, which JAMS wants to know; None takes the last event's time.
    sample_rate_hz: of the recording's file, in whose samples a layer of Sonic Visualiser counts.

  Raises:
    FileExistsError: the file exists and `overwrite` is False.
    FileNotFoundError: the folder does not exist.
    ValueError: another extension, a time or confidence that is not finite, a negative time, a label that
      would not be read back as it is, confidences that do not fit the events, or more classes than MIDI has
      keys.
    ImportError: JAMS or MIDI without the extra that writes it.
  """
  path = pathlib.Path(path)
  extension = path.suffix.lower()
  if extension not in EXTENSIONS:
    raise ValueError(
      f"{path}: cannot write events as {path.suffix!r}; expected one of {', '.join(EXTENSIONS)}"
    )
  if not path.parent.is_dir():
    raise FileNotFoundError(f"no such folder: {path.parent}")
  if path.exists() and not overwrite:
    raise FileExistsError(f"{path} exists; overwrite=True would replace it")
  rows = _rows_to_write(path, events, confidence)
  partial = path.with_name(f".{path.stem}.{os.getpid()}.tmp{extension}")
  try:
    if extension in _DELIMITERS:
      with open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=_DELIMITERS[extension], lineterminator="\n")
        writer.writerow(("time", "label") if confidence is None else ("time", "label", "confidence"))
        writer.writerows(rows)
    else:
      last_s = max([0.0, *(float(row[0]) for row in rows)])
      _write_annotation(
        partial, path.stem, events, confidence, duration_s=duration_s or last_s, sample_rate_hz=sample_rate_hz
      )
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)


def check_available(extensions: Sequence[str]) -> None:
  """Refuses formats whose library is missing, before there is anything to write.

  Raises:
    ImportError: naming the format and what to install.
  """
  for extension, module in (("jams", "jams"), ("mid", "pretty_midi")):
    if f".{extension}" in extensions and importlib.util.find_spec(module) is None:
      raise ImportError(f"writing {extension} needs {module}: pip install softloc-jax[formats]")


def _rows_to_write(path: pathlib.Path, events: Mapping, confidence: Mapping | None) -> list[tuple[str, ...]]:
  """Checked rows of text, sorted by time and then label."""
  if confidence is not None and set(confidence) != set(events):
    raise ValueError(
      f"{path}: confidence is given for {sorted(confidence)}; expected the events' labels {sorted(events)}"
    )
  rows = []
  for label, times_s in events.items():
    if not label or label != label.strip() or len(label.splitlines()) != 1:
      raise ValueError(f"{path}: label {label!r}; expected text in one line, without blanks at its ends")
    times_s = np.asarray(times_s, dtype=np.float64)
    columns = [times_s]
    if times_s.ndim != 1 or not (np.isfinite(times_s) & (times_s >= 0)).all():
      raise ValueError(f"{path}: times of {label!r}; expected a list of finite times >= 0 s, found {times_s}")
    if confidence is not None:
      columns.append(np.asarray(confidence[label], dtype=np.float64))
      if columns[1].shape != times_s.shape or not np.isfinite(columns[1]).all():
        raise ValueError(
          f"{path}: confidence of {label!r}; expected {len(times_s)} finite numbers, found {columns[1]}"
        )
    rows += [(row[0], label, *row[1:]) for row in zip(*columns, strict=True)]
  return [(f"{time:.6f}", label, *(f"{c:.6f}" for c in rest)) for time, label, *rest in sorted(rows)]


def _write_annotation(
  path: pathlib.Path,
  name: str,
  events: Mapping,
  confidence: Mapping | None,
  *,
  duration_s: float,
  sample_rate_hz: float,
) -> None:
  """JAMS, MIDI or a layer."""
  rows = sorted(
    (float(time_s), label, None if confidence is None else float(confidence[label][number]))
    for label, times_s in events.items()
    for number, time_s in enumerate(times_s)
  )
  if path.suffix == ".jams":
    _write_jams(path, rows, duration_s)
  elif path.suffix == ".svl":
    _write_layer(path, name, rows, sample_rate_hz)
  else:
    _write_midi(path, name, rows, list(events))


def _write_jams(path: pathlib.Path, rows, duration_s: float) -> None:
  check_available([".jams"])
  import jams

  annotation = jams.Annotation(namespace="tag_open", time=0, duration=duration_s)
  annotation.annotation_metadata = jams.AnnotationMetadata(
    annotation_tools="softloc_jax", data_source="program"
  )
  for time_s, label, sure in rows:
    annotation.append(time=time_s, duration=0.0, value=label, confidence=sure)
  document = jams.JAMS(annotations=[annotation])
  document.file_metadata.duration = duration_s
  document.save(str(path))


def _write_layer(path: pathlib.Path, name: str, rows, sample_rate_hz: float) -> None:
  """The XML that Sonic Visualiser exports for a layer of time instants."""
  rate = round(sample_rate_hz)
  if rate < 1:
    raise ValueError(
      f"{name}: a layer counts in samples, but there are {sample_rate_hz} a second; expected 1 or more"
    )
  frames = [round(time_s * rate) for time_s, _, _ in rows]
  root = ElementTree.Element("sv")
  data = ElementTree.SubElement(root, "data")
  ElementTree.SubElement(
    data,
    "model",
    {
      "id": "1",
      "name": name,
      "sampleRate": str(rate),
      "start": str(min(frames, default=0)),
      "end": str(max(frames, default=0) + 1),
      "type": "sparse",
      "dimensions": "1",
      "resolution": "1",
      "notifyOnAdd": "true",
      "dataset": "0",
    },
  )
  points = ElementTree.SubElement(data, "dataset", {"id": "0", "dimensions": "1"})
  for frame, (_, label, sure) in zip(frames, rows, strict=True):
    text = label if sure is None else f"{label} {sure:.2f}"
    ElementTree.SubElement(points, "point", {"frame": str(frame), "label": text})
  display = ElementTree.SubElement(root, "display")
  layer = {"id": "2", "type": "timeinstants", "name": name, "model": "1", "plotStyle": "0"}
  ElementTree.SubElement(display, "layer", layer | {"colourName": "Orange", "colour": "#ff8800"})
  ElementTree.indent(root)
  text = ElementTree.tostring(root, encoding="unicode")
  path.write_text(
    f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE sonic-visualiser>\n{text}\n', encoding="utf-8"
  )


def _write_midi(path: pathlib.Path, name: str, rows, labels: list[str]) -> None:
  check_available([".mid"])
  import pretty_midi

  keys = _keys(name, labels)
  drums = bool(labels) and all(label in _DRUM_KEYS for label in labels)
  instrument = pretty_midi.Instrument(program=0, is_drum=drums)
  for time_s, label, sure in rows:
    velocity = 100 if sure is None else int(np.clip(round(127 * sure), 1, 127))
    instrument.notes.append(pretty_midi.Note(velocity, keys[label], time_s, time_s + _NOTE_S))
  document = pretty_midi.PrettyMIDI(resolution=_resolution(name, max((row[0] for row in rows), default=0.0)))
  document.instruments.append(instrument)
  document.write(str(path))


def _resolution(name: str, last_s: float) -> int:
  """Ticks per half a second: as fine as readers, which refuse large numbers of ticks, let it be."""
  resolution = min(960, int(_MOST_TICKS / (2 * (last_s + 1))))
  if resolution < _FEWEST_TICKS:
    raise ValueError(
      f"{name}: an event at {last_s:.0f} s; expected at most {_MOST_TICKS / (2 * _FEWEST_TICKS):.0f} s, as"
      f" MIDI files hold {_MOST_TICKS:.0f} ticks of {500 / _FEWEST_TICKS:g} ms"
    )
  return resolution


def _keys(name: str, labels: list[str]) -> dict[str, int]:
  keys = {label: int(label) for label in labels if label.isdecimal() and int(label) < 128}
  keys |= {label: _DRUM_KEYS[label] for label in labels if label in _DRUM_KEYS}
  free = iter(
    [key for key in (*range(_FIRST_FREE_KEY, 128), *range(_FIRST_FREE_KEY)) if key not in keys.values()]
  )
  for label in labels:
    if label not in keys:
      key = next(free, None)
      if key is None:
        raise ValueError(f"{name}: {len(labels)} classes; MIDI has 128 keys")
      keys[label] = key
  by_key: dict[int, str] = {}
  for label, key in keys.items():
    if by_key.setdefault(key, label) != label:
      raise ValueError(
        f"{name}: classes {by_key[key]!r} and {label!r} are both key {key} of MIDI; expected one of them"
      )
  return keys
