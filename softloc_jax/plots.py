"""Figures: a recording with its events and what a network says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import pathlib

import numpy as np

from softloc_jax import features
from softloc_jax.data.recording import Recording

REFERENCE, ESTIMATE = "#d95f02", "#1b6ca8"


def recording_figure(
  recording: Recording,
  extractor: features.FeatureExtractor,
  probs: np.ndarray,
  estimates: Mapping[str, np.ndarray],
  classes: Sequence[str],
  *,
  start_s: float = 0.0,
  length_s: float = 6.0,
):
  """A stretch of a recording: its spectrogram or signal, then per class probabilities and events.

  Args:
    recording: events it has are drawn as reference; it may have none.
    extractor: spectrogram settings, or that there is none.
    probs: event probabilities of the frames, `[T, C]`.
    estimates: class name -> times in seconds.
    classes: order of the class axis.
    start_s: where the stretch begins.
    length_s: how long it is.

  Returns:
    A matplotlib figure.
  """
  from matplotlib.figure import Figure

  stop_s = min(start_s + length_s, recording.duration_s)
  figure = Figure(figsize=(10, 2.2 + 1.1 * len(classes)), layout="constrained")
  axes = figure.subplots(
    len(classes) + 1, 1, sharex=True, squeeze=False, height_ratios=[1.6] + [1.0] * len(classes)
  )[:, 0]
  _draw_signal(axes[0], recording, extractor, start_s, stop_s)
  axes[0].set_title(recording.id)
  rate_hz = extractor.frame_rate_hz
  frames = np.arange(int(start_s * rate_hz), min(int(np.ceil(stop_s * rate_hz)) + 1, len(probs)))
  for column, (axis, name) in enumerate(zip(axes[1:], classes, strict=True)):
    _draw_events(axis, recording.times_s(name), "reference", REFERENCE, 0.55, 1.08)
    _draw_events(axis, estimates.get(name, ()), "estimate", ESTIMATE, -0.08, 0.45)
    axis.fill_between(frames / rate_hz, probs[frames, column], color="0.35", lw=0, step="mid", label="probability")
    axis.set(ylabel=name, ylim=(-0.1, 1.1), yticks=(0, 1))
  axes[1].legend(loc="upper right", ncols=3, fontsize="x-small")
  axes[-1].set(xlabel="time [s]", xlim=(start_s, stop_s))
  return figure


def save_recording(path: str | os.PathLike, *args, **kwargs) -> None:
  """Writes `recording_figure(...)` to a PNG, whole or not at all."""
  save(recording_figure(*args, **kwargs), path)


def save(figure, path: str | os.PathLike) -> None:
  """Writes a figure to a temporary name and renames it."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.name}.tmp")
  figure.savefig(temporary, dpi=120, format=path.suffix.lstrip("."))
  os.replace(temporary, path)


def _draw_signal(axis, recording: Recording, extractor, start_s: float, stop_s: float) -> None:
  rate_hz = recording.sample_rate_hz
  signal = recording.signal[int(start_s * rate_hz) : int(stop_s * rate_hz)]
  if isinstance(extractor, features.LogMel):
    # One column per hop, centred on its frame as the network sees it.
    half = extractor.window_samples // 2
    level = np.asarray(extractor.decibels(np.pad(signal, half).astype(np.float32))).T
    axis.imshow(
      level,
      origin="lower",
      aspect="auto",
      cmap="magma",
      vmin=level.max() - 70,
      extent=(start_s, start_s + level.shape[1] / extractor.frame_rate_hz, 0, len(level)),
    )
    axis.set(ylabel="mel band")
    return
  axis.plot(start_s + np.arange(len(signal)) / rate_hz, signal, color="0.2", lw=0.8)
  axis.set(ylabel="signal")


def _draw_events(axis, times_s, label: str, color: str, low: float, high: float) -> None:
  axis.vlines(np.asarray(times_s), low, high, color=color, lw=1.4, label=label)
