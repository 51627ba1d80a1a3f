"""The stacked convolution against XLA's, alone and mapped once and twice, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax.models import convolution

SETTINGS = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "rhs_dilation": (2, 1)}


def arrays(*shapes):
  rng = np.random.default_rng(0)
  return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def ours(x, kernel):
  return convolution.conv_general_dilated(x, kernel, (1, 2), [(2, 0), (1, 1)], **SETTINGS)


def xla(x, kernel):
  return jax.lax.conv_general_dilated(x, kernel, (1, 2), [(2, 0), (1, 1)], **SETTINGS)


def value_and_gradients(conv, x, kernel):
  value, pullback = jax.vjp(conv, x, kernel)
  return value, *pullback(jnp.sin(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape))


@pytest.mark.parametrize(
  ("axes", "x_shape", "kernel_shape"),
  [
    ((), (), ()),
    ([(0, 0)], (3,), (3,)),
    ([(None, 0)], (), (3,)),  # bands that share their input
    ([(0, None)], (3,), ()),
    ([(0, 0), (None, 0)], (2,), (2, 3)),  # seeds of bands that share their input
    ([(0, 0), (0, 0)], (2, 3), (2, 3)),
  ],
)
def test_equals_xla(axes, x_shape, kernel_shape):
  x, kernel = arrays((*x_shape, 2, 7, 6, 2), (*kernel_shape, 2, 3, 2, 4))
  results = []
  for conv in (ours, xla):
    for in_axes in reversed(axes):
      conv = jax.vmap(conv, in_axes)
    results.append(jax.jit(lambda x, kernel, conv=conv: value_and_gradients(conv, x, kernel))(x, kernel))
  for found, expected in zip(*results, strict=True):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_mapped_kernels_stay_separate_convolutions():
  x, kernel = arrays((3, 2, 7, 6, 2), (3, 2, 3, 2, 4))
  program = jax.jit(jax.vmap(ours)).lower(x, kernel).as_text()
  assert program.count("stablehlo.convolution") == 3
  assert "feature_group_count = 3" not in program


def test_half_precision_and_named_padding():
  x, kernel = (a.astype(jnp.bfloat16) for a in arrays((1, 5, 4, 2), (3, 3, 2, 2)))
  numbers = SETTINGS["dimension_numbers"]
  same = convolution.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
  explicit = convolution.conv_general_dilated(x, kernel, (1, 1), [(1, 1)] * 2, dimension_numbers=numbers)
  assert same.dtype == jnp.bfloat16
  np.testing.assert_array_equal(same, explicit)


@pytest.mark.parametrize(
  ("x_shape", "kernel_shape", "strides", "padding"),
  [
    ((2, 7, 1, 3), (3, 1, 3, 4), (1, 1), [(1, 1), (0, 0)]),
    ((2, 8, 1, 3), (5, 1, 3, 4), (2, 1), [(1, 2), (0, 0)]),
    ((2, 1, 6, 3), (1, 3, 3, 4), (1, 1), [(0, 0), (2, 0)]),
    ((2, 1, 1, 3), (1, 1, 3, 4), (1, 1), [(0, 0), (0, 0)]),
    ((2, 7, 1, 3), (3, 2, 3, 4), (1, 1), [(1, 1), (1, 0)]),  # padding makes two bins of one
  ],
)
def test_an_axis_of_one_bin_makes_no_difference(x_shape, kernel_shape, strides, padding):
  inputs = arrays(x_shape, kernel_shape)
  results = [
    value_and_gradients(lambda x, k, conv=conv: conv(x, k, strides, padding, **SETTINGS), *inputs)
    for conv in (convolution.conv_general_dilated, jax.lax.conv_general_dilated)
  ]
  for found, expected in zip(*results, strict=True):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_axes_are_in_the_order_of_xla_where_none_is_said():
  x, kernel = arrays((2, 3, 9, 1), (4, 3, 3, 1))
  found, expected = (
    conv(x, kernel, (1, 1), [(1, 1), (0, 0)])
    for conv in (convolution.conv_general_dilated, jax.lax.conv_general_dilated)
  )
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_convolution_over_time_alone_has_one_axis():
  x, kernel = arrays((2, 7, 1, 3), (3, 1, 3, 4))

  def convolve(x, kernel):
    return convolution.conv_general_dilated(x, kernel, (1, 1), [(1, 1), (0, 0)], **SETTINGS)

  assert "dim_numbers = [b, 0, f]x[0, i, o]->[b, 0, f]" in jax.jit(convolve).lower(x, kernel).as_text()
