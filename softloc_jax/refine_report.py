"""What a refinement writes: new label files, a table of all corrections, and a report to look at."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
import csv
import io
import os
import pathlib

import numpy as np

import softloc_jax
from softloc_jax import checkpoints, refine_plots
from softloc_jax.corrections import STATUSES, Correction
from softloc_jax.data import event_writers, supervision
from softloc_jax.data.recording import Recording
from softloc_jax.refine import Refined

_MOST_SUSPICIOUS = 60
_MOST_FIGURES = 30
TABLE, REPORT = "corrections.csv", "report.html"

_OFFSET_NOTES = {
  False: (
    "The labels of each recording are taken to be right on average, so that it was kept: one that stands out"
    " may have labels that are all late or early (--common-offset corrects that), or be unlike the others."
  ),
  True: (
    "The labels of all recordings together are taken to be right on average, so that it is the same for each."
  ),
}


def targets(out: str | os.PathLike, ids: Sequence[str], formats: Sequence[str]) -> list[pathlib.Path]:
  """Every file that `write` may write or remove, for a check before any work.

  Raises:
    ValueError: a recording's label file would have the name of the table of rules.
  """
  labels = pathlib.Path(out) / "labels"
  files, rules = [labels / f"{id_}{ext}" for id_ in ids for ext in dict.fromkeys(formats)], _rules_path(out)
  if rules in files:
    raise ValueError(f"{rules}: is a recording's, and the name of the table of rules; expected another name")
  return [*files, rules, *_tables(out)]


def check_targets(paths: Sequence[pathlib.Path]) -> None:
  """Refuses to replace a file.

  Raises:
    FileExistsError: naming the first that exists.
  """
  for path in paths:
    if path.exists():
      raise FileExistsError(f"{path} exists; --overwrite replaces results, --out puts them elsewhere")


def _tables(out: str | os.PathLike) -> list[pathlib.Path]:
  return [pathlib.Path(out) / TABLE, pathlib.Path(out) / REPORT]


def _rules_path(out: str | os.PathLike) -> pathlib.Path:
  return pathlib.Path(out) / "labels" / supervision.FILE


def write(
  refined: Refined,
  out: str | os.PathLike,
  *,
  formats: Sequence[str] = (".csv",),
  least_confidence: float = 0.0,
  add_missing: bool = False,
  names: Mapping[str, str] | None = None,
  sample_rates_hz: Mapping[str, float] | None = None,
  title: str = "",
  command: str = "",
  overwrite: bool = False,
) -> pathlib.Path:
  """Writes `labels/<id>` in each format, `corrections.csv` and `report.html`.

  Recordings without labels of any class get no label file: an empty one would say that they have no events.
  `labels/supervision.csv`, which `data.folder` reads, calls classes unlabelled that were not annotated in a
  recording, or counted in a part of it, as a list of times would say that they have no events there; and
  those exact that were. The placed events of a class that was counted in part are in the label files, but
  `data.folder` leaves them out. Where there is nothing of the kind to say, there is no such table; one of a
  run before is removed.

  Args:
    refined: what to write.
    out: the folder.
    formats: extensions of `event_writers.EXTENSIONS`.
    least_confidence: labels of less are left out of the new files, not of the table.
    add_missing: whether events that seem to lack a label are in the new files.
    names: id -> name of its label files, which may have folders; None takes the ids.
    sample_rates_hz: id -> rate of the recording's file, in which layers count; None takes the conditioned
      one's.
    title: of the report.
    command: that makes it again.
    overwrite: whether files that exist may be replaced, or removed.

  Returns:
    The report.

  Raises:
    FileExistsError: a file exists and `overwrite` is False; nothing is written then.
    ValueError: as `targets`.
  """
  out = pathlib.Path(out)
  recordings = [one for one in refined.recordings if is_labelled(one)]
  names = names or {one.id: one.id for one in recordings}
  paths = targets(out, [names[one.id] for one in recordings], formats)
  if not overwrite:
    check_targets(paths)
  # Everything is made before anything is written.
  report, corrections = html(refined, title=title, command=command), table(refined.corrections)
  options = {"least_confidence": least_confidence, "add_missing": add_missing}
  events = {one.id: refined.events(one.id, **options) for one in recordings}
  rules = _rules(
    recordings, {name for times_s, _ in events.values() for name in times_s if len(times_s[name])}
  )
  for one in recordings:
    times_s, confidence = events[one.id]
    for extension in dict.fromkeys(formats):
      path = out / "labels" / f"{names[one.id]}{extension}"
      path.parent.mkdir(parents=True, exist_ok=True)
      event_writers.write_events(
        path,
        times_s,
        confidence,
        overwrite=overwrite,
        duration_s=one.duration_s,
        sample_rate_hz=(sample_rates_hz or {}).get(one.id, one.sample_rate_hz),
      )
  _replace_rules(_rules_path(out), [rule._replace(id=names[rule.id]) for rule in rules])
  for path, text in zip(_tables(out), (corrections, report), strict=True):
    checkpoints.replace_text(path, text)
  return out / REPORT


def is_labelled(recording: Recording) -> bool:
  """Whether a recording was annotated for any class, with times or with counts."""
  return any(recording.is_labelled(name) for name in recording.events) or any(recording.counted.values())


def counted_in_part(recording: Recording) -> list[str]:
  """Classes whose windows leave a tenth of a second or more of the recording out, of which nobody knows."""
  known_s = {
    name: sum(one.end_s - one.start_s for one in windows) for name, windows in recording.counted.items()
  }
  return sorted(name for name, of_class_s in known_s.items() if 0 < of_class_s < recording.duration_s - 0.1)


def in_part(recordings: Sequence[Recording]) -> list[str]:
  """Recordings with classes that were counted in part, `take3 (KD, SD)`: for people to read."""
  return [f"{one.id} ({', '.join(names)})" for one in recordings if (names := counted_in_part(one))]


def _rules(recordings: Sequence[Recording], classes: Collection[str]) -> list[supervision.Rule]:
  """What a list of times cannot say of recordings: of which classes not all is known, and which are exact.

  No format has times of some stretches and says nothing of others, so a class that was counted in part is
  unlabelled as a whole: its events are not learned from, and the rest is not taken for silence.

  Args:
    recordings: that get label files.
    classes: those with events in any of the files: of others no file says anything, nor may a rule.
  """
  rules = []
  for one in recordings:
    for label in sorted(classes):
      has_times = one.is_labelled(label) and label in one.events
      has_counts = one.counted.get(label) and label not in counted_in_part(one)
      if not has_times and not has_counts:
        rules.append(supervision.Rule(one.id, label, "unlabelled"))
      elif label in one.exact:
        rules.append(supervision.Rule(one.id, label, "exact"))
  return rules


def _replace_rules(path: pathlib.Path, rules: Sequence[supervision.Rule]) -> None:
  """Writes a table of rules; without any it removes the one that is there, which was of other labels."""
  if rules:
    checkpoints.replace_text(path, _comma_separated(supervision.HEADER, rules))
  else:
    path.unlink(missing_ok=True)


def table(corrections: Sequence[Correction]) -> str:
  """All corrections as comma-separated text; the old time is empty where there was no label."""
  rows = []
  for one in corrections:
    old = [f"{value:.6f}" if np.isfinite(value) else "" for value in (one.old_s, one.shift_s)]
    rows.append(
      (one.recording, one.label, old[0], f"{one.new_s:.6f}", old[1], f"{one.confidence:.4f}", one.status)
    )
  header = ("recording", "label", "old_time", "new_time", "shift", "confidence", "status")
  return _comma_separated(header, rows)


def _comma_separated(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A csv table; names with commas or quotation marks are quoted."""
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerows([header, *rows])
  return text.getvalue()


def html(refined: Refined, *, title: str = "", command: str = "") -> str:
  """The report: one file with its figures inside."""
  import jinja2

  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("softloc_jax"), autoescape=True, undefined=jinja2.StrictUndefined
  )
  suspicious = sorted(refined.corrections, key=lambda one: -one.suspicion)
  suspicious = [one for one in suspicious if one.status != "confirmed"]
  shown = suspicious[:_MOST_SUSPICIOUS]
  by_doubt = Counter(one.recording for one in suspicious if one.status != "moved")
  ids = sorted(
    (one.id for one in refined.recordings if is_labelled(one)), key=lambda id_: (-by_doubt[id_], id_)
  )
  return environment.get_template("refine.html").render(
    title=title or "labels",
    command=command,
    version=softloc_jax.__version__,
    statuses=[status for status in STATUSES if any(one.status == status for one in refined.corrections)],
    meanings=_meanings(f"{1000 * refined.tolerance_s:g} ms"),
    num_labels=sum(np.isfinite(one.old_s) for one in refined.corrections),
    num_windows=sum(len(windows) for one in refined.recordings for windows in one.counted.values()),
    num_recordings=len(refined.recordings),
    how=refined.how,
    tolerance=f"{1000 * refined.tolerance_s:g} ms",
    classes=[_class_row(refined, name) for name in refined.held_out.network.classes],
    has_times=bool(refined.models),
    recordings=[_recording_row(refined, one.id) for one in refined.recordings if is_labelled(one)],
    in_part=in_part(refined.recordings),
    unlabelled=[one.id for one in refined.recordings if not is_labelled(one)],
    offset_note=_OFFSET_NOTES[refined.common_offset],
    suspicious=[_suspicious_row(one) for one in shown],
    num_more=len(suspicious) - len(shown),
    images=[_image(draw(refined)) for draw in (refine_plots.shift_figure, refine_plots.reliability_figure)]
    if refined.models
    else [],
    figures=[
      {"id": id_, "image": _image(refine_plots.before_after_figure(refined, id_))}
      for id_ in ids[:_MOST_FIGURES]
    ],
    num_not_drawn=max(len(ids) - _MOST_FIGURES, 0),
  )


def _meanings(tolerance: str) -> dict[str, str]:
  """What is said of each status."""
  return {
    "confirmed": f"within {tolerance} of where it was.",
    "moved": "further than that.",
    "placed": "an event of a window that was counted, at one of its most probable places; its confidence is"
    " the probability that there is one.",
    "doubtful": "the confidence is under one half.",
    "probably extra": "nothing was heard near the label, which stays where it was.",
    "probably missing": "an event was heard that has no label; it is listed, and in the new files only if"
    " that was asked for (labels cannot tell a forgotten event from one that a network is sure of and wrong:"
    " the surest are taken for events).",
  }


def _class_row(refined: Refined, name: str) -> dict:
  own = [one for one in refined.corrections if one.label == name]
  return {
    "name": name,
    "labels": sum(np.isfinite(one.old_s) for one in own),
    "counts": Counter(one.status for one in own),
    "noise": f"{1000 * refined.models[name].noise_s:.0f} ms" if name in refined.models else "",
  }


def _recording_row(refined: Refined, id_: str) -> dict:
  own = refined.by_recording[id_]
  shifts_s = np.array([one.shift_s for one in own if np.isfinite(one.shift_s)])
  number = [one.id for one in refined.recordings].index(id_)
  exact = refined.recordings[number].exact
  counts = Counter(one.label for one in own if np.isfinite(one.old_s) and one.label not in exact)
  kinds = {name: kind for kind, name in enumerate(refined.held_out.network.classes)}
  # Of a class's labels the mean lag behind what was heard, weighted by how many there are.
  offsets_s = [
    refined.models[name].offset_s[number] + refined.models[name].kind_offset_s[kinds[name]] for name in counts
  ]
  offset_s = np.average(offsets_s, weights=list(counts.values())) if counts else np.nan
  return {
    "id": id_,
    "labels": len(shifts_s),
    "counts": Counter(one.status for one in own),
    "offset": f"{1000 * offset_s:+.0f} ms" if counts else "",
    "shift": f"{1000 * np.median(np.abs(shifts_s)):.0f} ms" if len(shifts_s) else "",
  }


def _suspicious_row(one: Correction) -> dict:
  has_old = np.isfinite(one.old_s)
  return {
    "recording": one.recording,
    "label": one.label,
    "old": f"{one.old_s:.3f} s" if has_old else "",
    "new": f"{one.new_s:.3f} s",
    "shift": f"{1000 * one.shift_s:+.0f} ms" if has_old else "",
    "confidence": f"{one.confidence:.2f}",
    "status": one.status,
    "color": refine_plots.COLORS[one.status],
  }


def _image(figure) -> str:
  data = io.BytesIO()
  figure.savefig(data, format="png", dpi=100)
  return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
