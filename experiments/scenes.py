"""What L section 8.3 asks of a network that was trained on scenes of digits: is it right, where, and why?

  python -m experiments.scenes --workdir=DIR --supervised=DIR2

writes `DIR/scenes/results.json` (of each seed, and their mean), pictures of scenes with what was found, and,
beside those of a classifier, the features that the convolutions have of digits. The workdirs are of
`configs/weak/digits.py`, the classifier's with `alone=True`; it may be left out.
"""

import json
import pathlib
import sys

from absl import app, flags, logging

from experiments import scene_evaluation
from softloc_jax import checkpoints, run_log

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training.", required=True)
_SUPERVISED = flags.DEFINE_string(
  "supervised", None, "Folder of a classifier's training; none for no comparison."
)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)
  workdir = pathlib.Path(_WORKDIR.value)
  try:
    supervised = scene_evaluation.Trained(pathlib.Path(_SUPERVISED.value)) if _SUPERVISED.value else None
    results = scene_evaluation.evaluate(scene_evaluation.Trained(workdir), supervised)
  except (FileNotFoundError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  out = workdir / "scenes" / "results.json"
  checkpoints.replace_text(out, json.dumps(run_log.to_json(results), indent=2, sort_keys=True) + "\n")
  for key, value in sorted(results.items()):
    if key != "replicas":
      print(f"{key:25s} {value:8.4f}")
  print(f"written to {out.parent}")


if __name__ == "__main__":
  app.run(main)
