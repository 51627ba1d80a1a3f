"""The noise board: which loss stands which kind of label noise, and how much of it.

The embedded drums always, and of the folder of data sets whatever is there: `mitdb` (heart beats), `steps`
(walking) and `MAPS` (piano onsets).
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib

from ml_collections import ConfigDict
import numpy as np

from configs.misaligned import drums, ecg, folder, piano
from configs.weak import drums as weak_drums
from configs.weak import ecg as weak_ecg
from configs.weak import folder as weak_folder
from configs.weak import piano as weak_piano
from experiments import cells
from experiments.report import markdown_table, mean_and_spread, over_seeds
from softloc_jax import checkpoints, metrics, plots

KINDS = ("normal", "binary", "skewed", "constant")
ROWS = {
  "cross_entropy": "CE",
  "one_sided_smoothing": "oSS",
  "soft_localization": "SLL",
  "softloc": "SoftLoc",
  "shift_tolerant": "shift-tolerant CE",
}
_COLORS = ("#7570b3", "#1b9e77", "#e6ab02", "#d95f02", "#66a61e")
_STEPS = "classes=step,rate_hz=50,channels=3,min_gap_s=0.25"

Cell = tuple[str, str | None, str | None, int]  # task, loss (None: counts), kind (None: clean), level in ms
Replicas = Sequence[Mapping]  # results of each seed


@dataclasses.dataclass(frozen=True)
class Task:
  """What is learned, and how far its labels are moved.

  Attributes:
    title: over its panels.
    levels_ms: of the noise; times are right within 50 ms.
    misaligned: "LOSS,key=value" -> config.
    counted: "key=value" -> config of learning from counts alone.
    settings: of both.
  """

  title: str
  levels_ms: tuple[int, ...]
  misaligned: Callable[[str], ConfigDict]
  counted: Callable[[str], ConfigDict]
  settings: str = ""

  def config(self, loss: str | None, kind: str | None, level_ms: int, seeds: int) -> ConfigDict:
    """Of one cell; its seeds are trained as one program."""
    settings = f"num_replicas={seeds}{self.settings}"
    if loss is None:
      return self.counted(settings)
    config = self.misaligned(f"{loss},{settings}").unlock()
    config.label_noise = ConfigDict({"kind": kind or "normal", "scale_s": level_ms / 1000})
    return config.lock()

  def cells(self, name: str) -> list[Cell]:
    """Counts, then each loss on clean labels and on labels moved in each way."""
    moved = [(kind, level_ms) for kind in KINDS for level_ms in self.levels_ms]
    return [(name, None, None, 0)] + [(name, loss, *how) for loss in ROWS for how in [(None, 0), *moved]]


def tasks(data_dir: str | None) -> dict[str, Task]:
  """Name -> task, of the data sets that are there.

  Raises:
    FileNotFoundError: a folder that does not exist.
  """
  found = {"drums": Task("embedded drums", (50, 100), _short(drums, _small), _short(weak_drums, _small))}
  if data_dir is None:
    return found
  root, levels_ms = pathlib.Path(data_dir), (50, 100, 200)
  if not root.is_dir():
    raise FileNotFoundError(f"no such folder: {root}; expected one that holds mitdb, steps or MAPS")
  if (root / "mitdb").is_dir():
    settings = f",data_dir={root / 'mitdb'}"
    found["ecg"] = Task("heart beats", levels_ms, ecg.get_config, weak_ecg.get_config, settings)
  if (root / "steps").is_dir():
    settings = f",data_dir={root / 'steps'},{_STEPS}"
    found["steps"] = Task(
      "steps",
      levels_ms,
      lambda text: _either_foot(folder.get_config(f"{text},kind=sensor")),
      lambda text: _either_foot(weak_folder.get_config(f"sensor,{text}")),
      settings,
    )
  if (root / "MAPS").is_dir():
    settings = f",data_dir={root / 'MAPS'}"
    # One level: a cell still takes three minutes of one core.
    found["piano"] = Task("piano onsets", (100,), _short(piano), _short(weak_piano), settings)
  return found


def _short(module, *changes: Callable[[ConfigDict], None]) -> Callable[[str], ConfigDict]:
  """A third of the steps, as there are many cells, and other changes."""

  def get_config(text: str) -> ConfigDict:
    config = module.get_config(text).unlock()
    config.num_steps = config.eval_every = config.num_steps // 3
    for change in changes:
      change(config)
    return config.lock()

  return get_config


def _small(config: ConfigDict) -> None:
  """A smaller network for the embedded drums."""
  config.model.conv_features, config.model.recurrent_units = (32, 32, 32), 24


def _either_foot(config: ConfigDict) -> ConfigDict:
  """Which foot it was cannot be told from a sensor that hangs somewhere else in each recording."""
  with config.unlocked():
    config.data.class_map = {"left": "step", "right": "step"}
  return config


def make(
  data_dir: str | None,
  workdir: pathlib.Path,
  seeds: int,
  jobs: int,
  num_steps: int | None,
  only: Sequence[str] | None = None,
) -> str:
  """Trains what is missing, and writes the board and its figure.

  Args:
    data_dir: folder of data sets; None for the embedded drums alone.
    workdir: gets the trainings, the board and the figure.
    seeds: of every cell.
    jobs: trainings at a time.
    num_steps: shorter trainings than the configs'.
    only: names of tasks; None for all that there are data for.

  Returns:
    The board in Markdown.

  Raises:
    ValueError: a task that is not there.
  """
  chosen = tasks(data_dir)
  for name in only or ():
    if name not in chosen:
      raise ValueError(f"task {name!r}: expected one of {', '.join(chosen)} (others have no data)")
  chosen = {name: task for name, task in chosen.items() if not only or name in only}
  configs = {
    cell: cells.prepare(task.config(*cell[1:], seeds), num_steps)
    for name, task in chosen.items()
    for cell in task.cells(name)
  }
  by_name = cells.run({cell_name(cell): config for cell, config in configs.items()}, workdir, jobs)
  results = {cell: by_name[cell_name(cell)]["replicas"] for cell in configs}
  text = markdown(chosen, results)
  checkpoints.replace_text(workdir / "noise_board.md", text)
  plots.save(figure(chosen, results), workdir / "noise_board.png")
  return text


def cell_name(cell: Cell) -> str:
  """Folder of a cell's training."""
  task, loss, kind, level_ms = cell
  how = "counts" if loss is None else f"{loss}_clean" if kind is None else f"{loss}_{kind}_{level_ms}ms"
  return f"{task}/{how}"


def interval(replicas: Replicas) -> tuple[float, float, float]:
  """F1 in per cent, mean over recordings and seeds, and where 95 % of resampled recordings have it."""
  ids = list(replicas[0]["recordings"])
  values = [[one["recordings"][id_]["f1_recordings"] for one in replicas] for id_ in ids]
  means = 100 * np.mean(np.array(values, dtype=np.float64), axis=1)
  return float(means.mean()), *metrics.bootstrap_interval(means)


def markdown(chosen: Mapping[str, Task], results: Mapping[Cell, Replicas]) -> str:
  """A table for each task: rows are losses, columns kinds and levels."""
  seeds = len(next(iter(results.values())))
  lines = [f"F1 at ±50 ms in %, mean over the recordings; {over_seeds(seeds)}.", ""]
  for name, task in chosen.items():
    lines += [f"### {task.title[0].upper()}{task.title[1:]}", ""]
    header = ["loss", "clean", *(f"{kind} {ms} ms" for kind in KINDS for ms in task.levels_ms)]
    rows = []
    for loss, title in ROWS.items():
      of_loss = [cell for cell in task.cells(name) if cell[1] == loss]
      rows.append([title, *(_entry(results[cell]) for cell in of_loss)])
    rows.append(["counts (LoCo)", _entry(results[name, None, None, 0]), *[""] * (len(header) - 2)])
    lines += markdown_table(header, rows)
  return "\n".join(lines)


def _entry(replicas: Replicas) -> str:
  return mean_and_spread([100 * one["f1_recordings"] for one in replicas])


def figure(chosen: Mapping[str, Task], results: Mapping[Cell, Replicas]):
  """F1 against the level of noise: a row of panels for each task, a column for each kind."""
  from matplotlib.figure import Figure

  drawn = Figure(figsize=(3 * len(KINDS), 2.6 * len(chosen) + 0.9), layout="constrained")
  axes = drawn.subplots(len(chosen), len(KINDS), sharey=True, sharex="row", squeeze=False)
  for row, (name, task) in zip(axes, chosen.items(), strict=True):
    mean, low, high = interval(results[name, None, None, 0])
    for axis, kind in zip(row, KINDS, strict=True):
      axis.axhline(mean, color="0.4", ls="--", lw=1, label="counts (LoCo)")
      axis.axhspan(low, high, color="0.4", alpha=0.12, lw=0)
      for color, (loss, title) in zip(_COLORS, ROWS.items(), strict=True):
        of_kind = [(name, loss, None, 0), *((name, loss, kind, ms) for ms in task.levels_ms)]
        points = np.array([interval(results[cell]) for cell in of_kind])
        levels_ms = [0, *task.levels_ms]
        axis.plot(levels_ms, points[:, 0], color=color, marker="o", ms=3, label=title)
        axis.fill_between(levels_ms, points[:, 1], points[:, 2], color=color, alpha=0.15, lw=0)
      axis.set(xticks=levels_ms, ylim=(0, 102))
    row[0].set_ylabel(f"{task.title}\nF1 at ±50 ms [%]")
  for axis, kind in zip(axes[0], KINDS, strict=True):
    axis.set_title(f"{kind} noise" if kind != "constant" else "all labels late alike")
  drawn.supxlabel("how far labels are moved (standard deviation, or the constant) [ms]", fontsize="medium")
  drawn.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize="small")
  return drawn
