"""Training steps of small networks in processes with huge pages and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import contextlib
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

from absl import logging
import jax
import numpy as np

from configs.misaligned import golf, piano
from experiments import huge_pages
from experiments.benchmarks import piano as piano_steps
from experiments.benchmarks import training
from experiments.benchmarks.timing import Timing, compare
from softloc_jax import data
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network

STEPS = 5
CLIP_FRAMES = 200


def measure(repeats: int, tasks: Mapping[str, Callable[[], tuple[Any, Network, Any]]] | None = None):
  """Config -> kind of pages -> timing of some steps; nothing where the C library knows of one kind only.

  Args:
    repeats: measurements of each.
    tasks: name -> what makes config, network and batch; functions of a module. All of this one if not given.

  Returns:
    As the other sections.
  """
  if jax.default_backend() != "cpu":
    logging.warning("pages: those of a processor's memory matter to steps on it only")
    return {}
  if not huge_pages.available():
    logging.warning("pages: without glibc 2.35 or a later one there is nothing to choose")
    return {}
  return {f"{name}, {STEPS} steps": _side_by_side(make, repeats) for name, make in (tasks or TASKS).items()}


def drums_batch() -> tuple[Any, Network, Any]:
  """Of the embedded main job."""
  config = training.small_drums()
  return _with_batch(config, data.load(config.data)["train"])


def piano_batch() -> tuple[Any, Network, Any]:
  """Of the small network for 88 pitches."""
  config = piano.get_config("softloc,size=cpu")
  network = Network.from_config(config)
  return config, network, piano_steps.one_batch(config, network)


def golf_batch() -> tuple[Any, Network, Any]:
  """Of the small network for swings, which sees noise here."""
  config = golf.get_config("rendered")
  rng = np.random.default_rng(0)
  pixels = 3 * int(np.prod(config.features.frame_size))
  signal = rng.integers(0, 256, (CLIP_FRAMES, pixels)).astype(np.uint8)
  events = {name: np.array([20.0 * (1 + place)]) for place, name in enumerate(config.data.classes)}
  return _with_batch(config, [Recording("noise", signal, 1.0, events)])


TASKS = {"drums": drums_batch, "piano": piano_batch, "golf": golf_batch}


def _with_batch(config, recordings) -> tuple[Any, Network, Any]:
  network = Network.from_config(config)
  batches = training.batches_of(config, network, recordings)
  batch = next(batches)
  batches.close()
  return config, network, batch


def _side_by_side(make: Callable, repeats: int) -> dict[str, Timing]:
  with contextlib.ExitStack() as stack:
    functions = {
      name: stack.enter_context(_in_a_process(make, wanted))
      for name, wanted in (("huge pages", True), ("small pages", False))
    }
    return compare(functions, repeats=repeats)


@contextlib.contextmanager
def _in_a_process(make: Callable, wanted: bool):
  """A function that has a process of its own make some steps, and waits for it."""
  context = multiprocessing.get_context("spawn")
  own, theirs = context.Pipe()
  process = context.Process(target=_steps_on_demand, args=(make, theirs), daemon=True)
  with huge_pages.for_new_processes(wanted):
    process.start()
  theirs.close()  # so that a process that ends is noticed

  def run() -> float:
    own.send(True)
    return own.recv()

  try:
    yield run
  finally:
    with contextlib.suppress(ConnectionError):
      own.send(False)
    process.join()


def _steps_on_demand(make: Callable, connection: Connection) -> None:
  config, network, batch = make()
  step, state = training.trainer(config, network)
  while connection.recv():
    for _ in range(STEPS):
      state, scalars = step(state, batch)
    connection.send(float(scalars["loss"][0]))
