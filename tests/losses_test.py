"""Every loss against its plain definition, and every property over the one list of losses."""

from collections.abc import Callable
import functools
import inspect
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax

from softloc_jax import losses

try:
  from jax import enable_x64
except ImportError:  # jax before 0.8
  from jax.experimental import enable_x64

NUM_FRAMES, LENGTHS = 11, (11, 7, 9)  # of a padded batch of three


# The definitions, for one sequence without padding: logits and labels [T, C], counts [C] -> [C]; float64.


def naive_smooth(values, softness):
  offsets = np.arange(-100, 101)
  mass = np.exp(-0.5 * (offsets / softness) ** 2).sum()
  frames = np.arange(len(values))
  return np.exp(-0.5 * ((frames[:, None] - frames) / softness) ** 2) @ values / mass


def naive_count_nll(logits, counts, max_count):
  outcomes = np.array(list(itertools.product([0, 1], repeat=len(logits))))  # [2^T, T]
  log_probs = outcomes @ log_expit(logits) + (1 - outcomes) @ log_expit(-logits)  # [2^T, C]
  found = np.minimum(outcomes.sum(1), max_count)
  wanted = np.minimum(counts, max_count)
  return np.array([-logsumexp(log_probs[found == k, c]) for c, k in enumerate(wanted)])


def naive_count_interval_nll(logits, intervals, max_count):
  low, high = intervals.T
  counts = np.arange(max_count + 1)
  each = np.array([naive_count_nll(logits, np.full(len(low), k), max_count) for k in counts])  # [K, C]
  inside = (counts[:, None] >= np.minimum(low, max_count)) & (counts[:, None] <= high)
  return -logsumexp(np.where(inside, -each, -np.inf), axis=0)


def naive_soft_localization(logits, labels, softness):
  return np.square(naive_smooth(expit(logits), softness) - naive_smooth(labels, softness)).sum(0)


def naive_softloc(logits, labels, softness, alpha, max_count, smoothing_weight):
  smoothing = naive_soft_localization(logits, labels, softness)
  counting = naive_count_nll(logits, labels.sum(0).astype(int), max_count)
  return (1 - alpha) * smoothing_weight * smoothing + alpha * counting


def naive_one_sided_smoothing(logits, labels, softness):
  return np.square(expit(logits) - naive_smooth(labels, softness)).sum(0)


def naive_cross_entropy(logits, labels, positive_weight=1.0):
  p = expit(logits)
  return -(positive_weight * labels * np.log(p) + (1 - labels) * np.log(1 - p)).sum(0)


def naive_softmax_cross_entropy(logits, labels, class_weights):
  total = np.zeros(logits.shape[1])
  for frame, events in zip(logits, labels, strict=True):
    target = int(events.argmax()) if events.any() else len(events)
    total[target] -= class_weights[target] * np.log(softmax(frame)[target])
  return total


def naive_widened_cross_entropy(logits, labels, width):
  wide = np.array([labels[max(0, t - width) : t + width + 1].max(0) for t in range(len(labels))])
  return naive_cross_entropy(logits, wide)


def naive_soft_bootstrap(logits, labels, beta):
  p = expit(logits)
  event, no_event = beta * labels + (1 - beta) * p, beta * (1 - labels) + (1 - beta) * (1 - p)
  return -(event * np.log(p) + no_event * np.log(1 - p)).sum(0)


def naive_focal(logits, labels, gamma, alpha):
  p_true = np.where(labels == 1, expit(logits), expit(-logits))
  weight = np.where(labels == 1, alpha, 1 - alpha)
  return -(weight * (1 - p_true) ** gamma * np.log(p_true)).sum(0)


def naive_shift_tolerant(logits, labels, tolerance, positive_weight):
  total = np.zeros(logits.shape[1])
  for t, c in np.ndindex(logits.shape):
    best = logits[max(0, t - tolerance) : t + tolerance + 1, c].max()
    if labels[t, c]:
      total[c] -= positive_weight * log_expit(best)
    elif not labels[max(0, t - 2 * tolerance) : t + 2 * tolerance + 1, c].any():
      total[c] -= log_expit(-best)
  return total


class Case(NamedTuple):
  """A loss with its arguments, what its target is, and its definition."""

  loss: Callable
  arguments: dict[str, Any]
  target: str
  naive: Callable

  @property
  def is_counted(self):
    return self.target in ("counts", "intervals")

  @property
  def bound(self):
    return functools.partial(self.loss, **self.arguments)


CASES = {
  "count_nll": Case(losses.count_nll, {"max_count": NUM_FRAMES}, "counts", naive_count_nll),
  "count_nll, last bin": Case(losses.count_nll, {"max_count": 2}, "counts", naive_count_nll),
  "count_interval_nll": Case(
    losses.count_interval_nll, {"max_count": NUM_FRAMES}, "intervals", naive_count_interval_nll
  ),
  "count_interval_nll, last bin": Case(
    losses.count_interval_nll, {"max_count": 2}, "intervals", naive_count_interval_nll
  ),
  "soft_localization": Case(losses.soft_localization, {"softness": 1.5}, "labels", naive_soft_localization),
  "softloc": Case(
    losses.softloc,
    {"softness": 1.5, "alpha": 0.3, "max_count": 5, "smoothing_weight": 4.0},
    "labels",
    naive_softloc,
  ),
  "one_sided_smoothing": Case(
    losses.one_sided_smoothing, {"softness": 1.5}, "labels", naive_one_sided_smoothing
  ),
  "cross_entropy": Case(losses.cross_entropy, {"positive_weight": 3.0}, "labels", naive_cross_entropy),
  "softmax_cross_entropy": Case(
    losses.softmax_cross_entropy, {"class_weights": (0.5, 2.0, 0.1)}, "one-hot", naive_softmax_cross_entropy
  ),
  "widened_cross_entropy": Case(
    losses.widened_cross_entropy, {"width": 2}, "labels", naive_widened_cross_entropy
  ),
  "soft_bootstrap": Case(losses.soft_bootstrap, {"beta": 0.8}, "labels", naive_soft_bootstrap),
  "focal": Case(losses.focal, {"gamma": 2.0, "alpha": 0.25}, "labels", naive_focal),
  "focal, small gamma": Case(losses.focal, {"gamma": 0.5, "alpha": 0.9}, "labels", naive_focal),
  "shift_tolerant": Case(
    losses.shift_tolerant, {"tolerance": 1, "positive_weight": 2.0}, "labels", naive_shift_tolerant
  ),
}
every_loss = pytest.mark.parametrize("name", CASES)


class Batch(NamedTuple):
  logits: np.ndarray  # [3, T, C], one class more for a softmax
  target: np.ndarray  # [3, T, C], [3, C] or [3, C, 2]
  where: np.ndarray  # [3, T]


def make_batch(name, seed=0):
  """Random logits and sparse events, of two classes."""
  generator = np.random.default_rng(seed)
  where = np.arange(NUM_FRAMES) < np.array(LENGTHS)[:, None]
  labels = (generator.random((3, NUM_FRAMES, 2)) < 0.25).astype(np.float32)
  if CASES[name].target == "one-hot":
    labels[..., 1] *= 1 - labels[..., 0]
  labels *= where[..., None]
  num_logits = 3 if CASES[name].target == "one-hot" else 2
  logits = generator.normal(0, 2, (3, NUM_FRAMES, num_logits)).astype(np.float32)
  counts = labels.sum(1)
  at_least = np.maximum(counts - generator.integers(0, 3, counts.shape), 0)
  at_most = np.where(
    generator.random(counts.shape) < 0.3, 99, counts + generator.integers(0, 3, counts.shape)
  )
  targets = {"counts": counts, "intervals": np.stack([at_least, at_most], axis=-1)}
  return Batch(logits, targets.get(CASES[name].target, labels), where)


def fill(name, batch, values, *, real):
  """The batch with `values` (drawn in turn) for its real or its padding frames, labels included."""
  spots = batch.where if real else ~batch.where
  logits = np.where(spots[..., None], np.resize(np.float32(values), batch.logits.shape), batch.logits)
  target = batch.target
  if not real and not CASES[name].is_counted:
    target = np.where(spots[..., None], np.resize(np.float32(values), target.shape), target)
  return Batch(logits, target, batch.where)


@functools.cache
def compiled(name):
  """`(logits, target, where) -> values [B, C], gradient of their sum`."""

  def total(logits, target, where):
    values = CASES[name].bound(logits, target, where=where, reduce_fn=None)
    return values.sum(), values

  def values_and_gradient(logits, target, where):
    gradient, values = jax.grad(total, has_aux=True)(logits, target, where)
    return values, gradient

  return jax.jit(values_and_gradient)


def test_the_list_has_every_loss():
  public = {
    name
    for name, function in inspect.getmembers(losses, inspect.isfunction)
    if not name.startswith("_") and "reduce_fn" in inspect.signature(function).parameters
  }
  assert public == {case.loss.__name__ for case in CASES.values()}


@every_loss
def test_definition(name):
  case, batch = CASES[name], make_batch(name)
  values, _ = compiled(name)(*batch)
  assert values.shape == (3, batch.logits.shape[-1])
  for found, logits, target, length in zip(values, batch.logits, batch.target, LENGTHS, strict=True):
    target = target if case.is_counted else target[:length].astype(np.float64)
    expected = case.naive(logits[:length].astype(np.float64), target, **case.arguments)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-7)


@every_loss
def test_same_value_however_it_is_called(name):
  """Reduced, mapped, cropped, without a mask, with more leading axes, with boolean labels."""
  loss, batch = CASES[name].bound, make_batch(name)
  expected, gradient = compiled(name)(*batch)
  crop = LENGTHS[1]
  cropped_target = batch.target[1] if CASES[name].is_counted else batch.target[1, :crop]

  @jax.jit
  def calls(logits, target, where):
    per_class = functools.partial(loss, reduce_fn=None)
    return {
      "reduced": loss(logits, target, where=where, reduce_fn=lambda v: jnp.stack([v.max(), v.sum()])),
      "mapped": jax.vmap(lambda x, y, w: per_class(x, y, where=w))(logits, target, where),
      "no mask": per_class(logits[0], target[0]),
      "leading axes": per_class(logits[None, :, None], target[None, :, None], where=where[None, :, None]),
      "cropped": jax.value_and_grad(loss)(logits[1, :crop], jnp.asarray(cropped_target)),
    }

  target = batch.target if CASES[name].is_counted else batch.target > 0
  found = calls(batch.logits, target, batch.where)
  np.testing.assert_allclose(found["reduced"], [expected.max(), expected.sum()], rtol=1e-5)
  np.testing.assert_allclose(found["mapped"], expected, rtol=1e-5)
  np.testing.assert_allclose(found["no mask"], expected[0], rtol=1e-5)
  np.testing.assert_allclose(found["leading axes"], expected[None, :, None], rtol=1e-5)
  value, cropped_gradient = found["cropped"]  # reduced by default: the mean
  np.testing.assert_allclose(value, expected[1].mean(), rtol=1e-5)
  share = cropped_gradient * batch.logits.shape[-1]  # the mean is over classes
  np.testing.assert_allclose(share, gradient[1, :crop], rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(gradient[1, crop:], 0)


@every_loss
def test_arrays_of_numpy_and_lists(name):
  """The functions see the arrays as they are: nothing before has made JAX arrays of them."""
  per_class, batch = functools.partial(CASES[name].bound, reduce_fn=None), make_batch(name)
  expected, _ = compiled(name)(*batch)
  lists = (batch.logits.tolist(), batch.target.tolist(), batch.where.tolist())
  others = {
    "float64 and int64": (batch.logits.astype(np.float64), batch.target.astype(np.int64), batch.where),
    "int and uint8": (batch.logits.astype(int), batch.target.astype(np.uint8), batch.where.astype(np.uint8)),
  }

  def call(logits, target, where):
    return per_class(logits, target, where=where)

  np.testing.assert_allclose(jax.jit(lambda: call(*lists))(), expected, rtol=2e-5, atol=2e-7)
  for kind, arrays in others.items():  # the same computation of the same numbers
    values = jax.eval_shape(lambda arrays=arrays: call(*arrays))
    assert values.shape == expected.shape and values.dtype == jnp.float32, kind


@pytest.mark.parametrize(
  ("loss", "arguments"),
  [
    (losses.softloc, {"softness": 1.5, "max_count": 5, "alpha": [0.0, 0.4], "smoothing_weight": [1.0, 2.0]}),
    (losses.cross_entropy, {"positive_weight": [1.0, 5.0]}),
    (losses.shift_tolerant, {"tolerance": 1, "positive_weight": [1.0, 5.0]}),
  ],
)
def test_weights_of_each_class(loss, arguments):
  """As a list, a tuple or an array, they are like a call for each class with a number of NumPy."""
  batch = make_batch("softloc")

  @jax.jit
  def calls():
    def values(change):
      changed = {key: change(value) if isinstance(value, list) else value for key, value in arguments.items()}
      return loss(batch.logits, batch.target, where=batch.where, reduce_fn=None, **changed)

    whole = [values(change) for change in (list, tuple, np.array, jnp.array)]
    return whole, [values(lambda value, i=i: np.float64(value[i])) for i in range(2)]

  whole, columns = calls()
  for found in whole:
    for i, column in enumerate(columns):
      np.testing.assert_allclose(found[:, i], column[:, i], rtol=1e-6)


@every_loss
def test_padding_may_hold_anything(name):
  batch = make_batch(name)
  holes = batch._replace(where=batch.where & (np.random.default_rng(1).random(batch.where.shape) < 0.8))
  if not CASES[name].is_counted:
    holes = holes._replace(target=holes.target * holes.where[..., None])
  for masked in (batch, holes):
    expected, gradient = compiled(name)(*masked)
    for garbage in ([np.nan], [np.inf, -np.inf], [1e4, -1e4, 3e38]):
      found = compiled(name)(*fill(name, masked, garbage, real=False))
      np.testing.assert_array_equal(found[0], expected)
      np.testing.assert_array_equal(found[1], gradient)
      np.testing.assert_array_equal(np.asarray(found[1])[~masked.where], 0)


@every_loss
def test_without_real_frames_nothing_is_added(name):
  batch = make_batch(name)
  expected, gradient = compiled(name)(*batch)
  masked = batch._replace(where=batch.where & np.array([True, False, True])[:, None])
  # A count that remains from the unmasked sequence is no error either.
  values, gradients = compiled(name)(*fill(name, masked, [np.nan], real=False))
  np.testing.assert_array_equal(values[1], 0)
  np.testing.assert_array_equal(gradients[1], 0)
  for other in (0, 2):
    np.testing.assert_array_equal(values[other], expected[other])
    np.testing.assert_array_equal(gradients[other], gradient[other])


@every_loss
def test_sequences_do_not_touch_each_other(name):
  batch = make_batch(name)
  expected, gradient = compiled(name)(*batch)
  logits = batch.logits.copy()
  logits[1] = np.nan
  values, gradients = compiled(name)(logits, batch.target, batch.where)
  assert np.isnan(values[1]).all()
  for other in (0, 2):
    np.testing.assert_array_equal(values[other], expected[other])
    np.testing.assert_array_equal(gradients[other], gradient[other])


@every_loss
def test_classes_do_not_touch_each_other(name):
  if CASES[name].target == "one-hot":
    pytest.skip("classes compete in a softmax")
  batch = make_batch(name)
  expected, gradient = compiled(name)(*batch)
  other = make_batch(name, seed=5)
  logits, target = batch.logits.copy(), batch.target.copy()
  second = (..., 1, slice(None)) if CASES[name].target == "intervals" else (..., 1)
  logits[..., 1], target[second] = other.logits[..., 1], other.target[second]
  values, gradients = compiled(name)(logits, target, batch.where)
  np.testing.assert_array_equal(values[:, 0], expected[:, 0])
  np.testing.assert_array_equal(gradients[..., 0], gradient[..., 0])
  assert (values[:, 1] != expected[:, 1]).any()


@every_loss
def test_targets_and_masks_of_other_shapes_are_refused(name):
  loss, (logits, target, where) = CASES[name].bound, make_batch(name)
  kind = {"counts": "counts", "intervals": "intervals"}.get(CASES[name].target, "labels")
  # All of these could be broadcast.
  for wrong in (target[..., None], target[None], target[:1], target[0]):
    with pytest.raises(ValueError, match=rf"{kind} has shape|expected one more logit"):
      loss(logits, wrong, where=where)
  for wrong in (where[0], where[..., None], where[:, :1], True):
    with pytest.raises(ValueError, match=r"where has shape .*; expected \(3, 11\), as logits have it"):
      loss(logits, target, where=wrong)
  with pytest.raises(ValueError, match=r"logits have shape \(11,\); expected \[..., T, C\]"):
    loss(logits[0, :, 0], target[0])


def test_weights_of_other_shapes_are_refused():
  logits, labels, _ = make_batch("softloc")
  clips, _, classes = logits.shape
  settings = {"softness": 2.0, "alpha": 0.5, "max_count": 4, "reduce_fn": None}
  for name in ("alpha", "smoothing_weight"):
    for fitting in (0.5, np.full(classes, 0.5), np.full((clips, 1), 0.5), np.full((clips, classes), 0.5)):
      values = losses.softloc(logits, labels, **(settings | {name: fitting}))
      assert values.shape == (clips, classes)
    for wrong in (np.ones(classes + 1), np.ones((7, clips, classes)), np.ones((clips + 1, 1))):
      with pytest.raises(
        ValueError, match=rf"{name} has shape .*; expected a number, or \({clips}, {classes}\)"
      ):
        losses.softloc(logits, labels, **(settings | {name: wrong}))
  for wrong in (np.ones(classes + 1), np.ones((logits.shape[1], 1))):
    with pytest.raises(ValueError, match="positive_weight has shape"):
      losses.cross_entropy(logits, labels, positive_weight=wrong)
    with pytest.raises(ValueError, match="positive_weight has shape"):
      losses.shift_tolerant(logits, labels, tolerance=1, positive_weight=wrong)
  with pytest.raises(ValueError, match="class_weights has shape"):
    losses.softmax_cross_entropy(logits, labels[..., :-1], class_weights=np.ones(classes + 1))


@pytest.mark.parametrize(
  ("loss", "name"), [("widened_cross_entropy", "width"), ("shift_tolerant", "tolerance")]
)
def test_negative_widths_are_refused(loss, name):
  with pytest.raises(ValueError, match=r"the width or tolerance is -[12] frames; expected 0 or more"):
    getattr(losses, loss)(np.zeros((4, 1)), np.zeros((4, 1)), **{name: -1})


@every_loss
def test_extreme_logits_have_finite_losses_and_gradients(name):
  batch = make_batch(name)
  patterns = [[1e4], [-1e4], [1e4, -1e4], [1e4, 0, -1e4, 1e-4, 100], [-1e4, 30, 88.8, -104, 1e4, 17]]
  targets = [batch.target]
  if CASES[name].is_counted:
    counts = [np.broadcast_to(np.array(each)[:, None], (3, 2)) for each in ([0, 0, 0], LENGTHS, [11, 1, 8])]
    is_interval = CASES[name].target == "intervals"
    targets = [np.stack([each, each], axis=-1) if is_interval else each for each in counts]
  for pattern, target in itertools.product(patterns, targets):
    values, gradients = compiled(name)(fill(name, batch, pattern, real=True).logits, target, batch.where)
    assert np.isfinite(values).all(), (pattern, target)
    assert (np.asarray(values) >= 0).all()
    assert np.isfinite(gradients).all(), (pattern, target)


@every_loss
def test_bfloat16(name):
  batch = make_batch(name)
  half = jnp.asarray(batch.logits, jnp.bfloat16)
  values, gradients = compiled(name)(half, batch.target, batch.where)
  expected, full = compiled(name)(half.astype(jnp.float32), batch.target, batch.where)
  assert values.dtype == jnp.float32
  assert gradients.dtype == jnp.bfloat16
  np.testing.assert_allclose(values, expected, rtol=1e-5)
  np.testing.assert_allclose(gradients.astype(np.float32), full, rtol=2**-7, atol=1e-6)


@every_loss
def test_derivatives_against_finite_differences(name):
  batch = make_batch(name)
  direction = np.random.default_rng(2).normal(size=batch.logits.shape)
  step = 1e-5

  @jax.jit
  def derivatives(logits, direction):
    def loss(logits):
      return CASES[name].bound(logits, batch.target, where=batch.where, reduce_fn=jnp.sum)

    gradient = jax.grad(loss)
    forward = jax.jvp(loss, (logits,), (direction,))
    return *forward, jnp.vdot(gradient(logits), direction), *jax.jvp(gradient, (logits,), (direction,))

  with enable_x64(True):
    logits = batch.logits.astype(np.float64)
    value, forward, backward, _, second = (np.asarray(a) for a in derivatives(logits, direction))
    assert value.dtype == np.float64
    up, down = (derivatives(logits + sign * step * direction, direction) for sign in (1, -1))
    slope = (np.asarray(up[0]) - np.asarray(down[0])) / (2 * step)
    curvature = (np.asarray(up[3]) - np.asarray(down[3])) / (2 * step)
  np.testing.assert_allclose(backward, slope, rtol=1e-7, atol=1e-7)
  np.testing.assert_allclose(forward, slope, rtol=1e-7, atol=1e-7)
  np.testing.assert_allclose(second, curvature, rtol=1e-5, atol=1e-7)


@functools.cache
def counting(alpha):
  """`counts -> gradient, values [3, C]` of counting alone (alpha None) or within SoftLoc."""
  batch, labels = make_batch("count_nll"), make_batch("softloc").target

  def total(logits, counts):
    arguments = {"max_count": 4, "where": batch.where, "reduce_fn": None}
    if alpha is None:
      values = losses.count_nll(logits, counts, **arguments)
    else:
      values = losses.softloc(logits, labels, softness=1.0, alpha=alpha, counts=counts, **arguments)
    return values.sum(), values

  return functools.partial(jax.jit(jax.grad(total, has_aux=True)), batch.logits)


@pytest.mark.parametrize("count", [12, -1, 1.5])
@pytest.mark.parametrize("alpha", [None, 0.5])
def test_an_impossible_count_costs_infinitely_much_and_teaches_nothing(alpha, count):
  counts = make_batch("count_nll").target
  expected_gradient, expected = counting(alpha)(counts)
  counts = counts.copy()
  counts[1, 0] = count
  gradient, values = counting(alpha)(counts)
  assert values[1, 0] == np.inf
  others = np.array([[True, True], [False, True], [True, True]])
  np.testing.assert_array_equal(np.asarray(values)[others], np.asarray(expected)[others])
  assert np.isfinite(gradient).all()
  np.testing.assert_array_equal(
    np.moveaxis(gradient, 1, 2)[others], np.moveaxis(expected_gradient, 1, 2)[others]
  )
  if alpha is None:
    np.testing.assert_array_equal(gradient[1, :, 0], 0)


def test_softloc_without_weight_on_counting_is_soft_localization():
  gradient, values = counting(0.0)(np.full((3, 2), 99.0))  # impossible, and not asked for
  batch, labels = make_batch("count_nll"), make_batch("softloc").target
  expected = losses.soft_localization(batch.logits, labels, softness=1.0, where=batch.where, reduce_fn=None)
  np.testing.assert_allclose(values, expected, rtol=1e-6)
  assert np.isfinite(gradient).all() and gradient.any()


def test_softloc_takes_counts_that_the_labels_do_not_show():
  batch = make_batch("softloc")
  counts = batch.target.sum(1) + 1  # two events in one frame
  only_counting = losses.softloc(
    batch.logits, batch.target, softness=1.5, alpha=1.0, max_count=6, counts=counts, where=batch.where
  )
  expected = losses.count_nll(batch.logits, counts, max_count=6, where=batch.where)
  np.testing.assert_allclose(only_counting, expected, rtol=1e-6)


def test_plain_cross_entropy_is_the_limit_of_its_relatives():
  batch = make_batch("cross_entropy")
  arguments = {"where": batch.where, "reduce_fn": None}
  expected = losses.cross_entropy(batch.logits, batch.target, **arguments)
  for relative in (
    functools.partial(losses.widened_cross_entropy, width=0),
    functools.partial(losses.soft_bootstrap, beta=1.0),
    functools.partial(losses.focal, gamma=0.0),
    functools.partial(losses.shift_tolerant, tolerance=0),
  ):
    np.testing.assert_allclose(relative(batch.logits, batch.target, **arguments), expected, rtol=1e-5)


def test_softmax_without_weights_is_the_log_likelihood():
  batch = make_batch("softmax_cross_entropy")
  found = losses.softmax_cross_entropy(batch.logits[0], batch.target[0], reduce_fn=jnp.sum)
  classes = np.where(batch.target[0].any(1), batch.target[0].argmax(1), 2)
  expected = -log_softmax(batch.logits[0].astype(np.float64), axis=-1)[np.arange(NUM_FRAMES), classes].sum()
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_softmax_wants_one_logit_more():
  with pytest.raises(ValueError, match="logits have 2 classes and labels 2; expected one more logit"):
    losses.softmax_cross_entropy(jnp.zeros((4, 2)), jnp.zeros((4, 2)))


def test_the_softness_can_be_learned():
  batch = make_batch("soft_localization")

  @jax.jit
  @jax.value_and_grad
  def loss(softness):
    return losses.soft_localization(batch.logits, batch.target, softness=softness, where=batch.where)

  slope = (loss(1.51)[0] - loss(1.49)[0]) / 0.02
  np.testing.assert_allclose(loss(1.5)[1], slope, rtol=1e-2)


def test_alpha_schedule():
  steps = np.array([0, 1000, 1200, 1500, 1899, 1900, 2000, 10**7])
  found = losses.alpha_schedule(steps, start=1000, length=1000)
  np.testing.assert_allclose(found, [0.2, 0.2, 0.2, 0.5, 0.899, 0.9, 0.9, 0.9], rtol=1e-5)
  np.testing.assert_allclose(
    losses.alpha_schedule(1500, start=1000, length=1000, low=0.6, high=1), 0.6, rtol=1e-6
  )
  assert jax.jit(lambda step: losses.alpha_schedule(step, start=0, length=10))(5) == 0.5
  with pytest.raises(ValueError, match="length is 0; expected a positive number of steps"):
    losses.alpha_schedule(3, start=3, length=0)
