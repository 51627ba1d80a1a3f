"""Cells of tables: processes that share the cores, and results that are used again only if they fit."""

import json
import os
import types

import pytest
from small_pulses import pulses, write

from configs.weak import folder as folder_config
from experiments import cells
from softloc_jax import recipes


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


def test_scores_of_other_settings_are_refused(tmp_path):
  path = tmp_path / "cell" / "scores.json"
  made = []

  def make():
    made.append(1)
    return {"f1": 0.5, "all": (1, 2)}

  for _ in range(2):
    assert cells.once(path, {"num_steps": None}, make) == {"f1": 0.5, "all": [1, 2]}
  assert made == [1]
  with pytest.raises(ValueError, match=r"scores.json was made by \{'num_steps': None\}, not"):
    cells.once(path, {"num_steps": 60}, make)


def test_fewer_steps_warm_up_for_less():
  config = cells.prepare(recipes.base("cell"), 20)
  assert config.num_steps == 20 and config.optimizer.warmup_steps == 5 and not config.progress
  assert cells.prepare(recipes.base("cell"), None).optimizer.warmup_steps == 50


def test_a_cell_that_fails_is_told_at_once_and_by_name(tmp_path):
  bad = recipes.base("bad")
  bad.batch_size = 0
  configs = {"bad": bad} | {f"after{number}": recipes.base("good") for number in range(6)}
  with pytest.raises(ValueError, match=r"^bad: batch_size is 0; expected 1 or more"):
    cells.run(configs, tmp_path, jobs=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """Recordings, the same ones elsewhere, and others."""
  found = []
  for seed in (0, 0, 1):
    found.append(tmp_path_factory.mktemp("data"))
    for number in range(4):
      write(found[-1], pulses(number, duration_s=20.0, seed=seed)[0])
  return found


@pytest.mark.slow
def test_a_cell_knows_its_recordings_wherever_they_lie(folders, tmp_path):
  def config_of(folder):
    config = folder_config.get_config(f"sensor,data_dir={folder},classes=pulse,rate_hz=50").unlock()
    config.eval_every = 4
    return cells.prepare(config, 4)

  results = cells.run_cell(config_of(folders[0]), tmp_path)
  assert json.loads((tmp_path / "config.json").read_text())["data"]["digest"]
  for folder in folders[:2]:
    assert cells.run_cell(config_of(folder), tmp_path) == results
  with pytest.raises(ValueError, match="belongs to a run on other recordings, labels or splits"):
    cells.run_cell(config_of(folders[2]), tmp_path)
