"""Videos: written and read back, probed, fitted into squares."""

import struct

import numpy as np
import pytest

from softloc_jax.data import video_files


@pytest.fixture
def frames():
  """Each of one colour, which compression keeps."""
  levels = np.linspace(20, 230, 12).astype(np.uint8)
  return np.broadcast_to(levels[:, None, None, None], (12, 32, 48, 3)).copy()


def test_round_trip(tmp_path, frames):
  path = tmp_path / "a.mp4"
  video_files.write(path, frames, rate_hz=25)
  assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]  # and nothing temporary
  info = video_files.probe(path)
  assert (info.num_frames, info.height, info.width, info.is_even) == (12, 32, 48, True)
  assert info.rate_hz == pytest.approx(25)
  np.testing.assert_allclose(video_files.read(path), frames, atol=4)
  np.testing.assert_allclose(video_files.read(path, first=3, num_frames=4), frames[3:7], atol=4)


def test_rates_that_are_no_whole_numbers(tmp_path, frames):
  video_files.write(tmp_path / "a.mp4", frames, rate_hz=29.97)
  assert video_files.probe(tmp_path / "a.mp4").rate_hz == pytest.approx(29.97, rel=1e-3)


def test_fits_into_squares(tmp_path, frames):
  video_files.write(tmp_path / "a.mp4", frames, rate_hz=25)
  square = video_files.read(tmp_path / "a.mp4", square=24, bbox=(0.0, 0.0, 1.0, 1.0))
  assert square.shape == (12, 24, 24, 3)
  np.testing.assert_array_equal(square[:, :4], np.broadcast_to((124, 116, 104), (12, 4, 24, 3)))
  np.testing.assert_allclose(square[:, 5:19], frames[:, :14, :24], atol=6)


def test_what_cannot_be_read(tmp_path, frames):
  with pytest.raises(FileNotFoundError, match=r"none.mp4: no such file; expected a video"):
    video_files.read(tmp_path / "none.mp4")
  (tmp_path / "text.mp4").write_text("no video at all")
  with pytest.raises(ValueError, match=r"text.mp4: unreadable after 0 frames"):
    video_files.probe(tmp_path / "text.mp4")
  video_files.write(tmp_path / "a.mp4", frames, rate_hz=25)
  with pytest.raises(ValueError, match="12 frames; expected 14"):
    video_files.read(tmp_path / "a.mp4", first=10, num_frames=4)


def turned(path, matrix):
  """A video whose header says how to turn its frames: `x' = ax + cy, y' = bx + dy`."""
  data = bytearray(path.read_bytes())
  start = data.index(b"tkhd") + 44  # behind version, times, number, duration, layer, group and volume
  a, b, c, d = (round(65536 * value) for value in matrix)
  data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
  path.write_bytes(data)
  return path


@pytest.mark.parametrize(
  ("matrix", "corner"),  # where what is stored in the upper left corner is to be seen
  [((1, 0, 0, 1), (0, 0)), ((0, 1, -1, 0), (0, 1)), ((-1, 0, 0, -1), (1, 1)), ((0, -1, 1, 0), (1, 0))],
)
def test_frames_are_upright(tmp_path, frames, matrix, corner):
  frames[:] = 60
  frames[:, :16, :16] = 220
  video_files.write(tmp_path / "a.mp4", frames, rate_hz=25)
  path = turned(tmp_path / "a.mp4", matrix)
  info, read = video_files.probe(path), video_files.read(path)
  assert read.shape == (12, info.height, info.width, 3)
  assert (info.height, info.width) == ((32, 48) if matrix[0] else (48, 32))
  bright = {at for at in np.ndindex(2, 2) if read[0, -at[0], -at[1], 0] > 150}
  assert bright == {corner}
  row, column = corner  # boxes are of the upright frame
  box = video_files.read(path, square=16, bbox=(2 * column / 3, 2 * row / 3, 0.3, 0.3))
  assert box[0, 8, 8, 0] > 150


def test_frames_at_an_angle_are_refused(tmp_path, frames):
  video_files.write(tmp_path / "a.mp4", frames, rate_hz=25)
  half = 0.5**0.5
  path = turned(tmp_path / "a.mp4", (half, half, -half, half))
  for look in (video_files.probe, video_files.read):
    with pytest.raises(ValueError, match=r"a.mp4: .* turned by -45 degrees; expected a multiple of 90"):
      look(path)


@pytest.mark.parametrize(
  ("bad", "message"),
  [
    (np.zeros((3, 8, 8, 3)), r"frames are float64 .*; expected uint8"),
    (np.zeros((3, 8, 8), np.uint8), "expected uint8"),
    (np.zeros((3, 7, 8, 3), np.uint8), "7 x 8 pixels; expected even numbers"),
  ],
)
def test_frames_that_cannot_be_written(tmp_path, bad, message):
  with pytest.raises(ValueError, match=message):
    video_files.write(tmp_path / "a.mp4", bad, rate_hz=25)
  assert not list(tmp_path.iterdir())


def test_a_real_clip(shared_data):
  info = video_files.probe(shared_data("golfdb") / "test_video.mp4")
  assert (info.num_frames, info.height, info.width, info.is_even) == (264, 492, 354, True)
  assert info.rate_hz == pytest.approx(29.97, rel=1e-3)
