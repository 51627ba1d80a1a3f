"""Sounds played faster or slower by any factor, in JAX: band-limited, each sound by its own factor.

The spectrum is low-passed below what the result can hold and inverted at twice the rate; between those
samples lies a cubic B-spline whose fall-off over the passband the spectrum has been divided by. What is
left of spline images is below -66 dB for content up to half of the Nyquist frequency and -45 dB up to
three quarters.
"""

from __future__ import annotations

import math

from jax import Array
import jax.numpy as jnp
import numpy as np

from softloc_jax import fourier

# Samples on either side of a position that its value is made of.
REACH_SAMPLES = 2
_TRANSITION = 0.08  # of the passband's edge


def resample(signal: Array, factor: Array, *, num_samples: int, centre: float, centre_out: float) -> Array:
  """A sound played `factor` times as fast: sample `m` is taken at `centre + factor * (m - centre_out)`.

  Args:
    signal: `[..., N]`.
    factor: `[...]`; above 1 a sound gets shorter and higher.
    num_samples: of the result.
    centre: position in the signal that stays where it is, at `centre_out` in the result.
    centre_out: position in the result.

  Returns:
    `[..., num_samples]`. Beyond its ends a signal continues with zeros.

  >>> import jax.numpy as jnp
  >>> ramp = jnp.cos(jnp.arange(1000.0) / 50)
  >>> faster = resample(ramp, jnp.array(1.1), num_samples=100, centre=500.0, centre_out=50.0)
  >>> float(jnp.abs(faster - jnp.cos((500 + 1.1 * (jnp.arange(100.0) - 50)) / 50)).max()) < 1e-3
  True
  """
  fft_samples = fast_length(signal.shape[-1] + 64)
  spectrum = fourier.rfft(signal, fft_samples) * spline_response(fft_samples, factor)
  return sample_spline(
    spectrum, factor, fft_samples, num_samples=num_samples, centre=centre, centre_out=centre_out
  )


def spline_response(fft_samples: int, factor: Array) -> Array:
  """What a spectrum is multiplied by before `sample_spline`: `[...] -> [..., F]`, real."""
  frequency = np.fft.rfftfreq(fft_samples).astype(np.float32)  # in cycles per sample
  equalized = np.sinc(0.5 * frequency) ** -4.0
  edge = 0.5 * jnp.minimum(1.0, 1.0 / factor)[..., None]
  fall = jnp.clip((edge - frequency) / (_TRANSITION * edge), 0.0, 1.0)
  return equalized * (0.5 - 0.5 * jnp.cos(jnp.pi * fall))


def sample_spline(
  spectrum: Array, factor: Array, fft_samples: int, *, num_samples: int, centre: float, centre_out: float
) -> Array:
  """The second half of `resample`, from a spectrum that has been multiplied by `spline_response`."""
  double = 2.0 * fourier.irfft(spectrum, 2 * fft_samples)
  # Positions are far apart but factors are close to 1: only the difference needs a float.
  whole = math.floor(centre - centre_out)
  from_centre = np.arange(num_samples, dtype=np.float32) - np.float32(centre_out)
  shift = 2.0 * ((factor - 1.0)[..., None] * from_centre + np.float32(centre - centre_out - whole))
  floor = jnp.floor(shift)
  place = shift - floor
  first = floor.astype(jnp.int32) + 2 * (np.arange(num_samples, dtype=np.int32) + whole) - 1
  rest = 1.0 - place
  weights = (
    rest**3 / 6,
    2 / 3 - place**2 * (1 - place / 2),
    2 / 3 - rest**2 * (1 - rest / 2),
    place**3 / 6,
  )

  def sample(index: Array) -> Array:
    # A negative index would count from the end.
    index = jnp.where(index < 0, 2 * fft_samples, index)
    return jnp.take_along_axis(double, index, axis=-1, mode="fill", fill_value=0.0)

  return sum(weight * sample(first + tap) for tap, weight in enumerate(weights))


def fast_length(num_samples: int) -> int:
  """The smallest length from `num_samples` on that is a product of 2, 3 and 5 and even: fast to transform."""
  best = 1 << max(1, (num_samples - 1).bit_length())
  five = 1
  while five < best:
    three = five
    while three < best:
      length = 2 * three
      while length < num_samples:
        length *= 2
      best = min(best, length)
      three *= 3
    five *= 5
  return best
