"""Pictures of videos: the frames where events are, and how sure a network was frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os

import numpy as np

from softloc_jax import plots


def save_moments(
  path: str | os.PathLike,
  frames: np.ndarray,
  moments: Mapping[str, np.ndarray],
  confidence: Mapping[str, np.ndarray] | None = None,
  *,
  num_columns: int = 4,
) -> None:
  """A contact sheet: the frame of every event, under its name, number and confidence.

  Args:
    path: picture file.
    frames: uint8 `[T, height, width, 3]`.
    moments: class -> frames of its events, each between 0 and T - 1.
    confidence: class -> confidence of its events; None leaves it out.
    num_columns: pictures in a row.
  """
  from matplotlib.figure import Figure

  shown = [(name, n, float(at)) for name, found in moments.items() for n, at in enumerate(found)]
  num_rows = max(-(-len(shown) // num_columns), 1)
  figure = Figure(figsize=(2.2 * num_columns, 2.5 * num_rows), layout="constrained")
  for place, (name, n, at) in enumerate(shown):
    axis = figure.add_subplot(num_rows, num_columns, place + 1)
    axis.imshow(frames[round(at)])
    axis.set_axis_off()
    sure = f", {confidence[name][n]:.2f}" if confidence else ""
    axis.set_title(f"{name}\nframe {at:g}{sure}", fontsize=9)
  if not shown:
    figure.suptitle("no events")
  plots.save(plots.without_math(figure), path)


def draw_curves(
  axis, probs: np.ndarray, classes: Sequence[str], true: Mapping[str, np.ndarray], *, start: int, stop: int
) -> None:
  """How probable each event is in each frame, each curve over its own highest value, with the true frames.

  Args:
    axis: of matplotlib.
    probs: `[T, C]`.
    classes: order of the class axis.
    true: class -> frames of its events, drawn as dashed lines.
    start: first frame shown.
    stop: the frame after the last one.
  """
  from matplotlib import colormaps

  frames = np.arange(start, min(stop, len(probs)))
  for number, name in enumerate(classes):
    color = colormaps["tab10"](number)
    curve = probs[frames, number]
    axis.fill_between(frames, curve / max(curve.max(), 1e-9), color=color, alpha=0.5, lw=0, label=name)
    for at in true.get(name, ()):
      axis.axvline(at, color=color, ls="--", lw=1)
  axis.set(xlim=(start, stop - 1), ylim=(0, 1.05), yticks=())
