"""Batches spread over several devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import several_devices

from softloc_jax import data_parallel, fourier


@pytest.mark.slow
def test_no_device_asks_for_the_batch_of_another_in_a_training_step():
  # Rooms, noise and changes of rate go through Fourier transforms as the features do.
  program = """
import re
import jax, numpy as np
from configs.weak import drums
from softloc_jax import augment, data_parallel, input_pipeline, objective, train_step
from softloc_jax.network import Network
from small_config import small

effects = {"equalize": {"std_db": 3.0}, "reverberate": {}, "add_noise": {"snr_db": (10.0, 30.0)}}
for added in (effects, effects | {"change_rate": {"factor": (0.95, 1.05)}}):
  config = small(drums.get_config("synthetic"))
  config.augment = added
  network = Network.from_config(config)
  rate_hz = network.extractor.frame_rate_hz
  windows = input_pipeline.Windows.from_config(config.window, rate_hz)
  augmentation = augment.from_config(config.augment, network.extractor, windows, network.classes)
  frames, classes = augmentation.widen(windows).crop_frames, len(network.classes)
  samples = network.extractor.sample_range(0, frames)[1]
  batch = {
    "signal": np.zeros((1, 64, samples, 1), np.float32),
    "labels": np.zeros((1, 64, frames, classes), np.float32),
    "counts": np.zeros((1, 64, classes), np.int32),
    "where": np.ones((1, 64, frames), bool),
    "labelled": np.ones((1, 64, classes), bool),
  }
  mesh = data_parallel.make_mesh()
  assert mesh.size == 2
  optimizer = train_step.make_optimizer(config.optimizer, 10)
  loss = objective.from_config(config.loss, frame_rate_hz=rate_hz, num_steps=10)
  state = train_step.init_state(network, optimizer, [0], mesh)
  step = train_step.make_train_step(network, loss, optimizer, mesh, seeds=[0], augmentation=augmentation)
  compiled = step.lower(state, batch).compile().as_text()
  assert " fft(" in compiled and "log_prob_and_posterior" in compiled  # the contour, and not the recursion
  exchanged = re.findall(r" (all-gather|all-to-all|collective-permute|all-reduce)[-(]", compiled)
  assert exchanged == ["all-reduce"] * 2, exchanged  # of how much is labelled, and of gradients
"""
  several_devices.run(program, 2)


def test_shares_transform_and_differentiate_as_the_whole_does():
  program = """
import jax, jax.numpy as jnp, numpy as np
from softloc_jax import data_parallel, fourier

def there_and_back(signal):
  return fourier.irfft(fourier.rfft(signal, 40) * jnp.arange(21), 40)

def gradient(signal):
  return jax.grad(lambda signal: jnp.sum(there_and_back(signal)[..., ::3] ** 3))(signal)

mesh = data_parallel.make_mesh()
for size in (8, 3):  # three do not divide among two
  signal = np.random.default_rng(0).standard_normal((2, size, 5, 33)).astype(np.float32)
  for function in (there_and_back, gradient):
    def on_shares(signal):
      with data_parallel.batches_on(mesh):
        return jax.vmap(function)(signal)

    sharding = data_parallel.split(mesh, axis=1) if size == 8 else data_parallel.everywhere(mesh)
    compute = jax.jit(on_shares, in_shardings=sharding)
    program = compute.lower(signal).compile().as_text()
    assert " fft(" in program and "all-gather" not in program
    np.testing.assert_allclose(compute(signal), jax.vmap(function)(signal), rtol=1e-4, atol=1e-3)
"""
  several_devices.run(program, 2)


def test_a_transform_without_a_mesh_is_that_of_numpy():
  signal = np.random.default_rng(0).standard_normal((3, 10)).astype(np.float32)
  np.testing.assert_allclose(fourier.rfft(signal), np.fft.rfft(signal), atol=1e-5)
  np.testing.assert_allclose(fourier.rfft(signal[0], 16), np.fft.rfft(signal[0], 16), atol=1e-5)
  np.testing.assert_allclose(fourier.irfft(jnp.fft.rfft(signal), 10), signal, atol=1e-5)


def test_shares_of_one_device_are_the_whole():
  assert data_parallel.mesh_of({"w": jnp.ones(3), "n": np.ones(2), "i": 1}) is None
  copied = jax.device_put(jnp.ones(3), data_parallel.everywhere(data_parallel.make_mesh()))
  assert data_parallel.mesh_of(copied) is None
  assert data_parallel.in_shares(5, None) == 5


@pytest.mark.slow
def test_losses_of_shares_are_those_of_the_whole_and_ask_no_other_device():
  program = """
import re
import jax, jax.numpy as jnp, numpy as np
from softloc_jax import data_parallel, mixed_labels, objective

random = np.random.default_rng(0)
labels = (random.random((4, 300, 3)) < 0.03).astype(np.float32)
counts = labels.sum(1).astype(np.int32)
batch = {
  "labels": labels, "counts": counts, "where": np.arange(300) < np.array([[300], [280], [200], [0]]),
  "supervision": random.choice([mixed_labels.EXACT, mixed_labels.JITTERED, mixed_labels.COUNTED], (4, 3)),
  "count_interval": np.stack([counts, counts + 1], -1),
}
values = {
  "softness_s": 0.05, "max_count": 30, "smoothing_weight": 1.0, "alpha_low": 0.1, "alpha_high": 0.9,
  "ramp_start": 0.0, "ramp_end": 1.0, "positive_weight": 2.0, "event_weight": 2.0, "no_event_weight": 1.0,
  "width_s": 0.03, "beta": 0.9, "gamma": 2.0, "tolerance_s": 0.05,
}
mesh = data_parallel.make_mesh()
for name, arguments in objective.ARGUMENTS.items():
  config = {"name": name} | {key: values[key] for key in arguments}
  loss = objective.from_config(config, frame_rate_hz=100.0, num_steps=10)
  logits = random.normal(0, 2, (4, 300, 3 + (name == "softmax_cross_entropy"))).astype(np.float32)

  def total(logits, batch, mesh):
    with data_parallel.batches_on(mesh):
      return data_parallel.on_shares(loss, logits, batch, shared=[jnp.array(3)]).sum()

  compute = jax.jit(jax.value_and_grad(total), static_argnames="mesh")
  shares = jax.device_put((logits, batch), data_parallel.split(mesh))
  program = compute.lower(*shares, mesh).compile().as_text()
  assert len(re.findall(r" all-[a-z]+[-(]", program)) == 1, name  # of the sum
  found, expected = compute(*shares, mesh), compute(logits, batch, None)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)
"""
  several_devices.run(program, 2)


@pytest.mark.slow
def test_count_distributions_are_computed_within_a_users_own_shard_map():
  program = """
import jax, numpy as np
from jax.sharding import PartitionSpec
from softloc_jax import data_parallel, poisson_binomial

random = np.random.default_rng(0)
logits, counts = random.normal(-2, 2, (4, 80)).astype(np.float32), np.array([0, 3, 9, 20])
share = PartitionSpec("data")
for method in ("contour", "scan"):
  def log_prob(logits, counts):
    return poisson_binomial.log_prob(logits, counts, max_count=20, method=method)

  def sensitivity(logits, counts):
    def change(logits):
      return jax.grad(lambda logits: log_prob(logits, counts).sum())(logits)
    return jax.jvp(change, (logits,), (logits,))[1]

  for function in (log_prob, sensitivity):
    mapped = jax.shard_map(
      function, mesh=data_parallel.make_mesh(), in_specs=(share, share), out_specs=share
    )
    found, expected = jax.jit(mapped)(logits, counts), jax.jit(function)(logits, counts)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
"""
  several_devices.run(program, 2)


def test_meshes_that_are_none_of_its_business_are_left_alone():
  program = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from softloc_jax import data_parallel, fourier

kinds = AxisType.Auto, AxisType.Explicit
auto, explicit = (jax.make_mesh((2,), ("data",), axis_types=(kind,)) for kind in kinds)
weights = jnp.ones((2, 3))
assert data_parallel.mesh_of({"w": jax.device_put(weights, data_parallel.everywhere(auto))}) == auto
assert data_parallel.mesh_of({"w": jax.device_put(weights, data_parallel.everywhere(explicit))}) is None
assert data_parallel.mesh_of({"w": jax.device_put(weights, data_parallel.split(auto))}) is None
assert data_parallel.in_shares(5, auto) == 6

# What is split along another axis stays there.
both = jax.make_mesh((1, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
signal = np.random.default_rng(0).standard_normal((4, 6, 32)).astype(np.float32)
for mesh in (explicit, both):
  def transform(signal):
    with data_parallel.batches_on(mesh):
      return jnp.abs(fourier.rfft(signal))

  given = jax.device_put(signal, NamedSharding(mesh, PartitionSpec(mesh.axis_names[-1])))
  np.testing.assert_allclose(jax.jit(transform)(given), np.abs(np.fft.rfft(signal)), atol=1e-4)
"""
  several_devices.run(program, 2)
