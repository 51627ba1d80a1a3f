"""The table of losses and noise levels, from made-up cells."""

import json
import re

from ml_collections import ConfigDict
import numpy as np
import pytest

from configs.weak import ecg as weak_ecg
from experiments import cells, ecg_table
from softloc_jax import checkpoints, train

RECORDS = ("100", "102", "108", "116")  # 102 is paced, 108 is hard


def make_scores(f1, records=RECORDS, **changes):
  scores = {"f1": f1, "time_error_ms/mean": -3.25, "time_error_ms/std": 8.0}
  return {record: dict(scores, **changes) for record in records}


def make_cells(num_seeds=3, records=RECORDS):
  """F1 of .9 with counts; of .8, .7, ... with labels, less by a hundredth for each ms/10, by seed +-.01."""
  cells = {("LoCo", None): [make_scores(0.9 + 0.01 * seed, records) for seed in range(num_seeds)]}
  for number, row in enumerate(ecg_table.ROWS.values()):
    for noise_ms in ecg_table.NOISE_MS:
      f1 = 0.8 - 0.1 * number - noise_ms / 1000
      cells[row, noise_ms] = [make_scores(f1 + 0.01 * seed, records) for seed in range(num_seeds)]
  return cells


def sections(text):
  """Title -> rows of cells."""
  found = {}
  for part in text.split("### ")[1:]:
    title, *lines = part.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    found[title] = [row for row in rows if set(row[0]) != {"-"}]
  return found


def test_markdown_has_every_mean_and_spread_in_its_place():
  text = ecg_table.markdown(make_cells())
  found = sections(text)
  assert list(found) == [
    "F1 at ±50 ms, all (100, 102, 108, 116)",
    "F1 at ±50 ms, neither paced nor hard (100, 116)",
    "F1 at ±50 ms, paced (102)",
    "F1 at ±50 ms, hard (108)",
    "Mean time error in ms, neither paced nor hard",
    "Standard deviation of the time error in ms, neither paced nor hard",
    "F1 of every record",
  ]
  f1 = found["F1 at ±50 ms, all (100, 102, 108, 116)"]
  assert f1[0] == ["training labels moved by", "0 ms", "50 ms", "100 ms", "200 ms"]
  assert f1[1] == ["CE", "0.810 ± 0.010", "0.760 ± 0.010", "0.710 ± 0.010", "0.610 ± 0.010"]
  assert [row[0] for row in f1[1:]] == ["CE", "oSS", "SLL", "SoftLoc", "LoCo (counts, no times)"]
  assert f1[5][1:] == ["0.910 ± 0.010", "", "", ""]
  assert found["Mean time error in ms, neither paced nor hard"][1][1] == "-3.2 ± 0.0"
  each = found["F1 of every record"]
  assert each[0] == ["training", *RECORDS]
  assert len(each) == 1 + 1 + 4 * 4
  assert ["SoftLoc, 200 ms", *["0.310 ± 0.010"] * 4] in each
  for rows in found.values():
    assert len({len(row) for row in rows}) == 1


def test_a_group_averages_its_records_and_nothing_else():
  scores = make_cells()
  for seed in scores["CE", 0]:
    seed["108"] = seed["108"] | {"f1": 0.0}
  found = sections(ecg_table.markdown(scores))
  assert found["F1 at ±50 ms, hard (108)"][1][1] == "0.000 ± 0.000"
  assert found["F1 at ±50 ms, neither paced nor hard (100, 116)"][1][1] == "0.810 ± 0.010"
  assert found["F1 at ±50 ms, all (100, 102, 108, 116)"][1][1].startswith("0.608")


def test_records_without_a_value_are_left_out():
  scores = make_cells(num_seeds=2)
  scores["oSS", 200][0]["100"]["time_error_ms/mean"] = None  # nothing matched: there is no error
  scores["oSS", 200][1]["100"]["time_error_ms/mean"] = -5.25
  for seed in scores["SLL", 200]:
    for record in RECORDS:
      seed[record]["time_error_ms/mean"] = None
  rows = sections(ecg_table.markdown(scores))["Mean time error in ms, neither paced nor hard"]
  assert rows[2][4] == "-3.8 ± 0.7"  # -3.25 from one record, (-3.25 - 5.25) / 2 from two
  assert rows[3][4] == "none"
  assert ecg_table.spread(scores["SLL", 200], RECORDS, "f1")[1] > 0


def test_one_seed_has_no_spread():
  mean, std = ecg_table.spread([make_scores(0.5)], RECORDS, "f1")
  assert (mean, std) == (0.5, 0.0)
  text = ecg_table.markdown(make_cells(num_seeds=1))
  assert "0.800 ± 0.000" in text


def test_a_data_set_without_paced_or_hard_records():
  text = ecg_table.markdown(make_cells(records=("100", "116")))
  assert "no such record" in sections_text(text, "paced")
  assert len(ecg_table.figure(make_cells(records=("100", "116"))).axes) == 1


def sections_text(text, group):
  return re.search(rf"### F1 at ±50 ms, {group} \(\)\n\n(.*?)\n", text).group(1)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_figure_shows_every_loss_in_every_group(num_seeds):
  figure = ecg_table.figure(make_cells(num_seeds))
  assert [axis.get_title().splitlines()[0] for axis in figure.axes] == [
    "neither paced nor hard",
    "paced",
    "hard",
  ]
  for axis in figure.axes:
    lines = {container.get_label(): container.lines[0].get_xydata() for container in axis.containers}
    assert list(lines) == list(ecg_table.ROWS.values())
    np.testing.assert_array_equal(lines["CE"][:, 0], ecg_table.NOISE_MS)
    np.testing.assert_allclose(
      lines["CE"][:, 1], [0.8 - n / 1000 + 0.005 * (num_seeds - 1) for n in ecg_table.NOISE_MS]
    )


# The trainings behind the cells.


@pytest.fixture
def finished(tmp_path):
  """Folder and config of a cell that is done."""
  config = ConfigDict({"name": "cell", "seed": 0, "num_steps": 5})
  workdir = tmp_path / "cell"
  checkpoints.write_config(workdir, json.loads(config.to_json()))
  (workdir / "results.json").write_text('{"f1": 0.5}')
  return config, workdir


def test_a_finished_cell_is_read_and_not_trained_again(finished, monkeypatch):
  config, workdir = finished
  monkeypatch.setattr(train, "train_and_evaluate", lambda config, workdir: pytest.fail("trained again"))
  assert cells.run_cell(config, workdir) == {"f1": 0.5}


def test_a_cell_of_other_settings_is_refused(finished):
  config, workdir = finished
  config.num_steps = 6
  with pytest.raises(ValueError, match=r"cell/config\.json belongs to a run with num_steps = 5, not 6"):
    cells.run_cell(config, workdir)
  assert (workdir / "results.json").exists()


def test_an_unfinished_cell_is_trained(finished, monkeypatch):
  config, workdir = finished
  (workdir / "results.json").unlink()
  calls = []
  monkeypatch.setattr(train, "train_and_evaluate", lambda *args: calls.append(args) or {"f1": 0.7})
  assert cells.run_cell(config, workdir) == {"f1": 0.7}
  assert calls == [(config, workdir)]


def test_the_whole_table_tests_every_record_under_every_loss(tmp_path, monkeypatch):
  seen = {}

  def run_cells(configs, workdir, jobs):
    seen.update(configs)
    return {
      name: {
        "replicas": [{"recordings": make_scores(0.9, config.data.test)} for _ in range(config.num_replicas)]
      }
      for name, config in configs.items()
    }

  monkeypatch.setattr(cells, "run", run_cells)
  made = ecg_table.make("some/mitdb", tmp_path, seeds=2, jobs=2, num_steps=7)
  folds = len(weak_ecg.FOLDS)
  assert len(seen) == folds * (1 + len(ecg_table.ROWS) * len(ecg_table.NOISE_MS))
  config = seen["SoftLoc_100ms_fold1"]
  assert (config.loss.name, config.label_noise.scale_s, config.num_replicas) == ("softloc", 0.1, 2)
  assert (config.num_steps, config.data.data_dir) == (7, "some/mitdb")
  assert {config.num_steps for config in seen.values()} == {7}
  text = (tmp_path / "ecg.md").read_text()
  assert sections(text)["F1 of every record"][0] == ["training", *sorted(weak_ecg.RECORDS)]
  assert made == text
  assert (tmp_path / "ecg.png").read_bytes()[:4] == b"\x89PNG"
  # Another number of trainings at a time, another time: the same settings.
  first = {name: config.to_json() for name, config in seen.items()}
  ecg_table.make("some/mitdb", tmp_path, seeds=2, jobs=1, num_steps=7)
  assert {name: config.to_json() for name, config in seen.items()} == first


@pytest.mark.parametrize("own", [None, "somewhere"])
def test_cells_share_their_programs_unless_told_where_to_keep_them(own, monkeypatch):
  settings = {"jax_compilation_cache_dir": own}
  monkeypatch.setattr(cells.jax.config, "update", settings.__setitem__)
  monkeypatch.setattr(type(cells.jax.config), "jax_compilation_cache_dir", own)
  cells._prepare_process(1, "programs")
  assert settings["jax_compilation_cache_dir"] == (own or "programs")
