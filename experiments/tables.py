"""The papers' tables: trains what is missing, evaluates, writes Markdown and a figure.

  python -m experiments.tables --table=ecg --data_dir=PATH/mitdb --workdir=DIR --jobs=2

Every cell of a table is a training of its own folder: an interrupted one is resumed, a finished one skipped.
"""

from collections.abc import Mapping, Sequence
import concurrent.futures
import functools
import json
import multiprocessing
import os
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import ConfigDict
import numpy as np
import tqdm

from configs.misaligned import ecg as misaligned_ecg
from configs.weak import ecg as weak_ecg
from softloc_jax import checkpoints, plots, train
from softloc_jax.data import mitdb

_TABLE = flags.DEFINE_enum("table", None, ["ecg"], "Which table.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the table's data set.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/tables", "Where the trainings and the table go.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings per cell; they run together.", lower_bound=1)
_JOBS = flags.DEFINE_integer(
  "jobs", 1, "Trainings at a time; small networks gain from one per core.", lower_bound=1
)
_STEPS = flags.DEFINE_integer("num_steps", None, "Shorter trainings than the configs', to try things.")

NOISE_MS = (0, 50, 100, 200)
ROWS = {
  "cross_entropy": "CE",
  "one_sided_smoothing": "oSS",
  "soft_localization": "SLL",
  "softloc": "SoftLoc",
}


def run_cell(config: ConfigDict, workdir: pathlib.Path) -> dict:
  """Results of one training: read if they are there, else made."""
  path = workdir / "results.json"
  if path.exists():
    checkpoints.write_config(workdir, json.loads(config.to_json()))  # refuses results of other settings
    return json.loads(path.read_text())
  return train.train_and_evaluate(config, workdir)


def run_cells(configs: Mapping[str, ConfigDict], workdir: pathlib.Path, jobs: int) -> dict[str, dict]:
  """Results of named trainings, `jobs` at a time, each in a process of its own."""
  results = {}
  with concurrent.futures.ProcessPoolExecutor(
    jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_share_cores, initargs=(jobs,)
  ) as pool:
    running = {pool.submit(run_cell, config, workdir / name): name for name, config in configs.items()}
    for future in tqdm.tqdm(concurrent.futures.as_completed(running), total=len(running), unit="cell"):
      results[running[future]] = future.result()
  return results


def _share_cores(jobs: int) -> None:
  """Gives this process its share of the cores, before jax counts them."""
  if jobs > 1 and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    number = multiprocessing.current_process()._identity[0] - 1
    os.sched_setaffinity(0, cores[number % len(cores) :: jobs] or cores)


def ecg(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> None:
  """Beats of MIT-BIH: four losses at four noise levels, and counts alone; every record is tested once."""
  cells = {("LoCo", None): lambda settings: weak_ecg.get_config(settings)}
  for loss, row in ROWS.items():
    for noise_ms in NOISE_MS:
      cells[row, noise_ms] = functools.partial(_misaligned, loss, noise_ms)
  configs = {}
  for cell, make in cells.items():
    for fold in range(len(weak_ecg.FOLDS)):
      config = make(f"data_dir={data_dir},num_replicas={seeds},fold={fold}")
      with config.unlocked():
        config.progress = False  # the cells have a bar of their own; a resumed table may have other jobs
        config.num_steps = num_steps or config.num_steps
      configs[cell_name(*cell, fold)] = config
  results = run_cells(configs, workdir, jobs)
  scores = {cell: [{} for _ in range(seeds)] for cell in cells}
  for cell, by_seed in scores.items():
    for fold in range(len(weak_ecg.FOLDS)):
      for one, replica in zip(by_seed, results[cell_name(*cell, fold)]["replicas"], strict=True):
        one.update(replica["recordings"])
  text = ecg_markdown(scores)
  checkpoints.replace_text(workdir / "ecg.md", text)
  plots.save(ecg_figure(scores), workdir / "ecg.png")
  print(text)
  print(f"written to {workdir / 'ecg.md'} and {workdir / 'ecg.png'}")


def cell_name(row: str, noise_ms: int | None, fold: int) -> str:
  """Folder of a cell's training."""
  return f"{row}_{'counts' if noise_ms is None else f'{noise_ms}ms'}_fold{fold}"


def _misaligned(loss: str, noise_ms: int, settings: str) -> ConfigDict:
  return misaligned_ecg.get_config(f"{loss},noise_ms={noise_ms},{settings}")


def groups(records: Sequence[str]) -> dict[str, list[str]]:
  """Records by what is known of them."""
  hard, paced = [r for r in records if r in mitdb.HARD], [r for r in records if r in mitdb.PACED]
  return {
    "all": list(records),
    "neither paced nor hard": [r for r in records if r not in hard + paced],
    "paced": paced,
    "hard": hard,
  }


def spread(
  recordings: Sequence[Mapping[str, Mapping]], records: Sequence[str], metric: str
) -> tuple[float, float]:
  """Mean over records, then mean and standard deviation over seeds; a record without a value is left out."""
  values = [[one[r][metric] for r in records if one[r][metric] is not None] for one in recordings]
  means = [np.mean(v) for v in values if v]
  if not means:
    return float("nan"), float("nan")
  return float(np.mean(means)), float(np.std(means, ddof=1)) if len(means) > 1 else 0.0


def ecg_markdown(cells: Mapping[tuple, Sequence[Mapping]]) -> str:
  """F1 and time error by group of records and label noise, and F1 of every record."""
  records = sorted(next(iter(cells.values()))[0])
  lines = []
  for group, members in groups(records).items():
    lines += [
      f"### F1 at ±50 ms, {group} ({', '.join(members)})",
      "",
      *_table(cells, members, "f1", "{:.3f} ± {:.3f}"),
    ]
  easy = groups(records)["neither paced nor hard"]
  lines += ["### Mean time error in ms, neither paced nor hard", ""]
  lines += _table(cells, easy, "time_error_ms/mean", "{:+.1f} ± {:.1f}")
  lines += ["### Standard deviation of the time error in ms, neither paced nor hard", ""]
  lines += _table(cells, easy, "time_error_ms/std", "{:.1f} ± {:.1f}")
  lines += [
    "### F1 of every record",
    "",
    f"| training | {' | '.join(records)} |",
    "|---" * (len(records) + 1) + "|",
  ]
  for (row, noise_ms), recordings in cells.items():
    scores = " | ".join(_entry(recordings, [r], "f1", "{:.3f} ± {:.3f}") for r in records)
    lines.append(f"| {row}, {'counts' if noise_ms is None else f'{noise_ms} ms'} | {scores} |")
  return "\n".join(lines) + "\n"


def _table(cells: Mapping, records: Sequence[str], metric: str, form: str) -> list[str]:
  if not records:
    return ["no such record", ""]
  lines = [
    f"| training labels moved by | {' | '.join(f'{n} ms' for n in NOISE_MS)} |",
    "|---" * (len(NOISE_MS) + 1) + "|",
  ]
  for row in ROWS.values():
    entries = [_entry(cells[row, n], records, metric, form) for n in NOISE_MS]
    lines.append(f"| {row} | {' | '.join(entries)} |")
  lines.append(
    f"| LoCo (counts, no times) | {_entry(cells['LoCo', None], records, metric, form)} |" + " |" * 3
  )
  return [*lines, ""]


def _entry(recordings: Sequence[Mapping], records: Sequence[str], metric: str, form: str) -> str:
  mean, std = spread(recordings, records, metric)
  return "none" if np.isnan(mean) else form.format(mean, std)


def ecg_figure(cells: Mapping[tuple, Sequence[Mapping]]):
  """F1 against label noise, one panel for a group of records."""
  from matplotlib.figure import Figure

  records = sorted(next(iter(cells.values()))[0])
  shown = {name: members for name, members in groups(records).items() if members and name != "all"}
  figure = Figure(figsize=(3.6 * len(shown), 3.4), layout="constrained")
  axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
  for axis, (name, members) in zip(axes, shown.items(), strict=True):
    for color, row in zip(("#7570b3", "#1b9e77", "#e6ab02", "#d95f02"), ROWS.values(), strict=True):
      points = np.array([spread(cells[row, n], members, "f1") for n in NOISE_MS])
      axis.errorbar(NOISE_MS, points[:, 0], points[:, 1], color=color, marker="o", capsize=3, label=row)
    mean, std = spread(cells["LoCo", None], members, "f1")
    axis.axhline(mean, color="0.3", ls="--", label="LoCo (counts only)")
    axis.axhspan(mean - std, mean + std, color="0.3", alpha=0.15, lw=0)
    axis.set(title=f"{name}\n({', '.join(members)})", xlabel="std of the label noise [ms]", xticks=NOISE_MS)
  axes[0].set(ylabel="F1 at ±50 ms", ylim=(0, 1.03))
  figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
  return figure


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.WARNING)  # orbax tells every step it takes
  workdir = pathlib.Path(_WORKDIR.value) / _TABLE.value
  try:
    {"ecg": ecg}[_TABLE.value](_DATA_DIR.value, workdir, _SEEDS.value, _JOBS.value, _STEPS.value)
  except (FileNotFoundError, ValueError, ImportError) as error:
    sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
  flags.mark_flags_as_required(["table", "data_dir"])
  app.run(main)
