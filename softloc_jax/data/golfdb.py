"""GolfDB: 1,400 golf swings on video, with the frames of eight events each (McNally et al. 2019).

The folder has `golfDB.mat` or `golfDB.pkl`, and `videos_160/<id>.mp4`, the clips that the authors' script
makes: from the first to the last annotated frame of a video, cropped to the golfer, 160 x 160 pixels. Where
there are only the videos that they were cut from, `videos/<youtube_id>.mp4`, `cut` makes those clips.

Annotations are by frame, and clips are of many rates and some in slow motion, so time is counted in frames: a
recording has one "sample" a "second", and its channels are the values of a frame's pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import hashlib
import logging
import os
import pathlib
import re
import warnings

import numpy as np

from softloc_jax.data import layout, video_files
from softloc_jax.data.recording import Recording, validate

CLASSES = (
  *("address", "toe-up", "mid-backswing", "top"),
  *("mid-downswing", "impact", "mid-follow-through", "finish"),
)
NUM_FOLDS = 4
SIDE = 160  # of a clip, in pixels
CLIPS_FOLDER, RAW_FOLDER = f"videos_{SIDE}", "videos"
_BOX_ROUNDING = 1e-3  # by how much a box of shares may seem to reach beyond the picture
_FIELDS = ("id", "youtube_id", "player", "sex", "club", "view", "slow", "events", "bbox", "split")


@dataclasses.dataclass(frozen=True, eq=False)
class Swing:
  """An annotated swing.

  Attributes:
    id: unique; the name of its clip.
    youtube_id: of the video it was cut from.
    sex, club, view: "m" or "f"; "driver", "iron", ...; "face-on", "down-the-line" or "other".
    is_slow: whether it is in slow motion.
    frames: first frame, the eight events, and last frame, in the video it was cut from, `[10]`.
    bbox: left, top, width and height as shares of the video's.
    split: the fold it is tested in, 1 to 4.
    clip: path of the clip; None for none.
    raw: path of the video it is cut from; None for none.
  """

  id: str
  youtube_id: str
  sex: str
  club: str
  view: str
  is_slow: bool
  frames: np.ndarray
  bbox: np.ndarray
  split: int
  clip: pathlib.Path | None = None
  raw: pathlib.Path | None = None

  @property
  def num_frames(self) -> int:
    """Of the clip."""
    return int(self.frames[-1] - self.frames[0] + 1)

  @property
  def events(self) -> np.ndarray:
    """Frames of the events in the clip, `[8]`."""
    return self.frames[1:-1] - self.frames[0]

  @property
  def group(self) -> str:
    """What splits keep together."""
    return self.youtube_id


def annotations(data_dir: str | os.PathLike) -> list[Swing]:
  """All swings of the annotation file, in its order.

  Raises:
    FileNotFoundError: neither `golfDB.mat` nor `golfDB.pkl`.
    ValueError: a file that cannot be read, a table that is not GolfDB's, or a row of it that makes no sense.
  """
  folder = pathlib.Path(data_dir)
  for name, reader in (("golfDB.mat", _read_mat), ("golfDB.pkl", _read_pickle)):
    if (folder / name).exists():
      path = folder / name
      try:
        rows = reader(path)
      except ImportError:
        raise
      except Exception as error:  # broken files fail anywhere in their readers
        message = f"{path}: cannot be read ({type(error).__name__}: {error}); expected GolfDB's table"
        raise ValueError(message) from error
      swings = [_swing(path, number, row) for number, row in enumerate(rows)]
      _refuse_repeated(path, swings)
      return swings
  raise FileNotFoundError(f"{folder}: neither golfDB.mat nor golfDB.pkl; expected GolfDB's annotations")


def _read_mat(path: pathlib.Path) -> list[dict]:
  import scipy.io

  table = scipy.io.loadmat(path, squeeze_me=True).get("golfDB")
  if table is None or not set(_FIELDS) <= set(table.dtype.names or ()):
    raise ValueError(f"no table golfDB with {', '.join(_FIELDS)}")
  return [{name: row[name] for name in _FIELDS} for row in np.atleast_1d(table)]


def _read_pickle(path: pathlib.Path) -> list[dict]:
  import pandas  # which knows how to read what older versions of it have written

  with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the file names modules that NumPy has renamed
    table = pandas.read_pickle(path)
  if not set(_FIELDS) <= set(getattr(table, "columns", ())):
    raise ValueError(f"no table with {', '.join(_FIELDS)}")
  return table[list(_FIELDS)].to_dict("records")


def _swing(path: pathlib.Path, number: int, row: dict) -> Swing:
  frames, bbox = np.asarray(row["events"], dtype=np.int64), np.asarray(row["bbox"], dtype=np.float64)
  if frames.shape != (len(CLASSES) + 2,) or not (frames[0] <= frames.min() and frames.max() <= frames[-1]):
    raise ValueError(
      f"{path}: row {number} has events {frames.tolist()}; expected {len(CLASSES) + 2} frames, the first and"
      f" last of the clip around those of the events"
    )
  if bbox.shape != (4,) or not _is_box(*bbox):
    raise ValueError(
      f"{path}: row {number} has bbox {bbox.tolist()}; expected left, top, width and height of a part of the"
      f" picture, as shares of it"
    )
  if int(row["split"]) not in range(1, NUM_FOLDS + 1):
    raise ValueError(f"{path}: row {number} has split {row['split']}; expected 1 to {NUM_FOLDS}")
  texts = {name: str(row[name]) for name in ("youtube_id", "sex", "club", "view")}
  return Swing(
    id=f"{int(row['id']):04d}",
    is_slow=bool(row["slow"]),
    frames=frames,
    bbox=bbox,
    split=int(row["split"]),
    **texts,
  )


def _is_box(left: float, top: float, width: float, height: float) -> bool:
  """Whether a box has an area, and lies within the picture but for rounding."""
  least, most = min(left, top), max(left + width, top + height)
  return least >= 0 and min(width, height) > 0 and most <= 1 + _BOX_ROUNDING


def _refuse_repeated(path: pathlib.Path, swings: Sequence[Swing]) -> None:
  rows: dict[str, int] = {}
  for number, one in enumerate(swings):
    if rows.setdefault(one.id, number) != number:
      raise ValueError(f"{path}: rows {rows[one.id]} and {number} have the id {one.id}; expected one of each")


def find(data_dir: str | os.PathLike) -> list[Swing]:
  """Swings whose clip, or the video to cut it from, is there, sorted by id; says how many are not.

  Raises:
    FileNotFoundError: no annotations, or not a single clip or video.
    ValueError: see `annotations`; a clip that belongs to no annotation, or two files of one video.
  """
  folder = pathlib.Path(data_dir)
  clips = {_number(path): path for path in layout.files_in(folder / CLIPS_FOLDER, (".mp4",))}
  raw: dict[str, pathlib.Path] = {}
  for path in layout.files_in(folder / RAW_FOLDER, video_files.EXTENSIONS):
    if raw.setdefault(path.stem, path) != path:
      raise ValueError(f"{path}: there is {raw[path.stem].name} too; expected one file of a video")
  swings = annotations(folder)
  unknown = sorted(set(clips) - {one.id for one in swings})
  if unknown:
    raise ValueError(f"{clips[unknown[0]]}: no annotation has this id; expected one of the {len(swings)}")
  found = [
    dataclasses.replace(one, clip=clips.get(one.id), raw=raw.get(one.youtube_id))
    for one in swings
    if one.id in clips or one.youtube_id in raw
  ]
  if not found:
    raise FileNotFoundError(
      f"{folder}: no clip {CLIPS_FOLDER}/<id>.mp4 and no video {RAW_FOLDER}/<youtube_id>.*; expected some"
    )
  if len(found) < len(swings):
    logging.warning("%s: %d of %d annotated swings have a clip or video", folder, len(found), len(swings))
  return sorted(found, key=lambda one: one.id)


def _number(path: pathlib.Path) -> str:
  if not re.fullmatch(r"\d+", path.stem):
    raise ValueError(f"{path}: expected a clip named by its id, such as 12.mp4")
  return f"{int(path.stem):04d}"


def read(swing: Swing) -> Recording:
  """A clip with its events, one of each class.

  Returns:
    Recording of one frame a "second": uint8 `[T, height * width * 3]`.

  Raises:
    ValueError: see `problem`.
  """
  wrong = problem(swing)
  if wrong:
    raise ValueError(f"{swing.clip or swing.raw}: {wrong}")
  frames = video_files.read(swing.clip) if swing.clip else cut(swing)
  recording = to_recording(swing, frames)
  validate(recording, CLASSES)
  return recording


def to_recording(swing: Swing, frames: np.ndarray) -> Recording:
  """Frames of a swing's clip, uint8 `[T, height, width, 3]`, with its events."""
  events = {name: np.array([float(frame)]) for name, frame in zip(CLASSES, swing.events, strict=True)}
  return Recording(swing.id, frames.reshape(len(frames), -1), 1.0, events)


def problem(swing: Swing) -> str:
  """What keeps a clip from being what its annotation is about; empty if nothing does.

  Annotations are by frame. A clip that was converted to another rate, or lost frames, has other numbers of
  frames; one whose frames are not equally far apart, or are at another rate than those of the video it was
  cut from, has been tampered with in time. Of a video without its clip only too few frames show: what rate it
  had when it was annotated, nobody wrote down.
  """
  try:
    info = video_files.probe(swing.clip or swing.raw)
    raw = video_files.probe(swing.raw) if swing.clip and swing.raw else None
  except ValueError as error:
    return str(error)
  if swing.clip and info.num_frames != swing.num_frames:
    return f"{info.num_frames} frames; expected {swing.num_frames}, as annotated"
  if not swing.clip and info.num_frames < swing.frames[-1]:
    return f"{info.num_frames} frames; expected {swing.frames[-1]} or more, the last that is annotated"
  if not swing.clip and min(swing.bbox[2] * info.width, swing.bbox[3] * info.height) < 1:
    return f"bbox {swing.bbox.tolist()} of {info.width} x {info.height} pixels; expected a pixel or more"
  if not info.is_even:
    return "frames are not equally far apart in time; expected a constant rate"
  if raw and abs(raw.rate_hz - info.rate_hz) > 0.01 * raw.rate_hz:
    return f"{info.rate_hz:.2f} frames per second; expected {raw.rate_hz:.2f}, as {swing.raw} has"
  return ""


def refuse_problems(swings: Iterable[Swing]) -> None:
  """Refuses clips that do not fit their annotations, all in one message.

  Raises:
    ValueError: naming every such file, and what is wrong.
  """
  wrong = [(one.clip or one.raw, problem(one)) for one in swings]
  listed = [f"{path}: {what}" for path, what in wrong if what]
  if listed:
    raise ValueError(f"{len(listed)} clips do not fit their annotations:\n" + "\n".join(listed))


def cut(swing: Swing, side: int = SIDE) -> np.ndarray:
  """A clip from the video it is in: cropped to the golfer and fitted into a square.

  Args:
    swing: with `raw`.
    side: of the result, in pixels.

  Returns:
    uint8 `[T, side, side, 3]`, as the authors' script makes it but for how pixels are interpolated.
  """
  # Annotated frames are counted from 1.
  first = int(swing.frames[0]) - 1
  return video_files.read(
    swing.raw, first=first, num_frames=swing.num_frames, square=side, bbox=tuple(swing.bbox)
  )


def folds(swings: Sequence[Swing], test_split: int, *, held_out: float = 0.1) -> dict[str, list[Swing]]:
  """Training, validation and test swings of one fold.

  Args:
    swings: of all splits.
    test_split: 1 to 4, the split that is tested.
    held_out: share of the other splits' videos that are for validation; always the same ones.

  Raises:
    ValueError: another split.

  References:
    McNally et al. GolfDB: a video database for golf swing sequencing. CVPR Workshops 2019. Section 3.
  """
  if test_split not in range(1, NUM_FOLDS + 1):
    raise ValueError(f"test_split is {test_split}; expected 1 to {NUM_FOLDS}")
  others = [one for one in swings if one.split != test_split]
  videos = sorted({one.youtube_id for one in others}, key=lambda id_: hashlib.sha256(id_.encode()).digest())
  chosen = set(videos[: max(round(held_out * len(videos)), 1)])
  return {
    "train": [one for one in others if one.youtube_id not in chosen],
    "validation": [one for one in others if one.youtube_id in chosen],
    "test": [one for one in swings if one.split == test_split],
  }
