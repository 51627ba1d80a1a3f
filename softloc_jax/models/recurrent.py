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

from softloc_jax.models import cudnn_lstm, gated


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
  loop, num_gates = (gated.gru, 3) if isinstance(cells[0], nnx.GRUCell) else (gated.lstm, 4)
  dtype = cells[0].dtype
  projected = [_projected(cell, x, num_gates) for cell, x in zip(cells, inputs, strict=True)]
  gates = tuple(jnp.stack(of_cells, axis=1) for of_cells in zip(*projected, strict=True))
  kernel = jnp.stack([cell.dense_h.kernel[...] for cell in cells])
  outputs = loop(gates, kernel, dtype).astype(dtype)  # [T, cells, B, units]
  return [outputs[:, number].swapaxes(0, 1) for number in range(len(cells))]


def _projected(cell: nnx.Module, x: Array, num_gates: int) -> list[Array]:
  """What each gate gets from the inputs of all frames, `[T, B, units]` each, in float32."""
  y = cell.dense_i(x.swapaxes(0, 1))
  y = y if cell.dense_h.bias is None else y + cell.dense_h.bias[...].astype(cell.dtype)
  return jnp.split(y.astype(jnp.float32), num_gates, axis=-1)
