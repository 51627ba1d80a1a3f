"""Training steps of drums and heart beats: on one batch, with the input pipeline behind, and in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from configs.weak import drums, ecg
from experiments.benchmarks import torch_training
from experiments.benchmarks.timing import Timing, compare
from softloc_jax import augment, data, data_parallel, input_pipeline, objective, train_step
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network

STEPS = 20


def measure(repeats: int) -> dict[str, dict[str, Timing]]:
  """Config -> with or without its input, or in torch -> timing of some steps."""
  by_drums, by_beats = small_drums(), beats()
  return {
    by_drums.name: _of_steps(by_drums, data.load(by_drums.data)["train"], repeats, also_in_torch=True),
    by_beats.name: _of_steps(by_beats, made_up_beats(by_beats), repeats),
  }


def _of_steps(
  config, recordings: Sequence[Recording], repeats: int, *, also_in_torch: bool = False
) -> dict[str, Timing]:
  network = Network.from_config(config)
  step, state = trainer(config, network)
  batches = batches_of(config, network, recordings)
  first = next(batches)
  by_torch = in_torch(config, network, state, first) if also_in_torch else None

  def run(next_batch: Callable):
    nonlocal state
    for _ in range(STEPS):
      state, scalars = step(state, next_batch())
    return scalars["loss"]

  functions = {
    f"{STEPS} steps on one batch": lambda: run(lambda: first),
    f"{STEPS} steps with their input": lambda: run(lambda: next(batches)),
  }
  if by_torch is not None:
    functions[f"{STEPS} steps on one batch in torch, on the processor"] = lambda: [
      by_torch() for _ in range(STEPS)
    ]
  timings = compare(functions, repeats=repeats)
  batches.close()
  return timings


def beats():
  """Heart beats from counts, without an end."""
  config = ecg.get_config().unlock()
  config.num_steps = 10_000
  return config


def made_up_beats(config) -> list[Recording]:
  """Five half hours of noise, in which a heart would beat every .8 s or so."""
  rng = np.random.default_rng(0)
  rate_hz, seconds = config.features.sample_rate_hz, 1800
  recordings = []
  for number in range(5):
    signal = rng.standard_normal((round(seconds * rate_hz), 1), np.float32)
    times_s = np.cumsum(rng.uniform(0.6, 1.0, round(seconds / 0.8)))
    events = {"beat": times_s[times_s < seconds]}
    recordings.append(Recording(str(number), signal, rate_hz, events))
  return recordings


def small_drums():
  """The main job with few recordings and no end."""
  config = drums.get_config("synthetic").unlock()
  config.data.num_train, config.data.num_validation, config.data.num_test = 40, 1, 1
  config.num_steps = 10_000
  return config


def in_torch(config, network: Network, state: train_step.TrainState, batch) -> Callable | None:
  """The same step in torch, from the same parameters; None where torch is not installed."""
  alone = jax.tree.map(lambda leaf: leaf[0], (state.variables, dict(batch)))
  return torch_training.make_step(network, *alone, config=config)


def trainer(config, network: Network):
  """The step of a config, and the state that it begins with."""
  mesh = data_parallel.make_mesh()
  optimizer = train_step.make_optimizer(config.optimizer, config.num_steps)
  rate_hz = network.extractor.frame_rate_hz
  loss_fn = objective.from_config(config.loss, frame_rate_hz=rate_hz, num_steps=config.num_steps)
  windows = input_pipeline.Windows.from_config(config.window, rate_hz)
  step = train_step.make_train_step(
    network,
    loss_fn,
    optimizer,
    mesh,
    seeds=[0],
    augmentation=augment.from_config(config.augment, network.extractor, windows, network.classes),
  )
  return step, train_step.init_state(network, optimizer, [0], mesh)


def batches_of(config, network: Network, recordings: Sequence[Recording]) -> Iterator[dict[str, jax.Array]]:
  """What the step takes, from an input pipeline of its own."""
  windows = input_pipeline.Windows.from_config(config.window, network.extractor.frame_rate_hz)
  windows = augment.from_config(config.augment, network.extractor, windows, network.classes).widen(windows)
  crops = input_pipeline.Crops(recordings, network.classes, network.extractor, windows, 0)
  sharding = data_parallel.split(data_parallel.make_mesh(), axis=1)
  batches = input_pipeline.make_iterator(
    [crops], batch_size=config.batch_size, num_steps=config.num_steps, process_index=0, process_count=1
  )
  try:
    for batch in batches:
      yield data_parallel.put(batch, sharding)
  finally:
    batches.close()
