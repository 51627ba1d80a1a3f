"""The noise board and the table of refined counts, from made-up results."""

import itertools

import numpy as np
import pytest
from small_pulses import counted, pulses

from configs.misaligned import piano
from experiments import noise_board, refine_table
from softloc_jax.data.recording import Recording

NAMES = ("CE", "oSS", "SLL", "SoftLoc", "shift-tolerant CE")


def replicas(f1, num_seeds=3, num_recordings=4):
  """Of every seed the mean F1, one hundredth more than of the one before, and of recordings around it."""
  found = []
  for seed in range(num_seeds):
    mean = f1 + 0.01 * (seed - 1)
    around = np.linspace(-0.02, 0.02, num_recordings)
    recordings = {f"one{number}": {"f1_recordings": mean + off} for number, off in enumerate(around)}
    found.append({"f1_recordings": mean, "recordings": recordings})
  return found


@pytest.fixture(scope="module")
def results():
  """F1 of .9 less a hundredth for each loss, less .001 for each ms; counts .85."""
  tasks = noise_board.tasks(None)
  losses = list(noise_board.ROWS)
  return tasks, {
    cell: replicas(0.85 if cell[1] is None else 0.9 - 0.01 * losses.index(cell[1]) - cell[3] / 1000)
    for name, task in tasks.items()
    for cell in task.cells(name)
  }


def test_every_loss_meets_every_kind_and_level():
  (name, task), *others = noise_board.tasks(None).items()
  cells = task.cells(name)
  assert name == "drums" and not others
  assert len(cells) == len(set(map(noise_board.cell_name, cells))) == 1 + 5 * (1 + 4 * len(task.levels_ms))
  for loss, kind, level_ms in {cell[1:] for cell in cells if cell[1]}:
    config = task.config(loss, kind, level_ms, 3)
    assert config.loss.name == loss and config.num_replicas == 3
    assert config.label_noise.scale_s == level_ms / 1000 and config.label_noise.kind == (kind or "normal")
  assert task.config(None, None, 0, 3).loss.name == "count_nll"


def test_data_sets_that_are_there_are_on_the_board(tmp_path):
  for name in ("mitdb", "steps", "MAPS"):
    (tmp_path / name).mkdir()
  found = noise_board.tasks(tmp_path)
  assert list(found) == ["drums", "ecg", "steps", "piano"]
  in_full = piano.get_config("softloc")
  assert found["piano"].config("softloc", "normal", 100, 1).num_steps == in_full.num_steps // 3
  for name, task in found.items():
    for loss in (None, "softloc"):
      config = task.config(loss, "skewed", 50, 2)
      assert name == "drums" or config.data.data_dir.startswith(str(tmp_path))
  with pytest.raises(FileNotFoundError, match="no such folder"):
    noise_board.tasks(tmp_path / "missing")
  with pytest.raises(ValueError, match="task 'flute': expected one of drums, ecg, steps, piano"):
    noise_board.make(tmp_path, tmp_path, 3, 1, 1, only=["flute"])


def test_the_board_has_every_mean_and_spread_in_its_place(results):
  text = noise_board.markdown(*results)
  rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
  header, _, *rows = rows
  assert header[:4] == ["loss", "clean", "normal 50 ms", "normal 100 ms"]
  assert [row[0] for row in rows] == [*NAMES, "counts (LoCo)"]
  assert rows[0][1:4] == ["90.0 ± 1.0", "85.0 ± 1.0", "80.0 ± 1.0"] and rows[3][1] == "87.0 ± 1.0"
  assert rows[-1][1:3] == ["85.0 ± 1.0", ""]


def test_the_interval_is_that_of_recordings(results):
  mean, low, high = noise_board.interval(replicas(0.5))
  assert mean == pytest.approx(50.0) and 48.0 <= low < 49.6 and 50.4 < high <= 52.0


def test_the_figure_draws_every_loss_at_every_level(results):
  drawn = noise_board.figure(*results)
  axes = drawn.axes
  assert [axis.get_title() for axis in axes] == [
    "normal noise",
    "binary noise",
    "skewed noise",
    "all labels late alike",
  ]
  for axis in axes:
    lines = {line.get_label(): line.get_ydata() for line in axis.get_lines()}
    assert set(lines) == {*NAMES, "counts (LoCo)"}
    np.testing.assert_allclose(lines["CE"], [90.0, 85.0, 80.0])


def test_counts_in_the_place_of_times_are_those_of_the_times():
  one, truth = pulses(0)
  one = one.replace(events=truth)
  given = refine_table.counted(one, 2.0, seed=0)
  windows = given.counted["pulse"]
  assert windows[0].start_s == 0 and windows[-1].end_s == one.duration_s
  assert all(before.end_s == after.start_s for before, after in itertools.pairwise(windows))
  for window in windows:
    inside = (truth["pulse"] >= window.start_s) & (truth["pulse"] < window.end_s)
    assert window.low == window.high == inside.sum()
  lengths_s = [window.end_s - window.start_s for window in windows]
  assert min(lengths_s) >= 1.0 and max(lengths_s) <= 4.0 and np.mean(lengths_s) == pytest.approx(2.0, rel=0.2)
  assert not given.is_labelled("pulse") and not len(given.times_s("pulse"))
  assert refine_table.counted(one, 2.0, seed=1).counted["pulse"] != windows


def test_what_counts_say_of_times_is_spread_evenly():
  one = Recording("one", np.zeros(400), 100.0, {})
  found = refine_table._evenly(counted(one, {"hit": np.array([0.3, 0.4, 3.0])}, window_s=2.0))
  np.testing.assert_allclose(found["hit"], [0.5, 1.5, 3.0])


def test_the_table_of_counts():
  scores = {
    "before": 0.3,
    "after": 0.95,
    "after_20ms": 0.9,
    "after_classes": {"KD": 0.99, "SD": 0.95, "HH": 0.88},
    "confidence": [0.95] * 20,
    "correct": [True] * 19 + [False],
  }
  results = {("MDB Drums", 1): [scores, scores | {"after": 0.93}]}
  row = next(line for line in refine_table.markdown_counts(results).splitlines() if "MDB" in line)
  entries = [entry.strip() for entry in row.strip("|").split("|")]
  assert entries[:4] == ["MDB Drums", "1 s", "30.0 ± 0.0", "94.0 ± 1.4"]
  assert entries[4:] == ["99.0 ± 0.0", "95.0 ± 0.0", "88.0 ± 0.0", "90.0 ± 0.0", "0.000 ± 0.000"]
