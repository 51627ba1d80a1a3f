"""The papers' tables: trains what is missing, evaluates, writes Markdown and figures.

  python -m experiments.tables --table=ecg --data_dir=PATH/mitdb --workdir=DIR --jobs=2

Every cell of a table is a training in a folder of its own: an interrupted one is resumed, a finished one
skipped.
"""

import functools
import pathlib
import sys

from absl import app, flags, logging

from experiments import (
  digits_table,
  drums_table,
  ecg_table,
  fine_tuning_table,
  golf_table,
  golf_tuning,
  noise_board,
  piano_tables,
  refine_table,
)

TABLES = {
  "ecg": ecg_table.make,
  "drums": drums_table.make,
  "piano_counts": piano_tables.make_counts,
  "piano_misaligned": piano_tables.make_misaligned,
  "golf": golf_table.make,
  "golf_tuning": golf_tuning.make,
  "digits": digits_table.make,
  "fine_tuning": fine_tuning_table.make,
  "refine_ecg": refine_table.make_ecg,
  "refine_piano": refine_table.make_piano,
  "refine_drums": refine_table.make_drums,
  "noise_board": noise_board.make,
}
SIZED = ("piano_counts", "piano_misaligned", "golf", "digits")

_TABLE = flags.DEFINE_enum("table", None, list(TABLES), "Which table.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Folder of the table's data set; of noise_board, folder of data sets, or none."
)
_TASKS = flags.DEFINE_list("tasks", None, "Which of noise_board: drums, ecg, steps, piano; none for all.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/tables", "Where the trainings and the table go.")
_SIZE = flags.DEFINE_string(
  "size", "cpu", "Piano tables: cpu, paper, modern or modern_causal; golf and digits: cpu or paper."
)
_NOISE_MS = flags.DEFINE_list("noise_ms", None, "Which columns of piano_misaligned, in ms; none for all.")
_NOISE_FRAMES = flags.DEFINE_list(
  "noise_frames", None, "Which columns of golf and golf_tuning, 0 to 4; none for all of golf, and 4."
)
_SPLITS = flags.DEFINE_list(
  "splits", None, "Which test splits of golf and golf_tuning, 1 to 4; none for all."
)
_ROWS = flags.DEFINE_list("rows", None, "Which rows of golf_tuning; none for all.")
_WEIGHTS = flags.DEFINE_string(
  "weights", None, "File of ImageNet weights for golf with --size=paper; none to begin at random."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings per cell.", lower_bound=1)
_JOBS = flags.DEFINE_integer(
  "jobs", 1, "Trainings at a time; small networks gain from one per core.", lower_bound=1
)
_STEPS = flags.DEFINE_integer("num_steps", None, "Shorter trainings than the configs', to try things.")


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)  # orbax tells every step it takes
  workdir, make = pathlib.Path(_WORKDIR.value) / _TABLE.value, TABLES[_TABLE.value]
  if _TABLE.value in SIZED:
    make = functools.partial(make, size=_SIZE.value)
    workdir = workdir if _SIZE.value == "cpu" else workdir / _SIZE.value
  elif _SIZE.value != "cpu":
    raise app.UsageError(f"--size={_SIZE.value}: expected none, as --table={_TABLE.value} has one size")
  if _NOISE_MS.value and _TABLE.value != "piano_misaligned":
    raise app.UsageError(f"--noise_ms: expected none, as --table={_TABLE.value} has no such columns")
  for flag in (_SPLITS, _NOISE_FRAMES):
    if flag.value and _TABLE.value not in ("golf", "golf_tuning"):
      raise app.UsageError(f"--{flag.name}: expected none, as --table={_TABLE.value} has none")
  if _ROWS.value and _TABLE.value != "golf_tuning":
    raise app.UsageError(f"--rows: expected none, as --table={_TABLE.value} has one set of them")
  if _WEIGHTS.value and (_TABLE.value, _SIZE.value) != ("golf", "paper"):
    raise app.UsageError("--weights: expected none but for --table=golf --size=paper")
  if _TASKS.value and _TABLE.value != "noise_board":
    raise app.UsageError(f"--tasks: expected none, as --table={_TABLE.value} has one")
  if _DATA_DIR.value is None and _TABLE.value != "noise_board":
    raise app.UsageError(f"--data_dir is missing: the folder of the data set of --table={_TABLE.value}")
  try:
    if _TASKS.value:
      make = functools.partial(make, only=_TASKS.value)
    if _ROWS.value:
      make = functools.partial(make, rows=_ROWS.value)
    if _WEIGHTS.value:
      make = functools.partial(make, weights=_WEIGHTS.value)
    if _SPLITS.value:
      make = functools.partial(make, splits=[int(split) for split in _SPLITS.value])
    if _NOISE_FRAMES.value:
      make = functools.partial(make, noise_frames=[int(level) for level in _NOISE_FRAMES.value])
    if _NOISE_MS.value:
      make = functools.partial(make, noise_ms=[int(level_ms) for level_ms in _NOISE_MS.value])
    text = make(_DATA_DIR.value, workdir, _SEEDS.value, _JOBS.value, _STEPS.value)
  except (FileNotFoundError, ValueError, ImportError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  print(text)
  print(f"written to {workdir}")


if __name__ == "__main__":
  flags.mark_flag_as_required("table")
  app.run(main)
