"""NVIDIA's LSTM in place of a loop over frames, with the parameters of flax's cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import convolution


def is_available() -> bool:
  """Whether this process computes on an NVIDIA device."""
  return jax.default_backend() == "gpu" and "cuda" in jax.devices()[0].client.platform_version.lower()


def run(cells: Sequence[nnx.Module], x: Array) -> Array:
  """One LSTM layer, forwards or both ways: `[B, T, in_features] -> [B, T, units * len(cells)]`, in float32.

  Products are as precise as jax's are by default: recent devices round their factors. Devices that share a
  batch each compute all of it, as XLA does not divide what cuDNN computes; the result is the same.

  Args:
    cells: `nnx.OptimizedLSTMCell` of the forward direction, and of the backward one if there is one.
    x: inputs.

  References:
    Appleyard et al., "Optimizing performance of recurrent neural networks on GPUs", 2016.
  """
  lstm = _lstm(x.shape[-1], cells[0].hidden_features, len(cells))
  return lstm(x.astype(jnp.float32), flat_weights(cells))


def flat_weights(cells: Sequence[nnx.Module]) -> Array:
  """All parameters as cuDNN takes them: matrices of both directions, then biases; gates i, f, g, o."""
  parts = []
  for cell in cells:
    parts += [cell.dense_i.kernel[...].T, cell.dense_h.kernel[...].T]
  for cell in cells:
    for dense in (cell.dense_i, cell.dense_h):
      gates = dense.kernel.shape[-1]
      parts.append(jnp.zeros(gates) if dense.bias is None else dense.bias[...])
  return jnp.concatenate([part.ravel().astype(jnp.float32) for part in parts])


@functools.cache
def _lstm(in_features: int, units: int, num_directions: int) -> Callable[[Array, Array], Array]:
  """Differentiable once, in reverse; networks that are mapped over run one after the other."""
  from jax.experimental import rnn

  sizes = (in_features, units, 1, 0.0, num_directions == 2, None)

  def start(x):
    zeros = jnp.zeros((num_directions, len(x), units), jnp.float32)
    return zeros, zeros, jnp.full(len(x), x.shape[1], jnp.int32)

  def forward(x, weights):
    h, c, lengths = start(x)
    (y, _, _), residuals = rnn.lstm_fwd(x, h, c, weights, lengths, *sizes)
    return y, residuals

  def backward(residuals, cotangent):
    h, c, _ = start(residuals[0])
    x_bar, _, _, weights_bar, _ = rnn.lstm_bwd(*sizes, residuals, (cotangent, h, c))
    return x_bar, weights_bar

  mapped_forward, mapped_backward = map(convolution.one_by_one, (forward, backward))
  lstm = jax.custom_vjp(lambda x, weights: mapped_forward(x, weights)[0])
  lstm.defvjp(mapped_forward, mapped_backward)
  return lstm
