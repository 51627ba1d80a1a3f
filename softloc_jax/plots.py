"""Figures: a recording with its events and what a network says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import pathlib

import numpy as np

from softloc_jax import features, input_pipeline, mel
from softloc_jax.data.recording import Recording

# Told apart by colour, by shape and by height: probabilities up to 1, then estimates, then the reference.
REFERENCE, ESTIMATE, PROBABILITY = "#d95f02", "#1b6ca8", "0.45"

# With more classes than this, events are drawn on one roll.
_MOST_ROWS = 12


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

  Of many classes, such as pitches, there is one roll with a row for each.

  Args:
    recording: events it has are drawn as reference; it may have none.
    extractor: spectrogram settings, or that there is none.
    probs: event probabilities of the frames, `[T, C]`.
    estimates: class name -> times in seconds.
    classes: order of the class axis.
    start_s: where the stretch begins.
    length_s: how long it is; less at the end of the recording.

  Returns:
    A matplotlib figure.

  Raises:
    ValueError: a stretch outside the recording.
  """
  from matplotlib.figure import Figure

  if not (0 <= start_s < recording.duration_s and length_s > 0):
    raise ValueError(
      f"recording {recording.id!r}: start_s is {start_s} and length_s {length_s}; expected a stretch of its"
      f" {recording.duration_s:.3f} s"
    )
  stop_s = min(start_s + length_s, recording.duration_s)
  if len(classes) > _MOST_ROWS:
    return _roll_figure(recording, extractor, probs, estimates, classes, start_s, stop_s)
  figure = Figure(figsize=(10, 2.3 + 1.1 * len(classes)), layout="constrained")
  axes = figure.subplots(len(classes) + 1, 1, sharex=True, height_ratios=[1.6] + [1.0] * len(classes))
  axes[0].set_title(recording.id, loc="left")
  draw_signal(axes[0], recording, extractor, start_s, stop_s)
  for axis, name, column in zip(axes[1:], classes, np.asarray(probs).T, strict=True):
    if recording.is_labelled(name) and name in recording.events:
      times_s = recording.times_s(name)
      axis.vlines(times_s, 0, 1.45, color=REFERENCE, lw=0.8, alpha=0.5)
      axis.plot(times_s, np.full(len(times_s), 1.45), "D", color=REFERENCE, ms=4, label="reference")
    times_s = np.asarray(estimates.get(name, ()))
    axis.plot(times_s, np.full(len(times_s), 1.18), "v", color=ESTIMATE, ms=5, label="estimate")
    frames_s = np.arange(len(column)) / extractor.frame_rate_hz
    axis.fill_between(frames_s, column, color=PROBABILITY, lw=0.6, step="mid", label="probability")
    axis.set(ylabel=name, ylim=(0, 1.65), yticks=(0, 1))
  handles = {
    label: handle
    for axis in axes[1:]
    for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
  }
  figure.legend(handles.values(), handles, loc="outside upper right", ncols=len(handles), fontsize="small")
  axes[-1].set(xlabel="time [s]", xlim=(start_s, stop_s))
  return without_math(figure)


def _roll_figure(recording, extractor, probs, estimates, classes, start_s: float, stop_s: float):
  """`recording_figure` of many classes."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(10, 7.5), layout="constrained")
  axes = figure.subplots(2, 1, sharex=True, height_ratios=[1.0, 2.2])
  axes[0].set_title(recording.id, loc="left")
  draw_signal(axes[0], recording, extractor, start_s, stop_s)
  references = {name: recording.times_s(name) for name in classes if recording.is_labelled(name)}
  draw_roll(
    axes[1],
    references,
    estimates,
    classes,
    probs=probs,
    frame_rate_hz=extractor.frame_rate_hz,
    start_s=start_s,
    stop_s=stop_s,
  )
  figure.legend(*axes[1].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize="small")
  axes[1].set(xlabel="time [s]", xlim=(start_s, stop_s))
  return without_math(figure)


def draw_roll(
  axis,
  references: Mapping[str, np.ndarray],
  estimates: Mapping[str, np.ndarray],
  classes: Sequence[str],
  *,
  start_s: float,
  stop_s: float,
  probs: np.ndarray | None = None,
  frame_rate_hz: float = 1.0,
) -> None:
  """Events of many classes, a row for each: true ones as rings, estimates as dots, probabilities as grey.

  Args:
    axis: of matplotlib.
    references: class name -> true times in seconds.
    estimates: class name -> detected times in seconds.
    classes: rows, from below.
    start_s: where the stretch begins.
    stop_s: where it ends.
    probs: `[T, C]`; None draws events only.
    frame_rate_hz: of the probabilities.
  """
  if probs is not None:
    first, stop = int(start_s * frame_rate_hz), int(np.ceil(stop_s * frame_rate_hz)) + 1
    shown = np.asarray(probs)[first:stop].T
    extent = (
      (first - 0.5) / frame_rate_hz,
      (first + shown.shape[1] - 0.5) / frame_rate_hz,
      -0.5,
      len(classes) - 0.5,
    )
    axis.imshow(shown, origin="lower", aspect="auto", cmap="Greys", vmin=0, vmax=1, extent=extent)
  marks = {"mfc": "none", "mec": REFERENCE, "ms": 7, "mew": 1.2}
  _draw_rows(axis, references, classes, start_s, stop_s, "o", "reference", **marks)
  _draw_rows(axis, estimates, classes, start_s, stop_s, ".", "estimate", color=ESTIMATE, ms=4)
  rows = range(0, len(classes), 12)
  axis.set_yticks(rows, [classes[row] for row in rows])
  axis.set(ylabel="class", ylim=(-0.5, len(classes) - 0.5), xlim=(start_s, stop_s))
  without_math(axis)


def _draw_rows(
  axis, times_s: Mapping, classes, start_s: float, stop_s: float, marker: str, label: str, **style
):
  points = [
    (time_s, row)
    for row, name in enumerate(classes)
    for time_s in times_s.get(name, ())
    if start_s <= time_s <= stop_s
  ]
  points = np.array(points, dtype=np.float64).reshape(-1, 2)
  axis.plot(points[:, 0], points[:, 1], marker, label=label, **style)


def without_math(artist):
  """Shows every text of a figure or axis as it is: a `$` in a file's or class's name begins no formula.

  Returns:
    The artist, whose texts, among them legends and labels of ticks, have to be there by then.
  """
  from matplotlib.text import Text

  for text in artist.findobj(Text):
    text.set_parse_math(False)
  return artist


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


def draw_signal(axis, recording: Recording, extractor, start_s: float, stop_s: float) -> None:
  """A stretch of a recording as the network gets it: its spectrogram, or the signal itself."""
  rate_hz = recording.sample_rate_hz
  if isinstance(extractor, mel.MelBands):
    _draw_spectrogram(axis, recording, extractor, start_s, stop_s)
    return
  samples = np.arange(int(start_s * rate_hz), min(int(np.ceil(stop_s * rate_hz)) + 1, len(recording.signal)))
  color = "0.2" if recording.signal.ndim == 1 or recording.signal.shape[1] == 1 else None
  axis.plot(samples / rate_hz, recording.signal[samples], color=color, lw=0.8)
  axis.set(ylabel="signal")


def _draw_spectrogram(
  axis, recording: Recording, extractor: mel.MelBands, start_s: float, stop_s: float
) -> None:
  """Mel levels of every frame, each column as wide as a hop and centred on its frame."""
  rate_hz = extractor.frame_rate_hz
  first, stop = int(start_s * rate_hz), int(np.ceil(stop_s * rate_hz)) + 1
  half = extractor.window_samples // 2
  cut = input_pipeline.cut_signal(
    recording.signal,
    first * extractor.hop_samples - half,
    (stop - first - 1) * extractor.hop_samples + 2 * half,
  )
  level = np.asarray(extractor.decibels(cut[:, 0])).T
  extent = ((first - 0.5) / rate_hz, (stop - 0.5) / rate_hz, -0.5, len(level) - 0.5)
  axis.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=level.max() - 70, extent=extent)
  centres_hz = extractor.band_hz
  shown_hz = [
    hz for hz in (100, 500, 1_000, 2_000, 4_000, 8_000, 16_000) if centres_hz[0] <= hz <= centres_hz[-1]
  ]
  axis.set_yticks(
    np.interp(shown_hz, centres_hz, np.arange(len(centres_hz))), [f"{hz / 1000:g}" for hz in shown_hz]
  )
  axis.set(ylabel="mel band [kHz]")
