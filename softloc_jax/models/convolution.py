"""Convolutions that are fast for one network or a stack of them, on a CPU too.

Mapping `jax.lax.conv_general_dilated` over kernels gives a grouped convolution, whose gradient takes XLA
up to 70 times as long on a CPU as the gradients of the separate convolutions. Here they stay separate, in
one program. One over time alone is also told as such: with an axis of a single bin it takes twice as long.
`cpu_convolution` has the forms that XLA is slow to compute there.
"""

from __future__ import annotations

from collections.abc import Callable
import functools

import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import cpu_convolution


def conv_general_dilated(lhs: Array, rhs: Array, window_strides, padding, **settings) -> Array:
  """`jax.lax.conv_general_dilated` for networks that are mapped over; differentiable once, in reverse.

  Every entry of a mapped axis is a convolution of its own in the program: map over networks, not over inputs,
  which have a batch axis.

  Args:
    lhs: input.
    rhs: kernel.
    window_strides: see there, as `padding` and `settings`.
    padding: a string or pairs of numbers.
    **settings: its other arguments.

  Returns:
    What `jax.lax.conv_general_dilated` returns.

  >>> x, kernels = jnp.ones((1, 4, 1)), jnp.ones((3, 2, 1, 1))  # three kernels of two steps
  >>> numbers = ("NWC", "WIO", "NWC")
  >>> convolve = functools.partial(conv_general_dilated, dimension_numbers=numbers)
  >>> jax.vmap(lambda kernel: convolve(x, kernel, (1,), "SAME"))(kernels).shape
  (3, 1, 4, 1)
  """
  padding = padding if isinstance(padding, str) else tuple(map(tuple, padding))
  settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
  settings |= {"window_strides": tuple(window_strides), "padding": padding}
  return _convolution(tuple(sorted(settings.items(), key=lambda item: item[0])))(lhs, rhs)


@functools.cache
def _convolution(settings: tuple) -> Callable[[Array, Array], Array]:
  plain = functools.partial(_along_long_axes, **dict(settings))
  forward = one_by_one(plain)
  backward = one_by_one(lambda lhs, rhs, cotangent: jax.vjp(plain, lhs, rhs)[1](cotangent))
  convolution = jax.custom_vjp(forward)
  convolution.defvjp(
    lambda lhs, rhs: (forward(lhs, rhs), (lhs, rhs)),
    lambda inputs, cotangent: backward(*inputs, cotangent),
  )
  return convolution


def _along_long_axes(lhs: Array, rhs: Array, *, dimension_numbers=None, **settings) -> Array:
  """The convolution, told nothing of axes on which there is nothing to slide over."""
  numbers = jax.lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
  specs = (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec)
  short = [
    number
    for number, (of_lhs, of_rhs, _) in enumerate(zip(*(spec[2:] for spec in specs), strict=True))
    if lhs.shape[of_lhs] == rhs.shape[of_rhs] == settings["window_strides"][number] == 1
    and settings["padding"][number] == (0, 0)
  ]
  if not 0 < len(short) < lhs.ndim - 2:
    return cpu_convolution.convolve(lhs, rhs, numbers, **settings)
  for name in ("window_strides", "padding", "lhs_dilation", "rhs_dilation"):
    if settings.get(name) is not None:
      settings[name] = [value for number, value in enumerate(settings[name]) if number not in short]
  dropped = [tuple(spec[2 + number] for number in short) for spec in specs]
  numbers = jax.lax.ConvDimensionNumbers(*map(_without, specs, dropped))
  lhs, rhs = jnp.squeeze(lhs, dropped[0]), jnp.squeeze(rhs, dropped[1])
  return jnp.expand_dims(cpu_convolution.convolve(lhs, rhs, numbers, **settings), dropped[2])


def _without(spec: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
  """Where the other axes are once some are gone."""
  kept = [axis for axis in spec if axis not in axes]
  return tuple(sorted(kept).index(axis) for axis in kept)


def one_by_one(function: Callable) -> Callable:
  """The function, which mapping calls once for every entry of the mapped axis."""
  called = jax.custom_batching.custom_vmap(function)

  @called.def_vmap
  def mapped(axis_size, in_batched, *arguments):
    def entry(i):
      def pick(leaf, batched):
        return leaf[i] if batched else leaf

      return jax.tree.map(pick, tuple(arguments), tuple(in_batched))

    outputs = [called(*entry(i)) for i in range(axis_size)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)
    return stacked, jax.tree.map(lambda _: True, stacked)

  return called
