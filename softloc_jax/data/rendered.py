"""Sequences of recordings that are made, not recorded: each from a seed, anew whenever it is asked for."""

from __future__ import annotations

import abc
import collections.abc
from collections.abc import Callable, Iterable, Mapping
import dataclasses
import operator
import pathlib
from typing import Any

import numpy as np

from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import SPLITS

MIN_SAMPLE_RATE_HZ = 8000
MIN_DURATION_S = 0.5


class Rendered(collections.abc.Sequence[Recording], abc.ABC):
  """A split of rendered recordings; what they are like, a subclass says in `make`.

  Item `i` depends on `seed`, `split` and `i` alone (and on how it is made), never on `num_recordings` or on
  what was asked for before, so a bigger set contains the smaller one.

  Args:
    split: one of `SPLITS`.
    num_recordings: how many.
    seed: a non-negative integer; another seed gives an unrelated data set.
    duration_s: length of each recording in seconds.
    sample_rate_hz: samples per second.

  Raises:
    ValueError: an unknown split, or a number out of range.
  """

  ID_DIGITS = 5

  def __init__(self, split: str, *, num_recordings: int, seed: int, duration_s: float, sample_rate_hz: float):
    check_sound(split, duration_s, sample_rate_hz)
    if num_recordings < 1:
      raise ValueError(f"num_recordings is {num_recordings}; expected at least 1")
    if seed < 0:
      raise ValueError(f"seed is {seed}; expected a non-negative integer")
    self.split = split
    self.num_recordings = operator.index(num_recordings)
    self.seed = operator.index(seed)
    self.duration_s = duration_s
    self.sample_rate_hz = sample_rate_hz

  @abc.abstractmethod
  def make(self, rng: np.random.Generator) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Signal, float32 `[num_samples]`, and the times of each class's events in seconds."""

  def files(self) -> Iterable[pathlib.Path]:
    """What recordings are made from; nothing, unless a subclass says so."""
    return ()

  def content(self) -> Any:
    """What tables say of `files`, or whatever else recordings are made from; its `repr` tells it."""
    return None

  def __len__(self) -> int:
    return self.num_recordings

  def __getitem__(self, index: int) -> Recording:
    position = self._position(index)
    rng = np.random.default_rng([self.seed, SPLITS.index(self.split), position])
    signal, events = self.make(rng)
    return Recording(self.id_of(position), signal, self.sample_rate_hz, events)

  def id_of(self, index: int) -> str:
    """Id of a recording, without making it."""
    return f"{self.split}-{self._position(index):0{self.ID_DIGITS}d}"

  def _position(self, index: int) -> int:
    position = operator.index(index)
    if position < 0:
      position += self.num_recordings
    if not 0 <= position < self.num_recordings:
      raise IndexError(f"recording {index} of {self.num_recordings}")
    return position


@dataclasses.dataclass(frozen=True)
class Clip:
  """One recording of a rendered set before it is made.

  Attributes:
    of: the set.
    index: its place there.
  """

  of: Rendered
  index: int

  @property
  def id(self) -> str:
    """Unique among the splits of a data set."""
    return self.of.id_of(self.index)

  @property
  def group(self) -> str:
    """The split."""
    return self.of.split


def clips(make: Callable[..., Rendered], *, train: int, validation: int, test: int) -> list[Clip]:
  """All recordings of a data set, none of them made.

  Args:
    make: takes a split and `num_recordings`.
    train: how many recordings; 0 for none, as of the others.
    validation: likewise.
    test: likewise.
  """
  sizes = {"train": train, "validation": validation, "test": test}
  sets = [make(split, num_recordings=size) for split, size in sizes.items() if size]
  return [Clip(one, index) for one in sets for index in range(len(one))]


def read(clip: Clip) -> Recording:
  """Makes a recording."""
  return clip.of[clip.index]


def check_sound(split: str, duration_s: float, sample_rate_hz: float) -> None:
  """Refuses what cannot be rendered.

  Raises:
    ValueError: an unknown split, or a number out of range.
  """
  if split not in SPLITS:
    raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
  if not (np.isfinite(duration_s) and duration_s >= MIN_DURATION_S):
    raise ValueError(f"duration_s is {duration_s}; expected at least {MIN_DURATION_S} seconds")
  if not (np.isfinite(sample_rate_hz) and sample_rate_hz >= MIN_SAMPLE_RATE_HZ):
    raise ValueError(f"sample_rate_hz is {sample_rate_hz}; expected at least {MIN_SAMPLE_RATE_HZ}")


def check_level_range(name: str, levels_db: tuple[float, float]) -> None:
  """Refuses a range of levels that is none, or goes beyond full scale.

  Raises:
    ValueError: with the name.
  """
  low, high = levels_db
  if not low <= high <= 0:
    raise ValueError(f"{name} is {(low, high)}; expected two levels of at most 0 dB, the lower first")


def check_probability(name: str, value: float) -> None:
  """Refuses what is no probability."""
  if not 0 <= value <= 1:
    raise ValueError(f"{name} is {value}; expected a number from 0 to 1")
