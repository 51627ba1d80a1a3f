"""Writes events in the formats of other programs: JAMS, MIDI, and layers of Sonic Visualiser."""

from __future__ import annotations

from collections.abc import Mapping
import os
import pathlib
from xml.etree import ElementTree

import numpy as np

EXTENSIONS = (".jams", ".mid", ".svl")

# Keys of General MIDI's drum kit.
_DRUM_KEYS = {"KD": 36, "SD": 38, "HH": 42, "TT": 47, "CY": 49, "OT": 56}
_FIRST_FREE_KEY = 60
_NOTE_S = 0.05

Events = Mapping[str, np.ndarray]


def write(
  path: str | os.PathLike,
  events: Events,
  confidence: Events | None,
  *,
  duration_s: float,
  sample_rate_hz: float,
) -> None:
  """Writes the events of one recording in the format of the extension.

  JAMS holds them as `tag_open` with their confidences. A layer of Sonic Visualiser has instants with labels.
  MIDI has short notes, as loud as they are sure: a class whose name is a number is that key, drums are those
  of General MIDI, and other classes take keys from 60 on, in order.

  Args:
    path: where it goes; an existing file is replaced.
    events: label -> times in seconds.
    confidence: label -> one number per time; None for no confidence.
    duration_s: length of the recording (JAMS).
    sample_rate_hz: of the recording's file, in whose samples a layer counts.

  Raises:
    ImportError: without the extra that writes the format.
    ValueError: another extension, or more classes than MIDI has keys.
  """
  path = pathlib.Path(path)
  if path.suffix not in EXTENSIONS:
    raise ValueError(f"{path}: cannot write {path.suffix!r}; expected one of {', '.join(EXTENSIONS)}")
  rows = sorted(
    (float(time_s), label, None if confidence is None else float(confidence[label][number]))
    for label, times_s in events.items()
    for number, time_s in enumerate(times_s)
  )
  if path.suffix == ".jams":
    _write_jams(path, rows, duration_s)
  elif path.suffix == ".svl":
    _write_layer(path, rows, sample_rate_hz)
  else:
    _write_midi(path, rows, list(events))


def _write_jams(path: pathlib.Path, rows, duration_s: float) -> None:
  try:
    import jams
  except ImportError as error:
    raise ImportError(f"{path}: writing JAMS needs jams: pip install softloc-jax[formats]") from error
  annotation = jams.Annotation(namespace="tag_open", time=0, duration=duration_s)
  annotation.annotation_metadata = jams.AnnotationMetadata(
    annotation_tools="softloc_jax", data_source="program"
  )
  for time_s, label, sure in rows:
    annotation.append(time=time_s, duration=0.0, value=label, confidence=sure)
  document = jams.JAMS(annotations=[annotation])
  document.file_metadata.duration = duration_s
  document.save(str(path))


def _write_layer(path: pathlib.Path, rows, sample_rate_hz: float) -> None:
  """The XML that Sonic Visualiser exports for a layer of time instants."""
  rate = round(sample_rate_hz)
  frames = [round(time_s * rate) for time_s, _, _ in rows]
  root = ElementTree.Element("sv")
  data = ElementTree.SubElement(root, "data")
  ElementTree.SubElement(
    data,
    "model",
    {
      "id": "1",
      "name": path.stem,
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
  layer = {"id": "2", "type": "timeinstants", "name": path.stem, "model": "1", "plotStyle": "0"}
  ElementTree.SubElement(display, "layer", layer | {"colourName": "Orange", "colour": "#ff8800"})
  ElementTree.indent(root)
  text = ElementTree.tostring(root, encoding="unicode")
  path.write_text(
    f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE sonic-visualiser>\n{text}\n', encoding="utf-8"
  )


def _write_midi(path: pathlib.Path, rows, labels: list[str]) -> None:
  try:
    import pretty_midi
  except ImportError as error:
    raise ImportError(f"{path}: writing MIDI needs pretty_midi: pip install softloc-jax[formats]") from error
  keys = _keys(path, labels)
  drums = bool(labels) and all(label in _DRUM_KEYS for label in labels)
  instrument = pretty_midi.Instrument(program=0, is_drum=drums)
  for time_s, label, sure in rows:
    velocity = 100 if sure is None else int(np.clip(round(127 * sure), 1, 127))
    instrument.notes.append(pretty_midi.Note(velocity, keys[label], time_s, time_s + _NOTE_S))
  document = pretty_midi.PrettyMIDI(resolution=960)
  document.instruments.append(instrument)
  document.write(str(path))


def _keys(path: pathlib.Path, labels: list[str]) -> dict[str, int]:
  keys = {label: int(label) for label in labels if label.isdecimal() and int(label) < 128}
  keys |= {label: _DRUM_KEYS[label] for label in labels if label in _DRUM_KEYS}
  free = iter(
    [key for key in (*range(_FIRST_FREE_KEY, 128), *range(_FIRST_FREE_KEY)) if key not in keys.values()]
  )
  for label in labels:
    if label not in keys:
      key = next(free, None)
      if key is None:
        raise ValueError(f"{path}: {len(labels)} classes; MIDI has 128 keys")
      keys[label] = key
  return keys
