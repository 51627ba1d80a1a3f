"""Every notebook in `colabs/` runs from top to bottom, and is stored without its outputs."""

import os
import pathlib
import re
import sys

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
import nbclient
import nbformat
import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((REPO / "colabs").glob("*.ipynb"))
MAX_CELL_LINES = 15
CELL_TIMEOUT_S = 3600  # against hanging; on two idle cores the longest cell takes a minute

# Figures that a notebook draws, at least.
NUM_FIGURES = {
  "01_losses.ipynb": 8,
  "02_counts_to_events.ipynb": 5,
  "03_misaligned_labels.ipynb": 5,
  "04_your_own_data.ipynb": 5,
  "05_tpu_gpu_job.ipynb": 2,
}

# What a notebook's text says of its results, as code that runs after its last cell.
CHECKS = {
  "01_losses.ipynb": """
import inspect
functions = {
  name for name, one in inspect.getmembers(losses, inspect.isfunction)
  if inspect.getmodule(one) is losses
}
public = {name for name in functions if not name.startswith("_")}
public -= {"alpha_schedule", "count_interval_nll"}  # the second is counting, of labels that are less sure
assert set(LOSSES) == public, set(LOSSES) ^ public

# With the label right, and with it off.
wants_sharp = {name: (value[:, 1] > value[:, 0]).tolist() for name, value in values.items()}
for name in ("cross_entropy", "softmax_cross_entropy", "soft_bootstrap", "focal", "soft_localization"):
  assert wants_sharp[name] == [True, False], name
assert wants_sharp["one_sided_smoothing"] == [False, False]
for name in ("count_nll", "softloc", "shift_tolerant"):
  assert wants_sharp[name] == [True, True], name
np.testing.assert_allclose(values["count_nll"], [[0.105, 0.703]] * 2, atol=1e-3)

p = {name: np.asarray(jax.nn.sigmoid(x)) for name, x in fitted.items()}
truth = np.round(np.array(TRUE_S) * RATE_HZ)
for name in ("cross_entropy", "one_sided_smoothing", "soft_localization"):
  assert p[name].max() < 0.3, (name, p[name].max())  # scattered
for name in ("count_nll", "softloc"):
  assert (np.sort(p[name])[-3:] > 0.95).all() and np.sort(p[name])[:-3].max() < 0.05, name
assert abs(np.flatnonzero(p["softloc"] > 0.5) - truth).max() <= 2
assert abs(np.flatnonzero(p["count_nll"] > 0.5) - truth).max() > 5
for frame in truth.astype(int):  # soft localization has its mass around the events
  near = np.arange(frame - 10, frame + 11)
  assert abs(p["soft_localization"][near] @ near / p["soft_localization"][near].sum() - frame) < 1.5

assert results["f1"] > 0.85, results["f1"]
assert abs(results["time_error_ms/mean"]) < 10
f1 = {name: 2 * n[..., 2].sum() / n[..., :2].sum() for name, n in tally.items()}
assert f1["from_counts"] > f1["threshold"], f1
""",
  "02_counts_to_events.ipynb": """
p = {step: special.expit(x) for step, x in logits.items()}
assert p[0].max() < 0.1 and p[400].max() > 0.9, (p[0].max(), p[400].max())
moved = np.asarray(posterior) - prior
assert (moved > -1e-6).all() or (moved < 1e-6).all()  # all in the same direction
assert abs(posterior.sum() - count) < 1e-3
suspected = prior > np.quantile(prior, 0.9)
assert abs(moved[suspected]).mean() > abs(moved[~suspected]).mean()

f1 = {length_s: one["f1"] for length_s, one in scores.items()}
if IS_ECG:
  assert min(f1.values()) > 0.9, f1
else:
  assert f1[0.5] > 0.75 and f1[4.0] < f1[0.5] - 0.2, f1
assert nll[-100:, 3].mean() > 2 * nll[-100:, 0].mean(), nll[-100:].mean(0)  # harder to predict
""",
  "03_misaligned_labels.ipynb": """
board = {loss: dict(zip(CONDITIONS, row, strict=True)) for loss, row in zip(LOSSES, f1, strict=True)}
assert min(row["normal", 0] for row in board.values()) > 0.8
for condition in (("normal", 80), ("skewed", 80)):
  assert board["cross_entropy"][condition] < 0.65
  assert board["soft_localization"][condition] > 0.75
  assert board["softloc"][condition] > 0.88
for loss in ("soft_localization", "softloc"):
  for kind in ("normal", "binary", "skewed"):
    assert board[loss][kind, 40] > board[loss]["normal", 0] - 0.05, (loss, kind)
assert board["one_sided_smoothing"]["normal", 0] < board["softloc"]["normal", 0]
assert board["one_sided_smoothing"]["normal", 80] > board["cross_entropy"]["normal", 80] + 0.1
for condition in (("binary", 80), ("offset", 80)):
  assert max(row[condition] for row in board.values()) < 0.6, condition
assert 0.45 < (abs(np.random.default_rng(0).normal(0, 80, 10_000)) > 50).mean() < 0.6

at_40 = {loss: values[CONDITIONS.index(("normal", 40))] for loss, values in peaks.items()}
assert at_40["softloc"] > at_40["soft_localization"] > at_40["cross_entropy"] > at_40["one_sided_smoothing"]
assert peaks["cross_entropy"][0] > 0.7 and max(peaks["one_sided_smoothing"]) < 0.2

assert abs(errors["normal", 80].mean()) < 8 and errors["normal", 80].std() < 20
assert 5 < errors["skewed", 80].mean() < 40
assert (errors["binary", 80] > 25).mean() > 0.2 and (errors["binary", 80] < -25).mean() > 0.1
for level_ms in LEVELS_MS:
  assert abs(errors["offset", level_ms].mean() - level_ms) < 8
""",
  "04_your_own_data.ipynb": """
warnings_of = [(one.where, one.message) for one in examined.findings if one.level == "warning"]
shifted = [where for where, message in warnings_of if " late" in message or " early" in message]
assert sorted(shifted) == ["", "walk3"], warnings_of
assert -0.07 < examined.common_offset_s < -0.04
assert not any("drift" in message for _, message in warnings_of), warnings_of
assert abs(late_s - 0.4) < 0.05, late_s
assert recipes.own("sensor", classes=("step",)).num_steps == 6 * 200
assert {path.suffix for path in (OUT / "labels").iterdir()} == {".csv", ".jams"}
assert {"labels", "corrections.csv", "report.html"} <= {path.name for path in OUT.iterdir()}

assert np.median(after) < np.median(before) / 2, (np.median(before), np.median(after))
assert right.mean() > 0.85, right.mean()
assert error < 0.1, error
sure = old.confidence > 0.9
assert sure.mean() > 0.85 and right[sure].mean() > 0.95, (sure.mean(), right[sure].mean())
assert len(missing) and is_step.mean() > 0.8, is_step
assert len(extra) and no_step.mean() > 0.5, no_step
assert {path.suffix for path in (base / "found").iterdir()} == {".csv", ".svl", ".png"}
for foot in true:
  assert metrics.onset_scores(true[foot], found.times_s[foot])["f1"] > 0.9, foot

assert len(placed_f1) == 6 and np.mean(list(placed_f1.values())) > 0.93, placed_f1
""",
  "05_tpu_gpu_job.ipynb": """
assert int(count) == 2 and jax.device_count() == 2
assert step_of(BASE / "as it was left") == reached > kept[-1] and kept == [SETTINGS["eval_every"]]
assert "resuming" in output, output
assert largest == 0.0, largest
del after_kill["replicas"]
assert after_kill == {key: results[key] for key in after_kill}
whole, again = ([{**line, "seconds": 0} for line in log_of(path)] for path in (WHOLE, KILLED))
assert whole == again and len(whole) > 30

assert len(results["replicas"]) == 2 and results["f1/seed_std"] > 0
assert len(split.addressable_shards) == 2
odd = config.copy_and_resolve_references()
odd.batch_size += 1
try:
  train.fit(odd, BASE / "odd", [])
except ValueError as refused:
  assert "a multiple of the 2 devices" in str(refused)
else:
  raise AssertionError("a batch that the devices cannot share was taken")
assert kinds == {"float32"}, kinds
assert len(list(EXPORTED.iterdir())) == 3 and set(found.times_s) == {"KD", "SD", "HH"}
""",
}


class _ThisPython(KernelSpecManager):
  """Runs kernels with the Python of the tests, whatever kernels are installed, or none."""

  def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return KernelSpec(argv=argv, display_name="Python 3", language="python")


def cells_of(notebook, cell_type: str) -> list:
  return [cell for cell in notebook.cells if cell.cell_type == cell_type]


def outputs_of(notebook) -> list:
  return [output for cell in cells_of(notebook, "code") for output in cell.outputs]


def execute(notebook, *, folder: pathlib.Path, scratch: pathlib.Path, data_dir: str = "") -> None:
  """Runs a notebook in place, as if it had been opened in `folder`, by somebody with or without data."""
  environment = os.environ | {
    "PYTHONPATH": str(REPO),
    "JAX_PLATFORMS": "cpu",
    "IPYTHONDIR": str(scratch),  # no start-up files of whoever runs the tests
    "PIP_NO_INDEX": "1",
    "SOFTLOC_DATA": data_dir,
  }
  manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=_ThisPython())
  client = nbclient.NotebookClient(
    notebook, km=manager, timeout=CELL_TIMEOUT_S, resources={"metadata": {"path": str(folder)}}
  )
  client.execute(env=environment, cleanup_kc=True)


def test_there_are_notebooks():
  assert {path.name for path in NOTEBOOKS} >= set(NUM_FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_without_outputs_and_with_short_cells(path):
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  for number, cell in enumerate(cells_of(notebook, "code")):
    assert not cell.outputs and cell.execution_count is None, f"code cell {number} holds outputs: strip them"
    num_lines = len(cell.source.splitlines())
    assert num_lines <= MAX_CELL_LINES, f"code cell {number} has {num_lines} lines: {cell.source[:60]!r}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_begins_with_a_badge_and_an_installation(path):
  notebook = nbformat.read(path, as_version=4)
  assert notebook.cells[0].source.startswith("[![Open in Colab](")
  assert "%pip install" in cells_of(notebook, "code")[0].source
  assert set(notebook.metadata) == {"kernelspec", "language_info"}
  assert not any(cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_to_files(path):
  text = "".join(cell.source for cell in cells_of(nbformat.read(path, as_version=4), "markdown"))
  links = [
    link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://colab.research")
  ]
  assert all((path.parent / link).exists() for link in links), links


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_shows_what_it_says(path, tmp_path):
  _run_and_check(path, tmp_path)


@pytest.mark.slow
def test_counts_become_events_in_real_heart_beats(shared_data, tmp_path):
  pytest.importorskip("wfdb")
  path = REPO / "colabs" / "02_counts_to_events.ipynb"
  _run_and_check(path, tmp_path, data_dir=str(shared_data("mitdb").parent), more_checks="assert IS_ECG")


def _run_and_check(path, scratch, *, data_dir: str = "", more_checks: str = ""):
  notebook = nbformat.read(path, as_version=4)
  notebook.cells.append(nbformat.v4.new_code_cell(CHECKS.get(path.name, "") + more_checks))
  execute(notebook, folder=path.parent, scratch=scratch, data_dir=data_dir)
  outputs = outputs_of(notebook)
  figures = [one for one in outputs if "image/png" in one.get("data", {})]
  assert len(figures) >= NUM_FIGURES.get(path.name, 1)
  complaints = "".join(one.text for one in outputs if one.output_type == "stream" and one.name == "stderr")
  assert "warning" not in complaints.lower(), complaints


def test_a_failing_cell_fails(tmp_path):
  notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import configs\nassert 1 + 1 == 3")])
  with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
    execute(notebook, folder=tmp_path, scratch=tmp_path)
