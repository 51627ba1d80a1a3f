"""The tables of drums and piano, from made-up cells."""

import pathlib
import re

import numpy as np
import pytest

from experiments import cells, drums_table, fine_tuning_table, piano_tables, report
from softloc_jax.data import drum_machine, event_writers, maps
from softloc_jax.data.item import Item


def rows_of(text, title):
  """Cells of the table under a title."""
  part = text.split(f"### {title}")[1].split("### ")[0]
  lines = [line for line in part.splitlines() if line.startswith("|")]
  return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def piano_result(f1):
  return {
    "f1_recordings": f1,
    "precision_recordings": f1 + 0.05,
    "recall_recordings": f1 - 0.05,
    "f1_recordings@20ms": f1 / 2,
    "f1_recordings@official": f1 - 0.01,
    "time_error_ms/mean": 12.0,
    "time_error_ms/std": 9.0,
  }


def misaligned_results(seeds=2):
  return {
    (loss, noise_ms, seed): piano_result(0.8 - 0.05 * number - noise_ms / 1000 + 0.02 * seed)
    for number, loss in enumerate(piano_tables.ROWS)
    for noise_ms in piano_tables.NOISE_MS
    for seed in range(seeds)
  }


LABELS = {n: {"f1_recordings": [90.0], "f1_recordings@official": [80.0]} for n in piano_tables.NOISE_MS}


def test_every_cell_stands_beside_the_papers():
  text = piano_tables.misaligned_markdown(misaligned_results(), LABELS, 0.25)
  assert "0.25 h" in text
  f1 = rows_of(text, "Note onset F1")
  assert f1[0] == ["training labels moved by", "0 ms", "50 ms", "100 ms", "150 ms", "200 ms"]
  assert [row[0] for row in f1[1:]] == [*piano_tables.ROWS.values(), "the noisy labels themselves"]
  assert f1[1][1:] == [
    "81.0 ± 1.4 (82.1)",
    "76.0 ± 1.4 (38.5)",
    "71.0 ± 1.4 (2.0)",
    "66.0 ± 1.4 (0.5)",
    "61.0 ± 1.4 (0.2)",
  ]
  assert f1[6][5] == "36.0 ± 1.4 (73.7)"
  assert f1[7][1:] == ["90.0 (100.0)", "90.0 (68.2)", "90.0 (39.8)", "90.0 (-)", "90.0 (23.7)"]
  official = rows_of(text, "F1 at ±50 ms as the papers' own code")
  assert official[1][1] == "80.0 ± 1.4" and official[7][1] == "80.0"
  assert rows_of(text, "Mean time error")[3][2] == "12.0 ± 0.0"


def test_some_columns_alone():
  results = {cell: one for cell, one in misaligned_results().items() if cell[1] in (0, 100)}
  labels = {n: LABELS[n] for n in (0, 100)}
  f1 = rows_of(piano_tables.misaligned_markdown(results, labels, 0.25), "Note onset F1")
  assert f1[0][1:] == ["0 ms", "100 ms"]
  assert f1[1][1:] == ["81.0 ± 1.4 (82.1)", "71.0 ± 1.4 (2.0)"]
  assert f1[7][1:] == ["90.0 (100.0)", "90.0 (39.8)"]
  axis = piano_tables.misaligned_figure(results).axes[0]
  assert {tuple(bar.lines[0].get_xdata()) for bar in axis.containers} == {(0, 100)}


def test_figure_has_ours_and_theirs():
  axis = piano_tables.misaligned_figure(misaligned_results()).axes[0]
  ours = {container.get_label(): container.lines[0].get_xydata() for container in axis.containers}
  assert list(ours) == list(piano_tables.ROWS.values())
  np.testing.assert_allclose(ours["SoftLoc"][:, 1], [56, 51, 46, 41, 36])
  theirs = [line.get_ydata() for line in axis.lines if line.get_linestyle() == ":" and len(line.get_xdata())]
  assert [list(line) for line in theirs] == [list(values) for values in piano_tables.PAPER.values()]


def write_piece(folder: pathlib.Path, number: int) -> Item:
  rng = np.random.default_rng(number)
  onsets_s = np.sort(rng.uniform(0, 30, 300))
  lines = ["OnsetTime\tOffsetTime\tMidiPitch"]
  lines += [f"{onset:.6f}\t{onset + 0.2:.6f}\t{rng.integers(50, 70)}" for onset in onsets_s]
  path = folder / f"{number}.txt"
  path.write_text("\n".join(lines) + "\n")
  return Item(f"MAPS_MUS-piece{number}_ENSTDkAm", folder / "none.wav", path, "ENSTDkAm")


def test_labels_that_are_moved_score_what_the_normal_distribution_says(tmp_path):
  items = [write_piece(tmp_path, number) for number in range(3)]
  scores = piano_tables.label_scores(items)
  assert list(scores) == list(piano_tables.NOISE_MS)
  means = {noise_ms: np.mean(one["f1_recordings"]) for noise_ms, one in scores.items()}
  assert means[0] == 100
  # Pr(|N(0, 50^2)| < 50) = .683, Pr(|N(0, 200^2)| < 50) = .197; neighbours of the same pitch add a little
  assert 67 < means[50] < 75 and 19 < means[200] < 30
  assert np.mean(scores[50]["f1_recordings@official"]) <= means[50]
  assert all(len(one["f1_recordings"]) == 3 for one in scores.values())


def test_rolls_show_the_estimates_of_three_noise_levels(tmp_path):
  item = write_piece(tmp_path, 0)
  truth = maps.read_labels(item)
  for noise_ms in (0, 100, 200):
    folder = tmp_path / piano_tables.cell_name("softloc", noise_ms, 0) / "predictions"
    folder.mkdir(parents=True)
    moved = {name: times_s + noise_ms / 1000 for name, times_s in truth.items()}
    event_writers.write_events(folder / f"{item.id}.csv", moved)
  figure = piano_tables.rolls_figure(item, tmp_path)
  titles = [axis.get_title(loc="left") for axis in figure.axes]
  assert titles[0].endswith("F1 100.0") and float(titles[2].split("F1 ")[1]) < 40


def test_piano_counts_beside_the_papers():
  results = {("count_nll", 0, seed): piano_result(0.6 + 0.02 * seed) for seed in range(3)}
  rows = rows_of(piano_tables.counts_markdown(results, 0.5), "Note onsets from counts")
  assert rows[4][:4] == ["LoCo, counts (L Table 2)", "76.2", "68.6", "72.0"]
  assert rows[5][:5] == ["counts, here", "67.0 ± 2.0", "57.0 ± 2.0", "62.0 ± 2.0", "31.0 ± 1.0"]


def drums_result(f1):
  result = {"f1": f1}
  for number, name in enumerate(("KD", "SD", "HH")):
    for key, less in (("f1", 0.0), ("f1@20ms", 0.1), ("f1_recordings", 0.01), ("f1_recordings@20ms", 0.11)):
      result[f"{key}/{name}"] = f1 - less - 0.1 * number
    result[f"time_error_ms/mean/{name}"], result[f"time_error_ms/std/{name}"] = 3.0 - number, 5.0
  return result


def test_drums_of_each_kind_on_each_test_set():
  real = {(row, seed): drums_result(0.9 + 0.02 * seed) for row in drums_table.ROWS for seed in range(2)}
  rendered = {cell: drums_result(0.95) for cell in real}
  runs = {("idmt", 0): {"replicas": [drums_result(0.9)] * 6}}
  text = drums_table.markdown(real | runs, rendered, {"counts": 0.2, "exact": 0.1})
  rows = rows_of(text, "MDB Drums")
  assert rows[0][1:5] == ["KD", "SD", "HH", "mean"]
  assert rows[1][:5] == [
    "counts only (LoCo), hits of all tracks",
    "91.0 ± 1.4",
    "81.0 ± 1.4",
    "71.0 ± 1.4",
    "81.0 ± 1.4",
  ]
  assert rows[1][8] == "+3 ± 5 ms / +2 ± 5 ms / +1 ± 5 ms"
  assert rows[2][0] == "counts only (LoCo), mean over tracks" and rows[2][1] == "90.0 ± 1.4"
  assert rows_of(text, "rendered Groove")[1][1] == "95.0 ± 0.0"
  idmt = rows_of(text, "F1 at ±50 ms in %, six runs")
  assert idmt[1][1:] == ["96.0", "90.4", "97.1", "94.5"] and idmt[2][1] == "90.0 ± 0.0"
  assert (
    len(rows_of(drums_table.markdown(real, rendered, {"counts": 0.2}), "F1 at ±50 ms in %, six runs")) == 2
  )


def test_all_cells_of_the_piano_table_are_asked_for(tmp_path, monkeypatch):
  seen = {}

  def run(configs, workdir, jobs):
    seen.update(configs)
    return {name: piano_result(0.7) for name in configs}

  monkeypatch.setattr(cells, "run", run)
  item = write_piece(tmp_path, 0)
  monkeypatch.setattr(maps, "find", lambda data_dir: [item])
  monkeypatch.setattr(
    piano_tables,
    "rolls_figure",
    lambda item, workdir, levels_ms: piano_tables.misaligned_figure(misaligned_results()),
  )
  text = piano_tables.make_misaligned("some/MAPS", tmp_path, seeds=2, jobs=1, num_steps=7)
  assert len(seen) == 6 * 5 * 2 and {config.num_steps for config in seen.values()} == {7}
  config = seen["softloc_200ms_seed1"]
  assert (config.loss.name, config.label_noise.scale_s, config.seed) == ("softloc", 0.2, 1)
  assert config.data.data_dir == "some/MAPS"
  assert (tmp_path / "piano_misaligned.md").read_text() == text
  assert re.search(r"SoftLoc \| 70\.0 ± 0\.0 \(76\.0\)", text)
  assert (tmp_path / "piano_misaligned.png").read_bytes()[:4] == b"\x89PNG"


def test_rows_of_unequal_length_are_refused():
  with pytest.raises(ValueError, match="expected 2 as the header"):
    report.markdown_table(["a", "b"], [["1"]])


def test_a_few_tracks_are_learned_from_and_others_tested(tmp_path, monkeypatch):
  machine = drum_machine.DrumMachine("test", num_recordings=6, duration_s=3.0, sample_rate_hz=16000)
  monkeypatch.setattr(fine_tuning_table.mdb_drums, "find", lambda *_, **__: range(6))
  monkeypatch.setattr(fine_tuning_table.mdb_drums, "read", machine.__getitem__)
  asked = []

  def fit(config, folder, splits):
    asked.append((folder.name, config.init_from, len(splits), config.num_steps))
    ids = [one.id for of_split in splits[0].values() for one in of_split]
    assert len(set(ids)) == 6 and len(splits[0]["test"]) == 2

  monkeypatch.setattr(fine_tuning_table.train, "fit", fit)
  package = fine_tuning_table.detector.Detector.pretrained("drums")
  monkeypatch.setattr(fine_tuning_table.detector.Detector, "from_workdir", lambda _: package)
  text = fine_tuning_table.make("nowhere", tmp_path, 2, 1, 5)
  expected = [("further", "drums", 3), ("anew", "", 1)]
  assert asked == [(f"{row}_seed{seed}", *rest, 5) for row, *rest in expected for seed in (0, 1)]
  rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
  assert [row[0].strip() for row in rows[2:]] == list(fine_tuning_table.ROWS.values())
  assert rows[2][1:] == rows[3][1:] == rows[4][1:]  # all are the same network here
  assert fine_tuning_table.make("nowhere", tmp_path, 2, 1, 5) == text and len(asked) == 4  # read, not made
  monkeypatch.setattr(fine_tuning_table.mdb_drums, "find", lambda *_, **__: range(4))
  with pytest.raises(ValueError, match="nowhere has 4 tracks; expected more than the 4"):
    fine_tuning_table.make("nowhere", tmp_path, 1, 1, None)
