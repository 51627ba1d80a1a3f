"""Bands of classes, trained as one program, against the separate networks they are."""

from flax import nnx
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import models
from softloc_jax.models.banded import Banded

NETWORK = {
  "name": "crnn",
  "conv_features": (4, 4),
  "conv_kernel": (3, 3),
  "conv_pool": (1, 2),
  "conv_norm": "batch",
  "conv_dropout": 0.5,
  "recurrent": "lstm",
  "recurrent_units": 3,
  "dense_units": 3,
}
BINS, CLASSES, BAND = 6, 5, 2  # the third band has one class only


def make(num_classes=CLASSES, **changes):
  config = ConfigDict(NETWORK | {"band_size": BAND} | changes)
  return models.from_config(
    config, frame_shape=(BINS, 2), num_classes=num_classes, initial_bias=-2.0, rngs=nnx.Rngs(0)
  )


def frames(num_frames=8, seed=0):
  return np.random.default_rng(seed).standard_normal((2, num_frames, BINS, 2)).astype(np.float32)


def run(model, x, *, training=False):
  """Logits and the variables afterwards, in one compiled pass."""
  (model.train if training else model.eval)()
  graphdef, state = nnx.split(model)

  def apply(state, x):
    model = nnx.merge(graphdef, state, copy=True)
    return model(x), nnx.state(model, nnx.BatchStat)

  return jax.jit(apply)(state, x)


def band(model, number, **settings):
  """One network of a banded one that was made with these settings, on its own."""
  graphdef, state = nnx.split(model.bands)
  single = jax.eval_shape(lambda: nnx.split(make(BAND, band_size=0, **settings))[1])
  picked = jax.tree.map(lambda stacked: stacked[number], state)
  assert jax.tree.map(jnp.shape, picked) == jax.tree.map(jnp.shape, single)
  return nnx.merge(graphdef, picked)


@pytest.mark.parametrize("training", [pytest.param(False, marks=pytest.mark.slow), True])
def test_equals_the_separate_networks(training):
  model = make(conv_dropout=0.0)
  logits, stats = run(model, frames(), training=training)
  assert logits.shape == (2, 8, CLASSES)
  separate = [run(band(model, number, conv_dropout=0.0), frames(), training=training) for number in range(3)]
  together = np.concatenate([one for one, _ in separate], axis=-1)
  np.testing.assert_allclose(logits, together[..., :CLASSES], rtol=1e-5, atol=1e-5)
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[after for _, after in separate])
  for found, expected in zip(jax.tree.leaves(stats), jax.tree.leaves(stacked), strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_bands_start_differently_and_learn_independently():
  model = make()
  model.eval()
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)
  kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 2 or leaf.std() > 0]
  assert all(len(leaf) == 3 for leaf in jax.tree.leaves(params))
  assert all(not np.array_equal(leaf[0], leaf[1]) for leaf in kernels if leaf.std() > 0)

  def loss(params, class_weights):
    logits = nnx.merge(graphdef, params, rest, copy=True)(frames())
    return jnp.sum(jnp.sin(logits) * class_weights)

  gradient = jax.jit(jax.grad(loss))
  for number, chosen in enumerate([[1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]):
    for leaf in jax.tree.leaves(gradient(params, jnp.array(chosen, jnp.float32))):
      assert np.abs(leaf[number]).max() > 0
      assert not np.delete(leaf, number, axis=0).any()


@pytest.mark.slow
def test_seeds_of_bands_train_in_one_program():
  model = make(conv_norm=None)
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)

  def loss(params, x):
    return jnp.sum(jnp.sin(nnx.merge(graphdef, params, rest, copy=True)(x)))

  stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
  x = jnp.stack([frames(seed=1), frames(seed=2)])
  model.eval()
  graphdef, _, rest = nnx.split(model, nnx.Param, ...)
  both = jax.jit(jax.vmap(jax.grad(loss)))(stacked, x)
  alone = jax.jit(jax.grad(loss))(params, x[0])
  for found, expected in zip(jax.tree.leaves(both), jax.tree.leaves(alone), strict=True):
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(found[1], expected)


@pytest.mark.slow
def test_bands_drop_different_values_and_take_new_keys():
  model = make(num_classes=2, band_size=1, recurrent=None, conv_norm=None)
  # The same parameters in both bands: only dropout can tell them apart.
  nnx.update(model, jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 2), nnx.state(model, nnx.Param)))
  still = run(model, frames())[0]
  np.testing.assert_array_equal(still[..., 0], still[..., 1])
  first = run(model, frames(), training=True)[0]
  assert not np.allclose(first[..., 0], first[..., 1])
  nnx.reseed(model, policy="match_shape", default=jax.random.key(7))
  second = run(model, frames(), training=True)[0]
  assert not np.allclose(first, second)
  assert not np.allclose(second[..., 0], second[..., 1])


@pytest.mark.parametrize("band_size", [-1, 6])
def test_bands_that_cannot_be_are_refused(band_size):
  with pytest.raises(ValueError, match=f"band_size is {band_size}; expected 1 to 5, the number of classes"):
    Banded(lambda rngs: nnx.Linear(1, 1, rngs=rngs), num_classes=5, band_size=band_size, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match=f"band_size is {band_size}"):
    make(band_size=band_size)


def test_a_pitch_axis_has_no_bands():
  config = {"name": "onset_net", "harmonics": (1, 2), "band_size": BAND}
  with pytest.raises(ValueError, match="'onset_net': harmonics and band_size; expected one of them"):
    models.from_config(config, frame_shape=(BINS, 2), num_classes=CLASSES, initial_bias=0.0, rngs=nnx.Rngs(0))
