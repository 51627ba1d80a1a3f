"""Which part of a scene a network's finds come from: what a count alone does not fix."""

from __future__ import annotations

import jax
from jax import Array
import jax.numpy as jnp
from numpy.typing import ArrayLike

from softloc_jax.network import Network, Variables


def centres(
  network: Network, variables: Variables, signals: ArrayLike, places: ArrayLike, classes: ArrayLike
) -> Array:
  """Centres of what a scene network's logits come from, in pixels (down, right): `[B, 2]`.

  A network that is only told how many things there are may report each one at any place from which it sees
  it, as long as it always does so. Each pixel is weighted by (x dy/dx)^2, the square of what it adds to logit
  y to first order, so that pixels of zero have no say; the centre is the weighted mean of the pixels.

  Args:
    network: of the model "scene".
    variables: of one network.
    signals: scenes, `[B, N, 1]`.
    places: index along the curve of the logit asked about, one for each scene, `[B]`.
    classes: its class, `[B]`.

  Returns:
    Row and column of each, `[B, 2]`; NaN where nothing in the scene moves the logit.

  References:
    Shrikumar et al. 2016, "Not just a black box" (gradient times input); Luo et al. 2016, "Understanding the
    effective receptive field in deep convolutional neural networks".
  """
  signals = jnp.asarray(signals)
  scenes = jnp.arange(signals.shape[0])

  def asked(signals):
    return network.apply(variables, signals)[scenes, jnp.asarray(places), jnp.asarray(classes)].sum()

  model = network.model(variables)
  shares = model.image(network.extractor(jax.grad(asked)(signals) * signals))
  weights = jnp.square(shares).sum(axis=-1)  # [B, H, W]
  weights /= weights.sum(axis=(1, 2), keepdims=True)
  rows, columns = (jnp.arange(size, dtype=weights.dtype) for size in weights.shape[1:])
  return jnp.stack([weights.sum(axis=2) @ rows, weights.sum(axis=1) @ columns], axis=-1)
