"""Times functions side by side: in turns, in one process, so that what disturbs one disturbs all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import os
import platform
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Timing:
  """How long a function took.

  Attributes:
    seconds: of each call after the first, which compiles.
    memory_bytes: what it needs beside arguments and results, if its compiler says so.
    moved_bytes: arguments and results, which have to be read and written at least once.
    operations: floating-point ones, as jax counts them: bodies of loops once.
  """

  seconds: tuple[float, ...]
  memory_bytes: int | None = None
  moved_bytes: int | None = None
  operations: float | None = None

  @property
  def median_s(self) -> float:
    """The middle one."""
    return float(np.median(self.seconds))

  @property
  def spread_s(self) -> float:
    """Half the distance of the quartiles."""
    low, high = np.percentile(self.seconds, (25, 75))
    return float(high - low) / 2


def compare(
  functions: Mapping[str, Callable[..., Any]], *arguments: Any, repeats: int = 7, least_s: float = 0.05
) -> dict[str, Timing]:
  """Times functions of the same arguments in turns, in an order that is drawn anew for each round.

  Before each measurement the function is called as often without one, so that what the one before it left in
  the caches, and threads of its library that are still waiting for work, count against none.

  Args:
    functions: name -> function; one that jax has jitted also reports its memory.
    *arguments: of all of them.
    repeats: measurements of each.
    least_s: short functions are called so many times in a row that a measurement takes this long.

  Returns:
    Name -> timing, in the order given.
  """
  calls, seconds = {}, {name: [] for name in functions}
  for name, function in functions.items():
    _finish(function(*arguments))
    calls[name] = max(1, round(least_s / max(_time(function, arguments, 1), 1e-7)))
  shuffled = np.random.default_rng(0).permutation
  for _ in range(repeats):
    for name in shuffled(list(functions)):
      _time(functions[name], arguments, calls[name])
      seconds[name].append(_time(functions[name], arguments, calls[name]))
  return {
    name: Timing(tuple(seconds[name]), **counted(function, arguments)) for name, function in functions.items()
  }


def repeated(value_and_grad: Callable, calls: int) -> Callable:
  """The same `calls` times in one program, each on what the gradient of the one before makes of its input.

  So short functions are timed on accelerators, where to ask for one takes longer than to compute it.
  """

  def all_of_them(x, *rest):
    def update(_, so_far):
      value, x = so_far
      new, gradient = value_and_grad(x, *rest)
      return value + new, x - 1e-6 * gradient

    return jax.lax.fori_loop(0, calls, update, (jnp.zeros(()), x))

  return jax.jit(all_of_them)


def _time(function: Callable, arguments: tuple, calls: int) -> float:
  """Seconds of a call, of several in a row."""
  started = time.perf_counter()
  for _ in range(calls):
    result = function(*arguments)
  _finish(result)
  return (time.perf_counter() - started) / calls


def _finish(result: Any) -> None:
  """Waits for arrays that are still being computed."""
  jax.block_until_ready(result)


def counted(function: Callable, arguments: tuple) -> dict[str, Any]:
  """What a `Timing` has beside its seconds, of a function that jax has jitted; nothing of others."""
  if not hasattr(function, "lower"):
    return {}
  lowered = function.lower(*arguments)
  compiled = lowered.compile()
  # On GPUs the compiled program's count leaves out what libraries do: products and convolutions.
  counter = compiled if jax.default_backend() == "cpu" else lowered
  memory, cost = compiled.memory_analysis(), counter.cost_analysis()
  found = {"operations": float(cost["flops"])} if cost and "flops" in cost else {}
  if memory is not None:
    found["memory_bytes"] = int(memory.temp_size_in_bytes)
    found["moved_bytes"] = int(
      memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    )
  return found


def machine() -> dict[str, Any]:
  """What the figures were taken on."""
  device = jax.devices()[0]
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
  return {
    "device": device.device_kind,
    "platform": device.platform,
    "processor": _processor(),
    "cores": cores,
    "jax": jax.__version__,
    "python": platform.python_version(),
  }


def _processor() -> str:
  try:
    with open("/proc/cpuinfo") as file:
      return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
  except (OSError, StopIteration):
    return platform.processor() or platform.machine()
