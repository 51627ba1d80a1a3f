"""Fourier transforms of batches of real signals, each device its share.

XLA does not divide a Fourier transform among devices: it hands the whole batch to each of them, which then
transform all of it. The first axis of what is transformed here is the batch.
"""

from __future__ import annotations

import functools

from jax import Array
import jax.numpy as jnp

from softloc_jax import data_parallel


def rfft(signal: Array, num_samples: int | None = None) -> Array:
  """Spectrum of the last axis, `[B, ..., N] -> [B, ..., F]`, of as many samples, cut or filled with zeros."""
  return _transform(functools.partial(jnp.fft.rfft, n=num_samples), signal)


def irfft(spectrum: Array, num_samples: int) -> Array:
  """Signals of which `rfft` is the spectrum, `[B, ..., F] -> [B, ..., num_samples]`."""
  return _transform(functools.partial(jnp.fft.irfft, n=num_samples), spectrum)


def _transform(function, array: Array) -> Array:
  # Without a batch, the only axis is the one that is transformed.
  return data_parallel.on_shares(function, array) if array.ndim > 1 else function(array)
