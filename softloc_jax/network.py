"""Signal to logits: feature extractor and model as pure functions of the parameters."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from flax import nnx
import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax import events, features, input_pipeline, models


class Variables(NamedTuple):
  """What a network has learned.

  Attributes:
    params: what gradients change.
    stats: what training measures on the side, such as the means of batch normalisation.
  """

  params: Any
  stats: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
  """What a config says about the way from a signal to the logits of its frames.

  Attributes:
    extractor: signal to features.
    classes: names, in the order of the class axis.
    config: of the model.
    initial_bias: of the logits (L15).
    graphdef: the structure of the model, as `nnx.split` gives it.
    rest: variables of the model that training leaves alone.
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
    graphdefs = []

    def rest_of(key: Array) -> Any:
      graphdef, *_, rest = _split(config.model, extractor, classes, bias, key)
      graphdefs.append(graphdef)
      return rest

    # Compiled, the parameters, which nobody asks for here, are never computed.
    rest = jax.jit(rest_of)(jax.random.key(0))
    return cls(extractor, classes, config.model, bias, graphdefs[0], rest)

  @property
  def time_stride(self) -> int:
    """Frames of one step of the model's coarsest layer: starts of chunks are multiples of it."""
    return self.config.get("time_stride", 1)

  def init(self, key: Array) -> Variables:
    """Variables before training."""
    _, params, stats, _ = _split(self.config, self.extractor, self.classes, self.initial_bias, key)
    return Variables(params, stats)

  def apply(self, variables: Variables, signal: Array) -> Array:
    """Logits of the frames that a batch of cut signals holds: `[B, N, channels] -> [B, T, C]`.

    Of classes that exclude each other (`config.exclusive`), each against all others and no event.
    """
    logits = self.model(variables)(self.extractor(signal))
    return _against_the_rest(logits) if self.config.get("exclusive", False) else logits

  def model(self, variables: Variables) -> nnx.Module:
    """The model with these variables, for use rather than training; frames of features to logits."""
    model = self._merge(variables)
    model.eval()
    return model

  def apply_in_training(self, variables: Variables, signal: Array, key: Array) -> tuple[Array, Any]:
    """Logits as of a training step, with dropout by the key, and the batch statistics after it.

    Of classes that exclude each other `[B, T, C + 1]`, the last for no event.
    """
    model = self._merge(variables)
    model.train()
    nnx.reseed(model, policy="match_shape", default=key)  # banded networks have a key for each band
    logits = model(self.extractor(signal))
    return logits, nnx.state(model, nnx.BatchStat)

  def _merge(self, variables: Variables) -> nnx.Module:
    # Without the copy the recurrent layers' own variables would leak out of the trace.
    return nnx.merge(self.graphdef, *variables, self.rest, copy=True)


def _split(config, extractor, classes, bias, key):
  settings = dict(config)
  num_logits = len(classes) + bool(settings.pop("exclusive", False))
  model = models.from_config(
    settings, frame_shape=extractor.shape, num_classes=num_logits, initial_bias=bias, rngs=nnx.Rngs(key)
  )
  return nnx.split(model, nnx.Param, nnx.BatchStat, ...)


def _against_the_rest(logits: Array) -> Array:
  """From logits of a softmax, the last for no event, to those of a sigmoid: `[..., C + 1] -> [..., C]`."""
  others = jnp.where(jnp.eye(logits.shape[-1], dtype=bool), -jnp.inf, logits[..., None, :])
  return (logits - jax.nn.logsumexp(others, axis=-1))[..., :-1]
