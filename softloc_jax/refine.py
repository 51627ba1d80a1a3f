"""Corrects labels by what networks hear in recordings that they were not trained on.

Labels are times that are roughly right, which are moved to the events, or counts of windows, whose events are
placed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import logging
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from softloc_jax import cross_fitting, detector, evaluation, label_model, placing
from softloc_jax.data import condition
from softloc_jax.data.recording import Recording

STATUSES = ("confirmed", "moved", "placed", "doubtful", "probably extra", "probably missing")

# Everything that could be an event: what it is worth, the labels say.
_LEAST_CONFIDENCE = 0.02
# Classes with fewer labels share one model of their labels.
_FEW_LABELS = 100
_SUREST = 0.995  # even the surest detection may be none: labels cannot tell that from their own gaps
# Networks err in ways that labels do not show: times have heavier tails than a normal law, and what sounds
# like an event may be another's. On real piano and heart beats 1 to 4 % of the surest places were wrong.
_SUREST_PLACE = 0.98
_PILOT = 1 / 3  # of a training, to see how far labels are off


class Correction(NamedTuple):
  """One event.

  Attributes:
    recording: id.
    label: its class.
    old_s: where the label was, in seconds; NaN where there was none.
    new_s: where the event is, in seconds.
    confidence: probability that it is there, within the tolerance.
    status: of `STATUSES`.
  """

  recording: str
  label: str
  old_s: float
  new_s: float
  confidence: float
  status: str

  @property
  def suspicion(self) -> float:
    """How much there is to look at: what is doubtful about a label, or sure about an event without one."""
    return self.confidence if self.status == "probably missing" else 1 - self.confidence

  @property
  def shift_s(self) -> float:
    """How far the label was moved, in seconds; NaN where there was none."""
    return self.new_s - self.old_s


@dataclasses.dataclass(frozen=True, eq=False)
class Refined:
  """Corrected labels.

  Attributes:
    corrections: every label, every event that was counted and every event that seems to lack a label, by
      recording, class and time.
    recordings: conditioned, with the old labels.
    held_out: what was heard in them.
    models: class -> how its labels came about; of classes with times.
    tolerance_s: what "there" means in a confidence.
    common_offset: whether the labels of all recordings together were taken to be right on average, or of
      each.
    how: what made the corrections, in words.
  """

  corrections: Sequence[Correction]
  recordings: Sequence[Recording]
  held_out: cross_fitting.HeldOut
  models: Mapping[str, label_model.LabelModel]
  tolerance_s: float
  common_offset: bool
  how: str

  @functools.cached_property
  def by_recording(self) -> Mapping[str, list[Correction]]:
    """Id -> the corrections of each recording."""
    found: dict[str, list[Correction]] = {one.id: [] for one in self.recordings}
    for one in self.corrections:
      found[one.recording].append(one)
    return found

  def events(
    self, recording: str, *, least_confidence: float = 0.0, add_missing: bool = False
  ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Corrected times in seconds and their confidences, class by class.

    Args:
      recording: id.
      least_confidence: labels of less are left out.
      add_missing: whether events that seem to lack a label are put in.
    """
    names = {*self.models, *(one.label for one in self.by_recording[recording])}
    times_s: dict[str, list[float]] = {name: [] for name in sorted(names)}
    confidence: dict[str, list[float]] = {name: [] for name in sorted(names)}
    chosen = [
      one
      for one in self.by_recording[recording]
      if one.confidence >= least_confidence and (add_missing or one.status != "probably missing")
    ]
    for one in sorted(chosen, key=lambda one: one.new_s):
      times_s[one.label].append(one.new_s)
      confidence[one.label].append(one.confidence)
    return {k: np.array(v) for k, v in times_s.items()}, {k: np.array(v) for k, v in confidence.items()}

  def to_pandas(self) -> Any:
    """The corrections as a `pandas.DataFrame`."""
    import pandas

    rows = [(*one, one.shift_s) for one in self.corrections]
    return pandas.DataFrame(rows, columns=[*Correction._fields, "shift_s"])


def refine(
  recordings: Sequence[Recording],
  *,
  workdir: str | os.PathLike,
  config: Any = None,
  trained: detector.Detector | None = None,
  num_folds: int = 5,
  softness_s: float | None = None,
  common_offset: bool = False,
  trust_counts: bool = False,
  tolerance_s: float = 0.05,
) -> Refined:
  """Corrects the times of labels, and finds the times of events that were only counted.

  Networks learn from the labels as they are, from times with a loss that forgives misalignment (SoftLoc) and
  from counts with their likelihood, each from a part of the recordings, and listen to the rest. How far times
  are off, how often the networks are right and which label belongs to which detection are then estimated
  together (`label_model`). Events that were counted are placed (`placing`).

  Args:
    recordings: with times that are roughly right, of which classes `labelled` says; or with counts of windows
      (`counted`).
    workdir: gets the trainings; a refinement that was interrupted goes on from there.
    config: of the trainings (`recipes.own`); its loss takes the softness.
    trained: a network that never saw these labels, in the place of trainings.
    num_folds: parts that the recordings are dealt to; each is judged by a network that learned from the
      others.
    softness_s: about how far labels are off, their standard deviation; None estimates it with a short
      training.
    common_offset: what is right on average: the labels of each recording (False), or only those of all
      together (True). The first forgives a network that is early in some recordings, the second corrects
      recordings whose labels are all late.
    trust_counts: whether every label that has a time stands for an event, even if nothing is heard of it.
      Otherwise such an event is taken to be as likely as not, as labels alone do not say whether a label is
      extra or an event unheard. Counts of windows are always trusted.
    tolerance_s: a confidence is the probability that an event is within this of the corrected time.

  Returns:
    The corrections.

  Raises:
    ValueError: neither or both of `config` and `trained`, recordings without labels, of one id or fewer than
      folds, or classes that the network does not know.
  """
  if (config is None) == (trained is None):
    raise ValueError("expected either a config to train by or a trained network")
  config = trained.config if config is None else config
  for name, value in (("softness_s", softness_s), ("tolerance_s", tolerance_s)):
    if value is not None and not 0 < value < np.inf:
      raise ValueError(f"{name} is {value}; expected a positive number of seconds")
  _check(recordings, config.data.classes)
  if trained is not None:
    how = "Corrected with a network that was trained before."
    found = {one.id: trained.detect(one) for one in recordings}
    recordings = [found[one.id].recording for one in recordings]  # conditioned
    probs = {id_: one.probs for id_, one in found.items()}
    held_out, start_s = cross_fitting.HeldOut(trained.network, probs), 2 * (softness_s or 0.1)
  else:
    recordings = [condition.condition(one, **dict(config.data.conditioning)) for one in recordings]
    _check_labelled(recordings)
    parts = cross_fitting.folds(recordings, min(num_folds, len(recordings)))
    timed = any(map(len, (times_s for one in recordings for times_s in one.events.values())))
    if softness_s is None and timed:
      softness_s = _pilot_softness(config, parts, pathlib.Path(workdir) / "pilot", tolerance_s)
    softness_s = softness_s or config.loss.softness_s
    held_out = cross_fitting.held_out_probabilities(
      _with_softness(config, softness_s), parts, pathlib.Path(workdir) / "training"
    )
    start_s = 2 * softness_s
    how = f"Corrected with {len(parts)} networks, each trained on the recordings that it did not judge"
    how += f", by a loss that forgives {1000 * softness_s:.0f} ms." if timed else "."
  tracks = _tracks(config, held_out, recordings, tolerance_s)
  models = _label_models(tracks, start_s, common_offset, shared=config.decode.shared)
  corrections = _place(config, held_out, recordings)
  for model in {id(one): one for one in models.values()}.values():
    own = {key: track for key, track in tracks.items() if models[key[1]] is model}
    pairings = label_model.pair(model, list(own.values()))
    for ((recording, name), track), pairing in zip(own.items(), pairings, strict=True):
      corrections += _correct(
        recording, name, track, model, pairing, tolerance_s, 1.0 if trust_counts else 0.5
      )
  return Refined(
    _sorted(corrections, recordings), recordings, held_out, models, tolerance_s, common_offset, how
  )


def _sorted(corrections: Sequence[Correction], recordings: Sequence[Recording]) -> list[Correction]:
  """By recording, as they came, class and time."""
  order = {one.id: number for number, one in enumerate(recordings)}
  return sorted(corrections, key=lambda one: (order[one.recording], one.label, one.new_s))


def _check(recordings: Sequence[Recording], classes: Sequence[str]) -> None:
  ids = [one.id for one in recordings]
  if len(set(ids)) < len(ids):
    raise ValueError(f"two recordings have the id {max(ids, key=ids.count)!r}; expected unique ids")
  unknown = sorted({name for one in recordings for name in (*one.events, *one.counted)} - set(classes))
  if unknown:
    raise ValueError(f"labels of {', '.join(unknown)}; expected classes among {', '.join(classes)}")
  if not any(map(_has_labels, recordings)):
    raise ValueError("the recordings have no label; expected some that are to be corrected")


def _has_labels(recording: Recording) -> bool:
  """Whether there is any time or count."""
  return any(map(len, (*recording.events.values(), *recording.counted.values())))


def _check_labelled(recordings: Sequence[Recording]) -> None:
  labelled = [one.id for one in recordings if _has_labels(one)]
  if len(labelled) < 2:
    raise ValueError(
      f"only {', '.join(labelled)} has labels; expected two recordings or more that do: a network that judges"
      f" labels has learned from others"
    )


def _with_softness(config: Any, softness_s: float) -> Any:
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.loss.softness_s = softness_s
    if config.decode.align_softness_s:
      config.decode.align_softness_s = softness_s
  return config


def _pilot_softness(
  config: Any, parts: Sequence[Sequence[Recording]], workdir: pathlib.Path, tolerance_s: float
) -> float:
  """How far labels are off, as a network sees it that was trained for a while on all parts but one."""
  guess_s = config.loss.softness_s
  pilot = config.copy_and_resolve_references()
  with pilot.unlocked():
    pilot.num_steps = max(round(_PILOT * config.num_steps), config.optimizer.warmup_steps + 1)
    pilot.eval_every = pilot.num_steps
  sizes = [sum(map(len, (times_s for one in part for times_s in one.events.values()))) for part in parts]
  judged = int(np.argmax(sizes))
  held_out = cross_fitting.held_out_probabilities(pilot, parts, workdir, only=[judged])
  # A network that has just begun reaches far in time; no part of the noise is to be taken for that.
  tracks = {
    key: one._replace(spread_s=np.zeros_like(one.spread_s))
    for key, one in _tracks(config, held_out, parts[judged], tolerance_s).items()
  }
  models = _label_models(tracks, 2 * guess_s, common_offset=False, shared=config.decode.shared)
  noise_s = float(np.median([one.noise_s for one in models.values()]))
  # No sharper than a frame: the labels are rounded to frames.
  softness_s = round(max(noise_s, 1 / held_out.network.extractor.frame_rate_hz), 3)
  logging.info("labels are off by %.0f ms (standard deviation)", 1000 * noise_s)
  return softness_s


Tracks = dict[tuple[str, str], label_model.Track]


def _tracks(
  config: Any, held_out: cross_fitting.HeldOut, recordings: Sequence[Recording], tolerance_s: float
) -> Tracks:
  """Times beside what was heard, by recording and class; of classes that are annotated only."""
  annotated = {name for one in recordings for name in one.events if name not in one.counted}
  network = held_out.network
  rate_hz = network.extractor.frame_rate_hz
  decoder = evaluation.Decoder(config.decode, network.classes, rate_hz)
  # Further away, what little probability there is says nothing about the event.
  half = max(round(min(config.decode.suppression_s, 2 * tolerance_s) * rate_hz), 1)
  tracks, variances = {}, {}
  for number, one in enumerate(recordings):
    probs = held_out.probs[one.id]
    times_s, confidence = decoder.detections(probs, _LEAST_CONFIDENCE)
    for kind, name in enumerate(network.classes):
      if name in annotated and name not in one.counted and one.is_labelled(name):
        tracks[one.id, name] = label_model.Track(
          labels_s=np.sort(one.times_s(name)),
          detections_s=times_s[name],
          confidence=np.clip(confidence[name], 0, 1),
          spread_s=np.zeros(len(times_s[name])),
          duration_s=one.duration_s,
          recording=number,
          kind=kind,
        )
        variances[one.id, name] = _variance(probs[:, kind], times_s[name] * rate_hz, half)
  return _with_spreads(tracks, variances, rate_hz)


def _variance(probs: np.ndarray, frames: np.ndarray, half: int) -> np.ndarray:
  """Variance of where the probability within `half` frames of each place lies, in squared frames."""
  offsets = np.arange(-half, half + 1)
  nearest = np.round(frames).astype(int)
  around = np.pad(probs, half)[nearest[:, None] + half + offsets].astype(np.float64)
  distance = nearest[:, None] + offsets - frames[:, None]
  return (around * np.square(distance)).sum(1) / np.maximum(around.sum(1), 1e-9)


def _with_spreads(tracks: Tracks, variances: Mapping[tuple[str, str], np.ndarray], rate_hz: float) -> Tracks:
  """Tracks with how much further detections reach than the sharpest tenth of the likely of their class."""
  sharpest = {}
  for name in {name for _, name in tracks}:
    likely = [variances[key][one.confidence >= 0.5] for key, one in tracks.items() if key[1] == name]
    likely = np.concatenate(likely)
    sharpest[name] = np.quantile(likely, 0.1) if len(likely) else np.inf
  return {
    key: one._replace(spread_s=np.sqrt(np.maximum(variances[key] - sharpest[key[1]], 0)) / rate_hz)
    for key, one in tracks.items()
  }


def _label_models(
  tracks: Tracks, noise_s: float, common_offset: bool, shared: bool
) -> dict[str, label_model.LabelModel]:
  """Of each class; one for all that have few labels, or for all classes of one kind, such as pitches."""
  if not tracks:
    return {}
  by_class: dict[str, list[label_model.Track]] = {}
  for (_, name), track in tracks.items():
    by_class.setdefault(name, []).append(track)
  fit = functools.partial(label_model.fit, noise_s=noise_s, common_offset=common_offset)
  common = fit(list(tracks.values()))

  def has_own(own: Sequence[label_model.Track]) -> bool:
    sizes = [sum(len(getattr(one, key)) for one in own) for key in ("labels_s", "detections_s")]
    return not shared and len(by_class) > 1 and min(sizes) >= _FEW_LABELS

  return {name: fit(own) if has_own(own) else common for name, own in by_class.items()}


def _place(config: Any, held_out: cross_fitting.HeldOut, recordings: Sequence[Recording]) -> list[Correction]:
  """The events of windows that were counted."""
  network, found = held_out.network, {}
  for one in recordings:
    for name, windows in one.counted.items():
      if windows:
        found[one.id, name] = placing.candidates(
          held_out.probs[one.id][:, network.classes.index(name)],
          windows,
          frame_rate_hz=network.extractor.frame_rate_hz,
          suppression_s=config.decode.suppression_s,
        )
  weights = {
    name: placing.fit_weight([own for (_, of_class), own in found.items() if of_class == name])
    for name in {name for _, name in found}
  }
  corrections = []
  for (recording, name), own in found.items():
    for new_s, posterior in zip(*placing.place(own, weight=weights[name]), strict=True):
      sure = float(_SUREST_PLACE * posterior)
      status = "placed" if sure >= 0.5 else "doubtful"
      corrections.append(Correction(recording, name, np.nan, float(new_s), sure, status))
  return corrections


def _correct(
  recording: str,
  name: str,
  track: label_model.Track,
  model: label_model.LabelModel,
  pairing: label_model.Pairing,
  tolerance_s: float,
  real_if_unheard: float,
) -> list[Correction]:
  """The corrections of one track."""
  corrections = []
  expected_s = model.expected_s(track)  # labels are right on average
  for old_s, paired, chance, first in zip(
    track.labels_s, pairing.detection, pairing.probability, pairing.first, strict=True
  ):
    near = slice(first, first + len(chance))
    # What label and detection say together, with weights as both are to be trusted; and how sure that is.
    error = np.square(np.append(model.spread_scale * track.spread_s[near], np.inf))
    share = np.append(error[:-1] / (error[:-1] + model.noise_s**2), 1.0)
    places_s = np.append(expected_s[near] * (1 - share[:-1]) + old_s * share[:-1], old_s)
    std_s = np.maximum(model.noise_s * np.sqrt(share), 1e-6)
    unheard = 1 - chance.sum()
    weights = np.append(chance[: len(places_s) - 1], unheard * real_if_unheard)
    new_s = float(np.clip(places_s[paired - first if paired >= 0 else -1], 0.0, track.duration_s))
    within = scipy.special.ndtr((new_s - places_s + tolerance_s) / std_s) - scipy.special.ndtr(
      (new_s - places_s - tolerance_s) / std_s
    )
    within[:-1] *= _SUREST_PLACE
    sure = float(np.clip(weights @ within, 0, 1))
    extra = unheard * (1 - real_if_unheard)
    status = _status(abs(new_s - old_s), sure, extra, tolerance_s)
    corrections.append(Correction(recording, name, float(old_s), new_s, sure, status))
  unlabelled = 1 - pairing.labelled(len(expected_s))
  corrections += [
    Correction(
      recording, name, np.nan, float(np.clip(expected_s[i], 0, track.duration_s)), sure, "probably missing"
    )
    for i, sure in _missing(track, model, unlabelled)
  ]
  return corrections


def _status(shift_s: float, sure: float, extra: float, tolerance_s: float) -> str:
  if extra > 0.45:  # half at most
    return "probably extra"
  if sure < 0.5:
    return "doubtful"
  return "confirmed" if shift_s <= tolerance_s else "moved"


def _missing(track: label_model.Track, model: label_model.LabelModel, unlabelled: np.ndarray):
  """Detections that are probably events without a label, each with its probability."""
  # The network must say so itself, too: classes may be mistaken for each other.
  real = np.where(track.confidence >= 0.5, _SUREST * model.real(track.confidence), 0.0)
  forgotten = 1 - model.reliability[-1]  # how often even the surest detections have no label
  chance = unlabelled * real * forgotten / np.maximum(real * forgotten + 1 - real, 1e-9)
  return [(i, float(chance[i])) for i in np.flatnonzero(chance > 0.5)]
