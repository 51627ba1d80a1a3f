"""GolfDB: annotations, clips that fit them or do not, cutting from raw videos, folds."""

import numpy as np
import pytest
import small_golf

from softloc_jax.data import golf_rendered, golfdb, video_files


def noise_clip(num_frames, height=160, width=160, seed=0):
  coarse = np.random.default_rng(seed).integers(0, 256, (num_frames, height // 8, width // 8, 3))
  return coarse.repeat(8, 1).repeat(8, 2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
  small_golf.write_mat(tmp_path)
  golf_rendered.write(tmp_path, golf_rendered.find(tmp_path, side=32)[:3])
  return tmp_path


def test_mat_and_pickle_say_the_same(tmp_path):
  (tmp_path / "mat").mkdir()
  (tmp_path / "pkl").mkdir()
  small_golf.write_mat(tmp_path / "mat")
  small_golf.write_pickle(tmp_path / "pkl")
  for a, b in zip(golfdb.annotations(tmp_path / "mat"), golfdb.annotations(tmp_path / "pkl"), strict=True):
    assert (a.id, a.youtube_id, a.club, a.view, a.is_slow, a.split) == (
      *(b.id, b.youtube_id, b.club, b.view, b.is_slow, b.split),
    )
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_allclose(a.bbox, b.bbox)


def test_events_are_counted_from_the_first_frame_of_the_clip(tmp_path):
  small_golf.write_mat(tmp_path)
  plain, slow = golfdb.annotations(tmp_path)[:2]
  np.testing.assert_array_equal(plain.events, small_golf.EVENTS[1:-1] - 11)
  assert plain.num_frames == 70 and slow.num_frames == 139 and slow.is_slow


def test_real_annotations(shared_data):
  real = shared_data("golfdb")
  from_mat, from_pickle = (
    reader(real / name)
    for reader, name in (
      (golfdb._read_mat, "golfDB.mat"),
      (golfdb._read_pickle, "golfDB.pkl"),
    )
  )
  assert len(from_mat) == len(from_pickle) == 1400
  for a, b in zip(from_mat, from_pickle, strict=True):
    assert (
      int(a["id"]) == int(b["id"])
      and a["youtube_id"] == b["youtube_id"]
      and int(a["split"]) == int(b["split"])
    )
    np.testing.assert_array_equal(a["events"], b["events"])
  swings = golfdb.annotations(real)
  assert [sum(one.split == fold for one in swings) for fold in (1, 2, 3, 4)] == [350] * 4
  # The lengths of the clips that a trained SwingNet has seen are those that the annotations give.
  with np.load(real / "swingnet_split1_probs.npz") as seen:
    by_id = {int(one.id): one for one in swings}
    for id_, length, events in zip(seen["ids"], seen["lengths"], seen["events"], strict=True):
      assert by_id[id_].num_frames == length and by_id[id_].split == 1
      np.testing.assert_array_equal(by_id[id_].events, events)


def test_reads_clips(folder):
  (folder / golfdb.CLIPS_FOLDER / "._0.mp4").touch()  # which macOS puts beside others
  swings = golfdb.find(folder)
  assert [one.id for one in swings] == ["0000", "0001", "0002"]
  golfdb.refuse_problems(swings)
  recording = golfdb.read(swings[0])
  assert recording.signal.dtype == np.uint8 and recording.signal.shape == (70, 32 * 32 * 3)
  assert recording.sample_rate_hz == 1.0 and list(recording.events) == list(golfdb.CLASSES)
  assert [recording.times_s(name)[0] for name in golfdb.CLASSES] == (small_golf.EVENTS[1:-1] - 11).tolist()
  drawn = golf_rendered.render(golf_rendered.find(folder, side=32)[0]).reshape(70, -1)
  assert np.abs(recording.signal.astype(int) - drawn).mean() < 12  # but for the compression


def test_all_clips_that_do_not_fit_are_listed(folder):
  clips = folder / golfdb.CLIPS_FOLDER
  video_files.write(clips / "0.mp4", noise_clip(69), rate_hz=30)
  (clips / "2.mp4").write_bytes(b"not a video")
  swings = golfdb.find(folder)
  with pytest.raises(ValueError, match="2 clips do not fit their annotations") as error:
    golfdb.refuse_problems(swings)
  assert "0.mp4: 69 frames; expected 70" in str(error.value) and "2.mp4: unreadable" in str(error.value)
  with pytest.raises(ValueError, match="69 frames; expected 70"):
    golfdb.read(swings[0])


def test_says_how_many_swings_have_no_clip(folder, caplog):
  golfdb.find(folder)
  assert f"{folder}: 3 of 6 annotated swings have a clip or video" in caplog.text


def test_one_video_file_of_each_swing(tmp_path):
  small_golf.write_mat(tmp_path)
  (tmp_path / golfdb.RAW_FOLDER).mkdir()
  for name in ("aaa.MP4", "aaa.webp", "aaa.info.json"):  # with its thumbnail, as downloaders leave it
    (tmp_path / golfdb.RAW_FOLDER / name).write_bytes(b"")
  assert golfdb.find(tmp_path)[0].raw.name == "aaa.MP4"
  (tmp_path / golfdb.RAW_FOLDER / "aaa.mkv").write_bytes(b"")
  with pytest.raises(ValueError, match=r"aaa.mkv: there is aaa.MP4 too; expected one file of a video"):
    golfdb.find(tmp_path)


def test_a_clip_of_uneven_frames_is_refused(folder):
  import av

  path = folder / golfdb.CLIPS_FOLDER / "0.mp4"
  frames = noise_clip(70, 32, 32)
  with av.open(str(path), "w") as container:
    stream = container.add_stream("libx264", rate=30)
    stream.height = stream.width = 32
    stream.pix_fmt = "yuv420p"
    for number, pixels in enumerate(frames):
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      frame.pts = number if number < 40 else number + 25  # as if frames had been lost
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  assert "not equally far apart" in golfdb.problem(golfdb.find(folder)[0])


def test_a_clip_of_another_rate_than_its_video_is_refused(folder):
  (folder / golfdb.RAW_FOLDER).mkdir()
  video_files.write(folder / golfdb.RAW_FOLDER / "aaa.mp4", noise_clip(170), rate_hz=25)
  found = golfdb.find(folder)
  assert "30.00 frames per second; expected 25.00" in golfdb.problem(found[0])


def test_cuts_clips_from_raw_videos(tmp_path):
  small_golf.write_mat(tmp_path)
  (tmp_path / golfdb.RAW_FOLDER).mkdir()
  raw = noise_clip(90, 96, 160)
  video_files.write(tmp_path / golfdb.RAW_FOLDER / "aaa.mp4", raw, rate_hz=30, quality=1)
  with pytest.raises(ValueError, match=r"90 frames; expected 151 or more"):
    golfdb.refuse_problems(golfdb.find(tmp_path))  # of the other swing of this video
  swing = golfdb.find(tmp_path)[0]
  assert swing.clip is None and not golfdb.problem(swing)
  clip = golfdb.cut(swing, side=96)
  assert clip.shape == (70, 96, 96, 3)
  # The box is 80 wide and 96 high: 8 columns on each side are border.
  np.testing.assert_array_equal(clip[:, :, :8], np.broadcast_to((124, 116, 104), (70, 96, 8, 3)))
  # The first frame of the clip is the eleventh of the video, as frames are counted from 1.
  expected = raw[10, :, 40:120].astype(int)
  assert np.abs(clip[0, :, 8:88] - expected).mean() < 20
  assert np.abs(clip[1, :, 8:88] - expected).mean() > 60


def test_folds_keep_videos_together(tmp_path):
  small_golf.write_mat(tmp_path)
  swings = golfdb.annotations(tmp_path)
  parts = golfdb.folds(swings, 2, held_out=0.3)
  assert [one.id for one in parts["test"]] == ["0002", "0005"]
  videos = {name: {one.youtube_id for one in some} for name, some in parts.items()}
  assert not videos["train"] & videos["validation"] and parts["validation"]
  assert sum(map(len, parts.values())) == len(swings)
  with pytest.raises(ValueError, match="test_split is 5; expected 1 to 4"):
    golfdb.folds(swings, 5)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"events": np.arange(9)}, r"row 1 has events .*; expected 10 frames"),
    ({"events": small_golf.EVENTS[::-1].copy()}, "row 1 has events"),
    ({"bbox": np.array([0.0, 0.0, 1.5, 1.0])}, "row 1 has bbox"),
    ({"bbox": np.array([0.2, 0.2, 0.0, 0.5])}, r"row 1 has bbox .* expected left, top, width and height"),
    ({"bbox": np.array([0.5, 0.0, 0.6, 1.0])}, "row 1 has bbox"),
    ({"id": 0}, "rows 0 and 1 have the id 0000; expected one of each"),
    ({"split": 7}, "row 1 has split 7; expected 1 to 4"),
  ],
)
def test_rows_that_make_no_sense(tmp_path, change, message):
  table = small_golf.rows()
  table[1] |= change
  small_golf.write_mat(tmp_path, table)
  with pytest.raises(ValueError, match=message):
    golfdb.annotations(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("write", [small_golf.write_mat, small_golf.write_pickle])
def test_broken_annotations(tmp_path, write, kept):
  path = write(tmp_path)
  data = path.read_bytes()
  path.write_bytes(data[: round(kept * len(data))])
  with pytest.raises(ValueError, match=rf"{path.name}: cannot be read \(.*\); expected GolfDB's table"):
    golfdb.annotations(tmp_path)


def test_annotations_of_something_else(tmp_path):
  (tmp_path / "golfDB.mat").write_text("<html>sign in to download this file, please</html>" * 10)
  with pytest.raises(ValueError, match=r"golfDB.mat: cannot be read"):
    golfdb.annotations(tmp_path)


def test_a_box_of_less_than_a_pixel(tmp_path):
  table = small_golf.rows()
  table[0]["bbox"] = np.array([0.5, 0.5, 0.001, 0.001])
  small_golf.write_mat(tmp_path, table)
  (tmp_path / golfdb.RAW_FOLDER).mkdir()
  video_files.write(tmp_path / golfdb.RAW_FOLDER / "aaa.mp4", noise_clip(160, 32, 32), rate_hz=30)
  with pytest.raises(ValueError, match=r"aaa.mp4: bbox .* of 32 x 32 pixels; expected a pixel or more"):
    golfdb.refuse_problems(golfdb.find(tmp_path))


def test_missing_files(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"neither golfDB.mat nor golfDB.pkl"):
    golfdb.find(tmp_path)
  small_golf.write_mat(tmp_path)
  with pytest.raises(FileNotFoundError, match=r"no clip videos_160/<id>.mp4 and no video"):
    golfdb.find(tmp_path)
  (tmp_path / golfdb.CLIPS_FOLDER).mkdir()
  (tmp_path / golfdb.CLIPS_FOLDER / "77.mp4").write_bytes(b"")
  with pytest.raises(ValueError, match="no annotation has this id; expected one of the 6"):
    golfdb.find(tmp_path)
