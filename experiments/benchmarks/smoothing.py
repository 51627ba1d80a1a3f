"""Gaussian smoothing, value and gradient: its methods at the shapes of the papers and longer ones."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.timing import Timing, compare
from softloc_jax import smoothing

# Batch, frames, classes, and softness in frames: the piano of S section 4.2 at 5 and 10 ms, its CPU variant,
# drums, golf swings, and whole recordings.
SHAPES = (
  (32, 300, 88, 20.0),
  (32, 150, 88, 10.0),
  (8, 100, 88, 5.0),
  (16, 200, 3, 5.0),
  (22, 64, 8, 1.0),
  (8, 1000, 88, 10.0),
  (1, 20_000, 3, 10.0),
  (1, 20_000, 3, 300.0),
)
_MOST_MATRIX_FRAMES = 5000


def measure(repeats: int) -> dict[str, dict[str, Timing]]:
  """Shape and softness -> method -> timing."""
  results = {}
  for *shape, softness in SHAPES:
    values = jnp.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    functions = {name: _value_and_grad(name, softness) for name in ("auto", "matrix", "blocks", "fft")}
    if shape[1] > _MOST_MATRIX_FRAMES:
      del functions["matrix"]
    title = f"{' x '.join(map(str, shape))}, softness {softness:g}"
    results[title] = compare(functions, values, repeats=repeats)
  return results


def _value_and_grad(method: str, softness: float) -> Callable[[Any], Any]:
  smooth = functools.partial(smoothing.gaussian_smooth, softness=softness, method=method)
  return jax.jit(jax.value_and_grad(lambda values: jnp.sum(jnp.square(smooth(values)))))
