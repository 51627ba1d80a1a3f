"""`experiments/evaluate.py`, run as a user runs it."""

import json
import pathlib
import subprocess
import sys

import pytest
from small_config import small

from configs import common
from configs.weak import drums
from softloc_jax import train

REPO = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("evaluate") / "run"
  return workdir, train.train_and_evaluate(small(drums.get_config()), workdir)


def evaluate(workdir, *flags):
  command = [sys.executable, "-m", "experiments.evaluate", f"--workdir={workdir}", *flags]
  return subprocess.run(command, cwd=REPO, capture_output=True, text=True)


@pytest.mark.slow
def test_the_same_settings_give_the_same_scores(trained):
  workdir, results = trained
  done = evaluate(workdir)
  assert done.returncode == 0, done.stderr[-2000:]
  again = json.loads((workdir / "evaluation_test_50ms" / "results.json").read_text())
  assert again == results
  assert f"{results['f1']:.3f}" in done.stdout


def test_other_recordings_and_tolerance(trained, tmp_path):
  workdir, results = trained
  done = evaluate(workdir, "--set=data.seed=5", "--window_ms=200", f"--out={tmp_path / 'other'}")
  assert done.returncode == 0, done.stderr[-2000:]
  other = json.loads((tmp_path / "other" / "results.json").read_text())
  assert other["f1"] != results["f1"]
  assert (tmp_path / "other" / "predictions" / "test-0000.csv").exists()


@pytest.mark.parametrize("setting", ["data.sede=1", "data.seed=one", "nothing.at.all=1"])
def test_bad_settings(setting):
  with pytest.raises(ValueError, match=f"{setting}"):
    common.override(small(drums.get_config()), setting)
