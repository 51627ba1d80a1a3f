"""What a training begins with in the place of random weights: a network that it trains further."""

from __future__ import annotations

from collections.abc import Sequence

from flax import nnx
from jax import Array
import jax.numpy as jnp

from softloc_jax.network import Network, Variables

# Layers with a logit for each class, after as many for each frame of a step of the model.
_PER_CLASS = ("logits", "local_logits", "context_logits")


def adapt(variables: Variables, network: Network, given: Variables, given_network: Network) -> Variables:
  """Variables of a network, with what another one of its kind has learned.

  Of the last layers, which have logits for each class, classes that both networks know are taken, by name;
  a class that only this network knows keeps what it has in `variables`, and the rest is left out.

  Args:
    variables: of `network`; leaves have a leading axis of `R` seeds.
    network: the one whose training begins.
    given: of `given_network`; leaves have a leading axis of those that were trained together. Seed `r` begins
      with the `r`-th of them, counted round and round.
    given_network: the one that has learned.

  Returns:
    Variables in the shapes of `variables`.

  Raises:
    ValueError: networks with other features or layers; or with other classes, where a model is made for
      classes in their order, such as the pitches of a piano.
  """
  if network.extractor != given_network.extractor:
    raise ValueError(f"has features {given_network.extractor}; expected {network.extractor}")
  if network.time_stride != given_network.time_stride:
    raise ValueError(f"has model.time_stride {given_network.time_stride}; expected {network.time_stride}")
  names, given_names = _logit_names(network), _logit_names(given_network)
  in_order = network.config.get("band_size", 0) or network.config.get("harmonics", ())
  if in_order and names != given_names:
    raise ValueError(
      f"has classes {_listed(given_names)}; expected {_listed(names)}, as bands and harmonics need them"
    )
  return Variables(
    *(_adapt(own, theirs, names, given_names) for own, theirs in zip(variables, given, strict=True))
  )


def _adapt(own: nnx.State, given: nnx.State, names: Sequence[str], given_names: Sequence[str]) -> nnx.State:
  flat, given_flat = dict(nnx.to_flat_state(own)), dict(nnx.to_flat_state(given))
  different = sorted(".".join(map(str, path)) for path in set(flat) ^ set(given_flat))
  if different:
    raise ValueError(f"only one of the two networks has {different[0]}; expected a model of the same layers")
  for path, variable in flat.items():
    fresh, learned = variable[...], jnp.asarray(given_flat[path][...])
    learned = learned[jnp.arange(len(fresh)) % len(learned)].astype(fresh.dtype)
    of_classes = names != given_names and not set(_PER_CLASS).isdisjoint(path)
    same = learned.shape[:-1] == fresh.shape[:-1] if of_classes else learned.shape == fresh.shape
    if not same:
      raise ValueError(
        f"has {'.'.join(map(str, path))} of shape {learned.shape[1:]}; expected {fresh.shape[1:]}"
      )
    if of_classes:
      learned = _by_name(fresh, learned, names, given_names)
    flat[path] = variable.replace(learned)
  return nnx.from_flat_state(flat.items())


def _by_name(fresh: Array, learned: Array, names: Sequence[str], given_names: Sequence[str]) -> Array:
  """Columns of the classes that are known, among fresh ones: `[..., steps * classes]`."""
  split = fresh.reshape(*fresh.shape[:-1], -1, len(names))
  given = learned.reshape(*learned.shape[:-1], -1, len(given_names))
  known = [name for name in names if name in given_names]
  to, of = (jnp.array([own.index(name) for name in known], int) for own in (names, given_names))
  return split.at[..., to].set(given[..., of]).reshape(fresh.shape)


def _logit_names(network: Network) -> tuple[str, ...]:
  """The classes, and what stands for no event where they exclude each other."""
  return (*network.classes, "") if network.config.get("exclusive", False) else network.classes


def _listed(names: Sequence[str], most: int = 6) -> str:
  return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
