"""The metrics of a run as it goes: JSON lines, and TensorBoard where tensorboardX is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
import math
import os
import pathlib
from typing import Any

import jax

from softloc_jax import checkpoints


class RunLog:
  """Appends to `metrics.jsonl`; a resumed run first takes back what lies after its checkpoint.

  Args:
    workdir: folder of the run.
    resume_step: keep lines up to this step only.
  """

  def __init__(self, workdir: str | os.PathLike, *, resume_step: int):
    self._path = pathlib.Path(workdir) / "metrics.jsonl"
    self._is_first = jax.process_index() == 0  # of several processes, which all know the same, one writes
    lines = self._path.read_text().splitlines() if self._path.exists() else []
    kept = [line for line in lines if _step_of(line) is not None and _step_of(line) <= resume_step]
    if self._is_first:
      checkpoints.replace_text(self._path, "".join(f"{line}\n" for line in kept))
    self.seconds_before = _seconds_of(kept)  # of training, until the checkpoint
    self._board = _tensorboard(workdir, resume_step) if self._is_first else None

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    """One line, on disk when this returns."""
    if not self._is_first:
      return
    line = {"step": step, **to_json(metrics)}
    with self._path.open("a") as file:
      file.write(json.dumps(line, allow_nan=False) + "\n")
    if self._board is not None:
      for name, value in line.items():
        if isinstance(value, (int, float)) and name != "step":
          self._board.add_scalar(name, value, step)

  def close(self) -> None:
    """Flushes TensorBoard."""
    if self._board is not None:
      self._board.close()


def training_seconds(workdir: str | os.PathLike) -> float:
  """How long a run trained, without what a kill undid; 0 for one that never began."""
  path = pathlib.Path(workdir) / "metrics.jsonl"
  return _seconds_of(path.read_text().splitlines()) if path.exists() else 0.0


def to_json(tree: Any) -> Any:
  """A copy that strict JSON can hold: NaN and infinity, which it cannot, become null."""
  if isinstance(tree, Mapping):
    return {str(key): to_json(value) for key, value in tree.items()}
  if isinstance(tree, (list, tuple)):
    return [to_json(value) for value in tree]
  if hasattr(tree, "tolist"):
    return to_json(tree.tolist())
  if isinstance(tree, float) and not math.isfinite(tree):
    return None
  return tree


def _step_of(line: str) -> int | None:
  """The step of a line; None for one that a kill cut short."""
  try:
    return json.loads(line)["step"]
  except (json.JSONDecodeError, KeyError, TypeError):
    return None


def _seconds_of(lines: Sequence[str]) -> float:
  """The last time that the lines of a run tell."""
  seconds = [json.loads(line).get("seconds") for line in lines if _step_of(line) is not None]
  return next((float(value) for value in reversed(seconds) if value is not None), 0.0)


def _tensorboard(workdir: str | os.PathLike, resume_step: int):
  try:
    import tensorboardX
  except ImportError:
    return None
  return tensorboardX.SummaryWriter(str(pathlib.Path(workdir) / "tensorboard"), purge_step=resume_step + 1)
