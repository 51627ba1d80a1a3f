"""OnsetNet: shapes, what a logit sees, precision, training, and bad settings."""

from flax import nnx
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import events, losses, models

SMALL = {
  "name": "onset_net",
  "features": 4,
  "stem_kernel": (3, 3),
  "dilations": ((1, 1), (2, 3)),
  "context_units": 5,
  "recurrent_units": 3,
}
PITCHES = {"harmonics": (1, 2), "lowest_pitch": 60, "mel_range_hz": (200.0, 4000.0)}
BINS = 9


def make(*, num_classes=3, initial_bias=0.0, seed=0, **changes):
  config = ConfigDict(SMALL | changes)
  return models.from_config(
    config, frame_shape=(BINS, 2), num_classes=num_classes, initial_bias=initial_bias, rngs=nnx.Rngs(seed)
  )


def frames(num_frames=20, seed=0, batch=1):
  return np.random.default_rng(seed).standard_normal((batch, num_frames, BINS, 2)).astype(np.float32)


def call(model, x):
  model.eval()
  graphdef, state = nnx.split(model)
  return np.asarray(jax.jit(lambda state, x: nnx.merge(graphdef, state, copy=True)(x))(state, x))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
  "changes",
  [
    {},
    PITCHES,
    {"bin_stride": 4, "stem_kernel": (3, 4), "recurrent": "lstm"},
    {"recurrent": None, "dilations": ()},
    PITCHES | {"context_units": 0, "bin_stride": 1},
  ],
)
def test_one_logit_per_frame_and_class(changes, causal):
  for stride in (1,) if causal else (1, 3):
    for num_frames in (1, 10):
      x = jax.ShapeDtypeStruct((2, num_frames, BINS, 2), jnp.float32)
      settings = changes | {"causal": causal, "time_stride": stride}
      logits = jax.eval_shape(lambda x, settings=settings: make(**settings)(x), x)
      assert logits.shape == (2, num_frames, 3)
      assert logits.dtype == jnp.float32


@pytest.mark.parametrize("changes", [{}, PITCHES | {"recurrent": "lstm"}])
def test_causal_logits_ignore_what_comes_later_and_others_do_not(changes):
  x, later, earlier = frames(), frames(), frames()
  later[:, 11:] += frames(seed=1)[:, 11:]
  earlier[:, 9] += 1.0
  x = np.concatenate([x, later, earlier])
  causal = call(make(causal=True, **changes), x)
  np.testing.assert_array_equal(causal[0, :11], causal[1, :11])
  assert not np.allclose(causal[0, 11], causal[1, 11])
  assert not np.allclose(causal[0, 10], causal[2, 10])  # it sees the past
  centred = call(make(causal=False, **changes), x)
  assert not np.allclose(centred[0, 10], centred[1, 10])


def test_without_recurrence_padding_reaches_as_far_as_the_kernels_and_no_further():
  # Stem 3 frames, kernels 3 and 2 * 2 + 1: one, one and two frames to each side.
  model = make(recurrent=None, **PITCHES)
  padded = np.pad(frames(), ((0, 0), (6, 9), (0, 0), (0, 0)))
  alone, within = call(model, frames()), call(model, padded)[:, 6:26]
  np.testing.assert_allclose(within[:, 4:-4], alone[:, 4:-4], rtol=1e-4, atol=1e-5)
  changed = frames()
  changed[:, 10] += 1.0
  seen = np.flatnonzero(np.abs(call(model, changed) - alone).max(axis=(0, 2)) > 1e-5)
  assert seen.min() == 6 and seen.max() == 14


@pytest.mark.parametrize("changes", [{}, PITCHES])
def test_strided_logits_belong_to_their_frames(changes):
  model = make(recurrent=None, dilations=(), time_stride=2, **changes)
  # Every logit of a step gets weights of its own, so that none is the same by chance.
  x = frames(21)
  moved = np.repeat(x, 21, axis=0)
  moved[np.arange(21), np.arange(21)] += 1.0
  logits = call(model, np.concatenate([x, moved]))
  assert logits.shape == (22, 21, 3)  # 21 frames are no whole number of steps
  changed = (np.abs(logits[1:] - logits[0]) > 1e-6).any(-1)
  assert changed.diagonal().all()
  t, s = np.nonzero(changed)
  assert np.abs(t - s).max() <= 2


def test_a_note_a_pitch_higher_gives_the_logits_a_class_higher():
  model = make(num_classes=12, recurrent=None, context_units=0, dilations=((1, 1),), **PITCHES)
  model.stack = None  # two bins to a pitch already
  note = np.random.default_rng(0).standard_normal((1, 5, 6, 4)).astype(np.float32)
  low, high = (np.pad(note, ((0, 0), (0, 0), (at, 18 - at), (0, 0))) for at in (8, 10))
  before, after = call(model, low), call(model, high)
  # The outermost classes see the end of the axis.
  np.testing.assert_allclose(after[..., 2:-1], before[..., 1:-2], rtol=1e-4, atol=1e-5)
  assert np.ptp(before, axis=-1).max() > 0.01
  model.place[...] = model.place[...].at[7].add(1.0)  # what is learned of one pitch alone
  assert np.abs(call(model, low) - before).max() > 0.01


@pytest.mark.parametrize(
  "changes", [pytest.param({}, marks=pytest.mark.slow), PITCHES, PITCHES | {"context_units": 0}]
)
def test_before_training_the_count_is_zero_with_the_probability_asked_for(changes):
  omega, num_frames = 0.8, 150
  bias = events.bias_for_empty_count(omega, num_frames)
  x = np.concatenate([np.zeros((1, num_frames, BINS, 2), np.float32), frames(num_frames)])

  def empty(seed):
    model = make(initial_bias=bias, seed=jax.random.key(seed), **changes)
    model.eval()
    return jnp.exp(-jax.nn.softplus(model(x)).sum(axis=1))  # no event in any frame, [B, C]

  silence, signal = np.moveaxis(jax.jit(jax.vmap(empty))(jnp.arange(8)), 1, 0)
  np.testing.assert_allclose(silence, omega, rtol=1e-4)
  np.testing.assert_allclose(signal, omega, atol=0.25)
  assert np.median(signal) == pytest.approx(omega, abs=0.1)


def test_gradients_are_finite_and_reach_every_parameter():
  model = make(**PITCHES)
  model.eval()
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)

  def loss(params):
    logits = nnx.merge(graphdef, params, rest, copy=True)(frames(30, batch=2))
    return losses.count_nll(logits, jnp.full((2, 3), 4), max_count=10)

  grads = jax.tree.leaves(jax.jit(jax.grad(loss))(params))
  assert all(np.isfinite(g).all() for g in grads)
  assert all(np.abs(g).max() > 0 for g in grads)


def test_dropout_acts_in_training_only_and_by_its_key():
  model = make(dropout=0.5)
  model.train()
  graphdef, state = nnx.split(model)

  @jax.jit
  def trained(key):
    model = nnx.merge(graphdef, state, copy=True)
    nnx.reseed(model, default=key)
    return model(frames())

  first, again, other = (np.asarray(trained(jax.random.key(seed))) for seed in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert not np.allclose(first, other)
  model.eval()
  np.testing.assert_array_equal(call(model, frames()), call(model, frames()))


@pytest.mark.parametrize("changes", [{}, PITCHES])
def test_half_precision_is_close_and_keeps_parameters_and_logits_in_float32(changes):
  exact, half = make(**changes), make(dtype="bfloat16", **changes)
  assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half, nnx.Param))} == {jnp.dtype("float32")}
  expected, found = call(exact, frames()), call(half, frames())
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
  assert np.abs(found - expected).max() > 0  # it is in use


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"recurrent": "rnn"}, "recurrent is 'rnn'; expected one of gru, lstm, cudnn_lstm, min_gru or None"),
    ({"dtype": "float16"}, "dtype is 'float16'; expected one of float32, bfloat16"),
    ({"time_stride": 4}, "time_stride is 4; expected 1 to 3"),
    ({"time_stride": 2, "causal": True}, "time_stride is 2; expected 1 to 1"),
    ({"bin_stride": 4}, "bin_stride is 4; expected 1 to 3"),
    ({"dropout": 1.0}, "dropout is 1.0; expected 0 or more and less than 1"),
    ({"context_units": 0}, "harmonics is empty and context_units 0; expected one of them"),
    ({"harmonics": (-1,)}, r"harmonics are \(-1,\); expected positive numbers"),
    ({"width": 3}, "'onset_net': .*'width'; expected features, stem_kernel"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes)
