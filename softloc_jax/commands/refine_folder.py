"""What `softloc-jax refine` does: a folder with uncertain labels to corrected ones and a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
import os
import pathlib
from typing import NamedTuple

from softloc_jax import corrections, detector, recipes, refine, refine_report
from softloc_jax.commands import train_folder
from softloc_jax.data import event_writers
from softloc_jax.data import folder as folder_lib
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import listing

_FOLDS = 5


class Report(NamedTuple):
  """What a refinement left behind.

  Attributes:
    path: of the report.
    summary: what became of the labels, in a line.
    refined: the corrections.
  """

  path: pathlib.Path
  summary: str
  refined: refine.Refined


def refine_folder(
  folder: str | os.PathLike,
  out: str | os.PathLike,
  *,
  kind: str | None = None,
  classes: Sequence[str] | None = None,
  class_map: Mapping[str, str | None] | None = None,
  sidecar_extension: str | None = None,
  model: str | None = None,
  checkpoint: str | os.PathLike | None = None,
  folds: int | None = None,
  steps: int | None = None,
  softness_ms: float | None = None,
  min_gap_ms: float | None = None,
  tolerance_ms: float = 50.0,
  common_offset: bool = False,
  trust_counts: bool = False,
  add_missing: bool = False,
  least_confidence: float = 0.0,
  formats: Sequence[str] = (".csv",),
  overwrite: bool = False,
  command: str = "",
) -> Report:
  """Corrects the labels of a folder (see `data.folder`), and writes what `refine_report.write` does.

  Times are moved; the events of tables of counts are placed.

  Args:
    folder: of recordings with sidecar label files.
    out: gets the results, and the trainings in `training/`; must not lie in the folder.
    kind: "audio" or "sensor"; None goes by the files.
    classes: labels that may occur; None takes those found.
    class_map, sidecar_extension: which labels recordings have, see `data.folder.load`; those without any are
      left as they are.
    model: a network that comes with the package, in the place of trainings.
    checkpoint: workdir of a training, likewise.
    folds, steps, min_gap_ms: of the trainings; None takes 5, and what suits kind and labels.
    softness_ms: see `refine.refine`.
    tolerance_ms, common_offset, trust_counts: see `refine.refine`.
    add_missing, least_confidence, formats, overwrite, command: see `refine_report.write`.

  Raises:
    FileNotFoundError, FileExistsError, ValueError: naming the file or argument, before any training where it
      can be known then.
  """
  folder, out = pathlib.Path(folder), pathlib.Path(out)
  train_folder.check_apart(folder, out)
  has_network = model is not None or checkpoint is not None
  given = {"kind": kind, "folds": folds, "steps": steps, "min_gap_ms": min_gap_ms}
  unused = [name for name, value in given.items() if value is not None]
  if has_network and unused:
    raise ValueError(
      f"{', '.join(unused)}: of a training, but a trained network is given; expected one of them"
    )
  event_writers.check_available(formats)
  recordings = folder_lib.load(
    folder,
    classes=classes,
    class_map=class_map,
    missing="unlabelled",
    sidecar_extension=sidecar_extension,
  )
  pairs, _ = folder_lib.find(folder, sidecar_extension)
  names = {pair.id: pair.signal.with_suffix("").as_posix() for pair in pairs}
  ids = [names[one.id] for one in recordings if refine_report.is_labelled(one)]
  paths = refine_report.targets(out, ids, formats)
  if not overwrite:
    refine_report.check_targets(paths)
  trained, config = detector.chosen(model, checkpoint), None
  if trained is None:
    settings = {} if min_gap_ms is None else {"min_gap_s": min_gap_ms / 1000}
    softness_s = 0.1 if softness_ms is None else softness_ms / 1000
    kind = kind or train_folder.kind_of(folder)
    config = recipes.for_recordings(recordings, kind=kind, classes=classes, softness_s=softness_s, **settings)
    recipes.set_steps(config, steps)
  refined = refine.refine(
    recordings,
    workdir=out / "training",
    config=config,
    trained=trained,
    num_folds=_FOLDS if folds is None else folds,
    softness_s=None if softness_ms is None else softness_ms / 1000,
    common_offset=common_offset,
    trust_counts=trust_counts,
    tolerance_s=tolerance_ms / 1000,
  )
  path = refine_report.write(
    refined,
    out,
    formats=formats,
    least_confidence=least_confidence,
    add_missing=add_missing,
    names=names,
    sample_rates_hz={one.id: one.sample_rate_hz for one in recordings},
    title=folder.resolve().name,
    command=command,
    overwrite=overwrite,
  )
  return Report(path, summary(refined, recordings), refined)


def summary(refined: refine.Refined, recordings: Sequence[Recording]) -> str:
  """`1234 labels of 5 recordings: 800 confirmed, ...; noise of the labels 98 ms`; what is known in part."""
  counts = Counter(one.status for one in refined.corrections)
  num_labels = sum(len(one.times_s(name)) for one in recordings for name in one.events)
  num_windows = sum(len(windows) for one in recordings for windows in one.counted.values())
  known = [f"{num_labels} labels"] if num_labels else []
  known += [f"{num_windows} windows with counts"] if num_windows else []
  parts = ", ".join(f"{counts[status]} {status}" for status in corrections.STATUSES if counts[status])
  text = f"{' and '.join(known)} of {len(recordings)} recordings: {parts}"
  noises = sorted({round(1000 * model.noise_s) for model in refined.models.values()})
  if noises:
    noise = f"{noises[0]}" if len(noises) == 1 else f"{noises[0]} to {noises[-1]}"
    text += f"; noise of the labels {noise} ms"
  in_part = refine_report.in_part(refined.recordings)
  if in_part:
    text += f"; counted in part, and so unlabelled in labels/supervision.csv: {listing(in_part)}"
  return text
