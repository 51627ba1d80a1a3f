"""Settings of the losses of S Table 1, compared on swings that the table does not use.

  python -m experiments.golf_tuning --data_dir=PATH/golfdb --workdir=DIR --jobs=2

Swings are drawn as for `--table=golf`, with the timing of other annotations, of other videos: what is chosen
here has seen nothing of what the table trains on or is tested on.
"""

import pathlib

from absl import app, flags, logging

from configs.misaligned import golf
from experiments import cells
from experiments.report import markdown_table, mean_and_spread
from softloc_jax import checkpoints

LOSSES = {"CE": "softmax_cross_entropy", "oSS": "one_sided_smoothing", "SoftLoc": "softloc"}
# What differs from the config of a row's loss, which is the first word of its name.
SETTINGS = {
  "CE": {},
  "oSS": {},
  "SoftLoc": {},
  "oSS, softness 2": {"loss.softness_s": 2.0},
  "oSS, softness 5": {"loss.softness_s": 5.0},
  "SoftLoc, softness 2": {"loss.softness_s": 2.0},
  "SoftLoc, softness 5": {"loss.softness_s": 5.0},
  "SoftLoc, weight 30": {"loss.smoothing_weight": 30.0},
  "SoftLoc, weight 400": {"loss.smoothing_weight": 400.0},
  "SoftLoc, ramp .2 to .6": {"loss.ramp_start": 0.2, "loss.ramp_end": 0.6},
  "SoftLoc, ramp .7 to 1": {"loss.ramp_start": 0.7, "loss.ramp_end": 1.0},
  **{f"{name}, twice the steps": {"num_steps": 2000, "eval_every": 1000} for name in LOSSES},
  **{f"{name}, flipped": {"augment": {"flip": {}}} for name in LOSSES},
}

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of GolfDB's annotations.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", "runs/golf_tuning", "Where the trainings go.")
_ROWS = flags.DEFINE_multi_string("row", None, f"Which rows: {'; '.join(SETTINGS)}. None for all.")
_SPLITS = flags.DEFINE_list("splits", [1, 2, 3, 4], "Which splits are validated on.")
_NOISE_FRAMES = flags.DEFINE_list("noise_frames", [4], "How far labels are moved.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Trainings at a time.", lower_bound=1)


def config_of(row: str, level: int, split: int, data_dir: str):
  """Config of the table with a row's settings and other swings."""
  loss = LOSSES[row.split(",")[0]]
  config = golf.get_config(f"rendered,loss={loss},noise_frames={level},split={split},data_dir={data_dir}")
  with config.unlocked():
    config.data.skip_per_split = config.data.per_split
    config.update_from_flattened_dict(SETTINGS[row])
  return cells.prepare(config, None)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)
  rows = _ROWS.value or list(SETTINGS)
  if unknown := [row for row in rows if row not in SETTINGS]:
    raise app.UsageError(f"--row={unknown[0]}: expected one of {'; '.join(SETTINGS)}")
  splits, levels = ([int(number) for number in flag.value] for flag in (_SPLITS, _NOISE_FRAMES))
  names = {
    (row, level, split): f"{row.replace(', ', '_').replace(' ', '_')}_{level}_split{split}"
    for split in splits
    for row in rows
    for level in levels
  }
  configs = {name: config_of(*cell, _DATA_DIR.value) for cell, name in names.items()}
  results = cells.run(configs, pathlib.Path(_WORKDIR.value), _JOBS.value)
  pce = {cell: 100 * results[name]["pce"] for cell, name in names.items()}
  header = ["", *(f"{level} frames" for level in levels)]
  lines = [
    [row, *(mean_and_spread([pce[row, level, split] for split in splits]) for level in levels)] for row in rows
  ]
  text = "\n".join(markdown_table(header, lines))
  checkpoints.replace_text(pathlib.Path(_WORKDIR.value) / "golf_tuning.md", text)
  print(text)


if __name__ == "__main__":
  app.run(main)
