"""Processes of a table share the cores."""

import os
import types

import pytest

from experiments import cells


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin processes")
@pytest.mark.parametrize("number", [1, 2, 5, 6])  # a second pool of one process goes on counting
def test_each_process_has_its_share_of_the_cores(monkeypatch, number):
  given = {}
  monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
  monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: given.update(cores=set(cores)))
  process = types.SimpleNamespace(_identity=(number,))
  monkeypatch.setattr(cells.multiprocessing, "current_process", lambda: process)
  cells._share_cores(2)
  assert given["cores"] == ({0, 2, 4, 6} if number % 2 else {1, 3, 5, 7})
