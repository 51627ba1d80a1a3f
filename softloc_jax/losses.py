"""Losses for instantaneous events, all with one signature.

`loss(logits, target, *, ..., where=None, reduce_fn=jnp.mean)`: `logits` are
`[..., T, C]`, the target is frame labels `[..., T, C]` (or counts `[..., C]` or intervals of them), and
`where` is `[..., T]`, True where a frame is real. Frame losses are summed over time,
so that a term does not change weight with the length of the window, and reduced over
batch and class by `reduce_fn`; `reduce_fn=None` keeps one value per sequence and class,
`[..., C]`. A sequence without a real frame contributes 0 and a zero gradient. Arrays of any
other shape raise a `ValueError`: broadcast, they would give another loss.

Logits may be of any finite size and any float type: everything is computed in float32 or
better from the logits themselves, and no epsilon is added inside a logarithm. Arrays
may be NumPy's, or lists; `softloc_jax.torch` has the same losses for tensors.

References:
  L: Schroeter et al., ICML 2019 (count learning). S: Schroeter et al., 2020 (SoftLoc).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array
import jax.numpy as jnp
from jax.typing import ArrayLike
import optax

from softloc_jax import poisson_binomial, smoothing

ReduceFn = Callable[[Array], Array] | None


def count_nll(
  logits: ArrayLike,
  counts: ArrayLike,
  *,
  max_count: int,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
  method: str = "auto",
) -> Array:
  """Negative log-likelihood of the number of events (L6, L7; S4).

  Args:
    logits: `[..., T, C]`.
    counts: `[..., C]` events per class. `max_count` or more means just that (L14).
    max_count: the last bin of the count distribution.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.
    method: see `poisson_binomial.log_prob`.

  Returns:
    The reduced loss. A count above the number of real frames cannot be: its loss is
    `+inf` and its gradient zero. A sequence without real frames contributes 0.

  >>> count_nll(jnp.zeros((4, 1)), jnp.array([2]), max_count=4).round(4)  # 6 of 16 outcomes
  Array(0.9808, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  counts = _checked("counts", jnp.asarray(counts), _shape_of_counts(logits))
  log_prob = poisson_binomial.log_prob(
    jnp.moveaxis(logits, -1, -2), counts, where=where[..., None, :], max_count=max_count, method=method
  )
  return _reduce(-log_prob, where, reduce_fn)


def count_interval_nll(
  logits: ArrayLike,
  intervals: ArrayLike,
  *,
  max_count: int,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Negative log-likelihood of a number of events that is known roughly: "three to five", "at least one".

  Args:
    logits: `[..., T, C]`.
    intervals: `[..., C, 2]` least and largest number of events. A largest of `max_count` or more means "or
      more", so that 0 to `max_count` says nothing and costs nothing.
    max_count: the last bin of the count distribution (L14).
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  Returns:
    The reduced loss; where both ends are equal, that of `count_nll`. An interval that holds no possible
    count costs `+inf` with a zero gradient.

  >>> count_interval_nll(jnp.zeros((3, 1)), jnp.array([[1, 3]]), max_count=3).round(4)  # 7 of 8 outcomes
  Array(0.1335, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  intervals = _checked("intervals", jnp.asarray(intervals), (*_shape_of_counts(logits), 2))
  low, high = jnp.moveaxis(intervals, -1, 0)
  log_prob = poisson_binomial.log_interval_prob(
    jnp.moveaxis(logits, -1, -2), low, high, where=where[..., None, :], max_count=max_count
  )
  return _reduce(-log_prob, where, reduce_fn)


def soft_localization(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  softness: ArrayLike,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Squared difference of smoothed predictions and smoothed labels (S2).

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]`, 1 at events.
    softness: standard deviation of the Gaussian in frames; may be traced.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  >>> soft_localization(jnp.full((5, 1), -50.0), jnp.eye(5)[:, 2:3], softness=1.0).round(4)
  Array(0.2821, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  difference = jax.nn.sigmoid(logits) - _labels(labels, logits)
  difference = jnp.where(where[..., None], difference, 0.0)
  # Smoothing is linear: the difference is smoothed once instead of each side.
  return _sum_time(jnp.square(smoothing.gaussian_smooth(difference, softness)), where, reduce_fn)


def softloc(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  softness: ArrayLike,
  alpha: ArrayLike,
  max_count: int,
  smoothing_weight: ArrayLike = 1.0,
  counts: ArrayLike | None = None,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Soft localization plus mass convergence by counting (S5).

  `(1 - alpha) * smoothing_weight * soft_localization + alpha * count_nll`.

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]`, 1 at (misaligned) events.
    softness: standard deviation of the Gaussian in frames.
    alpha: weight of counting, 0 to 1, or of each sequence and class, `[..., C]`; see `alpha_schedule`.
    max_count: the last bin of the count distribution.
    smoothing_weight: balance of the two terms before alpha, as alpha. The papers' code implied
      about 32 for audio and 110 for video; here it is always said.
    counts: `[..., C]`; None sums the labels.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  >>> labels = jnp.eye(5)[:, 2:3]
  >>> sharp = jnp.where(labels > 0, 9.0, -9.0)
  >>> bool(softloc(sharp, labels, softness=1.0, alpha=0.5, max_count=3) < 0.01)
  True
  """
  logits, where = _prepare(logits, where)
  labels = _labels(labels, logits)
  if counts is None:
    counts = jnp.round(jnp.sum(labels, axis=-2, where=where[..., None]))
  smooth = soft_localization(logits, labels, softness=softness, where=where, reduce_fn=None)
  count = count_nll(logits, counts, max_count=max_count, where=where, reduce_fn=None)
  alpha = _weights("alpha", alpha, smooth.shape, logits.dtype)
  smoothing_weight = _weights("smoothing_weight", smoothing_weight, smooth.shape, logits.dtype)
  # Without weight even a count that cannot be costs nothing, rather than 0 * inf.
  counting = jnp.where(alpha == 0, 0.0, alpha * count)
  return _reduce((1 - alpha) * smoothing_weight * smooth + counting, where, reduce_fn)


def alpha_schedule(
  step: ArrayLike, *, start: float, length: float, low: float = 0.2, high: float = 0.9
) -> Array:
  """Weight of counting during training, `clip((step - start) / length, low, high)` (S appendix B.2).

  Raises:
    ValueError: a length that is not positive.

  >>> [round(float(alpha_schedule(step, start=1e5, length=1e5)), 2) for step in (0, 150_000, 300_000)]
  [0.2, 0.5, 0.9]
  """
  if length <= 0:
    raise ValueError(f"length is {length}; expected a positive number of steps")
  return jnp.clip((jnp.asarray(step, jnp.float32) - start) / length, low, high)


def one_sided_smoothing(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  softness: ArrayLike,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Squared difference of predictions and smoothed labels (oSS; optimum S1).

  The baseline that SoftLoc answers: the network has to predict a heat map, from which
  `decode.peak_pick` takes the events.

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]`, 1 at events.
    softness: standard deviation of the Gaussian in frames.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  >>> one_sided_smoothing(jnp.full((5, 1), -50.0), jnp.eye(5)[:, 2:3], softness=1.0).round(4)
  Array(0.2821, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  labels = jnp.where(where[..., None], _labels(labels, logits), 0.0)
  target = smoothing.gaussian_smooth(labels, softness)
  return _sum_time(jnp.square(jax.nn.sigmoid(logits) - target), where, reduce_fn)


def cross_entropy(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  positive_weight: ArrayLike = 1.0,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Sigmoid cross entropy of every frame, summed over time.

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]` in [0, 1].
    positive_weight: factor on the frames with an event, a number or `[C]`.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  >>> cross_entropy(jnp.zeros((4, 1)), jnp.eye(4)[:, :1]).round(4)  # 4 log 2
  Array(2.7726, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  labels = _labels(labels, logits)
  event, no_event = jax.nn.softplus(-logits), jax.nn.softplus(logits)
  weighted = _weights("positive_weight", positive_weight, logits.shape[-1:], logits.dtype) * labels
  return _sum_time(weighted * event + (1 - labels) * no_event, where, reduce_fn)


def softmax_cross_entropy(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  class_weights: ArrayLike | None = None,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Cross entropy where every frame is one of `C` classes or none: the golf baseline (CE of S Table 1).

  Args:
    logits: `[..., T, C + 1]`, the last one for "no event".
    labels: `[..., T, C]`; a frame without any event is "no event", one with several is each of them.
    class_weights: `[C + 1]`; SwingNet uses 1/8 for events and 1/35 for "no event". None weighs all 1.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C + 1]`.

  Returns:
    The reduced loss; with `reduce_fn=None`, `[..., C + 1]`: the part of each target class.

  >>> softmax_cross_entropy(jnp.zeros((4, 2)), jnp.eye(4)[:, :1], reduce_fn=jnp.sum).round(4)  # 4 log 2
  Array(2.7726, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  labels = jnp.asarray(labels, logits.dtype)
  if labels.ndim and logits.shape[-1] != labels.shape[-1] + 1:
    raise ValueError(
      f"logits have {logits.shape[-1]} classes and labels {labels.shape[-1]}; "
      "expected one more logit, for no event"
    )
  _checked("labels", labels, (*logits.shape[:-1], logits.shape[-1] - 1))
  none = jnp.maximum(1 - jnp.sum(labels, axis=-1, keepdims=True), 0)
  target = jnp.concatenate([labels, none], axis=-1)
  weights = 1.0
  if class_weights is not None:
    weights = _weights("class_weights", class_weights, logits.shape[-1:], logits.dtype)
  return _sum_time(-weights * target * jax.nn.log_softmax(logits), where, reduce_fn)


def widened_cross_entropy(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  width: int,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Cross entropy against events smeared over their neighbours (EXTENDED of S Table 2).

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]`, 1 at events.
    width: frames on each side of an event that count as the event; 0 is plain cross entropy.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  >>> labels = jnp.eye(5)[:, 2:3]
  >>> widened_cross_entropy(jnp.array([-9., 9., 9., 9., -9.])[:, None], labels, width=1).round(3)
  Array(0.001, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  labels = jnp.where(where[..., None], _labels(labels, logits), 0.0)
  return cross_entropy(logits, _max_pool(labels, width), where=where, reduce_fn=reduce_fn)


def soft_bootstrap(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  beta: float = 0.95,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Cross entropy against a mix of the label and the model's own belief (BOOTSTRAP of S Table 2).

  The target is `beta * y + (1 - beta) * p`; the gradient flows through both places of `p`.

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]` in [0, 1].
    beta: trust in the label; 1 is plain cross entropy.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  References:
    Reed et al. Training deep neural networks on noisy labels with bootstrapping. 2014.

  >>> soft_bootstrap(jnp.zeros((4, 1)), jnp.eye(4)[:, :1]).round(4)  # any target costs log 2 at p = 1/2
  Array(2.7726, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  target = beta * _labels(labels, logits) + (1 - beta) * jax.nn.sigmoid(logits)
  return cross_entropy(logits, target, where=where, reduce_fn=reduce_fn)


def focal(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  gamma: float = 2.0,
  alpha: float | None = None,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Cross entropy that passes over the frames the model is sure of, through optax.

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]`, 0 or 1.
    gamma: focusing exponent; 0 is plain cross entropy.
    alpha: weight of the frames with an event (the others have `1 - alpha`); None weighs all 1.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  References:
    Lin et al. Focal loss for dense object detection. ICCV 2017.

  >>> focal(jnp.zeros((4, 1)), jnp.eye(4)[:, :1]).round(4)  # 4 log(2) / 4
  Array(0.6931, dtype=float32)
  """
  logits, where = _prepare(logits, where)
  labels = _labels(labels, logits)
  return _sum_time(optax.sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma), where, reduce_fn)


def shift_tolerant(
  logits: ArrayLike,
  labels: ArrayLike,
  *,
  tolerance: int,
  positive_weight: ArrayLike = 1.0,
  where: ArrayLike | None = None,
  reduce_fn: ReduceFn = jnp.mean,
) -> Array:
  """Cross entropy that forgives an event up to `tolerance` frames from its label.

  An event frame is scored by the largest prediction within the tolerance; frames within
  twice the tolerance of an event (where such a prediction may be) are no negatives, and
  all others are scored by the same pooled prediction.

  Args:
    logits: `[..., T, C]`.
    labels: `[..., T, C]`, 1 at events.
    tolerance: frames on each side.
    positive_weight: factor on the event frames.
    where: `[..., T]`.
    reduce_fn: how to reduce `[..., C]`.

  References:
    Foscarin, Schlüter, Widmer. Beat this! Accurate beat tracking without DBN postprocessing. ISMIR 2024.

  >>> labels = jnp.eye(7)[:, 3:4]
  >>> moved = jnp.where(jnp.eye(7)[:, 4:5] > 0, 20.0, -20.0)  # one frame late
  >>> shift_tolerant(moved, labels, tolerance=1).round(3)
  Array(0., dtype=float32)
  """
  logits, where = _prepare(logits, where)
  labels = jnp.where(where[..., None], _labels(labels, logits), 0.0)
  lowest = jnp.finfo(logits.dtype).min
  pooled = _max_pool(jnp.where(where[..., None], logits, lowest), tolerance)
  near = _max_pool(labels, 2 * tolerance)
  event, no_event = jax.nn.softplus(-pooled), jax.nn.softplus(pooled)
  weighted = _weights("positive_weight", positive_weight, logits.shape[-1:], logits.dtype) * labels
  return _sum_time(weighted * event + (1 - near) * no_event, where, reduce_fn)


def _prepare(logits: ArrayLike, where: ArrayLike | None) -> tuple[Array, Array]:
  """Logits in at least float32 and a mask `[..., T]` of their leading shape.

  Masked logits become 0, which keeps padding (whatever it holds) out of values and gradients.
  """
  logits = jnp.asarray(logits)
  if logits.ndim < 2:
    raise ValueError(f"logits have shape {logits.shape}; expected [..., T, C], time and class last")
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  where = jnp.ones(logits.shape[:-1], bool) if where is None else jnp.asarray(where, bool)
  _checked("where", where, logits.shape[:-1])
  return jnp.where(where[..., None], logits, 0.0), where


def _labels(labels: ArrayLike, logits: Array) -> Array:
  return _checked("labels", jnp.asarray(labels, logits.dtype), logits.shape)


def _weights(name: str, weights: ArrayLike, shape: tuple[int, ...], dtype) -> Array:
  """Weights that broadcast to the shape of what they weigh, and give it no other."""
  weights = jnp.asarray(weights, dtype)
  axes = zip(weights.shape[::-1], shape[::-1], strict=False)
  if weights.ndim > len(shape) or any(size not in (1, expected) for size, expected in axes):
    raise ValueError(f"{name} has shape {weights.shape}; expected a number, or {shape}")
  return weights


def _shape_of_counts(logits: Array) -> tuple[int, ...]:
  return (*logits.shape[:-2], logits.shape[-1])


def _checked(name: str, array: Array, shape: tuple[int, ...]) -> Array:
  """The array, which has to have this shape."""
  if array.shape != tuple(shape):
    raise ValueError(f"{name} has shape {array.shape}; expected {tuple(shape)}, as logits have it")
  return array


def _reduce(per_sequence: Array, where: Array, reduce_fn: ReduceFn) -> Array:
  """Zeroes sequences `[..., C]` without a real frame, then reduces."""
  per_sequence = jnp.where(where.any(axis=-1)[..., None], per_sequence, 0.0)
  return per_sequence if reduce_fn is None else reduce_fn(per_sequence)


def _sum_time(per_frame: Array, where: Array, reduce_fn: ReduceFn) -> Array:
  """Sums `[..., T, C]` over the real frames, then reduces."""
  return _reduce(jnp.sum(per_frame, axis=-2, where=where[..., None]), where, reduce_fn)


def _max_pool(values: Array, radius: int) -> Array:
  """Largest value within `radius` frames, along time of `[..., T, C]`."""
  if radius < 0:
    raise ValueError(f"the width or tolerance is {radius} frames; expected 0 or more")
  ndim = values.ndim
  window = [1] * ndim
  window[-2] = 2 * radius + 1
  padding = [(0, 0)] * ndim
  padding[-2] = (radius, radius)
  # Any other start than this -inf, known when tracing, would have no derivative.
  return jax.lax.reduce_window(values, -jnp.inf, jax.lax.max, window, [1] * ndim, padding)
