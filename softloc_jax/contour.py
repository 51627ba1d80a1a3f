"""The probability of a count as a contour integral: no loop over counts, at any count the same price.

For `Y = sum_t Bernoulli(p_t)`, `p_t = sigmoid(x_t)`, any real tilt `lam`, and `s_t = sigmoid(x_t + lam)`,

    log Pr(Y = k) = log Pr_s(Y = k) - k lam + sum_t [softplus(x_t + lam) - softplus(x_t)].

The tilt that makes k the mean of the tilted law puts its probability near `1 / sqrt(2 pi var)`: nothing
underflows or cancels, whatever the logits. It is the integral of the characteristic function over a circle,

    Pr_s(Y = k) = 1 / pi Re int_0^pi e^(-i k theta) prod_t (1 + s_t (e^(i theta) - 1)) d theta,

by the midpoint rule, which is exact but for `Pr_s(Y = k + j D)`, `D = 2 pi / spacing`, j != 0. Two bounds
choose the nodes from the tilted variance alone. The integrand is at most `exp(-2 var sin^2(theta / 2))`, so
that a wide distribution needs no nodes at large angles; by Bennett's inequality its tails end after a few
standard deviations, so that a narrow one needs few nodes at all. A dozen serve every count and every length.

`Pr(Y >= k)` is the same sum with each node divided by `1 - e^(-lam - i theta)`. The pole at `theta = i lam`
adds `1 / (1 + e^(lam D))`, which the midpoint rule misses.

The gradient is `Pr(e_t = 1 | Y = k) - p_t`. Its first term is the sum over the same nodes with factor t
replaced: the posterior marginals, for one division per frame and node.

Everything runs along time first, `[T, N]` for N sequences.

References:
  Daniels, "Saddlepoint approximations in statistics", Annals of Mathematical Statistics 1954 (the tilt).
  Hong, "On computing the distribution function for the Poisson binomial distribution", CSDA 2013 (the sum).
  Peres, Lee, Keich, "Exactly computing the tail of the Poisson-binomial distribution", ACM TOMS 2021 (both).
  Trefethen, Weideman, "The exponentially convergent trapezoidal rule", SIAM Review 2014 (its error, poles).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
import math
from typing import NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
import numpy as np

# Frames that are multiplied out to one polynomial before the nodes are put in, and such polynomials a step:
# what depends on the nodes alone is read once for all of them.
_GROUP = 4
_GROUPS_A_STEP = 4
# Numbers a step of the product over time works on, if the sequences are too few to fill the processor.
_STEP_SIZE = 2**12
# The same where a step costs a kernel launch and there is room: all frames at once, then a tree of products.
_STEP_SIZE_ON_ACCELERATORS = 2**23
# Of logits beyond 1e20 each halves a bracket that wide; others arrive in a handful.
_MOST_TILT_STEPS = 240
# How far the tilted mean may be from the count, in standard deviations: the tilt need not be exact.
_TILT_TOLERANCE = 0.8
# The tilt of a count that leaves no choice; no logit is larger.
_ALL_THE_WAY = 1e30


class Passes(NamedTuple):
  """What goes over all frames.

  Attributes:
    tilt: of `logits [T, N]`, `count [N]` and `num_frames [N]`, as `_tilt`.
    product: of `shares [T, N]` and `angles [H, N]`, as `_product`.
    posterior: of `shares`, `angles` and the nodes' weights `real [H, N]`, `imag [H, N]`, as `_posterior`.
  """

  tilt: Callable[..., Array]
  product: Callable[..., Array]
  posterior: Callable[..., Array]


# Outside of any `jit`, its loops would be compiled again at every call.
@functools.partial(jax.jit, static_argnames=("max_count", "passes"))
def log_prob_and_posterior(
  logits: Array,
  count: Array,
  where: Array,
  or_more: Array,
  *,
  max_count: int,
  passes: Passes | None = None,
) -> tuple[Array, Array]:
  """`log Pr(Y = count)`, or `log Pr(Y >= count)`, and what it says about every frame.

  Args:
    logits: `[T, N]`, float32 or float64.
    count: `[N]` whole numbers from 0 to the number of real frames, of the logits' type.
    where: `[T, N]` True where a frame is real.
    or_more: `[N]` True for `Pr(Y >= count)`.
    max_count: at least every count; chooses how many nodes there are.
    passes: other ways to compute these; None for those of this module.

  Returns:
    Log-probabilities `[N]`, and `Pr(e_t = 1 | Y = count)`, or `| Y >= count`, `[T, N]`, 0 where no frame is.
  """
  passes = passes or Passes(_tilt, _product, _posterior)
  num_frames = jnp.sum(where, axis=0, dtype=logits.dtype)
  logits = masked(logits, where)
  tilt = jax.lax.stop_gradient(passes.tilt(logits, count, num_frames))
  shares = jax.nn.sigmoid(logits + tilt)
  variance = jax.lax.stop_gradient(jnp.sum(shares * (1 - shares), axis=0))
  angles, spacing = nodes(variance, num_nodes(max_count, len(logits), variance.dtype))
  product = passes.product(shares, angles)
  case = cases(count, num_frames, or_more)
  shift = _shift(logits, count, case.tilt(tilt))
  value, real, imag, missed = weigh(product.real, product.imag, angles, spacing, tilt, shift, count, case)
  posterior = passes.posterior(shares, angles, real, imag)
  return value, jnp.where(where, case.posterior(posterior, jax.nn.sigmoid(logits), missed), 0.0)


def masked(logits: Array, where: Array) -> Array:
  """Logits within limits, as infinite ones would be subtracted from themselves; where no frame is, -inf."""
  return jnp.where(where, jnp.clip(logits, -_ALL_THE_WAY, _ALL_THE_WAY), -jnp.inf)


class Cases(NamedTuple):
  """Sequences that need no contour, `[N]` each, and those that ask for a tail.

  Attributes:
    none: whether there is no event.
    every: whether one is in every frame.
    anything: whether any count will do.
    or_more: whether the count or more will do.
  """

  none: Array
  every: Array
  anything: Array
  or_more: Array

  def tilt(self, tilt: Array) -> Array:
    """All the way to where these lie."""
    return jnp.where(self.none, -_ALL_THE_WAY, jnp.where(self.every, _ALL_THE_WAY, tilt))

  def posterior(self, by_contour: Array, shares: Array, missed: Array) -> Array:
    """Of frames, whose probabilities are `shares`, `[..., N]`."""
    found = by_contour + shares * missed
    found = jnp.where(self.every, 1.0, jnp.where(self.none, 0.0, found))
    return jnp.where(self.anything, shares, found)


def cases(count: Array, num_frames: Array, or_more: Array) -> Cases:
  """What counts ask for."""
  is_zero = count == 0
  return Cases(is_zero & ~or_more, (count == num_frames) & ~is_zero, is_zero & or_more, or_more)


def weigh(
  real: Array,
  imag: Array,
  angles: Array,
  spacing: Array,
  tilt: Array,
  shift: Array,
  count: Array,
  case: Cases,
) -> tuple[Array, Array, Array, Array]:
  """Log-probabilities `[N]`, the weights of the nodes, in two parts `[H, N]`, and what they miss, `[N]`.

  `real` and `imag` are the product over time at the nodes, `shift` what `_shift` gives.
  """
  real, imag = times(real, imag, jnp.cos(count * angles), -jnp.sin(count * angles))
  tail_real, tail_imag, tail_missed = _tail(real, imag, angles, spacing, tilt)
  real, imag = jnp.where(case.or_more, tail_real, real), jnp.where(case.or_more, tail_imag, imag)
  weight = spacing / math.pi
  total, missed = weight * jnp.sum(real, axis=0), jnp.where(case.or_more, tail_missed, 0.0)
  at_end = case.none | case.every
  total, missed = jnp.where(at_end, 1.0, total), jnp.where(at_end, 0.0, missed)
  value, scale, missed = _sum_up(total, shift, missed)
  weight = weight * scale
  return jnp.where(case.anything, 0.0, value), real * weight, imag * weight, missed


def _sum_up(total: Array, shift: Array, missed: Array) -> tuple[Array, Array, Array]:
  """`log(total e^shift + missed)`; what of the whole each unit of the total is, and what is missed.

  Where nothing is missed, `e^shift` may underflow: it is left out of both.
  """
  is_missed = missed > 0
  factor = jnp.exp(jnp.where(is_missed, shift, 0.0))
  whole = jnp.where(is_missed, total * factor + missed, 1.0)
  alone = jnp.where(is_missed, 1.0, total)
  value = jnp.where(is_missed, jnp.log(whole), jnp.log(alone) + shift)
  return value, jnp.where(is_missed, factor / whole, 1 / alone), missed / whole


def _shift(logits: Array, count: Array, tilt: Array) -> Array:
  """See `changes`."""
  change, likely = changes(logits, tilt)
  return jnp.sum(change, axis=0) + (jnp.sum(likely, axis=0, dtype=tilt.dtype) - count) * tilt


def changes(logits: Array, tilt: Array) -> tuple[Array, Array]:
  """What of `sum_t [softplus(x_t + lam) - softplus(x_t)] - count lam` is summed, without the cancellation.

  That is `sum_t c_t + (sum_t l_t - count) lam` of the two results.
  Where an event is likely under the tilt, softplus(y) = y + softplus(-y) on both sides leaves lam. With a
  tilt all the way down it is the log-probability of no event, all the way up that of one in every frame.
  """
  tilted = logits + tilt
  likely = tilted > 0
  return jnp.log1p(jnp.exp(-jnp.abs(tilted))) - _softplus(jnp.where(likely, -logits, logits)), likely


def _softplus(x: Array) -> Array:
  return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def times(real: Array, imag: Array, other_real: Array, other_imag: Array) -> tuple[Array, Array]:
  """The product of two complex numbers in their parts."""
  return real * other_real - imag * other_imag, real * other_imag + imag * other_real


# The tilt.

# Mean and variance of the count, `[N]` each, under a tilt `[N]`.
Moments = Callable[[Array], tuple[Array, Array]]


def _tilt(logits: Array, count: Array, num_frames: Array) -> Array:
  """The shift of the logits that makes the mean the count, or nearly: `[N]`."""

  def moments(tilt: Array) -> tuple[Array, Array]:
    shares = jax.nn.sigmoid(logits + tilt)
    return jnp.sum(shares, axis=0), jnp.sum(shares * (1 - shares), axis=0)

  most = jnp.max(logits, axis=0, initial=-jnp.inf)
  least = jnp.min(jnp.where(jnp.isneginf(logits), jnp.inf, logits), axis=0, initial=jnp.inf)
  return find_tilt(moments, least, most, count, num_frames)


def find_tilt(moments: Moments, least: Array, most: Array, count: Array, num_frames: Array) -> Array:
  """The tilt from the mean and the variance under any, and the smallest and the largest logit.

  Newton's method on the log-odds of the mean. It starts between what the largest and the smallest logit would
  need if all were alike, and bisects where it leaves the bracket, or has not arrived for a while.
  """
  target = jnp.clip(count, 0.5, jnp.maximum(num_frames - 0.5, 0.5))
  rest = jnp.maximum(num_frames - target, 0.5)
  goal = jnp.log(target / rest)
  empty = num_frames == 0
  low, high = jnp.where(empty, 0.0, goal - most), jnp.where(empty, 0.0, goal - least)

  def improve(state):
    step, low, high, tilt, _ = state
    mean, variance = moments(tilt)
    is_low = mean < target
    low, high = jnp.where(is_low, tilt, low), jnp.where(is_low, high, tilt)
    others = num_frames - mean
    newton = tilt + (goal - jnp.log(mean / others)) * mean * others / (num_frames * variance)
    inside = (newton >= low) & (newton <= high)
    far = (jnp.abs(mean - target) > _TILT_TOLERANCE * jnp.sqrt(variance)) & (high > low)
    # Of wide logits about one sequence in 100,000 would go round in circles.
    halved = far & (~inside | ((step & 3) == 3))
    tilt = jnp.where(halved, (low + high) / 2, jnp.where(inside, newton, tilt))
    return step + 1, low, high, tilt, jnp.sum(far, dtype=jnp.int32)

  def is_far(state):
    return (state[0] < _MOST_TILT_STEPS) & (state[-1] > 0)

  start = (0, low, high, jnp.clip(0.0, low, high), jnp.sum(high > low, dtype=jnp.int32))
  return jax.lax.while_loop(is_far, improve, start)[3]


# The nodes.


def num_nodes(max_count: int, num_frames: int, dtype) -> int:
  """Nodes that suffice for every count up to a maximum in so many frames, in floating point of a type."""
  return _num_nodes(min(max_count, num_frames / 4) if num_frames else 0, float(jnp.finfo(dtype).eps))


def nodes(variance: Array, number: int) -> tuple[Array, Array]:
  """Angles `[H, N]` and their spacing `[N]`; more of them than suffice are closer."""
  eps = float(jnp.finfo(variance.dtype).eps)
  cut = jnp.minimum(jnp.sqrt(_exponent(variance, eps, jnp) / (2 * jnp.maximum(variance, 1e-30))), 1.0)
  spacing = 2 * jnp.arctan2(cut, jnp.sqrt((1 - cut) * (1 + cut))) / number  # the arcsine, which Triton lacks
  count = jax.lax.broadcasted_iota(variance.dtype, (number, *variance.shape), 0)
  return spacing * (count + 0.5), spacing


def _exponent(variance, eps: float, np_like):
  """Minus the logarithm of what may be neglected: an eps of the probability of the mean."""
  return math.log(1 / eps) + 0.5 * np_like.log(2 * math.pi * np_like.maximum(variance, 1 / (2 * math.pi)))


@functools.cache
def _num_nodes(max_variance: float, eps: float) -> int:
  """Nodes that suffice for every variance up to a maximum.

  The spacing has to leave the tails apart, by a distance D that Bennett's inequality bounds, over the angles
  up to where the integrand ends: `D * cut / 2 pi` of them.
  """
  grid = np.geomspace(1e-3, 1e6, 1000)
  most = 1
  for variance in np.append(grid[grid < max_variance], max(max_variance, grid[0])):
    exponent = _exponent(variance, eps, np)
    cut = 2 * np.arcsin(min(math.sqrt(exponent / (2 * variance)), 1.0))
    distance = np.geomspace(1e-3, 1e3, 4000) * math.sqrt(variance)
    bennett = variance * ((1 + distance / variance) * np.log1p(distance / variance) - distance / variance)
    reach = distance[np.argmax(bennett > exponent)] + _TILT_TOLERANCE * math.sqrt(variance)
    most = max(most, math.ceil(reach * cut / (2 * math.pi)))
  return most


# The characteristic function.


def _product(shares: Array, angles: Array) -> Array:
  """`prod_t (1 + s_t (e^(i theta) - 1))`: `[T, N]`, `[H, N]` -> complex `[H, N]`.

  What is multiplied is kept as its difference from 1, so that many factors near 1 lose no accuracy. A few
  frames at a time make one polynomial, `1 + sum_j c_j (z^j - 1)`, whose coefficients are probabilities.
  Complex numbers, as a loop over two real arrays would compute all that both need twice.
  """
  num_frames, num_sequences = shares.shape
  together = _GROUP * _GROUPS_A_STEP
  most = -(-num_frames // together)
  if jax.default_backend() == "cpu":
    most //= 2  # one step is no loop: it would be fused into the products after it, and computed for each
  parallel = max(1, min(_step_size() // max(angles.size, 1), most))
  fill = -num_frames % (together * parallel)
  shares = jnp.pad(shares, ((0, fill), (0, 0)))
  # z^j - 1
  powers = [
    jax.lax.complex(-2 * jnp.square(jnp.sin(j * angles / 2)), jnp.sin(j * angles))
    for j in range(1, _GROUP + 1)
  ]

  def multiply(so_far, frames):  # [parallel, H, N], [_GROUPS_A_STEP, _GROUP, parallel, N]
    for group in frames:
      terms = zip(coefficients(group), powers, strict=True)
      so_far = _times_from_one(
        so_far, sum(_scale(power, coefficient[:, None]) for coefficient, power in terms)
      )
    return so_far, None

  ones = jnp.zeros_like(powers[0], shape=(parallel, *angles.shape))
  frames = shares.reshape(-1, _GROUPS_A_STEP, _GROUP, parallel, num_sequences)
  product, _ = jax.lax.scan(multiply, ones, frames)
  while len(product) > 1:
    if len(product) % 2:
      product = jnp.pad(product, ((0, 1), (0, 0), (0, 0)))
    half = len(product) // 2
    product = _times_from_one(product[:half], product[half:])
  return 1 + product[0]


def _times_from_one(a: Array, b: Array) -> Array:
  """`(1 + a) (1 + b) - 1`."""
  return a + b + a * b


def _scale(a: Array, factor: Array) -> Array:
  """Complex times real, without the products with 0."""
  return jax.lax.complex(a.real * factor, a.imag * factor)


def _step_size() -> int:
  return _STEP_SIZE if jax.default_backend() == "cpu" else _STEP_SIZE_ON_ACCELERATORS


def coefficients(frames: Sequence[Array]) -> list[Array]:
  """Probabilities of 1, 2, ... events in a few frames, `[G, ...]`."""
  probs = [1 - frames[0], frames[0]]
  for share in frames[1:]:
    no, before = 1 - share, probs
    probs = [before[0] * no]
    probs += [before[j] * no + before[j - 1] * share for j in range(1, len(before))]
    probs.append(before[-1] * share)
  return probs[1:]


def _tail(real: Array, imag: Array, angles: Array, spacing: Array, tilt: Array):
  """The nodes of `Pr(Y >= k)`, and what the midpoint rule misses of it, `[N]`."""
  decay = jnp.exp(-jnp.maximum(tilt, -50.0))
  below_real, below_imag = 1 - decay * jnp.cos(angles), decay * jnp.sin(angles)
  size = jnp.square(below_real) + jnp.square(below_imag)
  real, imag = times(real, imag, below_real / size, -below_imag / size)
  reach = tilt * (2 * math.pi) / spacing
  # Beyond this it is below rounding, and the approximation of it no longer holds.
  return real, imag, jnp.where(reach < 20, jax.nn.sigmoid(-reach), 0.0)


def at_nodes(angles: Array, real: Array, imag: Array) -> tuple[Array, Array, Array]:
  """`a`, `b`, `c` of `Re w z / (1 + s (z - 1)) = (a + s b) / (1 - s (1 - s) c)`."""
  sin, spread = jnp.sin(angles), 4 * jnp.square(jnp.sin(angles / 2))
  return real * jnp.cos(angles) - imag * sin, real * (spread / 2) + imag * sin, spread


def _posterior(shares: Array, angles: Array, real: Array, imag: Array) -> Array:
  """`s_t Re sum_m w_m z_m / (1 + s_t (z_m - 1))` for weights w: `[T, N]`.

  Times the conjugate, the denominator is real: `1 - 4 s (1 - s) sin^2(theta / 2)`.
  """
  at_zero, slope, spread = at_nodes(angles, real, imag)

  def block(shares):  # [rows, N]
    variance, total = shares * (1 - shares), 0.0
    for node in range(len(angles)):
      total = total + (at_zero[node] + shares * slope[node]) / (1 - variance * spread[node])
    return shares * total

  # In a loop the nodes' weights are computed before it; without one, they would be fused into it and computed
  # for every frame.
  num_frames, num_sequences = shares.shape
  rows = max(1, min(_step_size() // max(num_sequences, 1), num_frames))
  blocks = jnp.pad(shares, ((0, -num_frames % rows), (0, 0))).reshape(-1, rows, num_sequences)
  return jax.lax.map(block, blocks).reshape(-1, num_sequences)[:num_frames]
