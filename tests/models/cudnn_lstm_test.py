"""NVIDIA's LSTM, and what surrounds its call where there is no NVIDIA device."""

from flax import nnx
import jax
from jax.experimental import rnn
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax.models import cudnn_lstm, recurrent


def layer(bidirectional, kind="cudnn_lstm"):
  one = recurrent.Bidirectional if bidirectional else recurrent.Forward
  made = one(kind, 3, 4, rngs=nnx.Rngs(0))
  _, params = nnx.split(made)
  rng = np.random.default_rng(1)
  nnx.update(made, jax.tree.map(lambda x: x + 0.3 * rng.standard_normal(x.shape).astype(x.dtype), params))
  return made


def frames():
  return np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)


def cells_of(made):
  return [made.forward_rnn.cell, made.backward_rnn.cell] if hasattr(made, "forward_rnn") else [made.cell]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_loop_computes_what_nvidia_documents(bidirectional):
  made = layer(bidirectional)
  cells, x = cells_of(made), frames()
  weights = cudnn_lstm.flat_weights(cells)
  assert weights.shape == (rnn.get_num_params_in_lstm(3, 4, 1, bidirectional),)
  zeros, lengths = jnp.zeros((len(cells), 2, 4)), jnp.full(2, 7, jnp.int32)
  unpacked = rnn.unpack_lstm_weights(weights, 3, 4, 1, bidirectional)
  expected, _, _ = rnn.lstm_ref(x, zeros, zeros, *unpacked, lengths, 3, 4, 1, 0.0, bidirectional)
  np.testing.assert_allclose(made(x), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def by_reference(monkeypatch):
  """Where cuDNN would be called, what jax gives as its reference: the calls around it stay as they are."""

  def reference(x, h, c, weights, lengths, *sizes):
    unpacked = rnn.unpack_lstm_weights(weights, *sizes[:3], sizes[4])
    return rnn.lstm_ref(x, h, c, *unpacked, lengths, *sizes[:5])

  def forward(x, h, c, weights, lengths, *sizes):
    return reference(x, h, c, weights, lengths, *sizes), (x, h, c, weights, lengths)

  def backward(*arguments):
    *sizes, (*inputs, lengths), cotangents = arguments
    _, pull_back = jax.vjp(lambda *inputs: reference(*inputs, lengths, *sizes), *inputs)
    return (*pull_back(cotangents), jnp.zeros_like(lengths))

  monkeypatch.setattr(rnn, "lstm_fwd", forward)
  monkeypatch.setattr(rnn, "lstm_bwd", backward)
  monkeypatch.setattr(cudnn_lstm, "is_available", lambda: True)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_value_and_gradient_of_networks_that_are_mapped_over(by_reference, bidirectional):
  def value_and_grad(kind):
    graphdef, params = nnx.split(layer(bidirectional, kind))

    def loss(params, x):
      return jnp.sum(jnp.sin(nnx.merge(graphdef, params)(x)))

    several = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf, -leaf]), params)
    x = np.stack([frames(), frames()[:, ::-1], 2 * frames()])
    return jax.jit(jax.vmap(jax.value_and_grad(loss, (0, 1))))(several, x)

  found, expected = (jax.tree.leaves(value_and_grad(kind)) for kind in ("cudnn_lstm", "lstm"))
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(cudnn_lstm.is_available(), reason="cuDNN computes it here")
def test_elsewhere_it_is_the_loop():
  np.testing.assert_array_equal(layer(True)(frames()), layer(True, "lstm")(frames()))


@pytest.mark.skipif(not cudnn_lstm.is_available(), reason="needs an NVIDIA device")
@pytest.mark.parametrize("bidirectional", [False, True])
def test_cudnn_equals_the_loop(bidirectional):
  np.testing.assert_allclose(
    jax.jit(layer(bidirectional))(frames()), layer(bidirectional, "lstm")(frames()), rtol=1e-3, atol=1e-4
  )
