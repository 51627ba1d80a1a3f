"""Videos, kept as bytes: a frame is a sample, the values of its pixels are the channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import hashlib
import pathlib

import numpy as np

from softloc_jax.data import golf_picture, golf_rendered, golf_swing, golfdb, video_files
from softloc_jax.data.builders.recordings_builder import RecordingsBuilder, RecordingsConfig


class VideoBuilder(RecordingsBuilder, skip_registration=True):
  """Clips as uint8 `[num_frames, height * width * 3]`, one frame a "second"; split as GolfDB is in four."""

  SIGNAL_SHAPE = (None, None)
  SIGNAL_DTYPE = np.uint8

  @classmethod
  def splits(cls, items: Sequence) -> dict[str, list]:
    split = {f"split_{fold}": [] for fold in range(1, golfdb.NUM_FOLDS + 1)}
    for item in items:
      split[f"split_{cls.swing(item).split}"].append(item)
    return split

  @classmethod
  def swing(cls, item) -> golfdb.Swing:
    """The annotation of an item."""
    return item

  @classmethod
  def fingerprint(cls, items: Iterable, config: RecordingsConfig) -> str:
    """See `RecordingsBuilder`; annotations are in one file for all, and say what is read or drawn."""
    items = list(items)
    swings = [cls.swing(item) for item in items]
    annotated = repr(
      [(one.frames.tolist(), one.bbox.tolist(), one.club, one.view, one.split) for one in swings]
    )
    digest = hashlib.sha256((super().fingerprint(items, config) + annotated).encode())
    return digest.hexdigest()[:16]


class Golfdb(VideoBuilder):
  """Golf swings with the frames of eight events; the group is the video that a clip was cut from.

  Preparing refuses clips whose frames do not fit their annotation, and lists all of them.
  """

  HOMEPAGE = "https://github.com/wmcnally/golfdb"
  LICENSE = "CC BY-NC 4.0"
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    "golfDB.mat or golfDB.pkl, and videos_160/<id>.mp4 or videos/<youtube_id>.mp4"
  )
  CLASSES = golfdb.CLASSES
  CODE = (video_files,)
  find = staticmethod(golfdb.find)
  read = staticmethod(golfdb.read)

  @classmethod
  def files(cls, item: golfdb.Swing) -> Sequence[pathlib.Path]:
    return tuple(path for path in (item.clip, item.raw) if path)

  def _shard_iterators_per_split(self, dl_manager):
    golfdb.refuse_problems(self._items(dl_manager.manual_dir))
    return super()._shard_iterators_per_split(dl_manager)


class GolfRendered(VideoBuilder):
  """Drawn golf swings with the timing of GolfDB's.

  Options: those of `golf_rendered.find`, such as `side` and `per_split`.
  """

  HOMEPAGE = "https://github.com/wmcnally/golfdb"
  LICENSE = "annotations: CC BY-NC 4.0"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "golfDB.mat or golfDB.pkl"
  CLASSES = golf_rendered.CLASSES
  CODE = (golf_picture, golf_swing, golfdb, video_files)
  find = staticmethod(golf_rendered.find)
  read = staticmethod(golf_rendered.read)

  @classmethod
  def swing(cls, item: golf_rendered.RenderedSwing) -> golfdb.Swing:
    return item.swing

  @classmethod
  def files(cls, item: golf_rendered.RenderedSwing) -> Sequence[pathlib.Path]:
    return ()
