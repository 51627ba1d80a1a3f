"""Separate networks for separate bands of classes, trained together as one program."""

from __future__ import annotations

from collections.abc import Callable

from flax import nnx
from jax import Array


class Banded(nnx.Module):
  """One network per band of consecutive classes: `[B, T, bins, channels] -> [B, T, num_classes]`.

  All see the same frames, and none shares a parameter with another: as the papers train one network per
  drum and one per ten pitches. Their variables are stacked along a leading axis, over which a single
  network is mapped. If the last band has fewer classes, the logits of its network that are left over are
  cut; nothing trains them.

  Args:
    make: a network of `band_size` classes from `rngs`.
    num_classes: of all bands.
    band_size: classes per network.
    rngs: where the parameters come from; every band draws its own.

  Raises:
    ValueError: an empty band, or one of more classes than there are.
  """

  def __init__(
    self, make: Callable[[nnx.Rngs], nnx.Module], *, num_classes: int, band_size: int, rngs: nnx.Rngs
  ):
    if not 1 <= band_size <= num_classes:
      raise ValueError(f"band_size is {band_size}; expected 1 to {num_classes}, the number of classes")
    self.num_classes = num_classes
    num_bands = -(-num_classes // band_size)
    self.bands = nnx.split_rngs(splits=num_bands)(nnx.vmap(make, in_axes=0, out_axes=0))(rngs)

  def __call__(self, frames: Array) -> Array:
    mapped = nnx.vmap(lambda network, x: network(x), in_axes=(0, None), out_axes=2)
    logits = mapped(self.bands, frames)  # [B, T, bands, band_size]
    return logits.reshape(*logits.shape[:2], -1)[..., : self.num_classes]
