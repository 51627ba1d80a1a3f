"""Gaussian smoothing against direct convolution, on all of its computing paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softloc_jax import smoothing

try:
  from jax import enable_x64
except ImportError:  # jax before 0.8
  from jax.experimental import enable_x64

SOFTNESS = [0.05, 0.2, 0.5, 0.9, 0.999, 1.0, 1.001, 1.5, 3.0, 10.0, 50.0]


def naive_kernel(offsets, softness):
  """Unit mass over the whole numbers, in float64."""
  reach = np.arange(-1000, 1001)
  return np.exp(-0.5 * (offsets / softness) ** 2) / np.exp(-0.5 * (reach / softness) ** 2).sum()


def naive_smooth(values, softness):
  """Direct convolution of `[T, C]` with zeros outside."""
  kernel = naive_kernel(np.arange(-len(values) + 1, len(values)), softness)
  return np.stack(
    [np.convolve(column, kernel)[len(values) - 1 :][: len(values)] for column in values.T], axis=1
  )


@pytest.fixture(params=["matrix", "blocks", "fft"])
def path(request):
  """Runs a test on every way to compute the same."""
  return request.param


@pytest.mark.parametrize("softness", SOFTNESS)
def test_kernel(softness):
  offsets = np.arange(-400, 401)
  kernel = np.asarray(smoothing.gaussian_kernel(offsets, softness), np.float64)
  np.testing.assert_allclose(kernel.sum(), 1, atol=1e-6)
  np.testing.assert_allclose(kernel, naive_kernel(offsets, softness), rtol=1e-5, atol=1e-30)
  np.testing.assert_array_equal(kernel, kernel[::-1])


def test_kernel_in_float64():
  with enable_x64(True):
    for softness in SOFTNESS:
      kernel = np.asarray(smoothing.gaussian_kernel(jnp.arange(-400.0, 401.0), softness))
      assert kernel.dtype == np.float64
      np.testing.assert_allclose(kernel.sum(), 1, atol=6e-9)


def test_no_softness_is_no_smoothing(path):
  values = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
  np.testing.assert_allclose(
    smoothing.gaussian_smooth(values, 0.0, method=path), values, atol=1e-6 if path == "fft" else 0
  )


@pytest.mark.parametrize("softness", [0.3, 1.0, 4.0, 50.0])
def test_direct_convolution_agrees(path, softness):
  values = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
  found = smoothing.gaussian_smooth(values, softness, method=path)
  np.testing.assert_allclose(found, naive_smooth(values.astype(np.float64), softness), atol=2e-6)


def test_direct_convolution_agrees_in_float64(path):
  values = np.random.default_rng(1).normal(size=(90, 3))
  with enable_x64(True):
    found = smoothing.gaussian_smooth(values, 4.0, method=path)
  np.testing.assert_allclose(found, naive_smooth(values, 4.0), atol=1e-8)  # the mass of the kernel


@pytest.mark.parametrize("num_frames", [1, 2, 31, 32, 33, 97, 1000, 2049])
def test_any_length(path, num_frames):
  values = np.random.default_rng(2).normal(size=(num_frames, 2)).astype(np.float32)
  found = smoothing.gaussian_smooth(values, 7.0, method=path)
  assert found.shape == values.shape
  np.testing.assert_allclose(found, naive_smooth(values.astype(np.float64), 7.0), atol=2e-6)


def test_mass_stays_unless_it_leaves_the_sequence(path):
  middle, border = np.eye(101)[:, [50, 0]].T[..., None]
  np.testing.assert_allclose(smoothing.gaussian_smooth(middle, 5.0, method=path).sum(), 1, atol=1e-6)
  # At the border the half beyond it is lost, and half of the frame itself stays twice counted.
  peak = naive_kernel(np.array(0), 5.0)
  found = smoothing.gaussian_smooth(border, 5.0, method=path)
  np.testing.assert_allclose(found.sum(), 0.5 + peak / 2, atol=1e-6)


def test_shape_and_linearity(path):
  generator = np.random.default_rng(3)
  first, second = generator.normal(size=(2, 2, 1, 25, 3)).astype(np.float32)
  smooth = jax.jit(lambda values: smoothing.gaussian_smooth(values, 2.5, method=path))
  np.testing.assert_allclose(smooth(3 * first - second), 3 * smooth(first) - smooth(second), atol=5e-6)
  whole = smooth(first)
  assert whole.shape == first.shape
  for i, c in np.ndindex(2, 3):
    np.testing.assert_allclose(whole[i, 0, :, c : c + 1], smooth(first[i, 0, :, c : c + 1]), atol=2e-6)


def test_half_precision_is_smoothed_in_float32(path):
  values = jnp.asarray(np.random.default_rng(4).normal(size=(30, 1)), jnp.bfloat16)
  found = smoothing.gaussian_smooth(values, 2.0, method=path)
  assert found.dtype == jnp.float32
  whole = smoothing.gaussian_smooth(values.astype(jnp.float32), 2.0, method=path)
  np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_a_softness_of_half_precision_keeps_the_mass(dtype):
  offsets = jnp.arange(-3000, 3001)
  np.testing.assert_allclose(smoothing.gaussian_kernel(offsets, dtype(300)).sum(), 1, rtol=1e-6)


def test_gradient_in_the_values(path):
  # Linear and, but for the border, symmetric: the gradient smooths the weights, border included.
  values, weights = np.random.default_rng(7).normal(size=(2, 50, 2)).astype(np.float32)
  slope = jax.grad(lambda x: jnp.vdot(weights, smoothing.gaussian_smooth(x, 3.0, method=path)))(values)
  np.testing.assert_allclose(slope, naive_smooth(weights.astype(np.float64), 3.0), atol=2e-6)


@pytest.mark.parametrize("path", ["matrix", "fft"])
def test_gradient_in_softness(path):
  values = np.random.default_rng(5).normal(size=(30, 1))
  weights = np.random.default_rng(6).normal(size=(30, 1))

  def loss(softness):
    return jnp.vdot(weights, smoothing.gaussian_smooth(values, softness, method=path))

  with enable_x64(True):
    slope = jax.jit(jax.grad(loss))
    for softness in (0.2, 0.7, 1.3, 5.0):
      expected = (
        np.vdot(weights, naive_smooth(values, softness + 1e-5) - naive_smooth(values, softness - 1e-5)) / 2e-5
      )
      np.testing.assert_allclose(slope(softness), expected, rtol=1e-5, atol=1e-7)
  slope = jax.jit(jax.grad(loss))
  for softness in (0.0, 1e-6, 1e-3, 0.01, 0.999, 1.0, 1.001, 50.0, 1e4):
    assert np.isfinite(slope(softness)), softness


def test_equal_inputs_stay_equal_up_to_the_border():
  # What the border rule is for: a prediction that is the label costs nothing, wherever the event is.
  events = np.eye(20)[:, [0]].astype(np.float32)
  moved = np.eye(20)[:, [1]].astype(np.float32)
  smooth = smoothing.gaussian_smooth(events, 2.0) - smoothing.gaussian_smooth(events.copy(), 2.0)
  assert not smooth.any()
  assert (smoothing.gaussian_smooth(events, 2.0) - smoothing.gaussian_smooth(moved, 2.0)).any()


@pytest.mark.parametrize(
  ("num_frames", "softness", "expected"),
  [(100, 10.0, "matrix"), (1000, 10.0, "blocks"), (5000, 300.0, "fft"), (100, 300.0, "matrix")],
)
def test_the_cheapest_way_is_taken(num_frames, softness, expected):
  if jax.default_backend() != "cpu":
    pytest.skip("which way is cheapest depends on the device")
  reach = smoothing._reach(softness, np.float32)
  assert smoothing._cheapest(num_frames, reach) == expected
  assert smoothing._cheapest(num_frames, None) in ("matrix", "fft")


def test_a_softness_that_is_learned_takes_no_blocks():
  values = np.ones((3000, 1), np.float32)
  smooth = jax.jit(smoothing.gaussian_smooth, static_argnames="method")
  np.testing.assert_allclose(smooth(values, 5.0), smoothing.gaussian_smooth(values, 5.0), atol=2e-6)
  with pytest.raises(ValueError, match="method is 'blocks' and the softness is traced; expected a number"):
    smooth(values, 5.0, method="blocks")


def test_an_unknown_method_is_named():
  with pytest.raises(ValueError, match="method is 'direct'; expected 'auto', 'matrix', 'blocks' or 'fft'"):
    smoothing.gaussian_smooth(np.ones((3, 1)), 1.0, method="direct")


@pytest.mark.parametrize("softness", [-1.0, np.nan, np.inf])
def test_no_softness_at_all_is_refused(softness):
  with pytest.raises(ValueError, match=f"softness is {softness}; expected a finite number of frames, 0 or"):
    smoothing.gaussian_smooth(np.ones((3, 1)), softness)


def test_lengths_of_fourier_transforms():
  for least in range(1, 3000):
    found = smoothing._fast_length(least)
    assert least <= found <= max(1.34 * least, least + 1)
    odd = found // (found & -found)
    assert odd in (1, 3, 5)
