"""The count distribution against enumeration, scipy, and a float64 recursion in NumPy."""

import functools
import inspect

from count_oracles import (
  enumerated_log_pmf,
  enumerated_posterior,
  gradient_float64,
  log_pmf_float64,
)
from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logsumexp

from softloc_jax import poisson_binomial as pb

try:
  from jax import enable_x64
except ImportError:  # jax before 0.8
  from jax.experimental import enable_x64

# Compiled once a shape: most of this file's time would go into compiling the same again.
log_prob = jax.jit(pb.log_prob, static_argnames="max_count")
log_pmf = jax.jit(pb.log_pmf, static_argnames="max_count")
log_interval_prob = jax.jit(pb.log_interval_prob, static_argnames="max_count")
posterior = jax.jit(pb.posterior)
value_and_grad = jax.jit(jax.value_and_grad(pb.log_prob), static_argnames="max_count")

# Largest errors allowed in float32, twice those seen in 9,000 adversarial sequences of 40 frames with
# log-probabilities down to -2,300.
VALUE_RTOL = 3e-6  # relative to |log Pr|, or to 1 where that is smaller
GRADIENT_ATOL = 1e-4


@jax.jit
def all_counts(logits):
  """`log_prob`, its gradient and the posterior for every count `[T + 1]` of logits `[..., T]`."""
  counts = jnp.arange(logits.shape[-1] + 1)
  rows = logits.reshape(-1, 1, logits.shape[-1])
  each = jax.vmap(jax.vmap(jax.value_and_grad(pb.log_prob), (None, 0)), (0, None))
  values, gradients = each(rows[:, 0], counts)
  leading = (*logits.shape[:-1], len(counts))
  marginals = pb.posterior(rows, counts)
  return values.reshape(leading), gradients.reshape(*leading, -1), marginals.reshape(*leading, -1)


def random_logits(seed, *shape, scale=2.0):
  return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


@pytest.mark.parametrize("num_frames", [0, 1, 2, 5, 12])
def test_log_pmf_is_the_sum_over_subsets(num_frames):
  logits = random_logits(num_frames, num_frames)
  expected = enumerated_log_pmf(logits.astype(np.float64))
  np.testing.assert_allclose(log_pmf_float64(logits), expected, rtol=1e-12, atol=1e-14)
  np.testing.assert_allclose(log_pmf(logits, max_count=num_frames), expected, rtol=1e-6, atol=1e-6)
  found = log_prob(logits, np.arange(num_frames + 1))
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_posterior_is_the_share_of_subsets():
  logits = random_logits(3, 9)
  counts = np.arange(10)
  found = posterior(np.broadcast_to(logits, (10, 9)), counts)
  expected = [enumerated_posterior(logits.astype(np.float64), k)[0] for k in counts]
  np.testing.assert_allclose(found, expected, rtol=5e-6, atol=1e-12)  # small ones keep their digits
  np.testing.assert_allclose(found.sum(-1), counts, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
  ("low", "high"),
  [(2, 4), (0, 0), (0, 8), (-3, 1), (5, 99), (8, 8), (0.5, 2.5), (3, 2), (9, 12), (-5, -1), (1.2, 1.8)],
)
def test_interval_is_the_sum_of_its_counts(low, high):
  logits = random_logits(4, 8)
  pmf = enumerated_log_pmf(logits.astype(np.float64))
  counts = np.arange(9)
  inside = (counts >= low) & (counts <= high)
  expected = logsumexp(pmf[inside]) if inside.any() else -np.inf
  value, gradient = jax.value_and_grad(pb.log_interval_prob)(logits, low, high, max_count=8)
  np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)
  assert np.isfinite(gradient).all()
  if not inside.any():
    assert not gradient.any()


def test_interval_with_mass_thresholding():
  logits = random_logits(5, 8)
  pmf = np.exp(enumerated_log_pmf(logits.astype(np.float64)))
  # With three bins and "2 or more", an interval that reaches 2 goes on to the end; so does one above.
  found = np.exp(log_interval_prob(logits, np.array([1, 2, 4, 0, 9]), np.array([2, 3, 6, 1, 9]), max_count=2))
  np.testing.assert_allclose(found, [1 - pmf[0], pmf[2:].sum(), pmf[2:].sum(), pmf[:2].sum(), 0], rtol=2e-6)


@pytest.mark.parametrize("num_frames", [7, 400])
def test_scipy_agrees(num_frames):
  logits = random_logits(6, num_frames, scale=3) - 2
  law = stats.poisson_binom(expit(logits.astype(np.float64)))
  counts = np.arange(num_frames + 1)
  found = np.exp(log_pmf(logits, max_count=num_frames))
  np.testing.assert_allclose(found, law.pmf(counts), rtol=1e-4, atol=1e-7)  # scipy's own tails are poor
  np.testing.assert_allclose(pb.mean(logits), law.mean(), rtol=1e-6)
  np.testing.assert_allclose(pb.variance(logits), law.var(), rtol=1e-6)
  max_count = num_frames // 4
  last_bin = np.exp(log_pmf(logits, max_count=max_count)[-1])
  np.testing.assert_allclose(last_bin, law.sf(max_count - 1), rtol=1e-5)


@pytest.mark.parametrize("max_count", [0, 1, 3, 8, 11])
def test_mass_thresholding(max_count):
  logits = random_logits(7, 8)
  whole = np.exp(enumerated_log_pmf(logits.astype(np.float64)))
  bins = np.zeros(max_count + 1)
  np.add.at(bins, np.minimum(np.arange(9), max_count), whole)
  pmf = log_pmf(logits, max_count=max_count)
  np.testing.assert_allclose(np.exp(pmf), bins, rtol=2e-6, atol=1e-12)
  np.testing.assert_allclose(np.exp(pmf).sum(), 1, rtol=1e-6)
  # Counts from max_count on have the probability of the last bin, up to what the frames can hold.
  found = np.exp(log_prob(logits, np.arange(10), max_count=max_count))
  expected = np.append(bins[np.minimum(np.arange(9), max_count)], 0)
  np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-12)


def test_without_bins_nothing_is_asked():
  value, gradient = value_and_grad(random_logits(8, 5), 3, max_count=0)
  assert value == 0
  assert not gradient.any()


def test_no_frames():
  empty = jnp.zeros((2, 0))
  np.testing.assert_array_equal(log_prob(empty, jnp.array([0, 1])), [0, -np.inf])
  np.testing.assert_array_equal(log_pmf(empty[0], max_count=2), [0, -np.inf, -np.inf])
  assert posterior(empty, jnp.array([0, 1])).shape == (2, 0)
  np.testing.assert_array_equal(pb.mean(empty), [0, 0])


@jax.jit
def everything(logits, where):
  """Every function's value, and what it says of each frame: gradients and posterior `[5, T]`."""

  def scalars(logits):
    interval = pb.log_interval_prob(logits, 1, 3, max_count=6, where=where)
    moments = [pb.mean(logits, where=where), pb.variance(logits, where=where)]
    return jnp.stack([pb.log_prob(logits, 2, where=where), interval, *moments])

  frames = jnp.vstack([jax.jacrev(scalars)(logits), pb.posterior(logits, 2, where=where)])
  return scalars(logits), pb.log_pmf(logits, max_count=6, where=where), frames


def test_masked_frames_are_no_frames():
  where = np.array([True, False, True, True, False, True, True, False])
  logits = random_logits(9, 8)
  *cropped, cropped_frames = everything(logits[where], np.ones(5, bool))
  for garbage in (0.0, 1e4, -3e38, np.inf, -np.inf, np.nan):
    *masked, masked_frames = everything(np.where(where, logits, np.float32(garbage)), where)
    for found, expected in zip(masked, cropped, strict=True):
      np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(masked_frames)[:, where], cropped_frames, rtol=2e-5, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(masked_frames)[:, ~where], 0)


def test_all_frames_masked():
  where = np.zeros(4, bool)
  for count, expected in ((0, 0.0), (1, -np.inf)):
    value, gradient = value_and_grad(jnp.full(4, jnp.nan), count, where=where)
    assert value == expected
    assert not gradient.any()


@jax.jit
def impossible_count(logits, counts):
  alone = jax.vmap(jax.value_and_grad(pb.log_prob))(logits, counts)
  together = jax.grad(lambda x: pb.log_prob(x, counts).sum())(logits)
  return *alone, together, pb.posterior(logits, counts)


@pytest.mark.parametrize("count", [-1, 7, 1.5, np.nan])
def test_impossible_counts(count):
  values, gradients, together, marginals = impossible_count(
    random_logits(10, 3, 6), np.array([2.0, count, 6.0])
  )
  np.testing.assert_array_equal(np.isfinite(values), [True, False, True])
  assert values[1] == -np.inf
  np.testing.assert_array_equal(gradients[1], 0)
  np.testing.assert_array_equal(marginals[1], 0)
  # Nothing of it reaches the others in a batched call, where the sum of the values is -inf.
  np.testing.assert_allclose(together, gradients, rtol=1e-6)
  assert np.isfinite(together).all()
  assert gradients[0].any() and gradients[2].any()
  np.testing.assert_allclose(marginals[2], 1, rtol=1e-6)


@pytest.mark.parametrize("method", ["scan", "contour"])
@pytest.mark.parametrize("most", [pytest.param(1e6, marks=pytest.mark.slow), 3e38, np.inf])
def test_logits_without_bounds(method, most):
  logits = np.array([most, -1.0, 0.5, -most, 0.3, most], np.float32)  # two events for certain, one never
  value_of = jax.value_and_grad(functools.partial(pb.log_prob, method=method))
  for count in range(7):
    value, gradient = value_of(jnp.asarray(logits), count)
    marginals = pb.posterior(logits, count, method=method)
    assert np.isfinite(value) and np.isfinite(gradient).all() and np.isfinite(marginals).all()
    if 2 <= count <= 5:
      expected = pb.log_prob(logits[[1, 2, 4]], count - 2)
      np.testing.assert_allclose(value, expected, rtol=2e-6)
      np.testing.assert_allclose(marginals[np.array([0, 3, 5])], [1, 0, 1], atol=1e-6)
    else:
      assert value < -1e5


@pytest.mark.parametrize(("dtype", "max_count"), [(np.uint8, 300), (np.int8, 200), (jnp.bfloat16, 301)])
@pytest.mark.parametrize("method", ["scan", "contour"])
def test_counts_of_a_type_that_cannot_hold_the_largest(dtype, max_count, method):
  logits = random_logits(11, 400)
  narrow, wide = (np.array([0, 60, 120], one) for one in (dtype, np.int32))
  settings = {"max_count": max_count, "method": method}
  np.testing.assert_array_equal(
    pb.log_prob(logits, narrow, **settings), pb.log_prob(logits, wide, **settings)
  )


def test_intervals_of_a_type_that_cannot_hold_the_largest():
  logits, ends = random_logits(11, 400), np.array([220, 240])
  found, expected = (
    pb.log_interval_prob(logits, *ends.astype(dtype), max_count=300) for dtype in (np.uint8, np.int32)
  )
  assert np.isfinite(expected) and found == expected


def test_a_largest_count_that_is_refused_spoils_no_other():
  with pytest.raises(TypeError, match="integer"):
    pb.log_pmf(np.zeros(5), max_count=4.0)
  assert pb.log_pmf(np.zeros(5), max_count=4).shape == (5,)


@pytest.mark.parametrize("max_count", [4.0, 4.5])
@pytest.mark.parametrize("method", ["scan", "contour"])
def test_a_largest_count_is_a_whole_number_by_every_method(max_count, method):
  with pytest.raises(TypeError, match="integer"):
    pb.log_prob(np.zeros(8), 6, max_count=max_count, method=method)


@pytest.mark.parametrize("method", ["auto", "scan", "contour"])
def test_no_counts_of_a_long_sequence(method):
  assert pb.log_prob(np.zeros(500), np.zeros((0,), int), method=method).shape == (0,)


@pytest.mark.parametrize("frames", [1, 8])
def test_a_mask_of_other_frames_is_refused(frames):
  with pytest.raises(ValueError, match=f"where has {frames} frames; expected 5, as logits have"):
    pb.log_prob(np.zeros((2, 5)), 1, where=np.ones(frames, bool))


def test_an_accelerator_has_no_loop_over_frames(monkeypatch):
  assert pb._resolve("auto", (4, 20), 3) == "scan"
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert pb._resolve("auto", (4, 20), 3) == "contour"
  assert pb._resolve("scan", (4, 20), 3) == "scan"


def test_counts_beyond_the_mask_are_impossible():
  where = np.array([True, True, False, False])
  np.testing.assert_array_equal(
    np.isfinite(log_prob(np.zeros(4), np.arange(5), where=where)), [1, 1, 1, 0, 0]
  )
  assert log_interval_prob(np.zeros(4), 3, 4, max_count=4, where=where) == -np.inf


@pytest.mark.parametrize("count", [0, 1, 5, 17, 33])
def test_gradient_against_finite_differences(count):
  logits = random_logits(11, 33).astype(np.float64)
  step = 1e-5
  numeric = [
    (log_pmf_float64(logits + step * unit)[count] - log_pmf_float64(logits - step * unit)[count]) / (2 * step)
    for unit in np.eye(33)
  ]
  with enable_x64(True):
    value, gradient = value_and_grad(jnp.asarray(logits), count)
    marginals = np.asarray(posterior(jnp.asarray(logits), count))
    assert value.dtype == gradient.dtype == jnp.float64
  np.testing.assert_allclose(value, log_pmf_float64(logits)[count], rtol=1e-12)
  np.testing.assert_allclose(gradient, numeric, atol=1e-9)
  np.testing.assert_allclose(gradient, marginals - expit(logits), atol=1e-11)
  np.testing.assert_allclose(gradient, gradient_float64(logits, count), atol=1e-11)


@pytest.mark.parametrize("method", ["scan", "contour"])
# Constant logits are where the scan's terms are equal, and derivatives easily wrong.
@pytest.mark.parametrize("spread", [pytest.param(2.0, marks=pytest.mark.slow), 0.0])
def test_second_derivative_is_a_difference_of_covariances(method, spread):
  # log Pr(Y = k) is a log-partition function less another: its Hessian is what the count takes away. Logits
  # are all alike before training, and two ways to a count are then as likely as each other.
  logits = random_logits(12, 6, scale=spread).astype(np.float64) - 1.4
  marginals, weights, outcomes = enumerated_posterior(logits, 2)
  given_count = (outcomes - marginals).T @ (weights[:, None] * (outcomes - marginals))
  prior = np.diag(expit(logits) * expit(-logits))
  ways = [functools.partial(pb.log_prob, count=2, method=method)]
  if method == "scan":
    ways += [lambda x: pb.log_pmf(x, max_count=3)[2]]
    ways += [lambda x: pb.log_interval_prob(x, 2, 2, max_count=3)]
  with enable_x64(True):
    for way in ways:
      for twice in (jax.hessian(way), jax.jacrev(jax.jacrev(way)), jax.jacfwd(jax.jacfwd(way))):
        np.testing.assert_allclose(jax.jit(twice)(jnp.asarray(logits)), given_count - prior, atol=1e-12)


@pytest.mark.parametrize("method", ["scan", "contour"])
def test_second_derivatives_are_finite(method):
  signs = np.random.default_rng(13).choice([-1, 0, 1], (8, 6)).astype(np.float32)
  logits = signs * np.repeat([30, 1e4], 4)[:, None].astype(np.float32)
  counts = np.tile([0, 3, 6, 7], 2)
  log_prob = functools.partial(pb.log_prob, method=method)
  assert np.isfinite(jax.jit(jax.vmap(jax.hessian(log_prob)))(logits, counts)).all()


def test_moments_are_those_of_the_distribution():
  logits = random_logits(14, 3, 20)
  pmf = np.exp([log_pmf_float64(row) for row in logits])
  counts = np.arange(21)
  mean = pmf @ counts
  np.testing.assert_allclose(pb.mean(logits), mean, rtol=1e-6)
  np.testing.assert_allclose(pb.variance(logits), pmf @ counts**2 - mean**2, rtol=1e-5)


def test_leading_axes_broadcast():
  logits = random_logits(15, 2, 1, 7)
  counts = np.array([0, 3, 5])
  where = np.arange(7) < np.array([7, 6, 5])[:, None]

  @jax.jit
  def functions(logits, counts, where):
    interval = pb.log_interval_prob(logits, counts, 6, max_count=7, where=where)
    return pb.log_prob(logits, counts, where=where), interval, pb.posterior(logits, counts, where=where)

  batched = functions(logits, counts, where)
  assert [found.shape for found in batched] == [(2, 3), (2, 3), (2, 3, 7)]
  for i, j in np.ndindex(2, 3):
    for found, alone in zip(batched, functions(logits[i, 0], counts[j], where[j]), strict=True):
      np.testing.assert_allclose(found[i, j], alone, rtol=1e-5, atol=1e-6)
  assert jax.eval_shape(pb.log_prob, logits[0, 0], np.zeros((4, 1, 1))).shape == (4, 1, 1)
  assert jax.eval_shape(pb.log_prob, logits[:, 0], 2).shape == (2,)


def test_jit_and_vmap_change_nothing():
  logits, counts = random_logits(16, 3, 1, 9), np.array([[0, 4, 9], [2, 7, 1], [5, 10, 3]])

  def functions(logits, counts):
    interval = pb.log_interval_prob(logits, counts, counts + 1, max_count=6)
    return pb.log_prob(logits, counts), interval, pb.posterior(logits, counts)

  batched = jax.jit(functions)(logits, counts)
  one_by_one = jax.jit(jax.vmap(jax.vmap(functions, (None, 0))))(logits[:, 0], counts)
  for found, other in zip(batched, one_by_one, strict=True):
    np.testing.assert_allclose(found, other, rtol=2e-6, atol=1e-7)
  # Where the counts are known, the posterior keeps no more bins than they need.
  np.testing.assert_allclose(pb.posterior(logits, counts), batched[-1], rtol=2e-6, atol=1e-7)


FUNCTIONS = {
  "log_prob": lambda logits, count, where: pb.log_prob(logits, count, where=where),
  "log_prob, contour": lambda logits, count, where: pb.log_prob(logits, count, where=where, method="contour"),
  "log_pmf": lambda logits, count, where: pb.log_pmf(logits, max_count=3, where=where),
  "log_interval_prob": lambda logits, count, where: pb.log_interval_prob(
    logits, 1, count, max_count=6, where=where
  ),
  "posterior": lambda logits, count, where: pb.posterior(logits, count, where=where),
  "mean": lambda logits, count, where: pb.mean(logits, where=where),
  "variance": lambda logits, count, where: pb.variance(logits, where=where),
}


def test_the_list_has_every_function():
  public = {name for name, _ in inspect.getmembers(pb, inspect.isfunction) if not name.startswith("_")}
  assert public == {name.split(",")[0] for name in FUNCTIONS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arrays_of_numpy_and_lists(name):
  logits, count = random_logits(20, 3, 7).round(1), np.array([1, 2, 5])
  where = np.arange(7) < np.array([7, 6, 5])[:, None]
  function = FUNCTIONS[name]
  expected = jax.jit(function)(logits, count, where)
  # Within `jit`, but as they are: the function itself has to take them.
  found = jax.jit(lambda: function(logits.tolist(), count.tolist(), where.tolist()))()
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-7)
  for others in (
    (logits.astype(np.float64), count.astype(np.float64), where),
    (logits.astype(int), count.astype(np.uint8), where.astype(np.uint8)),
  ):
    values = jax.eval_shape(lambda others=others: function(*others))
    assert values.shape == expected.shape and values.dtype == jnp.float32


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_computed_in_float32(dtype):
  half = jnp.asarray(random_logits(17, 20), dtype)
  value, gradient = value_and_grad(half, 5)
  expected, full_gradient = value_and_grad(half.astype(jnp.float32), 5)
  assert value.dtype == jnp.float32 and value == expected
  assert gradient.dtype == dtype
  np.testing.assert_array_equal(gradient, full_gradient.astype(dtype))
  assert jax.eval_shape(pb.posterior, half, 5).dtype == jax.eval_shape(pb.mean, half).dtype == jnp.float32


def test_any_count_of_extreme_logits_is_finite():
  num_frames = 24
  generator = np.random.default_rng(18)
  rows = [np.full(num_frames, sign * 1e4) for sign in (-1, 1)]
  rows += [generator.choice([-1e4, 1e4], num_frames), generator.uniform(-1e4, 1e4, num_frames)]
  rows += [generator.choice([-1e4, 0, 1e4], num_frames), np.zeros(num_frames)]
  logits = np.array(rows, np.float32)
  values, gradients, marginals = all_counts(logits)
  assert np.isfinite(values).all() and (values <= 0).all()
  # With log-probabilities of -1e5 a float32 gradient keeps about two digits.
  exact = [[gradient_float64(row, count) for count in range(num_frames + 1)] for row in logits]
  np.testing.assert_allclose(gradients, exact, atol=0.05)
  expected = [log_pmf_float64(row) for row in logits]
  np.testing.assert_allclose(values, expected, rtol=2e-6, atol=1e-6)
  assert ((marginals >= 0) & (marginals <= 1)).all()
  # Ten times too many certain events: the loss still says which way to go, in every frame.
  np.testing.assert_allclose(gradients[1, 0], -1, rtol=1e-6)
  np.testing.assert_allclose(gradients[0, num_frames], 1, rtol=1e-6)


@st.composite
def adversarial_logits(draw, num_frames):
  """Logits that are hard on a recursion: saturated, in two groups, constant, mixed, or just wide."""
  kind = draw(st.sampled_from(["normal", "saturated", "bimodal", "constant", "uniform", "tiny", "free"]))
  generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
  scale = draw(st.sampled_from([0.5, 3.0, 10.0, 30.0, 60.0]))
  if kind == "free":
    return np.array(
      draw(st.lists(st.floats(-60, 60, width=32), min_size=num_frames, max_size=num_frames)), np.float32
    )
  logits = {
    "normal": lambda: generator.normal(0, scale, num_frames),
    "saturated": lambda: generator.choice([-scale, scale], num_frames),
    "bimodal": lambda: (
      np.where(generator.random(num_frames) < 0.1, scale, -scale) + generator.normal(0, 1, num_frames)
    ),
    "constant": lambda: np.full(num_frames, generator.uniform(-scale, scale)),
    "uniform": lambda: generator.uniform(-scale, scale, num_frames),
    "tiny": lambda: np.full(num_frames, -np.log(num_frames)) + generator.normal(0, 0.1, num_frames),
  }[kind]()
  return logits.astype(np.float32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(logits=adversarial_logits(40), data=st.data())
def test_accuracy_on_adversarial_logits(logits, data):
  values, gradients, marginals = (np.asarray(a, np.float64) for a in all_counts(logits))
  expected = log_pmf_float64(logits)
  error = np.abs(values - expected) / np.maximum(np.abs(expected), 1)
  assert error.max() <= VALUE_RTOL
  count = data.draw(st.integers(0, 40), label="count")
  exact = gradient_float64(logits, count)
  np.testing.assert_allclose(gradients[count], exact, atol=GRADIENT_ATOL)
  np.testing.assert_allclose(marginals[count] - expit(logits), exact, atol=GRADIENT_ATOL)
  np.testing.assert_allclose(marginals.sum(-1), np.arange(41), atol=2 * GRADIENT_ATOL)


@pytest.mark.parametrize("count", [0, 3, 200, 400])
def test_accuracy_of_long_sequences(count):
  generator = np.random.default_rng(19)
  rows = [
    generator.normal(0, 10, 400),
    generator.choice([-60, 60], 400),
    np.full(400, -7.3),
    np.full(400, 0.1),
  ]
  rows += [np.where(generator.random(400) < 0.1, 30, -30), np.full(400, -np.log(400))]
  logits = np.array(rows, np.float32)
  expected = np.array([log_pmf_float64(row)[count] for row in logits])
  error = np.abs(log_prob(logits, np.int32(count)) - expected) / np.maximum(np.abs(expected), 1)
  assert error.max() <= 1e-5  # seen: 5e-6, where the same number is added 400 times


def test_unknown_arguments():
  with pytest.raises(ValueError, match="method is 'fft'; expected one of auto, scan"):
    pb.log_prob(jnp.zeros(3), 1, method="fft")
  for function in (pb.log_pmf, lambda x, max_count: pb.log_prob(x, 1, max_count=max_count)):
    with pytest.raises(ValueError, match="max_count is -1; expected 0 or more"):
      function(jnp.zeros(3), max_count=-1)
