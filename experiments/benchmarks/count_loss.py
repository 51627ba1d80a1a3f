"""The count loss, value and gradient: ways to compute it, and what a cross entropy costs."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.benchmarks import contour_kernels, fused_kernel, timing, torch_training
from experiments.benchmarks.timing import Timing, compare
from softloc_jax import contour, losses, poisson_binomial

# Sequences, frames and the last bin: the piano of L section 7 (32 clips, 7 bands of 10 pitches), one band,
# the CPU variants of piano and drums, the golf swings of S section 4.1, and smaller ones.
SHAPES = (
  (2240, 400, 42),
  (320, 400, 42),
  (704, 110, 20),
  (96, 110, 31),
  (176, 64, 3),
  (48, 120, 3),
  (704, 110, 3),
  (704, 110, 6),
  (64, 50, 3),
  (64, 50, 8),
  (16, 200, 2),
  (8, 1000, 2),
  (8, 1000, 10),
  (1, 30, 5),
)
TORCH_SHAPES = SHAPES[:2]
# On accelerators: one that no cache holds, and clips, frames, classes and the last bin as training has them.
LARGE = (71_680, 400, 42)
CLIPS = (32, 400, 70, 42)
CALLS = 100
LONG = (1, 100_000, 2000)
DISTRIBUTION_FRAMES = 1000


def batch(shape: tuple[int, int, int], seed: int = 0) -> tuple[Array, Array]:
  """Logits `[N, T]` of rare events, and counts `[N]` up to the last bin."""
  num_sequences, num_frames, max_count = shape
  rng = np.random.default_rng(seed)
  logits = rng.normal(-4, 2, (num_sequences, num_frames)).astype(np.float32)
  return jnp.asarray(logits), jnp.asarray(rng.integers(0, max_count + 1, num_sequences))


def measure(repeats: int) -> dict[str, dict[str, Timing]]:
  """Shape -> method -> timing of value and gradient of the summed loss; and of a whole distribution."""
  results = {}
  on_accelerator = jax.default_backend() != "cpu"
  if on_accelerator:
    check(SHAPES[0])
    results |= _of_clips(repeats)
  for shape in (*SHAPES, LARGE) if on_accelerator else SHAPES:
    functions = jax_methods(shape[2])
    if shape == LARGE:  # by recursions it would take most of the time, and memory
      functions = {name: one for name, one in functions.items() if "scan" not in name}
    if shape in TORCH_SHAPES and (by_torch := torch_method(shape)):
      functions["torch recursion, on the processor"] = by_torch
    results[" x ".join(map(str, shape))] = compare(functions, *batch(shape), repeats=repeats)
  by_contour = {"contour": _value_and_grad("contour", LONG[2])}
  results[" x ".join(map(str, LONG))] = compare(by_contour, *batch(LONG), repeats=repeats)
  logits, _ = batch((1, DISTRIBUTION_FRAMES, 0))
  results[f"all counts of {DISTRIBUTION_FRAMES} frames"] = compare(
    distribution_methods(DISTRIBUTION_FRAMES), logits[0], repeats=repeats
  )
  return results


def _of_clips(repeats: int) -> dict[str, dict[str, Timing]]:
  """Of logits in the layout of training, one call at a time and many in one program."""
  *shape, max_count = CLIPS
  rng = np.random.default_rng(0)
  logits = jnp.asarray(rng.normal(-4, 2, shape).astype(np.float32))
  counts = jnp.asarray(rng.integers(0, max_count + 1, (shape[0], shape[2])))
  methods = clip_methods(max_count)
  name = " x ".join(map(str, CLIPS))
  many = {how: timing.repeated(one, CALLS) for how, one in methods.items()}
  return {
    f"{name}, as training has them": compare(methods, logits, counts, repeats=repeats),
    f"{name}, {CALLS} in one program": compare(many, logits, counts, repeats=repeats),
  }


def clip_methods(max_count: int, *, interpret: bool = False) -> dict[str, Callable[[Array, Array], Any]]:
  """Value and gradient of losses of `[B, T, C]`, summed; the kernel alone where it can be."""

  def counting(logits, counts):
    return losses.count_nll(logits, counts, max_count=max_count, reduce_fn=jnp.sum)

  def cross_entropy(logits, counts):
    return losses.cross_entropy(logits, (logits > 0).astype(logits.dtype), reduce_fn=jnp.sum)

  methods = {"count_nll": jax.jit(jax.value_and_grad(counting))}
  if interpret or jax.default_backend() == "gpu":
    methods["contour in one kernel"] = value_and_grad_by_one_kernel(max_count, interpret=interpret)
  methods["cross entropy"] = jax.jit(jax.value_and_grad(cross_entropy))
  return methods


def value_and_grad_by_one_kernel(max_count: int, *, interpret: bool = False) -> Callable[[Array, Array], Any]:
  """Of `[B, T, C]` and counts that are possible, all frames real."""

  @jax.jit
  def value_and_grad(logits, counts):
    value, gradient = fused_kernel.value_and_gradient(
      logits,
      counts,
      (counts == max_count) & (max_count < logits.shape[1]),
      interpret=interpret,
    )
    return -jnp.sum(value), -gradient

  return value_and_grad


def check(shape: tuple[int, int, int], *, interpret: bool = False) -> None:
  """Compares all that is timed with the recursion in float64, on logits of all kinds.

  Raises:
    AssertionError: some method is off by more than rounding.
  """
  logits, counts = batch(shape)
  logits = logits.at[1::4].multiply(5.0).at[2::8].set(-2.0).at[3::8].set(30.0)
  with jax.enable_x64(True):
    exact = _value_and_grad("scan", shape[2])
    expected = jax.tree.map(np.asarray, exact(logits.astype(jnp.float64), counts))
  methods = jax_methods(shape[2])
  if interpret or jax.default_backend() == "gpu":
    one_kernel = value_and_grad_by_one_kernel(shape[2], interpret=interpret)

    def by_one_kernel(logits, counts):
      value, gradient = one_kernel(logits.T[None], counts[None])
      return value, gradient[0].T

    methods["contour in one kernel"] = by_one_kernel
  for name in set(methods) & {"contour", "contour by Pallas kernels", "contour in one kernel"}:
    value, gradient = methods[name](logits, counts)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-5, err_msg=name)


def distribution_methods(num_frames: int) -> dict[str, Callable[[Array], Any]]:
  """Probabilities of every count of one sequence, as logarithms and not."""

  def by_scipy(logits):
    return scipy.stats.poisson_binom.pmf(np.arange(num_frames + 1), np.asarray(jax.nn.sigmoid(logits)))

  return {
    "log_pmf": jax.jit(functools.partial(poisson_binomial.log_pmf, max_count=num_frames)),
    "scipy.stats.poisson_binom": by_scipy,
  }


def jax_methods(max_count: int) -> dict[str, Callable[[Array, Array], Any]]:
  """The library's methods, recursions as one writes them, and the cross entropy of the same logits."""
  methods = {name: _value_and_grad(name, max_count) for name in ("auto", "contour", "scan")}

  def by_probabilities(logits, counts):
    return -jnp.sum(jnp.log(recursion(jax.nn.sigmoid(logits), counts, max_count)))

  def by_logarithms(logits, counts):
    return -jnp.sum(log_recursion(logits, counts, max_count))

  def cross_entropy(logits, counts):
    return jnp.sum(jax.nn.softplus(logits) - logits * (logits > 0))

  if (platform := jax.default_backend()) in contour_kernels.PLATFORMS:
    methods["contour by Pallas kernels"] = value_and_grad_by_kernels(max_count, platform)
  methods["plain scan of logarithms"] = jax.jit(jax.value_and_grad(by_logarithms))
  methods["scan of probabilities"] = jax.jit(jax.value_and_grad(by_probabilities))
  methods["cross entropy"] = jax.jit(jax.value_and_grad(cross_entropy))
  return methods


def _value_and_grad(method: str, max_count: int) -> Callable[[Array, Array], Any]:
  log_prob = functools.partial(poisson_binomial.log_prob, max_count=max_count, method=method)
  return jax.jit(jax.value_and_grad(lambda logits, counts: -log_prob(logits, counts).sum()))


def value_and_grad_by_kernels(
  max_count: int, platform: str, *, interpret: bool = False
) -> Callable[[Array, Array], Any]:
  """As `_value_and_grad`, of counts that are possible and frames that are all real."""
  passes = contour_kernels.passes(platform, interpret=interpret)

  @jax.jit
  def value_and_grad(logits, counts):
    log_probs, posterior = contour.log_prob_and_posterior(
      logits.T,
      counts.astype(logits.dtype),
      jnp.ones(logits.T.shape, bool),
      (counts == max_count) & (max_count < logits.shape[1]),
      max_count=max_count,
      passes=passes,
    )
    return -jnp.sum(log_probs), jax.nn.sigmoid(logits) - posterior.T

  return value_and_grad


def recursion(probs: Array, counts: Array, max_count: int) -> Array:
  """L9 on probabilities, which underflow in the tails: `[N, T]`, `[N]` -> `[N]`."""
  leaves = jnp.arange(max_count + 1) < max_count

  def step(pmf, p):
    moved = jnp.pad(pmf[:, :-1] * p[:, None], ((0, 0), (1, 0)))
    return pmf * jnp.where(leaves, 1 - p[:, None], 1.0) + moved, None

  start = jnp.zeros((len(probs), max_count + 1)).at[:, 0].set(1.0)
  pmf, _ = jax.lax.scan(step, start, probs.T)
  return jnp.take_along_axis(pmf, counts[:, None], axis=1) + 1e-30


def log_recursion(logits: Array, counts: Array, max_count: int) -> Array:
  """L9 on logarithms, left to jax to differentiate: `[N, T]`, `[N]` -> `[N]`."""
  leaves = jnp.arange(max_count + 1) < max_count

  def step(log_pmf, frame):
    log_p, log_q = frame
    moved = jnp.pad(log_pmf[:, :-1] + log_p[:, None], ((0, 0), (1, 0)), constant_values=-1e30)
    return jnp.logaddexp(log_pmf + jnp.where(leaves, log_q[:, None], 0.0), moved), None

  start = jnp.full((len(logits), max_count + 1), -1e30).at[:, 0].set(0.0)
  frames = jax.nn.log_sigmoid(logits.T), jax.nn.log_sigmoid(-logits.T)
  log_pmf, _ = jax.lax.scan(step, start, frames)
  return jnp.take_along_axis(log_pmf, counts[:, None], axis=1)


def torch_method(shape: tuple[int, int, int]) -> Callable[[Array, Array], Any] | None:
  """The recursion as one writes it in torch, a loop over frames; None where torch is not installed."""
  try:
    import torch
  except ImportError:
    return None
  max_count = shape[2]
  logits, counts = (torch.from_numpy(np.array(part)) for part in batch(shape))
  logits.requires_grad_()

  def value_and_grad(*_):
    logits.grad = None
    pmf = torch_training.count_pmf(torch.sigmoid(logits).T, max_count)
    loss = -torch.log(pmf.gather(1, counts[:, None]) + 1e-30).sum()
    loss.backward()
    return loss.item(), logits.grad

  return value_and_grad
