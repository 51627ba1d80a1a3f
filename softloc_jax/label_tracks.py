"""Labels with times beside what was heard in their recordings, and models of how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools
from typing import Any

import numpy as np

from softloc_jax import cross_fitting, evaluation, label_model
from softloc_jax.data.recording import Recording

# Everything that could be an event: what it is worth, the labels say.
_LEAST_CONFIDENCE = 0.02
# Classes with fewer labels share one model of their labels.
_FEW_LABELS = 100

Tracks = dict[tuple[str, str], label_model.Track]  # (recording, class) -> its labels and detections


def beside_detections(
  config: Any, held_out: cross_fitting.HeldOut, recordings: Sequence[Recording], tolerance_s: float
) -> Tracks:
  """Times beside what was heard, by recording and class; of those that are roughly right only."""
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
      if name in annotated and one.is_labelled(name) and name not in one.exact:
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


def fit_models(
  tracks: Tracks, noise_s: float, common_offset: bool, shared: bool
) -> dict[str, label_model.LabelModel]:
  """Of each class; one for all that have few labels, or for all classes of one kind, such as pitches.

  Args:
    tracks: of recordings and classes; some may be without labels, as where a file says "no event".
    noise_s: where the estimates of the noise begin.
    common_offset: whether all recordings have the same offset.
    shared: whether the classes are of one kind.

  Returns:
    Class -> its model; none where there is no label at all, as nothing says then how labels come about.

  Raises:
    ValueError: as `label_model.fit`.
  """
  if not any(len(track.labels_s) for track in tracks.values()):
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
