"""Scores a trained network again: on another split, at other tolerances, or on other recordings.

  python -m experiments.evaluate --workdir=DIR --split=validation --window_ms=20
  python -m experiments.evaluate --workdir=DIR --set=data.seed=1 --out=DIR/other_kits

The settings are those of the workdir but for `--set`; what is written goes to `--out`.
"""

import json
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import ConfigDict

from configs import common
from softloc_jax import checkpoints, checks, data, train
from softloc_jax.network import Network

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training.", required=True)
_SPLIT = flags.DEFINE_enum("split", "test", data.SPLITS, "Which recordings.")
_WINDOW_MS = flags.DEFINE_float("window_ms", 50.0, "Tolerance in milliseconds.", lower_bound=0.0)
_SET = flags.DEFINE_multi_string("set", [], "KEY=VALUE: a setting that differs from the training's.")
_OUT = flags.DEFINE_string("out", None, "Folder; DIR/evaluation_<split>_<tolerance>ms if not given.")


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)  # orbax tells every step it takes
  workdir = pathlib.Path(_WORKDIR.value)
  try:
    config = ConfigDict(checkpoints.read_config(workdir))
    config.score_window_s = _WINDOW_MS.value / 1000
    for setting in _SET.value:
      common.override(config, setting)
    recordings = [splits[_SPLIT.value] for splits in data.load_replicas(config)]
    if any(setting.startswith("data.") for setting in _SET.value):
      before = ConfigDict(checkpoints.read_config(workdir))
      checks.check_unseen(recordings, data.load_replicas(before))
    name = f"evaluation_{_SPLIT.value}_{_WINDOW_MS.value:g}ms"
    out = pathlib.Path(_OUT.value) if _OUT.value else workdir / name
    results = train.evaluate(
      config, workdir, network=Network.from_config(config), recordings=recordings, out=out
    )
  except (FileNotFoundError, ValueError, ImportError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  checkpoints.replace_text(out / "results.json", json.dumps(results, indent=2, sort_keys=True) + "\n")
  train.print_results(results)
  print(f"written to {out}")


if __name__ == "__main__":
  app.run(main)
