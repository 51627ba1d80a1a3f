"""Checkpoints: what is kept, what comes back, and what a kill leaves; the config beside them."""

import json
import pathlib

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax import checkpoints, train_step

METRIC = "validation/count_error"


def make_state(step):
  params = {"conv": [jnp.full((2, 3), step, jnp.float32)], "bias": jnp.arange(2, dtype=jnp.bfloat16)}
  return train_step.TrainState(
    step=jnp.asarray(step, jnp.int32), variables=params, opt_state=({"count": jnp.asarray(step)},)
  )


def make_iterator():
  return iter(grain.MapDataset.range(100).batch(2).to_iter_dataset())


def steps_on_disk(workdir):
  return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())


@pytest.fixture
def saved(tmp_path):
  opened = checkpoints.Checkpoints(tmp_path, best_metric=METRIC)
  yield opened
  opened.close()


def save_all(saved, errors):
  """Checkpoints at steps 10, 20, ... with these validation errors."""
  iterator = make_iterator()
  for number, error in enumerate(errors, start=1):
    next(iterator)
    saved.save(
      10 * number, make_state(10 * number), iterator, {METRIC: error, "other": 0.0}, {"thresholds": [number]}
    )


def test_state_notes_and_position_come_back(saved, tmp_path):
  save_all(saved, [0.3, 0.2])
  again = checkpoints.Checkpoints(tmp_path, best_metric=METRIC)  # as another process would
  iterator = make_iterator()
  state, notes = again.restore(20, jax.eval_shape(lambda: make_state(0)), iterator)
  again.close()
  assert jax.tree.structure(state) == jax.tree.structure(make_state(0))
  for found, expected in zip(jax.tree.leaves(state), jax.tree.leaves(make_state(20)), strict=True):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
  assert notes == {"thresholds": [2]}
  assert next(iterator).tolist() == [4, 5]


def test_a_state_comes_back_without_an_iterator(saved):
  save_all(saved, [0.3])
  state, _ = saved.restore(10, make_state(0))
  assert int(state.step) == 10


@pytest.mark.parametrize(
  ("errors", "best", "kept"),
  [
    ([0.3], 10, [10]),
    ([0.3, 0.2, 0.1], 30, [30]),
    ([0.3, 0.1, 0.2, 0.4], 20, [20, 40]),
    ([0.1, 0.3, 0.2], 10, [10, 30]),
    ([0.1, 0.1, 0.2], 20, [20, 30]),  # the later one of equals
    ([0.0, 0.0, 0.0], 30, [30]),
  ],
)
def test_the_latest_and_the_best_are_kept_and_no_others(saved, tmp_path, errors, best, kept):
  assert saved.latest_step is None and saved.best_step is None
  save_all(saved, errors)
  assert saved.latest_step == 10 * len(errors)
  assert saved.best_step == best
  assert steps_on_disk(tmp_path) == kept
  for step in kept:
    assert int(saved.restore(step, make_state(0))[0].step) == step


def test_the_best_is_known_after_a_restart(saved, tmp_path):
  save_all(saved, [0.3, 0.1, 0.2])
  again = checkpoints.Checkpoints(tmp_path, best_metric=METRIC)
  assert (again.best_step, again.latest_step) == (20, 30)
  again.save(40, make_state(40), make_iterator(), {METRIC: 0.15}, {})
  assert steps_on_disk(tmp_path) == [20, 40]
  again.close()


def test_a_checkpoint_that_was_cut_short_is_passed_over(saved, tmp_path):
  save_all(saved, [0.3, 0.2])
  whole = next((tmp_path / "checkpoints").glob("20"))
  for name in ("30.orbax-checkpoint-tmp", "30.orbax-checkpoint-tmp-1700000000"):
    partial = tmp_path / "checkpoints" / name
    (partial / "state").mkdir(parents=True)
    (partial / "state" / "d").write_bytes(b"half")
  again = checkpoints.Checkpoints(tmp_path, best_metric=METRIC)
  assert again.latest_step == again.best_step == 20
  iterator = make_iterator()
  state, _ = again.restore(20, make_state(0), iterator)
  assert int(state.step) == 20 and next(iterator).tolist() == [4, 5]
  again.save(30, make_state(30), iterator, {METRIC: 0.1}, {})
  assert again.latest_step == 30
  assert int(again.restore(30, make_state(0))[0].step) == 30
  again.close()
  assert not whole.exists()


SECTIONS = {name: {"some": 1} for name in ("data", "decode", "features", "predict", "window")}
CONFIG = SECTIONS | {
  "name": "drums",
  "model": {"units": 8, "pool": [1, 2]},
  "num_replicas": 1,
  "omega": 0.8,
  "seed": 0,
}


def test_config_round_trip(tmp_path):
  checkpoints.write_config(tmp_path / "new", CONFIG)
  assert checkpoints.read_config(tmp_path / "new") == CONFIG
  assert [path.name for path in (tmp_path / "new").iterdir()] == ["config.json"]
  before = (tmp_path / "new" / "config.json").stat().st_mtime_ns
  checkpoints.write_config(tmp_path / "new", json.loads(json.dumps(CONFIG)))  # the same run again
  assert (tmp_path / "new" / "config.json").stat().st_mtime_ns == before


def test_tuples_are_the_lists_that_json_makes_of_them(tmp_path):
  checkpoints.write_config(tmp_path, CONFIG | {"classes": ("KD", "SD")})
  checkpoints.write_config(tmp_path, CONFIG | {"classes": ["KD", "SD"]})


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    (CONFIG | {"seed": 1}, r"config\.json belongs to a run with seed = 0, not 1; choose another workdir"),
    (CONFIG | {"model": {"units": 9, "pool": [2]}}, r"model\.pool = \[1, 2\], not \[2\]"),
    (CONFIG | {"extra": 3}, r"extra = nothing, not 3"),
    (CONFIG | {"extra": None}, r"extra = nothing, not None"),
    ({key: value for key, value in CONFIG.items() if key != "model"}, r"model\.pool = \[1, 2\], not nothing"),
    (CONFIG | {"model": {}}, r"model = nothing, not \{\}"),
  ],
)
def test_a_workdir_of_another_config_is_refused(tmp_path, changed, message):
  checkpoints.write_config(tmp_path, CONFIG)
  with pytest.raises(ValueError, match=message):
    checkpoints.write_config(tmp_path, changed)
  assert checkpoints.read_config(tmp_path) == CONFIG


@pytest.mark.parametrize("address", ["gs://bucket/run", pathlib.Path("s3://bucket/run")])
def test_an_address_is_no_folder(tmp_path, monkeypatch, address):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ValueError, match="expected a folder of this machine, or a bucket mounted as one"):
    checkpoints.write_config(address, CONFIG)
  assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_workdir(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"config\.json not found: expected the workdir of a training"):
    checkpoints.read_config(tmp_path)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (
      '{"name": "Café"}'.encode("latin-1"),
      r"cannot read as JSON \('utf-8' codec .*\); expected the config of a",
    ),
    (b"{name: 1}", r"cannot read as JSON \(Expecting property name .*\); expected the config of a training"),
    (b"[1, 2]", r"holds a JSON list; expected the config of a training, a JSON object in UTF-8"),
  ],
)
def test_a_config_that_cannot_be_read_is_named(tmp_path, content, message):
  (tmp_path / "config.json").write_bytes(content)
  with pytest.raises(ValueError, match=r"config\.json: " + message):
    checkpoints.read_config(tmp_path)
  with pytest.raises(ValueError, match=r"config\.json: " + message):
    checkpoints.write_config(tmp_path, CONFIG)


def test_a_config_of_something_else_is_named(tmp_path):
  (tmp_path / "config.json").write_text('{"model_type": "wav2vec2", "data": {}}')
  lacking = "decode, features, model, num_replicas, omega, predict, window"
  with pytest.raises(ValueError, match=rf"config\.json: has no {lacking}; expected the config of a training"):
    checkpoints.read_config(tmp_path)


def test_replaced_text_is_whole_and_leaves_nothing_behind(tmp_path):
  path = tmp_path / "notes.txt"
  for text in ("first", "second, longer", "±"):
    checkpoints.replace_text(path, text)
    assert path.read_text(encoding="utf-8") == text
  assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_a_checkpoint_that_was_being_deleted_is_not_the_best(tmp_path, monkeypatch):
  saved = checkpoints.Checkpoints(tmp_path, best_metric="error")
  known = {1: None, 2: {"error": 0.5}, 3: {"error": 0.25}, 4: {"error": 0.25}}
  monkeypatch.setattr(saved._manager, "all_steps", lambda: list(known))
  monkeypatch.setattr(saved._manager, "metrics", known.get)
  assert saved.best_step == 4
  known = {1: None}
  monkeypatch.setattr(saved._manager, "all_steps", lambda: list(known))
  assert saved.best_step is None
  saved.close()


def test_one_process_at_a_time(tmp_path):
  pytest.importorskip("fcntl")
  refused = pytest.raises(ValueError, match="run: another process is training there; expected only one")
  with checkpoints.alone(tmp_path / "run"), refused, checkpoints.alone(tmp_path / "run"):
    pass
  with checkpoints.alone(tmp_path / "run"):
    pass


def test_an_address_becomes_no_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  refused = pytest.raises(ValueError, match="workdir is gs://bucket/run; expected a folder of this machine")
  with refused, checkpoints.alone("gs://bucket/run"):
    pass
  assert not list(tmp_path.iterdir())


def test_runs_that_did_not_tell_their_recordings_go_on(tmp_path):
  config = {"data": {"name": "folder"}, "num_steps": 5}
  checkpoints.write_config(tmp_path, config)
  checkpoints.write_config(tmp_path, config | {"data": {"name": "folder", "digest": "abc"}, "init_from": ""})
  with pytest.raises(ValueError, match=r"init_from = nothing, not 'drums'"):
    checkpoints.write_config(tmp_path, config | {"init_from": "drums"})


def test_a_moved_data_folder_is_no_other_run(tmp_path):
  config = {"data": {"data_dir": "here", "name": "folder"}, "progress": True, "num_steps": 5}
  checkpoints.write_config(tmp_path, config)
  checkpoints.write_config(
    tmp_path, config | {"data": {"data_dir": "there", "name": "folder"}, "progress": False}
  )
  with pytest.raises(ValueError, match=r"num_steps = 5, not 6"):
    checkpoints.write_config(tmp_path, config | {"num_steps": 6})
