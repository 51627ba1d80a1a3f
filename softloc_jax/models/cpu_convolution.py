"""Convolutions in forms that a CPU computes faster than XLA's own (`experiments.benchmark` says by how much).

Patches that do not overlap, such as single pixels, are one matrix product, and so are those of a few places.
A convolution of each channel by itself is a sum of shifted products. The gradient with respect to any other
kernel is a sum of matrix products of patches and cotangents, for so many patches at a time that they stay in
the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools
import itertools
import math
from typing import NamedTuple

import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax import data_parallel

# In the patches that are multiplied at a time, if one row of outputs has no more: 4 MB of single precision,
# the best of .3 to 20 MB for the layers of VGG-13.
_BLOCK_NUMBERS = 2**20
# Each number of a kernel is an operation of the program: larger kernels take seconds to compile.
_MOST_TAPS = 25
# For each row by which a kernel is higher than one: moving cotangents pays from so many rows of outputs on.
_FEWEST_ROWS_OF_MOVED = 8
# Copying patches pays for wide products of many of them. With as many features as channels, and from these
# numbers on, kernels of 3 x 3 gained up to 2.8 times and lost a tenth at most; below, up to two thirds.
_FEWEST_FEATURES = 32
_FEWEST_NUMBERS = 2**22
# XLA is slowest here: at 2 x 2 places of 512 channels `experiments.benchmark` sees gains of 50 to 80 times,
# value and gradients. At 3 x 3 places some sizes gained, others lost.
_FEW_PLACES = 4


class Sliding(NamedTuple):
  """How a kernel moves over the axes between batch and channels: a number, or a pair, for each of them."""

  strides: tuple[int, ...]
  padding: tuple[tuple[int, int], ...]
  dilation: tuple[int, ...]

  @classmethod
  def over(cls, space, sides, strides, padding, dilation) -> Sliding:
    """Over these axes with a kernel of these sides; the padding may be a string."""
    if isinstance(padding, str):
      spans = [(side - 1) * gap + 1 for side, gap in zip(sides, dilation, strict=True)]
      padding = jax.lax.padtype_to_pads(space, spans, strides, padding)
    return cls(tuple(strides), tuple(map(tuple, padding)), tuple(dilation))


def convolve(
  lhs: Array,
  rhs: Array,
  numbers: jax.lax.ConvDimensionNumbers,
  *,
  window_strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
  **settings,
) -> Array:
  """`jax.lax.conv_general_dilated`, in a form that is fast on a CPU too; differentiable once, in reverse.

  Devices that hold shares of a batch multiply those only where `data_parallel.batches_on` says so.

  Args:
    lhs: input.
    rhs: kernel.
    numbers: which axis is which.
    window_strides: see there, as `padding` and `settings`.
    padding: a string or pairs of numbers.
    **settings: its other arguments.
  """
  plain = functools.partial(
    jax.lax.conv_general_dilated,
    window_strides=window_strides,
    padding=padding,
    dimension_numbers=numbers,
    **settings,
  )
  if not _is_usual(lhs, rhs, numbers, settings):
    return plain(lhs, rhs)
  *sides, seen_channels, features = rhs.shape
  space, channels = lhs.shape[1:-1], lhs.shape[-1]
  sliding = Sliding.over(
    space, sides, window_strides, padding, settings.get("rhs_dilation") or [1] * len(space)
  )
  out = _out_shape(space, sides, sliding)
  if 0 in lhs.shape or 0 in rhs.shape or min(out) < 1:
    return plain(lhs, rhs)
  groups = settings.get("feature_group_count", 1)
  if groups == 1 and _tiles(space, sides, sliding) and (max(sides) == 1 or _is_slow(lhs)):
    return _of_tiles(lhs, rhs)
  by_itself = seen_channels == 1 < groups == channels == features
  if _is_slow(lhs) and math.prod(sides) <= _MOST_TAPS:
    if groups == 1 < len(space) and math.prod(out) <= _FEW_PLACES:
      return _of_patches(lhs, rhs, sliding)
    numbers_of_patches = math.prod([lhs.shape[0], *out, *sides, channels])
    of_all = groups == 1 < len(space) and features >= max(channels, _FEWEST_FEATURES)
    if by_itself or (of_all and numbers_of_patches >= _FEWEST_NUMBERS):
      return _slide_with_gradient(lhs, rhs, sliding)
  return plain(lhs, rhs)


def _is_slow(lhs: Array) -> bool:
  """Whether there is something to gain, and all sizes are known. XLA adds half precision up in single."""
  return (
    jax.default_backend() == "cpu"
    and lhs.dtype in (jnp.float32, jnp.float64)
    and all(isinstance(size, int) for size in lhs.shape)
  )


def _is_usual(lhs: Array, rhs: Array, numbers: jax.lax.ConvDimensionNumbers, settings: dict) -> bool:
  """Whether batch, space and channels come in this order, and nothing is asked for but how to slide.

  Sizes may be unknown for the batch only. Arrays that do not fit together, explicit shardings and the inside
  of `jax.shard_map` are left to XLA, which knows the rules there.
  """
  last = (0, lhs.ndim - 1, *range(1, lhs.ndim - 1))
  kernel_last = (rhs.ndim - 1, rhs.ndim - 2, *range(rhs.ndim - 2))
  return (
    lhs.ndim > 2
    and (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec) == (last, kernel_last, last)
    and all(isinstance(size, int) for size in (*lhs.shape[1:], *rhs.shape))
    and lhs.dtype == rhs.dtype
    and lhs.shape[-1] == rhs.shape[-2] * settings.get("feature_group_count", 1)
    and set(jax.sharding.get_abstract_mesh().axis_types) <= {jax.sharding.AxisType.Auto}
    and all(gap == 1 for gap in settings.get("lhs_dilation") or ())
    and settings.get("batch_group_count", 1) == 1
    and settings.get("precision") is settings.get("out_sharding") is None
    and settings.get("preferred_element_type") in (None, lhs.dtype)
  )


def _tiles(space: Sequence[int], sides: Sequence[int], sliding: Sliding) -> bool:
  """Whether the kernel sees each pixel once."""
  return (
    tuple(sides) == sliding.strides
    and not any(map(any, sliding.padding))
    and all(gap == 1 or side == 1 for gap, side in zip(sliding.dilation, sides, strict=True))
    and not any(size % side for size, side in zip(space, sides, strict=True))
  )


def _of_tiles(x: Array, kernel: Array) -> Array:
  """A convolution whose patches do not overlap: `[B, *space, I], [*k, I, O] -> [B, *space / k, O]`."""
  sides, spatial = kernel.shape[:-2], x.ndim - 2
  if max(sides) > 1:
    split = itertools.chain(*((size // side, side) for size, side in zip(x.shape[1:-1], sides, strict=True)))
    x = x.reshape(x.shape[0], *split, x.shape[-1])
    x = x.transpose(0, *range(1, 2 * spatial, 2), *range(2, 2 * spatial + 1, 2), x.ndim - 1)
    x = x.reshape(*x.shape[: 1 + spatial], -1)
  return x @ kernel.reshape(-1, kernel.shape[-1])


def _of_patches(x: Array, kernel: Array, sliding: Sliding) -> Array:
  """A convolution as one product with copies of all patches: `[B, *space, I], [*k, I, O] -> [B, *out, O]`."""
  sides = kernel.shape[:-2]
  out = _out_shape(x.shape[1:-1], sides, sliding)
  patches = jnp.concatenate(list(_taps(_pad(x, sliding.padding), sides, out, sliding)), axis=-1)
  return patches @ kernel.reshape(-1, kernel.shape[-1])


def _slide(x: Array, kernel: Array, sliding: Sliding) -> Array:
  """A convolution `[B, *space, C], [*k, I, O] -> [B, *out, O]` over all channels, or of each by itself."""
  if kernel.shape[-2] < x.shape[-1]:
    out = _out_shape(x.shape[1:-1], kernel.shape[:-2], sliding)
    taps = _taps(_pad(x, sliding.padding), kernel.shape[:-2], out, sliding)
    return sum(tap * weights for tap, weights in zip(taps, kernel.reshape(-1, x.shape[-1]), strict=True))
  space = "DHW"[5 - x.ndim :]
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    sliding.strides,
    sliding.padding,
    rhs_dilation=sliding.dilation,
    dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
  )


def _slide_forward(x, kernel, sliding):
  # The barriers: fused with a batch normalisation before them, XLA's convolutions take longer, by a tenth of
  # the training step of the paper's network for digits.
  x = jax.lax.optimization_barrier(x)
  return _slide(x, kernel, sliding), (x, kernel)


def _slide_backward(sliding, inputs, cotangent):
  x, kernel = inputs
  cotangent = jax.lax.optimization_barrier(cotangent)
  (of_x,) = jax.linear_transpose(lambda x: _slide(x, kernel, sliding), x)(cotangent)
  of_shares = data_parallel.on_shares(
    lambda x, cotangent: kernel_gradient(x, cotangent, kernel.shape, sliding)[None], x, cotangent
  )
  return of_x, of_shares.sum(axis=0)


_slide_with_gradient = jax.custom_vjp(_slide, nondiff_argnums=(2,))
_slide_with_gradient.defvjp(_slide_forward, _slide_backward)


def kernel_gradient(x: Array, cotangent: Array, shape: Sequence[int], sliding: Sliding) -> Array:
  """Gradient with respect to a kernel: `[B, *space, C], [B, *out, O] -> [*k, I, O]`.

  Args:
    x: input of the convolution.
    cotangent: of its output.
    shape: of the kernel. It sees all channels, `I == C`, or is one for each of them, `I == 1` and `O == C`.
    sliding: how it is moved.
  """
  batch, out_rows, *others = cotangent.shape[:-1]
  *sides, seen_channels, features = shape
  stride, (before, after), span = sliding.strides[0], sliding.padding[0], (sides[0] - 1) * sliding.dilation[0]
  by_itself = seen_channels < x.shape[-1]
  moved = not by_itself and _moving_pays(shape, out_rows, sliding)
  still = [(0, 0)] * len(others)
  seen_sides, moves = ([1, *sides[1:]], sides[0]) if moved else (sides, 1)
  copied = math.prod([*seen_sides, x.shape[-1]]) + (moves * features if moved else 0)
  items, rows = _block(batch, out_rows, math.prod([*others, copied]))
  blocks_of_items, blocks_of_rows = -(-batch // items), -(-out_rows // rows)
  more_items, more_rows = blocks_of_items * items - batch, blocks_of_rows * rows - out_rows
  # Zeros, where blocks do not divide: added, they change nothing. What no output sees is cut off first: it
  # may be infinite.
  unseen = before + x.shape[1] + after - ((out_rows - 1) * stride + span + 1)
  x = _pad(x, ((before, after - unseen), *sliding.padding[1:]))
  x = _pad(x, ((0, more_rows * stride), *still), more_items)
  cotangent = _pad(cotangent, ((0, more_rows), *still), more_items)

  def add(total, number):
    item, row = number // blocks_of_rows * items, number % blocks_of_rows * rows
    seen = _slice(x, (item, row * stride), (items, (rows - 1) * stride + span + 1))
    given = _slice(cotangent, (item, row), (items, rows))
    taps = list(_taps(seen, seen_sides, (rows + span if moved else rows, *others), sliding))
    if by_itself:
      return total + jnp.stack([(tap * given).sum(range(tap.ndim - 1)) for tap in taps]), None
    if moved:
      down = range(0, span + 1, sliding.dilation[0])
      given = jnp.concatenate([_pad(given, ((by, span - by), *still)) for by in down], axis=-1)
    patches = jnp.concatenate(taps, axis=-1)
    return total + patches.reshape(-1, patches.shape[-1]).T @ given.reshape(-1, given.shape[-1]), None

  start = jnp.zeros((math.prod([*seen_sides, seen_channels]), moves * features), x.dtype)
  # Told to vary over devices where the input does, as a loop has to be in `jax.shard_map`.
  start = jnp.where(False, x.ravel()[0], start)
  total, _ = jax.lax.scan(add, start, jnp.arange(blocks_of_items * blocks_of_rows))
  total = total.reshape(*seen_sides, seen_channels, moves, features)
  return jnp.moveaxis(total, -2, 0).reshape(shape)


def _moving_pays(shape: Sequence[int], out_rows: int, sliding: Sliding) -> bool:
  """Whether the taps of the first axis should move the cotangent, instead of the input.

  Of a kernel of 3 x 3 three patches and three moved cotangents are less to copy than nine patches. But rows
  in which no output begins are multiplied too, by zero: an infinite pixel at the border spoils its whole
  column of taps.
  """
  rows, *others, channels, features = shape
  copied = math.prod(others) * channels + rows * features
  span = (rows - 1) * sliding.dilation[0]
  return (
    len(others) > 0
    and sliding.strides[0] == 1
    and copied <= rows * math.prod(others) * channels
    and span * _FEWEST_ROWS_OF_MOVED <= out_rows
  )


def _block(batch: int, rows: int, numbers_of_row: int) -> tuple[int, int]:
  """How many items, and rows of each, are multiplied at a time: a row at least."""
  fitting = max(_BLOCK_NUMBERS // numbers_of_row, 1)
  if fitting < rows:
    return 1, _even(rows, fitting)
  return _even(batch, fitting // rows), rows


def _even(size: int, most: int) -> int:
  """Size of the least equal parts that are as few as parts of no more than `most` can be."""
  return -(-size // -(-size // most))


def _out_shape(space: Sequence[int], sides: Sequence[int], sliding: Sliding) -> tuple[int, ...]:
  return tuple(
    (size + sum(pads) - (side - 1) * gap - 1) // stride + 1
    for size, side, stride, pads, gap in zip(space, sides, *sliding, strict=True)
  )


def _taps(padded: Array, sides: Sequence[int], out: Sequence[int], sliding: Sliding):
  """What each number of a kernel is multiplied by: arrays `[B, *out, C]`."""
  for tap in itertools.product(*map(range, sides)):
    starts = [number * gap for number, gap in zip(tap, sliding.dilation, strict=True)]
    yield padded[
      :,
      *(
        slice(start, start + (size - 1) * stride + 1, stride)
        for start, size, stride in zip(starts, out, sliding.strides, strict=True)
      ),
    ]


def _pad(x: Array, padding: Sequence[tuple[int, int]], more_items: int = 0) -> Array:
  """Zeros around the axes between batch and channels, where a negative number cuts, and for further items."""
  by_axis = ((0, more_items, 0), *((*pads, 0) for pads in padding), (0, 0, 0))
  return jax.lax.pad(x, jnp.zeros((), x.dtype), by_axis)


def _slice(array: Array, starts: tuple, sizes: tuple[int, ...]) -> Array:
  """A part of the first axes, and all of the others."""
  rest = array.shape[len(sizes) :]
  return jax.lax.dynamic_slice(array, (*starts, *[0] * len(rest)), (*sizes, *rest))
