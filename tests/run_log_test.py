"""The log of a run: its lines, strict JSON, and what a resumed run takes back."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax import run_log


def read(workdir):
  def refuse(name):
    raise ValueError(f"{name} is no strict JSON")

  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line, parse_constant=refuse) for line in lines]


def test_every_write_is_a_line_on_disk(tmp_path):
  log = run_log.RunLog(tmp_path, resume_step=0)
  log.write(5, {"train/loss": 1.5})
  assert read(tmp_path) == [{"step": 5, "train/loss": 1.5}]
  log.write(10, {"train/loss": np.float32(0.5), "validation/f1": jnp.asarray(0.25), "n": 3})
  assert read(tmp_path)[1:] == [{"step": 10, "train/loss": 0.5, "validation/f1": 0.25, "n": 3}]
  log.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf, np.float32("nan"), jnp.nan])
def test_numbers_that_json_does_not_know_are_null(tmp_path, value):
  log = run_log.RunLog(tmp_path, resume_step=0)
  log.write(1, {"time_error_ms/mean": value, "f1": 0.0})
  log.close()
  assert read(tmp_path) == [{"step": 1, "time_error_ms/mean": None, "f1": 0.0}]


def test_to_json_goes_through_the_whole_tree():
  tree = {1: [np.arange(2), (np.nan, "text", True)], "a": {"b": None, "c": np.array([[1.5, np.inf]])}}
  assert run_log.to_json(tree) == {"1": [[0, 1], [None, "text", True]], "a": {"b": None, "c": [[1.5, None]]}}


def test_a_resumed_run_takes_back_what_its_checkpoint_does_not_know(tmp_path):
  log = run_log.RunLog(tmp_path, resume_step=0)
  for step in (5, 10, 10, 15, 20):
    log.write(step, {"loss": step / 10})
  log.close()
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 25, "lo')  # killed while writing
  again = run_log.RunLog(tmp_path, resume_step=10)
  assert [line["step"] for line in read(tmp_path)] == [5, 10, 10]
  again.write(15, {"loss": 9.0})
  again.close()
  assert read(tmp_path)[-1] == {"step": 15, "loss": 9.0}
  assert len(read(tmp_path)) == 4


@pytest.mark.parametrize("rest", ['{"step": 5, "lo', "{", '{"step": 1', '"st', "1", "null", "[]", "{}"])
def test_a_half_written_line_is_dropped(tmp_path, rest):
  (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n' + rest)
  run_log.RunLog(tmp_path, resume_step=100).close()
  assert read(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_a_run_that_starts_anew_has_an_empty_log(tmp_path):
  (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
  run_log.RunLog(tmp_path, resume_step=0).close()
  assert read(tmp_path) == []


def test_tensorboard_gets_the_same_numbers(tmp_path):
  tensorboard = pytest.importorskip("tensorboardX")
  log = run_log.RunLog(tmp_path, resume_step=0)
  log.write(1, {"loss": 2.0, "f1": np.float32(0.5), "nothing": float("nan"), "name": "text"})
  log.write(2, {"loss": 1.0})
  log.close()
  found = {}
  for path in (tmp_path / "tensorboard").iterdir():
    for event in _events(tensorboard, path):
      for value in event.summary.value:
        found[value.tag, event.step] = value.simple_value
  assert found["loss", 1] == 2.0 and found["loss", 2] == 1.0 and found["f1", 1] == 0.5
  assert len(found) == 3


def _events(tensorboard, path):
  """Records of an event file: length (8 bytes), checksum (4), data, checksum (4)."""
  data = path.read_bytes()
  while data:
    length = int.from_bytes(data[:8], "little")
    yield tensorboard.proto.event_pb2.Event.FromString(data[12 : 12 + length])
    data = data[16 + length :]


def test_training_time_goes_on_where_the_checkpoint_left_it(tmp_path):
  log = run_log.RunLog(tmp_path, resume_step=0)
  assert log.seconds_before == 0 and run_log.training_seconds(tmp_path) == 0
  log.write(1, {"seconds": 3.0})
  log.write(2, {"validation/f1": 0.5})
  log.write(3, {"seconds": 9.0})
  assert run_log.training_seconds(tmp_path) == 9
  resumed = run_log.RunLog(tmp_path, resume_step=2)
  assert resumed.seconds_before == 3 and run_log.training_seconds(tmp_path) == 3
  assert run_log.training_seconds(tmp_path / "none") == 0
