"""Times functions side by side: in turns, in one process, so that what disturbs one disturbs all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import os
import platform
import time
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Timing:
  """How long a function took.

  Attributes:
    seconds: of each call after the first, which compiles.
    memory_bytes: what it needs beside arguments and results, if its compiler says so.
  """

  seconds: tuple[float, ...]
  memory_bytes: int | None = None

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
  functions: Mapping[str, Callable[..., Any]], *arguments: Any, repeats: int = 7, least_s: float = 0.02
) -> dict[str, Timing]:
  """Times functions of the same arguments in turns.

  Before each measurement the function is called once more, so that what the one before it left in the
  caches, and threads of its library that are still waiting for work, count against none.

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
  for _ in range(repeats):
    for name, function in functions.items():
      _finish(function(*arguments))
      seconds[name].append(_time(function, arguments, calls[name]))
  return {
    name: Timing(tuple(seconds[name]), _memory_bytes(function, arguments))
    for name, function in functions.items()
  }


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


def _memory_bytes(function: Callable, arguments: tuple) -> int | None:
  if not hasattr(function, "lower"):
    return None
  analysis = function.lower(*arguments).compile().memory_analysis()
  return None if analysis is None else int(analysis.temp_size_in_bytes)


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
