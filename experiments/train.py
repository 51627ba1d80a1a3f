"""Trains and evaluates one experiment.

python -m experiments.train --config=configs/weak/drums.py:synthetic --workdir=DIR
"""

import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from softloc_jax import train

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment: a file of configs/, `:variant,key=value`."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, metrics, predictions and figures.")


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)  # orbax tells every step it takes
  try:
    results = train.train_and_evaluate(_CONFIG.value, _WORKDIR.value)
  except (FileNotFoundError, ValueError, ImportError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  train.print_results(results)
  print(f"written to {_WORKDIR.value}")


def parse(argv: list[str]) -> list[str]:
  """Reads the flags; what is wrong with the config is one line of text, too."""
  try:
    rest = flags.FLAGS(argv)
    _CONFIG.value.keys()  # only now is it told that there is no such file
    return rest
  except flags.Error as error:  # the last line says what a config refused, after where it did
    sys.exit(str(error).strip().splitlines()[-1].strip())
  except OSError:  # with two tracebacks
    known = sorted(map(str, pathlib.Path("configs").glob("*/[a-z]*.py")))
    given = " ".join(arg for arg in argv[1:] if arg.partition("=")[0] == "--config") or "--config"
    sys.exit(f"{given}: no such file; expected one of {', '.join(known)}")
  except AttributeError as error:  # as config_flags leaves it
    key, *advice = str(error).strip("\"'").replace("\\n", "\n").splitlines()
    key = key.strip("\"'")
    given = [arg for arg in argv if arg.startswith("--config.") and key in arg.partition("=")[0].split(".")]
    message = f"{' '.join(given) or '--config'}: the config has no key {key!r}"
    sys.exit(". ".join([message, *advice]))


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  app.run(main, flags_parser=parse)
