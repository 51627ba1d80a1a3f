"""The losses, and the distribution of a count, for torch's tensors and autograd.

Each is the JAX function of the same name, compiled; values and gradients pass through dlpack. Shapes stay
`[..., T, C]`: what torch's convolutions give, `[B, C, T]`, is transposed.

>>> import torch
>>> from softloc_jax.torch import count_nll
>>> net = torch.nn.Conv1d(1, 2, kernel_size=5, padding=2)  # two classes
>>> logits = net(torch.zeros(8, 1, 100)).transpose(1, 2)  # [B, C, T] -> [B, T, C]
>>> counts = torch.ones(8, 2)
>>> loss = count_nll(logits, counts, max_count=7)
>>> loss.backward()
>>> net.weight.grad.shape, count_nll(logits, counts, max_count=7, reduce_fn=None).shape
(torch.Size([2, 1, 5]), torch.Size([8, 2]))

What differs from the JAX functions:

- `reduce_fn` is a function of a tensor (`torch.mean` by default), the name of one, "mean" or "sum", or None.
- The gradient reaches every tensor that requires one: logits, but also labels, and `alpha` or `softness`
  given as tensors. It can be differentiated again (`create_graph=True`).
- Arguments in `STATIC`, such as `max_count`, are part of the compiled program: a new value compiles again,
  as do new shapes and types. All other numbers (`alpha`, counts) may change at every call, as may a
  `softness` that is given as a tensor.
- The first tensor decides the precision: with float64 all is computed in float64, otherwise in float32.
  Gradients have the type of their tensor.
- Contiguous tensors are shared with JAX, not copied, where both libraries compute on their device: on the
  CPU, and on a GPU if JAX was installed for it. Others are copied; from and to a device that JAX does not
  have, through the host's memory. All tensors are on one device.
- `torch.compile` compiles what comes before and after them; the transformations of `torch.func` do not go
  through them.

On a GPU set the environment variable `XLA_PYTHON_CLIENT_PREALLOCATE=false`, or JAX takes three quarters of
its memory at once. On CPUs each library has its own threads, one for every core; each waits for the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
import contextlib
import functools
import inspect
from typing import Any

import jax
from jax import Array

from softloc_jax import losses, poisson_binomial

try:
  import torch
except ImportError as error:
  raise ImportError("softloc_jax.torch needs torch: pip install softloc-jax[torch]") from error

try:
  from jax import enable_x64
except ImportError:  # jax before 0.8
  from jax.experimental import enable_x64

# Arguments of the library's functions that are compiled in; see the module's text.
STATIC = frozenset({"beta", "gamma", "max_count", "method", "softness", "tolerance", "width"})

_REDUCTIONS = {"mean": torch.mean, "sum": torch.sum}


def wrap(function: Callable[..., Array], *, static: Collection[str] = STATIC) -> Callable[..., torch.Tensor]:
  """A function of JAX arrays as one of tensors, with gradients of any order.

  Args:
    function: of arrays, to one array. If it has an argument `reduce_fn`, it is called with None, and its
      values are reduced in torch.
    static: names of arguments that are compiled in. Other numbers, lists and NumPy arrays become tensors;
      None, booleans and text are always compiled in.

  Returns:
    The same function of tensors. It raises:
      TypeError: no tensor among the arguments, or one of a type that JAX does not have.
      ValueError: tensors on several devices, an unknown name of a reduction, and what the function raises.

  >>> log_norm = wrap(lambda x: jax.numpy.log(jax.numpy.linalg.norm(x)))
  >>> x = torch.tensor([3.0, 4.0], requires_grad=True)
  >>> log_norm(x).backward()
  >>> x.grad  # x / |x|^2
  tensor([0.1200, 0.1600])
  """
  signature = inspect.signature(function)
  reduces = "reduce_fn" in signature.parameters

  @functools.wraps(function)
  def wrapped(*args, **kwargs) -> torch.Tensor:
    if torch.compiler.is_compiling():
      # Not as a decorator: this brings the compiler with it, which takes longer to load than JAX.
      return torch.compiler.disable(call)(*args, **kwargs)
    return call(*args, **kwargs)

  def call(*args, **kwargs) -> torch.Tensor:
    arguments = signature.bind(*args, **kwargs).arguments
    reduce_fn = _reduction(arguments.pop("reduce_fn", torch.mean)) if reduces else None
    tensors, constants = _split(arguments, static)
    if reduces:
      constants["reduce_fn"] = None
    named = tuple((name, type(value), value) for name, value in sorted(constants.items()))
    of_arrays = _bound(function, tuple(tensors), named)
    value = _apply(of_arrays, *tensors.values())
    return value if reduce_fn is None else reduce_fn(value)

  if reduces:
    parameters = dict(signature.parameters)
    parameters["reduce_fn"] = parameters["reduce_fn"].replace(default=torch.mean)
    wrapped.__signature__ = signature.replace(parameters=parameters.values())
  return wrapped


def _reduction(reduce_fn: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
  if reduce_fn is None or callable(reduce_fn):
    return reduce_fn
  if reduce_fn not in _REDUCTIONS:
    raise ValueError(f"reduce_fn is {reduce_fn!r}; expected 'mean', 'sum', a function of a tensor, or None")
  return _REDUCTIONS[reduce_fn]


def _split(
  arguments: dict[str, Any], static: Collection[str]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
  """Arguments that the compiled function takes, as tensors of one device, and those compiled into it."""
  first = next((value for value in arguments.values() if isinstance(value, torch.Tensor)), None)
  if first is None:
    raise TypeError(f"found no tensor among {', '.join(arguments)}; expected one at least")
  tensors, constants = {}, {}
  for name, value in arguments.items():
    if isinstance(value, torch.Tensor):
      if name in static and not value.is_floating_point():
        constants[name] = value.item()
        continue
      if value.device != first.device and value.ndim:
        raise ValueError(f"{name} is on {value.device}; expected {first.device}, as the first tensor")
      tensors[name] = value.to(first.device)
    elif name in static and hasattr(value, "item"):  # an array of one number, which has no hash
      constants[name] = value.item()
    elif name in static or value is None or isinstance(value, bool | str):
      constants[name] = value
    else:
      tensor = torch.as_tensor(value)
      if tensor.is_floating_point() and first.is_floating_point():
        tensor = torch.as_tensor(value, dtype=torch.promote_types(first.dtype, torch.float32))
      tensors[name] = tensor.to(first.device)
  return tensors, constants


@functools.cache
def _bound(function: Callable, names: tuple[str, ...], constants: tuple) -> Callable[..., Array]:
  """The function of the named arrays alone: always the same one, by which what is compiled is found again.

  A constant comes with its type, so that 4.0, which a function may refuse, is not found again by 4.
  """
  signature, settings = inspect.signature(function), {name: value for name, _, value in constants}

  def of_arrays(*arrays: Array) -> Array:
    # Some arguments, as those of `jnp.exp`, have no name to a caller.
    given = inspect.BoundArguments(signature, dict(zip(names, arrays, strict=True)) | settings)
    return function(*given.args, **given.kwargs)

  return of_arrays


def _apply(of_arrays: Callable[..., Array], *tensors: torch.Tensor) -> torch.Tensor:
  if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
    return _Differentiable.apply(of_arrays, *tensors)
  return _to_torch(_run(_compiled(of_arrays), *tensors), tensors[0].device)


class _Differentiable(torch.autograd.Function):
  """A function of arrays in torch's graph."""

  @staticmethod
  def forward(ctx, of_arrays: Callable[..., Array], *tensors: torch.Tensor) -> torch.Tensor:
    ctx.of_arrays = of_arrays
    ctx.wanted = tuple(i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed)
    ctx.save_for_backward(*tensors)
    value, ctx.pullback = _run(_with_pullback(of_arrays, ctx.wanted), *tensors)
    return _to_torch(value, tensors[0].device)

  @staticmethod
  def backward(ctx, cotangent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    # This also refuses tensors that were changed in place since: JAX shares their memory.
    tensors = ctx.saved_tensors
    if torch.is_grad_enabled():  # the gradient is to be differentiated itself
      found = [_apply(_gradient(ctx.of_arrays, i), cotangent, *tensors) for i in ctx.wanted]
    else:
      arrays = _run(functools.partial(_pull, ctx.pullback), cotangent)
      found = [_to_torch(array, cotangent.device) for array in arrays]
    gradients = [None] * len(tensors)
    for i, gradient in zip(ctx.wanted, found, strict=True):
      gradients[i] = gradient.to(tensors[i].dtype)
    return None, *gradients


_compiled = functools.cache(jax.jit)


@functools.cache
def _with_pullback(of_arrays: Callable[..., Array], wanted: tuple[int, ...]) -> Callable:
  """`*arrays -> value, function from its cotangent to those of the wanted arrays`."""

  def value_and_pullback(*arrays):
    return jax.vjp(_of_some(of_arrays, arrays, wanted), *(arrays[i] for i in wanted))

  return jax.jit(value_and_pullback)


@functools.cache
def _gradient(of_arrays: Callable[..., Array], wanted: int) -> Callable[..., Array]:
  """`cotangent, *arrays -> cotangent of the wanted array`."""

  def gradient(cotangent, *arrays):
    return jax.vjp(_of_some(of_arrays, arrays, (wanted,)), arrays[wanted])[1](cotangent)[0]

  return gradient


def _of_some(of_arrays: Callable[..., Array], arrays: tuple, wanted: tuple[int, ...]) -> Callable[..., Array]:
  def of_some(*some):
    filled = list(arrays)
    for i, array in zip(wanted, some, strict=True):
      filled[i] = array
    return of_arrays(*filled)

  return of_some


@jax.jit
def _pull(pullback: Callable, cotangent: Array) -> tuple[Array, ...]:
  return pullback(cotangent)


def _run(function: Callable, *tensors: torch.Tensor) -> Any:
  """What a function of arrays makes of tensors: arrays, all computed, so that the tensors may be changed."""
  precise = tensors[0].dtype == torch.float64
  with enable_x64(True) if precise else contextlib.nullcontext():
    return jax.block_until_ready(function(*map(_to_jax, tensors)))


def _to_jax(tensor: torch.Tensor) -> Array:
  tensor = tensor.detach()
  if not _is_shared(tensor.device.type):
    tensor = tensor.cpu()
  try:
    return jax.dlpack.from_dlpack(tensor.contiguous())
  except (RuntimeError, ValueError, TypeError, BufferError) as error:
    raise TypeError(f"a tensor of {tensor.dtype} cannot be given to JAX: {error}") from error


def _to_torch(array: Array, device: torch.device) -> torch.Tensor:
  return torch.from_dlpack(array).to(device)


@functools.cache
def _is_shared(device_type: str) -> bool:
  """Whether JAX computes on torch's devices of a type."""
  if device_type != "cuda":
    return device_type == "cpu"
  try:
    return bool(jax.devices("gpu"))
  except RuntimeError:  # JAX has no such backend
    return False


count_nll = wrap(losses.count_nll)
count_interval_nll = wrap(losses.count_interval_nll)
soft_localization = wrap(losses.soft_localization)
softloc = wrap(losses.softloc)
one_sided_smoothing = wrap(losses.one_sided_smoothing)
cross_entropy = wrap(losses.cross_entropy)
softmax_cross_entropy = wrap(losses.softmax_cross_entropy)
widened_cross_entropy = wrap(losses.widened_cross_entropy)
soft_bootstrap = wrap(losses.soft_bootstrap)
focal = wrap(losses.focal)
shift_tolerant = wrap(losses.shift_tolerant)

log_prob = wrap(poisson_binomial.log_prob)
log_pmf = wrap(poisson_binomial.log_pmf)
log_interval_prob = wrap(poisson_binomial.log_interval_prob)
posterior = wrap(poisson_binomial.posterior)
