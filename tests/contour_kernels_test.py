"""The count loss's Pallas kernels: the same numbers as without them, and programs that GPUs and TPUs take."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import contour_kernels, count_loss, fused_kernel
from softloc_jax import contour, poisson_binomial

PLATFORMS = contour_kernels.PLATFORMS


def sequences(num_frames: int, num_sequences: int, max_count: int):
  """Logits of all kinds, counts up to the last bin, and masks."""
  random = np.random.default_rng(num_frames)
  logits = random.normal(-3, 2, (num_frames, num_sequences)).astype(np.float32)
  logits[:, 0], logits[:, 1] = -2.0, np.where(np.arange(num_frames) % 2, 30.0, -30.0)
  where = np.arange(num_frames)[:, None] < random.integers(0, num_frames + 1, num_sequences)
  where[:, :3] = True
  where[:, 3] = False
  count = np.minimum(random.integers(0, max_count + 1, num_sequences), where.sum(axis=0))
  return logits, count.astype(np.float32), where, (count == max_count) & (max_count < where.sum(axis=0))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
  ("num_frames", "num_sequences", "max_count"), [(203, 37, 12), (64, 8, 3), (5, 130, 5)]
)
def test_kernels_find_the_probabilities_and_posteriors(platform, num_frames, num_sequences, max_count):
  given = sequences(num_frames, num_sequences, max_count)
  passes = contour_kernels.passes(platform, interpret=True)
  found = contour.log_prob_and_posterior(*given, max_count=max_count, passes=passes)
  expected = contour.log_prob_and_posterior(*given, max_count=max_count)
  np.testing.assert_allclose(found[0], expected[0], rtol=3e-6, atol=3e-6)
  np.testing.assert_allclose(found[1], expected[1], atol=5e-6)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_kernel_does_what_the_pass_of_its_name_does(platform):
  logits, count, where, _ = sequences(203, 37, 12)
  num_frames = where.sum(axis=0).astype(np.float32)
  masked = jnp.where(where, logits, -jnp.inf)
  angles, real, imag = np.random.default_rng(0).uniform(0, 3, (3, 11, 37)).astype(np.float32)
  shares = jax.nn.sigmoid(masked)
  passes = contour_kernels.passes(platform, interpret=True)
  # Blocks of sequences stop when all of theirs are near enough, so that some have made fewer steps.
  tilted = jax.nn.sigmoid(masked + passes.tilt(masked, count, num_frames))
  far = jnp.abs(tilted.sum(axis=0) - jnp.clip(count, 0.5, num_frames - 0.5))
  near_enough = contour._TILT_TOLERANCE * jnp.sqrt((tilted * (1 - tilted)).sum(axis=0))
  assert np.all((far <= near_enough + 1e-3)[where.any(axis=0)])
  np.testing.assert_allclose(passes.product(shares, angles), contour._product(shares, angles), atol=1e-5)
  posterior = passes.posterior(shares, angles, real, imag)
  np.testing.assert_allclose(posterior, contour._posterior(shares, angles, real, imag), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_timed_is_the_value_and_the_gradient_of_the_loss(platform):
  logits, counts = count_loss.batch((20, 50, 6))
  by_kernels = count_loss.value_and_grad_by_kernels(6, platform, interpret=True)

  def loss(logits):
    return -poisson_binomial.log_prob(logits, counts, max_count=6, method="scan").sum()

  value, gradient = by_kernels(logits, counts)
  expected_value, expected_gradient = jax.value_and_grad(loss)(logits)
  np.testing.assert_allclose(value, expected_value, rtol=1e-6)
  np.testing.assert_allclose(gradient, expected_gradient, atol=5e-6)


@pytest.mark.parametrize(
  ("num_frames", "num_sequences", "max_count"), [(203, 37, 12), (64, 8, 3), (5, 130, 5)]
)
def test_one_kernel_finds_the_probabilities_and_gradients(num_frames, num_sequences, max_count):
  logits, count, where, or_more = sequences(num_frames, num_sequences, max_count)
  expected, posterior = contour.log_prob_and_posterior(logits, count, where, or_more, max_count=max_count)
  masked = contour.masked(jnp.asarray(logits), where)
  # As two clips, of which one has other classes.
  both = jnp.stack([masked, masked[:, ::-1]])
  counts, tails = np.stack([count, count[::-1]]), np.stack([or_more, or_more[::-1]])
  value, gradient = fused_kernel.value_and_gradient(both, counts, tails, interpret=True)
  np.testing.assert_allclose(value, np.stack([expected, expected[::-1]]), rtol=3e-6, atol=3e-6)
  by_contour = np.where(where, posterior - jax.nn.sigmoid(logits), 0.0)
  np.testing.assert_allclose(gradient, np.stack([by_contour, by_contour[:, ::-1]]), atol=5e-6)
  with pytest.raises(ValueError, match="logits are bfloat16; expected float32"):
    fused_kernel.value_and_gradient(both.astype(jnp.bfloat16), counts, tails)


def on_a_gpu_that_is_not_here():
  """Newer versions of jax ask what device a kernel is for."""
  try:
    device = jax.sharding.AbstractDevice("NVIDIA H200", 132, "gpu")
    mesh = jax.sharding.AbstractMesh((), (), abstract_device=device)
  except (AttributeError, TypeError):
    return contextlib.nullcontext()
  return jax.sharding.use_abstract_mesh(mesh)


def test_one_kernel_is_translated_for_gpus():
  given = jnp.zeros((2, 50, 20)), jnp.ones((2, 20)), jnp.zeros((2, 20), bool)
  compute = jax.jit(fused_kernel.value_and_gradient)
  with on_a_gpu_that_is_not_here():
    program = compute.trace(*given).lower(lowering_platforms=("cuda",)).as_text()
  assert program.count("custom_call @__gpu$xla.gpu.triton(") == 1


@pytest.mark.parametrize(
  ("platform", "target", "call"), [("gpu", "cuda", "__gpu$xla.gpu.triton"), ("tpu", "tpu", "tpu_custom_call")]
)
def test_kernels_are_translated_for_their_platform(platform, target, call):
  given = sequences(203, 37, 12)
  compute = functools.partial(
    contour.log_prob_and_posterior, max_count=12, passes=contour_kernels.passes(platform)
  )
  with on_a_gpu_that_is_not_here() if platform == "gpu" else contextlib.nullcontext():
    program = jax.jit(compute).trace(*given).lower(lowering_platforms=(target,)).as_text()
  assert program.count(f"custom_call @{call}(") == 3
