"""Gaussian smoothing along time.

Border rule: outside the sequence there is nothing. Labels and predictions are both
continued by zeros, and smoothed mass that leaves the sequence is lost, the same for
both, so equal inputs stay equal up to the border.
"""

from __future__ import annotations

import math

import jax
from jax import Array
import jax.numpy as jnp
from jax.typing import ArrayLike
import numpy as np

# What a Fourier transform there and back costs for a value, in multiplications of a matrix product:
# experiments/benchmark.py has 300 to 700 on a CPU. On accelerators matrix products are cheaper still; that
# figure is not measured.
_FFT_COST = {"cpu": 400}
_FFT_COST_ELSEWHERE = 2048
_MIN_BLOCK = 32  # smaller matrix products take no less time


def gaussian_kernel(offsets: ArrayLike, softness: ArrayLike) -> Array:
  """Gaussian of unit mass over the whole numbers (S2's filter).

  Args:
    offsets: frame offsets, any shape, integer valued.
    softness: standard deviation in frames, 0 or more; 0 is no smoothing. May be traced, so that it
      can be learned.

  Returns:
    The kernel at those offsets, of unit mass to about 6e-9.

  >>> gaussian_kernel(jnp.arange(-1, 2), 1.0).round(4)
  Array([0.242 , 0.3989, 0.242 ], dtype=float32)
  """
  if jnp.result_type(softness) in (jnp.float16, jnp.bfloat16):
    softness = jnp.asarray(softness, jnp.float32)  # whose square would overflow
  precision = 0.5 / jnp.square(jnp.maximum(softness, 1e-3))
  # The sum over all whole numbers is softness * sqrt(2 pi) to 2e-9 from 1 frame on, by Poisson's
  # summation formula; below that seven terms on each side hold it all.
  narrow = jnp.exp(-precision * jnp.square(jnp.arange(-7.0, 8.0))).sum()
  mass = jnp.where(softness < 1.0, narrow, softness * jnp.sqrt(2 * jnp.pi))
  offsets = jnp.asarray(offsets)
  offsets = offsets.astype(jnp.promote_types(offsets.dtype, jnp.float32))
  return jnp.exp(-precision * jnp.square(offsets)) / mass


def gaussian_smooth(values: ArrayLike, softness: ArrayLike, *, method: str = "auto") -> Array:
  """Smooths along time with a Gaussian that is whole: what is cut off is below the values' last digit.

  Args:
    values: `[..., T, C]`.
    softness: standard deviation in frames.
    method: "matrix", one product with a `[T, T]` matrix; "blocks", products of short blocks with what the
      Gaussian reaches around them, for a softness that is known when the function is compiled; "fft",
      through the frequency domain; or "auto", the cheapest of these for the length and the softness.

  Returns:
    `[..., T, C]` in at least float32.

  Raises:
    ValueError: an unknown method, blocks for a softness that is traced, or a negative or infinite softness.

  >>> gaussian_smooth(jnp.array([0.0, 1.0, 0.0])[:, None], 1.0)[:, 0].round(4)
  Array([0.242 , 0.3989, 0.242 ], dtype=float32)
  """
  values = jnp.asarray(values)
  values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
  reach = _reach(softness, values.dtype)
  if method == "auto":
    method = _cheapest(values.shape[-2], reach)
  if method == "matrix":
    return _by_matrix(values, softness)
  if method == "fft":
    return _by_fft(values, softness)
  if method != "blocks":
    raise ValueError(f"method is {method!r}; expected 'auto', 'matrix', 'blocks' or 'fft'")
  if reach is None:
    raise ValueError("method is 'blocks' and the softness is traced; expected a number")
  return _by_blocks(values, softness, max(reach, _MIN_BLOCK))


def _cheapest(num_frames: int, reach: int | None) -> str:
  """The method of fewest multiplications for each value."""
  costs = {"matrix": num_frames, "fft": _FFT_COST.get(jax.default_backend(), _FFT_COST_ELSEWHERE)}
  if reach is not None:
    costs["blocks"] = 3 * max(reach, _MIN_BLOCK)
  return min(costs, key=costs.get)


def _reach(softness: ArrayLike, dtype) -> int | None:
  """Frames beyond which the Gaussian is less than the last digit of its peak; None if that is traced."""
  try:
    softness = float(softness)
  except jax.errors.ConcretizationTypeError:
    return None
  if not 0 <= softness < math.inf:
    raise ValueError(f"softness is {softness}; expected a finite number of frames, 0 or more")
  return math.ceil(softness * math.sqrt(-2 * math.log(np.finfo(dtype).eps / 8)))


def _by_matrix(values: Array, softness: ArrayLike) -> Array:
  frames = jnp.arange(values.shape[-2], dtype=values.dtype)
  weights = gaussian_kernel(frames[:, None] - frames[None, :], softness).astype(values.dtype)
  return jnp.einsum("st,...tc->...sc", weights, values, precision="highest")


def _by_blocks(values: Array, softness: ArrayLike, block: int) -> Array:
  """Each block of `block` frames, the Gaussian's reach, from itself and its two neighbours."""
  num_frames, num_classes = values.shape[-2:]
  num_blocks = -(-num_frames // block)
  filled = [(block, (num_blocks + 1) * block - num_frames), (0, 0)]
  blocks = jnp.pad(values, [(0, 0)] * (values.ndim - 2) + filled)
  blocks = blocks.reshape(*values.shape[:-2], num_blocks + 2, block, num_classes)
  around = [blocks[..., :-2, :, :], blocks[..., 1:-1, :, :], blocks[..., 2:, :, :]]
  offsets = jnp.arange(block)[:, None] - jnp.arange(-block, 2 * block)
  weights = gaussian_kernel(offsets, softness).astype(values.dtype)
  smooth = jnp.einsum("st,...tc->...sc", weights, jnp.concatenate(around, axis=-2), precision="highest")
  return smooth.reshape(*values.shape[:-2], num_blocks * block, num_classes)[..., :num_frames, :]


def _by_fft(values: Array, softness: ArrayLike) -> Array:
  """Circular convolution, long enough that nothing comes round: size >= 2 T - 1."""
  num_frames = values.shape[-2]
  size = _fast_length(2 * num_frames - 1)
  frames = jnp.arange(size, dtype=values.dtype)
  kernel = gaussian_kernel(jnp.minimum(frames, size - frames), softness).astype(values.dtype)
  spectrum = jnp.fft.rfft(kernel) * jnp.fft.rfft(jnp.swapaxes(values, -1, -2), n=size)
  return jnp.swapaxes(jnp.fft.irfft(spectrum, n=size)[..., :num_frames], -1, -2)


def _fast_length(least: int) -> int:
  """A length of that many or a few more that is a power of two, or 3 or 5 times one."""
  return min(factor << (-(-least // factor) - 1).bit_length() for factor in (1, 3, 5))
