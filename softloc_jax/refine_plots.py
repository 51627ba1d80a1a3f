"""Figures of refined labels: how far they were moved, and stretches of recordings before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softloc_jax import plots
from softloc_jax.corrections import Correction
from softloc_jax.data import count_tables
from softloc_jax.data.recording import CountedWindow
from softloc_jax.refine import Refined

COLORS = {
  "confirmed": "#1b9e77",
  "moved": plots.ESTIMATE,
  "placed": plots.ESTIMATE,
  "doubtful": "#b8860b",
  "probably extra": "#c51b7d",
  "probably missing": "#7570b3",
}
_SPAN_S = 6.0
_MOST_ROWS = 12


def shift_figure(refined: Refined):
  """How far labels were moved, in milliseconds; beside it the noise that was estimated."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 3), layout="constrained")
  axis = figure.subplots()
  shifts_ms = 1000 * np.array([one.shift_s for one in refined.corrections if np.isfinite(one.shift_s)])
  noise_ms = 1000 * float(np.median([model.noise_s for model in refined.models.values()]))
  edge = max(float(np.quantile(np.abs(shifts_ms), 0.995)), 1.0) if len(shifts_ms) else 1.0
  bins = np.linspace(-edge, edge, 61)
  axis.hist(shifts_ms, bins, color=plots.ESTIMATE, alpha=0.7)
  beyond = int((np.abs(shifts_ms) > edge).sum())
  axis.set(
    xlabel=f"event after refinement - label before [ms]{f'; {beyond} beyond' if beyond else ''}",
    ylabel="labels",
  )
  axis.set_title(f"estimated noise of the labels: {noise_ms:.0f} ms (standard deviation)", loc="left")
  return figure


def reliability_figure(refined: Refined):
  """How often detections of a confidence have a label, as the labels themselves say."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(4, 3), layout="constrained")
  axis = figure.subplots()
  seen = {}
  for name, model in refined.models.items():
    seen.setdefault(id(model), (model, []))[1].append(name)
  for model, names in seen.values():
    label = names[0] if len(names) == 1 else f"{len(names)} classes" if len(names) > 3 else ", ".join(names)
    axis.plot(model.knots, model.reliability, marker=".", label=label)
  axis.plot([0, 1], [0, 1], color="0.7", lw=0.8)
  axis.set(xlabel="probability that the network gives", ylabel="share with a label", xlim=(0, 1), ylim=(0, 1))
  axis.legend(fontsize="small")
  return plots.without_math(figure)


def before_after_figure(refined: Refined, recording_id: str):
  """The stretch of a recording with the most suspicious labels: old ones above, new ones below."""
  from matplotlib.figure import Figure

  (recording,) = (one for one in refined.recordings if one.id == recording_id)
  own = refined.by_recording[recording_id]
  start_s = _worst_stretch(own, recording.duration_s)
  stop_s = min(start_s + _SPAN_S, recording.duration_s)
  shown = [one for one in own if start_s <= one.new_s <= stop_s or start_s <= one.old_s <= stop_s]
  network = refined.held_out.network
  present = {one.label for one in shown}
  names = [name for name in network.classes if name in present] or list(network.classes[:1])
  rows = min(len(names), _MOST_ROWS)
  figure = Figure(figsize=(10, 2.2 + 0.55 * rows), layout="constrained")
  axes = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, max(0.55 * rows, 1)])
  plots.draw_signal(axes[0], recording, network.extractor, start_s, stop_s)
  probs = refined.held_out.probs[recording_id]
  frames_s = np.arange(len(probs)) / network.extractor.frame_rate_hz
  inside = (frames_s >= start_s) & (frames_s <= stop_s)
  for row, name in enumerate(names):
    column = probs[inside, network.classes.index(name)]
    axes[1].fill_between(frames_s[inside], row, row + 0.5 * column, color="0.6", lw=0, step="mid")
  drawn: dict[str, object] = {}
  for row, name in enumerate(names):
    _draw_counts(axes[1], recording.counted.get(name, ()), row, start_s, stop_s)
  for one in shown:
    _draw_correction(axes[1], one, names.index(one.label), drawn)
  axes[1].set_yticks(range(len(names)), names)
  axes[1].set(xlabel="time [s]", xlim=(start_s, stop_s), ylim=(-0.25, len(names)))
  order = [name for name in ("label before", *COLORS) if name in drawn]
  figure.legend([drawn[name] for name in order], order, loc="outside upper right", ncols=6, fontsize="small")
  return plots.without_math(figure)


def _draw_counts(axis, windows: Sequence[CountedWindow], row: int, start_s: float, stop_s: float) -> None:
  """Windows that were counted, with their numbers."""
  for one in windows:
    first_s, last_s = max(one.start_s, start_s), min(one.end_s, stop_s)
    if first_s >= last_s:
      continue
    axis.plot([one.start_s, one.end_s], [row + 0.75] * 2, "|-", color=plots.REFERENCE, lw=1, ms=8)
    text = count_tables.format_count(one.low, one.high)
    style = {"ha": "center", "va": "center", "fontsize": "small", "color": plots.REFERENCE}
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    axis.text((first_s + last_s) / 2, row + 0.75, text, bbox=box, **style)


def _draw_correction(axis, one: Correction, row: int, drawn: dict[str, object]) -> None:
  """A label before (above), the event after (below), and a line from one to the other."""
  color = COLORS[one.status]
  if np.isfinite(one.old_s):
    axis.plot([one.old_s, one.new_s], [row + 0.75, row], color=color, lw=1)
    drawn["label before"] = axis.plot(one.old_s, row + 0.75, "D", color=plots.REFERENCE, ms=4, ls="")[0]
  size = 4 + 3 * one.confidence
  drawn[one.status] = axis.plot(one.new_s, row, "v", color=color, ms=size, ls="")[0]


def _worst_stretch(own: Sequence[Correction], duration_s: float) -> float:
  """Where the stretch begins that holds most of what is doubtful, then moved furthest."""
  if duration_s <= _SPAN_S or not own:
    return 0.0
  starts_s = np.arange(0, duration_s - _SPAN_S / 2, _SPAN_S / 2)
  worth = np.zeros(len(starts_s))
  for one in own:
    inside = (one.new_s >= starts_s) & (one.new_s < starts_s + _SPAN_S)
    worth[inside] += one.suspicion + (one.status == "moved") * 0.2
  return float(min(starts_s[np.argmax(worth)], duration_s - _SPAN_S))
