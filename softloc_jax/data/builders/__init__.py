"""Data sets as tensorflow-datasets builders: prepared once, read at random, no TensorFlow needed.

`load` is all that training needs. It prepares a data set's recordings from the folder of its original files
(resampled, if so asked), keeps them as ArrayRecord files in tensorflow-datasets' data folder, and reads them
from there the next time:

    recordings = builders.load("maps", "/data/MAPS", sample_rate_hz=16000)

`prepare("maps", "/data/MAPS").as_data_source("train")` gives records one by one, for data sets that do not
fit in memory; `recording_of` makes recordings of them.

Importing this package registers the builders, so that tensorflow-datasets knows them by name. The folder of
the original files is its `manual_dir`:

    config = tfds.download.DownloadConfig(manual_dir="/data/MAPS")
    train = tfds.data_source("maps", split="train", download_and_prepare_kwargs={"download_config": config})

There, a copy that exists is taken as it is, as for every data set of tensorflow-datasets; `load` and
`prepare` compare it to the original files. With `DownloadConfig(..., beam_runner=...)`, Apache Beam prepares
the shards in parallel.

This package alone loads tensorflow-datasets when it is imported; nothing else in softloc_jax imports it but
within functions.
"""

from softloc_jax.data.builders.data_sets import EnstDrums, IdmtSmtDrums, Maps, MdbDrums
from softloc_jax.data.builders.loading import BUILDERS, StoredSignal, load, prepare
from softloc_jax.data.builders.recordings_builder import RecordingsBuilder, RecordingsConfig, recording_of
from softloc_jax.data.builders.rendered_sets import GrooveRendered, PianoRendered
from softloc_jax.data.builders.videos import Golfdb, GolfRendered

__all__ = [
  "BUILDERS",
  "EnstDrums",
  "GolfRendered",
  "Golfdb",
  "GrooveRendered",
  "IdmtSmtDrums",
  "Maps",
  "MdbDrums",
  "PianoRendered",
  "RecordingsBuilder",
  "RecordingsConfig",
  "StoredSignal",
  "load",
  "prepare",
  "recording_of",
]
