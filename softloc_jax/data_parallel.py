"""Batches spread over devices: each computes its share, along the axis `data` of a mesh.

One device is a mesh of one. XLA divides most of a program by itself. What it does not is divided here:
Fourier transforms (`fourier`), and the losses, whose iterations end when the last sequence has converged,
about which all devices would ask each other in every iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import contextlib
from typing import Any

import jax
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np

AXIS = "data"


def make_mesh() -> Mesh:
  """All devices along one axis, `data`."""
  return Mesh(np.array(jax.devices()), (AXIS,))


def everywhere(mesh: Mesh) -> NamedSharding:
  """A copy on each device."""
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, *, axis: int = 0) -> NamedSharding:
  """A share of a batch on each device, split along this axis."""
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def put(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, Array]:
  """A batch of which each process has its share, on the devices."""
  if jax.process_count() == 1:
    return jax.device_put(dict(batch), sharding)  # one call, which costs less than one for each array
  return {name: jax.make_array_from_process_local_data(sharding, share) for name, share in batch.items()}


def mesh_of(variables: Any) -> Mesh | None:
  """The mesh of several devices that variables were copied to and batches can be split over, if any."""
  for leaf in jax.tree.leaves(variables):
    sharding = getattr(leaf, "sharding", None)
    if isinstance(sharding, NamedSharding) and leaf.is_fully_addressable:
      return sharding.mesh if sharding.mesh.shape.get(AXIS, 1) > 1 else None
  return None


def in_shares(num_elements: int, mesh: Mesh | None) -> int:
  """So many elements or the few more that divide into a share for each device."""
  shares = 1 if mesh is None else mesh.shape[AXIS]
  return -(-num_elements // shares) * shares


def batches_on(mesh: Mesh | None) -> contextlib.AbstractContextManager:
  """What is traced herein has its batches split over this mesh, which `on_shares` has to be told."""
  return contextlib.nullcontext() if mesh is None else jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def on_shares(function: Callable[..., Array], *batches: Any, everywhere: Sequence[Array] = ()) -> Array:
  """`function(*batches, *everywhere)`, where each device computes that of its share, asking no other.

  Args:
    function: of each element of a batch by itself, `[B, ...]` to `[B, ...]`.
    *batches: arrays `[B, ...]` or trees of them. They are split where the mesh of the context (`batches_on`,
      `jax.set_mesh`) has an axis `data` whose devices divide `B`, and taken as a whole otherwise.
    everywhere: further arguments, the same for all devices.
  """
  mesh = jax.sharding.get_abstract_mesh()
  shares = mesh.shape[AXIS] if AXIS in _split_by_xla(mesh) else 1
  if shares == 1 or any(leaf.shape[0] % shares for leaf in jax.tree.leaves(batches)):
    return function(*batches, *everywhere)
  share = PartitionSpec(AXIS)
  specs = (*[share] * len(batches), *[PartitionSpec()] * len(everywhere))
  return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=share)(*batches, *everywhere)


def _split_by_xla(mesh: jax.sharding.AbstractMesh) -> set[str]:
  """Axes along which XLA decides what is computed where, rather than the program."""
  kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
  return {name for name, kind in kinds if kind == AxisType.Auto}
