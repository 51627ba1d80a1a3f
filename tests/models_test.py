"""The CRNN: shapes, causality, what it says before training, and bad settings."""

from flax import nnx
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import events, losses, models
from softloc_jax.models import layers

SMALL = {"conv_features": (6, 6), "conv_kernel": (3, 3), "recurrent": "gru", "recurrent_units": 5}


def make_model(*, frame_shape=(8, 2), num_classes=3, initial_bias=0.0, seed=0, **changes):
  config = ConfigDict({"name": "crnn"} | SMALL | changes)
  return models.from_config(
    config, frame_shape=frame_shape, num_classes=num_classes, initial_bias=initial_bias, rngs=nnx.Rngs(seed)
  )


def random_frames(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def call(model, frames):
  """One compiled pass, far faster than op by op."""
  graphdef, state = nnx.split(model)
  return np.asarray(jax.jit(lambda x: nnx.merge(graphdef, state, copy=True)(x))(frames))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"merge_bins": True, "conv_kernel": (4, 1)},
    {"conv_pool": 2},
    {"conv_pool": (2, 4), "residual": False},
    {"recurrent": "lstm", "dense_units": 7},
    {"recurrent": None},
    {"conv_features": (), "recurrent": None, "dense_units": 4},
    {"bottleneck_units": 4, "dense_units": (5, 4), "dense_activation": "sigmoid", "bidirectional": False},
    {"conv_norm": "batch", "conv_dropout": 0.3, "conv_pool": 2, "bottleneck_dropout": 0.3},
  ],
)
def test_one_logit_per_frame_and_class(changes, causal):
  for num_frames in (1, 10):
    frames = jax.ShapeDtypeStruct((2, num_frames, 8, 2), jnp.float32)
    logits = jax.eval_shape(lambda x: make_model(causal=causal, **changes)(x), frames)
    assert logits.shape == (2, num_frames, 3)
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (5, 3), (4, 4)])
def test_strided_logits_belong_to_their_frames(kernel, stride):
  # Only the first convolution, so that a logit sees just the frames of its own step and the kernel's reach.
  model = make_model(conv_features=(16,), conv_kernel=(kernel, 1), recurrent=None, time_stride=stride)
  frames = np.zeros((1, 23, 8, 2), np.float32)
  moved = np.repeat(frames, 23, axis=0)
  moved[np.arange(23), np.arange(23)] = 1.0
  logits = call(model, np.concatenate([frames, moved]))
  assert logits.shape == (24, 23, 3)  # 23 frames are no whole number of steps
  changed = (np.abs(logits[1:] - logits[0]) > 1e-6).any(-1)  # [frame that was moved, logit]
  assert changed.diagonal().all()
  t, s = np.nonzero(changed)
  assert np.abs(t - s).max() < kernel


@pytest.mark.parametrize(
  "changes",
  [{"recurrent": "lstm", "conv_pool": 2}, {"merge_bins": True, "conv_kernel": (4, 1), "recurrent": None}],
)
def test_causal_logits_ignore_what_comes_later_and_others_do_not(changes):
  frames = random_frames(1, 20, 8, 2)
  later, earlier = frames.copy(), frames.copy()
  later[:, 11:] += random_frames(1, 9, 8, 2, seed=1)
  earlier[:, 9] += 1.0
  frames = np.concatenate([frames, later, earlier])
  causal = call(make_model(causal=True, **changes), frames)
  np.testing.assert_array_equal(causal[0, :11], causal[1, :11])
  assert not np.allclose(causal[0, 11], causal[1, 11])
  assert not np.allclose(causal[0, 10], causal[2, 10])  # it sees the past
  centred = call(make_model(causal=False, **changes), frames)
  assert not np.allclose(centred[0, 10], centred[1, 10])


def test_centred_convolutions_look_as_far_ahead_as_back():
  model = make_model(recurrent=None, conv_features=(6, 6), conv_kernel=(5, 1))
  graphdef, state = nnx.split(model)
  sensitivity = jax.jit(jax.grad(lambda x: nnx.merge(graphdef, state, copy=True)(x)[0, 15].sum()))(
    random_frames(1, 30, 8, 2)
  )
  seen = np.flatnonzero(np.abs(sensitivity).sum(axis=(0, 2, 3)))
  assert seen.min() == 15 - 4 and seen.max() == 15 + 4


def test_before_training_the_count_is_zero_with_the_probability_asked_for():
  omega, num_frames = 0.8, 150
  bias = events.bias_for_empty_count(omega, num_frames)
  frames = np.stack([np.zeros((num_frames, 8, 2), np.float32), random_frames(num_frames, 8, 2)])

  def empty(seed):
    logits = make_model(initial_bias=bias, recurrent=None, seed=jax.random.key(seed))(frames)
    return jnp.exp(-jax.nn.softplus(logits).sum(axis=1))  # no event in any frame, [B, C]

  silence, signal = np.moveaxis(jax.jit(jax.vmap(empty))(jnp.arange(20)), 1, 0)
  np.testing.assert_allclose(silence, omega, rtol=1e-4)
  # Untrained weights add to the bias, as often up as down.
  assert np.median(signal) == pytest.approx(omega, abs=0.1)


def test_seeds_give_other_parameters_and_the_same_seed_the_same():
  frames = random_frames(1, 6, 8, 2)
  first, again, other = (call(make_model(seed=seed, recurrent=None), frames) for seed in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert not np.allclose(first, other)


def test_a_residual_convolution_without_weights_changes_nothing():
  frames = random_frames(1, 6, 8, 2)
  settings = {"conv_features": (2,), "recurrent": None}
  model, plain = make_model(residual=True, **settings), make_model(residual=False, **settings)
  for one in (model, plain):
    one.convs[0].kernel[...] = jnp.zeros_like(one.convs[0].kernel[...])
  expected = frames.reshape(1, 6, -1) @ model.logits.kernel[...]
  np.testing.assert_allclose(call(model, frames), expected, atol=1e-5)
  assert not call(plain, frames).any()


@pytest.mark.parametrize(
  "changes",
  [
    {"dense_units": 4, "conv_pool": 2},
    {"conv_norm": "batch", "bottleneck_units": 6, "dense_units": (5, 4), "dense_activation": "sigmoid"},
  ],
)
def test_gradients_are_finite_and_reach_every_parameter(changes):
  graphdef, params, rest = nnx.split(make_model(**changes), nnx.Param, ...)

  def loss(params):
    logits = nnx.merge(graphdef, params, rest, copy=True)(random_frames(2, 30, 8, 2))
    return losses.count_nll(logits, jnp.full((2, 3), 4), max_count=10)

  grads = jax.tree.leaves(jax.jit(jax.grad(loss))(params))
  assert all(np.isfinite(g).all() for g in grads)
  assert all(np.abs(g).max() > 0 for g in grads)


def test_a_recurrent_layer_in_one_direction_foresees_only_what_convolutions_see():
  model = make_model(bidirectional=False, recurrent="lstm", conv_features=(6,))
  frames = random_frames(1, 20, 8, 2)
  changed = frames.copy()
  changed[:, 11] += 1.0
  before, after = call(model, np.concatenate([frames, changed]))
  np.testing.assert_array_equal(before[:10], after[:10])
  assert (np.abs(before[10:] - after[10:]).max(axis=1) > 1e-6).all()


def test_pooling_takes_the_largest_and_cuts_what_is_left():
  x = random_frames(2, 3, 7, 4)
  windowed = nnx.max_pool(x, window_shape=(1, 2), strides=(1, 2))
  np.testing.assert_array_equal(layers.max_pool_bins(x, 2), windowed)


def test_batch_statistics_follow_training_and_stay_in_evaluation():
  model = make_model(conv_norm="batch", recurrent=None)
  frames = 3 + random_frames(4, 20, 8, 2)
  graphdef, params, stats, rest = nnx.split(model, nnx.Param, nnx.BatchStat, ...)

  @jax.jit
  def train(stats):
    model = nnx.merge(graphdef, params, stats, rest, copy=True)
    model.train()
    return model(frames), nnx.state(model, nnx.BatchStat)

  for _ in range(800):
    trained, stats = train(stats)
  nnx.update(model, stats)
  model.eval()
  np.testing.assert_allclose(call(model, frames), trained, rtol=1e-2, atol=1e-2)
  assert not np.allclose(call(model, 2 * frames), call(model, frames))  # no statistics of its own batch


def test_dropout_follows_its_key_and_evaluation_has_none():
  settings = {"conv_pool": 2, "bottleneck_units": 6, "recurrent": None}
  model = make_model(conv_dropout=0.5, bottleneck_dropout=0.5, **settings)
  frames = random_frames(1, 6, 8, 2)
  trained = []
  for seed in (1, 1, 2):
    nnx.reseed(model, default=jax.random.key(seed))
    model.train()
    trained.append(call(model, frames))
  np.testing.assert_array_equal(trained[0], trained[1])
  assert not np.allclose(trained[0], trained[2])
  model.eval()
  plain = make_model(**settings)  # same seed, so the same parameters
  np.testing.assert_array_equal(call(model, frames), call(plain, frames))


@pytest.mark.parametrize(
  "changes",
  [
    {"recurrent": "gru", "dense_units": 5},
    {"recurrent": "lstm", "conv_norm": "batch", "bottleneck_units": 6},
  ],
)
def test_half_precision_is_close_and_keeps_parameters_and_logits_in_float32(changes):
  frames = random_frames(2, 40, 8, 2)
  exact, half = make_model(**changes), make_model(dtype="bfloat16", **changes)
  assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half, nnx.Param))} == {jnp.dtype("float32")}
  expected, found = call(exact, frames), call(half, frames)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())
  assert np.abs(found - expected).max() > 0  # it is in use


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"name": "vgg"}, "model.name is 'vgg'; expected one of crnn, onset_net"),
    ({"recurrent": "rnn"}, "recurrent is 'rnn'; expected one of gru, lstm, cudnn_lstm, min_gru or None"),
    ({"conv_norm": "layer"}, "conv_norm is 'layer'; expected 'batch' or None"),
    ({"dense_activation": "tanh"}, "dense_activation is 'tanh'; expected one of relu, sigmoid"),
    ({"conv_dropout": -0.1}, "dropout is -0.1; expected 0 or more"),
    ({"dtype": "half"}, "dtype is 'half'; expected one of float32, bfloat16"),
    ({"conv_pool": (2,)}, "conv_pool has 1 entries; expected 2, one per convolution"),
    ({"conv_pool": 4}, "conv_pool has 4; expected 1 to 2, the bins that are left"),
    ({"conv_pool": 0}, "conv_pool has 0"),
    ({"merge_bins": True, "conv_pool": 2}, "conv_pool has 2; expected 1 to 1"),
    ({"time_stride": 4}, "time_stride is 4; expected 1 to 3"),
    ({"time_stride": 0}, "time_stride is 0"),
    ({"time_stride": 2, "causal": True}, "time_stride is 2; expected 1 to 1"),
    ({"time_stride": 2, "conv_features": ()}, "time_stride is 2; expected 1 to 1"),
    ({"width": 3}, "'crnn': .*'width'; expected conv_features, conv_kernel"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    make_model(**changes)


def test_missing_settings_are_named():
  with pytest.raises(ValueError, match="'crnn': missing a required argument: 'conv_features'"):
    models.from_config(
      {"name": "crnn"}, frame_shape=(1, 1), num_classes=1, initial_bias=0.0, rngs=nnx.Rngs(0)
    )
