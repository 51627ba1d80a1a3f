"""Scenes: every one from its index alone, digits apart and anywhere, blocks along the curve."""

import numpy as np
import pytest

from configs.weak import digits as digits_config
from softloc_jax import data, hilbert
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


def test_scenes_are_a_sequence(embedded):
  made = scenes(embedded, num_recordings=5)
  assert [one.id for one in made[3:]] == [made[3].id, made[-1].id]
  assert [one.id for one in made[::-2]] == ["train-0000004", "train-0000002", "train-0000000"]
  for index in (5, -6):
    with pytest.raises(IndexError, match=r"of 5"):
      made[index]


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


def test_more_digits_have_room_on_a_larger_canvas(embedded):
  made = scenes(embedded, canvas_size=(128, 128), min_digits=6, max_digits=6, num_recordings=30)
  for index in range(30):
    _, corners, _ = made.scene(index)
    apart = np.abs(corners[:, None] - corners).max(axis=-1)
    assert (apart + 28 * np.eye(6) >= 28).all()


def test_distortion_changes_how_digits_look_and_nothing_else(embedded):
  plain, made = scenes(embedded), scenes(embedded, distortion=0.1)
  for index in range(20):
    (canvas, corners, labels), (changed, *where_and_what) = plain.scene(index), made.scene(index)
    np.testing.assert_array_equal(corners, where_and_what[0])
    np.testing.assert_array_equal(labels, where_and_what[1])
    for row, column in corners:
      before, after = (one[row : row + 28, column : column + 28] for one in (canvas, changed))
      assert 0.05 < np.abs(before - after).max() <= 1
      assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.5
      changed[row : row + 28, column : column + 28] = 0
    assert not changed.any()


class Normal:
  """Gives the numbers that it has as those of a standard normal distribution."""

  def __init__(self, numbers):
    self.numbers = np.array(numbers, float)

  def standard_normal(self, shape):
    return self.numbers.reshape(shape)


def test_a_distorted_picture_is_read_through_the_map():
  rows, columns = np.mgrid[:28, :28] - 13.5
  blob = np.exp(-((rows / 5) ** 2 + (columns / 2) ** 2))
  np.testing.assert_allclose(digit_scenes.distorted(Normal([0, 0, 0, 0]), blob, 0.1), blob, atol=1e-12)
  # Rows are read 1.2 times as fast, so it is that much lower; draws beyond two deviations count as two.
  for draw in (2, 5):
    lower = digit_scenes.distorted(Normal([draw, 0, 0, 0]), blob, 0.1)
    np.testing.assert_allclose(lower, np.exp(-((1.2 * rows / 5) ** 2 + (columns / 2) ** 2)), atol=0.03)
  sheared = digit_scenes.distorted(Normal([0, 0, 1, 0]), blob, 0.1)
  np.testing.assert_allclose(
    sheared, np.exp(-((rows / 5) ** 2 + ((columns + 0.1 * rows) / 2) ** 2)), atol=0.05
  )


def test_only_what_is_learned_from_is_distorted():
  config = digits_config.get_config("embedded").data
  plain = data.load(config)
  with config.unlocked():
    config.distortion = 0.1
  parts = data.load(config)
  assert not np.array_equal(parts["train"][0].signal, plain["train"][0].signal)
  for split in ("validation", "test"):
    np.testing.assert_array_equal(parts[split][0].signal, plain[split][0].signal)


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
    ({"max_digits": 6}, r"canvas_size is \(96, 96\); expected room for 6 digits of 28 pixels at random"),
    ({"max_digits": 10}, r"canvas_size is \(96, 96\); expected room for 10 digits of 28 pixels"),
    ({"canvas_size": (20, 96)}, r"canvas_size is \(20, 96\); expected room"),
    ({"canvas_size": (100, 96)}, r"canvas_size is \(100, 96\); expected whole numbers of strides, 8 pixels"),
    ({"distortion": 0.5}, "distortion is 0.5; expected 0 to 0.2"),
    ({"curve": "peano"}, "curve is 'peano'"),
  ],
)
def test_settings_that_cannot_be(embedded, settings, message):
  with pytest.raises(ValueError, match=message):
    scenes(embedded, **settings)
