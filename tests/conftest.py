"""Fixtures that several test files share."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]
# configs and experiments are no part of the installed package, nor are modules that tests share.
sys.path[:0] = [str(REPO), str(REPO / "tests")]

# Tests compile the same programs over and over, in several processes: what one has compiled, all use.
_CACHE = "JAX_COMPILATION_CACHE_DIR"
_OWN_CACHE = tempfile.mkdtemp(prefix="softloc_jax_tests_") if _CACHE not in os.environ else None
if _OWN_CACHE:
  os.environ[_CACHE] = _OWN_CACHE
  os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
  os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"


def pytest_unconfigure(config):
  """The process that made the cache, which starts and outlives all others, removes it."""
  if _OWN_CACHE:
    shutil.rmtree(_OWN_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data():
  """`shared_data("mitdb")` is the folder of real data, or skips the test where it is missing."""
  root = pathlib.Path(os.environ.get("SOFTLOC_DATA", REPO.parent / "shared" / "data"))

  def find(name: str) -> pathlib.Path:
    if not (root / name).exists():
      pytest.skip(f"real data not found: {root / name} (set SOFTLOC_DATA to the folder that holds it)")
    return root / name

  return find
