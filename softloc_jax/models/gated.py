"""The loops of GRU and LSTM over frames, once the inputs of all frames are projected.

Every gate is an array of its own, `[T, ..., B, units]`: XLA turns a loop's body into vector instructions on a
CPU only where it does not pick the gates from one wide array, and takes three times as long otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools

import jax
from jax import Array
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def gru(inputs: tuple[Array, Array, Array], kernel: Array, dtype=jnp.float32) -> Array:
  """States of a gated recurrent unit after each frame, from zero; differentiable once, in reverse.

  Args:
    inputs: of the gates r, z and n, each `[T, ..., B, units]`, float32.
    kernel: of the state before, `[..., units, 3 * units]`.
    dtype: of the matrix products.

  Returns:
    `[T, ..., B, units]`, float32.

  References:
    Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014; the reset gate comes
    after the product, as in cuDNN and flax.
  """

  def advance(h: Array, x: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    _, z, n, _ = _gru_gates(x, _product(h, kernel, dtype))
    h = (1.0 - z) * n + z * h
    return h, h

  return jax.lax.scan(advance, jnp.zeros_like(inputs[0][0]), inputs)[1]


def _gru_gates(inputs: Sequence[Array], recurrent: Array) -> tuple[Array, Array, Array, Array]:
  """Gates r, z and n, and what r is multiplied with."""
  of_r, of_z, of_n = jnp.split(recurrent, 3, axis=-1)
  r, z = jax.nn.sigmoid(inputs[0] + of_r), jax.nn.sigmoid(inputs[1] + of_z)
  return r, z, jnp.tanh(inputs[2] + r * of_n), of_n


def _gru_forward(inputs, kernel, dtype):
  states = gru(inputs, kernel, dtype)
  return states, (inputs, kernel, states)


def _gru_backward(dtype, residuals, cotangent):
  """Only the states are kept, and the gates of all frames computed again at once.

  So what is left to the loop is a product with the kernel, and that kernel's gradient is one product too.
  """
  inputs, kernel, states = residuals
  before = _one_later(states)
  r, z, n, of_n = _gru_gates(inputs, _product(before, kernel, dtype))
  # How the sum into each gate moves the state.
  by_n = (1.0 - z) * (1.0 - n * n)
  by_r, by_z, by_of_n = by_n * of_n * r * (1.0 - r), (before - n) * z * (1.0 - z), by_n * r
  transposed = jnp.swapaxes(kernel, -1, -2)

  def retreat(later: Array, frame: tuple[Array, ...]) -> tuple[Array, Array]:
    cotangent, z, by_r, by_z, by_of_n = frame
    h_bar = later + cotangent
    sums = jnp.concatenate([h_bar * by_r, h_bar * by_z, h_bar * by_of_n], axis=-1)
    return h_bar * z + _product(sums, transposed, dtype), h_bar

  frames = (cotangent, z, by_r, by_z, by_of_n)
  _, h_bar = jax.lax.scan(retreat, jnp.zeros_like(states[0]), frames, reverse=True)
  r_bar, z_bar, of_n_bar = h_bar * by_r, h_bar * by_z, h_bar * by_of_n
  kernel_bar = [_outer(before, sums, dtype) for sums in (r_bar, z_bar, of_n_bar)]
  return (r_bar, z_bar, h_bar * by_n), jnp.concatenate(kernel_bar, axis=-1).astype(kernel.dtype)


gru.defvjp(_gru_forward, _gru_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def lstm(inputs: tuple[Array, Array, Array, Array], kernel: Array, dtype=jnp.float32) -> Array:
  """Outputs of a long short-term memory after each frame, from zero; differentiable once, in reverse.

  Args:
    inputs: of the gates i, f, g and o, each `[T, ..., B, units]`, float32.
    kernel: of the output before, `[..., units, 4 * units]`.
    dtype: of the matrix products.

  Returns:
    `[T, ..., B, units]`, float32.

  References:
    Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
  """
  return _lstm_states(inputs, kernel, dtype)[0]


def _lstm_states(inputs, kernel: Array, dtype) -> tuple[Array, Array]:
  """Outputs and memory after each frame."""

  def advance(state: tuple[Array, Array], x: tuple[Array, ...]):
    h, c = state
    i, f, g, o = _lstm_gates(x, _product(h, kernel, dtype))
    c = f * c + i * g
    h = o * jnp.tanh(c)
    return (h, c), (h, c)

  zeros = jnp.zeros_like(inputs[0][0])
  return jax.lax.scan(advance, (zeros, zeros), inputs)[1]


def _lstm_gates(inputs: Sequence[Array], recurrent: Array) -> tuple[Array, Array, Array, Array]:
  i, f, g, o = (x + h for x, h in zip(inputs, jnp.split(recurrent, 4, axis=-1), strict=True))
  return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)


def _lstm_forward(inputs, kernel, dtype):
  states, memory = _lstm_states(inputs, kernel, dtype)
  return states, (inputs, kernel, states, memory)


def _lstm_backward(dtype, residuals, cotangent):
  """As that of `gru`, with the memory kept too."""
  inputs, kernel, states, memory = residuals
  before, memory_before = _one_later(states), _one_later(memory)
  i, f, g, o = _lstm_gates(inputs, _product(before, kernel, dtype))
  level = jnp.tanh(memory)
  # How the sums into the gates move the memory, or for the output gate the output; how the memory moves it.
  by_i, by_f, by_g = g * i * (1.0 - i), memory_before * f * (1.0 - f), i * (1.0 - g * g)
  by_o, by_memory = level * o * (1.0 - o), o * (1.0 - level * level)
  transposed = jnp.swapaxes(kernel, -1, -2)

  def retreat(later: tuple[Array, Array], frame: tuple[Array, ...]):
    cotangent, f, by_i, by_f, by_g, by_o, by_memory = frame
    h_bar = later[0] + cotangent
    c_bar = later[1] + h_bar * by_memory
    sums = jnp.concatenate([c_bar * by_i, c_bar * by_f, c_bar * by_g, h_bar * by_o], axis=-1)
    return (_product(sums, transposed, dtype), c_bar * f), (h_bar, c_bar)

  frames = (cotangent, f, by_i, by_f, by_g, by_o, by_memory)
  zeros = jnp.zeros_like(states[0])
  _, (h_bar, c_bar) = jax.lax.scan(retreat, (zeros, zeros), frames, reverse=True)
  inputs_bar = (c_bar * by_i, c_bar * by_f, c_bar * by_g, h_bar * by_o)
  kernel_bar = [_outer(before, sums, dtype) for sums in inputs_bar]
  return inputs_bar, jnp.concatenate(kernel_bar, axis=-1).astype(kernel.dtype)


lstm.defvjp(_lstm_forward, _lstm_backward)


def _one_later(states: Array) -> Array:
  """What each frame begins with: `[T, ...] -> [T, ...]`."""
  return jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])


def _product(states: Array, kernel: Array, dtype) -> Array:
  """`[..., B, in] x [..., in, out] -> [..., B, out]`, float32."""
  return jnp.matmul(states.astype(dtype), kernel.astype(dtype)).astype(jnp.float32)


def _outer(states: Array, sums: Array, dtype) -> Array:
  """The kernel's gradient, summed over frames and batch: `[T, ..., B, in] x2 -> [..., in, out]`."""
  return jnp.einsum("t...bi,t...bo->...io", states.astype(dtype), sums.astype(dtype)).astype(jnp.float32)
