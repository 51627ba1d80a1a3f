"""The builder that all data sets share: recordings of a folder as ArrayRecord files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import functools
import hashlib
import inspect
import os
import pathlib
import types
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from softloc_jax.data import condition, drum_labels, event_files, midi_files, signal_files, text_files
from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording, validate

# A shard is held in memory while it is written: some recordings, not a whole data set.
_ITEMS_PER_SHARD = 4
# What every data set's recordings depend on beside their files.
_CODE = (condition, drum_labels, event_files, midi_files, signal_files, text_files)


@dataclasses.dataclass(eq=False)
class RecordingsConfig(tfds.core.BuilderConfig):
  """What a prepared copy is made of, beside the files in `manual_dir`.

  Attributes:
    name: tells prepared copies apart; `loading.prepare` puts a fingerprint in it.
    sample_rate_hz: sample rate of the prepared signals; None keeps each recording's own.
    options: further arguments of the data set's `find`, such as `{"mix": "full_mix"}`.
  """

  sample_rate_hz: float | None = None
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class RecordingsBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
  """Writes a data set's recordings, signal and events, exactly as its loader reads them.

  A data set is a subclass with `CLASSES`, `find` and `read`, and `splits` where it has official ones. It is
  built shard by shard, not by a generator over a whole split: that would hold the split in memory, and beyond
  1000 MiB it needs TensorFlow to sort it on disk. Every shard is a step of its own under Apache Beam.

  Sounds are stored as float32, bit by bit what the loader gave: 16-bit integers would halve the files but
  lay noise under the quiet passages, and a network would not train on what it is tested on.
  """

  VERSION = tfds.core.Version("1.0.0")  # of the layout of a record
  HOMEPAGE = ""
  LICENSE = ""
  CLASSES: tuple[str, ...] = ()
  # Of a signal; videos are bytes.
  SIGNAL_SHAPE: tuple[int | None, ...] = (None,)
  SIGNAL_DTYPE: Any = np.float32
  # What its recordings depend on beside their files, the modules of `find` and `read`, and `_CODE`.
  CODE: tuple[types.ModuleType, ...] = ()
  # Whether the preparation shows a progress bar (unless tensorflow-datasets' own are disabled).
  show_progress = True
  find: Callable[..., list[Item]]
  read: Callable[[Item], Recording]

  def __init__(self, *, file_format: Any = None, **kwargs: Any):
    """See `tfds.core.DatasetBuilder`; the files are ArrayRecord unless said otherwise."""
    self._shows_bar_in = contextlib.ExitStack()
    self._in_parallel = False
    super().__init__(file_format=file_format or tfds.core.FileFormat.ARRAY_RECORD, **kwargs)

  @classmethod
  def splits(cls, items: Sequence[Item]) -> dict[str, list[Item]]:
    """Every item in one split; empty ones are left out of the prepared copy."""
    return {"full": list(items)}

  @classmethod
  def files(cls, item: Item) -> Sequence[pathlib.Path]:
    """What an item is read from."""
    return (item.signal_path, item.label_path)

  @classmethod
  def shared_files(cls, items: Iterable[Item]) -> Sequence[pathlib.Path]:
    """What many items are read from."""
    return ()

  @classmethod
  def fingerprint(cls, items: Iterable[Item], config: RecordingsConfig) -> str:
    """Another one for other files (by name, size and time of change), settings or reading code."""
    digest = hashlib.sha256(repr((config.sample_rate_hz, sorted(config.options.items()))).encode())
    for module in (*_CODE, *cls.CODE, *map(inspect.getmodule, (cls, cls.find, cls.read))):
      digest.update(_source(module).encode())
    items = list(items)
    for item in items:
      digest.update(repr((item.id, item.group, [_stat(path) for path in cls.files(item)])).encode())
    digest.update(repr([_stat(path) for path in cls.shared_files(items)]).encode())
    return digest.hexdigest()[:16]

  def _info(self) -> tfds.core.DatasetInfo:
    labels = tfds.features.ClassLabel(names=list(self.CLASSES))
    return tfds.core.DatasetInfo(
      builder=self,
      description=inspect.getdoc(type(self)),
      homepage=self.HOMEPAGE,
      license=self.LICENSE,
      metadata=tfds.core.MetadataDict(),
      features=tfds.features.FeaturesDict(
        {
          "id": tfds.features.Text(),
          "group": tfds.features.Text(),
          "sample_rate_hz": _exact((), np.float64),
          "signal": _exact(self.SIGNAL_SHAPE, self.SIGNAL_DTYPE),
          "events": {"time_s": _exact((None,), np.float64), "label": tfds.features.Sequence(labels)},
          "unlabelled": tfds.features.Sequence(labels),  # classes that were not annotated
        }
      ),
    )

  def download_and_prepare(self, *, download_config: Any = None, **kwargs: Any) -> None:
    """See `tfds.core.DatasetBuilder`; `download_config.manual_dir` is the folder of the original files.

    Raises:
      FileNotFoundError: what the data set's `find` says of a folder that is not its distribution.
      ValueError: an unreadable recording, or a copy that was prepared from other files than `manual_dir` has.
    """
    download_config = download_config or tfds.download.DownloadConfig()
    reused = self.data_path.exists() and not download_config.download_mode.overwrite_dataset
    if reused and download_config.manual_dir:
      self._refuse_other_files(download_config.manual_dir)
    self._in_parallel = download_config.beam_runner is not None
    with self._shows_bar_in:
      super().download_and_prepare(download_config=download_config, **kwargs)

  def _refuse_other_files(self, manual_dir: str | os.PathLike) -> None:
    if self.info.metadata["fingerprint"] != self.fingerprint(self._items(manual_dir), self._config):
      raise ValueError(
        f"{self.data_dir} was prepared from other files than those in {manual_dir}, or by other code;"
        f" expected the same (remove it to prepare it again, or use softloc_jax.data.builders.load)"
      )

  @property
  def _config(self) -> RecordingsConfig:
    return self.builder_config or RecordingsConfig(name="")

  def _items(self, manual_dir: str | os.PathLike) -> list[Item]:
    return type(self).find(manual_dir, **self._config.options)

  def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Callable]]:
    items = self._items(dl_manager.manual_dir)
    self.info.metadata["fingerprint"] = self.fingerprint(items, self._config)
    done = _nothing
    if self.show_progress and not self._in_parallel:
      bar = tfds.core.utils.tqdm(total=len(items), desc=f"preparing {self.name}", unit=" recordings")
      done = self._shows_bar_in.enter_context(bar).update
    # Under Beam, tensorflow-datasets runs the steps of earlier splits again with those of later ones: the
    # largest split comes last.
    return {
      name: [
        functools.partial(_examples, type(self), chosen[start : start + _ITEMS_PER_SHARD], self._config, done)
        for start in range(0, len(chosen), _ITEMS_PER_SHARD)
      ]
      for name, chosen in sorted(self.splits(items).items(), key=lambda split: len(split[1]))
      if chosen
    }


def _exact(shape: tuple[int | None, ...], dtype: Any) -> tfds.features.Tensor:
  """A feature kept byte by byte: numbers of an example are else stored with 32 bits, one by one."""
  return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)


def _stat(path: pathlib.Path) -> tuple[str, int, int]:
  """What tells that a file is another one."""
  return path.name, path.stat().st_size, path.stat().st_mtime_ns


def _source(module: types.ModuleType | None) -> str:
  """A module's code; empty in a notebook, which has no file."""
  try:
    return inspect.getsource(module)
  except (OSError, TypeError):
    return ""


def _nothing() -> None:
  pass


def _examples(
  builder: type[RecordingsBuilder], items: Sequence[Item], config: RecordingsConfig, done: Callable
) -> Iterator[tuple[str, dict[str, Any]]]:
  """The examples of a shard; a function of picklable arguments, as Beam may call it on another machine."""
  for item in items:
    recording = builder.read(item)
    if config.sample_rate_hz is not None:
      recording = condition.condition(recording, sample_rate_hz=config.sample_rate_hz)
    validate(recording, builder.CLASSES)
    yield item.id, _example_of(recording, item.group, builder)
    done()


def _example_of(recording: Recording, group: str, builder: type[RecordingsBuilder]) -> dict[str, Any]:
  """A recording as a record; the events in the order of time."""
  classes = builder.CLASSES
  events = sorted((float(time_s), name) for name in classes for time_s in recording.times_s(name))
  return {
    "id": recording.id,
    "group": group,
    "sample_rate_hz": np.float64(recording.sample_rate_hz),
    "signal": np.asarray(recording.signal, builder.SIGNAL_DTYPE),
    "events": {
      "time_s": np.array([time_s for time_s, _ in events], np.float64),
      "label": [name for _, name in events],
    },
    "unlabelled": [name for name in classes if not recording.is_labelled(name)],
  }


def recording_of(example: Mapping[str, Any], classes: Sequence[str]) -> Recording:
  """The recording that a record was written from.

  Args:
    example: an element of a builder's data source.
    classes: the builder's `CLASSES`.

  Returns:
    Recording with an entry for every class, empty where there is no event.
  """
  labels = np.asarray(example["events"]["label"], dtype=np.int64)
  return Recording(
    example["id"].decode(),
    np.array(example["signal"]),  # a copy: what comes is a view of the record's bytes, and read-only
    float(example["sample_rate_hz"]),
    {name: example["events"]["time_s"][labels == n] for n, name in enumerate(classes)},
    {classes[n]: False for n in example["unlabelled"]},
  )
