"""One training loop for every experiment; what a step of it does is in `train_step`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
import itertools
import json
import logging
import os
import pathlib
import time
from typing import Any

import jax
from jax import Array
from ml_collections import ConfigDict
import numpy as np
import optax
import tqdm

from softloc_jax import (
  augment,
  checkpoints,
  checks,
  data,
  data_parallel,
  encoder_weights,
  evaluation,
  input_pipeline,
  objective,
  predict,
  pretrained,
  run_log,
  train_step,
  warm_start,
)
from softloc_jax.data.recording import Recording, digest
from softloc_jax.network import Network, Variables

BEST_METRIC = "validation/count_error"


def train_and_evaluate(config: Any, workdir: str | os.PathLike) -> dict[str, Any]:
  """Runs an experiment, or takes up the one that was interrupted in `workdir`, to its final metrics.

  Args:
    config: an experiment's `ConfigDict`, see `configs/`.
    workdir: gets `config.json`, `metrics.jsonl`, `checkpoints/`, `results.json`, `predictions/<id>.csv`
      and `figures/`.

  Returns:
    What `results.json` holds: test metrics, means over the replicas, with `<metric>/seed_std` where there
    are several; under `replicas` those of each, with its calibration and its scores by recording.

  Raises:
    FileNotFoundError, ValueError: bad data or settings, before any training.
    FloatingPointError: the loss became NaN or infinite.
  """
  checks.check_settings(config)
  workdir = pathlib.Path(workdir)
  splits = data.load_replicas(config)
  config = with_digest(config, splits)
  network = fit(config, workdir, splits)
  results = evaluate(config, workdir, network=network, recordings=[one["test"] for one in splits])
  checkpoints.replace_text(workdir / "results.json", json.dumps(results, indent=2, sort_keys=True) + "\n")
  return results


def fit(
  config: Any, workdir: str | os.PathLike, splits: Sequence[Mapping[str, Sequence[Recording]]]
) -> Network:
  """Trains on given recordings, or goes on with a training that was interrupted in `workdir`; no test.

  Args:
    config: an experiment's; of its `data`, only the classes matter here.
    workdir: gets `config.json`, `metrics.jsonl` and `checkpoints/`.
    splits: of each replica, "train" and "validation" -> recordings, conditioned.

  Returns:
    The network; `restore_reported` has what it learned.

  Raises:
    ValueError, FloatingPointError: as `train_and_evaluate`.
  """
  checks.check_settings(config)
  network = Network.from_config(config)
  run = _Run(config, pathlib.Path(workdir), network, splits)
  # Of several processes of one training the first keeps others away.
  with checkpoints.alone(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
    checkpoints.write_config(workdir, json.loads(config.to_json()))
    run.train()
  return network


def with_digest(config: Any, splits: Sequence[Mapping[str, Sequence[Recording]]]) -> Any:
  """The config with what tells its recordings, labels and splits from others, `data.digest`.

  As it is where it has that already, or where recordings are made when they are asked for.
  """
  distinct = splits if config.get("split_by") else splits[:1]
  parts = [part for own in distinct for part in own.values()]
  if config.data.get("digest") or not all(isinstance(part, list) for part in parts):
    return config
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.data.digest = digest(parts)
  return config.lock()


def evaluate(
  config: Any,
  workdir: str | os.PathLike,
  *,
  network: Network,
  recordings: Sequence[Sequence[Recording]],
  out: str | os.PathLike | None = None,
) -> dict[str, Any]:
  """Scores the reported checkpoint of a workdir on recordings.

  Args:
    config: of the training.
    workdir: of the training.
    network: the config's.
    recordings: of each replica, with their true events.
    out: gets `predictions/` and `figures/`; None is the workdir.

  Returns:
    Metrics as `train_and_evaluate` describes them.

  Raises:
    FileNotFoundError: no checkpoint yet.
    ValueError: signals that the network is not made for.
  """
  for one in itertools.chain.from_iterable(recordings):
    checks.check_signal(one, network.extractor)
  state, notes = restore_reported(config, workdir, network)
  per_replica = evaluation.evaluate_replicas(
    config, network, state.variables, notes["calibration"], recordings, out=pathlib.Path(out or workdir)
  )
  # An ensemble of all seeds goes by the first.
  replicas = [{"seed": seed} | one for seed, one in zip(_seeds(config), per_replica, strict=False)]
  return run_log.to_json(evaluation.summarize(replicas) | {"step": int(state.step)})


def print_results(results: Mapping[str, Any], *, most_classes: int = 12) -> None:
  """The metrics, one a line; those of single classes only if there are not too many."""
  classes = {key.removeprefix("f1/") for key in results if key.startswith("f1/")}
  for key, value in sorted(results.items()):
    of_class = not classes.isdisjoint(key.split("/"))
    if isinstance(value, float) and not (of_class and len(classes) > most_classes):
      print(f"{key:32s} {value:9.3f}")


def restore_reported(
  config: Any, workdir: str | os.PathLike, network: Network
) -> tuple[train_step.TrainState, dict[str, Any]]:
  """The checkpoint that `config.report_checkpoint` names, "best" or "last", and its notes (calibration).

  Raises:
    FileNotFoundError: no checkpoint yet.
  """
  saved = checkpoints.Checkpoints(workdir, best_metric=BEST_METRIC)
  try:
    step = saved.best_step if config.report_checkpoint == "best" else saved.latest_step
    if step is None:
      raise FileNotFoundError(f"{workdir} holds no checkpoint yet")
    optimizer = train_step.make_optimizer(config.optimizer, config.num_steps)
    return saved.restore(
      step, train_step.init_state(network, optimizer, _seeds(config), data_parallel.make_mesh())
    )
  finally:
    saved.close()


def read_learned(source: str | os.PathLike) -> tuple[ConfigDict, Network, Variables]:
  """A trained network, with what all of its seeds have learned.

  Args:
    source: name of a network that comes with the package, a folder that `pretrained.save` wrote, or the
      workdir of a training, whose reported checkpoint is taken. A folder of a package network's name is
      written as `./drums`.

  Returns:
    The config of its training, the network, and variables with a leading axis of seeds.

  Raises:
    FileNotFoundError: neither such a network nor such a folder, or no checkpoint yet.
    ValueError: a config or weights that cannot be read.
  """
  if str(source) in pretrained.names():
    return pretrained.load(pretrained.folder(str(source)))[:3]
  if pretrained.is_saved(source):
    return pretrained.load(source)[:3]
  config = ConfigDict(checkpoints.read_config(source))
  network = Network.from_config(config)
  state, _ = restore_reported(config, source, network)
  return config, network, state.variables


def _seeds(config: Any) -> list[int]:
  return [config.seed + replica for replica in range(config.num_replicas)]


def _check_loss(pending: Sequence[Mapping[str, Array]], step: int) -> None:
  loss = float(np.mean([np.asarray(one["loss"]) for one in pending]))
  if not np.isfinite(loss):
    raise FloatingPointError(f"the loss is {loss} at step {step}; try a lower learning rate")


def _check_weights(state: train_step.TrainState, step: int) -> None:
  """Of the last update no loss has told yet."""
  if not np.isfinite(float(optax.tree.norm(state.variables.params))):
    raise FloatingPointError(f"weights are no numbers at step {step}; try a lower learning rate")


class _Run:
  """The pieces of one experiment; everything that can be wrong with its input is wrong here.

  `splits` are those of each replica.
  """

  def __init__(self, config, workdir: pathlib.Path, network: Network, splits):
    self.config, self.workdir, self.network, self.seeds = config, workdir, network, _seeds(config)
    rate_hz = network.extractor.frame_rate_hz
    self.mesh = data_parallel.make_mesh()
    self.loss_fn = objective.from_config(config.loss, frame_rate_hz=rate_hz, num_steps=config.num_steps)
    self.optimizer = train_step.make_optimizer(config.optimizer, config.num_steps)
    self.predictor = predict.Predictor.from_config(network, config.predict)
    self.decoder = evaluation.Decoder(config.decode, network.classes, rate_hz)
    for own in splits if config.get("split_by") else splits[:1]:
      # Training recordings that are used whole are made when they are drawn: nobody asks for all of them.
      read = [
        split for name, split in own.items() if name != "train" or not config.window.get("whole", False)
      ]
      for recording in itertools.chain(*read):
        checks.check_signal(recording, network.extractor)
      if not config.window.get("whole", False):
        checks.report_collisions(own["train"], rate_hz)
    windows = input_pipeline.Windows.from_config(config.window, rate_hz)
    if config.window.get("whole", False):
      self._check_whole(windows, splits[0]["train"][0])
    self.augmentation = augment.from_config(config.augment, network.extractor, windows, network.classes)
    windows = self.augmentation.widen(windows)
    self.crops = [
      self._crops_of(self._given(own["train"], seed), windows, seed)
      for own, seed in zip(splits, self.seeds, strict=True)
    ]
    self.held_out = [own["validation"] for own in splits]
    self.validation = [self._given(one, seed) for one, seed in zip(self.held_out, self.seeds, strict=True)]

  def _check_whole(self, windows: input_pipeline.Windows, first: Recording) -> None:
    """Refuses windows and chunks that are not of a recording's length, where each is looked at whole."""
    whole = self.network.extractor.num_frames(len(first.signal))
    lengths = {windows.min_frames, windows.max_frames, self.predictor.chunk_frames}
    if lengths != {whole}:
      raise ValueError(
        f"recording {first.id!r} has {whole} frames, window.min_s and max_s and predict.chunk_s say"
        f" {', '.join(map(str, sorted(lengths)))}; expected as many, since window.whole is True"
      )

  def _crops_of(self, recordings: Sequence[Recording], windows: input_pipeline.Windows, seed: int):
    """What training sees of recordings: windows of them, or all of each."""
    classes, extractor = self.network.classes, self.network.extractor
    if self.config.window.get("whole", False):
      return input_pipeline.WholeRecordings(recordings, classes, extractor, seed)
    mixed = self.config.loss.name == "mixed"
    return input_pipeline.Crops(recordings, classes, extractor, windows, seed, mixed)

  def _given(self, recordings: Sequence[Recording], seed: int) -> Sequence[Recording]:
    """Recordings with the labels that training may see."""
    rate_hz = self.network.extractor.frame_rate_hz
    return input_pipeline.with_label_noise(recordings, self.config.label_noise, seed, frame_rate_hz=rate_hz)

  def initial_state(self) -> train_step.TrainState:
    """Before the first step: random, but for a network that is trained further, or the weights of a file."""
    state = self._random_state()
    if source := self.config.get("init_from"):
      _, network, learned = read_learned(source)
      try:
        given = warm_start.adapt(state.variables, self.network, learned, network)
      except ValueError as error:
        raise ValueError(f"init_from: {source} {error}") from error
    elif self.config.get("encoder_weights"):
      given = encoder_weights.load(state.variables, self.config.encoder_weights)
    else:
      return state
    return state.replace(variables=jax.device_put(given, data_parallel.everywhere(self.mesh)))

  def _random_state(self) -> train_step.TrainState:
    return train_step.init_state(self.network, self.optimizer, self.seeds, self.mesh)

  def train(self) -> None:
    """Trains to the end, from the last checkpoint if there is one."""
    config = self.config
    iterator = input_pipeline.make_iterator(
      self.crops,
      batch_size=config.batch_size,
      num_steps=config.num_steps,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
    saved = checkpoints.Checkpoints(self.workdir, best_metric=BEST_METRIC)
    try:
      done = saved.latest_step or 0
      # What it began with is not asked for again, and may be gone.
      state = self._random_state() if done else self.initial_state()
      if done:
        state, _ = saved.restore(done, state, iterator)
        logging.warning("resuming %s at step %d", self.workdir, done)
      log = run_log.RunLog(self.workdir, resume_step=done)
      self._steps(state, done, iterator, saved, log)
      log.close()
    finally:
      saved.close()
      iterator.close()

  def _steps(self, state, done: int, iterator, saved: checkpoints.Checkpoints, log: run_log.RunLog) -> None:
    config = self.config
    step_fn = train_step.make_train_step(
      self.network,
      self.loss_fn,
      self.optimizer,
      self.mesh,
      seeds=self.seeds,
      augmentation=self.augmentation,
    )
    sharding = data_parallel.split(self.mesh, axis=1)
    pending: list[dict[str, Array]] = []  # stays on the device between log lines
    started = time.monotonic()
    with tqdm.tqdm(
      total=config.num_steps,
      initial=done,
      desc=config.name,
      unit="step",
      mininterval=0.5,
      disable=not config.progress,
    ) as bar:
      for step in range(done + 1, config.num_steps + 1):
        state, scalars = step_fn(state, data_parallel.put(next(iterator), sharding))
        pending.append(scalars)
        is_evaluated = step % config.eval_every == 0 or step == config.num_steps
        is_logged = step % config.log_every == 0 or step == config.num_steps
        if is_logged or is_evaluated:
          _check_loss(pending, step)
        if is_logged:
          line = {f"train/{k}": float(v) for k, v in evaluation.mean(pending).items()}
          pending.clear()
          bar.set_postfix(loss=f"{line['train/loss']:.3f}", refresh=False)
          log.write(step, line | {"seconds": log.seconds_before + time.monotonic() - started})
        bar.update()
        if is_evaluated:
          _check_weights(state, step)
          metrics, notes = self.validate(state)
          log.write(step, metrics)
          saved.save(step, state, iterator, metrics, notes)

  def validate(self, state: train_step.TrainState) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores against held-out labels as given, and the calibration that agrees best with them."""
    scores, chosen = [], []
    found = evaluation.probabilities(self.predictor, state.variables, self.held_out)
    # An ensemble of all replicas goes by the labels of the first.
    for given, probs in zip(self.validation, found, strict=False):
      calibration, count_error = self.decoder.calibrate(probs, given)
      estimates = [self.decoder(p, calibration)[0] for p in probs]
      found = evaluation.score(
        estimates, given, classes=self.network.classes, window_s=self.config.score_window_s
      )
      scores.append(
        {
          "f1_given_labels": found["f1"],
          "f1_recordings_given_labels": found["f1_recordings"],
          "count_error": count_error,
        }
      )
      chosen.append(calibration._asdict())
    return {f"validation/{k}": float(v) for k, v in evaluation.mean(scores).items()}, {"calibration": chosen}
