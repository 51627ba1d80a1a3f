"""The papers' networks: their sizes, by hand, and what their parts see."""

import itertools

from flax import nnx
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import pytest

from softloc_jax import models
from softloc_jax.models import papers


def abstract(config, bins, num_classes):
  """The model without its numbers."""
  return nnx.eval_shape(
    lambda: models.from_config(
      ConfigDict(config),
      frame_shape=(bins, 2),
      num_classes=num_classes,
      initial_bias=-5.0,
      rngs=nnx.Rngs(0),
    )
  )


def conv(kernel, inputs, filters):
  return (kernel * inputs + 1) * filters


def lstm(inputs, units):
  return 4 * units * (inputs + units + 1)


def dense(*widths):
  return sum((a + 1) * b for a, b in itertools.pairwise(widths))


SIZES = {
  # 72 mel bins, halved three times
  "DRUMS": conv(12, 2, 8) + conv(12, 8, 16) + 4 * conv(12, 16, 16) + lstm(9 * 16, 24) + dense(24, 16, 1),
  # 384 mel bins, halved five times
  "PIANO_COUNTS": conv(12, 2, 16)
  + 2 * conv(12, 16, 16)
  + conv(12, 16, 32)
  + 2 * conv(12, 32, 32)
  + conv(12, 32, 64)
  + 2 * conv(12, 64, 64)
  + lstm(12 * 64, 64)
  + dense(64, 32, 10),
  "PIANO_MISALIGNED": conv(12, 2, 32)
  + 2 * conv(12, 32, 32)
  + conv(12, 32, 64)
  + 2 * conv(12, 64, 64)
  + conv(12, 64, 128)
  + 2 * conv(12, 128, 128)
  + lstm(12 * 128, 128)
  + dense(128, 96, 96, 70),
  # 229 mel bins, halved twice; batch normalisation has a scale and an offset in place of the bias
  "HAWTHORNE": 9 * (2 * 48 + 48 * 48 + 48 * 96)
  + 2 * (48 + 48 + 96)
  + dense(57 * 96, 768)
  + 2 * lstm(768, 128)
  + dense(256, 88),
}


@pytest.mark.parametrize(
  ("name", "bins", "num_classes", "networks"),
  [
    ("DRUMS", 72, 3, 3),
    ("PIANO_COUNTS", 384, 80, 8),
    ("PIANO_MISALIGNED", 384, 70, 1),
    ("HAWTHORNE", 229, 88, 1),
  ],
)
def test_sizes_and_shapes(name, bins, num_classes, networks):
  model = abstract(getattr(papers, name), bins, num_classes)
  params = jax.tree.leaves(nnx.state(model, nnx.Param))
  assert sum(leaf.size for leaf in params) == networks * SIZES[name]
  assert f"{SIZES[name]:,}" in papers.__doc__
  graphdef, state = nnx.split(model)
  x = jax.ShapeDtypeStruct((2, 30, bins, 2), jnp.float32)
  logits = jax.eval_shape(lambda state, x: nnx.merge(graphdef, state, copy=True)(x), state, x)
  assert logits.shape == (2, 30, num_classes)
