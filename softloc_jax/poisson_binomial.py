"""The distribution of a count: the sum of independent Bernoulli variables.

A model says for every frame `t` how likely an event is, `p_t = sigmoid(x_t)`. The
number of events `Y = sum_t Bernoulli(p_t)` then follows a Poisson-binomial law
(L6). Everything here works on the logits `x` and in log space: no epsilon is added
to a probability, so a count that the model thinks impossible still has a finite
log-probability and a gradient that says what to change.

Arrays are `[..., T]`; `where` (True where a frame is real) has as many frames, and
leading axes that broadcast against the logits'. Half-precision logits are computed in float32.

References:
  Schroeter, Sidorov, Marshall. Weakly-supervised temporal localization via
  occurrence count learning. ICML 2019. Equation numbers "L" are that paper's.
"""

from __future__ import annotations

import functools
import math
import operator

import jax
from jax import Array
import jax.numpy as jnp
from jax.typing import ArrayLike

from softloc_jax import contour

# Stands for log(0) inside the recursion, where -inf less -inf would be NaN. It is far below all logarithms
# that logits within [-1e4, 1e4] give (about -1e4 a frame), so that it never competes with one.
_LOG_ZERO = -1e30
# Of one sequence; beyond it the gradient of the recursion trades memory for time.
_MOST_RESIDUALS = 2**13

METHODS = ("auto", "scan", "contour")
# See `_resolve`; from experiments/benchmark.py.
_LEAST_WORK = 20_000
_FEW_BINS, _FEW_FRAMES = 3, 100


def log_prob(
  logits: ArrayLike,
  count: ArrayLike,
  *,
  where: ArrayLike | None = None,
  max_count: int | None = None,
  method: str = "auto",
) -> Array:
  """Log-probability of a count, `log Pr(sum_t Bernoulli(sigmoid(x_t)) = count)` (L6).

  Args:
    logits: `[..., T]` event logits.
    count: `[...]` number of events, integer valued.
    where: `[..., T]` True where a frame is real; other frames hold no event.
    max_count: mass thresholding (L14): the last bin collects `Pr(Y >= max_count)`,
      and a count of `max_count` or more has the probability of that bin. None keeps
      all `T + 1` bins.
    method: how it is computed, never what: "scan" is the recursion L9, "contour" an
      integral whose price does not grow with the count (see `contour`), "auto" the one
      that was faster where both were measured (`experiments/benchmark.py`). In float32
      the integral's gradient is off by less than 5e-6, whatever the logits; the
      recursion's by about 1e-7 times the logarithms that it adds up.

  Returns:
    `[...]` log-probabilities; `-inf`, with a zero gradient, for a count that cannot
    be (negative, or more than there are real frames).

  Raises:
    ValueError: an unknown method, a negative `max_count`, or a mask of other frames.
    TypeError: a `max_count` that is no whole number.

  >>> log_prob(jnp.zeros(4), 2)  # two of four fair coins: 6/16
  Array(-0.9808..., dtype=float32)
  """
  logits, where = _prepare(logits, where)
  count = _wide(count)
  max_count = _checked_bin(logits.shape[-1] if max_count is None else max_count)
  shape = jnp.broadcast_shapes(logits.shape[:-1], count.shape)
  if _resolve(method, (*shape, logits.shape[-1]), max_count) == "contour":
    return _log_prob_by_contour(logits, count, where, max_count)
  pmf = log_pmf(logits, max_count=max_count, where=where)
  index = jnp.broadcast_to(jnp.clip(count, 0, max_count).astype(jnp.int32), shape)
  pmf = jnp.broadcast_to(pmf, (*shape, max_count + 1))
  value = jnp.take_along_axis(pmf, index[..., None], axis=-1)[..., 0]
  return jnp.where(_is_possible(count, where), value, -jnp.inf)


def _resolve(method: str, shape: tuple[int, ...], max_count: int) -> str:
  """The method that "auto" stands for at a shape `[..., T]`."""
  if method not in METHODS:
    raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
  if not math.prod(shape):
    return "scan"
  if method != "auto":
    return method
  if jax.default_backend() != "cpu":
    return "contour"  # not measured; but there each frame of the recursion launches kernels of its own
  # On 2 cores the recursion wins where it is soon done, and for few bins of few frames.
  work = math.prod(shape) * (max_count + 1)
  is_short = max_count <= _FEW_BINS and shape[-1] < _FEW_FRAMES
  return "contour" if work > (10 * _LEAST_WORK if is_short else _LEAST_WORK) else "scan"


def _posterior_by_contour(logits: Array, count: Array, where: Array, possible: Array) -> Array:
  shape, num_frames = logits.shape[:-1], logits.shape[-1]
  count = jnp.broadcast_to(jnp.where(possible, count, 0), shape).ravel().astype(logits.dtype)
  logits, where = (_time_first(a, shape) for a in (logits, where))
  exactly = jnp.zeros(count.shape, bool)
  _, found = contour.log_prob_and_posterior(logits, count, where, exactly, max_count=num_frames)
  found = jnp.clip(jnp.where(possible.ravel(), found, 0.0), 0.0, 1.0)
  return found.T.reshape(*shape, num_frames)


def _log_prob_by_contour(logits: Array, count: Array, where: Array, max_count: int) -> Array:
  shape = jnp.broadcast_shapes(logits.shape[:-1], count.shape)
  possible = _is_possible(count, where)
  count = jnp.where(possible, jnp.minimum(count, max_count), 0)
  count, possible = (jnp.broadcast_to(a, shape).ravel() for a in (count, possible))
  logits, where = (_time_first(a, shape) for a in (logits, where))
  # Where all frames hold an event there are not more.
  or_more = (count == max_count) & (max_count < len(logits)) & possible
  value = _contour(logits, count.astype(logits.dtype), where, or_more, max_count)
  return jnp.where(possible, value, -jnp.inf).reshape(shape)


def _time_first(a: Array, shape: tuple[int, ...]) -> Array:
  """`[..., T]` -> `[T, N]`, the sequences broadcast to a shape."""
  return jnp.broadcast_to(a, (*shape, a.shape[-1])).reshape(-1, a.shape[-1]).T


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def _contour(logits: Array, count: Array, where: Array, or_more: Array, max_count: int) -> Array:
  return contour.log_prob_and_posterior(logits, count, where, or_more, max_count=max_count)[0]


@_contour.defjvp
def _contour_jvp(max_count: int, primals, tangents):
  """The gradient is the posterior less the prior, which differentiates again."""
  logits, count, where, or_more = primals
  value, posterior = contour.log_prob_and_posterior(logits, count, where, or_more, max_count=max_count)
  prior = jnp.where(where, jax.nn.sigmoid(logits), 0)
  return value, jnp.sum((posterior - prior) * tangents[0], axis=0)


def log_pmf(logits: ArrayLike, *, max_count: int, where: ArrayLike | None = None) -> Array:
  """Log-probability of every count up to `max_count` by the recursion L9.

  Args:
    logits: `[..., T]` event logits.
    max_count: the last bin, which collects `Pr(Y >= max_count)` (L14).
    where: `[..., T]` True where a frame is real.

  Returns:
    `[..., max_count + 1]`; its exponentials sum to one. Impossible counts are `-inf`.

  Raises:
    ValueError: a negative `max_count`.

  >>> jnp.exp(log_pmf(jnp.zeros(3), max_count=2))  # none, one, two or more heads of three
  Array([0.125, 0.375, 0.5  ], dtype=float32)
  """
  logits, where = _prepare(logits, where)
  final = _recursion(logits, where, max_count)
  impossible = jnp.arange(max_count + 1) > jnp.sum(where, axis=-1, keepdims=True)
  return jnp.where(impossible, -jnp.inf, final)


def log_interval_prob(
  logits: ArrayLike,
  low: ArrayLike,
  high: ArrayLike,
  *,
  max_count: int,
  where: ArrayLike | None = None,
) -> Array:
  """Log-probability that the count lies in an interval: "three to five hits".

  Args:
    logits: `[..., T]` event logits.
    low: `[...]` smallest count, inclusive.
    high: `[...]` largest count, inclusive; `max_count` or more means "or more".
    max_count: the last bin, see `log_pmf`; a `low` above it is "max_count or more".
    where: `[..., T]` True where a frame is real.

  Returns:
    `[...]` log-probabilities; `-inf`, with a zero gradient, where the interval holds
    no possible count.

  >>> round(float(jnp.exp(log_interval_prob(jnp.zeros(3), 1, 3, max_count=3))), 4)  # at least one head
  0.875
  """
  logits, where = _prepare(logits, where)
  pmf = log_pmf(logits, max_count=max_count, where=where)
  bins = jnp.arange(max_count + 1)
  low, high = (_wide(bound)[..., None] for bound in (low, high))
  possible = (low <= high) & (low <= jnp.sum(where, axis=-1, keepdims=True))
  inside = (bins >= jnp.minimum(low, max_count)) & (bins <= high) & possible & (pmf != -jnp.inf)
  # A logsumexp over -inf alone has a NaN gradient: it sees the finite stand-in instead.
  total = jax.nn.logsumexp(jnp.where(inside, pmf, _LOG_ZERO), axis=-1)
  return jnp.where(inside.any(axis=-1), total, -jnp.inf)


def posterior(
  logits: ArrayLike, count: ArrayLike, *, where: ArrayLike | None = None, method: str = "auto"
) -> Array:
  """Event probabilities once the count is known, `Pr(e_t = 1 | Y = count)`.

  They sum to `count`, and `posterior - sigmoid(x)` is the gradient of `log_prob`
  with respect to the logits.

  Args:
    logits: `[..., T]` event logits.
    count: `[...]` number of events.
    where: `[..., T]` True where a frame is real; elsewhere the result is 0.
    method: "contour" is exact to about 1e-6. "scan" takes the odds
      `e^x_t Pr(count - 1 in the other frames) / Pr(count in the other frames)`, where the
      other frames are those before `t` (the recursion) and after it (the recursion
      backwards): small probabilities keep their relative accuracy, but memory grows with
      `T` times the largest count, or `T` squared under `jit`. "auto" as in
      `log_prob`.

  Returns:
    `[..., T]` probabilities; all zero for a count that cannot be.

  >>> posterior(jnp.array([0.0, 0.0, -5.0]), 1).round(4)
  Array([0.4983, 0.4983, 0.0034], dtype=float32)
  """
  logits, where = _prepare(logits, where)
  count = jnp.asarray(count)
  shape = jnp.broadcast_shapes(logits.shape[:-1], count.shape)
  logits, where = (jnp.broadcast_to(a, (*shape, logits.shape[-1])) for a in (logits, where))
  possible = jnp.broadcast_to(_is_possible(count, where), shape)
  if _resolve(method, logits.shape, logits.shape[-1]) == "contour":
    return _posterior_by_contour(logits, count, where, possible)
  count = jnp.where(possible, count, 0).astype(jnp.int32)
  # One bin more than the largest count: the absorbing last bin is never read.
  max_count = 1 + (logits.shape[-1] if isinstance(count, jax.core.Tracer) else int(count.max(initial=0)))
  before = _recursion(logits, where, max_count, keep_prefixes=True)
  after = jnp.flip(_recursion(logits[..., ::-1], where[..., ::-1], max_count, keep_prefixes=True), axis=-2)
  one_fewer = _log_prob_of_sum(before, after, count - 1)
  all_of_them = _log_prob_of_sum(before, after, count)
  result = jax.nn.sigmoid(logits + one_fewer - all_of_them)
  return jnp.where(possible[..., None] & where & (count[..., None] > 0), result, 0.0)


def mean(logits: ArrayLike, *, where: ArrayLike | None = None) -> Array:
  """Expected count, `sum_t p_t`: `[..., T] -> [...]`.

  >>> mean(jnp.zeros(4))
  Array(2., dtype=float32)
  """
  logits, where = _prepare(logits, where)
  return jnp.sum(jax.nn.sigmoid(logits), axis=-1, where=where)


def variance(logits: ArrayLike, *, where: ArrayLike | None = None) -> Array:
  """Variance of the count, `sum_t p_t (1 - p_t)` (L10): `[..., T] -> [...]`.

  >>> variance(jnp.zeros(4))
  Array(1., dtype=float32)
  """
  logits, where = _prepare(logits, where)
  return jnp.sum(jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits), axis=-1, where=where)


def _prepare(logits: ArrayLike, where: ArrayLike | None) -> tuple[Array, Array]:
  """Logits in at least float32, and a mask of their shape.

  Masked logits become 0, so that padding, whatever it holds, spoils no gradient: behind a later
  `jnp.where` alone, a NaN would come back as 0 * NaN.
  """
  logits = jnp.asarray(logits)
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  where = jnp.ones_like(logits, dtype=bool) if where is None else jnp.asarray(where, dtype=bool)
  if where.ndim and logits.shape[-1] != where.shape[-1]:
    raise ValueError(f"where has {where.shape[-1]} frames; expected {logits.shape[-1]}, as logits have")
  shape = jnp.broadcast_shapes(logits.shape, where.shape)
  where = jnp.broadcast_to(where, shape)
  return jnp.where(where, logits, 0.0), where


def _checked_bin(max_count: int) -> int:
  """The last bin, which is a whole number."""
  max_count = operator.index(max_count)
  if max_count < 0:
    raise ValueError(f"max_count is {max_count}; expected 0 or more")
  return max_count


def _wide(count: ArrayLike) -> Array:
  """Counts in a type that `max_count` fits too: compared with a byte, 300 would be taken for 44."""
  count = jnp.asarray(count)
  return count.astype(jnp.promote_types(count.dtype, jnp.float32))


def _is_possible(count: Array, where: Array) -> Array:
  """Whether a count is a whole number that the real frames can hold."""
  return (count >= 0) & (count <= jnp.sum(where, axis=-1)) & (count == jnp.floor(count))


def _recursion(logits: Array, where: Array, max_count: int, *, keep_prefixes: bool = False) -> Array:
  """The recursion L9 with mass thresholding L14.

  Returns:
    The log-distribution `[..., K]`, `K = max_count + 1`; or that of what comes before
    each frame, `[..., T, K]`.
  """
  max_count = _checked_bin(max_count)
  log_p = jnp.where(where, jax.nn.log_sigmoid(logits), _LOG_ZERO)
  log_q = jnp.where(where, jax.nn.log_sigmoid(-logits), 0.0)
  return _recursion_1d(max_count, keep_prefixes)(log_p, log_q)


@functools.cache
def _recursion_1d(max_count: int, keep_prefixes: bool):
  """The recursion for one sequence, mapped over all leading axes.

  Cached and jitted, so that calls outside of any `jit` compile once a shape and not every time.
  """
  num_bins = max_count + 1

  def recursion(log_p: Array, log_q: Array) -> Array:  # [T], [T]
    leaves = jnp.arange(num_bins) < max_count  # the last bin absorbs: no mass leaves it (L14)
    # Made of the logits: within a `shard_map` a loop has to start with what varies over devices as they do.
    empty = jnp.full_like(log_p, _LOG_ZERO, shape=num_bins).at[0].set(0.0)  # [K]

    def step(prefix: Array, frame: tuple[Array, Array]) -> tuple[Array, Array]:
      log_p_t, log_q_t = frame
      stay = prefix + jnp.where(leaves, log_q_t, 0.0)
      move = jnp.concatenate([jnp.full(1, _LOG_ZERO, prefix.dtype), prefix[:-1] + log_p_t])
      return _log_add_exp(stay, move), prefix if keep_prefixes else None

    if keep_prefixes:
      return jax.lax.scan(step, empty, (log_p, log_q))[1]
    if log_p.size * num_bins <= _MOST_RESIDUALS:
      return jax.lax.scan(step, empty, (log_p, log_q))[0]

    # The gradient keeps the distribution at the start of every block and computes the others again.
    block = max(math.isqrt(log_p.size), 1)
    fill = (0, -log_p.size % block)
    frames = (jnp.pad(log_p, fill, constant_values=_LOG_ZERO), jnp.pad(log_q, fill))
    blocks = tuple(part.reshape(-1, block) for part in frames)
    return jax.lax.scan(jax.checkpoint(lambda prefix, some: jax.lax.scan(step, prefix, some)), empty, blocks)[
      0
    ]

  return jax.jit(jnp.vectorize(recursion, signature=f"(t),(t)->{'(t,k)' if keep_prefixes else '(k)'}"))


@jax.custom_jvp
def _log_add_exp(a: Array, b: Array) -> Array:
  """`log(e^a + e^b)` of finite numbers.

  In a loop jax takes second derivatives through what is inside a `custom_jvp`: those of `jnp.logaddexp` are
  wrong where both are equal, these are right. The first, whose two shares sum to one, have a third to a tenth
  of its rounding error.
  """
  most, least = jnp.where(a >= b, a, b), jnp.where(a >= b, b, a)
  return most + jnp.log1p(jnp.exp(least - most))


@_log_add_exp.defjvp
def _log_add_exp_jvp(primals, tangents):
  (a, b), (of_a, of_b) = primals, tangents
  return _log_add_exp(a, b), of_b + jax.nn.sigmoid(a - b) * (of_a - of_b)


def _log_prob_of_sum(before: Array, after: Array, total: Array) -> Array:
  """`log sum_j Pr(j events before t) Pr(total - j after t)`: `[..., T, K] x2, [...] -> [..., T]`."""
  index = total[..., None] - jnp.arange(before.shape[-1])  # [..., K]
  paired = jnp.take_along_axis(after, jnp.maximum(index, 0)[..., None, :], axis=-1)
  return jax.nn.logsumexp(jnp.where(index[..., None, :] >= 0, before + paired, 2 * _LOG_ZERO), axis=-1)
