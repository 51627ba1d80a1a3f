"""What the papers prove of their losses, on random and adversarial predictions.

L: Schroeter et al., ICML 2019. S: Schroeter et al., 2020. Numbers are those papers' equations.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import expit, logit

from softloc_jax import losses, poisson_binomial, smoothing

try:
  from jax import enable_x64
except ImportError:  # jax before 0.8
  from jax.experimental import enable_x64

NUM_FRAMES = 30
ROUNDING = 3e-6  # of probabilities in float32


def predictions():
  """Logits `[N, T]`: random ones of every width, and those that come closest to the bounds."""
  generator = np.random.default_rng(0)
  size = (6, NUM_FRAMES)
  rows = [generator.normal(0, scale, size) for scale in (0.3, 1, 3, 10)]
  rows += [generator.normal(shift, 1, size) for shift in (-3, 3)]
  rows += [generator.choice([-30, 30], size), generator.choice([-1e4, 0, 1e4], size)]
  rows += [np.where(generator.random(size) < 0.1, 8, -8) + generator.normal(0, 1, size)]
  rows += [np.zeros((1, NUM_FRAMES)), np.full((1, NUM_FRAMES), logit(1 / NUM_FRAMES))]
  rows += [np.where(np.arange(NUM_FRAMES) == 17, 0, -1e4)[None]]  # a single p = 1/2
  rows += [np.where(np.arange(NUM_FRAMES) % 7 == 3, 1e4, -1e4)[None]]  # nothing uncertain
  return np.concatenate(rows).astype(np.float32)


@pytest.fixture(scope="module")
def logits():
  return predictions()


@pytest.fixture(scope="module")
def growing(logits):
  """`Pr(Y(t) = k)` of the count up to every frame, float64 `[N, T + 1, T + 1]`."""
  prefixes = np.tri(NUM_FRAMES + 1, NUM_FRAMES, -1, dtype=bool)
  pmf = jax.jit(lambda x: poisson_binomial.log_pmf(x, max_count=NUM_FRAMES, where=prefixes))(logits[:, None])
  return np.exp(np.asarray(pmf, np.float64))


def test_mass_only_moves_to_higher_counts(growing):
  # L property 1: Y(t) grows, so Pr(Y(t) <= k) can only fall, whatever is predicted later.
  at_most = np.cumsum(growing, axis=-1)
  assert np.diff(at_most, axis=1).max() <= ROUNDING
  np.testing.assert_allclose(at_most[..., -1], 1, atol=ROUNDING)


def test_the_most_probable_count_only_gets_less_probable(growing):
  # Lemma 1 (L8): once spread, mass cannot be gathered again.
  assert np.diff(growing.max(-1), axis=1).max() <= ROUNDING


def test_every_prediction_adds_its_own_variance(growing, logits):
  # L10: the variance grows by p (1 - p) a frame.
  counts = np.arange(NUM_FRAMES + 1)
  mean = growing @ counts
  variance = growing @ counts**2 - mean**2
  added = expit(logits.astype(np.float64)) * expit(-logits.astype(np.float64))
  np.testing.assert_allclose(np.diff(variance, axis=1), added, atol=1e-3)
  np.testing.assert_allclose(poisson_binomial.variance(logits), added.sum(1), rtol=1e-5)


def test_one_undecided_frame_bounds_every_count(growing, logits):
  # Lemma 2 (L11): max_k Pr(Y(t) = k) <= 1/2 + min_j |1/2 - p_j|.
  undecided = np.minimum.accumulate(np.abs(0.5 - expit(logits.astype(np.float64))), axis=1)
  assert (growing[:, 1:].max(-1) <= 0.5 + undecided + ROUNDING).all()
  # It is reached where nothing else is uncertain.
  single = (logits == 0).sum(1) == 1
  assert single.any()
  np.testing.assert_allclose(growing[single, -1].max(-1), 0.5, atol=ROUNDING)


def test_a_low_loss_means_decided_frames(logits):
  # L12: no count can cost less than -log(1/2 + min_j |1/2 - p_j|).
  undecided = np.abs(0.5 - expit(logits.astype(np.float64))).min(1)
  counts = np.broadcast_to(np.arange(NUM_FRAMES + 1), (len(logits), NUM_FRAMES + 1))
  loss = jax.jit(lambda x: losses.count_nll(x, counts, max_count=NUM_FRAMES, reduce_fn=None))
  every_count = np.broadcast_to(logits[..., None], (*logits.shape, NUM_FRAMES + 1))  # a class for each
  assert (loss(every_count) >= -np.log(0.5 + undecided)[:, None] - ROUNDING).all()


def poisson_bounds(probs):
  """Le Cam's bound of `max_k` for the first `l` predictions, every `l`: `[..., T] -> [..., T]`."""
  rate = np.cumsum(probs, axis=-1)
  return stats.poisson.pmf(np.floor(rate), rate) + 2 * np.cumsum(probs**2, axis=-1)


@pytest.mark.parametrize("order", ["as it is", "ascending", "descending", "random 1", "random 2", "random 3"])
def test_many_small_predictions_bound_every_count(order, growing, logits):
  # L13, by Le Cam's theorem: for any order of the predictions and any number of the first of them.
  probs = expit(logits.astype(np.float64))
  if order == "ascending":
    probs = np.sort(probs, axis=-1)
  elif order == "descending":
    probs = -np.sort(-probs, axis=-1)
  elif order.startswith("random"):
    probs = np.random.default_rng(int(order[-1])).permuted(probs, axis=-1)
  most_probable = growing[:, -1].max(-1)
  assert (most_probable[:, None] <= poisson_bounds(probs) + ROUNDING).all()


def test_le_cam(growing, logits):
  # The theorem itself: sum_k |Pr(Y = k) - Poisson(k)| <= 2 sum_t p_t^2.
  probs = expit(logits.astype(np.float64))
  rate = probs.sum(-1, keepdims=True)
  counts = np.arange(NUM_FRAMES + 1)
  distance = np.abs(growing[:, -1] - stats.poisson.pmf(counts, rate)).sum(-1)
  distance += stats.poisson.sf(NUM_FRAMES, rate[:, 0])  # the counts that only the Poisson law has
  assert (distance <= 2 * (probs**2).sum(-1) + ROUNDING * NUM_FRAMES).all()


def test_the_order_of_the_predictions_does_not_matter(logits):
  # What L11 and L13 use to place any prediction first.
  shuffled = np.random.default_rng(1).permuted(logits, axis=-1)
  log_pmf = jax.jit(lambda x: poisson_binomial.log_pmf(x, max_count=NUM_FRAMES))
  np.testing.assert_allclose(log_pmf(shuffled), log_pmf(logits), rtol=5e-6, atol=5e-6)


def test_a_hundred_small_predictions():
  # L's example: with p = 0.01 a hundred times no count has more than 1/e + 0.02.
  probs = np.full(100, 0.01)
  np.testing.assert_allclose(poisson_bounds(probs)[-1], 1 / np.e + 0.02, rtol=1e-12)
  pmf = np.exp(poisson_binomial.log_pmf(logit(probs).astype(np.float32), max_count=100))
  np.testing.assert_allclose(pmf.max(), 0.99**99, rtol=1e-4)  # one event
  assert pmf.max() <= 1 / np.e + 0.02
  loss = losses.count_nll(logit(probs).astype(np.float32)[:, None], np.array([1]), max_count=5)
  assert loss >= -np.log(1 / np.e + 0.02)


def to_logits(probs):
  """Logits `[T, 1]` of probabilities, finite where those are 0 or 1."""
  with np.errstate(divide="ignore"):
    return np.clip(logit(probs), -1e4, 1e4).astype(np.float32)[:, None]


def at(frames, values, num_frames=NUM_FRAMES):
  probs = np.zeros(num_frames)
  probs[list(frames)] = values
  return probs


@pytest.mark.parametrize("frames", [(0, 1), (10, 11), (3, 25), (28, 29)])
def test_splitting_an_event_costs_much_when_counting(frames):
  # S 3.3: one p = 0.9 costs -log 0.9, two of 0.45 cost -log 0.495, wherever they are.
  count = np.array([1])
  whole = losses.count_nll(to_logits(at(frames[:1], 0.9)), count, max_count=5)
  split = losses.count_nll(to_logits(at(frames, 0.45)), count, max_count=5)
  np.testing.assert_allclose(whole, -np.log(0.9), rtol=1e-5)
  np.testing.assert_allclose(split, -np.log(0.495), rtol=1e-5)


@pytest.mark.parametrize("softness", [3.0, 5.0, 10.0])
def test_splitting_an_event_costs_little_when_smoothing(softness):
  # S 3.2: soft localization is no hard constraint against splitting.
  labels = at([15], 1.0)[:, None]

  def cost(probs):
    return float(losses.soft_localization(to_logits(probs), labels, softness=softness))

  missed = cost(at([], 0.0))
  whole, split = cost(at([15], 0.9)), cost(at([15, 16], 0.45))
  # In units of a missed event: 0.01 for the probability that is not there, and hardly more for the split.
  np.testing.assert_allclose(whole / missed, 0.01, rtol=1e-3)
  assert whole < split < whole + 0.015 * missed
  # Counting sees it as a third of a missed event, here predicted with p = 0.2.
  counting = [-np.log(p) for p in (0.9, 0.495, 0.2)]
  assert (counting[1] - counting[0]) / (counting[2] - counting[0]) > 0.3


def minimise(loss, num_frames):
  """The probabilities that minimise a loss of logits `[T, 1]`, from one half everywhere."""
  step = jax.jit(jax.value_and_grad(lambda x: loss(x[:, None])))
  with enable_x64(True):
    result = optimize.minimize(
      lambda x: [np.asarray(a, np.float64) for a in step(jnp.asarray(x))],
      np.zeros(num_frames),
      jac=True,
      method="L-BFGS-B",
      bounds=[(-12, 12)] * num_frames,
      options={"maxiter": 300, "ftol": 1e-15, "gtol": 1e-10},
    )
  return expit(result.x), result.fun


EVENTS = [4, 11, 13, 22]  # two of them close together
SOFTNESS = 1.2


def test_smoothing_both_sides_has_the_labels_as_its_optimum():
  # S3: the optimal prediction is the annotation.
  labels = at(EVENTS, 1.0)
  found, value = minimise(
    lambda x: losses.soft_localization(x, labels[:, None], softness=SOFTNESS), NUM_FRAMES
  )
  assert value < 1e-8
  np.testing.assert_allclose(found, labels, atol=0.01)


def test_anything_but_the_labels_costs_when_smoothing_both_sides():
  labels = at(EVENTS, 1.0)
  others = [at(EVENTS, 0.99), at([4, 12, 22], [1, 1, 1]), at([4, 11, 13, 23], 1.0), at([*EVENTS, 29], 1.0)]
  others += list(np.random.default_rng(2).random((5, NUM_FRAMES)))
  for softness in (0.3, 1.0, 3.0, 10.0):
    loss = jax.jit(
      lambda x, softness=softness: losses.soft_localization(x, labels[:, None], softness=softness)
    )
    assert loss(to_logits(labels)) == 0
    for other in others:
      assert loss(to_logits(other)) > 1e-6


def test_smoothing_one_side_has_a_heat_map_as_its_optimum():
  # S1: the optimal prediction is G * y ...
  labels = at(EVENTS, 1.0)
  found, value = minimise(
    lambda x: losses.one_sided_smoothing(x, labels[:, None], softness=SOFTNESS), NUM_FRAMES
  )
  heat_map = np.asarray(smoothing.gaussian_smooth(labels[:, None].astype(np.float32), SOFTNESS))[:, 0]
  assert value < 1e-8
  np.testing.assert_allclose(found, heat_map, atol=1e-4)
  # ... spread over frames where nothing happens, while the labels themselves cost more than silence.
  assert (heat_map > 0.05).sum() > 2 * len(EVENTS)
  cost = jax.jit(lambda x: losses.one_sided_smoothing(x, labels[:, None], softness=SOFTNESS))
  assert cost(to_logits(labels)) > cost(to_logits(0 * labels)) > 0


def local_maxima(values):
  inner = (values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:])
  return (np.flatnonzero(inner) + 1).tolist()


def test_close_events_disturb_each_other_when_smoothing_one_side():
  # S 3.1, issues 2 and 3: two events closer than twice the softness leave one maximum between them, and
  # the best prediction at an event depends on events that are still to come.
  softness = 3.0
  alone, together = at([12], 1.0), at([12, 16], 1.0)
  both = np.stack([alone, together], axis=-1).astype(np.float32)
  smooth = np.asarray(smoothing.gaussian_smooth(both, softness)).T
  assert local_maxima(smooth[0]) == [12]
  assert local_maxima(smooth[1]) == [14]
  np.testing.assert_allclose(smooth[1][12] / smooth[0][12], 1 + np.exp(-0.5 * (4 / softness) ** 2), rtol=1e-5)
  # Smoothing both sides asks for the same at frame 12, with or without the event that follows.
  for labels in (alone, together):
    assert losses.soft_localization(to_logits(labels), labels[:, None], softness=softness) == 0
    missed = to_logits(np.where(np.arange(NUM_FRAMES) == 12, 0, labels))
    expected = np.square(smooth[0]).sum()
    np.testing.assert_allclose(
      losses.soft_localization(missed, labels[:, None], softness=softness), expected, rtol=1e-5
    )
