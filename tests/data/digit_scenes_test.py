"""Scenes: every one from its index alone, digits apart and anywhere, blocks along the curve."""

import numpy as np
import pytest

from softloc_jax import hilbert
from softloc_jax.data import digit_scenes, digits
from softloc_jax.data.digit_scenes import DigitScenes


@pytest.fixture(scope="module")
def embedded():
  return digits.embedded("train")


def scenes(source, **settings):
  return DigitScenes("train", source, **{"num_recordings": 40, **settings})


def test_a_scene_is_made_of_its_digits(embedded):
  made = scenes(embedded)
  for index in range(20):
    canvas, corners, labels = made.scene(index)
    assert 1 <= len(labels) <= 5 and canvas.shape == (96, 96) and canvas.dtype == np.float32
    left = canvas.copy()
    for (row, column), label in zip(corners, labels, strict=True):
      picture = canvas[row : row + 28, column : column + 28]
      known = embedded.images[embedded.labels == label] / np.float32(255)
      assert (np.abs(known - picture).max(axis=(1, 2)) < 1e-6).any()
      left[row : row + 28, column : column + 28] = 0
    assert not left.any()
    for a, b in zip(*np.triu_indices(len(corners), 1), strict=True):
      assert np.abs(corners[a] - corners[b]).max() >= 28


def test_events_are_the_blocks_of_the_centres(embedded):
  made = scenes(embedded)
  for index in range(20):
    _, corners, labels = made.scene(index)
    events = made[index].events
    assert sorted(events) == sorted({str(label) for label in labels})
    for (row, column), label in zip(corners + 13.5, labels, strict=True):
      block = made.path.cells[events[str(label)].astype(int)]  # of this digit and others like it
      assert (np.abs(8 * block + 3.5 - [row, column]).max(axis=1) <= 4).any()
    assert sum(map(len, events.values())) == len(labels)


def test_a_scene_depends_on_seed_split_and_index_alone(embedded):
  few, many = scenes(embedded, num_recordings=3), scenes(embedded, num_recordings=10**7)
  np.testing.assert_array_equal(few[2].signal, many[2].signal)
  assert few[2].id == many[2].id == "train-0000002"
  others = [
    many[3],
    scenes(embedded, seed=1)[2],
    DigitScenes("test", embedded, num_recordings=3)[2],
  ]
  assert all(not np.array_equal(few[2].signal, other.signal) for other in others)
  with pytest.raises(IndexError, match="scene 3 of 3"):
    few[3]


def test_every_digit_once(embedded):
  made = scenes(embedded, num_recordings=len(embedded.labels), min_digits=1, max_digits=1, in_order=True)
  shown = [made.scene(index)[2].tolist() for index in range(100)]
  assert shown == embedded.labels[:100, None].tolist()


def test_placements_are_uniform():
  rng = np.random.default_rng(0)
  alone = np.concatenate([digit_scenes.place(rng, 1, (32, 30)) for _ in range(3000)])
  found = np.bincount(alone @ [3, 1], minlength=15)
  assert found.min() > 150 and found.max() < 250  # 200 each
  # Two digits that can only lie side by side: all ways to do so are as frequent.
  pairs = np.stack([digit_scenes.place(rng, 2, (28, 58)) for _ in range(3000)])[..., 1]
  gaps = np.abs(pairs[:, 0] - pairs[:, 1])
  assert set(gaps) == {28, 29, 30}
  np.testing.assert_allclose(np.bincount(gaps - 28) / 3000, [3 / 6, 2 / 6, 1 / 6], atol=0.03)


@pytest.mark.parametrize("kind", ["hilbert", "moore", "boustrophedon"])
def test_the_signal_is_the_canvas_along_the_curve(kind):
  path = hilbert.block_path((32, 64), 8, kind)
  canvas = np.random.default_rng(0).random((32, 64)).astype(np.float32)
  signal = digit_scenes.along(path, canvas)
  row, column = 8 * path.cells[5]
  np.testing.assert_array_equal(signal[5 * 64 : 6 * 64], canvas[row : row + 8, column : column + 8].ravel())
  assert signal.shape == (canvas.size,)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"num_recordings": 0}, "num_recordings is 0 and seed 0; expected at least 1 and 0"),
    ({"min_digits": 4, "max_digits": 2}, "min_digits is 4 and max_digits 2; expected 0 <= min <= max"),
    ({"max_digits": 10}, r"canvas_size is \(96, 96\); expected room for 10 digits of 28 pixels"),
    ({"canvas_size": (20, 96)}, r"canvas_size is \(20, 96\); expected room"),
    ({"canvas_size": (100, 96)}, r"canvas_size is \(100, 96\); expected whole numbers of strides, 8 pixels"),
    ({"curve": "peano"}, "curve is 'peano'"),
  ],
)
def test_settings_that_cannot_be(embedded, settings, message):
  with pytest.raises(ValueError, match=message):
    scenes(embedded, **settings)
