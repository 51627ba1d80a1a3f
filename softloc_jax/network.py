"""Signal to logits: feature extractor and model as pure functions of the parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

from flax import nnx
import jax
from jax import Array

from softloc_jax import events, features, input_pipeline, models

Params = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
  """What a config says about the way from a signal to the logits of its frames.

  Attributes:
    extractor: signal to features.
    classes: names, in the order of the class axis.
    config: of the model.
    initial_bias: of the logits (L15).
    graphdef: the structure of the model, as `nnx.split` gives it.
    rest: variables of the model that are not trained.
  """

  extractor: features.FeatureExtractor
  classes: tuple[str, ...]
  config: Any
  initial_bias: float
  graphdef: Any
  rest: Any

  @classmethod
  def from_config(cls, config: Any) -> Network:
    """Builds the network of an experiment's config.

    Raises:
      ValueError: settings that the features or the model do not know, or that do not fit together.
    """
    extractor = features.from_config(config.features)
    windows = input_pipeline.Windows.from_config(config.window, extractor.frame_rate_hz)
    # The typical window is what should start with an empty count (L15).
    bias = events.bias_for_empty_count(config.omega, (windows.min_frames + windows.max_frames) // 2)
    classes = tuple(config.data.classes)
    graphdef, _, rest = _split(config.model, extractor, classes, bias, jax.random.key(0))
    return cls(extractor, classes, config.model, bias, graphdef, rest)

  @property
  def time_stride(self) -> int:
    """Frames of one step of the model's coarsest layer: starts of chunks are multiples of it."""
    return self.config.get("time_stride", 1)

  def init(self, key: Array) -> Params:
    """Parameters before training."""
    return _split(self.config, self.extractor, self.classes, self.initial_bias, key)[1]

  def apply(self, params: Params, signal: Array) -> Array:
    """Logits of the frames that a batch of cut signals holds: `[B, N, channels] -> [B, T, C]`."""
    # Without the copy the recurrent layers' own variables would leak out of the trace.
    model = nnx.merge(self.graphdef, params, self.rest, copy=True)
    return model(self.extractor(signal))


def _split(config, extractor, classes, bias, key):
  model = models.from_config(
    config, frame_shape=extractor.shape, num_classes=len(classes), initial_bias=bias, rngs=nnx.Rngs(key)
  )
  return nnx.split(model, nnx.Param, ...)
