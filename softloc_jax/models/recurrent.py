"""Recurrent layers over time, with everything that needs no recurrence done at once.

The cells and parameters of GRU and LSTM are flax's. What differs is the order of the work: the inputs of all
frames are projected in one product before the loop, and both directions advance in the same loop. "min_gru"
has gates that depend on the input alone: its recurrence is linear and needs no loop. "cudnn_lstm" is the
LSTM, on NVIDIA's devices by NVIDIA's library, in float32, and anywhere else as "lstm".
"""

from __future__ import annotations

from collections.abc import Sequence

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import cudnn_lstm


class MinGRUCell(nnx.Module):
  """Parameters of `h_t = (1 - z_t) h_(t-1) + z_t n_t`, gate and candidate linear in the input.

  Args:
    in_features: width of the input.
    hidden_features: width of the state.
    dtype: of the matrix product.
    rngs: where the parameters come from.

  References:
    Feng et al., "Were RNNs all we needed?", 2024.
  """

  def __init__(self, in_features: int, hidden_features: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
    self.dense_i = nnx.Linear(in_features, 2 * hidden_features, dtype=dtype, rngs=rngs)
    self.dtype = dtype

  def all_frames(self, x: Array) -> Array:
    """The states after each frame, from zero: `[B, T, in_features] -> [B, T, hidden_features]`.

    Frames are joined pairwise, in log2 T rounds, each of which handles all of them at once.
    """
    gate, candidate = jnp.split(self.dense_i(x).astype(jnp.float32), 2, axis=-1)

    def join(before, after):
      return before[0] * after[0], after[0] * before[1] + after[1]

    added = jax.nn.sigmoid(gate) * candidate
    return jax.lax.associative_scan(join, (jax.nn.sigmoid(-gate), added), axis=1)[1].astype(self.dtype)


CELLS = {
  "gru": nnx.GRUCell,
  "lstm": nnx.OptimizedLSTMCell,
  "cudnn_lstm": nnx.OptimizedLSTMCell,
  "min_gru": MinGRUCell,
}


class Forward(nnx.Module):
  """One recurrent layer from the first frame to the last: `[B, T, in_features] -> [B, T, units]`.

  Args:
    kind: "gru", "lstm", "cudnn_lstm" (the same parameters as "lstm") or "min_gru".
    in_features: width of the input.
    units: width of the state.
    dtype: of the matrix products and of the output; gates and state are float32.
    rngs: where the parameters come from.

  Raises:
    ValueError: an unknown kind.
  """

  def __init__(self, kind: str, in_features: int, units: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
    if kind not in CELLS:
      raise ValueError(f"recurrent is {kind!r}; expected one of {', '.join(CELLS)} or None")
    self.kind = kind
    self.cell = CELLS[kind](in_features, units, dtype=dtype, rngs=rngs)

  def __call__(self, x: Array) -> Array:
    if self.kind == "cudnn_lstm" and cudnn_lstm.is_available():
      return cudnn_lstm.run([self.cell], x).astype(self.cell.dtype)
    return _scan([self.cell], [x])[0]


class Bidirectional(nnx.Module):
  """A recurrent layer in each direction, concatenated: `[B, T, in_features] -> [B, T, 2 * units]`.

  The arguments are those of `Forward`; `units` are per direction.
  """

  def __init__(self, kind: str, in_features: int, units: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
    self.forward_rnn = Forward(kind, in_features, units, dtype=dtype, rngs=rngs)
    self.backward_rnn = Forward(kind, in_features, units, dtype=dtype, rngs=rngs)

  def __call__(self, x: Array) -> Array:
    cells = [self.forward_rnn.cell, self.backward_rnn.cell]
    if self.forward_rnn.kind == "cudnn_lstm" and cudnn_lstm.is_available():
      return cudnn_lstm.run(cells, x).astype(cells[0].dtype)
    forward, backward = _scan(cells, [x, jnp.flip(x, axis=1)])
    return jnp.concatenate([forward, jnp.flip(backward, axis=1)], axis=-1)


def _scan(cells: Sequence[nnx.Module], inputs: Sequence[Array]) -> list[Array]:
  """Outputs of independent cells of one kind over their inputs `[B, T, in_features]`, in one loop."""
  if isinstance(cells[0], MinGRUCell):
    return [cell.all_frames(x) for cell, x in zip(cells, inputs, strict=True)]
  step = _gru_step if isinstance(cells[0], nnx.GRUCell) else _lstm_step
  dtype, units = cells[0].dtype, cells[0].hidden_features
  projected = []
  for cell, x in zip(cells, inputs, strict=True):
    y = cell.dense_i(x)
    projected.append(y if cell.dense_h.bias is None else y + cell.dense_h.bias[...].astype(dtype))
  kernel = jnp.stack([cell.dense_h.kernel[...] for cell in cells]).astype(dtype)  # [cells, units, gates]

  def advance(state, x):
    h = state[0]
    recurrent = jnp.einsum("dbu,dug->dbg", h.astype(dtype), kernel)
    state = step(state, x.astype(jnp.float32), recurrent.astype(jnp.float32))
    return state, state[0].astype(dtype)

  sequence = jnp.stack(projected).transpose(2, 0, 1, 3)  # [T, cells, B, gates]
  zeros = jnp.zeros((*sequence.shape[1:3], units), jnp.float32)
  _, outputs = jax.lax.scan(advance, (zeros, zeros), sequence)
  return list(outputs.transpose(1, 2, 0, 3))


def _gru_step(state: tuple[Array, Array], x: Array, recurrent: Array) -> tuple[Array, Array]:
  h, unused = state
  x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
  h_r, h_z, h_n = jnp.split(recurrent, 3, axis=-1)
  z = jax.nn.sigmoid(x_z + h_z)
  n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
  return (1.0 - z) * n + z * h, unused


def _lstm_step(state: tuple[Array, Array], x: Array, recurrent: Array) -> tuple[Array, Array]:
  _, c = state
  i, f, g, o = jnp.split(x + recurrent, 4, axis=-1)
  c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
  return jax.nn.sigmoid(o) * jnp.tanh(c), c
