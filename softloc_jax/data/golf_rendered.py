"""Golf swings that are drawn, with the timing of real ones: GolfDB's annotations without its videos.

Swing `i` of the annotation file is swung by a made-up golfer at the frames where the real one's events were,
slow motion included, from the view and with the club that are annotated. Swings of one video have one golfer,
one place and one camera, as in GolfDB.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import os
import pathlib

import numpy as np

from softloc_jax.data import golf_picture, golf_swing, golfdb, video_files
from softloc_jax.data.golfdb import CLASSES, Swing
from softloc_jax.data.recording import Recording

__all__ = ["CLASSES", "RenderedSwing", "find", "read", "render", "write"]

RATE_HZ = 30.0  # of files, which need one; it says nothing


@dataclasses.dataclass(frozen=True, eq=False)
class RenderedSwing:
  """A swing before it is drawn.

  Attributes:
    swing: its annotation.
    side: height and width of a frame in pixels.
    seed: of everything that is not annotated.
  """

  swing: Swing
  side: int
  seed: int

  @property
  def id(self) -> str:
    """Id of the annotation."""
    return self.swing.id

  @property
  def group(self) -> str:
    """What splits keep together."""
    return self.swing.group


def find(
  data_dir: str | os.PathLike,
  *,
  side: int = 64,
  seed: int = 0,
  most_frames: int = 0,
  per_split: int = 0,
  skip_per_split: int = 0,
) -> list[RenderedSwing]:
  """Swings of the annotation file that can be drawn, sorted by id.

  Args:
    data_dir: folder of `golfDB.mat` or `golfDB.pkl`.
    side: height and width of a frame in pixels.
    seed: another seed, other golfers.
    most_frames: clips that are longer are left out; 0 for none.
    per_split: so many of each of the four splits, the first; 0 for all.
    skip_per_split: so many of each split are passed over before, and the others of their videos: swings
      that are foreign to those of `per_split=skip_per_split`.

  Raises:
    FileNotFoundError, ValueError: see `golfdb.annotations`.
  """
  # One annotated swing has an event before the one that it follows: no golfer could do that.
  swings = [one for one in golfdb.annotations(data_dir) if (np.diff(one.events) > 0).all()]
  swings = sorted(
    (one for one in swings if not most_frames or one.num_frames <= most_frames), key=lambda s: s.id
  )
  by_split = [[one for one in swings if one.split == fold] for fold in range(1, golfdb.NUM_FOLDS + 1)]
  by_split = [_after(some, skip_per_split) for some in by_split]
  chosen = [one for some in by_split for one in some[: per_split or None]]
  return [RenderedSwing(one, side, seed) for one in sorted(chosen, key=lambda s: s.id)]


def _after(swings: Sequence[Swing], skip: int) -> list[Swing]:
  """Swings after the first `skip` that are of none of their videos."""
  passed = {one.group for one in swings[:skip]}
  return [one for one in swings[skip:] if one.group not in passed]


def read(rendered: RenderedSwing) -> Recording:
  """Draws a swing."""
  return golfdb.to_recording(rendered.swing, render(rendered))


def render(rendered: RenderedSwing) -> np.ndarray:
  """Frames of a swing: uint8 `[T, side, side, 3]`."""
  swing = rendered.swing
  # The video decides on golfer, place and camera; the swing on the rest.
  of_video = np.random.default_rng([rendered.seed, *swing.youtube_id.encode()])
  rng = np.random.default_rng([rendered.seed, int(swing.id)])
  style = golf_swing.draw_style(of_video, swing.club)
  look = golf_picture.draw_look(of_video, swing.view)
  joints = golf_swing.motion(rng, swing.events, swing.num_frames, style)
  return golf_picture.render(rng, joints, look, rendered.side)


def write(data_dir: str | os.PathLike, swings: Sequence[RenderedSwing], rate_hz: float = RATE_HZ) -> None:
  """Writes swings as clips in GolfDB's layout, `videos_160/<id>.mp4`; those that are there stay.

  Args:
    data_dir: folder of the layout.
    swings: what to write; `side` may be any even number.
    rate_hz: frames per second that files are written with.
  """
  folder = pathlib.Path(data_dir) / golfdb.CLIPS_FOLDER
  folder.mkdir(parents=True, exist_ok=True)
  for one in swings:
    path = folder / f"{int(one.id)}.mp4"
    if not path.exists():
      video_files.write(path, render(one), rate_hz=rate_hz)
