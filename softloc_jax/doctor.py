"""Examines a folder of recordings and labels before any training, and says all that is wrong with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
import hashlib
import os
import pathlib
from typing import NamedTuple

import numpy as np

from softloc_jax import detector, label_timing, mixed_labels, onset_envelope
from softloc_jax.data import folder as folder_lib
from softloc_jax.data import recording as recording_lib
from softloc_jax.data import signal_files, supervision
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import SPLITS, assign_ids, listing, read_split

PURPOSES = ("train", "refine")
FRAME_S = 0.01  # of what networks see by default
_CLIPPED_SHARE = 1e-3
_FEW_LABELS = 10
_QUIET = 1e-5
# A timing is believed where so many labels have a detection, and they scatter so little about the line.
_MATCHED, _MOST_JITTER_S = 0.75, 0.05
_FEWEST_LABELS = 8  # of a recording; some shift puts fewer on onsets by chance
_OFFSET_S, _DRIFT, _COMMON_S = 0.03, 3e-4, 0.05
_TOLERANCE_S = 0.05  # within which a label lies on an onset
_FEWEST_OF_A_DRIFT = 20  # labels on onsets
_SURELY = 4  # standard errors; of many drifts that were tried, the best is never 0


class Finding(NamedTuple):
  """Something that is wrong, or worth knowing.

  Attributes:
    level: "error" (training would stop or learn nonsense), "warning" or "note".
    where: file or recording, "" for the folder.
    message: what, and what was expected.
  """

  level: str
  where: str
  message: str


class Diagnosis(NamedTuple):
  """What `examine` found.

  Attributes:
    findings: errors first.
    timings: recording -> how its labels lie beside what was heard; the furthest off first.
    common_offset_s: the median offset of the believable timings, which is the detector's own.
    num_recordings: signals in the folder.
    counts: class -> events, of counts that are not exact the fewest.
    at_least: classes of which some count is not exact.
  """

  findings: Sequence[Finding]
  timings: Mapping[str, label_timing.Timing]
  common_offset_s: float
  num_recordings: int
  counts: Mapping[str, int]
  at_least: frozenset[str] = frozenset()

  @property
  def is_usable(self) -> bool:
    """Whether there is no error."""
    return not any(one.level == "error" for one in self.findings)


def examine(
  folder: str | os.PathLike,
  *,
  purpose: str = "train",
  classes: Sequence[str] | None = None,
  class_map: Mapping[str, str | None] | None = None,
  missing: str = "error",
  sidecar_extension: str | None = None,
  trained: detector.Detector | None = None,
  timing: bool = True,
) -> Diagnosis:
  """Reads everything in a folder (see `data.folder`), goes on after each error, and reports them all.

  Args:
    folder: of signals with sidecar label files.
    purpose: what the folder is for, "train" or "refine". To refine labels takes two recordings that have
      some, or one and a network, whatever their splits; recordings without are left as they are.
    classes: labels that may occur; None accepts every label.
    class_map, missing, sidecar_extension: which labels recordings have, see `folder.load`; to refine, those
      without are always "unlabelled".
    trained: compares label times with what this network hears; None with sudden rises of spectrum or energy.
    timing: whether times are compared at all.

  Raises:
    FileNotFoundError: no such folder.
    ValueError: an unknown purpose, or arguments that do not fit together.
  """
  folder = pathlib.Path(folder)
  if purpose not in PURPOSES:
    raise ValueError(f"purpose is {purpose!r}; expected one of {', '.join(PURPOSES)}")
  folder_lib.check_arguments(classes, class_map, missing, sidecar_extension)
  if purpose == "refine":
    if missing == "empty":
      raise ValueError("missing is 'empty', to refine; expected none, as recordings without labels stay so")
    missing = "unlabelled"
  if not folder.is_dir():
    raise FileNotFoundError(f"no such folder: {folder}; expected signals with sidecar files of events")
  findings: list[Finding] = []
  try:
    pairs, orphans = folder_lib.find(folder, sidecar_extension)
  except FileNotFoundError as error:
    return Diagnosis([Finding("error", "", str(error))], {}, 0.0, 0, {})
  findings += [
    Finding("error", str(path), "event file without a signal; expected one of the same stem")
    for path in orphans
  ]
  findings += _check_names(pairs)
  options = {"classes": classes, "class_map": class_map, "missing": missing}
  recordings = [one for pair in pairs if (one := _read(folder, pair, findings, **options)) is not None]
  recordings = _supervised(folder, pairs, recordings, classes, findings)
  findings += _compare_recordings(recordings)
  if purpose == "train":
    findings += _check_splits(folder, [pair.id for pair in pairs])
  elif trained is None:
    findings += _check_judges(recordings)
  counts = Counter(dict.fromkeys(classes or (), 0))
  for one in recordings:
    counts.update({name: len(times_s) for name, times_s in one.events.items()})
    counts.update({name: sum(own.low for own in windows) for name, windows in one.counted.items()})
  at_least = frozenset(
    name
    for one in recordings
    for name, windows in one.counted.items()
    if any(own.high != own.low for own in windows)
  )
  findings += _check_classes(counts, recordings)
  timings, common_s = _timings(recordings, trained, findings) if timing else ({}, 0.0)
  levels = ("error", "warning", "note")
  findings.sort(key=lambda one: levels.index(one.level))  # stable: in the order they were found
  return Diagnosis(findings, timings, common_s, len(pairs), dict(sorted(counts.items())), at_least)


def _supervised(
  folder: pathlib.Path, pairs, recordings: Sequence[Recording], classes, findings: list[Finding]
) -> Sequence[Recording]:
  """The recordings as `supervision.csv` has them, if there is one and it makes sense."""
  known = set(classes or ()).union(*({*one.events, *one.counted} for one in recordings))
  # As for training, every recording has every class: rules may be of those that it has no event of.
  whole = [one.replace(events={name: one.times_s(name) for name in sorted(known)}) for one in recordings]
  unread = sorted({pair.id for pair in pairs} - {one.id for one in recordings})
  try:
    rules = folder_lib.read_rules(folder, pairs)
    return supervision.apply(rules, whole, others=unread) if rules else recordings
  except ValueError as error:
    where, message = _without(str(error), folder).split(": ", 1)
    findings.append(Finding("error", where, message))
    return recordings


def _check_names(pairs) -> list[Finding]:
  """Signals that could not be told apart, by their id or by their labels."""
  findings = []
  for what, names_of in (("id", lambda pair: [pair.id]), ("event file", lambda pair: pair.sidecars)):
    owners = defaultdict(list)
    for pair in pairs:
      for name in names_of(pair):
        owners[name].append(str(pair.signal))
    findings += [
      Finding("error", str(name), f"is the {what} of {listing(signals)}; expected one signal for each")
      for name, signals in owners.items()
      if len(signals) > 1
    ]
  return findings


def _read(
  folder: pathlib.Path, pair, findings: list[Finding], *, classes, class_map, missing: str
) -> Recording | None:
  """A recording with its labels, as far as they can be read; what cannot is a finding."""
  path = folder / pair.signal
  table, events = None, {}
  if not pair.sidecars:
    findings.append(_without_labels(str(pair.signal), missing))
  elif len(pair.sidecars) > 1:
    names = listing([str(one) for one in pair.sidecars])
    message = f"has {len(pair.sidecars)} event files: {names}; expected one (--labels-from chooses)"
    findings.append(Finding("error", str(pair.signal), message))
  else:
    try:
      table = folder_lib.read_sidecar(folder, pair, class_map=class_map)
      events = table.events
    except (OSError, ValueError, ImportError) as error:
      findings.append(Finding("error", str(pair.sidecars[0]), _without(str(error), folder)))
  try:
    signal, rate_hz = signal_files.read_signal(path)
  except (OSError, ValueError, ImportError) as error:
    findings.append(Finding("error", str(pair.signal), _without(str(error), folder)))
    return None
  counted = table.until(len(signal) / rate_hz) if table else {}
  recording = Recording(pair.id, signal, rate_hz, events, counted=counted)
  _check_signal(recording, str(pair.signal), findings)
  if pair.sidecars:
    _check_events(recording, str(pair.sidecars[0]), classes, findings)
  finite = np.isfinite(signal).all()
  return recording.replace(signal=signal if finite else np.nan_to_num(signal))


def _without_labels(name: str, missing: str) -> Finding:
  """What it means that a recording has no event file."""
  if missing == "unlabelled":
    return Finding("note", name, "has no labels: takes no part in training, and refine leaves it as it is")
  if missing == "empty":
    return Finding("note", name, "has no labels: taken to have no event")
  message = (
    "has no labels; expected an event file of the same stem, or missing=... (--missing) 'unlabelled' or"
    " 'empty' (refine leaves such recordings as they are: --for refine)"
  )
  return Finding("error", name, message)


def _without(message: str, folder: pathlib.Path) -> str:
  return message.replace(f"{folder}{os.sep}", "")


def _check_signal(recording: Recording, name: str, findings: list[Finding]) -> None:
  try:
    recording_lib.validate(recording.replace(events={}, counted={}))
  except ValueError as error:
    findings.append(Finding("error", name, str(error).split(": ", 1)[-1]))
    return
  largest = float(np.abs(recording.signal).max())
  audio = pathlib.PurePath(name).suffix.lower() in signal_files.AUDIO_EXTENSIONS
  if np.ptp(recording.signal) == 0 or (audio and largest < _QUIET):
    findings.append(Finding("error", name, f"is silent: no sample is larger than {largest:.1g}"))
  elif audio:
    share = float(np.mean(np.abs(recording.signal) >= 0.999))
    if share > _CLIPPED_SHARE:
      findings.append(
        Finding("warning", name, f"{100 * share:.1f} % of the samples are at full scale: clipped?")
      )


def _check_events(recording: Recording, name: str, classes, findings: list[Finding]) -> None:
  for label, times_s in recording.events.items():
    if classes is not None and label not in classes:
      findings.append(
        Finding("error", name, f"unknown label {label!r}; expected one of {', '.join(classes)}")
      )
    outside = times_s > recording.duration_s + 1e-6
    if outside.any():
      message = (
        f"{outside.sum()} of {len(times_s)} events {label!r} lie outside the recording, the last at"
        f" {times_s[-1]:.3f} s of {recording.duration_s:.3f} s"
      )
      findings.append(Finding("error", name, message))
    gaps_s = np.diff(times_s)
    twice = int((gaps_s == 0).sum())
    if twice:
      findings.append(Finding("warning", name, f"{twice} events {label!r} are there twice, at the same time"))
    close = int(((gaps_s > 0) & (gaps_s < FRAME_S)).sum())
    if close:
      message = f"{close} events {label!r} follow another within {1000 * FRAME_S:g} ms, the length of a frame"
      findings.append(Finding("warning", name, message))
  try:
    recording_lib.validate(
      recording.replace(events={}, signal=np.zeros(len(recording.signal), np.uint8)), classes
    )
    num_frames = round(recording.duration_s / FRAME_S)
    mixed_labels.counted_frames(recording, tuple(recording.counted), num_frames, 1 / FRAME_S)
  except ValueError as error:
    findings.append(Finding("error", name, str(error).split(": ", 1)[-1]))
  if not recording.has_labels:
    findings.append(Finding("note", name, "no events"))


def _compare_recordings(recordings: Sequence[Recording]) -> list[Finding]:
  """What does not fit together, and what is there twice."""
  findings = []
  rates = Counter(one.sample_rate_hz for one in recordings)
  if len(rates) > 1:
    shown = ", ".join(f"{count} at {rate:g} Hz" for rate, count in rates.most_common())
    findings.append(Finding("note", "", f"sample rates differ: {shown}; training resamples"))
  channels = defaultdict(list)
  for one in recordings:
    channels[1 if one.signal.ndim == 1 else one.signal.shape[1]].append(one.id)
  if len(channels) > 1:
    shown = "; ".join(f"{number}: {listing(ids)}" for number, ids in sorted(channels.items()))
    findings.append(Finding("error", "", f"numbers of channels differ ({shown}); expected as many in each"))
  durations_s = np.array([one.duration_s for one in recordings])
  for one in recordings:
    if len(durations_s) > 4 and not 0.05 < one.duration_s / np.median(durations_s) < 20:
      message = f"lasts {one.duration_s:.1f} s; the others about {np.median(durations_s):.1f} s"
      findings.append(Finding("warning", one.id, message))
  by_content = defaultdict(list)
  for one in recordings:
    by_content[hashlib.sha256(one.signal.tobytes()).digest()].append(one.id)
  findings += [
    Finding("warning", ids[0], f"the same signal as {listing(ids[1:])}: they must not be in two splits")
    for ids in by_content.values()
    if len(ids) > 1
  ]
  return findings


def _check_classes(counts: Mapping[str, int], recordings: Sequence[Recording]) -> list[Finding]:
  if not any(one.has_labels for one in recordings):
    return [Finding("error", "", "there is no label at all: nothing could be learned")]
  findings = []
  for name, count in counts.items():
    have = sum(bool(len(one.times_s(name)) or one.counted.get(name)) for one in recordings)
    if not have:
      findings.append(Finding("error", "", f"class {name!r} has no label"))
    elif count < _FEW_LABELS:
      findings.append(Finding("warning", "", f"class {name!r} has {count} events only, in {have} recordings"))
    elif have == 1 < len(recordings):
      findings.append(Finding("warning", "", f"class {name!r} occurs in one recording only"))
  return findings


def _check_splits(folder: pathlib.Path, ids: Sequence[str]) -> list[Finding]:
  path = folder / folder_lib.SPLIT_FILE
  if not path.exists():
    if len(ids) < len(SPLITS):
      message = (
        f"{len(ids)} recordings; expected {len(SPLITS)} or more to train, validate and test on"
        f" (refine takes fewer: --for refine)"
      )
      return [Finding("error", "", message)]
    return []
  try:
    assigned = assign_ids(ids, read_split(path))
  except ValueError as error:
    return [Finding("error", path.name, _without(str(error), folder))]
  shown = ", ".join(f"{len(members)} {split}" for split, members in assigned.items())
  missing = [split for split in SPLITS if split not in assigned]
  findings = [Finding("note", path.name, f"recordings: {shown}")]
  if missing:
    findings.append(Finding("error", path.name, f"no recording in {', '.join(missing)}"))
  return findings


def _check_judges(recordings: Sequence[Recording]) -> list[Finding]:
  """Whether refine can judge each recording by a network that learned from others."""
  have = [one.id for one in recordings if one.has_labels]
  if len(have) != 1:  # that there is no label at all is told elsewhere
    return []
  message = (
    f"only {have[0]} has labels; expected two recordings or more that do, as a network that judges labels has"
    f" learned from others, or a network (--model, --checkpoint)"
  )
  return [Finding("error", "", message)]


def _timings(
  recordings: Sequence[Recording], trained: detector.Detector | None, findings: list[Finding]
) -> tuple[dict[str, label_timing.Timing], float]:
  """Timing of each recording that has labels, the furthest from the common offset first."""
  timings = {}
  for one in recordings:
    labels_s = np.sort(np.concatenate([np.zeros(0), *one.events.values()]))
    if not len(labels_s):
      continue
    try:
      heard = _heard(one, trained)
      timings[one.id] = label_timing.compare(labels_s, *heard, tolerance_s=_TOLERANCE_S)
    except ValueError as error:  # a recording that the network is not made for
      findings.append(Finding("error", one.id, str(error)))
  good = {id_: one for id_, one in timings.items() if is_believable(one)}
  common_s = float(np.median([one.offset_s for one in good.values()])) if len(good) > 2 else 0.0
  if abs(common_s) > _COMMON_S:
    message = (
      f"the labels of all recordings are {abs(1000 * common_s):.0f} ms {'late' if common_s > 0 else 'early'}"
      f" beside what was heard; a detector's own delay is seldom more than {1000 * _COMMON_S:.0f} ms"
    )
    findings.append(Finding("warning", "", message))
  for id_, one in good.items():
    off_s = one.offset_s - common_s
    # Nothing is put right by a shift to where no more labels lie on onsets.
    in_vain = abs(one.offset_s) > _TOLERANCE_S and one.matched_as_is >= one.matched
    if abs(off_s) > _OFFSET_S and not in_vain:
      message = (
        f"labels are {abs(1000 * off_s):.0f} ms {'late' if off_s > 0 else 'early'}: put right,"
        f" {100 * one.matched:.0f} % of them lie on an onset, as they are {100 * one.matched_as_is:.0f} %"
      )
      findings.append(Finding("warning", id_, message))
    enough = one.matched * one.num_labels >= _FEWEST_OF_A_DRIFT
    if enough and abs(one.drift) > max(_DRIFT, _SURELY * one.drift_error):
      message = (
        f"labels drift by {100 * one.drift:+.2f} %: their clock runs {'fast' if one.drift > 0 else 'slow'}"
      )
      findings.append(Finding("warning", id_, message))
  if timings and len(good) < len(timings) / 2:
    most_ms = 1000 * _MOST_JITTER_S
    message = (
      f"the labels of {len(timings) - len(good)} of {len(timings)} recordings do not lie on what was heard,"
      f" are off at random by more than {most_ms:.0f} ms, or are fewer than {_FEWEST_LABELS}: their timing"
      f" was not judged"
    )
    findings.append(Finding("note", "", message))
  order = sorted(timings, key=lambda id_: _badness(timings[id_], common_s), reverse=True)
  return {id_: timings[id_] for id_ in order}, common_s


def is_believable(timing: label_timing.Timing) -> bool:
  """Whether enough labels agree with what was heard for an offset to mean anything."""
  return (
    timing.num_labels >= _FEWEST_LABELS and timing.matched >= _MATCHED and timing.jitter_s <= _MOST_JITTER_S
  )


def _badness(timing: label_timing.Timing, common_s: float) -> tuple[bool, float]:
  off_s = abs(timing.offset_s - common_s) if np.isfinite(timing.offset_s) else 0.0
  return is_believable(timing), off_s + 60 * abs(timing.drift)


def _heard(recording: Recording, trained: detector.Detector | None) -> tuple[np.ndarray, np.ndarray]:
  """Times and strengths of what a network hears, or of sudden rises."""
  if trained is None:
    audio = recording.signal.ndim == 1 and recording.sample_rate_hz >= 4000
    return onset_envelope.onsets(recording, audio=audio)
  found = trained.detect(recording)
  times_s, strengths = (
    np.concatenate([np.zeros(0), *values.values()]) for values in (found.times_s, found.confidence)
  )
  order = np.argsort(times_s)
  return times_s[order], strengths[order]


def as_text(diagnosis: Diagnosis, *, show_all: bool = False) -> str:
  """The diagnosis in lines: counts, findings, and timings of the recordings that stand out, or of all."""
  labels = ", ".join(
    f"{count}{'+' if name in diagnosis.at_least else ''} {name}" for name, count in diagnosis.counts.items()
  )
  lines = [f"{diagnosis.num_recordings} recordings: {labels or 'no labels'}"]
  lines += [
    f"{one.level}: {f'{one.where}: ' if one.where else ''}{one.message}" for one in diagnosis.findings
  ]
  shown = {
    id_: one
    for id_, one in diagnosis.timings.items()
    if show_all or any(id_ == finding.where for finding in diagnosis.findings if finding.level == "warning")
  }
  if shown:
    lines.append(
      f"labels beside what was heard (without the {1000 * diagnosis.common_offset_s:+.0f} ms that all share):"
    )
    width = max(map(len, shown))
    for id_, one in shown.items():
      off_ms = 1000 * (one.offset_s - diagnosis.common_offset_s)
      doubt = "" if is_believable(one) else "  (not believable)"
      jitter = f"{1000 * min(one.jitter_s, _TOLERANCE_S):3.0f} ms{'+' if np.isinf(one.jitter_s) else ''}"
      lines.append(
        f"  {id_:{width}s}  offset {off_ms:+5.0f} ms  drift {100 * one.drift:+.3f} %  jitter"
        f" {jitter}  on an onset {100 * one.matched:3.0f} %{doubt}"
      )
  lines.append("usable" if diagnosis.is_usable else "not usable: see the errors")
  return "\n".join(lines)
