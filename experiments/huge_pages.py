"""Memory in huge pages, for processes that are started.

XLA gives the memory of a step back when it is done, and asks for it anew: on a CPU the system then hands out
thousands of small pages a step, which the benchmark sees take an eighth of its time. Huge pages are few.
Whoever allocates decides when its process starts, so that a process cannot choose for itself.
"""

from collections.abc import Iterator
import contextlib
import os
import platform

_VARIABLE = "GLIBC_TUNABLES"
_TUNABLE = "glibc.malloc.hugetlb"


def available() -> bool:
  """Whether the C library knows of them: glibc from 2.35 on. Elsewhere the setting does nothing."""
  name, version = platform.libc_ver()
  return name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)


@contextlib.contextmanager
def for_new_processes(wanted: bool | None = None) -> Iterator[None]:
  """Processes that start in this context have huge pages, or not; unless said, if the user wants no other."""
  before = os.environ.get(_VARIABLE)
  others = [part for part in (before or "").split(":") if part]
  if wanted is not None:
    others = [part for part in others if not part.startswith(f"{_TUNABLE}=")]
  if wanted is not None or not any(part.startswith(f"{_TUNABLE}=") for part in others):
    os.environ[_VARIABLE] = ":".join([*others, f"{_TUNABLE}={int(wanted is not False)}"])
  try:
    yield
  finally:
    if before is None:
      os.environ.pop(_VARIABLE, None)
    else:
      os.environ[_VARIABLE] = before
