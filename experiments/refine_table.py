"""Labels that were moved at random, or mere counts, refined: how right they are then, and do they know it?"""

from collections.abc import Callable, Mapping, Sequence
import itertools
import math
import pathlib
from typing import Any

import numpy as np

from configs.misaligned import piano
from configs.weak import ecg
from experiments import cells
from experiments.report import markdown_table, mean_and_spread, over_seeds
from softloc_jax import calibration, checkpoints, data, detector, evaluation, noise, plots, recipes, refine
from softloc_jax.data import drum_machine, mdb_drums, mitdb
from softloc_jax.data.recording import CountedWindow, Recording, digest

NOISE_MS = (50, 100, 200)
COUNTED_S = (1, 2, 4)  # windows of counts, on average
WINDOW_S = 0.05
_CLASSES = ("KD", "SD", "HH")
_FOLDS = 4
_DRUM_FOLDS = 3


def make_ecg(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Beats of MIT-BIH, each record refined by networks that learned from the moved labels of the others."""
  del jobs  # the networks of all folds are trained as one program
  recordings = mitdb.load(data_dir, ecg.RECORDS)

  def refine_one(moved: Sequence[Recording], folder: pathlib.Path, seed: int) -> refine.Refined:
    config = recipes.own("sensor", classes=("beat",), sample_rate_hz=100.0, min_gap_s=0.2, softness_s=0.1)
    config.seed, config.num_steps, config.progress = seed, num_steps or config.num_steps, False
    config.eval_every = config.num_steps
    return refine.refine(moved, workdir=folder, config=config, num_folds=_FOLDS, trust_counts=True)

  return _make("refine_ecg", recordings, workdir, seeds, refine_one, num_steps)


def make_piano(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Onsets of MAPS' Disklavier, refined by a network that learned from moved labels of software pianos."""
  config = cells.prepare(piano.get_config(f"softloc,noise_ms=100,data_dir={data_dir}"), num_steps)
  recordings = data.load(config.data)["test"]
  cells.run({"network": config}, workdir, jobs)
  trained = detector.Detector.from_workdir(workdir / "network")

  def refine_one(moved: Sequence[Recording], folder: pathlib.Path, seed: int) -> refine.Refined:
    return refine.refine(moved, workdir=folder, trained=trained, trust_counts=True)

  return _make("refine_piano", recordings, workdir, seeds, refine_one, num_steps)


def make_drums(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Drum hits of which only counts are known, on MDB Drums and on the embedded drum machine.

  MDB Drums is heard by the network that comes with the package, which learned from counts of rendered drums;
  the machine's recordings, of whose windows the middle length was counted, by networks that learned from the
  counts of the others.
  """
  del jobs  # the networks of all folds are trained as one program
  real = [mdb_drums.read(item) for item in mdb_drums.find(data_dir, mix="drum_only")]
  rendered = list(drum_machine.DrumMachine("train", num_recordings=72, duration_s=10.0))
  trained = detector.Detector.pretrained("drums")

  def refine_real(given: Sequence[Recording], folder: pathlib.Path, seed: int) -> refine.Refined:
    return refine.refine(given, workdir=folder, trained=trained)

  def refine_rendered(given: Sequence[Recording], folder: pathlib.Path, seed: int) -> refine.Refined:
    config = recipes.for_recordings(given, kind="audio", classes=_CLASSES)
    config.seed, config.num_steps, config.progress = seed, num_steps or 1200, False
    config.eval_every = config.num_steps
    return refine.refine(given, workdir=folder, config=config, num_folds=_DRUM_FOLDS)

  sources = {
    "MDB Drums": (real, refine_real, COUNTED_S),
    "drum machine": (rendered, refine_rendered, COUNTED_S[1:2]),
  }
  results = {
    (source, window_s): [
      _cell(
        workdir / f"{source.replace(' ', '_').lower()}_{window_s}s_seed{seed}",
        recordings,
        [counted(one, window_s, seed) for one in recordings],
        refine_one,
        seed,
        num_steps,
      )
      for seed in range(seeds)
    ]
    for source, (recordings, refine_one, lengths_s) in sources.items()
    for window_s in lengths_s
  }
  return _write("refine_drums", workdir, markdown_counts(results), reliability_figure(_named(results)))


def counted(recording: Recording, mean_s: float, seed: int) -> Recording:
  """The recording with counts in the place of times: of windows of half to one and a half times `mean_s`.

  >>> one = Recording("one", np.zeros(100), 10.0, {"hit": np.array([0.5, 1.0, 9.0])})
  >>> sum(window.low for window in counted(one, 2.0, seed=0).counted["hit"])
  3
  """
  rng = np.random.default_rng((seed, *recording.id.encode()))
  stops_s = np.cumsum(rng.uniform(0.5 * mean_s, 1.5 * mean_s, math.ceil(2 * recording.duration_s / mean_s)))
  stops_s = stops_s[stops_s < recording.duration_s - 0.5 * mean_s]
  borders_s = np.concatenate([[0.0], stops_s, [recording.duration_s]])
  windows = {
    name: [
      CountedWindow(start_s, stop_s, count, count)
      for (start_s, stop_s), count in zip(
        itertools.pairwise(borders_s.tolist()),
        np.histogram(times_s, borders_s)[0].tolist(),
        strict=True,
      )
    ]
    for name, times_s in recording.events.items()
  }
  nothing = {name: np.zeros(0) for name in windows}
  return recording.replace(events=nothing, labelled=dict.fromkeys(windows, False), counted=windows)


def _evenly(recording: Recording) -> dict[str, np.ndarray]:
  """What counts alone say of times: as many as there are, evenly in their window."""
  return {
    name: np.concatenate(
      [
        one.start_s + (np.arange(one.low) + 0.5) / max(one.low, 1) * (one.end_s - one.start_s)
        for one in windows
      ]
    )
    for name, windows in recording.counted.items()
  }


def _make(
  name: str,
  recordings: Sequence[Recording],
  workdir: pathlib.Path,
  seeds: int,
  refine_one: Callable[[Sequence[Recording], pathlib.Path, int], refine.Refined],
  num_steps: int | None,
) -> str:
  """Scores every level and seed, and writes the table and its figure; what was scored before is read."""
  results: dict[int, list[dict[str, Any]]] = {}
  for level_ms in NOISE_MS:
    for seed in range(seeds):
      moved = [_moved(one, level_ms / 1000, seed) for one in recordings]
      folder = workdir / f"{level_ms}ms_seed{seed}"
      scores = _cell(folder, recordings, moved, refine_one, seed, num_steps)
      results.setdefault(level_ms, []).append(scores)
  drawn = {f"labels moved by {level_ms} ms": of_level for level_ms, of_level in results.items()}
  return _write(name, workdir, markdown(results), reliability_figure(drawn))


def _cell(
  folder: pathlib.Path,
  recordings: Sequence[Recording],
  given: Sequence[Recording],
  refine_one: Callable[[Sequence[Recording], pathlib.Path, int], refine.Refined],
  seed: int,
  num_steps: int | None,
) -> dict[str, Any]:
  """Scores of one refinement; read if they are there."""
  settings = {"num_steps": num_steps, "digest": digest([recordings, given])}
  return cells.once(
    folder / "scores.json", settings, lambda: score(recordings, given, refine_one(given, folder, seed))
  )


def _write(name: str, workdir: pathlib.Path, text: str, figure) -> str:
  checkpoints.replace_text(workdir / f"{name}.md", text)
  plots.save(figure, workdir / f"{name}.png")
  return text


def _moved(recording: Recording, scale_s: float, seed: int) -> Recording:
  rng = np.random.default_rng((seed, *recording.id.encode()))
  return noise.misalign_recording(rng, recording, kind="normal", scale_s=scale_s)[0]


def score(
  recordings: Sequence[Recording], given: Sequence[Recording], refined: refine.Refined
) -> dict[str, Any]:
  """F1 before and after, the noise that was estimated, and whether each confidence is right.

  F1 is the mean over recordings, classes of a recording pooled. A corrected label is right if one of its
  class's events lies within the tolerance.
  """
  truth = {one.id: one for one in recordings}
  before = _scores([_evenly(one) if one.counted else one.events for one in given], recordings)
  after = _scores([refined.events(one.id)[0] for one in recordings], recordings)
  labels = [one for one in refined.corrections if one.status != "probably missing"]
  errors_s = [_error_s(truth[one.recording].times_s(one.label), one.new_s) for one in labels]
  return {
    "before": before["f1_recordings"],
    "after": after["f1_recordings"],
    "after_20ms": after["f1_recordings@20ms"],
    "after_classes": {name: after[f"f1/{name}"] for name in sorted({one.label for one in labels})},
    "noise_ms": float(1000 * np.median([model.noise_s for model in refined.models.values()] or [np.nan])),
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
  text = f"F1 at ±50 ms in %, mean over the recordings; {over_seeds(max(seeds))}.\n\n"
  return text + "\n".join(
    markdown_table([*header, "noise, as estimated [ms]", "calibration error of the confidence"], rows)
  )


def markdown_counts(results: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]) -> str:
  """One row for each source and length of counted windows."""
  seeds = {len(of_row) for of_row in results.values()}
  rows = []
  for (source, window_s), of_row in results.items():
    f1 = [mean_and_spread([100 * one[key] for one in of_row]) for key in ("before", "after", "after_20ms")]
    by_class = [mean_and_spread([100 * one["after_classes"][name] for one in of_row]) for name in _CLASSES]
    errors = [calibration.calibration_error(one["confidence"], one["correct"]) for one in of_row]
    rows.append([source, f"{window_s} s", f1[0], f1[1], *by_class, f1[2], mean_and_spread(errors, "{:.3f}")])
  header = ["recordings", "windows counted", "hits spread evenly", "refined", *_CLASSES, "refined, ±20 ms"]
  text = (
    "F1 at ±50 ms in %: mean over the recordings, and of each drum over the hits of all;"
    f" {over_seeds(max(seeds))}.\n\n"
  )
  return text + "\n".join(markdown_table([*header, "calibration error of the confidence"], rows))


def _named(results: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]) -> dict[str, Sequence]:
  return {f"{source}, windows of {window_s} s": of_row for (source, window_s), of_row in results.items()}


def reliability_figure(results: Mapping[str, Sequence[Mapping[str, Any]]]):
  """How often labels of a confidence are right, of the first seed."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(4.6, 4), layout="constrained")
  axis = figure.subplots()
  axis.plot([0, 1], [0, 1], color="0.7", lw=1)
  colors = ("#7570b3", "#1b9e77", "#d95f02", "#66a61e", "#e7298a", "#a6761d")
  for color, (name, of_row) in zip(colors, results.items(), strict=False):
    bins = calibration.reliability(of_row[0]["confidence"], of_row[0]["correct"])
    axis.plot(bins.confidence, bins.correct, color=color, lw=1, label=name)
    sizes = 12 + 250 * bins.count / bins.count.sum()
    axis.scatter(bins.confidence, bins.correct, s=sizes, color=color, alpha=0.7)
  axis.set(xlabel="confidence", ylabel="share within 50 ms of an event", xlim=(0, 1.02), ylim=(0, 1.02))
  axis.legend(fontsize="small")
  return figure
