"""Reads MIDI files with pretty_midi, which is an extra."""

from __future__ import annotations

import os
from typing import IO, Any


def read(path: str | os.PathLike, file: IO[bytes] | None = None) -> Any:
  """A `pretty_midi.PrettyMIDI`.

  Args:
    path: what errors name, and what is read.
    file: is read instead, for files within archives.

  Raises:
    ImportError: pretty_midi is not installed.
    ValueError: not a MIDI file, or a damaged one.
  """
  try:
    import pretty_midi
  except ImportError as error:
    raise ImportError(f"{path}: reading MIDI needs pretty_midi: pip install softloc-jax[formats]") from error
  try:
    return pretty_midi.PrettyMIDI(str(path) if file is None else file)
  except Exception as error:  # the parser answers a damaged file with whatever it runs into
    raise ValueError(f"{path}: cannot read as MIDI: {type(error).__name__}: {error}") from error
