"""Networks written to a folder and read back; those that come with the package."""

import json

import jax
import numpy as np
import pytest
from small_config import small

from configs.weak import drums
from softloc_jax import detector, pretrained, train
from softloc_jax.data import drum_machine


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("pretrained") / "run"
  train.train_and_evaluate(small(drums.get_config("synthetic,num_replicas=2")), folder)
  return folder


def test_a_saved_network_finds_what_its_training_found(workdir, tmp_path):
  trained = detector.read_workdir(workdir, replica=1)
  pretrained.save(tmp_path / "saved", trained)
  recording = drum_machine.DrumMachine("test", num_recordings=1, duration_s=4.0, sample_rate_hz=16000)[0]
  expected = detector.Detector(trained).detect(recording)
  found = detector.Detector(pretrained.load(tmp_path / "saved")).detect(recording)
  np.testing.assert_array_equal(found.probs, expected.probs)
  for name in expected.times_s:
    np.testing.assert_array_equal(found.times_s[name], expected.times_s[name])


def test_seeds_are_told_apart(workdir):
  first, second = (detector.read_workdir(workdir, replica=replica) for replica in (0, 1))
  assert any(
    not np.array_equal(a, b)
    for a, b in zip(jax.tree.leaves(first.variables), jax.tree.leaves(second.variables), strict=True)
  )


def test_nothing_of_where_data_lay_is_written(workdir, tmp_path):
  trained = detector.read_workdir(workdir)
  with trained.config.unlocked():
    trained.config.data.groove_dir = "/home/someone/groove"
  pretrained.save(tmp_path / "saved", trained)
  text = (tmp_path / "saved" / "config.json").read_text()
  assert "someone" not in text and json.loads(text)["data"]["classes"] == ["KD", "SD", "HH"]


def test_weights_of_another_network_are_refused(workdir, tmp_path):
  pretrained.save(tmp_path, detector.read_workdir(workdir))
  config = json.loads((tmp_path / "config.json").read_text())
  config["model"]["recurrent_units"] += 1
  (tmp_path / "config.json").write_text(json.dumps(config))
  with pytest.raises(ValueError, match=r"weights\.npz does not fit .*config\.json: see \.params"):
    pretrained.load(tmp_path)


def test_an_unknown_name():
  with pytest.raises(ValueError, match="no pretrained network 'flute'; expected one of"):
    pretrained.folder("flute")


@pytest.mark.parametrize("name", pretrained.names())
def test_what_comes_with_the_package_loads_and_is_small(name):
  folder = pretrained.folder(name)
  assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
  assert (folder / "README.md").stat().st_size > 500
  trained = pretrained.load(folder)
  assert len(trained.calibration["thresholds"]) == len(trained.network.classes)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
  folder = tmp_path_factory.mktemp("ensemble") / "run"
  config = small(drums.get_config("synthetic,num_replicas=2"), **{"predict.ensemble": True})
  return folder, train.train_and_evaluate(config, folder)


def test_an_ensemble_is_one_network(ensemble, workdir, tmp_path):
  """Its members are the seeds of a training of its own seed, its probabilities the mean of theirs."""
  folder, results = ensemble
  assert [one["seed"] for one in results["replicas"]] == [0] and "f1/seed_std" not in results
  recording = drum_machine.DrumMachine("test", num_recordings=1, duration_s=4.0, sample_rate_hz=16000)[0]
  found = detector.Detector.from_workdir(folder).detect(recording)
  members = [detector.Detector.from_workdir(workdir, replica=n).detect(recording).probs for n in (0, 1)]
  np.testing.assert_allclose(found.probs, np.mean(members, axis=0), rtol=1e-5, atol=1e-7)
  with pytest.raises(ValueError, match=r"replica is 1; .* holds 1"):
    detector.read_workdir(folder, replica=1)
  for half, tolerance in ((False, 0.0), (True, 0.01)):
    pretrained.save(tmp_path / str(half), detector.read_workdir(folder), half=half)
    read = detector.Detector(pretrained.load(tmp_path / str(half))).detect(recording)
    np.testing.assert_allclose(read.probs, found.probs, atol=tolerance)
  sizes = [(tmp_path / str(half) / "weights.npz").stat().st_size for half in (False, True)]
  assert sizes[1] < 0.7 * sizes[0]
