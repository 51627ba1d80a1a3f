"""Recurrent layers against flax's own loop over the same cells."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax.models import gated, recurrent


def apply(model, x):
  graphdef, state = nnx.split(model)
  return jax.jit(lambda state, x: nnx.merge(graphdef, state, copy=True)(x))(state, x)


def frames(num_frames=7, seed=0):
  return np.random.default_rng(seed).standard_normal((2, num_frames, 3)).astype(np.float32)


def with_biases(layer):
  """Biases start at zero, where a misplaced one would not show."""
  _, params = nnx.split(layer)
  rng = np.random.default_rng(1)
  nnx.update(layer, jax.tree.map(lambda x: x + 0.3 * rng.standard_normal(x.shape).astype(x.dtype), params))
  return layer


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_equals_flax_in_value_and_gradient(kind):
  both = with_biases(recurrent.Bidirectional(kind, 3, 4, rngs=nnx.Rngs(0)))
  theirs = nnx.Bidirectional(nnx.RNN(both.forward_rnn.cell), nnx.RNN(both.backward_rnn.cell))
  np.testing.assert_allclose(apply(both, frames()), apply(theirs, frames()), rtol=1e-5, atol=1e-6)
  forward = both.forward_rnn
  np.testing.assert_array_equal(apply(forward, frames()).shape, (2, 7, 4))
  np.testing.assert_allclose(apply(forward, frames()), apply(both, frames())[..., :4], rtol=1e-5, atol=1e-6)

  for ours, expected in zip(gradients(both, frames()), gradients(theirs, frames()), strict=True):
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def gradients(model, x):
  """Of the parameters, then of the input."""
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)

  def loss(params, x):
    return jnp.sum(jnp.sin(nnx.merge(graphdef, params, rest, copy=True)(x).astype(jnp.float32)))

  return jax.tree.leaves(jax.jit(jax.grad(loss, argnums=(0, 1)))(params, x))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gradients_of_half_precision_are_those_of_single_within_its_rounding(kind):
  x = jnp.asarray(frames(30))
  exact, half = (
    gradients(with_biases(recurrent.Bidirectional(kind, 3, 4, dtype=dtype, rngs=nnx.Rngs(0))), x)
    for dtype in (jnp.float32, jnp.bfloat16)
  )
  for found, expected in zip(half, exact, strict=True):
    assert found.dtype == jnp.float32
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


@pytest.mark.parametrize("loop", [gated.gru, gated.lstm])
def test_mapped_loops_are_those_one_by_one(loop):
  num_gates = 3 if loop is gated.gru else 4
  rng = np.random.default_rng(0)
  inputs = tuple(jnp.asarray(rng.standard_normal((5, 6, 2, 4)), jnp.float32) for _ in range(num_gates))
  kernel = jnp.asarray(rng.standard_normal((5, 4, 4 * num_gates)), jnp.float32)

  def gradient(inputs, kernel):
    return jax.grad(lambda *args: jnp.sum(jnp.sin(loop(*args))), argnums=(0, 1))(inputs, kernel)

  mapped = jax.tree.leaves(jax.jit(jax.vmap(gradient))(inputs, kernel))
  for number in range(5):
    alone = jax.tree.leaves(gradient(tuple(x[number] for x in inputs), kernel[number]))
    for found, expected in zip(mapped, alone, strict=True):
      np.testing.assert_allclose(found[number], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 7, 20])
def test_a_linear_recurrence_equals_its_loop(num_frames):
  layer = with_biases(recurrent.Bidirectional("min_gru", 3, 4, rngs=nnx.Rngs(0)))
  x, found = frames(num_frames), apply(layer, frames(num_frames))
  for part, direction, inputs in (
    (found[..., :4], layer.forward_rnn, x),
    (found[:, ::-1, 4:], layer.backward_rnn, x[:, ::-1]),
  ):
    gate, candidate = np.split(np.asarray(direction.cell.dense_i(inputs)), 2, axis=-1)
    z, h = 1 / (1 + np.exp(-gate)), np.zeros((2, 4))
    for t in range(num_frames):
      h = (1 - z[:, t]) * h + z[:, t] * candidate[:, t]
      np.testing.assert_allclose(part[:, t], h, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "min_gru"])
def test_forward_remembers_but_does_not_foresee(kind):
  layer = recurrent.Forward(kind, 3, 4, rngs=nnx.Rngs(0))
  changed = frames()
  changed[:, 3] += 1
  before, after = apply(layer, frames()), apply(layer, changed)
  np.testing.assert_array_equal(before[:, :3], after[:, :3])
  assert (np.abs(before[:, 3:] - after[:, 3:]).max(axis=(0, 2)) > 1e-4).all()


def test_half_precision_keeps_the_state_exact():
  # 600 steps that each add little: a state in bfloat16 would stop changing once it is 256 times larger.
  layer = recurrent.Forward("lstm", 1, 1, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
  gates = jnp.array([-4.0, 20.0, 1.0, 20.0])  # input, forget, candidate, output
  layer.cell.dense_h.bias[...] = gates
  for dense in (layer.cell.dense_i, layer.cell.dense_h):
    dense.kernel[...] = jnp.zeros_like(dense.kernel[...])
  output = apply(layer, np.zeros((1, 600, 1), np.float32))
  assert output.dtype == jnp.bfloat16
  added = 1 / (1 + np.exp(4.0)) * np.tanh(1.0)
  expected = np.tanh(added * np.arange(1, 601))
  np.testing.assert_allclose(output[0, :, 0].astype(np.float32), expected, rtol=1e-2)


def test_an_unknown_kind_is_refused():
  with pytest.raises(
    ValueError, match="recurrent is 'rnn'; expected one of gru, lstm, cudnn_lstm, min_gru or None"
  ):
    recurrent.Forward("rnn", 3, 4, rngs=nnx.Rngs(0))
