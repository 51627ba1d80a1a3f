"""Piano onsets of MAPS: six losses at five levels of noise (S Table 2), and counts alone (L Table 2)."""

from collections.abc import Mapping, Sequence
import pathlib

from ml_collections import ConfigDict
import numpy as np

from configs.misaligned import piano as misaligned_piano
from configs.weak import piano as weak_piano
from experiments import cells
from experiments.report import markdown_table, mean_and_spread
from softloc_jax import checkpoints, metrics, noise, plots, run_log
from softloc_jax.data import event_files, maps

NOISE_MS = (0, 50, 100, 150, 200)
ROWS = {
  "cross_entropy": "ORIGINAL (CE)",
  "widened_cross_entropy": "EXTENDED",
  "soft_bootstrap": "BOOTSTRAP",
  "one_sided_smoothing": "oSS",
  "soft_localization": "SLL",
  "softloc": "SoftLoc",
}
# F1 in per cent, S Table 2 and appendix B.1.
PAPER = {
  "cross_entropy": (82.1, 38.5, 2.0, 0.5, 0.2),
  "widened_cross_entropy": (77.7, 68.0, 30.7, 9.2, 3.9),
  "soft_bootstrap": (79.1, 74.2, 32.5, 15.4, 6.9),
  "one_sided_smoothing": (73.1, 70.5, 59.2, 41.3, 28.0),
  "soft_localization": (76.1, 76.0, 75.1, 66.9, 46.9),
  "softloc": (76.0, 76.3, 75.9, 74.0, 73.7),
}
PAPER_LABELS = (100.0, 68.2, 39.8, None, 23.7)
# Precision, recall and F1 in per cent, L Table 2.
PAPER_COUNTS = {
  "Sigtia 2016, labels": (44.97, 49.55, 46.58),
  "Kelz 2016, labels": (44.27, 61.29, 50.94),
  "Hawthorne 2017, labels": (84.24, 80.67, 82.29),
  "LoCo, counts": (76.22, 68.61, 71.99),
}
Results = Mapping[tuple[str, int, int], Mapping]  # loss, noise in ms, seed -> results of a training


def make_misaligned(
  data_dir: str,
  workdir: pathlib.Path,
  seeds: int,
  jobs: int,
  num_steps: int | None,
  size: str = "cpu",
  noise_ms: Sequence[int] = NOISE_MS,
) -> str:
  """Trains what is missing of S Table 2, or of some of its columns, and writes it with its figures.

  Returns:
    The table.
  """
  configs = {
    (loss, level_ms, seed): cells.prepare(
      misaligned_piano.get_config(f"{loss},size={size},noise_ms={level_ms},data_dir={data_dir},seed={seed}"),
      num_steps,
    )
    for seed in range(seeds)  # a whole table of one seed first
    for level_ms in noise_ms
    for loss in ROWS
  }
  results = _run(configs, workdir, jobs)
  items = maps.configuration_2(maps.find(data_dir))["test"]
  text = misaligned_markdown(results, label_scores(items, _levels_ms(results)), _hours(configs, workdir))
  checkpoints.replace_text(workdir / "piano_misaligned.md", text)
  plots.save(misaligned_figure(results), workdir / "piano_misaligned.png")
  plots.save(rolls_figure(items[0], workdir, _levels_ms(results)), workdir / "piano_rolls.png")
  return text


def make_counts(
  data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None, size: str = "cpu"
) -> str:
  """Trains what is missing of L Table 2 and writes it; returns the table."""
  configs = {
    ("count_nll", 0, seed): cells.prepare(
      weak_piano.get_config(f"{size},data_dir={data_dir},seed={seed}"), num_steps
    )
    for seed in range(seeds)
  }
  results = _run(configs, workdir, jobs)
  text = counts_markdown(results, _hours(configs, workdir))
  checkpoints.replace_text(workdir / "piano_counts.md", text)
  return text


def cell_name(loss: str, noise_ms: int, seed: int) -> str:
  """Folder of a cell's training."""
  return f"{loss}_{noise_ms}ms_seed{seed}"


def _run(configs: Mapping[tuple, ConfigDict], workdir: pathlib.Path, jobs: int) -> dict[tuple, Mapping]:
  by_name = cells.run({cell_name(*cell): config for cell, config in configs.items()}, workdir, jobs)
  return {cell: by_name[cell_name(*cell)] for cell in configs}


def _hours(configs: Mapping[tuple, ConfigDict], workdir: pathlib.Path) -> float:
  """Mean hours of training of a cell."""
  seconds = [run_log.training_seconds(workdir / cell_name(*cell)) for cell in configs]
  return float(np.mean(seconds)) / 3600


def label_scores(
  items: Sequence[maps.Item], levels_ms: Sequence[int] = NOISE_MS, seeds: int = 3
) -> dict[int, dict[str, list[float]]]:
  """F1 in per cent of misaligned labels taken as estimates, by noise in ms: each of `seeds` draws.

  `f1_recordings` and, as the papers' own code matches, `f1_recordings@official`.
  """
  recordings = [maps.read_labels(item) for item in items]
  scores: dict[int, dict[str, list[float]]] = {}
  for noise_ms in levels_ms:
    for seed in range(seeds):
      estimates = []
      for number, truth in enumerate(recordings):
        rng = np.random.default_rng((seed, number))
        estimates.append(
          {
            name: noise.misalign(rng, times_s, kind="normal", scale_s=noise_ms / 1000).times_s
            for name, times_s in truth.items()
          }
        )
      for key, match_fn in (
        ("f1_recordings", metrics.match_events),
        ("f1_recordings@official", metrics.match_in_order),
      ):
        found = metrics.evaluate(recordings, estimates, classes=maps.CLASSES, match_fn=match_fn)
        scores.setdefault(noise_ms, {}).setdefault(key, []).append(100 * found["f1_recordings"])
  return scores


def _percent(results: Results, loss: str, noise_ms: int, metric: str) -> list[float | None]:
  found = [one.get(metric) for cell, one in results.items() if cell[:2] == (loss, noise_ms)]
  return [None if value is None else 100 * value for value in found]


def misaligned_markdown(results: Results, labels: Mapping[int, Mapping], hours: float) -> str:
  """F1 by loss and noise beside the paper's, then at 20 ms, as the papers' code scores, and time errors."""
  levels_ms = _levels_ms(results)
  header = ["training labels moved by", *(f"{level_ms} ms" for level_ms in levels_ms)]
  lines = [f"Mean training time of a cell: {hours:.2f} h.", ""]
  for title, metric, key in (
    ("Note onset F1 at ±50 ms in %, mean over pieces, and the paper's", "f1_recordings", "f1_recordings"),
    ("The same at ±20 ms", "f1_recordings@20ms", None),
    (
      "F1 at ±50 ms as the papers' own code matches events",
      "f1_recordings@official",
      "f1_recordings@official",
    ),
  ):
    with_paper = metric == "f1_recordings"
    rows = []
    for loss, row in ROWS.items():
      entries = [mean_and_spread(_percent(results, loss, n, metric)) for n in levels_ms]
      if with_paper:
        entries = _beside(entries, PAPER[loss], levels_ms)
      rows.append([row, *entries])
    if key:
      entries = [mean_and_spread(labels[n][key]) for n in levels_ms]
      if with_paper:
        entries = _beside(entries, PAPER_LABELS, levels_ms)
      rows.append(["the noisy labels themselves", *entries])
    lines += [f"### {title}", "", *markdown_table(header, rows)]
  for title, metric in (
    ("Mean time error of matched onsets in ms", "time_error_ms/mean"),
    ("Standard deviation of the time error in ms", "time_error_ms/std"),
  ):
    rows = [
      [row, *(mean_and_spread(_values(results, loss, level_ms, metric)) for level_ms in levels_ms)]
      for loss, row in ROWS.items()
    ]
    lines += [f"### {title}", "", *markdown_table(header, rows)]
  return "\n".join(lines)


def _levels_ms(results: Results) -> list[int]:
  """The columns."""
  return sorted({noise_ms for _, noise_ms, _ in results})


def _beside(entries: Sequence[str], paper: Sequence[float | None], levels_ms: Sequence[int]) -> list[str]:
  """Entries with the paper's in brackets."""
  theirs = dict(zip(NOISE_MS, paper, strict=True))
  return [f"{own} ({theirs.get(n) or '-'})" for own, n in zip(entries, levels_ms, strict=True)]


def _values(results: Results, loss: str, noise_ms: int, metric: str) -> list[float | None]:
  return [one.get(metric) for cell, one in results.items() if cell[:2] == (loss, noise_ms)]


def counts_markdown(results: Results, hours: float) -> str:
  """Precision, recall and F1 beside the papers', with the time errors of ours."""
  header = ["training", "precision", "recall", "F1", "F1 at ±20 ms", "time error, mean", "std"]
  rows = [
    [f"{name} (L Table 2)", *(f"{value:.1f}" for value in values), "-", "-", "-"]
    for name, values in PAPER_COUNTS.items()
  ]
  shares = ("precision_recordings", "recall_recordings", "f1_recordings", "f1_recordings@20ms")
  rows.append(
    [
      "counts, here",
      *(mean_and_spread(_percent(results, "count_nll", 0, metric)) for metric in shares),
      *(
        mean_and_spread(_values(results, "count_nll", 0, f"time_error_ms/{what}"), "{:.1f} ms")
        for what in ("mean", "std")
      ),
    ]
  )
  title = "### Note onsets from counts at ±50 ms in %, mean over pieces"
  return "\n".join([f"Mean training time: {hours:.2f} h.", "", title, "", *markdown_table(header, rows)])


def misaligned_figure(results: Results):
  """F1 against label noise: lines here, dashed the paper's."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6.4, 4.2), layout="constrained")
  axis = figure.subplots()
  levels_ms = _levels_ms(results)
  colors = ("#7570b3", "#a6761d", "#666666", "#1b9e77", "#e6ab02", "#d95f02")
  for color, (loss, row) in zip(colors, ROWS.items(), strict=True):
    points = [_percent(results, loss, noise_ms, "f1_recordings") for noise_ms in levels_ms]
    means = [np.mean(values) for values in points]
    spreads = [np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in points]
    axis.errorbar(levels_ms, means, spreads, color=color, marker="o", capsize=3, label=row)
    axis.plot(NOISE_MS, PAPER[loss], color=color, ls=":", lw=1)
  axis.plot([], [], color="0.3", ls=":", lw=1, label="S Table 2")
  axis.set(
    xlabel="std of the label noise [ms]",
    ylabel="note onset F1 at ±50 ms [%]",
    xticks=levels_ms,
    ylim=(0, 100),
  )
  axis.legend(fontsize="small", ncols=2, loc="lower left")
  return figure


def rolls_figure(
  item: maps.Item,
  workdir: pathlib.Path,
  levels_ms: Sequence[int] = NOISE_MS,
  *,
  start_s: float = 5.0,
  length_s: float = 8.0,
):
  """SoftLoc's onsets of a real piece after training on labels moved by 0, 100 and 200 ms (S Figure B.1)."""
  from matplotlib.figure import Figure

  truth = maps.read_labels(item)
  shown_ms = [level_ms for level_ms in (0, 100, 200) if level_ms in levels_ms] or levels_ms[:1]
  figure = Figure(figsize=(9, 1 + 2.4 * len(shown_ms)), layout="constrained")
  axes = figure.subplots(len(shown_ms), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
  for axis, noise_ms in zip(axes, shown_ms, strict=True):
    found = event_files.read_events(
      workdir / cell_name("softloc", noise_ms, 0) / "predictions" / f"{item.id}.csv"
    )
    plots.draw_roll(axis, truth, found, maps.CLASSES, start_s=start_s, stop_s=start_s + length_s)
    scores = metrics.evaluate([truth], [found], classes=maps.CLASSES)
    axis.set_title(f"labels moved by {noise_ms} ms: F1 {100 * scores['f1_recordings']:.1f}", loc="left")
    axis.set(ylabel="MIDI pitch", xlabel="")
  axes[-1].set(xlabel=f"time [s], {item.id}")
  figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize="small")
  return figure
