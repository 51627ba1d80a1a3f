"""Saving and restoring a training, whole: the only file that knows orbax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import contextlib
import json
import os
import pathlib
import re
from typing import Any

import grain
import orbax.checkpoint as ocp

CONFIG_FILE = "config.json"
# What every network is built and used by; a config of another library has other keys.
_REQUIRED_KEYS = ("data", "decode", "features", "model", "num_replicas", "omega", "predict", "window")
# What a run can be taken up with though it differs: where data lies and what is shown on the way.
_FREE_KEYS = ("progress", "num_figures", "log_every")


def _is_free(key: str) -> bool:
  return key in _FREE_KEYS or (key.startswith("data.") and key.endswith("_dir"))


class Checkpoints:
  """Checkpoints of one workdir: the latest, to resume from, and the best so far.

  The state and the position of the data iterator are written together, to a temporary
  folder that is renamed when complete: a killed training leaves the last whole checkpoint.

  Args:
    workdir: folder of the run; checkpoints go to `checkpoints/` in it.
    best_metric: name of the metric that decides which checkpoint is best; lowest wins.
  """

  def __init__(self, workdir: str | os.PathLike, *, best_metric: str):
    policy = ocp.checkpoint_managers
    # orbax ranks upwards, and of equals keeps the later one.
    best = policy.BestN(
      get_metric_fn=lambda metrics: -metrics[best_metric], n=1, keep_checkpoints_without_metrics=False
    )
    options = ocp.CheckpointManagerOptions(
      preservation_policy=policy.AnyPreservationPolicy([policy.LatestN(1), best]),
      best_fn=lambda metrics: metrics[best_metric],  # without it orbax does not store metrics
      best_mode="min",
      enable_async_checkpointing=False,
    )
    self._best_metric = best_metric
    self._manager = ocp.CheckpointManager(pathlib.Path(workdir).absolute() / "checkpoints", options=options)

  def save(
    self,
    step: int,
    state: Any,
    iterator: grain.DatasetIterator,
    metrics: Mapping[str, float],
    notes: Mapping[str, Any],
  ) -> None:
    """Writes a checkpoint; `metrics` holds the best metric, `notes` anything JSON can hold (thresholds)."""
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        data=grain.checkpoint.CheckpointSave(iterator),
        notes=ocp.args.JsonSave(dict(notes)),
      ),
      metrics={self._best_metric: float(metrics[self._best_metric])},
    )
    self._manager.wait_until_finished()

  @property
  def latest_step(self) -> int | None:
    """Step of the last checkpoint, None before the first."""
    return self._manager.latest_step()

  @property
  def best_step(self) -> int | None:
    """Step of the checkpoint with the lowest best metric, the later one of equals; None before the first."""
    found = {step: self._manager.metrics(step) for step in self._manager.all_steps()}
    # One without metrics was being deleted when the process was killed.
    values = {step: metrics[self._best_metric] for step, metrics in found.items() if metrics}
    return min(values, key=lambda step: (values[step], -step), default=None)

  def restore(
    self, step: int, like: Any, iterator: grain.DatasetIterator | None = None
  ) -> tuple[Any, dict[str, Any]]:
    """The state at a step, in the shape and sharding of `like`, and its notes; moves `iterator` there too."""
    args = {"state": ocp.args.StandardRestore(like), "notes": ocp.args.JsonRestore()}
    if iterator is not None:
      args["data"] = grain.checkpoint.CheckpointRestore(iterator)
    try:
      restored = self._manager.restore(step, args=ocp.args.Composite(**args))
    except ValueError as error:  # which would list every weight
      raise ValueError(
        f"{self._manager.directory / str(step)} does not fit the network of its config: it was written by"
        f" another version, or the config was changed since"
      ) from error
    return restored["state"], restored["notes"]

  def close(self) -> None:
    """Ends orbax's background work."""
    self._manager.close()


@contextlib.contextmanager
def alone(workdir: str | os.PathLike) -> Iterator[None]:
  """Keeps other processes from training in a workdir, where the system and its file system can.

  Raises:
    ValueError: another one does; or the workdir is an address, see `write_config`.
  """
  _check_local(workdir)
  try:
    import fcntl
  except ImportError:  # not on Windows
    yield
    return
  pathlib.Path(workdir).mkdir(parents=True, exist_ok=True)
  with open(pathlib.Path(workdir) / ".lock", "w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(f"{workdir}: another process is training there; expected only one") from error
    except OSError:  # a file system without locks
      pass
    yield


def _check_local(workdir: str | os.PathLike) -> None:
  if re.match(r"[a-z][a-z0-9]+:/", str(workdir)):
    raise ValueError(f"workdir is {workdir}; expected a folder of this machine, or a bucket mounted as one")


def write_config(workdir: str | os.PathLike, config: Mapping[str, Any]) -> None:
  """Keeps the config beside the checkpoints, and refuses to continue a run of another one.

  Raises:
    ValueError: the workdir already holds a run with other settings; names the first that differs. Or its
      config cannot be read. Or it is an address, such as gs://bucket/run, which would become a local folder
      of that name.
  """
  _check_local(workdir)
  path = pathlib.Path(workdir) / CONFIG_FILE
  text = json.dumps(config, indent=2, sort_keys=True)
  if path.exists():
    old, new = _flatten(_read_json(path)), _flatten(json.loads(text))
    for key in sorted(key for key in set(old) | set(new) if not _is_free(key)):
      # An empty text is as none: runs of before a setting came go on without it.
      was, now = (repr(flat[key]) if flat.get(key, "") != "" else "nothing" for flat in (old, new))
      if key == "data.digest" and "nothing" in (was, now):  # not every run tells its recordings
        continue
      if was != now and key == "data.digest":
        raise ValueError(
          f"{path} belongs to a run on other recordings, labels or splits; choose another workdir"
        )
      if was != now:
        raise ValueError(f"{path} belongs to a run with {key} = {was}, not {now}; choose another workdir")
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  replace_text(path, text)


def read_config(workdir: str | os.PathLike) -> dict[str, Any]:
  """The config of the run in a workdir.

  Raises:
    FileNotFoundError: the folder is not a workdir.
    ValueError: the file is no config of a training: no JSON object, or one that lacks keys; the message names
      it and them.
  """
  path = pathlib.Path(workdir) / CONFIG_FILE
  if not path.exists():
    raise FileNotFoundError(f"{path} not found: expected the workdir of a training")
  config = _read_json(path)
  lacking = [key for key in _REQUIRED_KEYS if key not in config]
  if lacking:
    raise ValueError(f"{path}: has no {', '.join(lacking)}; expected the config of a training of softloc_jax")
  return config


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  expected = "expected the config of a training, a JSON object in UTF-8"
  try:
    config = json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:  # of the text's encoding too
    raise ValueError(f"{path}: cannot read as JSON ({error}); {expected}") from error
  if not isinstance(config, dict):
    raise ValueError(f"{path}: holds a JSON {type(config).__name__}; {expected}")
  return config


def replace_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file whole or not at all."""
  path = pathlib.Path(path)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # other processes may write it, too
  temporary.write_text(text, encoding="utf-8")
  os.replace(temporary, path)


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
  if not isinstance(tree, dict) or not tree:
    return {prefix: tree}
  return {
    k: v for name, sub in tree.items() for k, v in _flatten(sub, f"{prefix}.{name}".lstrip(".")).items()
  }
