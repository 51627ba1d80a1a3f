"""Pictures of scenes and of what was found in them (as L Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os

import numpy as np

from softloc_jax import plots
from softloc_jax.scene_scores import Objects


def save_scenes(
  path: str | os.PathLike,
  canvases: Sequence[np.ndarray],
  found: Sequence[Objects],
  true: Sequence[Objects],
  *,
  side: float,
  num_columns: int = 4,
) -> None:
  """Draws scenes with a box of what was found, and a cross where a thing truly is.

  Args:
    path: picture file.
    canvases: pictures, `[height, width]` each.
    found: of each scene.
    true: of each scene.
    side: of a box, in pixels.
    num_columns: scenes in a row.
  """
  from matplotlib.figure import Figure

  num_rows = -(-len(canvases) // num_columns)
  figure = Figure(figsize=(2.2 * num_columns, 2.3 * num_rows), layout="constrained")
  for number, (canvas, boxes, things) in enumerate(zip(canvases, found, true, strict=True)):
    axis = figure.add_subplot(num_rows, num_columns, number + 1)
    axis.imshow(canvas, cmap="gray_r", vmin=0, vmax=1)
    axis.set_xlim(-0.5, canvas.shape[1] - 0.5)
    axis.set_ylim(canvas.shape[0] - 0.5, -0.5)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.plot(things.centres[:, 1], things.centres[:, 0], "+", color=plots.REFERENCE, markersize=6)
    for (row, column), label in zip(boxes.centres, boxes.labels, strict=True):
      corner_x, corner_y = column - side / 2, row - side / 2
      axis.add_patch(_box(corner_x, corner_y, side))
      axis.text(corner_x + 1, corner_y + 1, str(label), color=plots.ESTIMATE, fontsize=8, va="top")
  plots.save(plots.without_math(figure), path)


def _box(x: float, y: float, side: float):
  from matplotlib.patches import Rectangle

  return Rectangle((x, y), side, side, fill=False, edgecolor=plots.ESTIMATE, linewidth=1)


def save_embeddings(path: str | os.PathLike, panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
  """Draws things as points in the plane, side by side, in the colour of their label.

  Args:
    path: picture file.
    panels: title -> places `[n, 2]` and labels `[n]`.
  """
  from matplotlib import colormaps
  from matplotlib.figure import Figure

  figure = Figure(figsize=(4.6 * len(panels), 4.6), layout="constrained")
  for axis, (title, (places, labels)) in zip(
    figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
  ):
    for number, label in enumerate(np.unique(labels)):
      some = places[labels == label]
      color = colormaps["tab10"](number % 10)
      axis.scatter(*some.T, s=6, color=color)
      # Where its points are densest: the middle of a label in several pieces would be none of them.
      apart = np.linalg.norm(some[:, None] - some, axis=-1)
      densest = some[np.median(apart, axis=1).argmin()]
      axis.text(*densest, str(label), fontsize=12, weight="bold", ha="center", va="center")
    axis.set(title=title, xticks=(), yticks=())
  plots.save(plots.without_math(figure), path)
