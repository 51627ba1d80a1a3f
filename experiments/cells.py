"""Cells of a table: trainings in folders of their own, resumed where interrupted, skipped where finished."""

from collections.abc import Callable, Mapping
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import tempfile

import jax
from ml_collections import ConfigDict
import tqdm

from experiments import huge_pages
from softloc_jax import checkpoints, data, train


def prepare(config: ConfigDict, num_steps: int | None) -> ConfigDict:
  """A config as a cell runs it: without a bar, as cells have their own; with `num_steps`, if there is one."""
  with config.unlocked():
    config.progress = False
    if num_steps is not None:
      config.num_steps = num_steps
      config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, num_steps // 4)
  return config


def run_cell(config: ConfigDict, workdir: pathlib.Path) -> dict:
  """Results of one training: read if they are there, else made.

  Raises:
    ValueError: there are some of other settings or, where another folder of data is named, of other data.
  """
  path = workdir / "results.json"
  if path.exists():
    settings = json.loads(config.to_json())
    checkpoints.write_config(workdir, settings)
    before = json.loads((workdir / checkpoints.CONFIG_FILE).read_text())
    if _folders_of(settings) != _folders_of(before):
      config = train.with_digest(config, data.load_replicas(config))
      checkpoints.write_config(workdir, json.loads(config.to_json()))
    return json.loads(path.read_text())
  return train.train_and_evaluate(config, workdir)


def _folders_of(settings: Mapping) -> dict[str, str]:
  """Where the data of a config lie."""
  return {key: value for key, value in settings.get("data", {}).items() if key.endswith("_dir")}


def once(path: pathlib.Path, settings: Mapping, make: Callable[[], Mapping]) -> dict:
  """What a file holds that was made by these settings, or what is made now, and written there.

  Raises:
    ValueError: the file was made by others, such as fewer steps or other recordings.
  """
  if path.exists():
    found = json.loads(path.read_text())
    if found.get("settings") != settings:
      raise ValueError(
        f"{path} was made by {found.get('settings')}, not {dict(settings)}; choose another workdir"
      )
    return found["scores"]
  scores = make()
  path.parent.mkdir(parents=True, exist_ok=True)
  checkpoints.replace_text(path, json.dumps({"settings": settings, "scores": scores}, sort_keys=True))
  return json.loads(json.dumps(scores))


def run(configs: Mapping[str, ConfigDict], workdir: pathlib.Path, jobs: int) -> dict[str, dict]:
  """Results of named trainings, `jobs` at a time, in processes of their own."""
  results = {}
  with (
    tempfile.TemporaryDirectory(prefix="softloc_jax_cells_") as programs,
    concurrent.futures.ProcessPoolExecutor(
      jobs,
      mp_context=multiprocessing.get_context("spawn"),
      initializer=_prepare_process,
      initargs=(jobs, programs),
    ) as pool,
    huge_pages.for_new_processes(),
  ):
    running = {pool.submit(run_cell, config, workdir / name): name for name, config in configs.items()}
    for future in tqdm.tqdm(concurrent.futures.as_completed(running), total=len(running), unit="cell"):
      try:
        results[running[future]] = future.result()
      except (FileNotFoundError, ValueError, ImportError) as error:
        pool.shutdown(cancel_futures=True)  # not to be told after hours of the others
        raise type(error)(f"{running[future]}: {error}") from error
  return results


def _prepare_process(jobs: int, programs: str) -> None:
  _share_cores(jobs)
  if jax.config.jax_compilation_cache_dir is None:
    # Cells differ in their data more than in their programs: what one has compiled, all use.
    jax.config.update("jax_compilation_cache_dir", programs)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _share_cores(jobs: int) -> None:
  """Gives this process its share of the cores, before jax counts them at its first use."""
  if jobs > 1 and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    number = (multiprocessing.current_process()._identity[0] - 1) % jobs  # counted on by every further pool
    os.sched_setaffinity(0, cores[number % len(cores) :: jobs])
