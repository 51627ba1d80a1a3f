"""The command line, on a network trained for the occasion."""

import csv
import json
import pathlib
import shutil
import sys

from click.testing import CliRunner
from ml_collections import ConfigDict
import numpy as np
import pytest
from small_config import small
from small_pulses import pulses, write
import soundfile

from configs.weak import drums
from softloc_jax import cli, data, train
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


@pytest.mark.parametrize(
  ("content", "message"),
  [('{"model_type": "wav2vec2"}', "has no data, decode,"), ("[1]", "holds a JSON list"), ("{", "as JSON")],
)
def test_a_folder_of_another_library(song, tmp_path, content, message):
  (tmp_path / "config.json").write_text(content)
  result = run("predict", song, "--checkpoint", tmp_path)
  assert result.exit_code == 1 and f"Error: {tmp_path / 'config.json'}: " in result.output
  assert message in result.output


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


def test_predict_asks_for_missing_libraries_before_it_listens(workdir, song, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "jams", None)  # as if it was not installed
  out = tmp_path / "found"
  result = run("predict", song, "--checkpoint", workdir, "--out", out, "--format", "csv", "--format", "jams")
  assert (
    result.exit_code == 1 and "writing jams needs jams: pip install softloc-jax[formats]" in result.output
  )
  assert not out.exists()


def test_predict_writes_other_formats_of_whole_folders(workdir, song, tmp_path):
  folder, out = tmp_path / "songs", tmp_path / "found"
  (folder / "live").mkdir(parents=True)
  for target in (folder / "one.wav", folder / "live" / "two.1.wav"):
    target.write_bytes(song.read_bytes())
  (folder / "one.csv").write_text("time,label\n1.0,KD\n")  # labels are no signal
  formats = ("--format", "svl", "--format", "tsv")
  result = run("predict", folder, "--checkpoint", workdir, "--out", out, "--no-plot", *formats)
  assert result.exit_code == 0, result.output
  written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
  assert written == ["live/two.1.svl", "live/two.1.tsv", "one.svl", "one.tsv"]
  assert 'sampleRate="22050"' in (out / "one.svl").read_text()  # the file's, not the network's


def test_predict_leaves_out_what_is_done(workdir, song, tmp_path):
  options = ("predict", song, "--checkpoint", workdir, "--out", tmp_path, "--no-plot", "--skip-existing")
  (tmp_path / "song.csv").write_text("mine")
  result = run(*options)
  assert result.exit_code == 0 and "nothing to do" in result.output
  # One of two formats is there: the other is made, the one that is there stays.
  assert run(*options, "--format", "csv", "--format", "tsv").exit_code == 0
  assert (tmp_path / "song.csv").read_text() == "mine"
  assert (tmp_path / "song.tsv").read_text().startswith("time\tlabel\tconfidence")


def test_a_folder_without_signals_is_named(workdir, tmp_path):
  result = run("predict", tmp_path, "--checkpoint", workdir)
  assert result.exit_code == 1 and f"no signal in {tmp_path}" in result.output


def test_what_fails_in_a_folder_is_told_after_the_rest(workdir, song, tmp_path):
  folder, out = tmp_path / "songs", tmp_path / "found"
  folder.mkdir()
  (folder / "a.wav").write_bytes(b"no audio at all")
  shutil.copy(song, folder / "b.wav")
  np.savez(folder / "c.npz", signal=np.zeros((9000, 3)), sample_rate=16000)
  (folder / "._b.wav").write_bytes(b"of a Mac")
  (folder / "film.mp4").write_bytes(b"not for ears")
  result = run("predict", folder, "--checkpoint", workdir, "--out", out, "--no-plot")
  assert result.exit_code == 1 and "Traceback" not in result.output
  assert "b.wav: " in result.output and (out / "b.csv").exists()
  told = result.output[result.output.index("Error: ") :]
  assert "a.wav: cannot read as audio" in told and f"{folder / 'c.npz'}: recording 'c' has 3 channels" in told
  assert "_b.wav" not in told and "film" not in told and "b.wav" not in told
  assert told.startswith("Error: 2 of 3 files failed:")


def test_predict_refuses_a_stretch_before_it_writes(workdir, song, tmp_path):
  out = tmp_path / "found"
  options = ("predict", song, "--checkpoint", workdir, "--out", out)
  assert run(*options, "--start", -1).exit_code == run(*options, "--length", 0).exit_code == 2
  result = run(*options, "--start", 60)
  assert result.exit_code == 1 and "expected a stretch of its 4.000 s" in result.output
  assert not list(tmp_path.glob("found/*"))


def test_evaluate_names_a_class_that_occurs_nowhere(tmp_path):
  (tmp_path / "x.csv").write_text("time,label\n1.0,KD\n2.0,SD\n")
  result = run("evaluate", tmp_path, tmp_path, "--classes", "KD,XX")
  assert result.exit_code == 1
  assert f"no event 'XX' in {tmp_path} nor in {tmp_path}; expected classes among KD, SD" in result.output


def test_evaluate_follows_links_and_passes_hidden_files(tmp_path):
  true, found = tmp_path / "true", tmp_path / "found"
  (tmp_path / "elsewhere").mkdir()
  for folder in (true, found):
    folder.mkdir()
    (folder / "kit").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
  (tmp_path / "elsewhere" / "x.csv").write_text("time,label\n1.0,KD\n")
  (true / "._x.csv").write_bytes(b"\0\xff of a Mac")
  result = run("evaluate", true, found, "--json")
  assert result.exit_code == 0 and json.loads(result.output)["f1/KD"] == 1


def test_evaluate_scores_folders_whatever_their_formats(tmp_path):
  true, found = tmp_path / "true", tmp_path / "found"
  for folder in (true, found):
    (folder / "a").mkdir(parents=True)
  (true / "a" / "x.csv").write_text("time,label\n1.0,KD\n2.0,KD\n3.0,SD\n")
  (found / "a" / "x.tsv").write_text("time\tlabel\tconfidence\n1.02\tKD\t0.9\n2.5\tKD\t0.5\n3.0\tSD\t1\n")
  result = run("evaluate", true, found, "--json")
  scores = json.loads(result.output)
  assert scores["f1/KD"] == 0.5 and scores["f1/SD"] == 1 and scores["num_matched"] == 2
  assert scores["time_error_ms/mean"] == pytest.approx(10)
  assert json.loads(run("evaluate", true, found, "--json", "--tolerance-ms", 10).output)["f1/KD"] == 0
  assert "KD" not in run("evaluate", true, found, "--classes", "SD").output
  text = run("evaluate", true / "a" / "x.csv", found / "a" / "x.tsv").output
  assert "mean of classes" in text and "2 of 3 found, 3 given" in text


def test_evaluate_refuses_folders_that_do_not_fit(tmp_path):
  true, found = tmp_path / "true", tmp_path / "found"
  for folder, names in ((true, "ab"), (found, "a")):
    folder.mkdir()
    for name in names:
      (folder / f"{name}.csv").write_text("time,label\n1.0,KD\n")
  result = run("evaluate", true, found)
  assert result.exit_code == 1 and f"{found} has no label file for b" in result.output
  (found / "a.tsv").write_text("time\tlabel\n")
  assert "labels of the same name" in run("evaluate", true, found).output
  assert "no such file or folder" in run("evaluate", true, tmp_path / "none").output


def test_evaluate_scores_files_whatever_their_names_but_not_folders(tmp_path):
  for name in ("true/a.csv", "found/b.csv"):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("time,label\n1.0,KD\n")
  result = run("evaluate", tmp_path / "true", tmp_path / "found")
  assert result.exit_code == 1 and "found has no label file for a; expected the same names" in result.output
  assert run("evaluate", tmp_path / "true" / "a.csv", tmp_path / "found" / "b.csv").exit_code == 0


@pytest.mark.parametrize(
  ("signals", "labels", "recording"),
  [((), "kit/{}.csv", "kit/x"), (("audio/x.npz", "audio/y.npz", "audio/z.npz"), "labels/{}.csv", "audio/x")],
)
def test_evaluate_leaves_out_what_the_reference_does_not_know(tmp_path, signals, labels, recording):
  true, found = tmp_path / "true", tmp_path / "found"
  for name in signals:
    (true / name).parent.mkdir(parents=True, exist_ok=True)
    np.savez(true / name, signal=np.zeros(9), sample_rate=1.0)
  for folder, rows in ((true, ""), (found, "3.0,HH\n4.0,HH\n")):
    for name in "xy":
      path = folder / labels.format(name)
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(f"time,label\n1.0,KD\n{rows if name == 'x' else '2.0,HH'}\n")
  assert json.loads(run("evaluate", true, found, "--json").output)["precision/HH"] == pytest.approx(1 / 3)
  rules = true / "supervision.csv"
  rules.write_text(f"id,label,supervision\n{recording},HH,unlabelled\n")
  scores = json.loads(run("evaluate", true, found, "--json").output)
  assert scores["f1/HH"] == scores["f1/KD"] == 1 and scores["num_estimate"] == 3
  assert json.loads(run("evaluate", true, found, "--json", "--classes", "HH").output)["num_estimate"] == 1
  rules.write_text("id,label,supervision\nxx,HH,unlabelled\n")
  assert "'xx,HH,unlabelled' decides for no recording and class" in run("evaluate", true, found).output


@pytest.mark.parametrize("learn", [pytest.param("counts", marks=pytest.mark.slow), "times"])
def test_train_on_a_folder(learn, tmp_path):
  for number in range(4):
    write(tmp_path / "takes", pulses(number, duration_s=20.0)[0])
  result = run("train", tmp_path / "takes", "--out", tmp_path / "run", "--steps", 20, "--learn", learn)
  assert result.exit_code == 0, result.output
  assert "f1" in result.output and (tmp_path / "run" / "results.json").exists()
  config = json.loads((tmp_path / "run" / "config.json").read_text())
  assert config["loss"]["name"] == ("count_nll" if learn == "counts" else "softloc")
  assert config["features"]["kind"] == "signal" and config["data"]["classes"] == ["pulse"]
  shutil.copy(tmp_path / "takes" / "take0.npz", tmp_path / "new.npz")
  result = run(
    "predict", tmp_path / "new.npz", "--checkpoint", tmp_path / "run", "--out", tmp_path, "--no-plot"
  )
  assert result.exit_code == 0 and (tmp_path / "new.csv").exists()


@pytest.mark.slow
def test_advice_on_labels_can_be_taken_where_it_is_given(tmp_path):
  takes, out = tmp_path / "takes", tmp_path / "run"
  for number in range(4):
    write(takes, pulses(number, duration_s=20.0, classes=("pulse", "v1.hum"))[0])
  command = ["train", takes, "--out", out, "--steps", 4]
  for one in takes.glob("*.csv"):
    shutil.copy(one, one.with_suffix(".txt"))
  assert "or --labels-from chooses" in run(*command).output
  command += ["--labels-from", "csv"]
  (takes / "take1.csv").unlink()
  assert "or missing=... (--missing) 'unlabelled' or 'empty'" in run(*command).output
  command += ["--missing", "unlabelled"]
  assert "(class_map=... or --map renames" in run(*command, "--classes", "hit").output
  assert "'v1.hum' is not in class_map (--map)" in run(*command, "--map", "pulse=hit").output
  command += ["--map", "pulse=hit", "--map", "v1.hum="]
  for _ in "ab":  # a training that is there is taken up with the same labels
    result = run(*command)
    assert result.exit_code == 0, result.output
  config = json.loads((out / "config.json").read_text())["data"]
  assert config["classes"] == ["hit"] and config["missing"] == "unlabelled"
  assert config["class_map"] == [["pulse", "hit"], ["v1.hum", None]] and config["sidecar_extension"] == ".csv"
  splits = data.load(ConfigDict(config))
  assert sum(len(one.events["hit"]) > 0 for split in splits.values() for one in split) == 3


@pytest.mark.parametrize("given", [["pulse"], ["=hit"], ["pulse=hit", "pulse=kick"]])
def test_labels_are_renamed_once(tmp_path, given):
  options = [part for one in given for part in ("--map", one)]
  for command in ("train", "refine"):
    result = run(command, tmp_path, "--out", tmp_path / "run", *options)
    assert result.exit_code == 2 and f"--map {given[-1]!r}: expected OLD=NEW, or OLD=" in result.output


@pytest.mark.slow
def test_refine_reads_the_labels_that_are_chosen(tmp_path):
  for number in range(2):
    write(tmp_path / "takes", pulses(number, duration_s=20.0)[0])
    shutil.copy(tmp_path / "takes" / f"take{number}.csv", tmp_path / "takes" / f"take{number}.txt")
  command = ["refine", tmp_path / "takes", "--steps", 4, "--softness-ms", 50]
  assert "or --labels-from chooses" in run(*command).output
  result = run(*command, "--labels-from", "txt", "--map", "pulse=hit")
  assert result.exit_code == 0, result.output
  assert ",hit," in (tmp_path / "takes-refined" / "labels" / "take0.csv").read_text()


def test_configs_lists_every_experiment(monkeypatch, tmp_path):
  repo = pathlib.Path(__file__).resolve().parents[1]
  monkeypatch.chdir(repo)
  result = run("configs")
  files = [path for path in repo.glob("configs/*/*.py") if path.name != "__init__.py"]
  assert result.exit_code == 0 and all(f"{path.relative_to(repo)}\n" in result.output for path in files)
  assert "Golf swings" in result.output
  monkeypatch.chdir(tmp_path)
  result = run("configs")
  assert result.exit_code == 1 and "has no configs/" in result.output
