"""What becomes of labels: times that are moved, counted events that are placed, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from softloc_jax import cross_fitting, label_model, mixed_labels, placing
from softloc_jax.data.recording import Recording

STATUSES = ("confirmed", "moved", "placed", "doubtful", "probably extra", "probably missing")

_SUREST = 0.995  # even the surest detection may be none: labels cannot tell that from their own gaps
# Networks err in ways that labels do not show: times have heavier tails than a normal law, and what sounds
# like an event may be another's. On real piano and heart beats 1 to 4 % of the surest places were wrong.
_SUREST_PLACE = 0.98


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


def moved(
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


def placed(config: Any, held_out: cross_fitting.HeldOut, recordings: Sequence[Recording]) -> list[Correction]:
  """The events of windows that were counted.

  Raises:
    ValueError: a window with more events than frames, or of less than a frame.
  """
  network, found = held_out.network, {}
  rate_hz = network.extractor.frame_rate_hz
  for one in recordings:
    probs = held_out.probs[one.id]
    for name in mixed_labels.counted_frames(one, network.classes, len(probs), rate_hz):
      found[one.id, name] = placing.candidates(
        probs[:, network.classes.index(name)],
        one.counted[name],
        frame_rate_hz=rate_hz,
        suppression_s=config.decode.suppression_s,
      )
  corrections = []
  for name in sorted({name for _, name in found}):
    own = {recording: one for (recording, of_class), one in found.items() if of_class == name}
    scales = placing.fit_scales(list(own.values()))
    for (recording, one), bias in zip(own.items(), scales.biases, strict=True):
      for new_s, posterior in zip(*placing.place(one, weight=scales.weight, bias=bias), strict=True):
        sure = float(_SUREST_PLACE * posterior)
        status = "placed" if sure >= 0.5 else "doubtful"
        corrections.append(Correction(recording, name, np.nan, float(new_s), sure, status))
  return corrections


def kept(recordings: Sequence[Recording]) -> list[Correction]:
  """Exact times, as they are."""
  return [
    Correction(one.id, name, float(time_s), float(time_s), 1.0, "confirmed")
    for one in recordings
    for name in sorted(one.exact)
    for time_s in one.times_s(name)
  ]
