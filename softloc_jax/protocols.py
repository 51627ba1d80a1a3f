"""Scoring protocols of single benchmarks: notes of piano pieces (MAPS) and golf swings (GolfDB).

`metrics` offers them too.
"""

from __future__ import annotations

import numpy as np

from softloc_jax.matching import check_times, precision_recall_f1, time_errors_ms

GOLF_EVENTS = (
  "address",
  "toe-up",
  "mid-backswing",
  "top",
  "mid-downswing",
  "impact",
  "mid-follow-through",
  "finish",
)


def note_scores(
  reference, reference_midi, estimate, estimate_midi, *, window_s: float = 0.05
) -> dict[str, float]:
  """Onset-only note scores of one piece, as `mir_eval.transcription` computes them.

  A note is right if its pitch is (within half a semitone) and its onset lies within the tolerance.

  Args:
    reference: true onsets in seconds, `[R]`, in any order.
    reference_midi: their pitches as MIDI numbers, `[R]`.
    estimate: detected onsets in seconds, `[E]`.
    estimate_midi: their pitches as MIDI numbers, `[E]`.
    window_s: tolerance in seconds.

  Returns:
    The keys of `onset_scores`.

  Raises:
    ValueError: onsets or pitches that are negative or not finite, or not as many of one as of the other.

  References:
    Hawthorne et al. Onsets and frames. ISMIR 2018. Section 4.

  >>> note_scores([1.0, 1.0], [60, 64], [1.02, 1.0], [60, 65])["f1"]
  0.5
  """
  from mir_eval import transcription

  def notes(name, onsets_s, midi):
    onsets_s, midi = np.asarray(onsets_s, dtype=np.float64), np.asarray(midi, dtype=np.float64)
    check_times(name, np.sort(onsets_s))
    if midi.shape != onsets_s.shape or not ((midi >= 0) & (midi < np.inf)).all():
      raise ValueError(f"{name}_midi is {midi}; expected {len(onsets_s)} MIDI numbers, 0 or more")
    # Offsets take no part; every note lasts a second.
    return np.stack([onsets_s, onsets_s + 1], axis=1), 440 * 2 ** ((midi - 69) / 12)

  ref, ref_hz = notes("reference", reference, reference_midi)
  est, est_hz = notes("estimate", estimate, estimate_midi)
  matching = []
  if len(ref) and len(est):
    matching = transcription.match_notes(
      ref, ref_hz, est, est_hz, onset_tolerance=window_s, offset_ratio=None
    )
  counts = {"num_reference": len(ref), "num_estimate": len(est), "num_matched": len(matching)}
  errors_s = [est[e, 0] - ref[r, 0] for r, e in matching]
  return {**precision_recall_f1(**counts), **counts, **time_errors_ms(errors_s)}


def golf_pce(frames, events) -> dict[str, float]:
  """Percentage of correct events (PCE) of golf swings, as a fraction.

  An event is right within `max(round((impact - address) / 30), 1)` frames: the tolerance grows with the
  frame rate and with slow motion.

  Args:
    frames: detected frame of each event, `[N, 8]`: `argmax` of its class over the clip.
    events: true frames, `[N, 8]`, in the order of `GOLF_EVENTS`.

  Returns:
    `pce`, the mean over clips and events, and `pce/<event>`.

  Raises:
    ValueError: no clips, unequal shapes, values that are not finite, or an impact before its address.

  References:
    McNally et al. GolfDB: a video database for golf swing sequencing. CVPR Workshops 2019. Section 4.

  >>> events = [[0, 10, 20, 30, 40, 60, 70, 90]]  # tolerance: 60 / 30 = 2 frames
  >>> golf_pce([[2, 10, 20, 30, 40, 60, 70, 93]], events)["pce"]
  0.875
  """
  frames, events = np.asarray(frames, dtype=np.float64), np.asarray(events, dtype=np.float64)
  if not len(events) or events.shape != (len(events), len(GOLF_EVENTS)) or frames.shape != events.shape:
    raise ValueError(
      f"frames have shape {frames.shape} and events {events.shape}; expected [N, 8], N above 0"
    )
  if not (np.isfinite(frames).all() and np.isfinite(events).all()):
    raise ValueError("frames or events hold NaN or infinity; expected frame numbers")
  swing_frames = events[:, GOLF_EVENTS.index("impact")] - events[:, GOLF_EVENTS.index("address")]
  if (swing_frames < 0).any():
    raise ValueError(f"clip {int(np.argmax(swing_frames < 0))}: the impact comes before the address")
  tolerance_frames = np.maximum(np.round(swing_frames / 30), 1)
  correct = np.abs(frames - events) <= tolerance_frames[:, None]
  by_event = {f"pce/{name}": float(value) for name, value in zip(GOLF_EVENTS, correct.mean(0), strict=True)}
  return {"pce": float(correct.mean()), **by_event}
