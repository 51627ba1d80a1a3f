"""Networks from frames to event logits, in flax.nnx. They know nothing of data sets."""

from __future__ import annotations

import inspect
from typing import Any

from flax import nnx

from softloc_jax.models.crnn import CRNN

MODELS = {"crnn": CRNN}


def from_config(
  config: Any,
  *,
  frame_shape: tuple[int, int],
  num_classes: int,
  initial_bias: float,
  rngs: nnx.Rngs,
) -> nnx.Module:
  """The network that `config.name` names, with the other keys as arguments.

  Args:
    config: `name` and the arguments of that model.
    frame_shape: bins and channels of a frame of features.
    num_classes: logits per frame.
    initial_bias: bias of the logits before training (L15).
    rngs: where the parameters come from.

  Raises:
    ValueError: an unknown model, an unknown argument or one that is missing.
  """
  arguments = dict(config)
  name = arguments.pop("name", None)
  if name not in MODELS:
    raise ValueError(f"model.name is {name!r}; expected one of {', '.join(MODELS)}")
  given = {"frame_shape": frame_shape, "num_classes": num_classes, "initial_bias": initial_bias, "rngs": rngs}
  signature = inspect.signature(MODELS[name].__init__)
  try:
    signature.bind(None, **given, **arguments)
  except TypeError as error:
    known = [key for key in signature.parameters if key not in given and key != "self"]
    raise ValueError(f"model {name!r}: {error}; expected {', '.join(known)}") from error
  return MODELS[name](**given, **arguments)
