"""The contour sum against float64: any logits, any count, any length, tails, masks and derivatives."""

from count_oracles import enumerated_posterior, gradient_float64, log_pmf_float64, posteriors_float64
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from softloc_jax import contour
from softloc_jax import poisson_binomial as pb

try:
  from jax import enable_x64
except ImportError:  # jax before 0.8
  from jax.experimental import enable_x64

# Relative to |log Pr|, or to 1 where that is smaller; absolute for gradients.
VALUE_RTOL, GRADIENT_ATOL = 2e-6, 5e-6

KINDS = {
  "normal": lambda rng, size: rng.normal(rng.uniform(-8, 2), rng.uniform(0.1, 4), size),
  "saturated at 30": lambda rng, size: rng.choice([-30.0, 30.0], size),
  "saturated at 60": lambda rng, size: rng.choice([-60.0, 60.0], size) + rng.normal(size=size),
  "bimodal": lambda rng, size: np.where(
    rng.random(size) < rng.uniform(0, 0.5), rng.normal(rng.uniform(0, 8), 1, size), rng.normal(-8, 1, size)
  ),
  "constant": lambda rng, size: np.full(size, rng.uniform(-20, 20)),
  "wide": lambda rng, size: rng.uniform(-60, 60, size),
  "huge": lambda rng, size: rng.normal(0, 1000, size),
  "all but impossible": lambda rng, size: np.full(size, -50.0),
  "undecided or unlikely": lambda rng, size: np.where(rng.random(size) < 0.5, 0.0, -6.0),
}

run = jax.jit(contour.log_prob_and_posterior, static_argnames="max_count")
log_prob = jax.jit(pb.log_prob, static_argnames=("max_count", "method"))


def by_contour(logits, count, **settings):
  return pb.log_prob(logits, count, method="contour", **settings)


value_and_grad = jax.jit(jax.value_and_grad(by_contour), static_argnames="max_count")


def assert_exact(value, posterior, expected_value, expected_posterior):
  error = np.abs(np.asarray(value) - expected_value) / np.maximum(np.abs(expected_value), 1)
  assert error.max() <= VALUE_RTOL
  assert np.abs(np.asarray(posterior) - expected_posterior).max() <= GRADIENT_ATOL


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 9, 16, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_logits(kind, num_frames):
  """Some 6,600 sequences, a quarter of them with masked frames, half of them asked for "or more"."""
  rng = np.random.default_rng(num_frames)
  size = 120 if num_frames < 40 else 20
  logits = np.stack([KINDS[kind](rng, num_frames) for _ in range(size)]).astype(np.float32)
  where = rng.random((size, num_frames)) < rng.choice([0.5, 1, 1, 1], (size, 1))
  most = where.sum(1)
  counts = np.where(
    rng.random(size) < 0.5, rng.integers(0, most + 1), np.minimum(rng.integers(0, 4, size), most)
  )
  or_more = rng.random(size) < 0.5
  arguments = (logits.T, counts.astype(np.float32), where.T, or_more)
  value, posterior = run(*map(jnp.asarray, arguments), max_count=num_frames)
  assert_exact(value, posterior.T, *posteriors_float64(logits, counts, where, or_more))


@pytest.mark.parametrize("kind", KINDS)
def test_long_sequences(kind):
  rng = np.random.default_rng(0)
  for num_frames, counts in ((400, (0, 1, 42, 200, 399, 400)), (2000, (3, 1000))):
    logits = KINDS[kind](rng, num_frames).astype(np.float32)
    pmf = log_pmf_float64(logits)
    value, gradient = jax.jit(jax.vmap(jax.value_and_grad(by_contour), (None, 0)))(logits, np.array(counts))
    expected = pmf[list(counts)]
    assert (np.abs(value - expected) / np.maximum(np.abs(expected), 1)).max() <= VALUE_RTOL
    # Given the count, the marginals add up to it.
    totals = np.sum(np.asarray(gradient, np.float64) + expit(logits.astype(np.float64)), axis=1)
    np.testing.assert_allclose(totals, counts, atol=2e-6 * num_frames, rtol=2e-6)
  if kind in ("normal", "bimodal"):
    logits, count = KINDS[kind](rng, 300).astype(np.float32), 20
    found = jax.jit(jax.grad(by_contour))(logits, count)
    np.testing.assert_allclose(found, gradient_float64(logits, count), atol=GRADIENT_ATOL)


def test_ten_thousand_frames():
  rng = np.random.default_rng(1)
  logits = rng.normal(-7, 2, 10_000).astype(np.float32)
  counts = np.array([0, 5, 30, 60, 2000])
  value, gradient = jax.jit(jax.vmap(jax.value_and_grad(by_contour), (None, 0)))(logits, counts)
  with enable_x64(True):
    exact = jax.jit(jax.vmap(jax.value_and_grad(by_contour), (None, 0)))
    value64, gradient64 = map(np.asarray, exact(jnp.asarray(logits, jnp.float64), counts))
  assert (np.abs(value - value64) / np.maximum(np.abs(value64), 1)).max() <= VALUE_RTOL
  assert np.abs(gradient - gradient64).max() <= GRADIENT_ATOL


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_frames", [1, 7, 400])
def test_the_tilted_mean_is_the_count_within_its_tolerance(kind, num_frames):
  rng = np.random.default_rng(num_frames)
  logits = np.stack([KINDS[kind](rng, num_frames) for _ in range(300)], axis=1).astype(np.float32)
  where = rng.random(logits.shape) < rng.choice([0.5, 1, 1], 300)
  real = where.sum(axis=0)
  counts = rng.integers(0, real + 1).astype(np.float32)
  masked = np.where(where, logits, -np.inf)
  tilt = jax.jit(contour._tilt)(masked, counts, real.astype(np.float32))
  shares = expit(masked + np.asarray(tilt, np.float64))
  away = shares.sum(axis=0) - np.clip(counts, 0.5, np.maximum(real - 0.5, 0.5))
  spread = np.sqrt((shares * (1 - shares)).sum(axis=0))
  # Where float32 has no tilt in between, steep logits leave no more than a few times its rounding.
  steps = np.spacing(np.maximum(np.abs(tilt), np.abs(logits).max(axis=0))) * spread**2
  found = np.where(real > 0, np.abs(away), 0.0)
  assert (found <= np.maximum(1.001 * contour._TILT_TOLERANCE * spread, 4 * steps + 1e-5)).all()


# Newton's method alone goes round in circles here.
CIRCLES = (
  (
    "8.85 15.79 3.09 7.33 -9.97 -31.91 5.09 5.38 15.03 .01 -6.16 4.41 8.17 -8.04 -13.23 3.82 -5.53 .28"
    " -30.47 22.69"
  ),
  (
    "20.88 -36.75 27.08 -39.82 13.16 45.28 13.09 2.73 -38.6 19.82 -37.68 50.37 9.17 -5.99 -54.68 -58.16"
    " 32.31 4.81 4.3 12.8"
  ),
)


@pytest.mark.parametrize(("text", "count"), [(CIRCLES[0], 5), (CIRCLES[1], 7)])
def test_the_tilt_arrives_where_newton_goes_round_in_circles(text, count):
  logits = np.array([float(x) for x in text.split()], np.float32)
  tilt = contour._tilt(logits[:, None], np.float32([count]), np.float32([len(logits)]))
  shares = expit(logits + np.asarray(tilt, np.float64))
  assert abs(shares.sum() - count) <= contour._TILT_TOLERANCE * np.sqrt((shares * (1 - shares)).sum())


@pytest.mark.parametrize("largest", [9.857e20, 3e28])
def test_the_tilt_arrives_between_logits_of_any_size(largest):
  # For certain the largest, nearly for certain the others that are positive: one of those has to be missed.
  value, gradient = value_and_grad(np.array([85.29, largest, -386.2, 167.4], np.float32), 2)
  np.testing.assert_allclose(value, -85.29, rtol=1e-6)
  np.testing.assert_allclose(gradient, [-1, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("num_frames", [1, 6, 33, 150])
def test_float64(num_frames):
  logits = np.random.default_rng(num_frames).normal(-1, 3, num_frames)
  pmf = log_pmf_float64(logits)
  for count in {0, 1, num_frames // 3, num_frames}:
    with enable_x64(True):
      value, gradient = value_and_grad(jnp.asarray(logits), count)
      assert value.dtype == gradient.dtype == jnp.float64
    np.testing.assert_allclose(value, pmf[count], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradient, gradient_float64(logits, count), atol=1e-12)


@pytest.mark.parametrize("max_count", [0, 1, 3, 8, 11])
def test_mass_thresholding_as_by_scan(max_count):
  rng = np.random.default_rng(max_count)
  logits = rng.normal(-1, 3, (10, 8)).astype(np.float32)
  counts = np.arange(10)[:, None]
  found, expected = (
    log_prob(logits, counts, max_count=max_count, method=method) for method in ("contour", "scan")
  )
  np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_masked_frames_are_no_frames():
  where = np.array([True, False, True, True, False, True, True, False])
  logits = np.random.default_rng(9).normal(0, 2, 8).astype(np.float32)
  value, gradient = value_and_grad(logits[where], 2)
  for garbage in (0.0, 1e4, -3e38, np.inf, -np.inf, np.nan):
    masked, masked_gradient = value_and_grad(np.where(where, logits, np.float32(garbage)), 2, where=where)
    np.testing.assert_allclose(masked, value, rtol=1e-6)
    np.testing.assert_allclose(masked_gradient[where], gradient, atol=1e-6)
    np.testing.assert_array_equal(masked_gradient[~where], 0)


@pytest.mark.parametrize("count", [-1, 7, 1.5, np.nan])
def test_impossible_counts_have_no_gradient(count):
  logits = np.random.default_rng(10).normal(0, 2, (3, 6)).astype(np.float32)
  counts = np.array([2.0, count, 6.0])
  values = log_prob(logits, counts, method="contour")
  np.testing.assert_array_equal(np.isfinite(values), [True, False, True])
  together = jax.jit(jax.grad(lambda x: by_contour(x, counts).sum()))(logits)
  assert np.isfinite(together).all() and not together[1].any() and together[0].any() and together[2].any()


def test_no_frames_and_no_sequences():
  np.testing.assert_array_equal(by_contour(np.zeros((2, 0)), np.array([0, 1])), [0, -np.inf])
  assert by_contour(np.zeros((0, 5)), 2).shape == (0,)
  value, gradient = value_and_grad(np.full(4, np.nan), 0, where=np.zeros(4, bool))
  assert value == 0 and not gradient.any()


def test_leading_axes_broadcast_and_map():
  rng = np.random.default_rng(15)
  logits = rng.normal(0, 2, (2, 1, 7)).astype(np.float32)
  counts, where = np.array([0, 3, 5]), np.arange(7) < np.array([7, 6, 5])[:, None]
  batched = by_contour(logits, counts, where=where)
  assert batched.shape == (2, 3)
  mapped = jax.vmap(jax.vmap(lambda x, k, w: by_contour(x, k, where=w), (None, 0, 0)), (0, None, None))
  np.testing.assert_allclose(jax.jit(mapped)(logits[:, 0], counts, where), batched, rtol=1e-6, atol=1e-6)


def test_half_precision_is_computed_in_float32():
  half = jnp.asarray(np.random.default_rng(17).normal(0, 2, 20), jnp.bfloat16)
  value, gradient = value_and_grad(half, 5)
  expected, full_gradient = value_and_grad(half.astype(jnp.float32), 5)
  assert value.dtype == jnp.float32 and value == expected
  np.testing.assert_array_equal(gradient, full_gradient.astype(jnp.bfloat16))


def test_forward_mode_and_second_derivatives():
  logits = np.random.default_rng(12).normal(0, 2, 6)
  marginals, weights, outcomes = enumerated_posterior(logits, 2)
  given_count = (outcomes - marginals).T @ (weights[:, None] * (outcomes - marginals))
  prior = np.diag(expit(logits) * expit(-logits))
  with enable_x64(True):
    x = jnp.asarray(logits)
    for derivative in (jax.hessian, lambda f: jax.jacfwd(jax.jacfwd(f))):
      found = jax.jit(derivative(by_contour))(x, 2)
      np.testing.assert_allclose(found, given_count - prior, atol=1e-10)
    forward = jax.jit(lambda x, dx: jax.jvp(lambda x: by_contour(x, 2), (x,), (dx,))[1])(x, jnp.ones(6))
    np.testing.assert_allclose(forward, np.sum(marginals - expit(logits)), atol=1e-10)


def test_nodes_do_not_grow_with_the_count():
  eps = float(np.finfo(np.float32).eps)
  few = [contour._num_nodes(most, eps) for most in (1.0, 3.0, 10.0, 100.0, 10_000.0)]
  assert few == sorted(few) and few[-1] == few[-2] <= 14 and few[0] < 8
  assert contour._num_nodes(1e4, 1e-16) < 40
