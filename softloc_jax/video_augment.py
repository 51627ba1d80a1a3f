"""Augmentation of videos inside the training step: pure, jitted, the same for all frames of a clip.

Both are as of SwingNet's training; neither moves an event in time. See `augment` for what a batch is.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax import features

Batch = Mapping[str, Array]


def flip(key: Array, batch: Batch, *, extractor: features.VideoFrames, probability: float = 0.5) -> Batch:
  """Some clips mirrored, left for right."""
  frames = _frames(batch["signal"], extractor)
  chosen = jax.random.bernoulli(key, probability, (len(frames), 1, 1, 1, 1))
  return {**batch, "signal": jnp.where(chosen, frames[:, :, :, ::-1], frames).reshape(batch["signal"].shape)}


def warp(
  key: Array, batch: Batch, *, extractor: features.VideoFrames, rotation_deg: float, shear_deg: float
) -> Batch:
  """Each clip turned and sheared about its centre; what comes in from outside is ImageNet's mean colour.

  Args:
    key: random key.
    batch: clips.
    extractor: says how large frames are.
    rotation_deg: largest angle, either way, uniform.
    shear_deg: largest angle by which columns lean, either way, uniform.
  """
  frames = _frames(batch["signal"], extractor).astype(jnp.float32)
  turn, lean = jnp.radians(jax.random.uniform(key, (2, len(frames)), minval=-1.0)) * jnp.array(
    [[rotation_deg], [shear_deg]]
  )
  fill = 255 * jnp.asarray(features.IMAGENET_MEAN)
  warped = jax.vmap(_warp_clip, in_axes=(0, 0, 0, None))(frames, turn, lean, fill)
  return {**batch, "signal": warped.reshape(batch["signal"].shape)}


def _frames(signal: Array, extractor: features.VideoFrames) -> Array:
  """`[B, T, H W 3] -> [B, T, H, W, 3]`."""
  return signal.reshape(*signal.shape[:2], *extractor.frame_size, 3)


def _warp_clip(frames: Array, turn: Array, lean: Array, fill: Array) -> Array:
  """`[T, H, W, 3]`, each pixel from where it was before, between its four neighbours."""
  num_frames, height, width, channels = frames.shape
  rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
  y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
  from_y = jnp.cos(turn) * y - jnp.sin(turn) * x + (height - 1) / 2
  from_x = jnp.sin(turn) * y + jnp.cos(turn) * x + jnp.tan(lean) * y + (width - 1) / 2
  top, left = jnp.floor(from_y), jnp.floor(from_x)
  flat = frames.reshape(num_frames, height * width, channels)
  out = jnp.zeros((num_frames, height, width, channels))
  for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
    weight = (1 - jnp.abs(from_y - top - row)) * (1 - jnp.abs(from_x - left - column))
    at_row, at_column = (top + row).astype(int), (left + column).astype(int)
    inside = (at_row >= 0) & (at_row < height) & (at_column >= 0) & (at_column < width)
    index = jnp.clip(at_row, 0, height - 1) * width + jnp.clip(at_column, 0, width - 1)
    value = jnp.where(inside[..., None], flat[:, index], fill)
    out += weight[..., None] * value
  return out
