"""Digits in scenes from counts: L section 8.3, beside a classifier with the same convolutions."""

from collections.abc import Mapping, Sequence
import json
import pathlib

import numpy as np

from configs.weak import digits
from experiments import cells, scene_evaluation
from experiments.report import markdown_table, mean_and_spread, over_seeds
from softloc_jax import checkpoints, run_log

# L section 8.3: accuracy in per cent from counts and with supervision, centre error in pixels.
PAPER = ("99.12", "98.51", "-", "-", "9.04", "-", "-")
METRICS = {
  "single_accuracy": ("one digit, from counts", 100, "{:.2f}"),
  "supervised_accuracy": ("one digit, supervised", 100, "{:.2f}"),
  "counts_exact": ("scenes with all counts exact", 100, "{:.1f}"),
  "counts_exact/with_doubles": ("before doubles are dropped", 100, "{:.1f}"),
  "centre_error_px/mean": ("centre error [px]", 1, "{:.2f}"),
  "recall": ("digits found within 14 px", 100, "{:.1f}"),
  "stray": ("stray finds", 100, "{:.1f}"),
}


def make(
  data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None, size: str = "cpu"
) -> str:
  """Trains what is missing, scores it and writes the table; returns it."""
  configs = {
    cell_name(row, seed): cells.prepare(
      digits.get_config(f"mnist,size={size},seed={seed},data_dir={data_dir},alone={row == 'alone'}"),
      num_steps,
    )
    for seed in range(seeds)
    for row in ("counts", "alone")
  }
  cells.run(configs, workdir, jobs)
  scored = [_scored(workdir, seed) for seed in range(seeds)]
  hours = [run_log.training_seconds(workdir / cell_name("counts", seed)) / 3600 for seed in range(seeds)]
  text = markdown(scored, float(np.mean(hours)))
  checkpoints.replace_text(workdir / "digits.md", text)
  return text


def cell_name(row: str, seed: int) -> str:
  """Folder of a cell's training."""
  return f"{row}_seed{seed}"


def _scored(workdir: pathlib.Path, seed: int) -> Mapping:
  """What `scene_evaluation` says of a seed, computed once after both its trainings."""
  cells_of_seed = [workdir / cell_name(row, seed) for row in ("counts", "alone")]
  path = cells_of_seed[0] / "scenes" / "results.json"
  if not _is_current(path, cells_of_seed) or not set(METRICS) <= set(json.loads(path.read_text())):
    results = scene_evaluation.evaluate(*map(scene_evaluation.Trained, cells_of_seed))
    text = json.dumps(run_log.to_json(results), indent=2, sort_keys=True)
    checkpoints.replace_text(path, text + "\n")
  # NaN, of a network that found nothing, is null there.
  return {key: np.nan if value is None else value for key, value in json.loads(path.read_text()).items()}


def _is_current(path: pathlib.Path, trainings: Sequence[pathlib.Path]) -> bool:
  """Whether a file was written after the results of all trainings, which may have been continued since."""
  ended = [(one / "results.json").stat().st_mtime for one in trainings]
  return path.exists() and path.stat().st_mtime >= max(ended)


def markdown(scored: Sequence[Mapping], hours: float) -> str:
  """One row for the paper's numbers, one for ours."""
  step, nearest = (np.mean([one[key] for one in scored]) for key in ("step_px", "nearest_place_px"))
  ours = [
    mean_and_spread([factor * one[key] for one in scored], form) for key, (_, factor, form) in METRICS.items()
  ]
  header = ["MNIST scenes", *(title for title, _, _ in METRICS.values())]
  return "\n".join(
    [
      f"Places are {step:g} pixels apart; the nearest one is {nearest:.2f} pixels from a digit's centre on"
      f" average. Mean training time from counts: {hours:.2f} h. Shares in %; {over_seeds(len(scored))}.",
      "",
      *markdown_table(header, [["L section 8.3", *PAPER], ["here", *ours]]),
    ]
  )
