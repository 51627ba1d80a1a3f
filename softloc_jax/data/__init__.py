"""Data sets: one file each, every one yielding the same `Recording`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from softloc_jax.data.loaders import LOADERS
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import SPLITS

__all__ = ["LOADERS", "SPLITS", "Recording", "load", "load_replicas"]


def load(config: Any) -> dict[str, Sequence[Recording]]:
  """The recordings of each split, conditioned and checked.

  Args:
    config: `name` (a key of `LOADERS`), `classes`, `conditioning` (None for recordings that are made
      when they are asked for), and what that data set takes.

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
    if config.conditioning is None:  # made when they are asked for, as they are to be
      by_split[split] = recordings
      recording.validate(recordings[0], config.classes)
      continue
    by_split[split] = [condition.condition(one, **dict(config.conditioning)) for one in recordings]
    for one in by_split[split]:
      recording.validate(one, config.classes)
  return by_split


def load_replicas(config: Any) -> list[dict[str, Sequence[Recording]]]:
  """The splits of each replica of an experiment: all the same, or, with `split_by`, each its own.

  So the runs of a cross-validation are trained together. A recording in several splits is in memory once.

  Args:
    config: of the experiment: `data`, `num_replicas`, and `split_by`, a key of `data` that is as given for
      the first replica and one more for each that follows ("" for the same splits).

  Raises:
    ValueError: `split_by` is no key of `data` with a whole number; see also `load`.
  """
  split_by = config.get("split_by", "")
  if not split_by:
    return [load(config.data)] * config.num_replicas
  first = config.data.get(split_by)
  if not isinstance(first, int):
    raise ValueError(f"split_by is {split_by!r}; expected a key of data with a whole number, or ''")
  known: dict[str, Recording] = {}
  replicas = []
  for number in range(config.num_replicas):
    data = config.data.copy_and_resolve_references()
    with data.unlocked():
      data[split_by] = first + number
    splits = load(data)
    replicas.append({name: [_shared(known, one) for one in split] for name, split in splits.items()})
  return replicas


def _shared(known: dict[str, Recording], one: Recording) -> Recording:
  """The same recording of an earlier split, if there is one."""
  other = known.setdefault(one.id, one)
  return one.replace(signal=other.signal) if np.array_equal(one.signal, other.signal) else one
