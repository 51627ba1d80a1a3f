"""Mirrored and warped clips."""

import jax
import numpy as np
import pytest

from softloc_jax import augment, features, input_pipeline, video_augment

EXTRACTOR = features.VideoFrames(frame_size=(16, 12))


def batch(size=4, num_frames=3):
  pixels = np.random.default_rng(0).integers(0, 256, (size, num_frames, 16 * 12 * 3))
  return {"signal": pixels.astype(np.uint8)}


def frames(signal):
  return np.asarray(signal).reshape(*signal.shape[:2], 16, 12, 3)


def test_flip_mirrors_whole_clips():
  clips = batch(64)
  found = frames(video_augment.flip(jax.random.key(0), clips, extractor=EXTRACTOR)["signal"])
  given = frames(clips["signal"])
  same = (found == given).all(axis=(1, 2, 3, 4))
  mirrored = (found == given[:, :, :, ::-1]).all(axis=(1, 2, 3, 4))
  assert (same ^ mirrored).all() and 20 < same.sum() < 44 and found.dtype == np.uint8


def test_no_warp_changes_nothing():
  clips = batch()
  found = video_augment.warp(jax.random.key(0), clips, extractor=EXTRACTOR, rotation_deg=0.0, shear_deg=0.0)
  np.testing.assert_allclose(found["signal"], clips["signal"], atol=1e-3)


def test_warp_turns_about_the_centre():
  extractor = features.VideoFrames(frame_size=(33, 33))
  picture = np.zeros((1, 1, 33, 33, 3), np.uint8)
  picture[0, 0, 16, 26] = 255  # ten pixels right of the centre
  turned = set()
  for seed in range(8):
    found = video_augment.warp(
      jax.random.key(seed),
      {"signal": picture.reshape(1, 1, -1)},
      extractor=extractor,
      rotation_deg=45.0,
      shear_deg=0.0,
    )
    where = np.asarray(found["signal"]).reshape(33, 33, 3)[4:-4, 4:-4, 0]
    inside = np.where(where > 130, where, 0)  # more than the border's colour
    if inside.sum():
      row, column = np.unravel_index(inside.argmax(), inside.shape)
      assert np.hypot(row + 4 - 16, column + 4 - 16) == pytest.approx(10, abs=1)
      turned.add((int(row), int(column)))
  assert len(turned) >= 3


def test_shear_leans_rows():
  extractor = features.VideoFrames(frame_size=(33, 33))
  picture = np.zeros((33, 33, 3), np.uint8)
  picture[:, 16] = 255  # an upright line
  found = video_augment.warp(
    jax.random.key(3),
    {"signal": picture.reshape(1, 1, -1)},
    extractor=extractor,
    rotation_deg=0.0,
    shear_deg=30.0,
  )
  line = np.asarray(found["signal"]).reshape(33, 33, 3)[:, 6:-6, 0].argmax(axis=1)
  slope = np.polyfit(np.arange(33), line, 1)[0]
  assert 0.05 < abs(slope) < np.tan(np.radians(31))
  assert abs(line[16] + 6 - 16) <= 1  # the middle row stays


def test_by_config():
  windows = input_pipeline.Windows(3, 3, 0, segments=False)
  config = {"flip": {}, "warp": {"rotation_deg": 5.0, "shear_deg": 5.0}}
  augmentation = augment.from_config(config, EXTRACTOR, windows, ("hit",))
  found = augmentation(jax.random.key(0), batch())
  assert found["signal"].shape == (4, 3, 16 * 12 * 3)
  with pytest.raises(
    ValueError, match="augment has 'gain', which the features, VideoFrames, are not made for"
  ):
    augment.from_config({"gain": {"range_db": (-1.0, 1.0)}}, EXTRACTOR, windows, ("hit",))
  with pytest.raises(ValueError, match="augment has 'flip', which the features, SignalFrames"):
    augment.from_config({"flip": {}}, features.SignalFrames(100.0), windows, ("hit",))
  with pytest.raises(ValueError, match=r"augment.warp has rotation_deg; expected rotation_deg, shear_deg"):
    augment.from_config({"warp": {"rotation_deg": 5.0}}, EXTRACTOR, windows, ("hit",))
