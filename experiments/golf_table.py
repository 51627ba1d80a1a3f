"""Golf swings: three losses at five levels of label noise (S Table 1), on drawn swings or on GolfDB's."""

from collections.abc import Mapping, Sequence
import pathlib

import numpy as np

from configs.misaligned import golf
from experiments import cells
from experiments.report import markdown_table, mean_and_spread, over_seeds
from softloc_jax import checkpoints, data, detector, metrics, plots, run_log, video_plots
from softloc_jax.data import golfdb

NOISE_FRAMES = (0, 1, 2, 3, 4)
ROWS = {"softmax_cross_entropy": "CE", "one_sided_smoothing": "oSS", "softloc": "SoftLoc"}
# PCE in per cent, S Table 1, on GolfDB's clips.
PAPER = {
  "softmax_cross_entropy": (68.1, 60.4, 51.6, 43.1, 36.9),
  "one_sided_smoothing": (69.1, 66.2, 60.6, 54.7, 50.7),
  "softloc": (67.2, 68.0, 65.6, 58.6, 54.2),
}
Cell = tuple[str, int, int, int]  # loss, noise in frames, test split, seed
Results = Mapping[Cell, Mapping]


def make(
  data_dir: str,
  workdir: pathlib.Path,
  seeds: int,
  jobs: int,
  num_steps: int | None,
  size: str = "cpu",
  splits: Sequence[int] = tuple(range(1, golfdb.NUM_FOLDS + 1)),
  noise_frames: Sequence[int] = NOISE_FRAMES,
  weights: str = "",
) -> str:
  """Trains what is missing of S Table 1 and writes it with its figures.

  GolfDB's clips are used where the folder has them, else drawn ones.

  Args:
    data_dir: folder of the annotations, and of `videos_160` or `videos` for real clips.
    workdir: gets the trainings, the table and the figures.
    seeds: trainings of each split.
    jobs: trainings at a time.
    num_steps: shorter trainings than the config's; None for that.
    size: of the network.
    splits: which of the four are tested.
    noise_frames: the columns.
    weights: file of ImageNet weights for the paper's size; none to begin at random.

  Returns:
    The table.

  Raises:
    ValueError: a column that the paper's table does not have.
  """
  unknown = sorted(set(noise_frames) - set(NOISE_FRAMES))
  if unknown:
    raise ValueError(f"noise_frames has {unknown[0]}; expected some of {', '.join(map(str, NOISE_FRAMES))}")
  source = "golfdb" if has_clips(data_dir) else "rendered"
  configs = {
    (loss, level, split, seed): cells.prepare(
      golf.get_config(
        f"{source},loss={loss},noise_frames={level},split={split},seed={seed},size={size},data_dir={data_dir},"
        f"weights={weights}"
      ),
      num_steps,
    )
    for seed in range(seeds)  # a whole table of one seed first
    for split in splits
    for level in noise_frames
    for loss in ROWS
  }
  # Made once, before several processes would all start to.
  recordings = data.load(next(iter(configs.values())).data)
  by_name = cells.run({cell_name(*cell): config for cell, config in configs.items()}, workdir, jobs)
  results = {cell: by_name[cell_name(*cell)] for cell in configs}
  seconds = [run_log.training_seconds(workdir / cell_name(*cell)) for cell in configs]
  text = markdown(results, source, float(np.mean(seconds)) / 60)
  checkpoints.replace_text(workdir / "golf.md", text)
  plots.save(noise_figure(results), workdir / "golf.png")
  figure = curves_figure(recordings["test"][0], workdir, splits[0], max(noise_frames))
  plots.save(figure, workdir / "golf_curves.png")
  return text


def has_clips(data_dir: str) -> bool:
  """Whether a folder has GolfDB's videos beside its annotations."""
  folder = pathlib.Path(data_dir)
  return any((folder / name).is_dir() for name in (golfdb.CLIPS_FOLDER, golfdb.RAW_FOLDER))


def cell_name(loss: str, noise_frames: int, split: int, seed: int) -> str:
  """Folder of a cell's training."""
  return f"{loss}_{noise_frames}_split{split}_seed{seed}"


def markdown(results: Results, source: str, minutes: float) -> str:
  """PCE by loss and noise beside the paper's, then of each event without and with the most noise."""
  levels = sorted({level for _, level, _, _ in results})
  splits, seeds = (len({cell[place] for cell in results}) for place in (2, 3))
  clips = "GolfDB's clips" if source == "golfdb" else "Drawn swings with the timing of GolfDB's"
  lines = [
    f"{clips}; mean over {splits} test split{'s'[: splits - 1]}, {over_seeds(seeds)}. Mean training time of a"
    f" cell: {minutes:.1f} min.",
    "",
    "### Percentage of correct events (PCE), and the paper's on GolfDB's clips",
    "",
  ]
  header = ["labels moved by", *(f"{level} frames" for level in levels)]
  rows = []
  for loss, row in ROWS.items():
    paper = dict(zip(NOISE_FRAMES, PAPER[loss], strict=True))
    entries = [mean_and_spread(percent(results, loss, level, "pce")) for level in levels]
    rows.append([row, *(f"{own} ({paper[level]})" for own, level in zip(entries, levels, strict=True))])
  lines += markdown_table(header, rows)
  lines += _leads(results, levels)
  for level in sorted({levels[0], levels[-1]}):
    lines += [f"### PCE of each event, labels moved by {level} frames", ""]
    rows = [
      [row, *(mean_and_spread(percent(results, loss, level, f"pce/{name}")) for name in metrics.GOLF_EVENTS)]
      for loss, row in ROWS.items()
    ]
    lines += markdown_table(["", *metrics.GOLF_EVENTS], rows)
  if splits > 1:
    lines += _each_split(results, sorted({levels[0], levels[-1]}))
  return "\n".join(lines)


def _leads(results: Results, levels: Sequence[int]) -> list[str]:
  """Lines of a table of how much SoftLoc's PCE is above that of the others, seed by seed."""
  rows = []
  for other in ("softmax_cross_entropy", "one_sided_smoothing"):
    both = [[percent(results, loss, level, "pce") for loss in ("softloc", other)] for level in levels]
    leads = [mean_and_spread(np.subtract(*pair), "{:.1f}") for pair in both]
    rows.append([f"over {ROWS[other]}", *leads])
  return ["SoftLoc's lead, in points:", "", *markdown_table(["", *(f"{n} frames" for n in levels)], rows)]


def _each_split(results: Results, levels: Sequence[int]) -> list[str]:
  """Lines of a table with a column for each level and split."""
  columns = [(level, split) for level in levels for split in sorted({split for _, _, split, _ in results})]
  rows = []
  for loss, row in ROWS.items():
    cells = [
      {key: one for key, one in results.items() if key[:3] == (loss, level, split)}
      for level, split in columns
    ]
    entries = zip(columns, cells, strict=True)
    rows.append([row, *(mean_and_spread(percent(own, loss, level, "pce")) for (level, _), own in entries)])
  header = ["test split", *(f"{split}, {level} frames" for level, split in columns)]
  return ["### PCE for each test split", "", *markdown_table(header, rows)]


def percent(results: Results, loss: str, level: int, metric: str) -> list[float]:
  """Of each seed, the mean over the splits."""
  by_seed: dict[int, list[float]] = {}
  for (own_loss, own_level, _, seed), one in results.items():
    if (own_loss, own_level) == (loss, level):
      by_seed.setdefault(seed, []).append(100 * one[metric])
  return [float(np.mean(values)) for values in by_seed.values()]


def noise_figure(results: Results):
  """PCE against label noise: lines here, dotted the paper's."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(5.6, 4), layout="constrained")
  axis = figure.subplots()
  levels = sorted({level for _, level, _, _ in results})
  for color, (loss, row) in zip(("#7570b3", "#1b9e77", "#d95f02"), ROWS.items(), strict=True):
    points = [percent(results, loss, level, "pce") for level in levels]
    spreads = [np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in points]
    axis.errorbar(
      levels, [np.mean(p) for p in points], spreads, color=color, marker="o", capsize=3, label=row
    )
    axis.plot(NOISE_FRAMES, PAPER[loss], color=color, ls=":", lw=1)
  axis.plot([], [], color="0.3", ls=":", lw=1, label="S Table 1 (GolfDB's clips)")
  axis.set(xlabel="std of the label noise [frames]", ylabel="PCE [%]", xticks=levels, ylim=(0, 100))
  axis.legend(fontsize="small", loc="lower left")
  return figure


def curves_figure(recording: data.Recording, workdir: pathlib.Path, split: int, level: int):
  """What the networks say of a test clip after training on misaligned labels (as S Figure 3)."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(9, 5.5), layout="constrained")
  axes = figure.subplots(len(ROWS), 1, sharex=True)
  events = [float(recording.times_s(name)[0]) for name in metrics.GOLF_EVENTS]
  start, stop = int(min(events)) - 15, int(max(events)) + 16
  for axis, (loss, row) in zip(axes, ROWS.items(), strict=True):
    found = detector.Detector.from_workdir(workdir / cell_name(loss, level, split, 0)).detect(recording)
    video_plots.draw_curves(
      axis, found.probs, metrics.GOLF_EVENTS, recording.events, start=max(start, 0), stop=stop
    )
    axis.set_title(f"{row}: labels moved by {level} frames", loc="left", fontsize="medium")
  axes[-1].set(xlabel=f"frame of clip {recording.id}; dashed: the true events")
  figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
  return figure
