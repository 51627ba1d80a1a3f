"""Clips played faster or slower with everything known about them: signal, labels and counted window."""

from __future__ import annotations

from collections.abc import Mapping
import math

import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax import acoustics, features, resampling


def play(
  batch: Mapping[str, Array],
  factor: Array,
  extractor: features.FeatureExtractor,
  num_frames: int,
  effects: acoustics.Effects,
) -> dict[str, Array]:
  """The batch through effects, then played `factor` times as fast around the centre of its crops.

  Args:
    batch: crops of `num_frames` and a margin on each side, the same on both.
    factor: `[B]`, above 1 for faster and higher.
    extractor: says where frames lie in the signal.
    num_frames: of the result.
    effects: as for `acoustics.through_effects`.

  Raises:
    ValueError: a crop that has not the samples of its frames, or not the same margin on both sides.
  """
  num_frames_in = batch["where"].shape[-1]
  num_samples_in = extractor.sample_range(0, num_frames_in)[1]
  if num_frames_in < num_frames or (num_frames_in - num_frames) % 2:
    raise ValueError(
      f"crops have {num_frames_in} frames; expected {num_frames} and the same margin on both sides"
    )
  if batch["signal"].shape[-2] != num_samples_in:
    raise ValueError(
      f"crops have {batch['signal'].shape[-2]} samples; expected {num_samples_in} for {num_frames_in} frames"
    )
  signal = acoustics.through_effects(
    batch["signal"],
    extractor.sample_rate_hz,
    effects,
    factor,
    num_samples=extractor.sample_range(0, num_frames)[1],
    centre=_centre(extractor, num_frames_in),
    centre_out=_centre(extractor, num_frames),
  )
  move = jax.vmap(lambda *clip: move_frames(*clip, num_frames=num_frames))
  labels, where = move(batch["labels"], batch["where"], factor)
  return {**batch, "signal": signal, "labels": labels, "where": where}


def move_frames(labels: Array, where: Array, factor: Array, *, num_frames: int) -> tuple[Array, Array]:
  """Labels and counted window of one clip: a frame goes to the nearest frame of its new place.

  The window goes from the new place of its first frame to that of its last, so that it holds the same
  events; labels outside the window, which nobody counts, are dropped.

  Args:
    labels: `[T_in, C]`.
    where: `[T_in]`, without gaps.
    factor: scalar.
    num_frames: of the result.

  Returns:
    `[num_frames, C]` and `[num_frames]`.
  """
  num_frames_in = len(where)
  from_centre = (jnp.arange(num_frames_in) - 0.5 * (num_frames_in - 1)) / factor
  place = jnp.floor(from_centre + 0.5 * num_frames).astype(jnp.int32)
  first, last = place[jnp.argmax(where)], place[num_frames_in - 1 - jnp.argmax(where[::-1])]
  frame = jnp.arange(num_frames)
  place = jnp.where(where & (place >= 0), place, num_frames)
  moved = jnp.zeros((num_frames, labels.shape[-1]), labels.dtype).at[place].max(labels, mode="drop")
  return moved, jnp.any(where) & (frame >= first) & (frame <= last)


def random_factor(key: Array, size: int, *, factor: acoustics.Range) -> Array:
  """Factors for the clips of a batch, log-uniform: `[size]`."""
  return jnp.exp(acoustics.uniform(key, (size,), (math.log(factor[0]), math.log(factor[1]))))


def random_shift(
  key: Array, batch: Mapping[str, Array], *, semitones: int, detune_semitones: float = 0.0
) -> tuple[dict[str, Array], Array]:
  """Classes moved by random numbers of semitones, and the factors that move sounds as far.

  Args:
    key: random key.
    batch: whose classes are consecutive semitones.
    semitones: largest shift; those that would take a counted event beyond the classes are not drawn.
    detune_semitones: largest further shift of sounds alone.

  Returns:
    The batch with its class axes moved (signal, mask and times are as they were), and factors `[B]`.
  """
  shift_key, detune_key = jax.random.split(key)
  present = (batch["counts"] > 0) & batch["labelled"]
  num_classes = present.shape[-1]
  anything = jnp.any(present, axis=-1)
  lowest = jnp.where(anything, jnp.argmax(present, axis=-1), num_classes)
  highest = jnp.where(anything, num_classes - 1 - jnp.argmax(present[:, ::-1], axis=-1), -1)
  least, most = jnp.maximum(-semitones, -lowest), jnp.minimum(semitones, num_classes - 1 - highest)
  shift = jax.random.randint(shift_key, least.shape, least, most + 1)
  detune = acoustics.uniform(detune_key, shift.shape, (-detune_semitones, detune_semitones))
  source = jnp.arange(num_classes) - shift[:, None]
  known = (source >= 0) & (source < num_classes)
  source = jnp.clip(source, 0, num_classes - 1)

  def move(values: Array) -> Array:
    return jnp.where(known, jnp.take_along_axis(values, source, axis=-1), jnp.zeros_like(values))

  labels = jax.vmap(move, in_axes=1, out_axes=1)(batch["labels"])
  moved = {"labels": labels, "counts": move(batch["counts"]), "labelled": move(batch["labelled"])}
  return {**batch, **moved}, 2.0 ** ((shift + detune) / 12.0)


def margin_frames(extractor: features.FeatureExtractor, num_frames: int, factor: float) -> int:
  """Frames on each side of a crop of `num_frames` that playing it `factor` times as fast takes in."""
  centre = _centre(extractor, num_frames)
  furthest = max(centre, extractor.sample_range(0, num_frames)[1] - 1 - centre)
  beyond = max(factor - 1.0, 0.0) * furthest + resampling.REACH_SAMPLES
  return math.ceil(beyond / _hop_samples(extractor))


def _centre(extractor: features.FeatureExtractor, num_frames: int) -> float:
  """Place of the centre of a crop's frames in its signal, in samples."""
  first, _ = extractor.sample_range(0, num_frames)
  return -first + 0.5 * (num_frames - 1) * _hop_samples(extractor)


def _hop_samples(extractor: features.FeatureExtractor) -> int:
  return extractor.sample_range(1, 1)[0] - extractor.sample_range(0, 1)[0]
