"""Data sets: one file each, every one yielding the same `Recording`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softloc_jax.data.loaders import LOADERS
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import SPLITS

__all__ = ["LOADERS", "SPLITS", "Recording", "load"]


def load(config: Any) -> dict[str, Sequence[Recording]]:
  """The recordings of each split, conditioned and checked.

  Args:
    config: `name` (a key of `LOADERS`), `classes`, `conditioning`, and what that data set takes.

  Returns:
    "train", "validation" and "test" -> recordings.

  Raises:
    FileNotFoundError: a missing folder or file.
    ValueError: an unknown data set, a split without recordings, a record in two splits, or recordings
      that would spoil training (see `recording.validate`).
  """
  from softloc_jax.data import condition, recording

  if config.name not in LOADERS:
    raise ValueError(f"data.name is {config.name!r}; expected one of {', '.join(LOADERS)}")
  by_split: dict[str, Sequence[Recording]] = {}
  for split, recordings in LOADERS[config.name](config).items():
    if not recordings:
      raise ValueError(f"data: the split {split!r} has no recording; expected one or more")
    by_split[split] = [condition.condition(one, **dict(config.conditioning)) for one in recordings]
    for one in by_split[split]:
      recording.validate(one, config.classes)
  return by_split
