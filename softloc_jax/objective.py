"""From a config to the loss of a batch: names, units and schedules of the losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import Array
import jax.numpy as jnp

from softloc_jax import losses
from softloc_jax.mixed_labels import COUNTED, EXACT, JITTERED

# loss(logits, batch, step) -> one value per sequence and class, [B, C]
Objective = Callable[[Array, dict[str, Array], Array], Array]

_SOFTLOC = (
  "softness_s",
  "max_count",
  "smoothing_weight",
  "alpha_low",
  "alpha_high",
  "ramp_start",
  "ramp_end",
)

# What each loss takes from the config, beside its name. `_s` durations become frames.
ARGUMENTS = {
  "count_nll": ("max_count",),
  "soft_localization": ("softness_s",),
  "softloc": _SOFTLOC,
  "mixed": _SOFTLOC,
  "one_sided_smoothing": ("softness_s",),
  "cross_entropy": ("positive_weight",),
  "softmax_cross_entropy": ("event_weight", "no_event_weight"),
  "widened_cross_entropy": ("width_s",),
  "soft_bootstrap": ("beta",),
  "focal": ("gamma",),
  "shift_tolerant": ("tolerance_s", "positive_weight"),
}


def from_config(config: Any, *, frame_rate_hz: float, num_steps: int) -> Objective:
  """The loss that `config.name` names, with its arguments in seconds and fractions of the training.

  Args:
    config: `name` and that loss's arguments (`ARGUMENTS`); for SoftLoc, `ramp_start` and
      `ramp_end` are the fractions of training at which the weight of counting, `alpha`,
      would be 0 and 1 were it not kept between `alpha_low` and `alpha_high`.
    frame_rate_hz: to turn seconds into frames.
    num_steps: length of the training.

  Raises:
    ValueError: an unknown loss, arguments that are missing or not the loss's, or a ramp of alpha
      that does not end after its start.
  """
  arguments = dict(config)
  name = arguments.pop("name", None)
  if name not in ARGUMENTS:
    raise ValueError(f"loss.name is {name!r}; expected one of {', '.join(ARGUMENTS)}")
  if set(arguments) != set(ARGUMENTS[name]):
    raise ValueError(
      f"loss.{name} takes {', '.join(ARGUMENTS[name])}; "
      f"the config gives {', '.join(sorted(arguments)) or 'nothing'}"
    )
  if arguments.get("max_count", 1) < 1:
    raise ValueError(f"loss.max_count is {arguments['max_count']}; expected 1 or more")
  frames = {
    key.removesuffix("_s"): arguments.pop(key) * frame_rate_hz
    for key in tuple(arguments)
    if key.endswith("_s")
  }
  for key in ("width", "tolerance"):  # windows span whole frames
    if key in frames:
      frames[key] = round(frames[key])
  if name == "count_nll":
    return lambda logits, batch, step: losses.count_nll(
      logits, batch["counts"], where=batch["where"], reduce_fn=None, **arguments
    )
  if name == "softmax_cross_entropy":
    return _softmax_cross_entropy(**arguments)
  if name in ("softloc", "mixed"):
    about_right = _softloc(arguments, frames["softness"], num_steps)
    return about_right if name == "softloc" else _mixed(about_right, arguments["max_count"])
  loss = getattr(losses, name)
  return lambda logits, batch, step: loss(
    logits, batch["labels"], where=batch["where"], reduce_fn=None, **arguments, **frames
  )


def mean_over_labelled(per_class: Array, labelled: Array) -> Array:
  """Mean of `[B, C]` over the pairs of sequence and class that have labels; 0 if there are none."""
  return jnp.sum(per_class, where=labelled) / jnp.maximum(jnp.sum(labelled), 1)


def _softmax_cross_entropy(event_weight: float, no_event_weight: float) -> Objective:
  """Logits have one more class, for no event; its part of the loss is shared by the others."""

  def objective(logits: Array, batch: dict[str, Array], step: Array) -> Array:
    num_classes = batch["labels"].shape[-1]
    weights = jnp.array([event_weight] * num_classes + [no_event_weight])
    parts = losses.softmax_cross_entropy(
      logits, batch["labels"], class_weights=weights, where=batch["where"], reduce_fn=None
    )
    return parts[..., :-1] + parts[..., -1:] / num_classes

  return objective


def _softloc(arguments: dict[str, float], softness: float, num_steps: int) -> Objective:
  if arguments["ramp_end"] <= arguments["ramp_start"]:
    raise ValueError(
      f"loss.ramp_end is {arguments['ramp_end']}; "
      f"expected more than loss.ramp_start, {arguments['ramp_start']}"
    )
  start = arguments["ramp_start"] * num_steps
  length = arguments["ramp_end"] * num_steps - start

  def objective(logits: Array, batch: dict[str, Array], step: Array) -> Array:
    alpha = losses.alpha_schedule(
      step, start=start, length=length, low=arguments["alpha_low"], high=arguments["alpha_high"]
    )
    return losses.softloc(
      logits,
      batch["labels"],
      softness=softness,
      alpha=alpha,
      max_count=arguments["max_count"],
      smoothing_weight=arguments["smoothing_weight"],
      counts=batch["counts"],
      where=batch["where"],
      reduce_fn=None,
    )

  return objective


def _mixed(about_right: Objective, max_count: int) -> Objective:
  """Each class of each sequence by what is known of it: all are likelihoods, or stand for one.

  Exact times: cross entropy. Times that are about right: SoftLoc. Counts: that they lie in their interval.
  """

  def objective(logits: Array, batch: dict[str, Array], step: Array) -> Array:
    shared = {"where": batch["where"], "reduce_fn": None}
    known = batch["supervision"]
    # What does not apply must not be infinite either, as its gradient would be no number.
    intervals = jnp.where((known == COUNTED)[..., None], batch["count_interval"], jnp.array([0, max_count]))
    counted = losses.count_interval_nll(logits, intervals, max_count=max_count, **shared)
    exact = losses.cross_entropy(logits, batch["labels"], **shared)
    return jnp.select(
      [known == EXACT, known == JITTERED, known == COUNTED],
      [exact, about_right(logits, batch, step), counted],
      0.0,
    )

  return objective
