"""Labels that were moved at random, and refined: how right they are then, and whether they know it."""

from collections.abc import Callable, Mapping, Sequence
import json
import pathlib
from typing import Any

import numpy as np

from configs.misaligned import piano
from configs.weak import ecg
from experiments import cells
from experiments.report import markdown_table, mean_and_spread
from softloc_jax import calibration, checkpoints, data, detector, evaluation, noise, plots, recipes, refine
from softloc_jax.data import mitdb
from softloc_jax.data.recording import Recording

NOISE_MS = (50, 100, 200)
WINDOW_S = 0.05
_FOLDS = 4


def make_ecg(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Beats of MIT-BIH, each record refined by networks that learned from the moved labels of the others."""
  del jobs  # the networks of all folds are trained as one program
  recordings = mitdb.load(data_dir, ecg.RECORDS)

  def refine_one(moved: Sequence[Recording], folder: pathlib.Path, seed: int) -> refine.Refined:
    config = recipes.own("sensor", classes=("beat",), sample_rate_hz=100.0, min_gap_s=0.2, softness_s=0.1)
    config.seed, config.num_steps, config.progress = seed, num_steps or config.num_steps, False
    config.eval_every = config.num_steps
    return refine.refine(moved, workdir=folder, config=config, num_folds=_FOLDS, trust_counts=True)

  return _make("refine_ecg", recordings, workdir, seeds, refine_one)


def make_piano(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Onsets of MAPS' Disklavier, refined by a network that learned from moved labels of software pianos."""
  config = cells.prepare(piano.get_config(f"softloc,noise_ms=100,data_dir={data_dir}"), num_steps)
  recordings = data.load(config.data)["test"]
  cells.run({"network": config}, workdir, jobs)
  trained = detector.Detector.from_workdir(workdir / "network")

  def refine_one(moved: Sequence[Recording], folder: pathlib.Path, seed: int) -> refine.Refined:
    return refine.refine(moved, workdir=folder, trained=trained, trust_counts=True)

  return _make("refine_piano", recordings, workdir, seeds, refine_one)


def _make(
  name: str,
  recordings: Sequence[Recording],
  workdir: pathlib.Path,
  seeds: int,
  refine_one: Callable[[Sequence[Recording], pathlib.Path, int], refine.Refined],
) -> str:
  """Scores every level and seed, and writes the table and its figure; what was scored before is read."""
  results: dict[int, list[dict[str, Any]]] = {}
  for level_ms in NOISE_MS:
    for seed in range(seeds):
      folder = workdir / f"{level_ms}ms_seed{seed}"
      path = folder / "scores.json"
      if not path.exists():
        moved = [_moved(one, level_ms / 1000, seed) for one in recordings]
        scores = score(recordings, moved, refine_one(moved, folder, seed))
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints.replace_text(path, json.dumps(scores))
      results.setdefault(level_ms, []).append(json.loads(path.read_text()))
  text = markdown(results)
  checkpoints.replace_text(workdir / f"{name}.md", text)
  plots.save(figure(results), workdir / f"{name}.png")
  return text


def _moved(recording: Recording, scale_s: float, seed: int) -> Recording:
  rng = np.random.default_rng((seed, *recording.id.encode()))
  return noise.misalign_recording(rng, recording, kind="normal", scale_s=scale_s)[0]


def score(
  recordings: Sequence[Recording], moved: Sequence[Recording], refined: refine.Refined
) -> dict[str, Any]:
  """F1 before and after, the noise that was estimated, and whether each confidence is right.

  F1 is the mean over recordings, classes of a recording pooled. A corrected label is right if one of its
  class's events lies within the tolerance.
  """
  truth = {one.id: one for one in recordings}
  before = _scores([one.events for one in moved], recordings)
  after = _scores([refined.events(one.id)[0] for one in recordings], recordings)
  labels = [one for one in refined.corrections if np.isfinite(one.old_s)]
  errors_s = [_error_s(truth[one.recording].times_s(one.label), one.new_s) for one in labels]
  return {
    "before": before["f1_recordings"],
    "after": after["f1_recordings"],
    "after_20ms": after["f1_recordings@20ms"],
    "noise_ms": float(1000 * np.median([model.noise_s for model in refined.models.values()])),
    "confidence": [round(one.confidence, 4) for one in labels],
    "correct": [bool(error_s <= refined.tolerance_s) for error_s in errors_s],
  }


def _scores(
  estimates: Sequence[Mapping[str, np.ndarray]], recordings: Sequence[Recording]
) -> dict[str, float]:
  classes = sorted({name for one in recordings for name in one.events})
  estimates = [{name: one.get(name, np.zeros(0)) for name in classes} for one in estimates]
  return evaluation.score(estimates, recordings, classes=classes, window_s=WINDOW_S, more_windows_s=(0.02,))


def _error_s(events_s: np.ndarray, time_s: float) -> float:
  return float(np.abs(events_s - time_s).min()) if len(events_s) else np.inf


def markdown(results: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
  """One row for each level of noise."""
  seeds = {len(of_level) for of_level in results.values()}
  header = ["labels moved by N(0, s²), s", "labels as they were", "refined", "refined, ±20 ms"]
  rows = []
  for level_ms, of_level in results.items():
    errors = [calibration.calibration_error(one["confidence"], one["correct"]) for one in of_level]
    columns = [
      mean_and_spread([100 * one[key] for one in of_level]) for key in ("before", "after", "after_20ms")
    ]
    noises = mean_and_spread([one["noise_ms"] for one in of_level])
    rows.append([f"{level_ms} ms", *columns, noises, mean_and_spread(errors, "{:.3f}")])
  text = f"F1 at ±50 ms in %, mean over the recordings; ± over {max(seeds)} seeds.\n\n"
  return text + "\n".join(
    markdown_table([*header, "noise, as estimated [ms]", "calibration error of the confidence"], rows)
  )


def figure(results: Mapping[int, Sequence[Mapping[str, Any]]]):
  """How often labels of a confidence are right, of the first seed."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(4.6, 4), layout="constrained")
  axis = figure.subplots()
  axis.plot([0, 1], [0, 1], color="0.7", lw=1)
  for color, (level_ms, of_level) in zip(("#7570b3", "#1b9e77", "#d95f02"), results.items(), strict=False):
    bins = calibration.reliability(of_level[0]["confidence"], of_level[0]["correct"])
    axis.plot(bins.confidence, bins.correct, color=color, lw=1, label=f"{level_ms} ms")
    sizes = 12 + 250 * bins.count / bins.count.sum()
    axis.scatter(bins.confidence, bins.correct, s=sizes, color=color, alpha=0.7)
  axis.set(xlabel="confidence", ylabel="share within 50 ms of an event", xlim=(0, 1.02), ylim=(0, 1.02))
  axis.legend(title="labels moved by", fontsize="small")
  return figure
