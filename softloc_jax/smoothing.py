"""Gaussian smoothing along time.

Border rule: outside the sequence there is nothing. Labels and predictions are both
continued by zeros, and smoothed mass that leaves the sequence is lost, the same for
both, so equal inputs stay equal up to the border.
"""

from __future__ import annotations

from jax import Array
import jax.numpy as jnp
from jax.typing import ArrayLike

# Up to here one [T, T] matrix product is the fastest on every backend we measured.
_MAX_MATRIX_FRAMES = 2048


def gaussian_kernel(offsets: ArrayLike, softness: ArrayLike) -> Array:
  """Gaussian of unit mass over the whole numbers (S2's filter).

  Args:
    offsets: frame offsets, any shape, integer valued.
    softness: standard deviation in frames, 0 or more; 0 is no smoothing. May be traced, so that it
      can be learned.

  Returns:
    The kernel at those offsets.

  >>> gaussian_kernel(jnp.arange(-1, 2), 1.0).round(4)
  Array([0.242 , 0.3989, 0.242 ], dtype=float32)
  """
  precision = 0.5 / jnp.square(jnp.maximum(softness, 1e-3))
  # The sum over all whole numbers is softness * sqrt(2 pi) to 2e-9 from 1 frame on, by Poisson's
  # summation formula; below that seven terms on each side hold it all.
  narrow = jnp.exp(-precision * jnp.square(jnp.arange(-7.0, 8.0))).sum()
  mass = jnp.where(softness < 1.0, narrow, softness * jnp.sqrt(2 * jnp.pi))
  offsets = jnp.asarray(offsets)
  offsets = offsets.astype(jnp.promote_types(offsets.dtype, jnp.float32))
  return jnp.exp(-precision * jnp.square(offsets)) / mass


def gaussian_smooth(values: ArrayLike, softness: ArrayLike) -> Array:
  """Smooths along time with a Gaussian that is not truncated.

  Args:
    values: `[..., T, C]`.
    softness: standard deviation in frames.

  Returns:
    `[..., T, C]` in at least float32.

  >>> gaussian_smooth(jnp.array([0.0, 1.0, 0.0])[:, None], 1.0)[:, 0].round(4)
  Array([0.242 , 0.3989, 0.242 ], dtype=float32)
  """
  values = jnp.asarray(values)
  values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
  num_frames = values.shape[-2]
  if num_frames <= _MAX_MATRIX_FRAMES:
    frames = jnp.arange(num_frames, dtype=values.dtype)
    weights = gaussian_kernel(frames[:, None] - frames[None, :], softness).astype(values.dtype)
    return jnp.einsum("st,...tc->...sc", weights, values, precision="highest")
  # Circular convolution, long enough that nothing comes round: size >= 2 T - 1.
  size = 1 << (2 * num_frames - 2).bit_length()
  frames = jnp.arange(size, dtype=values.dtype)
  kernel = gaussian_kernel(jnp.minimum(frames, size - frames), softness).astype(values.dtype)
  spectrum = jnp.fft.rfft(kernel)[:, None] * jnp.fft.rfft(values, n=size, axis=-2)
  return jnp.fft.irfft(spectrum, n=size, axis=-2)[..., :num_frames, :]
