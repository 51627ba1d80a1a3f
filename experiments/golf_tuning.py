"""Settings for S Table 1, compared on swings that `--table=golf` does not use.

Swings are drawn as for that table, with the timing of other annotations, of other videos: what is chosen here
has seen nothing of what the table trains on or is tested on.
"""

from __future__ import annotations

from collections.abc import Sequence
import pathlib

from ml_collections import ConfigDict

from configs.misaligned import golf
from experiments import cells
from experiments.golf_table import ROWS as LOSSES
from experiments.report import markdown_table, mean_and_spread, over_seeds
from softloc_jax import checkpoints, data
from softloc_jax.data import golfdb

# With these, the other settings were compared: trainings that take half the time.
_HALF = {"num_steps": 1000, "eval_every": 500, "optimizer.learning_rate": 2e-3}
_SWEEPS = {
  "oSS softness 2": {"loss.softness_s": 2.0},
  "oSS softness 5": {"loss.softness_s": 5.0},
  "SoftLoc softness 2": {"loss.softness_s": 2.0},
  "SoftLoc softness 5": {"loss.softness_s": 5.0},
  "SoftLoc weight 30": {"loss.smoothing_weight": 30.0},
  "SoftLoc weight 400": {"loss.smoothing_weight": 400.0},
  "SoftLoc alpha to .5": {"loss.alpha_high": 0.5},
  "SoftLoc ramp .2 to .6": {"loss.ramp_start": 0.2, "loss.ramp_end": 0.6},
}
# What differs from the table's config of a row's loss, which is the first word of its name.
ROWS = {
  **{name: {} for name in LOSSES.values()},
  **{f"{name} half the steps": {"num_steps": 1000, "eval_every": 500} for name in LOSSES.values()},
  **{f"{name} half the rate": {"optimizer.learning_rate": 2e-3} for name in LOSSES.values()},
  **{f"{name} half both": _HALF for name in LOSSES.values()},
  **{f"{name} half both": _HALF | settings for name, settings in _SWEEPS.items()},
  **{f"{name} flipped half both": _HALF | {"augment": {"flip": {}}} for name in LOSSES.values()},
}


def make(
  data_dir: str,
  workdir: pathlib.Path,
  seeds: int,
  jobs: int,
  num_steps: int | None,
  splits: Sequence[int] = tuple(range(1, golfdb.NUM_FOLDS + 1)),
  noise_frames: Sequence[int] = (4,),
  rows: Sequence[str] = tuple(ROWS),
) -> str:
  """Trains what is missing and writes the PCE of each row, the mean over the splits.

  Args:
    data_dir: folder of GolfDB's annotations.
    workdir: gets the trainings and the table.
    seeds: trainings of each split.
    jobs: trainings at a time.
    num_steps: shorter trainings than the rows'; None for those.
    splits: what is tested, of the swings that the table leaves out.
    noise_frames: the columns.
    rows: names of `ROWS`.

  Returns:
    The table.

  Raises:
    ValueError: an unknown row.
  """
  if unknown := [row for row in rows if row not in ROWS]:
    raise ValueError(f"--rows: {unknown[0]!r}; expected some of {', '.join(ROWS)}")
  configs = {
    (row, level, split, seed): cells.prepare(config_of(row, level, split, seed, data_dir), num_steps)
    for seed in range(seeds)
    for split in splits
    for row in rows
    for level in noise_frames
  }
  # Made once, before several processes would all start to.
  data.load(next(iter(configs.values())).data)
  results = cells.run({cell_name(*cell): config for cell, config in configs.items()}, workdir, jobs)

  def percent(row: str, level: int, seed: int) -> float:
    return sum(100 * results[cell_name(row, level, split, seed)]["pce"] for split in splits) / len(splits)

  header = ["labels moved by", *(f"{level} frames" for level in noise_frames)]
  lines = [
    [row, *(mean_and_spread([percent(row, level, seed) for seed in range(seeds)]) for level in noise_frames)]
    for row in rows
  ]
  text = f"PCE, mean over the splits {', '.join(map(str, splits))}, {over_seeds(seeds)}.\n\n"
  text += "\n".join(markdown_table(header, lines))
  checkpoints.replace_text(workdir / "golf_tuning.md", text)
  return text


def config_of(row: str, level: int, split: int, seed: int, data_dir: str) -> ConfigDict:
  """Config of the table with a row's settings, and other swings."""
  loss = next(loss for loss, name in LOSSES.items() if name == row.split()[0])
  arguments = f"loss={loss},noise_frames={level},split={split},seed={seed},data_dir={data_dir}"
  config = golf.get_config(f"rendered,{arguments}").unlock()
  config.data.skip_per_split = config.data.per_split
  config.update_from_flattened_dict(ROWS[row])
  return config.lock()


def cell_name(row: str, level: int, split: int, seed: int) -> str:
  """Folder of a cell's training."""
  return f"{row.replace(' ', '_')}_{level}_split{split}_seed{seed}"
