"""Reads and writes video files, through PyAV: frames as uint8 `[T, height, width, 3]`, RGB.

Frames are upright: telephones record them lying on their side, and write in the file how to turn them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses
import fractions
import functools
import os
import pathlib
from typing import Any

import numpy as np

EXTENSIONS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")

# How far the time of a frame may be from where an even rate would put it, in frames.
_MOST_UNEVEN = 0.6
# ImageNet's mean colour.
_BORDER = (124, 116, 104)


@dataclasses.dataclass(frozen=True)
class VideoInfo:
  """What is known of a video once all its frames have been seen.

  Attributes:
    num_frames: frames that can be decoded, not what the header says.
    rate_hz: frames per second, from first to last.
    is_even: whether frames are equally far apart in time.
    height: of an upright frame, in pixels.
    width: likewise.
  """

  num_frames: int
  rate_hz: float
  is_even: bool
  height: int
  width: int


def probe(path: str | os.PathLike) -> VideoInfo:
  """Decodes a video and says what it holds.

  Raises:
    FileNotFoundError: no such file.
    ValueError: a file that holds no video, not a single frame, or frames to be shown at an angle.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise FileNotFoundError(f"{path}: no such file; expected a video")
  found = path.stat()
  return _probe(path.resolve(), found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=4096)  # many clips may be cut from one long video
def _probe(path: pathlib.Path, mtime_ns: int, size: int) -> VideoInfo:
  del mtime_ns, size  # another file, if they differ
  times_s, size, rate_hz = [], (0, 0), 0.0
  for frame, header_rate_hz in _decoded(path):
    times_s.append(frame.time)
    size, rate_hz = (frame.height, frame.width), header_rate_hz
    size = size[::-1] if _quarter_turns(path, frame) % 2 else size
  if any(time_s is None for time_s in times_s):  # no times: only the header's rate is left to believe
    return VideoInfo(len(times_s), rate_hz, True, *size)
  spans = np.diff(times_s)
  if not len(spans):
    return VideoInfo(1, rate_hz, True, *size)
  rate_hz = 1 / spans.mean()
  drift = np.array(times_s) - times_s[0] - np.arange(len(times_s)) / rate_hz
  is_even = bool((spans > 0).all() and np.abs(drift).max() * rate_hz <= _MOST_UNEVEN)
  return VideoInfo(len(times_s), float(rate_hz), is_even, *size)


def read(
  path: str | os.PathLike,
  *,
  first: int = 0,
  num_frames: int | None = None,
  square: int | None = None,
  bbox: Sequence[float] = (0.0, 0.0, 1.0, 1.0),
) -> np.ndarray:
  """Frames of a video.

  Args:
    path: file that FFmpeg can read.
    first: number of the first frame wanted.
    num_frames: how many; None for all that follow.
    square: side in pixels of the squares that frames are fitted into (see `fit`); None leaves them.
    bbox: part of the upright frame that is fitted: left, top, width and height as shares of the whole.

  Returns:
    uint8 `[num_frames, height, width, 3]`, RGB.

  Raises:
    FileNotFoundError: no such file.
    ValueError: a file that holds no video, fewer frames, or frames to be shown at an angle.
  """
  last = None if num_frames is None else first + num_frames
  frames = []
  for number, (frame, _) in enumerate(_decoded(path)):
    if last is not None and number >= last:
      break
    if number >= first:
      pixels = np.rot90(frame.to_ndarray(format="rgb24"), _quarter_turns(path, frame))
      frames.append(pixels if square is None else fit(pixels, bbox, square))
  if not frames or len(frames) < (num_frames or 1):
    raise ValueError(
      f"{path}: {first + len(frames)} frames; expected {'more than ' + str(first) if last is None else last}"
    )
  return np.stack(frames)


def _quarter_turns(path: str | os.PathLike, frame: Any) -> int:
  """How often a frame is to be turned to the left by 90 degrees to be upright."""
  turns, rest_deg = divmod(frame.rotation, 90)
  if rest_deg:
    raise ValueError(
      f"{path}: frames are to be turned by {frame.rotation} degrees; expected a multiple of 90"
    )
  return turns


def fit(frame: np.ndarray, bbox: Sequence[float], side: int) -> np.ndarray:
  """The part of a frame in a box, as large as a square of `side` pixels holds, in its middle.

  Around it is ImageNet's mean colour.

  >>> fit(np.zeros((4, 8, 3), np.uint8), (0.0, 0.0, 1.0, 1.0), 8)[:, 0, 0].tolist()
  [124, 124, 0, 0, 0, 0, 124, 124]
  """
  from PIL import Image

  height, width = frame.shape[:2]
  left, top, box_width, box_height = (
    int(share * size) for share, size in zip(bbox, (width, height, width, height), strict=True)
  )
  cropped = frame[top : top + box_height, left : left + box_width]
  ratio = side / max(cropped.shape[:2])
  rows, columns = (max(int(size * ratio), 1) for size in cropped.shape[:2])
  resized = Image.fromarray(cropped).resize((columns, rows), Image.Resampling.BILINEAR)
  out = np.empty((side, side, 3), np.uint8)
  out[:] = _BORDER
  first_row, first_column = (side - rows) // 2, (side - columns) // 2
  out[first_row : first_row + rows, first_column : first_column + columns] = resized
  return out


def write(path: str | os.PathLike, frames: np.ndarray, *, rate_hz: float, quality: int = 18) -> None:
  """Writes frames as an MP4 file (H.264), under a temporary name first.

  Args:
    path: ends in ".mp4".
    frames: uint8 `[T, height, width, 3]`, RGB; sides even.
    rate_hz: frames per second.
    quality: of x264 (CRF): 0 is lossless, 51 the worst.

  Raises:
    ValueError: frames of another type or shape.
  """
  import av

  path, frames = pathlib.Path(path), np.asarray(frames)
  if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
    raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 [T, height, width, 3]")
  if frames.shape[1] % 2 or frames.shape[2] % 2:
    raise ValueError(f"frames have {frames.shape[1]} x {frames.shape[2]} pixels; expected even numbers")
  part = path.with_name(f".{path.name}.part")
  with av.open(str(part), "w", format="mp4") as container:
    rate = fractions.Fraction(rate_hz).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "veryfast"})
    stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
    stream.codec_context.thread_count = 1
    for frame in frames:
      container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
    container.mux(stream.encode())
  os.replace(part, path)


def _decoded(path: str | os.PathLike) -> Iterator[tuple[Any, float]]:
  """Frames as PyAV gives them, each with the rate that the header says."""
  try:
    import av
  except ImportError as error:
    raise ImportError("videos are read with PyAV: pip install 'softloc_jax[video]'") from error

  if not pathlib.Path(path).exists():
    raise FileNotFoundError(f"{path}: no such file; expected a video")
  found = 0
  try:
    with av.open(str(path)) as container:
      if not container.streams.video:
        raise ValueError(f"{path}: holds no video; expected one")
      stream = container.streams.video[0]
      rate = float(stream.average_rate or 0)
      for image in container.decode(stream):
        found += 1
        yield image, rate
  except av.FFmpegError as error:
    raise ValueError(f"{path}: unreadable after {found} frames: {error}") from error
  if not found:
    raise ValueError(f"{path}: no frame could be decoded; expected a video")
