"""Curves that visit every cell of a grid once, and so turn an image into a sequence of windows.

Cells are `(row, column)`, row 0 at the top. Neighbours on a Hilbert curve are neighbours in the image, and
what is near in the image is mostly near on the curve: what happens at one place happens at about one time
(L section 8).

References:
  Hilbert, "Ueber die stetige Abbildung einer Linie auf ein Flaechenstueck", 1891.
  Cerveny, "Generalized Hilbert space-filling curve for rectangular domains of arbitrary sizes", 2018.
  Moore, "On certain crinkly curves", 1900.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import dataclasses
import functools

import numpy as np
from numpy.typing import ArrayLike

Vector = np.ndarray


def hilbert(num_rows: int, num_columns: int) -> np.ndarray:
  """The Hilbert curve of a square whose side is a power of two, and its like for any rectangle.

  It runs from the upper left corner to the other end of the longer side, where that is even. Steps go to one
  of the four nearest cells, but for a single diagonal one where the longer side is odd and the other even.

  Args:
    num_rows: height of the grid, at least 1.
    num_columns: width of the grid, at least 1.

  Returns:
    Cells in the order of the curve, `[num_rows * num_columns, 2]`.

  Raises:
    ValueError: an empty grid.

  >>> hilbert(2, 2).tolist()
  [[0, 0], [1, 0], [1, 1], [0, 1]]
  """
  _check(num_rows, num_columns)
  down, right = np.array([num_rows, 0]), np.array([0, num_columns])
  along, across = (right, down) if num_columns >= num_rows else (down, right)
  return np.array(list(_fill(np.zeros(2, int), along, across)))


def moore(num_rows: int, num_columns: int) -> np.ndarray:
  """Moore's closed curve, whose last cell is beside its first: four Hilbert curves around the middle.

  Each quarter has at most the one diagonal step that `hilbert` says; squares of powers of two have none.

  Raises:
    ValueError: an empty grid, a side that is odd, or 4 beside one that is no multiple of 4: no such curve
      closes.

  >>> moore(2, 2).tolist()
  [[1, 0], [0, 0], [0, 1], [1, 1]]
  """
  _check(num_rows, num_columns)
  if num_rows % 2 or num_columns % 2:
    raise ValueError(f"the grid is {num_rows} x {num_columns}; expected even sides, for a curve that closes")
  if min(num_rows, num_columns) == 4 and max(num_rows, num_columns) % 4:
    raise ValueError(f"the grid is {num_rows} x {num_columns}; expected a multiple of 4 beside a side of 4")
  if num_columns > num_rows:
    return moore(num_columns, num_rows)[:, ::-1]
  height, width = num_rows // 2, num_columns // 2
  up, down = np.array([-height, 0]), np.array([height, 0])
  left, right = np.array([0, -width]), np.array([0, width])
  quarters = [
    _fill(np.array([num_rows - 1, width - 1]), up, left),
    _fill(np.array([height - 1, width - 1]), up, left),
    _fill(np.array([0, width]), down, right),
    _fill(np.array([height, width]), down, right),
  ]
  return np.array([cell for quarter in quarters for cell in quarter])


def boustrophedon(num_rows: int, num_columns: int) -> np.ndarray:
  """Row by row, every other row backwards.

  >>> boustrophedon(2, 3)[:, 1].tolist()
  [0, 1, 2, 2, 1, 0]
  """
  _check(num_rows, num_columns)
  grid = np.stack(np.mgrid[:num_rows, :num_columns], axis=-1)
  grid[1::2] = grid[1::2, ::-1]
  return grid.reshape(-1, 2)


CURVES: dict[str, Callable[[int, int], np.ndarray]] = {
  "hilbert": hilbert,
  "moore": moore,
  "boustrophedon": boustrophedon,
}


def curve(kind: str, num_rows: int, num_columns: int) -> np.ndarray:
  """Cells of a grid in the order of a curve of `CURVES`.

  Raises:
    ValueError: an unknown kind, or a grid that the curve cannot fill.
  """
  if kind not in CURVES:
    raise ValueError(f"curve is {kind!r}; expected one of {', '.join(CURVES)}")
  return CURVES[kind](num_rows, num_columns)


@dataclasses.dataclass(frozen=True)
class WindowPath:
  """Windows of an image at a stride, in the order of a curve: a sequence of which each step is a place.

  Windows start at the first pixel (of the margin); pixels after the last whole stride are in none.

  The image is continued by `margin` empty pixels on every side, so that windows may lie partly beyond it.

  Attributes:
    image_size: height and width of the image in pixels.
    window_size: height and width of a window.
    stride: pixels from a window to the next, down and to the right.
    margin: pixels beyond the image that windows may cover, up and down, and left and right.
    kind: a curve of `CURVES`.

  Raises:
    ValueError: windows that are larger than the image with its margin, or a stride below 1.

  >>> path = WindowPath((96, 96), (32, 32), 8, margin=(12, 12))
  >>> path.grid_size, len(path)
  ((12, 12), 144)
  >>> path.centres[0].tolist(), path.nearest([[3.5, 3.5]]).tolist()
  ([3.5, 3.5], [0])
  """

  image_size: tuple[int, int]
  window_size: tuple[int, int]
  stride: int
  margin: tuple[int, int] = (0, 0)
  kind: str = "hilbert"

  def __post_init__(self):
    if self.stride < 1:
      raise ValueError(f"stride is {self.stride}; expected 1 or more")
    if min(self.window_size) < 1 or min(self.margin) < 0:
      raise ValueError(
        f"window_size is {self.window_size} and margin {self.margin}; expected at least 1 and 0 pixels"
      )
    if min(self.grid_size) < 1:
      raise ValueError(
        f"window_size is {self.window_size}; expected at most the image, {self.image_size}, with its margin,"
        f" {self.margin}"
      )
    curve(self.kind, *self.grid_size)  # refuses an unknown curve, or one that cannot fill the grid

  def __len__(self) -> int:
    return self.grid_size[0] * self.grid_size[1]

  @property
  def grid_size(self) -> tuple[int, int]:
    """Rows and columns of windows."""
    rows, columns = (
      (image + 2 * margin - window) // self.stride + 1
      for image, window, margin in zip(self.image_size, self.window_size, self.margin, strict=True)
    )
    return rows, columns

  @functools.cached_property
  def cells(self) -> np.ndarray:
    """Row and column of each window, `[T, 2]`."""
    return curve(self.kind, *self.grid_size)

  @functools.cached_property
  def order(self) -> np.ndarray:
    """Where each step lies in a grid that is read row by row, `[T]`: `grid.reshape(-1)[order]`."""
    return self.cells @ np.array([self.grid_size[1], 1])

  @functools.cached_property
  def centres(self) -> np.ndarray:
    """Row and column of the centre of each window in pixels, `[T, 2]`; the centre of pixel 0 is at 0."""
    first = (np.array(self.window_size) - 1) / 2 - np.array(self.margin)
    return first + self.stride * self.cells

  def nearest(self, places: ArrayLike) -> np.ndarray:
    """The step whose centre is nearest to each place `[n, 2]` in pixels; of equally near ones the first."""
    places = np.asarray(places, float).reshape(-1, 2)
    return np.argmin(np.square(places[:, None] - self.centres).sum(-1), axis=1)

  def windows(self, image: np.ndarray) -> np.ndarray:
    """Every window by itself: `[height, width, ...] -> [T, window height, window width, ...]`.

    Networks see windows in their order without this: they convolve the image once, see `models.scene`.
    """
    if image.shape[:2] != tuple(self.image_size):
      raise ValueError(f"the image is {image.shape[:2]}; expected {tuple(self.image_size)}")
    padded = np.pad(image, [(side, side) for side in self.margin] + [(0, 0)] * (image.ndim - 2))
    views = np.lib.stride_tricks.sliding_window_view(padded, self.window_size, axis=(0, 1))
    return np.moveaxis(views[tuple((self.cells * self.stride).T)], (-2, -1), (1, 2))


def block_path(canvas_size: tuple[int, int], stride: int, kind: str = "hilbert") -> WindowPath:
  """The blocks of a canvas along a curve.

  Raises:
    ValueError: a stride below 1, or a canvas that is no whole number of blocks high and wide.
  """
  if stride < 1:
    raise ValueError(f"stride is {stride}; expected 1 or more")
  if any(side % stride for side in canvas_size):
    raise ValueError(f"canvas_size is {canvas_size}; expected whole numbers of strides, {stride} pixels")
  return WindowPath(tuple(canvas_size), (stride, stride), stride, kind=kind)


def _check(num_rows: int, num_columns: int) -> None:
  if num_rows < 1 or num_columns < 1:
    raise ValueError(f"the grid is {num_rows} x {num_columns}; expected at least one row and one column")


def _fill(start: Vector, along: Vector, across: Vector) -> Iterator[Vector]:
  """Cells of the rectangle that two vectors span, from the cell `start` to the other end of `along`."""
  length, width = abs(along.sum()), abs(across.sum())
  step, side = np.sign(along), np.sign(across)
  if width == 1 or length == 1:
    one = step if width == 1 else side
    yield from (start + number * one for number in range(max(length, width)))
    return
  half = _half(length, even=length > 2) * step
  if 2 * length > 3 * width:  # long: one part after the other
    yield from _fill(start, half, across)
    yield from _fill(start + half, along - half, across)
    return
  # As Hilbert: away from the side, along it, and back; each part of about the shape of the whole.
  away, plain_half = _half(width, even=width > 2) * side, (length // 2) * step
  yield from _fill(start, away, plain_half)
  yield from _fill(start + away, along, across - away)
  yield from _fill(start + along - step + away - side, -away, plain_half - along)


def _half(size: int, *, even: bool) -> int:
  """Half of a size; an even number of cells, so that what is cut there joins without a diagonal step."""
  half = size // 2
  return half + 1 if even and half % 2 else half
