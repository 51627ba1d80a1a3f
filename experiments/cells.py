"""Cells of a table: trainings in folders of their own, resumed where interrupted, skipped where finished."""

from collections.abc import Mapping
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
from softloc_jax import checkpoints, train


def prepare(config: ConfigDict, num_steps: int | None) -> ConfigDict:
  """A config as a cell runs it: without a bar, as cells have their own; with `num_steps`, if there is one."""
  with config.unlocked():
    config.progress = False
    config.num_steps = num_steps or config.num_steps
  return config


def run_cell(config: ConfigDict, workdir: pathlib.Path) -> dict:
  """Results of one training: read if they are there, else made."""
  path = workdir / "results.json"
  if path.exists():
    checkpoints.write_config(workdir, json.loads(config.to_json()))  # refuses results of other settings
    return json.loads(path.read_text())
  return train.train_and_evaluate(config, workdir)


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
      results[running[future]] = future.result()
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
