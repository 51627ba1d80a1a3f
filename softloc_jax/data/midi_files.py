"""Reads MIDI files with mido, which is an extra: every note that is struck, however it ends.

Drum MIDI has notes of no length, and notes that nothing ends; libraries that make music of a file leave both
out.
"""

from __future__ import annotations

from collections.abc import Callable
import os
from typing import IO, Any, NamedTuple

import numpy as np

_DEFAULT_TEMPO = 500_000  # microseconds per quarter note where a file says nothing: 120 a minute


class Note(NamedTuple):
  """A note: onset and end in seconds, MIDI pitch, and velocity, 1 to 127.

  The end is that of its track where nothing ends it, and the onset where it ends at once.
  """

  start_s: float
  end_s: float
  pitch: int
  velocity: int


class ControlChange(NamedTuple):
  """A controller's new value, 0 to 127, at a time in seconds."""

  time_s: float
  number: int
  value: int


class Midi(NamedTuple):
  """What is played in a file, on all tracks and channels, in the order of time.

  Attributes:
    notes: every note-on of a velocity above 0.
    controls: such as the positions of a pedal.
  """

  notes: list[Note]
  controls: list[ControlChange]


def read(path: str | os.PathLike, file: IO[bytes] | None = None) -> Midi:
  """Reads a MIDI file.

  Args:
    path: what errors name, and what is read.
    file: is read instead, for files within archives.

  Raises:
    ImportError: mido is not installed.
    ValueError: not a MIDI file, or a damaged one.
  """
  try:
    import mido
  except ImportError as error:
    raise ImportError(f"{path}: reading MIDI needs mido: pip install softloc-jax[formats]") from error
  try:
    midi = mido.MidiFile(str(path) if file is None else None, file=file)
    if not midi.tracks:
      raise ValueError("no track in it")
    tracks = [_in_ticks(track) for track in midi.tracks]
    seconds = _seconds(tracks, midi.ticks_per_beat)
    notes = [note for track in tracks for note in _notes(track, seconds)]
    controls = [
      ControlChange(seconds(tick), event.control, event.value)
      for track in tracks
      for tick, event in track
      if event.type == "control_change"
    ]
  except Exception as error:  # the parser answers a damaged file with whatever it runs into
    raise ValueError(f"{path}: cannot read as MIDI: {type(error).__name__}: {error}") from error
  return Midi(sorted(notes), sorted(controls))


def _in_ticks(track: Any) -> list[tuple[int, Any]]:
  """(ticks since the start, event) of each event of a track."""
  ticks = np.cumsum([event.time for event in track], dtype=np.int64).tolist()
  return list(zip(ticks, track, strict=True))


def _seconds(tracks: list[list[tuple[int, Any]]], ticks_per_beat: int) -> Callable[[int], float]:
  """Time in seconds of a tick, by the tempos of the file."""
  # By tick, and the last said of those at one tick holds. They belong on the first track, but not all writers
  # know; whoever plays the file goes by all of them.
  tempo_at = {0: _DEFAULT_TEMPO}
  for track in tracks:
    tempo_at |= {tick: event.tempo for tick, event in track if event.type == "set_tempo"}
  ticks = np.array(sorted(tempo_at))
  s_per_tick = np.array([tempo_at[tick] for tick in ticks]) / (1e6 * ticks_per_beat)
  starts_s = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * s_per_tick[:-1])])

  def seconds(tick: int) -> float:
    last = np.searchsorted(ticks, tick, side="right") - 1
    return float(starts_s[last] + (tick - ticks[last]) * s_per_tick[last])

  return seconds


def _notes(track: list[tuple[int, Any]], seconds: Callable[[int], float]) -> list[Note]:
  """The notes of a track."""
  found = []
  sounding: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (channel, pitch) -> (onset, velocity)

  def end(key: tuple[int, int], struck: list[tuple[int, int]], tick: int) -> None:
    found.extend(Note(seconds(onset), seconds(tick), key[1], velocity) for onset, velocity in struck)

  for tick, event in track:
    if event.type not in ("note_on", "note_off"):
      continue
    key = (event.channel, event.note)
    if event.type == "note_on" and event.velocity > 0:
      sounding.setdefault(key, []).append((tick, event.velocity))
      continue
    struck = sounding.pop(key, [])
    earlier = [one for one in struck if one[0] < tick]
    # Where a note is struck again, the end of the first may come after the onset of the second.
    end(key, earlier or struck, tick)
    if earlier and len(earlier) < len(struck):
      sounding[key] = [one for one in struck if one[0] == tick]
  for key, struck in sounding.items():
    end(key, struck, track[-1][0])
  return found
