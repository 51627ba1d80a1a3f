"""The count loss's three passes over time as Pallas kernels: candidates for GPUs and TPUs.

Each takes the place of the function of its name in `softloc_jax.contour`, over blocks of sequences that stay
on the chip: the tilt with all its iterations in one launch, where XLA launches several kernels for each; the
product over time; and the posterior. What lies between is left to XLA.

They are here, and not in the library, until they have been measured to be faster.
"""

from __future__ import annotations

import functools
import math

import jax
from jax import Array
from jax.experimental import pallas as pl
import jax.numpy as jnp

from softloc_jax import contour

# Each with its own compiler: Triton's and Mosaic's.
PLATFORMS = ("gpu", "tpu")
# Sequences of a program and frames of one step of it. TPUs compute on 128 lanes.
_SEQUENCES = {"gpu": 16, "tpu": 128}
_FRAMES = {"gpu": 16, "tpu": 8}
# Frames that are multiplied out before the nodes are put in, as in `contour`.
_GROUP = 4


def tilt(logits: Array, count: Array, num_frames: Array, *, platform: str, interpret: bool = False) -> Array:
  """`contour._tilt`: `[T, N]`, `[N]`, `[N]` -> `[N]`."""
  frames, sequences = _FRAMES[platform], logits.shape[1]
  blocks = (_filled(logits, frames, platform, -jnp.inf), _row(count, platform), _row(num_frames, platform))
  num_steps = len(blocks[0]) // frames

  def kernel(logits_ref, count_ref, num_frames_ref, tilt_ref):
    def over_time(function, start):
      def step(i, so_far):
        return function(so_far, logits_ref[pl.ds(i * frames, frames), :])

      return jax.lax.fori_loop(0, num_steps, step, start)

    def moments(tilt):
      def add(so_far, logits):
        shares = jax.nn.sigmoid(logits + tilt)
        added = (shares, shares * (1 - shares))
        return tuple(s + jnp.sum(a, axis=0, keepdims=True) for s, a in zip(so_far, added, strict=True))

      zeros = jnp.zeros_like(tilt)
      return over_time(add, (zeros, zeros))

    def extremes(so_far, logits):
      least, most = so_far
      real = jnp.where(logits == -jnp.inf, jnp.inf, logits)
      return (
        jnp.minimum(least, jnp.min(real, axis=0, keepdims=True)),
        jnp.maximum(most, jnp.max(logits, axis=0, keepdims=True)),
      )

    count = count_ref[...]
    infinite = jnp.full_like(count, jnp.inf)
    least, most = over_time(extremes, (infinite, -infinite))
    tilt_ref[...] = contour.find_tilt(moments, least, most, count, num_frames_ref[...])

  call = _over_sequences(kernel, blocks, rows=[1], dtype=logits.dtype, platform=platform, interpret=interpret)
  return call(*blocks)[0][0, :sequences]


def product(shares: Array, angles: Array, *, platform: str, interpret: bool = False) -> Array:
  """`contour._product`: `[T, N]`, `[H, N]` -> complex `[H, N]`."""
  nodes, sequences = angles.shape
  # Angles of 0, whose product is 1, fill the nodes up.
  angles = _filled(angles, _power_of_two(nodes), platform)
  turns = [j * angles for j in range(1, _GROUP + 1)]
  # z^j - 1
  powers = [part for turn in turns for part in (-2 * jnp.square(jnp.sin(turn / 2)), jnp.sin(turn))]
  blocks = (_filled(shares, _GROUP, platform), *powers)
  num_steps = len(blocks[0]) // _GROUP

  def kernel(shares_ref, *refs):
    *power_refs, real_ref, imag_ref = refs
    powers = [ref[...] for ref in power_refs]

    def multiply(i, so_far):
      rows = [shares_ref[pl.ds(i * _GROUP + j, 1), :] for j in range(_GROUP)]
      coefficients = contour.coefficients(rows)
      real = sum(c * power for c, power in zip(coefficients, powers[::2], strict=True))
      imag = sum(c * power for c, power in zip(coefficients, powers[1::2], strict=True))
      more_real, more_imag = contour.times(*so_far, real, imag)
      return so_far[0] + real + more_real, so_far[1] + imag + more_imag

    zeros = jnp.zeros_like(powers[0])
    real, imag = jax.lax.fori_loop(0, num_steps, multiply, (zeros, zeros))
    real_ref[...], imag_ref[...] = 1 + real, imag

  call = _over_sequences(
    kernel, blocks, rows=[len(angles)] * 2, dtype=shares.dtype, platform=platform, interpret=interpret
  )
  return jax.lax.complex(*call(*blocks))[:nodes, :sequences]


def posterior(
  shares: Array, angles: Array, real: Array, imag: Array, *, platform: str, interpret: bool = False
) -> Array:
  """`contour._posterior`: `[T, N]`, `[H, N]` three times -> `[T, N]`."""
  num_frames, sequences = shares.shape
  frames = _FRAMES[platform] // 2
  parts = [
    _filled(part, _power_of_two(len(angles)), platform) for part in contour.at_nodes(angles, real, imag)
  ]
  blocks = (_filled(shares, frames, platform), *parts)
  num_steps = len(blocks[0]) // frames

  def kernel(shares_ref, at_zero_ref, slope_ref, spread_ref, posterior_ref):
    at_zero, slope, spread = (ref[...][None] for ref in (at_zero_ref, slope_ref, spread_ref))

    def step(i, _):
      here = pl.ds(i * frames, frames)
      shares = shares_ref[here, :]
      of_nodes = shares[:, None]
      terms = (at_zero + of_nodes * slope) / (1 - of_nodes * (1 - of_nodes) * spread)
      posterior_ref[here, :] = shares * jnp.sum(terms, axis=1)
      return 0

    jax.lax.fori_loop(0, num_steps, step, 0)

  call = _over_sequences(
    kernel, blocks, rows=[len(blocks[0])], dtype=shares.dtype, platform=platform, interpret=interpret
  )
  return call(*blocks)[0][:num_frames, :sequences]


def _over_sequences(kernel, blocks, *, rows: list[int], dtype, platform: str, interpret: bool):
  """The kernel over blocks of sequences, all rows of each: results `[rows[i], N]`."""
  width, sequences = _SEQUENCES[platform], blocks[0].shape[1]

  def block(num_rows: int) -> pl.BlockSpec:
    return pl.BlockSpec((num_rows, width), lambda i: (0, i))

  return pl.pallas_call(
    kernel,
    grid=(sequences // width,),
    in_specs=[block(len(part)) for part in blocks],
    out_specs=[block(number) for number in rows],
    out_shape=[jax.ShapeDtypeStruct((number, sequences), dtype) for number in rows],
    compiler_params=compiler_params(num_warps=4) if platform == "gpu" else None,
    interpret=interpret,
  )


def compiler_params(*, num_warps: int):
  """Of Triton, for programs of so many warps."""
  from jax.experimental.pallas import triton  # to be removed some day: then only the kernels are missing

  return triton.CompilerParams(num_warps=num_warps)


def _filled(array: Array, rows: int, platform: str, value: float = 0.0) -> Array:
  """Filled up to a multiple of these rows, and of the sequences of a program."""
  fill = ((0, -array.shape[0] % rows), (0, -array.shape[1] % _SEQUENCES[platform]))
  return jnp.pad(array, fill, constant_values=value)


def _row(array: Array, platform: str) -> Array:
  return _filled(array[None], 1, platform)


def _power_of_two(number: int) -> int:
  return max(8, 1 << math.ceil(math.log2(number)))


@functools.cache  # the same object every time, so that what is compiled for it is found again
def passes(platform: str, *, interpret: bool = False) -> contour.Passes:
  """The kernels for `contour.log_prob_and_posterior`."""
  return contour.Passes(
    *(functools.partial(f, platform=platform, interpret=interpret) for f in (tilt, product, posterior))
  )
