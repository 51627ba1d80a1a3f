"""A training goes on only with the recordings, labels and split that it began with."""

import pytest
from small_pulses import pulses, write

from softloc_jax.commands.train_folder import train_folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  folder, out = (tmp_path_factory.mktemp(name) for name in ("takes", "run"))
  for number in range(4):
    write(folder, pulses(number, duration_s=20.0)[0])
  train_folder(folder, out, steps=4, min_gap_ms=100)
  return folder, out


def test_another_split_is_refused(trained):
  folder, out = trained
  train_folder(folder, out, steps=4, min_gap_ms=100)  # the same: finished
  split = folder / "split.csv"
  split.write_text("id,split\ntake0,test\ntake1,validation\ntake2,train\ntake3,train\n")
  with pytest.raises(ValueError, match=r"config.json belongs to a run on other recordings, labels or splits"):
    train_folder(folder, out, steps=4, min_gap_ms=100)
  split.unlink()


def test_another_label_is_refused(trained):
  folder, out = trained
  labels = folder / "take2.csv"
  before = labels.read_text()
  labels.write_text(before.rstrip("\n").rsplit("\n", 1)[0] + "\n")  # the last one gone
  with pytest.raises(ValueError, match="belongs to a run on other recordings, labels or splits"):
    train_folder(folder, out, steps=4, min_gap_ms=100)
  labels.write_text(before)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"seed": -1}, "seed is -1; expected 0 or more"),
    ({"rate_hz": float("nan")}, "rate_hz is nan; expected a positive number, or 0"),
    ({"rate_hz": 10.0, "kind": "audio"}, "sample_rate_hz is 10.0; expected at least 1000"),
  ],
)
def test_bad_settings_leave_no_trace(trained, tmp_path, changes, message):
  with pytest.raises(ValueError, match=message):
    train_folder(trained[0], tmp_path / "other", steps=4, **changes)
  assert not (tmp_path / "other").exists()
