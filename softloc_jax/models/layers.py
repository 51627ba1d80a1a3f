"""Layers that several networks share: convolutions over time and bins, pooling, the compute type."""

from __future__ import annotations

from flax import nnx
from jax import Array
import jax.numpy as jnp

from softloc_jax.models import convolution

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def compute_dtype(name: str):
  """The type of activations and matrix products that a config names; parameters are float32 in any case.

  Raises:
    ValueError: another name.

  >>> jnp.dtype(compute_dtype("bfloat16")).itemsize
  2
  """
  if name not in _DTYPES:
    raise ValueError(f"dtype is {name!r}; expected one of {', '.join(_DTYPES)}")
  return _DTYPES[name]


def check_time_stride(time_stride: int, *, most: int) -> None:
  """Refuses a stride that would skip frames, or let a causal network see the later frames of a step.

  Args:
    time_stride: frames a convolution advances by.
    most: frames that its kernel spans; 1 for a causal network.

  Raises:
    ValueError: a stride below 1 or above `most`.
  """
  if not 1 <= time_stride <= most:
    raise ValueError(
      f"time_stride is {time_stride}; expected 1 to {most} (the frames of the kernel; 1 if causal)"
    )


def dropout(rate: float, rngs: nnx.Rngs) -> nnx.Dropout:
  """Dropout from the stream `dropout` of `rngs`; a rate of 0 has no stream, and so no variables.

  Raises:
    ValueError: a rate outside [0, 1).
  """
  if not 0 <= rate < 1:
    raise ValueError(f"dropout is {rate}; expected 0 or more and less than 1")
  return nnx.Dropout(rate, rngs=rngs if rate else None)


def time_conv(
  in_features: int,
  features: int,
  kernel: tuple[int, int],
  *,
  strides: tuple[int, int] = (1, 1),
  dilation: tuple[int, int] = (1, 1),
  causal: bool = False,
  use_bias: bool = True,
  dtype=jnp.float32,
  rngs: nnx.Rngs,
) -> nnx.Conv:
  """A convolution `[B, T, bins, in_features] -> [B, T / stride, bins / stride, features]`.

  T and the number of bins are whole numbers of strides. In time, as in bins, the kernel is centred on each
  step of its stride; one of even length looks further ahead than back. A causal one ends, in time, with the
  first frame of its step.

  Args:
    in_features: channels of the input.
    features: filters.
    kernel: frames and bins a filter spans, before dilation.
    strides: frames and bins it advances by.
    dilation: frames and bins between the taps of the kernel.
    causal: whether it looks back in time only.
    use_bias: whether it adds a bias, which a normalisation that follows would take out again.
    dtype: of the computation.
    rngs: where the parameters come from.
  """
  spans = [(size - 1) * gap + 1 for size, gap in zip(kernel, dilation, strict=True)]
  reaches = [max(span - stride, 0) for span, stride in zip(spans, strides, strict=True)]
  padding = [(reach // 2, reach - reach // 2) for reach in reaches]
  if causal:
    padding[0] = (spans[0] - 1, 0)
  return nnx.Conv(
    in_features,
    features,
    tuple(kernel),
    strides=tuple(strides),
    kernel_dilation=tuple(dilation),
    padding=padding,
    use_bias=use_bias,
    dtype=dtype,
    conv_general_dilated=convolution.conv_general_dilated,
    rngs=rngs,
  )


def max_pool_bins(x: Array, pool: int) -> Array:
  """The largest of every `pool` bins: `[B, T, bins, C] -> [B, T, bins // pool, C]`; what is left over is cut.

  The gradient of this form is several times cheaper than that of a windowed maximum.

  >>> max_pool_bins(jnp.arange(5.0).reshape(1, 1, 5, 1), 2).ravel().tolist()
  [1.0, 3.0]
  """
  if pool == 1:
    return x
  bins = x.shape[2] // pool
  return x[:, :, : bins * pool].reshape(*x.shape[:2], bins, pool, x.shape[3]).max(axis=3)
