"""Networks from frames to event logits, in flax.nnx. They know nothing of data sets."""

from __future__ import annotations

import inspect
from typing import Any

from flax import nnx

from softloc_jax.models.banded import Banded
from softloc_jax.models.crnn import CRNN
from softloc_jax.models.onset_net import OnsetNet
from softloc_jax.models.scene import SceneNet
from softloc_jax.models.swingnet import SwingNet

MODELS = {"crnn": CRNN, "onset_net": OnsetNet, "scene": SceneNet, "swingnet": SwingNet}


def from_config(
  config: Any,
  *,
  frame_shape: tuple[int, int],
  num_classes: int,
  initial_bias: float,
  rngs: nnx.Rngs,
) -> nnx.Module:
  """The network that `config.name` names, with the other keys as arguments.

  With `config.band_size` there is one such network for every so many classes, see `Banded`; 0 or no such
  key is a single network for all classes.

  Args:
    config: `name`, the arguments of that model and, for any model, `band_size`.
    frame_shape: bins and channels of a frame of features.
    num_classes: logits per frame.
    initial_bias: bias of the logits before training (L15).
    rngs: where the parameters come from.

  Raises:
    ValueError: an unknown model, an unknown argument or one that is missing.
  """
  arguments = dict(config)
  name, band_size = arguments.pop("name", None), arguments.pop("band_size", 0)
  if name not in MODELS:
    raise ValueError(f"model.name is {name!r}; expected one of {', '.join(MODELS)}")
  given = {"frame_shape": frame_shape, "num_classes": band_size or num_classes, "initial_bias": initial_bias}
  signature = inspect.signature(MODELS[name].__init__)
  try:
    signature.bind(None, **given, rngs=rngs, **arguments)
  except TypeError as error:
    known = [key for key in signature.parameters if key not in given and key not in ("self", "rngs")]
    raise ValueError(f"model {name!r}: {error}; expected {', '.join(known)}") from error

  def make(rngs: nnx.Rngs) -> nnx.Module:
    return MODELS[name](**given, **arguments, rngs=rngs)

  if not band_size:
    return make(rngs)
  if arguments.get("harmonics"):
    raise ValueError(
      f"model {name!r}: harmonics and band_size; expected one of them, as bands start anywhere"
    )
  return Banded(make, num_classes=num_classes, band_size=band_size, rngs=rngs)
