"""`experiments/evaluate.py`, run as a user runs it."""

import json
import pathlib
import subprocess
import sys

import pytest
from small_config import small
from small_pulses import pulses

from configs import common
from configs.weak import drums
from configs.weak import folder as folder_config
from experiments import evaluate as experiment
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


def test_recordings_that_were_learned_from_are_refused():
  config = folder_config.get_config("sensor,data_dir=nowhere,classes=pulse,rate_hz=50")
  one, other, third = (pulses(number, duration_s=5.0)[0] for number in range(3))
  splits = {"train": [one], "validation": [other], "test": [third]}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(experiment.data, "load_replicas", lambda _: [splits])
    experiment.check_unseen(config, [[third]])
    for seen in (one, other):
      with pytest.raises(ValueError, match=f"{seen.id}: the network learned from this"):
        experiment.check_unseen(config, [[third, seen]])


@pytest.mark.parametrize("setting", ["data.sede=1", "data.seed=one", "nothing.at.all=1"])
def test_bad_settings(setting):
  with pytest.raises(ValueError, match=f"{setting}"):
    common.override(small(drums.get_config()), setting)
