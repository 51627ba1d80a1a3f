"""What `softloc-jax train` does: a folder of recordings with labels to a trained network."""

from __future__ import annotations

from collections.abc import Sequence
import os
import pathlib
from typing import Any

from softloc_jax import recipes, train
from softloc_jax.data import folder as folder_lib
from softloc_jax.data import signal_files
from softloc_jax.data.splits import DEFAULT_FRACTIONS


def train_folder(
  folder: str | os.PathLike,
  out: str | os.PathLike,
  *,
  learn: str = "times",
  kind: str | None = None,
  classes: Sequence[str] | None = None,
  steps: int | None = None,
  softness_ms: float = 50.0,
  min_gap_ms: float | None = None,
  rate_hz: float = 0.0,
  seed: int = 0,
) -> dict[str, Any]:
  """Trains on a folder (see `data.folder`) with settings that suit its kind of signal, and tests the network.

  Splits are those of the folder's `split.csv`, or else 70/15/15 by recording.

  Args:
    folder: of recordings with sidecar label files.
    out: gets the training; one that was interrupted goes on.
    learn: from "counts" of windows alone, or from "times" that are roughly right.
    kind: "audio" or "sensor"; None goes by the files.
    classes: labels that may occur; None takes those found.
    steps: of the training; None takes the kind's.
    softness_ms: standard deviation of the times' errors.
    min_gap_ms: least time between two events of a class; None goes by the labels.
    rate_hz: what signals are resampled to; 0 takes the kind's.
    seed: of the training.

  Returns:
    What `train.train_and_evaluate` returns.

  Raises:
    FileNotFoundError, ValueError: naming the file or argument, before any training.
  """
  folder = pathlib.Path(folder)
  recordings = folder_lib.load(folder, classes=classes)
  settings = {} if min_gap_ms is None else {"min_gap_s": min_gap_ms / 1000}
  config = recipes.for_recordings(
    recordings,
    kind=kind or kind_of(folder),
    classes=classes,
    sample_rate_hz=rate_hz,
    softness_s=softness_ms / 1000 if learn == "times" else 0.0,
    **settings,
  )
  config.seed = seed
  if steps:
    config.num_steps, config.eval_every = steps, max(steps // 3, 1)
    config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, steps // 4)
  config.data.update(
    {"name": "folder", "data_dir": str(folder), "fractions": dict(DEFAULT_FRACTIONS), "seed": 0}
  )
  return train.train_and_evaluate(config.lock(), out)


def kind_of(folder: pathlib.Path) -> str:
  """Audio, if the folder holds any audio file."""
  audio = any(path.suffix.lower() in signal_files.AUDIO_EXTENSIONS for path in folder.rglob("*"))
  return "audio" if audio else "sensor"
