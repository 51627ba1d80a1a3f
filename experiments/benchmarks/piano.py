"""Training steps of the papers' size on pianos, S section 4.2, and what the loss has of them: for GPUs."""

from __future__ import annotations

import dataclasses

from absl import logging
import jax
import numpy as np

from configs.misaligned import piano
from experiments.benchmarks import training
from experiments.benchmarks.timing import Timing, compare, counted
from softloc_jax import input_pipeline, objective
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network

SECONDS, NOTES_A_SECOND = 60.0, 10
# Types of numbers and recurrent layers of the paper's size: the one that is used, and what else there is.
VARIANTS = (
  ("float32", "lstm"),
  ("bfloat16", "lstm"),
  ("float32", "cudnn_lstm"),
  ("bfloat16", "cudnn_lstm"),
)


def measure(repeats: int, size: str = "paper") -> dict[str, dict[str, Timing]]:
  """What -> how -> timing: of the paper's size nothing on a CPU, which it is not made for."""
  if size == "paper" and jax.default_backend() == "cpu":
    logging.warning("piano: steps of the paper's size are measured on accelerators only")
    return {}
  groups = {}
  for dtype, recurrent in VARIANTS if size == "paper" else (("float32", ""),):
    config = piano.get_config(f"softloc,size={size}").unlock()
    config.model.dtype = dtype
    config.model.recurrent = recurrent or config.model.recurrent
    name = f"{config.batch_size} clips of {config.window.max_s:g} s, {dtype}, {config.model.recurrent}"
    groups[name] = _of(config, repeats)
  return groups


def _of(config, repeats: int) -> dict[str, Timing]:
  """How -> timing of a config."""
  network = Network.from_config(config)
  step, state = training.trainer(config, network)
  batch = one_batch(config, network)
  value_and_grad, *of_loss = _loss(config, network, batch)

  def run_step():
    nonlocal state
    state, scalars = step(state, batch)
    return scalars["loss"]

  name_of_loss = "SoftLoc, value and gradient"
  counts = {"step": counted(step, (state, batch)), name_of_loss: counted(value_and_grad, of_loss)}
  timings = compare({"step": run_step, name_of_loss: lambda: value_and_grad(*of_loss)}, repeats=repeats)
  return {name: dataclasses.replace(timing, **counts[name]) for name, timing in timings.items()}


def one_batch(config, network: Network) -> dict[str, jax.Array]:
  """Noise, with notes where chance has them, as the input pipeline cuts it."""
  rng = np.random.default_rng(0)
  rate_hz = config.features.sample_rate_hz
  recordings = []
  for number in range(2):
    signal = rng.normal(0, 0.1, round(SECONDS * rate_hz)).astype(np.float32)
    times_s = np.sort(rng.uniform(0, SECONDS, round(SECONDS * NOTES_A_SECOND)))
    pitches = rng.integers(0, len(network.classes), len(times_s))
    events = {label: times_s[pitches == index] for index, label in enumerate(network.classes)}
    recordings.append(Recording(str(number), signal, rate_hz, events))
  batches = training.batches_of(config, network, recordings)
  batch = next(batches)
  batches.close()
  return batch


def _loss(config, network: Network, batch):
  """The loss of a step by itself, its logits, and the rest of its arguments."""
  frame_rate_hz = network.extractor.frame_rate_hz
  loss_fn = objective.from_config(config.loss, frame_rate_hz=frame_rate_hz, num_steps=config.num_steps)
  alone = {key: leaf[0] for key, leaf in batch.items() if key != "signal"}
  num_frames = input_pipeline.Windows.from_config(config.window, frame_rate_hz).crop_frames
  alone["labels"], alone["where"] = (_middle(alone[key], num_frames) for key in ("labels", "where"))
  shape = (config.batch_size, num_frames, len(network.classes))
  logits = jax.random.normal(jax.random.key(0), shape) - 4

  def loss(logits, batch):
    per_class = loss_fn(logits, batch, config.num_steps // 2)
    return objective.mean_over_labelled(per_class, batch["labelled"])

  return jax.jit(jax.value_and_grad(loss)), logits, alone


def _middle(frames: jax.Array, num_frames: int) -> jax.Array:
  """Without the margin that augmentation takes from."""
  margin = (frames.shape[1] - num_frames) // 2
  return frames[:, margin : margin + num_frames]
