"""The whole count loss, value and gradient, in one Pallas kernel: a candidate for NVIDIA GPUs.

A program has sixteen sequences and reads them from the first-level cache again and again: for the tilt, the
product over time at the nodes, and the posterior. Nothing but logits, counts, values and gradients passes
through the device's memory, and nothing waits for the host. What lies between the passes is
`softloc_jax.contour`'s own.

It is here, and not in the library, until it has been measured on a device.
"""

from __future__ import annotations

import functools

import jax
from jax import Array
from jax.experimental import pallas as pl
import jax.numpy as jnp

from experiments.benchmarks import contour_kernels
from softloc_jax import contour

# Sequences of a program, beside each other in memory.
SEQUENCES = 16
# Nodes: more than suffice in float32 for any count, and a power of two.
_NODES = 16
# Frames of one step: of the product so many groups that make one polynomial, as many of sums over time, and
# fewer of the posterior, which holds all nodes of each.
_GROUP, _GROUPS, _POSTERIOR_FRAMES = 4, 4, 8
_FRAMES = _GROUP * _GROUPS
# Of 32 threads. With four, registers would spill.
_WARPS = 8


def value_and_gradient(
  logits: Array, count: Array, or_more: Array, *, interpret: bool = False
) -> tuple[Array, Array]:
  """`log Pr(Y = count)`, or `log Pr(Y >= count)`, and its gradient with respect to the logits.

  Args:
    logits: `[B, T, C]` float32; of frames that are not real -inf.
    count: `[B, C]` whole numbers from 0 to the number of real frames, as float32.
    or_more: `[B, C]` True for `Pr(Y >= count)`.
    interpret: whether the kernel is run step by step, on any device.

  Returns:
    Log-probabilities `[B, C]`, and gradients `[B, T, C]`, 0 where no frame is.

  Raises:
    ValueError: logits of another type, which need more nodes.
  """
  if logits.dtype != jnp.float32:
    raise ValueError(f"logits are {logits.dtype}; expected float32")
  batch, num_frames, num_classes = logits.shape
  fill = -num_frames % _FRAMES, -num_classes % SEQUENCES
  logits = jnp.pad(logits, ((0, 0), (0, fill[0]), (0, fill[1])), constant_values=-jnp.inf)
  count, or_more = (
    jnp.pad(part.astype(jnp.float32), ((0, 0), (0, fill[1])))[:, None] for part in (count, or_more)
  )
  row = pl.BlockSpec((None, 1, SEQUENCES), lambda b, c: (b, 0, c))
  frames = pl.BlockSpec((None, logits.shape[1], SEQUENCES), lambda b, c: (b, 0, c))
  value, gradient = pl.pallas_call(
    functools.partial(_kernel, num_steps=logits.shape[1] // _FRAMES),
    grid=(batch, logits.shape[2] // SEQUENCES),
    in_specs=[frames, row, row],
    out_specs=[row, frames],
    out_shape=[
      jax.ShapeDtypeStruct(count.shape, jnp.float32),
      jax.ShapeDtypeStruct(logits.shape, jnp.float32),
    ],
    compiler_params=contour_kernels.compiler_params(num_warps=_WARPS),
    interpret=interpret,
  )(logits, count, or_more)
  return value[:, 0, :num_classes], gradient[:, :num_frames, :num_classes]


def _kernel(logits_ref, count_ref, or_more_ref, value_ref, gradient_ref, *, num_steps: int):
  zeros = jnp.zeros((_FRAMES, SEQUENCES), jnp.float32)

  def over_time(function, start):
    return jax.lax.fori_loop(
      0, num_steps, lambda i, so_far: function(so_far, logits_ref[pl.ds(i * _FRAMES, _FRAMES), :]), start
    )

  def sums(function):
    """Of two functions of the frames; each place of a step keeps its own until the end."""
    found = over_time(
      lambda so_far, x: tuple(a + b for a, b in zip(so_far, function(x), strict=True)), (zeros,) * 2
    )
    return tuple(jnp.sum(one, axis=0) for one in found)

  def moments(tilt):
    def of_frames(x):
      shares = jax.nn.sigmoid(x + tilt)
      return shares, shares * (1 - shares)

    return sums(of_frames)

  def change(tilt):
    def of_frames(x):
      changed, likely = contour.changes(x, tilt)
      return jnp.where(x == -jnp.inf, 0.0, changed), likely.astype(jnp.float32)

    return sums(of_frames)

  def extremes(so_far, x):
    return jnp.minimum(so_far[0], jnp.where(x == -jnp.inf, jnp.inf, x)), jnp.maximum(so_far[1], x)

  count, or_more = count_ref[0, :], or_more_ref[0, :] > 0
  num_frames, _ = sums(lambda x: ((x > -jnp.inf).astype(jnp.float32), zeros))
  least, most = over_time(extremes, (zeros + jnp.inf, zeros - jnp.inf))
  tilt = contour.find_tilt(moments, jnp.min(least, axis=0), jnp.max(most, axis=0), count, num_frames)
  case = contour.cases(count, num_frames, or_more)
  end = case.tilt(tilt)
  changed, likely = change(end)
  angles, spacing = contour.nodes(moments(tilt)[1], _NODES)
  real, imag = _product(logits_ref, tilt, angles, num_steps)
  value, real, imag, missed = contour.weigh(
    real, imag, angles, spacing, tilt, changed + (likely - count) * end, count, case
  )
  value_ref[0, :] = value
  nodes = [part[None] for part in contour.at_nodes(angles, real, imag)]

  def write(i, _):
    here = pl.ds(i * _POSTERIOR_FRAMES, _POSTERIOR_FRAMES)
    x = logits_ref[here, :]
    probs = jax.nn.sigmoid(x)
    posterior = case.posterior(_posterior(jax.nn.sigmoid(x + tilt), *nodes), probs, missed)
    gradient_ref[here, :] = jnp.where(x == -jnp.inf, 0.0, posterior - probs)
    return 0

  jax.lax.fori_loop(0, num_steps * _FRAMES // _POSTERIOR_FRAMES, write, 0)


def _product(logits_ref, tilt: Array, angles: Array, num_steps: int) -> tuple[Array, Array]:
  """`contour._product` in two parts, `[H, N]`."""
  powers = [(-2 * jnp.square(jnp.sin(j * angles / 2)), jnp.sin(j * angles)) for j in range(1, _GROUP + 1)]

  def multiply(i, so_far):
    for group in range(_GROUPS):
      first = (i * _GROUPS + group) * _GROUP
      rows = [jax.nn.sigmoid(logits_ref[pl.ds(first + j, 1), :] + tilt) for j in range(_GROUP)]
      terms = list(zip(contour.coefficients(rows), powers, strict=True))
      real, imag = (sum(factor * power[part] for factor, power in terms) for part in (0, 1))
      more_real, more_imag = contour.times(*so_far, real, imag)
      so_far = so_far[0] + real + more_real, so_far[1] + imag + more_imag
    return so_far

  start = jnp.zeros(angles.shape, jnp.float32)
  real, imag = jax.lax.fori_loop(0, num_steps, multiply, (start, start))
  return 1 + real, imag


def _posterior(shares: Array, at_zero: Array, slope: Array, spread: Array) -> Array:
  """`contour._posterior` of a few frames, `[F, N]`."""
  of_nodes = shares[:, None]
  terms = (at_zero + of_nodes * slope) / (1 - of_nodes * (1 - of_nodes) * spread)
  return shares * jnp.sum(terms, axis=1)
