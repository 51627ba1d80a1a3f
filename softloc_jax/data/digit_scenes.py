"""Digits strewn over a canvas: scenes of which one knows how many of each digit there are (L section 8).

A scene is a recording along a space-filling curve. Its canvas is cut into square blocks; a block is a frame,
the blocks follow each other along the curve, one a second, and the samples of a frame are the block's pixels.
So an event at second `t` is a digit whose centre lies in the t-th block.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools

import numpy as np

from softloc_jax.data.digits import CLASSES, SIDE, Digits
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import SPLITS
from softloc_jax.hilbert import WindowPath, block_path

# Placements that are drawn at a time, each time twice as many, until there is one where no two digits
# overlap. Of two digits on 96 x 96 pixels 59 % are such, of five one in 600.
_FIRST_DRAWS, _ROUNDS = 8, 13
# Placements without overlap among all those, so that one is always found.
_FEWEST_EXPECTED = 30
# More could turn a digit into another, or inside out.
MOST_DISTORTION = 0.2


class DigitScenes(Sequence[Recording]):
  """Scenes that are made when they are asked for, each from the seed, the split and its index alone.

  Args:
    split: one of `SPLITS`; two splits have no scene in common, and their digits are the caller's to part.
    digits: what is strewn; every scene draws its digits from all of them, uniformly.
    num_recordings: how many scenes.
    canvas_size: height and width in pixels.
    stride: side of a block in pixels.
    curve: of `hilbert.CURVES`.
    min_digits: fewest digits of a scene; their number is uniform.
    max_digits: most digits of a scene.
    seed: a non-negative integer.
    in_order: whether scene `i` holds the `i`-th digit for certain: as many scenes as there are digits then
      show each of them.
    distortion: how much every digit is turned, sheared and stretched, see `distorted`; 0 leaves it as it is.

  Raises:
    ValueError: an unknown split, a number out of range, or more digits than random placements hold without
      overlap (on 96 x 96 pixels more than five).
  """

  def __init__(
    self,
    split: str,
    digits: Digits,
    *,
    num_recordings: int,
    canvas_size: tuple[int, int] = (96, 96),
    stride: int = 8,
    curve: str = "hilbert",
    min_digits: int = 1,
    max_digits: int = 5,
    seed: int = 0,
    in_order: bool = False,
    distortion: float = 0.0,
  ):
    if split not in SPLITS:
      raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    if num_recordings < 1 or seed < 0:
      raise ValueError(f"num_recordings is {num_recordings} and seed {seed}; expected at least 1 and 0")
    if not 0 <= min_digits <= max_digits:
      raise ValueError(f"min_digits is {min_digits} and max_digits {max_digits}; expected 0 <= min <= max")
    if not 0 <= distortion <= MOST_DISTORTION:
      raise ValueError(f"distortion is {distortion}; expected 0 to {MOST_DISTORTION}")
    if min(canvas_size) < SIDE or not _can_be_placed(max_digits, tuple(canvas_size)):
      raise ValueError(
        f"canvas_size is {tuple(canvas_size)}; expected room for {max_digits} digits of {SIDE} pixels at"
        f" random"
      )
    self.split, self.digits, self.seed, self._in_order = split, digits, seed, in_order
    self._distortion = distortion
    self.path = block_path(canvas_size, stride, curve)
    self._num_recordings, self._num_digits = num_recordings, (min_digits, max_digits)

  def __len__(self) -> int:
    return self._num_recordings

  def __getitem__(self, index):
    """A scene as a recording, or a list of those of a slice; from the end if the index is negative."""
    if isinstance(index, slice):
      return [self[number] for number in range(*index.indices(len(self)))]
    index = index + len(self) if index < 0 else index
    canvas, corners, labels = self.scene(index)
    return Recording(
      id=f"{self.split}-{index:07d}",
      signal=along(self.path, canvas),
      sample_rate_hz=float(self.path.stride**2),
      events=self._events(corners, labels),
    )

  def scene(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene as a picture.

    Returns:
      canvas: float32 `[height, width]`, 0 to 1.
      corners: row and column of each digit's upper left pixel, `[n, 2]`.
      labels: what the digits are, `[n]`.

    Raises:
      IndexError: there is no such scene.
    """
    if not 0 <= index < len(self):
      raise IndexError(f"scene {index} of {len(self)}")
    rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
    low, high = self._num_digits
    chosen = rng.integers(len(self.digits.labels), size=rng.integers(low, high + 1))
    if self._in_order:
      chosen[:1] = index % len(self.digits.labels)
    corners = place(rng, len(chosen), self.path.image_size)
    images = self.digits.images[chosen].astype(np.float32) / 255
    if self._distortion:
      images = [distorted(rng, image, self._distortion) for image in images]
    canvas = np.zeros(self.path.image_size, np.float32)
    for (row, column), image in zip(corners, images, strict=True):
      canvas[row : row + SIDE, column : column + SIDE] += image
    return canvas, corners, self.digits.labels[chosen]

  def _events(self, corners: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    frames = self.path.nearest(corners + (SIDE - 1) / 2)
    return {
      name: np.sort(frames[labels == digit]).astype(float)
      for digit, name in enumerate(CLASSES)
      if (labels == digit).any()
    }


def place(rng: np.random.Generator, number: int, canvas_size: tuple[int, int]) -> np.ndarray:
  """Corners `[number, 2]` of digits that do not overlap, uniform over all such placements.

  Raises:
    ValueError: there seems to be no such placement.
  """
  for drawn in range(_ROUNDS):
    corners, valid = _placements(rng, _FIRST_DRAWS * 2**drawn, number, canvas_size)
    if valid.any():
      return corners[valid.argmax()]
  raise ValueError(f"{number} digits on {tuple(canvas_size)} pixels: no placement without overlap was found")


def _placements(
  rng: np.random.Generator, draws: int, number: int, canvas_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """Corners of digits anywhere, `[draws, number, 2]`, and whether none of them overlap, `[draws]`."""
  corners = rng.integers(0, np.array(canvas_size) - SIDE + 1, (draws, number, 2))
  apart = np.abs(corners[:, :, None] - corners[:, None]).max(axis=-1) >= SIDE
  return corners, (apart | np.eye(number, dtype=bool)).all(axis=(1, 2))


@functools.cache
def _can_be_placed(number: int, canvas_size: tuple[int, int]) -> bool:
  """Whether drawing placements until no digits overlap is sure to end."""
  if number > np.prod([side // SIDE for side in canvas_size]):
    return False
  draws = min(8192, 2**22 // max(number, 1) ** 2)
  _, valid = _placements(np.random.default_rng(0), draws, number, canvas_size)
  return valid.mean() * _FIRST_DRAWS * (2**_ROUNDS - 1) >= _FEWEST_EXPECTED


def distorted(rng: np.random.Generator, image: np.ndarray, amount: float) -> np.ndarray:
  """A picture through a random linear map about its middle, of the same shape; outside it is dark.

  Args:
    rng: where the map is drawn from.
    image: `[height, width]`.
    amount: standard deviation of the four entries of the map from those of the identity; none is off by more
      than twice of it. With .1 digits turn by 4 degrees and grow or shrink by 7 % in standard deviation.
  """
  import scipy.ndimage

  entries = np.eye(2) + amount * np.clip(rng.standard_normal((2, 2)), -2, 2)
  middle = (np.array(image.shape) - 1) / 2
  return scipy.ndimage.affine_transform(image, entries, middle - entries @ middle, order=1)


def along(path: WindowPath, canvas: np.ndarray) -> np.ndarray:
  """The pixels of a canvas, block after block: `[height, width] -> [height * width]`."""
  return path.windows(canvas).reshape(-1)
