"""The training loop: exact resumption, meshes of any size, refusal of bad input."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import several_devices
from small_config import SMALL, small

from configs.misaligned import drums as misaligned_drums
from configs.weak import digits, drums
from experiments import scene_evaluation
from softloc_jax import train

REPO = pathlib.Path(__file__).resolve().parents[1]
STEADY = {"loss.ramp_start": 1.0, "loss.ramp_end": 2.0}  # a loss that means the same at every step


def small_command(workdir: pathlib.Path) -> list[str]:
  flags = [f"--config.{key}={value}" for key, value in SMALL.items()]
  config = "--config=configs/weak/drums.py:synthetic"
  return [sys.executable, "-m", "experiments.train", config, f"--workdir={workdir}", *flags]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """One small training of two seeds, shared by the tests that only look at its results."""
  workdir = tmp_path_factory.mktemp("trained")
  config = small(misaligned_drums.get_config("softloc,noise_ms=20,num_replicas=2"), **STEADY)
  return workdir, config, train.train_and_evaluate(config, workdir)


def test_writes_what_it_promises(trained):
  workdir, _config, results = trained
  assert json.loads((workdir / "results.json").read_text()) == results
  assert {"f1", "f1/KD", "f1/SD", "f1/HH", "precision", "recall", "time_error_ms/mean", "f1/seed_std"} <= set(
    results
  )
  assert [one["seed"] for one in results["replicas"]] == [0, 1]
  assert results["f1"] == pytest.approx(np.mean([one["f1"] for one in results["replicas"]]))
  for seed in (0, 1):
    assert sorted(p.name for p in (workdir / "predictions" / f"seed_{seed}").iterdir()) == [
      "test-0000.csv",
      "test-0001.csv",
    ]
  lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  assert [line["step"] for line in lines if "train/loss" in line] == list(range(4, 41, 4))
  assert [line["step"] for line in lines if "validation/count_error" in line] == list(range(8, 41, 8))
  assert len(list((workdir / "figures").glob("*.png"))) == 1


def test_replicas_equal_single_trainings(trained, tmp_path):
  # A seed trained beside another is the seed trained alone: nothing leaks along the replica axis.
  workdir, _, results = trained
  alone = small(misaligned_drums.get_config("softloc,noise_ms=20,seed=1"), **STEADY)
  single = train.train_and_evaluate(alone, tmp_path)
  assert single["replicas"][0]["f1"] == pytest.approx(results["replicas"][1]["f1"], abs=0.02)
  both = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  one = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert one[0]["train/loss"] != both[0]["train/loss"]  # the mean of both seeds


@pytest.mark.slow
def test_runs_of_a_cross_validation_are_trained_together(tmp_path):
  short = {"num_steps": 12, "eval_every": 12}
  together = small(drums.get_config("synthetic,num_replicas=2"), split_by="seed", **short)
  results = train.train_and_evaluate(together, tmp_path / "together")
  losses = [json.loads(line) for line in (tmp_path / "together" / "metrics.jsonl").read_text().splitlines()]
  alone_losses = []
  for seed, found in enumerate(results["replicas"]):
    single = small(drums.get_config(f"synthetic,seed={seed}"), **short, **{"data.seed": seed})
    alone = train.train_and_evaluate(single, tmp_path / str(seed))["replicas"][0]
    assert found["f1"] == pytest.approx(alone["f1"], abs=0.02)
    assert found["calibration"]["thresholds"] == pytest.approx(alone["calibration"]["thresholds"], abs=1e-3)
    lines = (tmp_path / str(seed) / "metrics.jsonl").read_text().splitlines()
    alone_losses.append(json.loads(lines[0])["train/loss"])
  assert alone_losses[0] != alone_losses[1]
  assert losses[0]["train/loss"] == pytest.approx(np.mean(alone_losses), rel=1e-4)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"split_by": "fold"}, "split_by is 'fold'; expected a key of data with a whole number, or ''"),
    (
      {"split_by": "seed", "predict.ensemble": True},
      "split_by is 'seed' and predict.ensemble is True; expected only one of them",
    ),
  ],
)
def test_splits_that_cannot_be_are_refused(tmp_path, changes, message):
  with pytest.raises(ValueError, match=message):
    train.train_and_evaluate(small(drums.get_config("synthetic,num_replicas=2"), **changes), tmp_path)


def test_scenes_of_another_size_than_the_chunks_are_refused_before_training(tmp_path):
  config = digits.get_config("embedded").unlock()
  config.update_from_flattened_dict(
    {"data.canvas_size": (64, 64), "data.max_digits": 2, "model.conv_layers": ((5, 8, 4),)}
  )
  with pytest.raises(ValueError, match=r"train-0000000' has 64 frames, .* predict.chunk_s say 144; expected"):
    train.train_and_evaluate(config, tmp_path)


@pytest.mark.slow
def test_scenes_that_are_made_when_they_are_drawn(tmp_path):
  config = digits.get_config("embedded,seed=1").unlock()
  changes = {
    **{
      "num_steps": 12,
      "eval_every": 6,
      "log_every": 6,
      "batch_size": 8,
      "progress": False,
      "num_figures": 1,
    },
    **{"data.num_validation": 3, "data.num_test": 4, "optimizer.warmup_steps": 2},
    **{"model.conv_layers": ((5, 4, 4), (3, 2, 4)), "model.recurrent_units": 4, "model.dense_units": 0},
  }
  config.update_from_flattened_dict(changes)
  results = train.train_and_evaluate(config, tmp_path)
  assert len(results["replicas"][0]["recordings"]) == 4
  assert sorted(path.stem for path in (tmp_path / "predictions").iterdir()) == [
    f"test-{number:07d}" for number in range(4)
  ]
  lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert all(np.isfinite(line["train/loss"]) for line in lines if "train/loss" in line)
  alone = digits.get_config("embedded,alone=True").unlock()
  alone.update_from_flattened_dict(
    {key: value for key, value in changes.items() if key != "model.conv_layers"}
  )
  alone.model.conv_layers = ((5, 4, 4), (3, 2, 4), "pool", "pool")
  train.train_and_evaluate(alone, tmp_path / "alone")
  found = scene_evaluation.evaluate(
    scene_evaluation.Trained(tmp_path), scene_evaluation.Trained(tmp_path / "alone")
  )
  assert 0 <= found["single_accuracy"] <= 1 and 0 <= found["counts_exact"] <= 1
  assert 0 <= found["supervised_accuracy"] <= 1 and found["step_px"] == 8
  assert 2 < found["nearest_place_px"] < 5
  assert [one["seed"] for one in found["replicas"]] == [1]
  for picture in ("seed_1.png", "features.png"):
    assert (tmp_path / "scenes" / picture).stat().st_size > 1000


def test_training_lowers_the_loss(trained):
  lines = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
  losses = [line["train/loss"] for line in lines if "train/loss" in line]
  assert losses[-1] < 0.95 * losses[0]


def test_finished_run_is_not_trained_again(trained):
  workdir, config, results = trained
  before = (workdir / "metrics.jsonl").read_text()
  assert train.train_and_evaluate(config, workdir) == results
  assert (workdir / "metrics.jsonl").read_text() == before


def test_other_settings_in_the_same_workdir_are_refused(trained):
  workdir, config, _ = trained
  other = config.copy_and_resolve_references()
  other.optimizer.learning_rate = 1e-4
  with pytest.raises(ValueError, match=r"optimizer\.learning_rate = 0\.003, not 0\.0001"):
    train.train_and_evaluate(other, workdir)


@pytest.mark.slow
def test_killed_at_any_moment_ends_the_same(tmp_path):
  environment = os.environ | {"PYTHONPATH": str(REPO), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}

  log = tmp_path / "log"

  def run(workdir):
    with log.open("w") as file:
      return subprocess.Popen(small_command(workdir), cwd=REPO, env=environment, stdout=file, stderr=file)

  whole = run(tmp_path / "whole")
  assert whole.wait(timeout=300) == 0, log.read_text()[-2000:]
  killed_at = []
  for wanted in (1, 3):  # while or just after writing that many checkpoints
    victim = run(tmp_path / "killed")
    folder = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 300
    while victim.poll() is None and time.monotonic() < deadline:
      if folder.exists() and sum(1 for p in folder.iterdir() if p.name.split(".")[0].isdigit()) >= min(
        wanted, 2
      ):
        steps = [int(p.name) for p in folder.iterdir() if p.name.isdigit()]
        if steps and max(steps) >= 8 * wanted:
          break
      time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, "the training ended before it could be killed"
    killed_at.append(max(int(p.name) for p in folder.iterdir() if p.name.isdigit()))
  assert killed_at[0] < 40 and killed_at[0] <= killed_at[1] < 40
  last = run(tmp_path / "killed")
  assert last.wait(timeout=300) == 0, log.read_text()[-2000:]
  assert (tmp_path / "killed" / "results.json").read_text() == (
    tmp_path / "whole" / "results.json"
  ).read_text()

  def history(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]

  assert history(tmp_path / "killed") == history(tmp_path / "whole")


@pytest.mark.slow
def test_mesh_of_eight_devices_trains_as_one():
  program = """
import jax, numpy as np
from jax.sharding import Mesh
from configs.weak import digits, drums
from softloc_jax import data, data_parallel, input_pipeline, objective, train_step
from softloc_jax.network import Network
from small_config import small
config = small(drums.get_config("synthetic,num_replicas=2"))
network = Network.from_config(config)
recordings = data.load(config.data)["train"]
windows = input_pipeline.Windows.from_config(config.window, 100.0)
crops = [input_pipeline.Crops(recordings, network.classes, network.extractor, windows, s) for s in (0, 1)]
loss = objective.from_config(config.loss, frame_rate_hz=100.0, num_steps=5)
optimizer = train_step.make_optimizer(config.optimizer, 5)
ends = []
for devices in (jax.devices(), jax.devices()[:1]):
  mesh = Mesh(np.array(devices), ("data",))
  state = train_step.init_state(network, optimizer, [0, 1], mesh)
  step = train_step.make_train_step(network, loss, optimizer, mesh, seeds=(0, 1))
  for batch in input_pipeline.make_iterator(crops, batch_size=8, num_steps=5):
    batch = jax.device_put(batch, data_parallel.split(mesh, axis=1))
    assert batch["signal"].addressable_shards[0].data.shape[1] == 8 // len(devices)
    state, scalars = step(state, batch)
  ends.append(jax.tree.leaves((state.variables, scalars)))
assert len(jax.devices()) == 8
for a, b in zip(*ends):
  np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)
"""
  several_devices.run(program, 8)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"batch_size": 0}, "batch_size"),
    ({"loss.max_count": -1}, "max_count"),
    ({"report_checkpoint": "newest"}, "report_checkpoint is 'newest'; expected 'best' or 'last'"),
    ({"optimizer.schedule": "step"}, "optimizer.schedule is 'step'"),
    ({"decode.method": "magic"}, "decode.method is 'magic'"),
    ({"data.name": "cymbals"}, "data.name is 'cymbals'"),
    ({"seed": -1}, "seed is -1; expected 0 or more"),
    ({"more_score_windows_s": (0.02, -0.02)}, r"more_score_windows_s\[1\] is -0.02; expected a positive"),
    ({"decode.count_window_s": 0.0}, "decode.count_window_s is 0.0; expected a positive number"),
    ({"optimizer.learning_rate": -1.0}, "optimizer.learning_rate is -1.0; expected a positive number"),
    ({"optimizer.clip_norm": 0.0}, "optimizer.clip_norm is 0.0; expected a positive number"),
  ],
)
def test_bad_settings_are_refused_before_training(tmp_path, changes, message):
  config = small(drums.get_config(), **changes)
  with pytest.raises(ValueError, match=message):
    train.train_and_evaluate(config, tmp_path / "run")
  assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_training_that_diverges_says_so_at_its_validation(tmp_path):
  changes = {"num_steps": 8, "eval_every": 4, "log_every": 8}
  diverging = {"optimizer.learning_rate": 1e38, "optimizer.clip_norm": 1e30}
  config = small(drums.get_config(), **changes, **diverging)
  with pytest.raises(FloatingPointError, match="at step 4; try a lower learning rate"):
    train.train_and_evaluate(config, tmp_path / "run")


def test_unknown_config_key_on_the_command_line(tmp_path):
  command = [*small_command(tmp_path), "--config.optimizer.momentum=0.9"]
  done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
  assert done.returncode == 1 and "Traceback" not in done.stderr
  assert "--config.optimizer.momentum=0.9: the config has no key 'momentum'" in done.stderr


@pytest.mark.parametrize(
  ("config", "message"),
  [
    (
      "configs/weak/drum.py",
      "--config=configs/weak/drum.py: no such file; expected one of configs/misaligned/",
    ),
    ("configs/weak/drums.py:bells", "ValueError: config argument 'bells': expected a variant (synthetic, "),
  ],
)
def test_a_mistyped_config_is_one_line(tmp_path, config, message):
  command = [sys.executable, "-m", "experiments.train", f"--config={config}", f"--workdir={tmp_path}"]
  done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
  assert done.returncode == 1 and done.stderr.startswith(message) and done.stderr.count("\n") == 1
