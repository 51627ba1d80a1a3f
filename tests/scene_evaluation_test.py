"""Boxes lie where a network looks, and digits that are found twice count as wrong before they are dropped."""

import os
import types

import jax
import numpy as np
import pytest

from configs.weak import digits
from experiments import digits_table, scene_evaluation
from softloc_jax import data, evaluation
from softloc_jax.data.digits import CLASSES
from softloc_jax.network import Network

OFFSET_PX = np.array([3.0, -2.0])


@pytest.fixture
def trained(tmp_path):
  """Nobody trained it: what it says of scenes is put in its place."""
  config = digits.get_config("embedded").unlock()
  config.data.update({"num_test": 12, "num_validation": 2})
  calibration = evaluation.Calibration([0.5] * len(CLASSES), [0.0] * len(CLASSES))
  return types.SimpleNamespace(
    workdir=tmp_path,
    config=config,
    network=Network.from_config(config),
    replicas=[(0, None, calibration)],
  )


def places_of(scenes, number):
  """Where a network that looks off its places by `OFFSET_PX` reports the digits of a scene."""
  return scenes.path.nearest(scene_evaluation.true_objects(scenes, number).centres - OFFSET_PX)


def evaluate(trained, monkeypatch, say):
  """Scores of probabilities `[T, C]` that `say` writes for each scene."""

  def probabilities(network, variables, scenes):
    found = np.full((len(scenes), len(scenes.path), len(CLASSES)), 1e-6, np.float32)
    for number in range(len(scenes)):
      say(found[number], places_of(scenes, number), scenes.scene(number)[2])
    return found

  monkeypatch.setattr(scene_evaluation, "sees_off_px", lambda *_: OFFSET_PX)
  monkeypatch.setattr(scene_evaluation, "probabilities", probabilities)
  monkeypatch.setattr(scene_evaluation, "each_digit", lambda scenes: scenes)
  monkeypatch.setattr(scene_evaluation.scene_scores, "single_accuracy", lambda *_: 1.0)
  return scene_evaluation.evaluate(trained)


def test_boxes_are_moved_by_what_the_network_is_off(trained, monkeypatch):
  def say(probs, places, labels):
    probs[places, labels] = 0.999

  found = evaluate(trained, monkeypatch, say)
  scenes = data.load(trained.config.data)["test"]
  apart = [
    scenes.path.centres[places_of(scenes, number)]
    + OFFSET_PX
    - scene_evaluation.true_objects(scenes, number).centres
    for number in range(len(scenes))
  ]
  expected = np.linalg.norm(np.concatenate(apart), axis=1).mean()
  assert found["centre_error_px/mean"] == pytest.approx(expected) and expected < 4.5
  assert found["counts_exact"] == found["counts_exact/with_doubles"] == found["recall"] == 1
  assert found["stray"] == found["stray/with_doubles"] == 0


def test_doubles_are_dropped_and_told(trained, monkeypatch):
  def say(probs, places, labels):
    probs[places, labels] = 0.999
    if labels[0] != 7:  # again, a place further
      probs[places[0] - 1, labels[0]] = 0.99

  found = evaluate(trained, monkeypatch, say)
  assert found["counts_exact"] == 1 and found["stray"] == 0
  assert found["counts_exact/with_doubles"] < 0.3 and found["stray/with_doubles"] > 0.15


@pytest.mark.parametrize(
  ("arg", "message"),
  [
    ("embedded", "learned scenes of up to 5 digits with the loss count_nll; expected a classifier of single"),
    ("mnist,alone=True", "learned digits of 'mnist'; expected 'embedded'"),
  ],
)
def test_what_is_no_classifier_of_these_digits_is_refused(trained, arg, message):
  other = types.SimpleNamespace(workdir="other", config=digits.get_config(arg))
  with pytest.raises(ValueError, match=f"other {message}"):
    scene_evaluation.evaluate(trained, other)


def test_scores_are_made_anew_when_a_training_was_continued(tmp_path, monkeypatch):
  cells = [tmp_path / digits_table.cell_name(row, 0) for row in ("counts", "alone")]
  for cell in cells:
    cell.mkdir()
    (cell / "results.json").write_text("{}")
  (cells[0] / "scenes").mkdir()
  scored = []

  def evaluate(*trained):
    scored.append(trained)
    return dict.fromkeys(digits_table.METRICS, float("nan") if len(scored) == 1 else 0.5)

  monkeypatch.setattr(scene_evaluation, "Trained", lambda workdir: workdir)
  monkeypatch.setattr(scene_evaluation, "evaluate", evaluate)
  first = digits_table._scored(tmp_path, 0)
  assert np.isnan(first["stray"]) and "null" in (cells[0] / "scenes" / "results.json").read_text()
  assert np.isnan(digits_table._scored(tmp_path, 0)["stray"]) and scored == [tuple(cells)]
  later_s = (cells[0] / "scenes" / "results.json").stat().st_mtime + 5
  os.utime(cells[1] / "results.json", (later_s, later_s))
  assert digits_table._scored(tmp_path, 0)["stray"] == 0.5 and len(scored) == 2


@pytest.mark.slow
def test_features_are_of_the_places_where_digits_are_seen(trained, monkeypatch):
  monkeypatch.setattr(scene_evaluation, "NUM_EMBEDDED", 3)
  network, scenes = trained.network, scene_evaluation.each_digit(data.load(trained.config.data)["test"])
  variables = network.init(jax.random.key(0))
  found, labels = scene_evaluation.features(network, variables, scenes, OFFSET_PX)
  last = len(scenes) - 1
  model = network.model(variables)
  signal = scenes[-1].signal[None, :, None]
  expected = model.features(model.image(network.extractor(signal)))[0, places_of(scenes, last)[0]]
  np.testing.assert_allclose(found[-1], expected, atol=1e-5)
  np.testing.assert_array_equal(labels, scenes.digits.labels[[0, last // 2, last]])
