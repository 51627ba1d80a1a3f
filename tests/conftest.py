"""Fixtures that several test files share."""

import os
import pathlib
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]
# configs and experiments are no part of the installed package, nor are modules that tests share.
sys.path[:0] = [str(REPO), str(REPO / "tests")]


@pytest.fixture(scope="session")
def shared_data():
  """`shared_data("mitdb")` is the folder of real data, or skips the test where it is missing."""
  root = pathlib.Path(os.environ.get("SOFTLOC_DATA", REPO.parent / "shared" / "data"))

  def find(name: str) -> pathlib.Path:
    if not (root / name).exists():
      pytest.skip(f"real data not found: {root / name} (set SOFTLOC_DATA to the folder that holds it)")
    return root / name

  return find
