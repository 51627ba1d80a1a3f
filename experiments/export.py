"""Takes the network out of a training's workdir into a folder that `softloc_jax.pretrained` reads.

python -m experiments.export --workdir=runs/drums_groove --out=softloc_jax/pretrained/drums
"""

import sys

from absl import app, flags, logging

from softloc_jax import detector, pretrained

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for the weights and settings.", required=True)
_HALF = flags.DEFINE_bool("half", False, "Keep 16 bits of each weight only.")
_REPLICA = flags.DEFINE_integer("replica", 0, "Which of several seeds.", lower_bound=0)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)  # orbax tells every step it takes
  try:
    trained = detector.read_workdir(_WORKDIR.value, replica=_REPLICA.value)
    pretrained.save(_OUT.value, trained, half=_HALF.value)
  except (FileNotFoundError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  print(f"written to {_OUT.value}")


if __name__ == "__main__":
  app.run(main)
