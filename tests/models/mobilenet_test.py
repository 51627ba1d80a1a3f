"""MobileNetV2 and SwingNet: shapes, stages, freezing."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax.models.mobilenet import NUM_STAGES, MobileNetV2
from softloc_jax.models.swingnet import SwingNet


def apply(model, x):
  graphdef, state = nnx.split(model)
  return jax.jit(lambda state, x: nnx.merge(graphdef, state, copy=True)(x))(state, x)


def images(number=2, side=32):
  return np.random.default_rng(0).standard_normal((number, side, side, 3)).astype(np.float32)


def test_the_numbers_of_the_paper():
  model = nnx.eval_shape(lambda: MobileNetV2(rngs=nnx.Rngs(0)))
  assert len(model.stages) == NUM_STAGES and model.features == 1280
  # 3.4 million (Sandler et al., Table 4), less 1.28 million of the classifier of 1000 classes.
  assert sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param))) == 2_223_872
  # Seven strides of 2 would be too many: an image of 160 pixels ends as 5 x 5.
  shapes = []

  def stages(state, x):
    model = nnx.merge(graphdef, state)
    model.eval()
    for stage in model.stages:
      x = stage(x)
      shapes.append(x.shape[1:])

  graphdef, state = nnx.split(model)
  jax.eval_shape(stages, state, jax.ShapeDtypeStruct((1, 160, 160, 3), jnp.float32))
  assert shapes[0] == (80, 80, 32) and shapes[1] == (80, 80, 16) and shapes[-1] == (5, 5, 1280)


# Filters of the first stages as the authors' code has them, and Keras' applications.
@pytest.mark.parametrize(
  ("convention", "width", "first", "features"),
  [
    ("torch", 0.5, (32, 16, 16, 16, 16), 1280),
    ("torch", 1.4, (44, 22, 33, 33, 44), 1792),
    ("keras", 0.35, (16, 8, 8, 8, 16), 1280),
    ("keras", 0.5, (16, 8, 16, 16, 16), 1280),
    ("keras", 0.75, (24, 16, 24, 24, 24), 1280),
    ("keras", 1.0, (32, 16, 24, 24, 32), 1280),
    ("keras", 1.4, (48, 24, 32, 32, 48), 1792),
  ],
)
def test_width(convention, width, first, features):
  model = nnx.eval_shape(lambda: MobileNetV2(width=width, convention=convention, rngs=nnx.Rngs(0)))
  norms = [getattr(stage, "project", stage).norm for stage in model.stages]
  assert tuple(norm.scale.shape[0] for norm in norms[:5]) == first
  assert model.features == norms[-1].scale.shape[0] == features


@pytest.mark.slow
def test_frozen_stages_neither_learn_nor_count():
  model = nnx.jit(lambda: MobileNetV2(width=0.35, frozen_stages=10, rngs=nnx.Rngs(0)))()
  model.train()
  graphdef, params, stats, rest = nnx.split(model, nnx.Param, nnx.BatchStat, ...)

  def loss(params, x):
    merged = nnx.merge(graphdef, params, stats, rest, copy=True)
    return jnp.square(merged(x)).sum(), nnx.state(merged, nnx.BatchStat)

  gradient, new_stats = jax.jit(jax.grad(loss, has_aux=True))(params, images())
  learns, counts = {}, {}
  for path, leaf in nnx.to_flat_state(gradient):
    learns[path[1]] = learns.get(path[1], False) or bool(np.any(leaf.get_value()))
  before = dict(nnx.to_flat_state(stats))
  for path, leaf in nnx.to_flat_state(new_stats):
    moved = bool(np.any(leaf.get_value() != before[path].get_value()))
    counts[path[1]] = counts.get(path[1], False) or moved
  expected = {number: number >= 10 for number in range(NUM_STAGES)}
  assert learns == expected and counts == expected


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"width": 0.0}, "width is 0.0 and frozen_stages 0"),
    ({"frozen_stages": 20}, "frozen_stages 20; expected more than 0, and 0 to 19"),
    ({"convention": "caffe"}, "convention is 'caffe'; expected one of torch, keras"),
  ],
)
def test_settings_that_cannot_be(arguments, message):
  with pytest.raises(ValueError, match=message):
    MobileNetV2(**arguments, rngs=nnx.Rngs(0))


def make(**changes):
  settings = {
    "frame_shape": (32 * 32, 3),
    "num_classes": 8,
    "initial_bias": -3.0,
    "frame_size": (32, 32),
    "conv_layers": ((4, 4, 6), (3, 2, 8)),
    "conv_stride": 8,
    "conv_units": 10,
    "recurrent_units": 7,
    "dropout": 0.0,
  }
  return nnx.jit(lambda: SwingNet(**(settings | changes), rngs=nnx.Rngs(0)))()


@pytest.mark.parametrize(
  "changes",
  [
    pytest.param({}, marks=pytest.mark.slow),
    {"conv_norm": "batch"},
    {"less_mean": True},
    pytest.param({"conv_layers": "mobilenet_v2", "width": 0.35}, marks=pytest.mark.slow),
  ],
)
def test_logits_of_every_frame(changes):
  model = make(**changes)
  model.eval()
  frames = np.random.default_rng(1).standard_normal((2, 5, 32 * 32, 3)).astype(np.float32)
  logits = apply(model, frames)
  assert logits.shape == (2, 5, 8) and logits.dtype == jnp.float32
  other = frames.copy()
  other[0, 2] += 1.0
  change = np.abs(apply(model, other) - logits).max(axis=-1)
  assert (change[0] > 0).all() and not change[1].any()  # both directions; no clip sees another


def test_a_causal_network_does_not_see_ahead():
  model = make(bidirectional=False)
  frames = np.random.default_rng(1).standard_normal((1, 6, 32 * 32, 3)).astype(np.float32)
  other = frames.copy()
  other[0, 3] += 1.0
  change = np.abs(apply(model, other) - apply(model, frames)).max(axis=-1)[0]
  assert not change[:3].any() and (change[3:] > 0).all()


def test_less_mean_takes_away_what_stands_still():
  model = make(less_mean=True)
  frames = np.random.default_rng(1).standard_normal((1, 6, 32 * 32, 3)).astype(np.float32)
  background = np.random.default_rng(2).standard_normal((1, 1, 32 * 32, 3)).astype(np.float32)
  np.testing.assert_allclose(apply(model, frames + background), apply(model, frames), atol=1e-4)


def test_a_frame_size_that_does_not_fit():
  with pytest.raises(ValueError, match=r"frame_size is \(32, 16\); expected 1024 pixels"):
    make(frame_size=(32, 16))
