"""What L section 8.3 asks of a network that was trained on scenes of digits; see `scenes` for the command."""

from collections.abc import Iterator, Mapping, Sequence
import functools
import pathlib

import jax
from ml_collections import ConfigDict
import numpy as np
import scipy.special

from softloc_jax import attribution, checkpoints, data, evaluation, scene_plots, scene_scores, train
from softloc_jax.data.digit_scenes import DigitScenes
from softloc_jax.data.digits import SIDE
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network, Variables
from softloc_jax.scene_scores import Objects

# Half a digit: a box that is further off shows something else.
WITHIN_PX = SIDE / 2
NUM_DRAWN = 12
NUM_EMBEDDED = 1000  # digits in the picture of features
_BATCH = 64


class Trained:
  """What a workdir holds: config, network, and each seed's variables and calibration."""

  def __init__(self, workdir: pathlib.Path):
    self.workdir, self.config = workdir, ConfigDict(checkpoints.read_config(workdir))
    if self.config.data.name != "digit_scenes":
      raise ValueError(
        f"{workdir} is a training on {self.config.data.name!r}; expected one on 'digit_scenes'"
      )
    self.network = Network.from_config(self.config)
    state, notes = train.restore_reported(self.config, workdir, self.network)
    self.replicas = [
      (
        self.config.seed + number,
        jax.tree.map(lambda leaf, at=number: leaf[at], state.variables),
        evaluation.Calibration(**fields),
      )
      for number, fields in enumerate(notes["calibration"])
    ]


def evaluate(trained: Trained, supervised: Trained | None = None) -> dict:
  """Scores every seed on the test scenes and on scenes that show each test digit alone; draws both.

  Raises:
    ValueError: a classifier that was not told what single digits are, or one of other digits.
  """
  if supervised is not None:
    _check_classifier(supervised, trained.config.data.source)
  parts = data.load(trained.config.data)
  scenes, alone = parts["test"], each_digit(parts["test"])
  network, out = trained.network, trained.workdir / "scenes"
  decoder = evaluation.Decoder(trained.config.decode, network.classes, network.extractor.frame_rate_hz)
  true = [true_objects(scenes, number) for number in range(len(scenes))]
  replicas = []
  for seed, variables, calibration in trained.replicas:
    offset_px = sees_off_px(network, variables, parts["validation"])
    centres = scenes.path.centres + offset_px
    decoded = [
      to_objects(*decoder(probs, calibration), centres) for probs in probabilities(network, variables, scenes)
    ]
    found = [scene_scores.without_doubles(*one, within=WITHIN_PX) for one in decoded]
    as_decoded = scene_scores.score([objects for objects, _ in decoded], true, within=WITHIN_PX)
    accuracy = scene_scores.single_accuracy(probabilities(network, variables, alone), alone.digits.labels)
    replicas.append(
      scene_scores.score(found, true, within=WITHIN_PX)
      | {f"{key}/with_doubles": as_decoded[key] for key in ("counts_exact", "stray")}
      | {"single_accuracy": accuracy, "seed": seed}
      | {f"sees_off_px/{axis}": float(offset) for axis, offset in zip("yx", offset_px, strict=True)}
    )
    drawn = range(min(NUM_DRAWN, len(scenes)))
    scene_plots.save_scenes(
      out / f"seed_{seed}.png",
      [scenes.scene(number)[0] for number in drawn],
      found[: len(drawn)],
      true[: len(drawn)],
      side=SIDE,
    )
  results = evaluation.mean([{k: v for k, v in one.items() if k != "seed"} for one in replicas])
  results |= {"step_px": float(scenes.path.stride), "nearest_place_px": nearest_place_px(scenes, true)}
  if supervised is not None:
    results["supervised_accuracy"] = float(
      np.mean([accuracy_alone(supervised, one) for one in supervised.replicas])
    )
    draw_features(out / "features.png", trained, supervised, alone)
  return results | {"replicas": replicas}


def _check_classifier(supervised: Trained, source: str) -> None:
  data_config, loss = supervised.config.data, supervised.config.loss.name
  if loss != "cross_entropy" or data_config.max_digits != 1:
    raise ValueError(
      f"{supervised.workdir} learned scenes of up to {data_config.max_digits} digits with the loss {loss};"
      f" expected a classifier of single ones (alone=True)"
    )
  if data_config.source != source:
    raise ValueError(f"{supervised.workdir} learned digits of {data_config.source!r}; expected {source!r}")


def probabilities(network: Network, variables: Variables, scenes: DigitScenes) -> list[np.ndarray]:
  """Event probabilities of each scene, `[T, C]`."""
  apply = jax.jit(network.apply)
  return [
    probs
    for signals, number in _batches(scenes)
    for probs in scipy.special.expit(np.asarray(apply(variables, signals)))[:number]
  ]


def _batches(scenes: Sequence[Recording]) -> Iterator[tuple[np.ndarray, int]]:
  """Signals of many scenes at a time, `[B, N, 1]`, and how many of them are real: one shape to compile."""
  for first in range(0, len(scenes), _BATCH):
    signals = [scenes[number].signal for number in range(first, min(first + _BATCH, len(scenes)))]
    filled = np.zeros((_BATCH, len(signals[0]), 1), np.float32)
    filled[: len(signals), :, 0] = signals
    yield filled, len(signals)


def sees_off_px(network: Network, variables: Variables, scenes: DigitScenes) -> np.ndarray:
  """How far down, and to the right, of its place the network sees what it finds there, in pixels, `[2]`.

  From no label: the median over scenes, each with the find that is surest.

  Raises:
    ValueError: nothing in any scene moves the network's logits.
  """
  apply = jax.jit(network.apply)
  seen_from = jax.jit(functools.partial(attribution.centres, network))
  offsets = []
  for signals, number in _batches(scenes):
    logits = np.asarray(apply(variables, signals))
    places, classes = np.unravel_index(logits.reshape(len(logits), -1).argmax(axis=1), logits.shape[1:])
    seen = np.asarray(seen_from(variables, signals, places, classes))
    offsets.append((seen - scenes.path.centres[places])[:number])
  offsets = np.concatenate(offsets)
  if np.isnan(offsets).all():
    raise ValueError(
      f"nothing in {len(scenes)} scenes moves the network's logits; expected a trained network"
    )
  return np.nanmedian(offsets, axis=0)


def each_digit(scenes: DigitScenes) -> DigitScenes:
  """Scenes of one digit, every one of those that the scenes are made of."""
  return DigitScenes(
    "test",
    scenes.digits,
    num_recordings=len(scenes.digits.labels),
    canvas_size=scenes.path.image_size,
    stride=scenes.path.stride,
    curve=scenes.path.kind,
    min_digits=1,
    max_digits=1,
    seed=scenes.seed,
    in_order=True,
  )


def accuracy_alone(trained: Trained, replica: tuple) -> float:
  """Share of the test digits that a classifier gets right."""
  alone = each_digit(data.load(trained.config.data)["test"])
  probs = probabilities(trained.network, replica[1], alone)
  return scene_scores.single_accuracy(probs, alone.digits.labels)


def to_objects(
  times_s: Mapping[str, np.ndarray], confidence: Mapping[str, np.ndarray], centres: np.ndarray
) -> tuple[Objects, np.ndarray]:
  """Events along the curve as digits on the canvas, given the centre of what each place sees, `[T, 2]`.

  Returns:
    The digits, and the confidence of each.
  """
  places = np.concatenate([centres[np.round(times).astype(int)] for times in times_s.values()])
  labels = np.concatenate([np.full(len(times), int(name)) for name, times in times_s.items()])
  sure = np.concatenate([confidence[name] for name in times_s])
  return Objects(places, labels), sure


def true_objects(scenes: DigitScenes, number: int) -> Objects:
  """The digits of a scene."""
  _, corners, labels = scenes.scene(number)
  return Objects(corners + (SIDE - 1) / 2, labels)


def nearest_place_px(scenes: DigitScenes, true: list[Objects]) -> float:
  """Mean distance from digits to the nearest place of the curve: no network could come closer."""
  centres = np.concatenate([one.centres for one in true])
  return float(np.linalg.norm(scenes.path.centres[scenes.path.nearest(centres)] - centres, axis=1).mean())


def draw_features(path: pathlib.Path, trained: Trained, supervised: Trained, alone: DigitScenes) -> None:
  """Features of the last convolution for test digits, laid out in two dimensions by t-SNE (as L Figure 3)."""
  from sklearn.manifold import TSNE

  classified = each_digit(data.load(supervised.config.data)["test"])
  panels = {}
  for title, one, scenes in (("counts only", trained, alone), ("supervised", supervised, classified)):
    offset_px = sees_off_px(one.network, one.replicas[0][1], data.load(one.config.data)["validation"])
    found, labels = features(one.network, one.replicas[0][1], scenes, offset_px)
    panels[title] = (TSNE(random_state=0, init="pca").fit_transform(found), labels)
  scene_plots.save_embeddings(path, panels)


def features(
  network: Network, variables: Variables, alone: DigitScenes, offset_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """What the convolutions have of some digits, where each is seen from, `[n, F]`; and their labels."""

  @jax.jit
  def at_all_places(signals):
    model = network.model(variables)
    return model.features(model.image(network.extractor(signals)))

  # Data sets may come sorted by label: from all over.
  chosen = np.unique(np.linspace(0, len(alone) - 1, NUM_EMBEDDED).astype(int))
  shown = [alone[index] for index in chosen]
  seen = np.concatenate([np.asarray(at_all_places(signals))[:real] for signals, real in _batches(shown)])
  places = [alone.path.nearest(true_objects(alone, index).centres - offset_px)[0] for index in chosen]
  return seen[np.arange(len(chosen)), places], alone.digits.labels[chosen]
