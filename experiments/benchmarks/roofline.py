"""How fast a device can be at best: what it copies and multiplies in a second, measured on itself."""

from __future__ import annotations

import dataclasses

import jax

from experiments.benchmarks.timing import Timing, compare


@dataclasses.dataclass(frozen=True)
class Roof:
  """Most that a device does in a second.

  Attributes:
    bytes_per_s: read and written, of an array far larger than any cache.
    operations_per_s: of a product of large float32 matrices, an addition and a multiplication counted apart,
      as precise as networks are by default: on accelerators that is less than float32 can be.
  """

  bytes_per_s: float
  operations_per_s: float

  def floor_s(self, timing: Timing) -> float | None:
    """The least time that a function's arguments, results and operations take; None if not counted."""
    if timing.moved_bytes is None or timing.operations is None:
      return None
    return max(timing.moved_bytes / self.bytes_per_s, timing.operations / self.operations_per_s)


def measure(*, repeats: int = 5, size: int = 4096) -> Roof:
  """Measures the device.

  Args:
    repeats: of each measurement, of which the shortest counts.
    size: rows and columns of the matrices; the array that is copied holds four of them.
  """
  # Equal numbers would cost some devices less power, and so less time.
  numbers = jax.random.normal(jax.random.key(0), (4 * size * size,))
  matrix = jax.random.normal(jax.random.key(1), (size, size))
  copied = compare({"copy": jax.jit(lambda x: x + 1)}, numbers, repeats=repeats)["copy"]
  product = jax.jit(lambda x: x @ x)
  multiplied = compare({"product": product}, matrix, repeats=repeats)["product"]
  return Roof(2 * numbers.nbytes / min(copied.seconds), 2.0 * size**3 / min(multiplied.seconds))
