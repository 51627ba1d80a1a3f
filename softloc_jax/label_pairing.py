"""All ways to pair labels with detections in their order, and how probable each pair is.

Sums over all pairings are exact: a forward recursion over labels, within a band of detections that are near,
and its gradient is the probability of each pair. `label_model` says what a pair, a label without detection
and a detection without label weigh.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
import numpy as np

_NEVER = -1e30  # a log-probability that stays finite in gradients


class Track(NamedTuple):
  """One class of one recording.

  Attributes:
    labels_s: sorted label times in seconds, `[N]`.
    detections_s: sorted detected times in seconds, `[M]`.
    confidence: of each detection, between 0 and 1, `[M]`.
    spread_s: how much further the probability of each detection reaches in time than that of the sharpest,
      `[M]`: the root of the difference of their variances. The sharpest are taken to be exact.
    duration_s: length of the recording.
    recording: number of the recording, for offsets of their own.
    kind: number of the class, likewise.
  """

  labels_s: np.ndarray
  detections_s: np.ndarray
  confidence: np.ndarray
  spread_s: np.ndarray
  duration_s: float
  recording: int = 0
  kind: int = 0


class Layout(NamedTuple):
  """All tracks one after the other, too far apart for pairs across their borders.

  Attributes:
    first: the first detection near each label, `[N]`.
    near: whether detection `first[i] + k` is, `[N, W]`.
    lag_s: how much later the label is, `[N, W]`.
    spread_s: of the detection, `[N, W]`.
    recording: of each label, `[N]`.
    kind: of each label, `[N]`.
    confidence: of each detection, `[M]`.
  """

  first: np.ndarray
  near: np.ndarray
  lag_s: np.ndarray
  spread_s: np.ndarray
  recording: np.ndarray
  kind: np.ndarray
  confidence: np.ndarray


def lay_out(tracks: Sequence[Track], reach_s: float) -> Layout:
  """Tracks with all pairs no further apart than the reach."""
  lengths_s = [
    max(one.duration_s, *one.labels_s[-1:], *one.detections_s[-1:], 0.0) + 2 * reach_s + 1 for one in tracks
  ]
  starts_s = np.cumsum([0.0, *lengths_s[:-1]])
  labels_s, detections_s = (
    np.concatenate([getattr(one, name) + start for one, start in zip(tracks, starts_s, strict=True)])
    for name in ("labels_s", "detections_s")
  )
  first = np.searchsorted(detections_s, labels_s - reach_s, side="left")
  stop = np.searchsorted(detections_s, labels_s + reach_s, side="right")
  width = 1 << int(max((stop - first).max(initial=1), 1) - 1).bit_length()  # few widths, few programs
  near = first[:, None] + np.arange(width) < stop[:, None]
  index = np.minimum(first[:, None] + np.arange(width), len(detections_s))
  lag_s = labels_s[:, None] - np.append(detections_s, 0.0)[index]
  spread_s = np.concatenate([*(one.spread_s for one in tracks), np.zeros(1)])[index]
  num_labels = [len(one.labels_s) for one in tracks]
  return Layout(
    first=first,
    near=near,
    lag_s=np.where(near, lag_s, 0.0),
    spread_s=np.where(near, spread_s, 0.0),
    recording=np.repeat([one.recording for one in tracks], num_labels),
    kind=np.repeat([one.kind for one in tracks], num_labels),
    confidence=np.concatenate([one.confidence for one in tracks]),
  )


class Rows(NamedTuple):
  """What the recursion takes, label by label.

  Attributes:
    pair: log-probability of a detection's having this label, `[N, W]`.
    skip: log-probability that detections up to and with a column have none, `[N, W + 1]`; the first is 0.
    stray: log-density of a label without detection; 0 for rows that are no label, `[N]`.
    shift: by how many columns the band moved on from the row before, `[N]`.
  """

  pair: np.ndarray
  skip: np.ndarray
  stray: np.ndarray
  shift: np.ndarray


def weigh(
  layout: Layout, *, labelled: np.ndarray, std_s: np.ndarray, offset_s: np.ndarray, stray_hz: float
) -> Rows:
  """Weights of all tracks, filled up to a power of two rows: few programs to compile.

  Args:
    layout: of `N` labels and `M` detections.
    labelled: probability that each detection has a label, `[M]`.
    std_s: standard deviation of the lag of each near pair, in seconds, `[N, W]`.
    offset_s: its mean, for each label, `[N]`.
    stray_hz: labels per second that belong to no detection.
  """
  num_labels, width = layout.near.shape
  index = np.minimum(layout.first[:, None] + np.arange(width), len(labelled))
  chance = np.append(labelled, 0.0)[index]
  z = (layout.lag_s - offset_s[:, None]) / std_s
  log_density = -0.5 * np.square(z) - np.log(std_s * np.sqrt(2 * np.pi))
  with np.errstate(divide="ignore"):
    pair = np.where(layout.near, np.log(chance) + log_density, _NEVER)
  skip = np.pad(np.cumsum(np.log1p(-chance), axis=1), ((0, 0), (1, 0)))
  fill = (1 << (num_labels - 1).bit_length()) - num_labels
  shift = np.minimum(np.diff(layout.first, prepend=layout.first[:1]), width + 1)
  return Rows(
    np.pad(pair, ((0, fill), (0, 0)), constant_values=_NEVER).astype(np.float32),
    np.pad(skip, ((0, fill), (0, 0)), mode="edge").astype(np.float32),
    np.pad(np.full(num_labels, np.log(stray_hz)), (0, fill)).astype(np.float32),
    np.pad(shift, (0, fill)).astype(np.int32),
  )


def probabilities(rows: Rows, num_labels: int, *, best: bool = False) -> np.ndarray:
  """Probability of each near pair, `[num_labels, W]`; of the best pairing alone, 0 or 1."""
  return np.asarray(_marginals(rows, best=best), dtype=np.float64)[:num_labels]


def log_weight(layout: Layout, rows: Rows, labelled: np.ndarray) -> float:
  """Log of the sum of the weights of all pairings: how well labels and detections are explained."""
  width = layout.near.shape[1]
  change = np.zeros(len(labelled) + width + 1)
  np.add.at(change, layout.first, 1)
  np.add.at(change, layout.first + width, -1)
  # Detections that no label is near take no part in the recursion.
  alone = np.cumsum(change)[: len(labelled)] == 0
  return float(_log_weight(rows)) + float(np.log1p(-labelled[alone]).sum())


@functools.partial(jax.jit, static_argnames="best")
def _marginals(rows: Rows, *, best: bool) -> Array:
  """Gradient of the total log-weight in each pair's: its probability, `[N, W]`."""
  if best:  # of equal ways one is to be chosen, or the gradient of the maximum would be shared out
    number, column = (jnp.arange(size, dtype=rows.pair.dtype) % 8 for size in rows.pair.shape)
    rows = rows._replace(pair=rows.pair - 2e-5 * number[:, None] - 5e-6 * column)
  return jax.grad(lambda pair: _total_log_weight(rows._replace(pair=pair), best=best))(rows.pair)


def _total_log_weight(rows: Rows, *, best: bool) -> Array:
  """Log of the sum, or the maximum, over all ways to pair labels with detections.

  Between two pairs, stray labels come first and then detections without a label, so that each way counts
  once. After row `i`, `through[c]` is the weight of all ways that are done with labels up to `i` and with
  detections up to column `c` of its band, and `ended[c]` of those that end there in a pair or stray labels
  after it. Column 0 stands for all before the band.
  """
  add, accumulate = (jnp.maximum, jax.lax.cummax) if best else (jnp.logaddexp, jax.lax.cumlogsumexp)
  width = rows.pair.shape[1]
  columns = jnp.arange(width + 1)

  def step(carry, row: Rows):
    ended, through, norm = carry
    source = columns + row.shift
    inside = source <= width
    # Columns that the row before did not have: their detections have no label so far.
    beyond = row.skip - row.skip[jnp.maximum(width - row.shift, 0)]
    through = through[jnp.minimum(source, width)] + jnp.where(inside, 0.0, beyond)
    ended = jnp.where(inside, ended[jnp.minimum(source, width)], _NEVER)
    new = add(through[:-1] + row.pair, row.stray + ended[1:])
    ended = jnp.concatenate([row.stray + through[:1], new])  # all before the band, as if it ended there
    through = row.skip + accumulate(ended - row.skip)
    largest = jax.lax.stop_gradient(through.max())
    return (jnp.maximum(ended - largest, _NEVER), through - largest, norm + largest), None

  first = rows.skip[0]
  start = (jnp.full(width + 1, _NEVER), first, jnp.zeros((), first.dtype))
  (_, through, norm), _ = jax.lax.scan(step, start, rows)
  return through[-1] + norm


_log_weight = jax.jit(functools.partial(_total_log_weight, best=False))
