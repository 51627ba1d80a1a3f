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
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
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
    if isinstance(sharding, NamedSharding) and sharding.is_fully_replicated and leaf.is_fully_addressable:
      return sharding.mesh if _num_shares(sharding.mesh) > 1 else None
  return None


def in_shares(num_elements: int, mesh: Mesh | None) -> int:
  """So many elements or the few more that divide into a share for each device."""
  shares = 1 if mesh is None else _num_shares(mesh)
  return -(-num_elements // shares) * shares


def batches_on(mesh: Mesh | None) -> contextlib.AbstractContextManager:
  """What is traced herein has its batches split over this mesh, which `on_shares` has to be told."""
  return contextlib.nullcontext() if mesh is None else jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def on_shares(function: Callable[..., Array], *batches: Any, shared: Sequence[Array] = ()) -> Array:
  """`function(*batches, *shared)`, where each device computes that of its share, asking no other.

  Args:
    function: of each element of a batch by itself, `[B, ...]` to `[B, ...]`.
    *batches: arrays `[B, ...]` or trees of them. They are split where the mesh of the context (`batches_on`,
      `jax.set_mesh`) has an axis `data` whose devices divide `B`, and taken as a whole otherwise.
    shared: further arguments, the same for all devices.
  """
  mesh = jax.sharding.get_abstract_mesh()
  shares = _num_shares(mesh)
  if shares == 1 or any(leaf.shape[0] % shares for leaf in jax.tree.leaves(batches)):
    return function(*batches, *shared)
  share = PartitionSpec(AXIS)
  specs = (*[share] * len(batches), *[PartitionSpec()] * len(shared))
  # Along other axes of the mesh XLA goes on to divide as it sees fit.
  of_shares = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=share, axis_names={AXIS})
  return of_shares(*batches, *shared)


def _num_shares(mesh: Mesh | AbstractMesh) -> int:
  """Devices along `data`; 1 unless XLA decides what is computed where along it, rather than the program."""
  kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
  return mesh.shape[AXIS] if kinds.get(AXIS) == AxisType.Auto else 1
