"""The command line, on a network trained for the occasion."""

import csv

from click.testing import CliRunner
import numpy as np
import pytest
from small_config import small
import soundfile

from configs.weak import drums
from softloc_jax import cli, train
from softloc_jax.data import drum_machine


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("cli") / "run"
  train.train_and_evaluate(small(drums.get_config()), folder)
  return folder


@pytest.fixture
def song(tmp_path):
  recording = drum_machine.DrumMachine("test", num_recordings=1, duration_s=4.0, sample_rate_hz=22050)[0]
  path = tmp_path / "song.wav"
  soundfile.write(path, recording.signal, 22050)
  return path


def run(*arguments):
  return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


def test_predict_writes_events_and_figure(workdir, song, tmp_path):
  result = run("predict", song, "--checkpoint", workdir, "--out", tmp_path / "found")
  assert result.exit_code == 0, result.output
  assert "song.wav" in result.output
  with open(tmp_path / "found" / "song.csv") as file:
    rows = list(csv.DictReader(file))
  assert rows and {row["label"] for row in rows} <= {"KD", "SD", "HH"}
  times = np.array([float(row["time"]) for row in rows])
  assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] <= 4.0
  assert all(0 < float(row["confidence"]) <= 1 for row in rows)
  assert (tmp_path / "found" / "song.png").stat().st_size > 10_000


def test_predict_does_not_overwrite_unless_told(workdir, song, tmp_path):
  (tmp_path / "song.csv").write_text("mine")
  result = run("predict", song, "--checkpoint", workdir, "--out", tmp_path)
  assert result.exit_code == 1 and "song.csv exists" in result.output
  assert (tmp_path / "song.csv").read_text() == "mine"
  result = run("predict", song, "--checkpoint", workdir, "--out", tmp_path, "--overwrite", "--no-plot")
  assert result.exit_code == 0 and (tmp_path / "song.csv").read_text().startswith("time,label,confidence")
  assert not (tmp_path / "song.png").exists()


def test_predict_does_not_replace_a_figure_or_another_result(workdir, song, tmp_path):
  found = tmp_path / "found"
  found.mkdir()
  (found / "song.png").write_text("mine")
  result = run("predict", song, "--checkpoint", workdir, "--out", found)
  assert result.exit_code == 1 and "song.png exists" in result.output
  assert [path.name for path in found.iterdir()] == ["song.png"]
  (tmp_path / "other").mkdir()
  twin = tmp_path / "other" / "song.flac"
  result = run("predict", song, twin, "--checkpoint", workdir, "--out", found, "--overwrite")
  assert result.exit_code == 1 and "would both be written to" in result.output


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("missing.wav", None, "missing.wav"),
    ("broken.wav", b"no audio at all", "broken.wav"),
    ("notes.docx", b"x", ".docx"),
  ],
)
def test_bad_files_give_one_line(workdir, tmp_path, name, content, message):
  if content is not None:
    (tmp_path / name).write_bytes(content)
  result = run("predict", tmp_path / name, "--checkpoint", workdir, "--out", tmp_path / "found")
  assert result.exit_code == 1
  assert result.output.startswith("Error: ") and message in result.output
  assert "Traceback" not in result.output


def test_folder_without_training(song, tmp_path):
  result = run("predict", song, "--checkpoint", tmp_path)
  assert result.exit_code == 1 and "expected the workdir of a training" in result.output


def test_same_events_as_in_the_training_run(workdir, tmp_path):
  recording = drum_machine.DrumMachine("test", num_recordings=1, duration_s=4.0)[0]
  np.savez(tmp_path / "again.npz", signal=recording.signal, sample_rate=16000)
  assert run("predict", tmp_path / "again.npz", "--checkpoint", workdir, "--out", tmp_path).exit_code == 0
  assert (tmp_path / "again.csv").read_text() == (workdir / "predictions" / "test-0000.csv").read_text()


def test_predict_with_the_network_of_the_package(song, tmp_path):
  result = run("predict", song, "--model", "drums", "--out", tmp_path / "found")
  assert result.exit_code == 0, result.output
  with open(tmp_path / "found" / "song.csv") as file:
    labels = {row["label"] for row in csv.DictReader(file)}
  assert labels <= {"KD", "SD", "HH"} and "KD" in labels


@pytest.mark.parametrize("arguments", [(), ("--model", "drums", "--checkpoint", "runs/drums")])
def test_predict_takes_one_network(song, tmp_path, arguments):
  result = run("predict", song, "--out", tmp_path / "found", *arguments)
  assert result.exit_code == 2 and "expected either --model or --checkpoint" in result.output


def test_predict_names_the_networks_there_are(song, tmp_path):
  result = run("predict", song, "--out", tmp_path / "found", "--model", "flute")
  assert result.exit_code == 1 and "no pretrained network 'flute'; expected one of drums" in result.output
