"""Layers of the networks for images, value and gradients: as softloc_jax computes them, and as XLA does."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.timing import Timing, compare
from softloc_jax.models import convolution

# Batch, side of the image, channels, side of the kernel, filters, stride, groups.
LAYERS = {
  "VGG-13, second": (32, 96, 64, 3, 64, 1, 1),
  "VGG-13, fourth": (32, 48, 128, 3, 128, 1, 1),
  "VGG-13, ninth": (32, 12, 512, 3, 512, 1, 1),
  "VGG-13, ninth, of one digit": (128, 2, 512, 3, 512, 1, 1),
  "MobileNetV2, wider": (64, 40, 16, 1, 96, 1, 1),
  "MobileNetV2, each channel": (64, 40, 96, 3, 96, 1, 96),
  "small network for digits": (32, 24, 48, 3, 48, 1, 1),
  "small network for swings": (512, 16, 16, 3, 32, 2, 1),
}
_NUMBERS = ("NHWC", "HWIO", "NHWC")


def measure(repeats: int) -> dict[str, dict[str, Timing]]:
  """Layer -> whose -> timing."""
  results = {}
  for name, (batch, side, channels, taps, filters, stride, groups) in LAYERS.items():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(batch, side, side, channels)).astype(np.float32))
    kernel = random.normal(size=(taps, taps, channels // groups, filters))
    kernel = jnp.asarray(kernel.astype(np.float32))
    settings = {"dimension_numbers": _NUMBERS, "feature_group_count": groups}
    functions = {
      whose: _value_and_grads(functools.partial(function, **settings), stride)
      for whose, function in (
        ("softloc_jax", convolution.conv_general_dilated),
        ("XLA", jax.lax.conv_general_dilated),
      )
    }
    title = f"{name}: {batch} x {side} x {side} x {channels} to {filters}, {taps} x {taps}"
    results[title] = compare(functions, x, kernel, repeats=repeats)
  return results


def _value_and_grads(convolve: Callable[..., Any], stride: int) -> Callable[..., Any]:
  def total(x, kernel):
    return jnp.sum(jnp.square(convolve(x, kernel, (stride, stride), "SAME")))

  return jax.jit(jax.value_and_grad(total, (0, 1)))
