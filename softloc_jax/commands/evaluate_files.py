"""What `softloc-jax evaluate` does: label files scored against true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import pathlib

import numpy as np

from softloc_jax import metrics
from softloc_jax.data import event_files, supervision
from softloc_jax.data import folder as folder_lib
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import as_id, listing


def evaluate(
  reference: str | os.PathLike,
  estimate: str | os.PathLike,
  *,
  classes: Sequence[str] | None = None,
  window_s: float = 0.05,
) -> dict[str, float]:
  """Scores of two label files, or of two folders whose files have the same names (but for extensions).

  Classes that the `supervision.csv` of the reference folder calls unlabelled in a recording take no part
  there, whatever either side has of them.

  Args:
    reference: true labels, in any format of `event_files`.
    estimate: labels that are scored.
    classes: which labels count; None takes all of either side.
    window_s: tolerance in seconds.

  Returns:
    What `metrics.evaluate` returns, without what needs the length of recordings.

  Raises:
    FileNotFoundError: a missing file or folder, or a folder without label files.
    ValueError: files that are in one folder only, or that cannot be read, a class that occurs nowhere, or a
      row of `supervision.csv` that is malformed or fits nothing, or such a table where it is not read.
  """
  reference, estimate = pathlib.Path(reference), pathlib.Path(estimate)
  true_files, files = _files(reference), _files(estimate)
  if reference.is_file() and estimate.is_file():  # whatever their names
    files = dict(zip(true_files, files.values(), strict=True))
  for one, other, where in ((true_files, files, estimate), (files, true_files, reference)):
    lacking = sorted(set(one) - set(other))
    if lacking:
      raise ValueError(f"{where} has no label file for {listing(lacking)}; expected the same names in both")
  true_events = [event_files.read_events(true_files[name]) for name in true_files]
  events = [event_files.read_events(files[name]) for name in true_files]
  found = sorted({label for one in (*true_events, *events) for label in one})
  known = found if classes is None else list(classes)
  if not found:
    raise ValueError(f"no event in {reference} nor in {estimate}; nothing can be scored")
  absent = [name for name in known if name not in found]
  if absent:
    raise ValueError(
      f"no event {', '.join(map(repr, absent))} in {reference} nor in {estimate};"
      f" expected classes among {', '.join(found)}"
    )

  def only(one: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {label: times_s for label, times_s in one.items() if label in known}

  labelled = _labelled(reference, true_files, true_events, found)
  scores = metrics.evaluate(
    [only(one) for one in true_events],
    [only(one) for one in events],
    classes=known,
    window_s=window_s,
    labelled=[{name: one[name] for name in known} for one in labelled],
  )
  return {key: value for key, value in scores.items() if key != "count_error"}


def _labelled(
  reference: pathlib.Path,
  true_files: Mapping[str, pathlib.Path],
  true_events: Sequence[Mapping[str, np.ndarray]],
  classes: Sequence[str],
) -> list[dict[str, bool]]:
  """Class -> whether the reference knows of it, for each of its files."""
  everything = [dict.fromkeys(classes, True) for _ in true_files]
  if reference.is_file():
    return everything
  try:
    pairs, _ = folder_lib.find(reference)
  except FileNotFoundError:  # labels alone, whose own names are the ids
    pairs = []
  rules = folder_lib.read_rules(reference, pairs)
  if not rules:
    return everything
  by_sidecar = {reference / sidecar: pair.id for pair in pairs for sidecar in pair.sidecars}
  recordings = [
    # What rules say does not depend on the signal.
    Recording(
      by_sidecar.get(path, as_id(name)),
      np.zeros(1),
      1.0,
      {label: events.get(label, np.zeros(0)) for label in classes},
    )
    for (name, path), events in zip(true_files.items(), true_events, strict=True)
  ]
  others = [pair.id for pair in pairs if not pair.sidecars]
  ruled = supervision.apply(rules, recordings, others=others)
  return [{label: one.is_labelled(label) for label in classes} for one in ruled]


def as_text(scores: Mapping[str, float]) -> str:
  """A line for each class, and one for all."""
  classes = [key.removeprefix("f1/") for key in scores if key.startswith("f1/")]
  width = max(map(len, [*classes, "mean of classes"]))
  lines = [f"{'':{width}s}      F1  precision  recall"]
  for name, suffix in [*((name, f"/{name}") for name in classes), ("mean of classes", "")]:
    f1, precision, recall = (100 * scores[f"{key}{suffix}"] for key in ("f1", "precision", "recall"))
    lines.append(f"{name:{width}s}  {f1:6.2f}     {precision:6.2f}  {recall:6.2f}")
  found = (
    f"{scores['num_matched']:.0f} of {scores['num_reference']:.0f} found, {scores['num_estimate']:.0f} given"
  )
  if scores["num_matched"]:
    mean_ms, std_ms = scores["time_error_ms/mean"], scores["time_error_ms/std"]
    found += f"; time error {mean_ms:+.1f} ± {std_ms:.1f} ms"
  lines.append(found)
  return "\n".join(lines)


def _files(path: pathlib.Path) -> dict[str, pathlib.Path]:
  """Name without extension -> label file."""
  if path.is_file():
    return {path.stem: path}
  if not path.is_dir():
    raise FileNotFoundError(f"no such file or folder: {path}")
  found: dict[str, pathlib.Path] = {}
  for one in folder_lib.list_files(path):
    if one.suffix.lower() not in event_files.EXTENSIONS or one.stem.lower() in folder_lib.NOT_SIDECARS:
      continue
    name = str(one.with_suffix(""))
    if name in found:
      raise ValueError(
        f"{found[name]} and {path / one} are labels of the same name; expected one format in {path}"
      )
    found[name] = path / one
  if not found:
    raise FileNotFoundError(f"no label file in {path}: looked for {', '.join(event_files.EXTENSIONS)}")
  return found
