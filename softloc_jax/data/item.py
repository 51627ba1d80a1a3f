"""One recording of a distribution before anything of it is read."""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Item:
  """Where a recording's files are, and what the data set's splits go by.

  Attributes:
    id: unique within the data set; the id of the recording.
    signal_path: audio file.
    label_path: annotation file.
    group: what official splits keep together: instrument, subset or drummer.
  """

  id: str
  signal_path: pathlib.Path
  label_path: pathlib.Path
  group: str
