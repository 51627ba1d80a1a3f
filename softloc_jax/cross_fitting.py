"""Trains on some recordings and listens to the others, until each was heard by a stranger to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import hashlib
import os
from typing import Any, NamedTuple

import numpy as np

from softloc_jax import evaluation, predict, train
from softloc_jax.data.recording import Recording, digest
from softloc_jax.network import Network


class HeldOut(NamedTuple):
  """What networks say of recordings that they did not train on.

  Attributes:
    network: features, classes and frame rate, which all have in common.
    probs: recording id -> event probabilities of the frames, `[T, C]`.
  """

  network: Network
  probs: Mapping[str, np.ndarray]


def folds(recordings: Sequence[Recording], num_folds: int, *, seed: int = 0) -> list[list[Recording]]:
  """Deals recordings to folds of about equal duration; ids and seed decide, not the order they come in.

  Raises:
    ValueError: fewer than 2 folds, or fewer recordings than folds.

  >>> three = [Recording(name, np.zeros(4), 1.0, {}) for name in "abc"]
  >>> [len(fold) for fold in folds(three, 2)]
  [2, 1]
  """
  if not 2 <= num_folds <= len(recordings):
    raise ValueError(
      f"{num_folds} folds of {len(recordings)} recordings; expected 2 or more, each with a recording: nobody"
      f" should judge labels by a network that was trained on them"
    )

  def order(one: Recording):
    # Each fold is to have some that are labelled.
    return not one.has_labels, -one.duration_s, hashlib.sha256(f"{seed}/{one.id}".encode()).digest()

  dealt: list[list[Recording]] = [[] for _ in range(num_folds)]
  for one in sorted(recordings, key=order):  # and the longest first, each to the fold that has least
    min(dealt, key=lambda fold: (sum(r.duration_s for r in fold), len(fold))).append(one)
  return [sorted(fold, key=lambda one: one.id) for fold in dealt]


def held_out_probabilities(
  config: Any,
  parts: Sequence[Sequence[Recording]],
  workdir: str | os.PathLike,
  *,
  only: Sequence[int] | None = None,
) -> HeldOut:
  """Probabilities of the recordings of each part, by a network trained on all others.

  The networks of all parts are trained as one program. A training that was interrupted is gone on with.

  Args:
    config: of a training; its `data` says what classes there are.
    parts: of the recordings, conditioned, with labels as training may see them.
    workdir: gets the training.
    only: parts that are held out; None for each in turn.

  Raises:
    ValueError, FloatingPointError: as `train.fit`.
  """
  only = range(len(parts)) if only is None else only
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.num_replicas, config.split_by, config.predict.ensemble = len(only), "fold", False
    config.report_checkpoint = "last"
    config.data.name, config.data.digest = "given", digest(parts, str(list(only)))
  splits = [
    {
      "train": [one for number, part in enumerate(parts) if number != held_out for one in part],
      # Their labels choose thresholds only, which nobody here goes by.
      "validation": parts[held_out],
    }
    for held_out in only
  ]
  network = train.fit(config, workdir, splits)
  state, _ = train.restore_reported(config, workdir, network)
  predictor = predict.Predictor.from_config(network, config.predict)
  found = evaluation.probabilities(predictor, state.variables, [parts[number] for number in only])
  probs = {
    one.id: p
    for number, of_part in zip(only, found, strict=True)
    for one, p in zip(parts[number], of_part, strict=True)
  }
  return HeldOut(network, probs)
