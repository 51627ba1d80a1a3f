"""The forms of convolutions for a CPU against XLA's own, in value and gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import several_devices

from softloc_jax.models import cpu_convolution

SAME_1 = ((1, 1), (1, 1))
CASES = {  # input, kernel, strides, padding, dilation, groups
  "3 x 3": ((3, 13, 9, 4), (3, 3, 4, 5), (1, 1), SAME_1, (1, 1), 1),
  "3 x 3, more features": ((3, 13, 9, 2), (3, 3, 2, 7), (1, 1), SAME_1, (1, 1), 1),
  "3 x 3, dilated": ((3, 13, 9, 4), (3, 3, 4, 5), (1, 1), "SAME", (3, 2), 1),
  "same": ((3, 13, 9, 4), (4, 3, 4, 5), (2, 3), "SAME", (1, 1), 1),
  "valid, and dilated": ((2, 13, 9, 4), (3, 2, 4, 5), (1, 1), "VALID", (2, 3), 1),
  "a stride, and a dilation": ((2, 14, 9, 4), (3, 3, 4, 5), (2, 1), ((3, 0), (0, 2)), (2, 2), 1),
  "pads that cut": ((2, 12, 9, 4), (3, 3, 4, 5), (2, 1), ((-1, 0), (0, -2)), (1, 1), 1),
  "three axes": ((2, 5, 6, 7, 2), (2, 3, 3, 2, 3), (1, 2, 1), ((0, 1), (1, 1), (1, 1)), (1, 1, 1), 1),
  "one axis": ((2, 12, 4), (3, 4, 5), (1,), ((1, 1),), (1,), 1),
  "tiles": ((2, 12, 8, 3), (4, 2, 3, 5), (4, 2), "SAME", (1, 1), 1),
  "tiles of one axis": ((2, 12, 3), (4, 3, 5), (4,), "VALID", (1,), 1),
  "tiles of three axes": ((2, 4, 6, 2, 3), (2, 3, 1, 3, 5), (2, 3, 1), "VALID", (1, 1, 1), 1),
  "tiles that do not fit": ((2, 11, 8, 3), (4, 2, 3, 5), (4, 2), "SAME", (1, 1), 1),
  "single pixels": ((2, 5, 6, 3), (1, 1, 3, 4), (1, 1), "SAME", (2, 2), 1),
  "each channel by itself": ((2, 9, 8, 6), (3, 3, 1, 6), (1, 1), SAME_1, (1, 1), 6),
  "each channel, with a stride": ((2, 9, 8, 6), (3, 2, 1, 6), (2, 2), "SAME", (1, 1), 6),
  "each channel twice": ((2, 9, 8, 3), (3, 3, 1, 6), (1, 1), SAME_1, (1, 1), 3),
  "no items": ((0, 9, 8, 4), (3, 3, 4, 5), (1, 1), SAME_1, (1, 1), 1),
  "no items in tiles": ((0, 12, 8, 3), (4, 2, 3, 5), (4, 2), "VALID", (1, 1), 1),
  "a kernel that does not fit": ((2, 2, 8, 4), (3, 3, 4, 5), (1, 1), "VALID", (1, 1), 1),
  "no room for each channel": ((2, 2, 8, 6), (3, 3, 1, 6), (1, 1), "VALID", (1, 1), 6),
  "few places": ((3, 2, 2, 4), (3, 3, 4, 5), (1, 1), SAME_1, (1, 1), 1),
  "few places, dilated, with a stride": ((3, 4, 3, 4), (3, 2, 4, 5), (2, 1), ((1, 2), (0, 1)), (2, 2), 1),
  "few places of three axes": ((2, 2, 3, 2, 2), (3, 3, 1, 2, 3), (1, 2, 1), "SAME", (1, 1, 1), 1),
  "groups": ((2, 9, 8, 6), (3, 3, 3, 4), (1, 1), SAME_1, (1, 1), 2),
}


def convolutions(case):
  """Ours and XLA's, of input and kernel."""
  shape, _, strides, padding, dilation, groups = case
  space = "DHW"[5 - len(shape) :]
  layout = (f"N{space}C", f"{space}IO", f"N{space}C")
  settings = {
    "window_strides": strides,
    "padding": padding,
    "rhs_dilation": dilation,
    "feature_group_count": groups,
  }

  def ours(x, kernel):
    numbers = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, layout)
    return cpu_convolution.convolve(x, kernel, numbers, **settings)

  return ours, lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **settings)


def arrays(case, dtype=np.float32):
  rng = np.random.default_rng(0)
  return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in case[:2]]


def value_and_gradients(convolve, x, kernel):
  value, pullback = jax.vjp(convolve, x, kernel)
  weights = jnp.sin(jnp.arange(value.size)).reshape(value.shape).astype(value.dtype)
  return value, *pullback(weights)


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
  monkeypatch.setattr(cpu_convolution, "_FEWEST_FEATURES", 1)
  monkeypatch.setattr(cpu_convolution, "_FEWEST_NUMBERS", 1)
  monkeypatch.setattr(cpu_convolution, "_FEWEST_ROWS_OF_MOVED", 1)


@pytest.mark.parametrize("block_numbers", [2**20, 5000, 700, 1])
@pytest.mark.parametrize("name", CASES)
def test_equals_xla(name, block_numbers, monkeypatch):
  monkeypatch.setattr(cpu_convolution, "_BLOCK_NUMBERS", block_numbers)
  inputs = arrays(CASES[name])
  ours, xla = (
    jax.jit(lambda *a, f=f: value_and_gradients(f, *a))(*inputs) for f in convolutions(CASES[name])
  )
  for found, expected in zip(ours, xla, strict=True):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["3 x 3", "tiles", "each channel by itself"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float64])
def test_other_precisions(name, dtype):
  with jax.enable_x64(dtype == np.float64):
    inputs = arrays(CASES[name], dtype)
    ours, xla = (value_and_gradients(function, *inputs) for function in convolutions(CASES[name]))
    for found, expected in zip(ours, xla, strict=True):
      assert found.dtype == expected.dtype == dtype
      scale = float(jnp.abs(expected).max())
      tolerance = scale * (1e-12 if dtype == np.float64 else 0.02)
      np.testing.assert_allclose(np.float64(found), np.float64(expected), rtol=0, atol=tolerance)


def program_of_gradients(name):
  ours, _ = convolutions(CASES[name])
  gradients = jax.grad(lambda *inputs: jnp.sum(ours(*inputs) ** 2), (0, 1))
  return jax.jit(gradients).lower(*arrays(CASES[name])).as_text()


@pytest.mark.parametrize(
  ("name", "on_cpu", "elsewhere"),
  [
    ("3 x 3", 2, 3),
    ("tiles", 0, 3),
    ("single pixels", 0, 0),
    ("each channel by itself", 0, 3),
    ("one axis", 3, 3),
    ("few places", 0, 3),
  ],
)
def test_what_is_left_to_xla(name, on_cpu, elsewhere, monkeypatch):
  # Value, and gradients by input and kernel.
  assert program_of_gradients(name).count("stablehlo.convolution") == on_cpu
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert program_of_gradients(name).count("stablehlo.convolution") == elsewhere


def test_what_gains_nothing_is_left_to_xla(monkeypatch):
  monkeypatch.setattr(cpu_convolution, "_FEWEST_FEATURES", 6)
  assert program_of_gradients("3 x 3").count("stablehlo.convolution") == 3
  monkeypatch.setattr(cpu_convolution, "_FEWEST_FEATURES", 1)
  for limit, count in ((3 * 13 * 9 * 3 * 3 * 4, 2), (3 * 13 * 9 * 3 * 3 * 4 + 1, 3)):
    monkeypatch.setattr(cpu_convolution, "_FEWEST_NUMBERS", limit)
    assert program_of_gradients("3 x 3").count("stablehlo.convolution") == count
  monkeypatch.setattr(cpu_convolution, "_MOST_TAPS", 8)
  assert program_of_gradients("each channel by itself").count("stablehlo.convolution") == 3


@pytest.mark.parametrize("layout", [("NCHW", "OIHW", "NCHW"), ("NHWC", "HWIO", "NCHW")])
def test_other_layouts(layout):
  x, kernel = arrays(CASES["3 x 3"])
  x = x if layout[0] == "NHWC" else x.transpose(0, 3, 1, 2)
  kernel = kernel if layout[1] == "HWIO" else kernel.transpose(3, 2, 0, 1)
  numbers = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, layout)
  found = cpu_convolution.convolve(x, kernel, numbers, window_strides=(1, 1), padding="SAME")
  expected = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_blocks_are_as_large_as_may_be():
  for batch, rows, numbers in [
    (32, 96, 96 * 576),
    (32, 12, 12 * 4608),
    (7, 13, 100),
    (5, 9, 2**21),
    (509, 6, 16 * 9 * 6),  # no number divides it
    (1, 1, 1),
  ]:
    items, some_rows = cpu_convolution._block(batch, rows, numbers)
    assert 1 <= items <= batch and 1 <= some_rows <= rows and (items == 1 or some_rows == rows)
    assert items * some_rows * numbers <= cpu_convolution._BLOCK_NUMBERS or (items, some_rows) == (1, 1)
    for size, part in ((batch, items), (rows, some_rows)):
      blocks = math.ceil(size / part)
      assert blocks * part - size < blocks  # as few zeros as can be


def test_each_device_multiplies_its_share():
  program = """
import re
import jax, jax.numpy as jnp, numpy as np
from softloc_jax import data_parallel
from softloc_jax.models import convolution, cpu_convolution

cpu_convolution._BLOCK_NUMBERS = 700  # several blocks on each device: one product would be divided anyway
cpu_convolution._FEWEST_FEATURES = cpu_convolution._FEWEST_NUMBERS = 1
rng = np.random.default_rng(0)
mesh = data_parallel.make_mesh()
numbers = ("NHWC", "HWIO", "NHWC")
x = rng.standard_normal((4, 9, 8, 3)).astype(np.float32)
kernels = rng.standard_normal((2, 3, 3, 3, 5)).astype(np.float32)

def gradient(x, kernels, mesh):
  def total(kernel):
    convolved = convolution.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    return jnp.sum(convolved**2)
  with data_parallel.batches_on(mesh):
    return jax.vmap(jax.grad(total))(kernels)

shardings = data_parallel.split(mesh), data_parallel.everywhere(mesh)
compute = jax.jit(gradient, in_shardings=shardings, static_argnames="mesh")
compiled = compute.lower(x, kernels, mesh).compile().as_text()
exchanged = set(re.findall(r" (all-gather|all-to-all|collective-permute|all-reduce)[-(]", compiled))
assert exchanged == {"all-reduce"}, exchanged
np.testing.assert_allclose(compute(x, kernels, mesh), gradient(x, kernels, None), rtol=1e-4, atol=1e-3)
"""
  several_devices.run(program, 2)


@pytest.mark.parametrize("name", ["3 x 3", "each channel by itself", "tiles", "single pixels", "few places"])
def test_any_size_of_batch_can_be_exported(name):
  ours, _ = convolutions(CASES[name])
  (_, *rest), kernel_shape = CASES[name][:2]
  wide = (*kernel_shape[:-1], kernel_shape[-1] if kernel_shape[-2] == 1 else 128)
  x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(", ".join(["b", *map(str, rest)])), np.float32)
  exported = jax.export.export(jax.jit(ours))(x, jax.ShapeDtypeStruct(wide, np.float32))
  inputs = [np.ones((3, *rest), np.float32), np.ones(wide, np.float32)]
  np.testing.assert_allclose(exported.call(*inputs), ours(*inputs), rtol=1e-5)


def test_any_size_of_image_can_be_exported():
  ours, _ = convolutions(CASES["3 x 3"])
  x = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, t, 9, 4", constraints=["t >= 3"]), np.float32)
  exported = jax.export.export(jax.jit(ours))(x, jax.ShapeDtypeStruct((3, 3, 4, 5), np.float32))
  inputs = arrays(CASES["3 x 3"])
  np.testing.assert_allclose(exported.call(*inputs), ours(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [12, 4])  # in blocks, and few places
def test_infinite_pixels_spoil_only_what_sees_them(rows, monkeypatch):
  monkeypatch.setattr(cpu_convolution, "_BLOCK_NUMBERS", 3 * 9 * 4 * 3)
  case = ((1, rows, 9, 3), (3, 3, 3, 4), (2, 2), "VALID", (1, 1), 1)
  x, kernel = arrays(case)
  x = x.at[0, 0, 0, 0].set(jnp.nan).at[0, rows - 1].set(jnp.inf)  # seen once, and never
  ours, xla = (value_and_gradients(function, x, kernel)[2] for function in convolutions(case))
  assert np.isnan(xla).sum() == 4
  np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(xla))


def test_infinite_pixels_spoil_a_column_of_a_kernel_whose_cotangents_are_moved():
  case = ((1, 12, 9, 3), (3, 3, 3, 4), (1, 1), "VALID", (1, 1), 1)
  x, kernel = arrays(case)
  gradients = [value_and_gradients(f, x.at[0, 0, 0, 0].set(jnp.inf), kernel)[2] for f in convolutions(case)]
  ours, xla = (np.argwhere(~np.isfinite(gradient)).tolist() for gradient in gradients)
  assert xla == [[0, 0, 0, feature] for feature in range(4)]
  assert ours == [[row, 0, 0, feature] for row in range(3) for feature in range(4)]


@pytest.mark.slow
def test_in_programs_divided_by_the_user():
  program = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from softloc_jax.models import convolution, cpu_convolution

cpu_convolution._FEWEST_FEATURES = cpu_convolution._FEWEST_NUMBERS = 1
rng = np.random.default_rng(0)
x = rng.standard_normal((4, 8, 8, 3)).astype(np.float32)
CASES = ((3, 3, 3, 5), 1, 1), ((3, 3, 1, 3), 1, 3), ((2, 2, 3, 5), 2, 1), ((1, 1, 3, 5), 1, 1)
for shape, stride, groups in CASES:
  kernel = rng.standard_normal(shape).astype(np.float32)
  settings = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": groups}
  def loss(kernel, x, convolve=convolution.conv_general_dilated):
    return jnp.sum(convolve(x, kernel, (stride, stride), "SAME", **settings) ** 2)
  expected = jax.grad(loss)(kernel, x, jax.lax.conv_general_dilated)
  for axis_type in AxisType.Auto, AxisType.Explicit:
    mesh = jax.make_mesh((2,), ("data",), axis_types=(axis_type,))
    shared, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    with jax.set_mesh(mesh):
      found = jax.jit(jax.grad(loss))(jax.device_put(kernel, shared), jax.device_put(x, split))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
  mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
  of_batch = jax.shard_map(jax.grad(loss), mesh=mesh, in_specs=(P(), P("data")), out_specs=P())
  np.testing.assert_allclose(jax.jit(of_batch)(kernel, x), expected, rtol=1e-4, atol=1e-3)
  def of_its_kernel(kernels, x):
    return jax.grad(loss)(kernels[0], x)[None]
  each = jax.shard_map(of_its_kernel, mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"))
  found = jax.jit(each)(np.stack([kernel, 2 * kernel]), x)
  np.testing.assert_allclose(found, np.stack([expected, 2 * expected]), rtol=1e-4, atol=1e-3)
"""
  several_devices.run(program, 2)
