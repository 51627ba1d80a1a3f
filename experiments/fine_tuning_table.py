"""A few real drum tracks, counted: does it help to train the package's network further, or to begin anew?"""

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

from ml_collections import ConfigDict
import numpy as np

from experiments import cells
from experiments.report import markdown_table, mean_and_spread, over_seeds
from softloc_jax import checkpoints, detector, evaluation, recipes, train
from softloc_jax.data import condition, mdb_drums
from softloc_jax.data.recording import Recording, digest

CLASSES = ("KD", "SD", "HH")
ROWS = {
  "as_is": "the package's network as it is",
  "further": "trained further",
  "anew": "a network of its own",
}
NUM_TRAIN, NUM_VALIDATION = 3, 1  # tracks; the others are for testing
WINDOW_S = 0.05


def make(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Trains on some tracks of MDB Drums, tests on the others, each seed on tracks of its own."""
  del jobs  # the members of an ensemble are trained as one program
  recordings = [mdb_drums.read(item) for item in mdb_drums.find(data_dir, mix="drum_only")]
  if len(recordings) <= NUM_TRAIN + NUM_VALIDATION:
    raise ValueError(
      f"{data_dir} has {len(recordings)} tracks; expected more than the 4 that are learned from"
    )
  results = {
    row: [_scores(row, recordings, seed, workdir, num_steps) for seed in range(seeds)] for row in ROWS
  }
  text = markdown(results)
  checkpoints.replace_text(workdir / "fine_tuning.md", text)
  return text


def _scores(
  row: str, recordings: Sequence[Recording], seed: int, workdir: pathlib.Path, num_steps: int | None
) -> Mapping[str, Any]:
  """Scores of one cell; read if they are there."""
  folder = workdir / f"{row}_seed{seed}"
  split = _split(recordings, seed)

  def score() -> Mapping[str, Any]:
    trained = _trained(row, split, seed, folder, num_steps)
    found = [trained.detect(one).times_s for one in split["test"]]
    return evaluation.score(found, split["test"], classes=CLASSES, window_s=WINDOW_S)

  settings = {"num_steps": num_steps, "digest": digest(list(split.values()))}
  return cells.once(folder / "scores.json", settings, score)


def _split(recordings: Sequence[Recording], seed: int) -> dict[str, list[Recording]]:
  shuffled = [recordings[i] for i in np.random.default_rng(seed).permutation(len(recordings))]
  held_out = NUM_TRAIN + NUM_VALIDATION
  return {
    "train": shuffled[:NUM_TRAIN],
    "validation": shuffled[NUM_TRAIN:held_out],
    "test": shuffled[held_out:],
  }


def _trained(
  row: str,
  split: Mapping[str, Sequence[Recording]],
  seed: int,
  folder: pathlib.Path,
  num_steps: int | None,
) -> detector.Detector:
  if row == "as_is":
    return detector.Detector.pretrained("drums")
  config = _config(split["train"], further=row == "further")
  config.seed, config.progress = seed, False
  recipes.set_steps(config, num_steps)
  heard = {
    name: [condition.condition(one, **config.data.conditioning) for one in of_split]
    for name, of_split in split.items()
  }
  train.fit(config.lock(), folder, [heard] * config.num_replicas)
  return detector.Detector.from_workdir(folder)


def _config(recordings: Sequence[Recording], *, further: bool) -> ConfigDict:
  """What `softloc-jax train --learn=counts` takes, with and without `--model=drums`."""
  like = train.read_learned("drums")[0] if further else None
  config = recipes.for_recordings(recordings, kind="audio", classes=CLASSES, like=like)
  config.init_from = "drums" if further else ""
  return config


def markdown(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
  """F1 of each drum over the hits of all tested tracks."""
  rows = []
  for row, title in ROWS.items():
    by_class = [[100 * one[f"f1/{name}"] for one in results[row]] for name in CLASSES]
    means = [sum(values) / len(CLASSES) for values in zip(*by_class, strict=True)]
    rows.append([title, *map(mean_and_spread, by_class), mean_and_spread(means)])
  seeds = max(map(len, results.values()))
  text = (
    f"F1 at ±50 ms in %, hits of the tested tracks; {over_seeds(seeds)}, each with tracks of its own.\n\n"
  )
  return text + "\n".join(markdown_table(["MDB Drums", *CLASSES, "mean"], rows))
