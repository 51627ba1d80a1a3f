"""Trains and evaluates one experiment.

  python -m experiments.train --config=configs/weak/drums.py:synthetic --workdir=DIR
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from softloc_jax import train

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment: a file of configs/, `:variant,key=value`.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, metrics, predictions and figures.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  try:
    results = train.train_and_evaluate(_CONFIG.value, _WORKDIR.value)
  except (FileNotFoundError, ValueError, ImportError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  for key, value in sorted(results.items()):
    if isinstance(value, float):
      print(f"{key:32s} {value:8.3f}")
  print(f"written to {_WORKDIR.value}")


if __name__ == "__main__":
  app.run(main)
