"""What L section 8.3 asks of a network that was trained on scenes of digits: is it right, and where?

  python -m experiments.scenes --workdir=DIR

writes `DIR/scenes/results.json` (of each seed, and their mean) and pictures of scenes with what was found.
The workdir is one of `configs/weak/digits.py`.
"""

from collections.abc import Mapping
import json
import pathlib
import sys

from absl import app, flags, logging
import jax
from ml_collections import ConfigDict
import numpy as np
import scipy.special

from softloc_jax import checkpoints, data, evaluation, scene_plots, scene_scores, train
from softloc_jax.data.digit_scenes import DigitScenes
from softloc_jax.data.digits import SIDE
from softloc_jax.network import Network, Variables
from softloc_jax.scene_scores import Objects

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training.", required=True)
# Half a digit: a box that is further off shows something else.
WITHIN_PX = SIDE / 2
NUM_DRAWN = 12
_BATCH = 64


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> dict:
  """Scores every seed on the test scenes, and on scenes that show each test digit alone."""
  network = Network.from_config(config)
  state, notes = train.restore_reported(config, workdir, network)
  scenes = data.load(config.data)["test"]
  decoder = evaluation.Decoder(config.decode, network.classes, network.extractor.frame_rate_hz)
  replicas = []
  for replica, fields in enumerate(notes["calibration"]):
    variables = jax.tree.map(lambda leaf, at=replica: leaf[at], state.variables)
    calibration = evaluation.Calibration(**fields)
    probs = _probabilities(network, variables, scenes)
    found = [to_objects(decoder(one, calibration)[0], scenes) for one in probs]
    true = [true_objects(scenes, number) for number in range(len(scenes))]
    replicas.append(
      scene_scores.score(found, true, within=WITHIN_PX)
      | {"single_accuracy": _single_accuracy(network, variables, scenes), "seed": config.seed + replica}
    )
    canvases = [scenes.scene(number)[0] for number in range(min(NUM_DRAWN, len(scenes)))]
    drawn = slice(len(canvases))
    scene_plots.save_scenes(
      workdir / "scenes" / f"seed_{config.seed + replica}.png", canvases, found[drawn], true[drawn], side=SIDE
    )
  return evaluation.mean([{k: v for k, v in one.items() if k != "seed"} for one in replicas]) | {
    "replicas": replicas
  }


def _probabilities(network: Network, variables: Variables, scenes: DigitScenes) -> list[np.ndarray]:
  """Event probabilities of each scene, `[T, C]`; many scenes at a time."""
  apply = jax.jit(network.apply)
  found = []
  for first in range(0, len(scenes), _BATCH):
    signals = [scenes[number].signal for number in range(first, min(first + _BATCH, len(scenes)))]
    filled = np.zeros((_BATCH, len(signals[0]), 1), np.float32)  # one shape to compile
    filled[: len(signals), :, 0] = signals
    found += list(scipy.special.expit(np.asarray(apply(variables, filled)))[: len(signals)])
  return found


def _single_accuracy(network: Network, variables: Variables, scenes: DigitScenes) -> float:
  digits = scenes.digits
  alone = DigitScenes(
    "test",
    digits,
    num_recordings=len(digits.labels),
    canvas_size=scenes.path.image_size,
    stride=scenes.path.stride,
    curve=scenes.path.kind,
    min_digits=1,
    max_digits=1,
    seed=scenes.seed,
    in_order=True,
  )
  return scene_scores.single_accuracy(_probabilities(network, variables, alone), digits.labels)


def to_objects(times_s: Mapping[str, np.ndarray], scenes: DigitScenes) -> Objects:
  """Events along the curve as digits on the canvas."""
  places = [scenes.path.centres[np.round(times).astype(int)] for times in times_s.values()]
  labels = [np.full(len(times), int(name)) for name, times in times_s.items()]
  return Objects(np.concatenate(places), np.concatenate(labels))


def true_objects(scenes: DigitScenes, number: int) -> Objects:
  """The digits of a scene."""
  _, corners, labels = scenes.scene(number)
  return Objects(corners + (SIDE - 1) / 2, labels)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)
  workdir = pathlib.Path(_WORKDIR.value)
  try:
    config = ConfigDict(checkpoints.read_config(workdir))
    if config.data.name != "digit_scenes":
      raise ValueError(f"{workdir} is a training on {config.data.name!r}; expected one on 'digit_scenes'")
    results = evaluate(config, workdir)
  except (FileNotFoundError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  out = workdir / "scenes" / "results.json"
  checkpoints.replace_text(out, json.dumps(results, indent=2, sort_keys=True) + "\n")
  for key, value in sorted(results.items()):
    if key != "replicas":
      print(f"{key:24s} {value:8.4f}")
  print(f"written to {out.parent}")


if __name__ == "__main__":
  app.run(main)
