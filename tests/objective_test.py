"""From configs to losses: names, units, schedules and errors."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from softloc_jax import losses, objective
from softloc_jax.mixed_labels import COUNTED, EXACT, JITTERED, UNLABELLED

RATE_HZ = 50.0
SOFTLOC = {
  "softness_s": 0.04,
  "max_count": 5,
  "smoothing_weight": 4.0,
  "alpha_low": 0.2,
  "alpha_high": 0.9,
  "ramp_start": 0.5,
  "ramp_end": 0.9,
}
CONFIGS = {
  "count_nll": {"max_count": 5},
  "soft_localization": {"softness_s": 0.04},
  "softloc": SOFTLOC,
  "mixed": SOFTLOC,
  "one_sided_smoothing": {"softness_s": 0.04},
  "cross_entropy": {"positive_weight": 2.0},
  "softmax_cross_entropy": {"event_weight": 0.125, "no_event_weight": 0.03},
  "widened_cross_entropy": {"width_s": 0.06},
  "soft_bootstrap": {"beta": 0.9},
  "focal": {"gamma": 1.5},
  "shift_tolerant": {"tolerance_s": 0.04, "positive_weight": 2.0},
}
# The same calls in frames: 0.04 s are 2 frames at 50 Hz, 0.06 s are 3.
IN_FRAMES = {
  "soft_localization": {"softness": 2.0},
  "one_sided_smoothing": {"softness": 2.0},
  "cross_entropy": {"positive_weight": 2.0},
  "widened_cross_entropy": {"width": 3},
  "soft_bootstrap": {"beta": 0.9},
  "focal": {"gamma": 1.5},
  "shift_tolerant": {"tolerance": 2, "positive_weight": 2.0},
}


@pytest.fixture(scope="module")
def batch():
  generator = np.random.default_rng(0)
  labels = (generator.random((2, 20, 3)) < 0.1).astype(np.float32)
  where = np.arange(20) < np.array([20, 14])[:, None]
  labels *= where[..., None]
  counts = labels.sum(1) + np.array([0, 1, 0])  # a second event in a frame does not show in the labels
  kinds = np.array([[EXACT, JITTERED, COUNTED], [COUNTED, UNLABELLED, EXACT]])
  intervals = np.stack([np.maximum(counts - 1, 0), counts + 1], axis=-1).astype(np.int32)
  return {
    "labels": labels,
    "counts": counts,
    "where": where,
    "supervision": kinds,
    "count_interval": intervals,
  }


@pytest.fixture(scope="module")
def logits():
  return np.random.default_rng(1).normal(0, 2, (2, 20, 3)).astype(np.float32)


def make(name, **changes):
  config = ml_collections.ConfigDict({"name": name, **CONFIGS[name], **changes})
  return objective.from_config(config, frame_rate_hz=RATE_HZ, num_steps=1000)


def test_every_name_has_a_config_here():
  assert set(CONFIGS) == set(objective.ARGUMENTS)


@pytest.mark.parametrize("name", IN_FRAMES)
def test_seconds_become_frames(name, batch, logits):
  found = make(name)(logits, batch, 0)
  assert found.shape == (2, 3)
  expected = getattr(losses, name)(
    logits, batch["labels"], where=batch["where"], reduce_fn=None, **IN_FRAMES[name]
  )
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_counting_reads_the_counts(batch, logits):
  expected = losses.count_nll(logits, batch["counts"], max_count=5, where=batch["where"], reduce_fn=None)
  np.testing.assert_allclose(make("count_nll")(logits, batch, 0), expected, rtol=1e-6)


def test_classes_that_exclude_each_other(batch, logits):
  logits = np.concatenate([logits, logits[..., :1]], axis=-1)
  found = make("softmax_cross_entropy")(logits, batch, 0)
  parts = losses.softmax_cross_entropy(
    logits,
    batch["labels"],
    class_weights=jnp.array([0.125, 0.125, 0.125, 0.03]),
    where=batch["where"],
    reduce_fn=None,
  )
  np.testing.assert_allclose(found.sum(-1), parts.sum(-1), rtol=1e-5)
  np.testing.assert_allclose(found - parts[..., :3], parts[..., 3:].repeat(3, -1) / 3, rtol=1e-4)


@pytest.mark.parametrize(
  ("step", "alpha"), [(0, 0.2), (500, 0.2), (580, 0.2), (700, 0.5), (860, 0.9), (1000, 0.9)]
)
def test_the_ramp_of_softloc(step, alpha, batch, logits):
  # From 50% of the 1000 steps (alpha would be 0) to 90% (would be 1), kept between 0.2 and 0.9.
  found = make("softloc")(logits, batch, jnp.asarray(step))
  smoothing = losses.soft_localization(
    logits, batch["labels"], softness=2.0, where=batch["where"], reduce_fn=None
  )
  counting = losses.count_nll(logits, batch["counts"], max_count=5, where=batch["where"], reduce_fn=None)
  np.testing.assert_allclose(found, (1 - alpha) * 4.0 * smoothing + alpha * counting, rtol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_objectives_train(name, batch, logits):
  loss = make(name)
  if name == "softmax_cross_entropy":  # one logit more, for no event
    logits = np.concatenate([logits, logits[..., :1]], axis=-1)
  gradient = jax.jit(jax.grad(lambda x, step: loss(x, batch, step).mean()))(logits, 300)
  assert np.isfinite(gradient).all() and gradient.any()
  np.testing.assert_array_equal(gradient[1, 14:], 0)


def test_unknown_names_and_arguments():
  with pytest.raises(ValueError, match=r"loss.name is 'hinge'; expected one of count_nll, soft_localization"):
    objective.from_config({"name": "hinge"}, frame_rate_hz=RATE_HZ, num_steps=10)
  with pytest.raises(ValueError, match=r"loss.name is None; expected one of count_nll"):
    objective.from_config({"gamma": 2.0}, frame_rate_hz=RATE_HZ, num_steps=10)
  with pytest.raises(ValueError, match=r"loss.focal takes gamma; the config gives alpha, gamma"):
    make("focal", alpha=0.5)
  with pytest.raises(ValueError, match=r"loss.soft_localization takes softness_s; the config gives nothing"):
    objective.from_config({"name": "soft_localization"}, frame_rate_hz=RATE_HZ, num_steps=10)
  with pytest.raises(
    ValueError, match=r"loss.soft_localization takes softness_s; the config gives softness$"
  ):
    objective.from_config({"name": "soft_localization", "softness": 2.0}, frame_rate_hz=RATE_HZ, num_steps=10)


@pytest.mark.parametrize("name", ["count_nll", "softloc"])
def test_a_count_needs_bins(name):
  with pytest.raises(ValueError, match=r"loss.max_count is 0; expected 1 or more"):
    make(name, max_count=0)


def test_a_ramp_has_to_rise():
  with pytest.raises(ValueError, match=r"loss.ramp_end is 0.5; expected more than loss.ramp_start, 0.5"):
    make("softloc", ramp_end=0.5)


def test_the_config_is_left_as_it_was():
  config = ml_collections.ConfigDict({"name": "softloc", **CONFIGS["softloc"]})
  before = config.to_json()
  objective.from_config(config, frame_rate_hz=RATE_HZ, num_steps=10)
  assert config.to_json() == before


def test_mean_over_labelled_classes():
  per_class = jnp.array([[1.0, np.inf], [3.0, 5.0]])
  labelled = jnp.array([[True, False], [True, True]])
  assert objective.mean_over_labelled(per_class, labelled) == 3.0
  assert objective.mean_over_labelled(per_class, jnp.zeros((2, 2), bool)) == 0.0
  gradient = jax.grad(objective.mean_over_labelled)(per_class, labelled)
  np.testing.assert_allclose(gradient, labelled / 3)
