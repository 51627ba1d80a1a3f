"""What `softloc-jax train` does: a folder of recordings with labels to a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import pathlib
from typing import Any

from softloc_jax import pretrained, recipes, train
from softloc_jax.data import folder as folder_lib
from softloc_jax.data import signal_files
from softloc_jax.data.recording import digest
from softloc_jax.data.splits import DEFAULT_FRACTIONS, listing


def train_folder(
  folder: str | os.PathLike,
  out: str | os.PathLike,
  *,
  learn: str = "times",
  kind: str | None = None,
  classes: Sequence[str] | None = None,
  class_map: Mapping[str, str | None] | None = None,
  missing: str = "error",
  sidecar_extension: str | None = None,
  model: str | None = None,
  checkpoint: str | os.PathLike | None = None,
  steps: int | None = None,
  softness_ms: float | None = None,
  min_gap_ms: float | None = None,
  rate_hz: float = 0.0,
  seed: int = 0,
) -> dict[str, Any]:
  """Trains on a folder (see `data.folder`) with settings that suit its kind of signal, and tests the network.

  Where recordings have tables of counts, or a `supervision.csv`, all kinds of labels are learned from in one
  batch, each as what it is.

  Splits are those of the folder's `split.csv`, or else 70/15/15 by recording.

  Args:
    folder: of recordings with sidecar label files.
    out: gets the training; one that was interrupted goes on.
    learn: from "counts" of windows alone, or from "times" that are roughly right.
    kind: "audio" or "sensor"; None goes by the files.
    classes: labels that may occur; None takes those found.
    class_map, missing, sidecar_extension: which labels recordings have, see `data.folder.load`.
    model: a network that comes with the package, to train further; of its classes those that occur here are
      taken over, by name.
    checkpoint: workdir of a training, likewise.
    steps: of the training; None takes the kind's.
    softness_ms: standard deviation of the times' errors; None takes 50.
    min_gap_ms: least time between two events of a class; None goes by the labels.
    rate_hz: what signals are resampled to; 0 takes the kind's.
    seed: of the training.

  Returns:
    What `train.train_and_evaluate` returns.

  Raises:
    FileNotFoundError, ValueError: naming the file or argument, before any training.
  """
  folder = pathlib.Path(folder)
  check_apart(folder, pathlib.Path(out))
  if learn not in ("counts", "times"):
    raise ValueError(f"learn is {learn!r}; expected 'counts' or 'times'")
  if learn == "counts" and softness_ms is not None:
    raise ValueError(f"softness_ms is {softness_ms}; expected none, as counts have no times")
  if seed < 0:
    raise ValueError(f"seed is {seed}; expected 0 or more")
  if not 0 <= rate_hz < float("inf"):
    raise ValueError(f"rate_hz is {rate_hz}; expected a positive number, or 0 for the kind's")
  source = _source(model, checkpoint)
  softness_s = (50.0 if softness_ms is None else softness_ms) / 1000
  labels = {"class_map": class_map, "missing": missing, "sidecar_extension": sidecar_extension}
  recordings = folder_lib.load(folder, classes=classes, **labels)
  timed = [one.id for one in recordings if any(map(len, one.events.values()))]
  if learn == "counts" and timed and recipes.are_mixed(recordings):
    raise ValueError(
      f"learn is 'counts', but labels are mixed, and {listing(timed)} have times; expected learn='times',"
      f" which takes counts where only those are known"
    )
  settings = {} if min_gap_ms is None else {"min_gap_s": min_gap_ms / 1000}
  if source:
    settings["like"], *_ = train.read_learned(source)
  config = recipes.for_recordings(
    recordings,
    kind=kind or kind_of(folder),
    classes=classes,
    sample_rate_hz=rate_hz,
    softness_s=softness_s if learn == "times" else 0.0,
    **settings,
  )
  config.seed, config.init_from = seed, source
  recipes.set_steps(config, steps)
  config.data.update(
    {"name": "folder", "data_dir": str(folder), "fractions": dict(DEFAULT_FRACTIONS), "seed": 0}
  )
  if class_map is not None:
    labels["class_map"] = tuple(class_map.items())  # a config takes no keys with dots
  # Only what was chosen: what it learned from can then be told, and trainings of before go on.
  config.data.update({name: value for name, value in labels.items() if value not in (None, "error")})
  # A training does not go on with other labels, nor is it tested on what it learned from under another split.
  split = folder / folder_lib.SPLIT_FILE
  config.data.digest = digest([recordings], split.read_text("utf-8-sig") if split.exists() else "")
  return train.train_and_evaluate(config.lock(), out)


def _source(model: str | None, checkpoint: str | os.PathLike | None) -> str:
  """What `config.init_from` is for a network to train further; empty for none."""
  if model is not None and checkpoint is not None:
    raise ValueError(f"model is {model!r} and checkpoint {checkpoint}; expected only one of them")
  if model is not None:
    pretrained.folder(model)  # refuses another name
    return model
  return "" if checkpoint is None else str(pathlib.Path(checkpoint).resolve())


def check_apart(folder: pathlib.Path, out: pathlib.Path) -> None:
  """Refuses results within the folder that they come from.

  Raises:
    ValueError: naming both.
  """
  if out.resolve().is_relative_to(folder.resolve()):
    raise ValueError(f"{out} lies in {folder}, where it would be taken for labels; expected another folder")


def kind_of(folder: pathlib.Path) -> str:
  """Audio, if the folder holds any audio file."""
  audio = any(path.suffix.lower() in signal_files.AUDIO_EXTENSIONS for path in folder_lib.list_files(folder))
  return "audio" if audio else "sensor"
