"""Space-filling curves: every cell once, neighbours beside each other, and windows along them."""

import numpy as np
import pytest

from softloc_jax import hilbert
from softloc_jax.hilbert import WindowPath

SIDES = range(1, 20)


def steps_of(cells):
  return np.abs(np.diff(cells, axis=0)).sum(axis=1)


def check_visits_all_once(cells, num_rows, num_columns):
  assert cells.shape == (num_rows * num_columns, 2)
  flat = cells @ np.array([num_columns, 1])
  np.testing.assert_array_equal(np.sort(flat), np.arange(num_rows * num_columns))
  assert (cells >= 0).all() and (cells < [num_rows, num_columns]).all()


@pytest.mark.parametrize("num_rows", SIDES)
def test_any_rectangle_is_filled(num_rows):
  for num_columns in SIDES:
    cells = hilbert.hilbert(num_rows, num_columns)
    check_visits_all_once(cells, num_rows, num_columns)
    np.testing.assert_array_equal(cells[0], [0, 0])
    longer, shorter = max(num_rows, num_columns), min(num_rows, num_columns)
    steps = steps_of(cells)
    assert (np.abs(np.diff(cells, axis=0)).max(initial=0)) <= 1
    assert (steps > 1).sum() <= (longer % 2 == 1 and shorter % 2 == 0)
    if longer % 2 == 0:
      expected = [0, num_columns - 1] if num_columns >= num_rows else [num_rows - 1, 0]
      np.testing.assert_array_equal(cells[-1], expected)


def by_bits(order):
  """The Hilbert curve of a square of side 2^order by the bits of the index, as textbooks have it."""
  cells = []
  for index in range(4**order):
    x = y = 0
    for level in range(order):
      bits = index >> (2 * level)
      right, up = 1 & (bits >> 1), 1 & (bits ^ (bits >> 1))
      if not up:
        if right:
          x, y = 2**level - 1 - x, 2**level - 1 - y
        x, y = y, x
      x, y = x + right * 2**level, y + up * 2**level
    cells.append((x, y))
  return np.array(cells)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_a_power_of_two_gives_hilberts_own_curve(order):
  found, expected = hilbert.hilbert(2**order, 2**order), by_bits(order)
  assert any(np.array_equal(found, one) for one in (expected, expected[:, ::-1]))


def test_what_is_near_on_the_curve_is_near_in_the_image():
  # Within 16 steps a Hilbert curve stays within 8 cells, row by row one gets 16 away.
  hilbert_cells, rows = hilbert.hilbert(32, 32), hilbert.boustrophedon(32, 32)
  far = [np.abs(cells[16:] - cells[:-16]).max() for cells in (hilbert_cells, rows)]
  assert far[0] <= 8 < far[1] == 16


@pytest.mark.parametrize("num_rows", range(2, 21, 2))
def test_moores_curve_closes(num_rows):
  for num_columns in range(2, 21, 2):
    if min(num_rows, num_columns) == 4 and max(num_rows, num_columns) % 4:
      with pytest.raises(ValueError, match="expected a multiple of 4 beside a side of 4"):
        hilbert.moore(num_rows, num_columns)
      continue
    cells = hilbert.moore(num_rows, num_columns)
    check_visits_all_once(cells, num_rows, num_columns)
    assert np.abs(cells[0] - cells[-1]).sum() == 1
    closed = np.concatenate([cells, cells[:1]])
    assert np.abs(np.diff(closed, axis=0)).max() == 1
    assert (steps_of(closed) == 2).sum() <= 4  # one diagonal in each quarter
    if num_rows == num_columns:
      assert (steps_of(closed) == 1).all()


def test_rows_there_and_back():
  cells = hilbert.boustrophedon(4, 7)
  check_visits_all_once(cells, 4, 7)
  assert (steps_of(cells) == 1).all()


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: hilbert.curve("peano", 3, 3), "curve is 'peano'; expected one of hilbert, moore, boustrophedon"),
    (lambda: hilbert.hilbert(0, 3), "the grid is 0 x 3; expected at least one row and one column"),
    (lambda: hilbert.moore(3, 4), "the grid is 3 x 4; expected even sides"),
    (lambda: WindowPath((9, 9), (3, 3), 0), "stride is 0; expected 1 or more"),
    (lambda: hilbert.block_path((8, 8), 0), "stride is 0; expected 1 or more"),
    (
      lambda: WindowPath((9, 9), (3, 0), 1),
      r"is \(3, 0\) and margin \(0, 0\); expected at least",
    ),
    (
      lambda: WindowPath((9, 9), (3, 12), 1),
      r"is \(3, 12\); expected at most the image, \(9, 9\)",
    ),
    (lambda: WindowPath((9, 9), (3, 3), 3, kind="peano"), "curve is 'peano'"),
    (lambda: WindowPath((9, 9), (3, 3), 3).windows(np.zeros((8, 9))), r"is \(8, 9\); expected \(9, 9\)"),
  ],
)
def test_what_cannot_be_is_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize("kind", ["hilbert", "boustrophedon"])
@pytest.mark.parametrize("margin", [(0, 0), (4, 2)])
def test_windows_lie_around_their_centres(kind, margin):
  path = WindowPath((40, 56), (9, 5), 4, margin=margin, kind=kind)
  image = np.stack(np.mgrid[:40, :56], axis=-1).astype(float) + 1  # a pixel says where it is, and 0 is beyond
  windows = path.windows(image)
  assert windows.shape == (len(path), 9, 5, 2) == (np.prod(path.grid_size), 9, 5, 2)
  inside = (path.centres >= 0).all(axis=1) & (path.centres < (40, 56)).all(axis=1)
  assert inside.all()
  np.testing.assert_array_equal(windows[:, 4, 2] - 1, path.centres)
  np.testing.assert_array_equal(path.nearest(path.centres + np.array([1.4, -1.4])), np.arange(len(path)))
  beyond = (windows == 0).any()
  assert beyond == (margin != (0, 0))


def test_the_order_reads_a_grid_along_the_curve():
  path = WindowPath((24, 40), (8, 8), 8)
  grid = np.arange(15).reshape(3, 5)
  np.testing.assert_array_equal(grid.reshape(-1)[path.order], grid[tuple(path.cells.T)])
