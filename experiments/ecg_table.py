"""Beats of MIT-BIH: four losses at four levels of label noise, and counts alone."""

from collections.abc import Mapping, Sequence
import functools
import pathlib

from ml_collections import ConfigDict
import numpy as np

from configs.misaligned import ecg as misaligned_ecg
from configs.weak import ecg as weak_ecg
from experiments import cells
from softloc_jax import checkpoints, plots
from softloc_jax.data import mitdb

NOISE_MS = (0, 50, 100, 200)
ROWS = {
  "cross_entropy": "CE",
  "one_sided_smoothing": "oSS",
  "soft_localization": "SLL",
  "softloc": "SoftLoc",
}


def make(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Trains what is missing, with every record tested once, and writes the table and its figure.

  Returns:
    The table.
  """
  rows = {("LoCo", None): lambda settings: weak_ecg.get_config(settings)}
  for loss, row in ROWS.items():
    for noise_ms in NOISE_MS:
      rows[row, noise_ms] = functools.partial(_misaligned, loss, noise_ms)
  configs = {}
  for cell, get_config in rows.items():
    for fold in range(len(weak_ecg.FOLDS)):
      config = get_config(f"data_dir={data_dir},num_replicas={seeds},fold={fold}")
      configs[cell_name(*cell, fold)] = cells.prepare(config, num_steps)
  results = cells.run(configs, workdir, jobs)
  scores = {cell: [{} for _ in range(seeds)] for cell in rows}
  for cell, by_seed in scores.items():
    for fold in range(len(weak_ecg.FOLDS)):
      for one, replica in zip(by_seed, results[cell_name(*cell, fold)]["replicas"], strict=True):
        one.update(replica["recordings"])
  text = markdown(scores)
  checkpoints.replace_text(workdir / "ecg.md", text)
  plots.save(figure(scores), workdir / "ecg.png")
  return text


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


def markdown(scores: Mapping[tuple, Sequence[Mapping]]) -> str:
  """F1 and time error by group of records and label noise, and F1 of every record."""
  records = sorted(next(iter(scores.values()))[0])
  lines = []
  for group, members in groups(records).items():
    lines += [
      f"### F1 at ±50 ms, {group} ({', '.join(members)})",
      "",
      *_table(scores, members, "f1", "{:.3f} ± {:.3f}"),
    ]
  easy = groups(records)["neither paced nor hard"]
  lines += ["### Mean time error in ms, neither paced nor hard", ""]
  lines += _table(scores, easy, "time_error_ms/mean", "{:+.1f} ± {:.1f}")
  lines += ["### Standard deviation of the time error in ms, neither paced nor hard", ""]
  lines += _table(scores, easy, "time_error_ms/std", "{:.1f} ± {:.1f}")
  lines += [
    "### F1 of every record",
    "",
    f"| training | {' | '.join(records)} |",
    "|---" * (len(records) + 1) + "|",
  ]
  for (row, noise_ms), recordings in scores.items():
    entries = " | ".join(_entry(recordings, [r], "f1", "{:.3f} ± {:.3f}") for r in records)
    lines.append(f"| {row}, {'counts' if noise_ms is None else f'{noise_ms} ms'} | {entries} |")
  return "\n".join(lines) + "\n"


def _table(scores: Mapping, records: Sequence[str], metric: str, form: str) -> list[str]:
  if not records:
    return ["no such record", ""]
  lines = [
    f"| training labels moved by | {' | '.join(f'{n} ms' for n in NOISE_MS)} |",
    "|---" * (len(NOISE_MS) + 1) + "|",
  ]
  for row in ROWS.values():
    entries = [_entry(scores[row, n], records, metric, form) for n in NOISE_MS]
    lines.append(f"| {row} | {' | '.join(entries)} |")
  lines.append(
    f"| LoCo (counts, no times) | {_entry(scores['LoCo', None], records, metric, form)} |" + " |" * 3
  )
  return [*lines, ""]


def _entry(recordings: Sequence[Mapping], records: Sequence[str], metric: str, form: str) -> str:
  mean, std = spread(recordings, records, metric)
  return "none" if np.isnan(mean) else form.format(mean, std)


def figure(scores: Mapping[tuple, Sequence[Mapping]]):
  """F1 against label noise, one panel for a group of records."""
  from matplotlib.figure import Figure

  records = sorted(next(iter(scores.values()))[0])
  shown = {name: members for name, members in groups(records).items() if members and name != "all"}
  drawn = Figure(figsize=(3.6 * len(shown), 3.4), layout="constrained")
  axes = drawn.subplots(1, len(shown), sharey=True, squeeze=False)[0]
  for axis, (name, members) in zip(axes, shown.items(), strict=True):
    for color, row in zip(("#7570b3", "#1b9e77", "#e6ab02", "#d95f02"), ROWS.values(), strict=True):
      points = np.array([spread(scores[row, n], members, "f1") for n in NOISE_MS])
      axis.errorbar(NOISE_MS, points[:, 0], points[:, 1], color=color, marker="o", capsize=3, label=row)
    mean, std = spread(scores["LoCo", None], members, "f1")
    axis.axhline(mean, color="0.3", ls="--", label="LoCo (counts only)")
    axis.axhspan(mean - std, mean + std, color="0.3", alpha=0.15, lw=0)
    axis.set(title=f"{name}\n({', '.join(members)})", xlabel="std of the label noise [ms]", xticks=NOISE_MS)
  axes[0].set(ylabel="F1 at ±50 ms", ylim=(0, 1.03))
  drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
  return drawn
