"""Prepares a data set from its original files, once, and reads its recordings back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import io
import logging
import os
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from softloc_jax.data.builders import data_sets, rendered_sets, videos
from softloc_jax.data.builders.recordings_builder import RecordingsBuilder, RecordingsConfig, recording_of
from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import listing

BUILDERS: dict[str, type[RecordingsBuilder]] = {
  builder.name: builder
  for builder in (
    *(data_sets.Maps, data_sets.IdmtSmtDrums, data_sets.EnstDrums, data_sets.MdbDrums),
    *(rendered_sets.GrooveRendered, rendered_sets.PianoRendered),
    *(videos.Golfdb, videos.GolfRendered),
  )
}


def load(
  name: str,
  data_dir: str | os.PathLike,
  *,
  prepared_dir: str | os.PathLike | None = None,
  sample_rate_hz: float | None = None,
  ids: Sequence[str] | None = None,
  options: Mapping[str, Any] | None = None,
  in_memory: bool = True,
  show_progress: bool = True,
) -> list[Recording]:
  """Recordings of a data set, from a prepared copy that is made the first time.

  Args:
    name: a key of `BUILDERS`, such as "maps".
    data_dir: folder of the original distribution. It has to be there, since the copy is compared to it.
    prepared_dir: folder for prepared copies; None takes tensorflow-datasets' own (`TFDS_DATA_DIR`, or else
      `~/tensorflow_datasets`).
    sample_rate_hz: sample rate of the signals; None keeps each recording's own.
    ids: the recordings wanted, in this order; None reads all, sorted by id. All are prepared in any case.
    options: further arguments of the data set's `find`, such as `{"mix": "full_mix"}`.
    in_memory: whether signals are read now; else each is a `StoredSignal`, read whenever it is sliced.
    show_progress: whether to show a progress bar while preparing.

  Returns:
    Recordings whose signal and events are, bit by bit, what `condition` makes of what the data set's `read`
    gives, with an entry of events for every class.

  Raises:
    FileNotFoundError: not the data set's folder.
    ValueError: an unknown data set or id, a repeated id, or an unreadable recording.
  """
  builder, items = _prepared(name, data_dir, prepared_dir, sample_rate_hz, options, show_progress)
  places = {
    item.id: (split, index)
    for split, members in builder.splits(items).items()
    for index, item in enumerate(members)
  }
  ids = [item.id for item in items] if ids is None else list(ids)
  unknown = [id_ for id_ in ids if id_ not in places]
  if unknown:
    raise ValueError(f"ids: {listing(unknown)} not in {data_dir}; expected some of {listing(sorted(places))}")
  if len(set(ids)) < len(ids):
    raise ValueError(
      f"ids: {listing(sorted({id_ for id_ in ids if ids.count(id_) > 1}))} given more than once"
    )
  sources = builder.as_data_source()
  recordings = []
  for id_ in ids:
    split, index = places[id_]
    recording = recording_of(sources[split][index], builder.CLASSES)
    if not in_memory:
      recording = recording.replace(signal=StoredSignal(sources[split], index, recording.signal))
    recordings.append(recording)
  for id_, recording in zip(ids, recordings, strict=True):
    if recording.id != id_:
      raise ValueError(
        f"{builder.data_dir}: found {recording.id!r} in the place of {id_!r}; expected it there"
      )
  return recordings


class StoredSignal:
  """A signal in a prepared copy: as an array to who slices it, and read anew for each slice.

  Args:
    source: data source of the copy.
    index: of the record.
    like: the signal, of which shape and type are kept.
  """

  def __init__(self, source: Any, index: int, like: np.ndarray):
    self._source, self._index = source, index
    self.shape, self.ndim, self.dtype = like.shape, like.ndim, like.dtype

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, key: Any) -> np.ndarray:
    return np.array(self._source[self._index]["signal"][key])

  def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    return np.asarray(self[:], dtype)


def prepare(
  name: str,
  data_dir: str | os.PathLike,
  *,
  prepared_dir: str | os.PathLike | None = None,
  sample_rate_hz: float | None = None,
  options: Mapping[str, Any] | None = None,
  show_progress: bool = True,
) -> RecordingsBuilder:
  """The builder of a prepared copy, for its data sources; arguments and errors are those of `load`.

  The copy is named after a fingerprint of the files, their sizes and times of change, the settings and the
  code that reads them: where one of these is another, another copy is made, beside the old one. A preparation
  that fails leaves nothing behind, and several processes may prepare the same copy at once.
  """
  return _prepared(name, data_dir, prepared_dir, sample_rate_hz, options, show_progress)[0]


def _prepared(
  name, data_dir, prepared_dir, sample_rate_hz, options, show_progress
) -> tuple[RecordingsBuilder, list[Item]]:
  """`prepare`, and the items that were found."""
  if name not in BUILDERS:
    raise ValueError(f"data set is {name!r}; expected one of {', '.join(BUILDERS)}")
  cls = BUILDERS[name]
  options = dict(options or {})
  items = cls.find(data_dir, **options)
  rate = "native" if sample_rate_hz is None else f"{sample_rate_hz:g}hz"
  config = RecordingsConfig(name=rate, sample_rate_hz=sample_rate_hz, options=options)
  config.name = f"{rate}-{cls.fingerprint(items, config)}"
  builder = _quietly(cls, prepared_dir, config)
  if not builder.data_path.exists():
    builder.show_progress = show_progress
    try:
      # tensorflow-datasets announces itself on the standard output, which belongs to results.
      with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=data_dir))
    except OSError:
      if not builder.data_path.exists():  # else another process was faster
        raise
    builder = _quietly(cls, prepared_dir, config)
  return builder, items


def _quietly(
  cls: type[RecordingsBuilder], prepared_dir: str | os.PathLike | None, config: RecordingsConfig
) -> RecordingsBuilder:
  """The builder, without the warning that its configuration is not one of a fixed list."""
  with _level_of("absl", logging.ERROR):
    return cls(data_dir=prepared_dir, config=config)


@contextlib.contextmanager
def _level_of(name: str, level: int) -> Iterator[None]:
  logger = logging.getLogger(name)
  before = logger.level
  logger.setLevel(level)
  try:
    yield
  finally:
    logger.setLevel(before)
