"""Kick drum, snare drum and hi-hat from the labels that a data set uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
import logging

import numpy as np

from softloc_jax.data import signal_files
from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording, validate

CLASSES = ("KD", "SD", "HH")

# Annotators place a hit that opens or ends a recording by eye: some lie just outside it.
EDGE_S = 0.05

_log = logging.getLogger(__name__)


def recording(
  item: Item,
  hits: Iterable[tuple[float, str]],
  class_of: Mapping[str, str],
  ignored: Collection[str] = (),
) -> Recording:
  """A recording of the three drums.

  Args:
    item: what to read the signal of; the channels are averaged.
    hits: time in seconds and label of every annotated hit, in any order.
    class_of: label -> class. Labels that are in neither `class_of` nor `ignored` are reported by one
      warning and left out.
    ignored: labels that are left out by design.

  Returns:
    Signal at its own rate, and an entry for each of `CLASSES`, empty where the drum is not played. Hits up
    to 50 ms outside the recording are moved to its edge, reported by a warning.

  Raises:
    ValueError: an unreadable signal, or a hit further outside the recording.
  """
  signal, rate_hz = signal_files.read_signal(item.signal_path)
  times: dict[str, list[float]] = {name: [] for name in CLASSES}
  unknown: Counter[str] = Counter()
  for time_s, label in hits:
    if label in class_of:
      times[class_of[label]].append(time_s)
    elif label not in ignored:
      unknown[label] += 1
  if unknown:
    counts = ", ".join(f"{label!r} ({count})" for label, count in sorted(unknown.items()))
    _log.warning(
      "%s: left out %d hits with unknown labels: %s", item.label_path, sum(unknown.values()), counts
    )
  events = {name: _within(item, np.sort(times[name]), len(signal) / rate_hz) for name in CLASSES}
  result = Recording(item.id, signal, rate_hz, events)
  try:
    validate(result, CLASSES)
  except ValueError as error:
    raise ValueError(f"{item.label_path}: {error}") from error
  return result


def _within(item: Item, times_s: np.ndarray, duration_s: float) -> np.ndarray:
  """Times just outside the recording are moved to its edge; others are left for `validate`."""
  inside_s = np.clip(times_s, 0, duration_s)
  moved = (inside_s != times_s) & (np.abs(inside_s - times_s) <= EDGE_S)
  if moved.any():
    _log.warning(
      "%s: moved %d hits to the edge of the recording (0 to %.4f s), the first from %.4f s",
      item.label_path,
      moved.sum(),
      duration_s,
      times_s[moved][0],
    )
  return np.where(moved, inside_s, times_s).astype(np.float64)
