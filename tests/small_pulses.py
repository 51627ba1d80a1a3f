"""Recordings of pulses in noise with labels near them: a task that networks learn in seconds."""

import numpy as np

from softloc_jax.data import count_tables
from softloc_jax.data.recording import CountedWindow, Recording

RATE_HZ = 50.0


def pulses(number, *, noise_s=0.0, offset_s=0.0, duration_s=40.0, classes=("pulse",), seed=0):
  """A recording (one channel per class) with labels off by noise, and its true events."""
  rng = np.random.default_rng((seed, number))
  times = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
  signal = 0.1 * rng.normal(size=(len(times), len(classes)))
  truth, labels = {}, {}
  for column, name in enumerate(classes):
    gaps_s = rng.uniform(0.5, 1.2, round(2 * duration_s))
    events_s = 1 + np.cumsum(gaps_s)
    events_s = events_s[events_s < duration_s - 1]
    signal[:, column] += np.exp(-0.5 * ((times[:, None] - events_s) / 0.04) ** 2).sum(1)
    truth[name] = events_s
    labels[name] = np.sort(
      np.clip(events_s + offset_s + rng.normal(0, noise_s, len(events_s)), 0, duration_s)
    )
  signal = (signal[:, 0] if len(classes) == 1 else signal).astype(np.float32)
  return Recording(f"take{number}", signal, RATE_HZ, labels), truth


def counted(recording, truth, *, window_s=2.0, spread=0):
  """The recording with counts in the place of times; `spread` more and fewer are as possible."""
  borders_s = np.append(np.arange(0.0, recording.duration_s, window_s), recording.duration_s)
  windows = {
    name: [
      CountedWindow(start_s, stop_s, max(int(count) - spread, 0), int(count) + spread)
      for start_s, stop_s, count in zip(
        borders_s[:-1], borders_s[1:], np.histogram(events_s, borders_s)[0], strict=True
      )
    ]
    for name, events_s in truth.items()
  }
  nothing = {name: np.zeros(0) for name in truth}
  return recording.replace(events=nothing, labelled=dict.fromkeys(truth, False), counted=windows)


def write(folder, recording):
  """A recording as files that `data.folder` reads."""
  folder.mkdir(parents=True, exist_ok=True)
  np.savez(folder / f"{recording.id}.npz", signal=recording.signal, sample_rate=recording.sample_rate_hz)
  rows = [f"{time_s:.6f},{name}" for name, times in recording.events.items() for time_s in times]
  header = "time,label"
  if recording.counted:
    header = ",".join(count_tables.HEADER)
    rows = [
      f"{one.start_s:.6f},{one.end_s:.6f},{name},{count_tables.format_count(one.low, one.high)}"
      for name, windows in recording.counted.items()
      for one in windows
    ]
  (folder / f"{recording.id}.csv").write_text("\n".join([header, *rows]) + "\n")
