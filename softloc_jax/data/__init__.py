"""Data sets: one file each, every one yielding the same `Recording`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

from softloc_jax.data.recording import Recording

SPLITS = ("train", "validation", "test")


def load(config: Any) -> dict[str, Sequence[Recording]]:
  """The recordings of each split, conditioned and checked.

  Args:
    config: `name` ("drum_machine", "mitdb" or "folder"), `classes`, and what that data set takes.

  Returns:
    "train", "validation" and "test" -> recordings.

  Raises:
    FileNotFoundError: a missing folder or file.
    ValueError: an unknown data set, a split without recordings, a record in two splits, or recordings
      that would spoil training (see `recording.validate`).
  """
  if config.name not in _LOADERS:
    raise ValueError(f"data.name is {config.name!r}; expected one of {', '.join(_LOADERS)}")
  return _LOADERS[config.name](config)


def _drum_machine(config: Any) -> dict[str, Sequence[Recording]]:
  from softloc_jax.data import drum_machine

  sizes = {"train": config.num_train, "validation": config.num_validation, "test": config.num_test}
  splits = {
    split: list(
      drum_machine.DrumMachine(
        split,
        num_recordings=size,
        seed=config.seed,
        duration_s=config.duration_s,
        sample_rate_hz=config.sample_rate_hz,
        clutter=config.clutter,
      )
    )
    for split, size in sizes.items()
  }
  return _conditioned(splits, config)


def _mitdb(config: Any) -> dict[str, Sequence[Recording]]:
  from softloc_jax.data import mitdb

  names = {split: tuple(config[split]) for split in SPLITS}
  wanted = sorted(name for records in names.values() for name in records)  # load refuses repeated ones
  by_id = {record.id: record for record in mitdb.load(config.data_dir, wanted)}
  return _conditioned({split: [by_id[name] for name in names[split]] for split in SPLITS}, config)


def _folder(config: Any) -> dict[str, Sequence[Recording]]:
  """Splits as the folder's split.csv says, or else at random by recording."""
  from softloc_jax.data import folder, splits

  classes = tuple(config.classes)
  if (pathlib.Path(config.data_dir) / folder.SPLIT_FILE).exists():
    by_split = {split: folder.load(config.data_dir, classes=classes, split=split) for split in SPLITS}
  else:
    by_split = splits.split_by_recording(
      folder.load(config.data_dir, classes=classes),
      fractions={split: config.fractions[split] for split in SPLITS},
      seed=config.seed,
    )
  return _conditioned(by_split, config)


def _conditioned(by_split: Mapping[str, Sequence[Recording]], config: Any) -> dict[str, Sequence[Recording]]:
  from softloc_jax.data import condition, recording

  out: dict[str, Sequence[Recording]] = {}
  for split, recordings in by_split.items():
    if not recordings:
      raise ValueError(f"data: the split {split!r} has no recording; expected one or more")
    out[split] = [condition.condition(one, **dict(config.conditioning)) for one in recordings]
    for one in out[split]:
      recording.validate(one, config.classes)
  return out


_LOADERS = {"drum_machine": _drum_machine, "mitdb": _mitdb, "folder": _folder}
