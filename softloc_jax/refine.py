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
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softloc_jax import corrections as correcting
from softloc_jax import cross_fitting, detector, label_model, label_tracks
from softloc_jax.corrections import Correction
from softloc_jax.data import condition
from softloc_jax.data.recording import Recording, validate
from softloc_jax.data.splits import listing

_PILOT = 1 / 3  # of a training, to see how far labels are off


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

    Of a class that was counted they are those of its windows; of the rest of a recording nothing is known.

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
  labels: Mapping[str, Mapping[str, ArrayLike]] | None = None,
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
    labels: recording's id -> class -> times in seconds, to be corrected in the place of those that the
      recordings have; a class that is not there has no event. None corrects the recordings' own.
    workdir: gets the trainings; a refinement that was interrupted goes on from there.
    config: of the trainings (`recipes.own`); its loss takes the softness.
    trained: a network that never saw these labels, in the place of trainings.
    num_folds: parts that the recordings are dealt to, 2 or more; each is judged by a network that learned
      from the others. Fewer recordings make as many parts, which is logged.
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
    ValueError: neither or both of `config` and `trained`; labels of other recordings, of some only, outside
      of theirs, or of classes that were counted; a softness or tolerance that is not positive; two
      recordings of one id, none with labels, or, for trainings, fewer than two with labels; fewer than 2
      folds; or classes that the network does not know.
  """
  if (config is None) == (trained is None):
    raise ValueError("expected either a config to train by or a trained network")
  config = trained.config if config is None else config
  for name, value in (("softness_s", softness_s), ("tolerance_s", tolerance_s)):
    if value is not None and not 0 < value < np.inf:
      raise ValueError(f"{name} is {value}; expected a positive number of seconds")
  if labels is not None:
    recordings = _relabelled(recordings, labels)
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
    _warn_of_rare_classes(recordings, config.data.classes)
    parts = cross_fitting.folds(recordings, _possible_folds(num_folds, len(recordings)))
    timed = any(map(_num_rough, recordings))
    if softness_s is None and timed:
      softness_s = _pilot_softness(config, parts, pathlib.Path(workdir) / "pilot", tolerance_s)
    softness_s = softness_s or config.loss.softness_s
    held_out = cross_fitting.held_out_probabilities(
      _with_softness(config, softness_s), parts, pathlib.Path(workdir) / "training"
    )
    start_s = 2 * softness_s
    how = f"Corrected with {len(parts)} networks, each trained on the recordings that it did not judge"
    how += f", by a loss that forgives {1000 * softness_s:.0f} ms." if timed else "."
  tracks = label_tracks.beside_detections(config, held_out, recordings, tolerance_s)
  models = label_tracks.fit_models(tracks, start_s, common_offset, shared=config.decode.shared)
  corrections = correcting.kept(recordings) + correcting.placed(config, held_out, recordings)
  for model in {id(one): one for one in models.values()}.values():
    own = {key: track for key, track in tracks.items() if models[key[1]] is model}
    if label_model.is_crowded(model, list(own.values())):
      logging.warning(
        "labels of %s are off by as much as events are apart: noise and corrections are guesses",
        listing(sorted({name for _, name in own})),
      )
    pairings = label_model.pair(model, list(own.values()))
    for ((recording, name), track), pairing in zip(own.items(), pairings, strict=True):
      corrections += correcting.moved(
        recording, name, track, model, pairing, tolerance_s, 1.0 if trust_counts else 0.5
      )
  return Refined(
    _sorted(corrections, recordings), recordings, held_out, models, tolerance_s, common_offset, how
  )


def _sorted(corrections: Sequence[Correction], recordings: Sequence[Recording]) -> list[Correction]:
  """By recording, as they came, class and time."""
  order = {one.id: number for number, one in enumerate(recordings)}
  return sorted(corrections, key=lambda one: (order[one.recording], one.label, one.new_s))


def _relabelled(
  recordings: Sequence[Recording], labels: Mapping[str, Mapping[str, ArrayLike]]
) -> list[Recording]:
  """Recordings with other times."""
  different = sorted(set(labels) ^ {one.id for one in recordings})
  if different:
    raise ValueError(
      f"{listing(different)}: in either recordings or labels; expected labels of every recording, by its id"
    )
  changed = []
  for one in recordings:
    none = {name: np.zeros(0) for name in one.events}
    given = {name: np.sort(np.asarray(times_s, np.float64)) for name, times_s in labels[one.id].items()}
    changed.append(one.replace(events=none | given))
    validate(changed[-1])
  return changed


def _check(recordings: Sequence[Recording], classes: Sequence[str]) -> None:
  ids = [one.id for one in recordings]
  if len(set(ids)) < len(ids):
    raise ValueError(f"two recordings have the id {max(ids, key=ids.count)!r}; expected unique ids")
  unknown = sorted({name for one in recordings for name in (*one.events, *one.counted)} - set(classes))
  if unknown:
    raise ValueError(f"labels of {', '.join(unknown)}; expected classes among {', '.join(classes)}")
  if not any(one.has_labels for one in recordings):
    raise ValueError("the recordings have no label; expected some that are to be corrected")


def _num_rough(recording: Recording) -> int:
  """Labels whose times are to be corrected."""
  rough = (name for name in recording.events if name not in recording.exact and recording.is_labelled(name))
  return sum(len(recording.times_s(name)) for name in rough)


def _check_labelled(recordings: Sequence[Recording]) -> None:
  labelled = [one.id for one in recordings if one.has_labels]
  if len(labelled) < 2:
    raise ValueError(
      f"only {', '.join(labelled)} has labels; expected two recordings or more that do: a network that judges"
      f" labels has learned from others"
    )


def _warn_of_rare_classes(recordings: Sequence[Recording], classes: Sequence[str]) -> None:
  """Says which classes no network can learn that judges them."""
  for name in classes:
    have = [one.id for one in recordings if len(one.times_s(name)) or one.counted.get(name)]
    if len(have) == 1:
      logging.warning(
        "only %s has labels of %s: the network that judges them has learned none", have[0], name
      )


def _possible_folds(num_folds: int, num_recordings: int) -> int:
  """As many as asked for, or one for each recording where they are fewer; says so."""
  if num_folds > num_recordings:
    logging.warning("%d folds of %d recordings: one for each, %d", num_folds, num_recordings, num_recordings)
  return min(num_folds, num_recordings)


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
  sizes = [sum(map(_num_rough, part)) for part in parts]
  judged = int(np.argmax(sizes))
  held_out = cross_fitting.held_out_probabilities(pilot, parts, workdir, only=[judged])
  # A network that has just begun reaches far in time; no part of the noise is to be taken for that.
  tracks = {
    key: one._replace(spread_s=np.zeros_like(one.spread_s))
    for key, one in label_tracks.beside_detections(config, held_out, parts[judged], tolerance_s).items()
  }
  models = label_tracks.fit_models(tracks, 2 * guess_s, common_offset=False, shared=config.decode.shared)
  crowded = {
    name
    for name, model in models.items()
    if label_model.is_crowded(model, [track for (_, own), track in tracks.items() if own == name])
  }
  # Noise that came out too small is no better than the guess.
  noises_s = [max(one.noise_s, guess_s) if name in crowded else one.noise_s for name, one in models.items()]
  noise_s = float(np.median(noises_s or [guess_s]))
  # No sharper than a frame: the labels are rounded to frames.
  softness_s = round(max(noise_s, 1 / held_out.network.extractor.frame_rate_hz), 3)
  logging.info("labels are off by %.0f ms (standard deviation)", 1000 * noise_s)
  return softness_s
