"""MobileNetV2's weights from a file that the user has, of torch or of Keras, into the encoder of a SwingNet.

Such files come with the authors' code or with torchvision (`.pth`, `.pth.tar`, `.pt`), or with Keras
applications (`.h5`); this package brings none. Weights of Keras belong to `convention="keras"` of
`models.mobilenet.MobileNetV2`, and to frames between -1 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
import os
import pathlib
import pickle
import re

from flax import nnx
import jax.numpy as jnp
import numpy as np

from softloc_jax.models.mobilenet import NUM_STAGES
from softloc_jax.network import Variables

Path = tuple[str | int, ...]

_TORCH_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
_KERAS_NORM = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
_PARTS = ("expand", "depthwise", "project")
# Torch's files number the layers of a block; the first block does not widen.
_TORCH_BLOCK = {3: _PARTS, 2: _PARTS[1:]}


def convention(path: str | os.PathLike) -> str:
  """Whose weights a file has, by its name: "torch" or "keras".

  Raises:
    ValueError: a file of another kind.
  """
  suffix = pathlib.Path(path).suffix
  if suffix in (".pth", ".pt", ".tar"):
    return "torch"
  if suffix in (".h5", ".hdf5"):
    return "keras"
  raise ValueError(f"{path}: expected a file of torch (.pth, .pt, .pth.tar) or of Keras (.h5, .hdf5)")


def read(path: str | os.PathLike) -> dict[Path, np.ndarray]:
  """Arrays of all stages, by their path in the encoder, such as `("stages", 3, "expand", "conv", "kernel")`.

  Raises:
    FileNotFoundError: no such file.
    ImportError: torch or h5py, which reads it, is not installed.
    ValueError: a file of another kind, or one that holds no MobileNetV2.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise FileNotFoundError(f"{path}: no such file; expected weights of MobileNetV2")
  arrays, named = (
    (_read_h5(path), _from_keras) if convention(path) == "keras" else (_read_torch(path), _from_torch)
  )
  try:
    found = named(arrays)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
  stages = {key[1] for key in found}
  if stages != set(range(NUM_STAGES)):
    raise ValueError(f"{path}: has stages {sorted(stages)}; expected 0 to {NUM_STAGES - 1} of MobileNetV2")
  return found


def load(variables: Variables, path: str | os.PathLike) -> Variables:
  """Variables of a network, stacked over replicas, with the weights of a file in their encoder.

  Args:
    variables: of a network whose model has a `MobileNetV2` as `encoder`; leaves have a leading replica axis.
    path: see `read`.

  Raises:
    ValueError: an encoder of another shape, or arrays that the file lacks; see also `read`.
  """
  given = {("encoder", *key): array for key, array in read(path).items()}
  flat = [dict(nnx.to_flat_state(state)) for state in variables]
  wanted = {key for one in flat for key in one if key[0] == "encoder"}
  if wanted != set(given):
    different = sorted(map(str, wanted ^ set(given)))
    raise ValueError(
      f"{path}: {different[0]} is in either the file or the network; expected the same in both"
    )
  for one in flat:
    for key in wanted & set(one):
      variable, array = one[key], given[key]
      if variable.shape[1:] != array.shape:
        raise ValueError(f"{path}: {key} has shape {array.shape}; the network expects {variable.shape[1:]}")
      stacked = jnp.broadcast_to(jnp.asarray(array, variable.dtype), variable.shape)
      one[key] = variable.replace(stacked)
  return Variables(*(nnx.from_flat_state(one.items()) for one in flat))


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    import torch
  except ImportError as error:
    raise ImportError(f"{path}: is read with torch: pip install torch") from error

  try:
    saved = torch.load(path, map_location="cpu", weights_only=True)
  except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
    # Its message is a page, with advice to trust the file.
    raise ValueError(f"{path}: torch cannot read it, {type(error).__name__}; expected its weights") from error
  named = saved
  for key in ("state_dict", "model_state_dict"):
    named = named.get(key, named) if isinstance(named, Mapping) else named
  if not isinstance(named, Mapping) or not all(map(torch.is_tensor, named.values())):
    raise ValueError(f"{path}: holds {_outline(saved)}; expected arrays by name, or a state_dict of them")
  return {name.removeprefix("module."): tensor.numpy() for name, tensor in named.items() if tensor.ndim}


def _outline(saved: object) -> str:
  return f"a mapping of {', '.join(map(str, saved))}" if isinstance(saved, Mapping) else type(saved).__name__


def _from_torch(arrays: Mapping[str, np.ndarray]) -> dict[Path, np.ndarray]:
  """Of torchvision's names, or of those of the network that SwingNet's authors used."""
  found: dict[Path, np.ndarray] = {}
  convs: dict[int, set[tuple[int, ...]]] = {}
  named = []
  for name, array in arrays.items():
    match = re.fullmatch(r"features\.(\d+)\.(?:conv\.)?([\d.]+)\.(\w+)", name)
    if match:
      stage, place, kind = int(match[1]), tuple(map(int, match[2].split("."))), match[3]
      named.append((stage, place, kind, array))
      if array.ndim == 4:
        convs.setdefault(stage, set()).add(place)
  for stage, place, kind, array in named:
    order = sorted(convs.get(stage, ()))
    # A normalisation follows its convolution.
    number = sum(one <= place for one in order) - 1
    if number < 0:
      raise ValueError(f"features.{stage} has {kind} before any convolution; expected MobileNetV2")
    parts = _TORCH_BLOCK.get(len(order), ())
    path = ("stages", stage, parts[number]) if parts else ("stages", stage)
    if array.ndim == 4:
      found[(*path, "conv", "kernel")] = array.transpose(2, 3, 1, 0)
    else:
      found[(*path, "norm", _norm_name(_TORCH_NORM, kind))] = array
  return found


def _norm_name(names: Mapping[str, str], name: str) -> str:
  """What we call an array of a normalisation."""
  kind = name.rpartition("/")[2]
  if kind not in names:
    raise ValueError(
      f"has an array {name}; expected {', '.join(names)} of a normalisation, and no bias before"
    )
  return names[kind]


def _read_h5(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    import h5py
  except ImportError as error:
    raise ImportError(f"{path}: is read with h5py: pip install h5py") from error

  found = {}

  def visit(name: str, item) -> None:
    if isinstance(item, h5py.Dataset):
      layer, variable = ("/" + name).split("/")[-2:]
      found[f"{layer}/{variable.split(':')[0]}"] = np.asarray(item)

  try:
    with h5py.File(path) as file:
      file.visititems(visit)
  except OSError as error:
    raise ValueError(f"{path}: {error}; expected a file of HDF5") from error
  return found


def _from_keras(arrays: Mapping[str, np.ndarray]) -> dict[Path, np.ndarray]:
  found: dict[Path, np.ndarray] = {}
  for name, array in arrays.items():
    layer, kind = name.split("/")
    path = _keras_path(re.sub(r"_?(bn|BN)_?", "", layer))
    if path is None:  # the classifier
      continue
    if array.ndim == 4:
      # Depthwise kernels have their channels where others have inputs.
      found[(*path, "conv", "kernel")] = array.swapaxes(2, 3) if kind == "depthwise_kernel" else array
    else:
      found[(*path, "norm", _norm_name(_KERAS_NORM, name))] = array
  return found


def _keras_path(layer: str) -> Path | None:
  """Where a layer of Keras' belongs: Conv1, expanded_conv_depthwise, block_1_expand, ..., Conv_1."""
  if layer in ("Conv1", "Conv_1"):
    return ("stages", 0 if layer == "Conv1" else NUM_STAGES - 1)
  match = re.fullmatch(r"(?:expanded_conv|block_(\d+))_(expand|depthwise|project)", layer)
  return ("stages", int(match[1] or 0) + 1, match[2]) if match else None
