"""The papers' theory in one figure: what counting and smoothing make of scattered and moved predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools

import jax
import numpy as np

from softloc_jax import losses, poisson_binomial, smoothing

# Softness and event of the loss panels, in frames.
SOFTNESS, EVENT, NUM_FRAMES = 3.0, 30, 61
BACKGROUND = 1e-3  # probability where nothing is predicted
SHARP, SCATTERED = "#1b6ca8", "#d95f02"
COLORS = {
  "counting": "0.25",
  "CE": "#7570b3",
  "widened CE": "#a6761d",
  "shift-tolerant CE": "#e7298a",
  "oSS": "#1b9e77",
  "SLL": "#e6ab02",
  "SoftLoc": "#d95f02",
}

Loss = Callable[..., jax.Array]


def growing_distributions(probs: np.ndarray) -> np.ndarray:
  """`Pr(Y(t) = k)`, the distribution of the count up to every frame: `[T] -> [T + 1, T + 1]`.

  >>> growing_distributions(np.array([0.5, 0.5])).round(2)
  array([[1.  , 0.  , 0.  ],
         [0.5 , 0.5 , 0.  ],
         [0.25, 0.5 , 0.25]])
  """
  num_frames = len(probs)
  prefixes = np.tri(num_frames + 1, num_frames, -1, dtype=bool)
  log_pmf = poisson_binomial.log_pmf(_logits(probs), max_count=num_frames, where=prefixes)
  return np.exp(np.asarray(log_pmf, np.float64))


def undecided_bound(probs: np.ndarray) -> np.ndarray:
  """Lemma 2's bound of `max_k Pr(Y(t) = k)`, `1/2 + min_j |1/2 - p_j|` (L11): `[T] -> [T]`."""
  return 0.5 + np.minimum.accumulate(np.abs(0.5 - probs))


def le_cam_bound(probs: np.ndarray) -> np.ndarray:
  """Bound of `max_k Pr(Y(t) = k)` by the smallest predictions up to `t` (L13): `[T] -> [T]`.

  The predictions up to `t` are sorted in ascending order, and the best number of them is taken.
  """
  from scipy import stats

  bounds = []
  for stop in range(1, len(probs) + 1):
    smallest = np.sort(probs[:stop])
    rate = np.cumsum(smallest)
    bounds.append(np.min(stats.poisson.pmf(np.floor(rate), rate) + 2 * np.cumsum(smallest**2)))
  return np.minimum(bounds, 1.0)


def loss_functions() -> dict[str, Loss]:
  """The compared losses of logits and labels `[..., T, 1]`, one value per sequence."""
  arguments = {
    "CE": (losses.cross_entropy, {}),
    "widened CE": (losses.widened_cross_entropy, {"width": 2}),
    "shift-tolerant CE": (losses.shift_tolerant, {"tolerance": 3}),
    "oSS": (losses.one_sided_smoothing, {"softness": SOFTNESS}),
    "SLL": (losses.soft_localization, {"softness": SOFTNESS}),
    "SoftLoc": (
      losses.softloc,
      {"softness": SOFTNESS, "alpha": 0.5, "smoothing_weight": 30.0, "max_count": 5},
    ),
  }
  compared = {
    name: functools.partial(loss, reduce_fn=None, **rest) for name, (loss, rest) in arguments.items()
  }
  compared["counting"] = lambda logits, labels: losses.count_nll(
    logits, labels.sum(-2), max_count=5, reduce_fn=None
  )
  return compared


def relative_losses(probs: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
  """Losses of predictions of one event, in units of the loss of predicting nothing: `[N, T] -> [N]` each."""
  labels = np.zeros((1, NUM_FRAMES, 1), np.float32)
  labels[:, EVENT] = 1
  rows = np.concatenate([np.full((1, NUM_FRAMES), BACKGROUND), probs])
  values = {}
  for name in names:
    loss = jax.jit(loss_functions()[name])
    value = np.asarray(loss(_logits(rows)[..., None], np.repeat(labels, len(rows), axis=0)))[:, 0]
    values[name] = value[1:] / value[0]
  return values


def split_predictions(num_parts: Sequence[int], mass: float = 0.98) -> np.ndarray:
  """The event's mass in equal parts on neighbouring frames around it: `[N, T]`."""
  rows = np.full((len(num_parts), NUM_FRAMES), BACKGROUND)
  for row, parts in zip(rows, num_parts, strict=True):
    first = EVENT - (parts - 1) // 2
    row[first : first + parts] = mass / parts
  return rows


def moved_predictions(shifts: Sequence[int], mass: float = 0.9) -> np.ndarray:
  """One sharp prediction, some frames after the event: `[N, T]`."""
  rows = np.full((len(shifts), NUM_FRAMES), BACKGROUND)
  rows[np.arange(len(shifts)), EVENT + np.asarray(shifts)] = mass
  return rows


def moved_heat_maps(shifts: Sequence[int]) -> np.ndarray:
  """One-sided smoothing's best prediction, some frames after the event: `[N, T]`."""
  events = np.zeros((NUM_FRAMES, len(shifts)), np.float32)
  events[EVENT + np.asarray(shifts), np.arange(len(shifts))] = 1
  return np.clip(np.asarray(smoothing.gaussian_smooth(events, SOFTNESS)).T, 1e-9, None)


def theory_figure():
  """Draws the theory: growth of the count distribution, its bounds, and what the losses ask for.

  Returns:
    A matplotlib figure.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(14, 8.4), layout="constrained")
  figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
  cells = figure.add_gridspec(2, 3)
  sharp, scattered = _example_predictions()
  growth = cells[0, :2].subgridspec(2, 2, height_ratios=[1, 2.6])
  _draw_growth(figure, growth, 0, sharp, "(a) sharp prediction", SHARP)
  _draw_growth(figure, growth, 1, scattered, "(a) the same events, scattered", SCATTERED)
  _draw_bounds(figure.add_subplot(cells[0, 2]), sharp, scattered)
  _draw_split(figure.add_subplot(cells[1, 0]))
  _draw_shift(figure.add_subplot(cells[1, 1]))
  _draw_optima(figure.add_subplot(cells[1, 2]))
  return figure


def _logits(probs: np.ndarray) -> np.ndarray:
  return (np.log(probs) - np.log1p(-probs)).astype(np.float32)


def _example_predictions() -> tuple[np.ndarray, np.ndarray]:
  """Three events, predicted in one frame each, and over several."""
  frames, events = np.arange(60), np.array([12, 30, 46])
  bumps = np.exp(-0.5 * ((frames[:, None] - events) / 2.2) ** 2)
  scattered = np.clip(0.97 * (bumps / bumps.sum(0)).sum(1), 0.002, None)
  return np.where(np.isin(frames, events), 0.97, 0.002), scattered


def _draw_growth(figure, cells, column: int, probs: np.ndarray, title: str, color: str) -> None:
  top, main = (figure.add_subplot(cells[row, column]) for row in (0, 1))
  frames = np.arange(1, len(probs) + 1)
  top.vlines(frames, 0, probs, color=color, lw=2.2)
  top.set(title=title, ylim=(0, 1), xlim=(0, len(probs) + 0.5), xticklabels=[], yticks=(0, 1))
  max_shown = 5
  image = main.imshow(
    growing_distributions(probs)[:, : max_shown + 1].T,
    origin="lower",
    aspect="auto",
    cmap="magma_r",
    vmin=0,
    vmax=1,
    interpolation="nearest",
    extent=(-0.5, len(probs) + 0.5, -0.5, max_shown + 0.5),
  )
  main.set(xlabel="frames seen, t", xlim=(0, len(probs) + 0.5), yticks=range(max_shown + 1))
  if column == 0:
    top.set(ylabel="$p_t$")
    main.set(ylabel="count k")
  else:
    figure.colorbar(image, ax=main, label="Pr(Y(t) = k)", pad=0.02)


def _draw_bounds(axis, sharp: np.ndarray, scattered: np.ndarray) -> None:
  from matplotlib.lines import Line2D

  styles = {
    "max$_k$ Pr(Y(t) = k)": "-",
    "bound by one undecided frame (L11)": "--",
    "bound by Le Cam (L13)": ":",
  }
  frames = np.arange(1, len(sharp) + 1)
  for probs, color in ((sharp, SHARP), (scattered, SCATTERED)):
    curves = (growing_distributions(probs)[1:].max(1), undecided_bound(probs), le_cam_bound(probs))
    for curve, style in zip(curves, styles.values(), strict=True):
      axis.plot(frames, curve, style, color=color, lw=1.8)
  handles = [Line2D([], [], color="0.3", ls=style, label=label) for label, style in styles.items()]
  handles += [
    Line2D([], [], color=SHARP, lw=4, label="sharp"),
    Line2D([], [], color=SCATTERED, lw=4, label="scattered"),
  ]
  _legend_below(axis, handles=handles, ncols=2)
  axis.set(
    title="(b) mass once spread stays spread", xlabel="frames seen, t", ylim=(0, 1.03), xlim=(0, len(sharp))
  )


def _draw_split(axis) -> None:
  num_parts = np.arange(1, 12, 2)  # odd, so that the parts stay centred on the event
  values = relative_losses(split_predictions(num_parts), ("oSS", "CE", "counting", "SoftLoc", "SLL"))
  for name, value in values.items():
    axis.plot(num_parts, value, "o-", ms=4, color=COLORS[name], label=name)
  axis.axhline(1, color="0.6", lw=0.8, ls="--")
  axis.annotate(
    "missed event", (11, 1), xytext=(0, 3), textcoords="offset points", ha="right", fontsize="small"
  )
  axis.set(
    title="(c) an event split over neighbouring frames",
    xlabel="number of parts",
    ylabel="loss / loss of a missed event",
    yscale="log",
    xticks=num_parts,
  )
  axis.legend(fontsize="small", ncols=2, loc="lower right")


def _draw_shift(axis) -> None:
  shifts = np.arange(-14, 15)
  names = ("CE", "widened CE", "shift-tolerant CE", "SoftLoc", "SLL", "counting")
  values = relative_losses(moved_predictions(shifts), names)
  values["oSS"] = relative_losses(moved_heat_maps(shifts), ["oSS"])["oSS"]
  for name, value in values.items():
    label, style = ("oSS (its heat map moved)", "--") if name == "oSS" else (name, "-")
    axis.plot(shifts, value, style, color=COLORS[name], label=label, lw=1.8)
  axis.set(
    title="(d) a prediction beside its label",
    xlabel="shift [frames]",
    ylabel="loss / loss of a missed event",
    ylim=(0, None),
    xlim=(shifts[0], shifts[-1]),
  )
  _legend_below(axis, ncols=3)


def _draw_optima(axis) -> None:
  frames, events = np.arange(31), np.array([13, 17])
  labels = np.isin(frames, events).astype(np.float32)
  heat_map = np.asarray(smoothing.gaussian_smooth(labels[:, None], SOFTNESS))[:, 0]
  axis.fill_between(frames, heat_map, color=COLORS["oSS"], alpha=0.35, lw=0)
  axis.plot(frames, heat_map, color=COLORS["oSS"], lw=1.8, label="oSS: the smoothed labels (S1)")
  axis.vlines(events, 0, 1, color=COLORS["SLL"], lw=3, label="SLL: the labels (S3)")
  axis.plot(events, np.ones(2), "o", color=COLORS["SLL"])
  axis.set(
    title="(e) optimal prediction of two close events",
    xlabel=f"frame (events at {events[0]} and {events[1]}, softness {SOFTNESS:g})",
    ylabel="$p_t$",
    ylim=(0, 1.3),
    xlim=(0, 30),
  )
  axis.legend(fontsize="small", loc="upper right")


def _legend_below(axis, **kwargs) -> None:
  axis.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.17), **kwargs)
