"""Trained networks that come with the package: one folder each, with its settings, weights and model card."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from softloc_jax import checkpoints
from softloc_jax.network import Network, Variables

_FOLDER = pathlib.Path(__file__).parent
_WEIGHTS, _CALIBRATION = "weights.npz", "calibration.json"


class Trained(NamedTuple):
  """What a network needs to find events.

  Attributes:
    config: of its training.
    network: of the config.
    variables: of one training, with a leading axis of 1, or of the members of an ensemble.
    calibration: the fields of `evaluation.Calibration`.
  """

  config: ConfigDict
  network: Network
  variables: Variables
  calibration: dict[str, Any]


def names() -> list[str]:
  """The networks there are."""
  return sorted(path.parent.name for path in _FOLDER.glob(f"*/{_WEIGHTS}"))


def folder(name: str) -> pathlib.Path:
  """The folder of a network.

  Raises:
    ValueError: there is no such network.
  """
  if name not in names():
    raise ValueError(f"no pretrained network {name!r}; expected one of {', '.join(names()) or 'none'}")
  return _FOLDER / name


def is_saved(path: str | os.PathLike) -> bool:
  """Whether a folder is one that `save` wrote."""
  return (pathlib.Path(path) / _WEIGHTS).is_file()


def save(path: str | os.PathLike, trained: Trained, *, half: bool = False) -> None:
  """Writes a network to a folder, without what of its config says where things lay when it was trained.

  Args:
    path: the folder.
    trained: the network.
    half: whether weights keep 16 bits only: half the size, and estimates that differ a little.
  """
  path = pathlib.Path(path)
  path.mkdir(parents=True, exist_ok=True)
  config = json.loads(trained.config.to_json())
  config["data"] = {key: value for key, value in config["data"].items() if not key.endswith("_dir")}
  dtype = np.float16 if half else np.float32
  arrays = {name: np.asarray(leaf, dtype) for name, leaf in _named_leaves(trained.variables)}
  temporary = path / f".{_WEIGHTS}.tmp"
  with open(temporary, "wb") as file:
    np.savez_compressed(file, **arrays)
  os.replace(temporary, path / _WEIGHTS)
  checkpoints.replace_text(
    path / checkpoints.CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True) + "\n"
  )
  checkpoints.replace_text(path / _CALIBRATION, json.dumps(trained.calibration, indent=2) + "\n")


def load(path: str | os.PathLike) -> Trained:
  """Reads what `save` wrote.

  Raises:
    FileNotFoundError: a file of the folder is missing.
    ValueError: weights that are not those of the config's network.
  """
  path = pathlib.Path(path)
  config = ConfigDict(checkpoints.read_config(path))
  network = Network.from_config(config)
  members = config.num_replicas if config.predict.get("ensemble", False) else 1
  keys = jax.random.split(jax.random.key(0), members)
  like = jax.eval_shape(jax.vmap(network.init), keys)
  expected = dict(_named_leaves(like))
  with np.load(path / _WEIGHTS) as file:
    arrays = dict(file)
  if {name: array.shape for name, array in arrays.items()} != {n: leaf.shape for n, leaf in expected.items()}:
    wrong = sorted(set(arrays) ^ set(expected)) or sorted(
      name for name in arrays if arrays[name].shape != expected[name].shape
    )
    raise ValueError(f"{path / _WEIGHTS} does not fit {path / checkpoints.CONFIG_FILE}: see {wrong[0]}")
  leaves = [arrays[name].astype(leaf.dtype) for name, leaf in expected.items()]
  variables = jax.tree.unflatten(jax.tree.structure(like), leaves)
  return Trained(config, network, variables, json.loads((path / _CALIBRATION).read_text()))


def _named_leaves(variables: Variables) -> list[tuple[str, Any]]:
  return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(variables)]
