"""Drawn golf swings: events are where they are defined to be, and pictures show them."""

import itertools

import numpy as np
import pytest
import small_golf

from softloc_jax.data import golf_picture, golf_rendered, golf_swing

EVENTS = np.array([9.0, 20, 24, 32, 36, 39, 42, 55])


def move(seed=0, events=EVENTS):
  rng = np.random.default_rng(seed)
  style = golf_swing.draw_style(rng, "driver")
  return golf_swing.motion(rng, events, 70, style), style


def angles(joints):
  """Degrees above the horizon of the shaft and of the arm, from neck to hands."""
  shaft = joints["club"] - joints["hands"]
  arm = joints["hands"] - joints["neck"]
  rise = [np.degrees(np.arcsin(v[:, 2] / np.linalg.norm(v, axis=1))) for v in (shaft, arm)]
  return rise[0], rise[1]


@pytest.mark.parametrize("seed", range(5))
def test_events_are_where_their_definitions_say(seed):
  joints, _ = move(seed)
  shaft, arm = angles(joints)
  address, toe_up, mid_back, top, mid_down, impact, through, finish = EVENTS.astype(int)
  assert abs(shaft[toe_up]) < 2 and abs(shaft[through]) < 2  # the shaft is level
  assert abs(arm[mid_back]) < 6 and abs(arm[mid_down]) < 6  # the arm is, but for the spine's own movement
  off_ball = np.linalg.norm(joints["club"] - joints["ball"], axis=1)
  assert off_ball[impact] < 0.15 and off_ball[address] < 0.05
  # Backswing away from the target, follow-through towards it.
  assert joints["club"][toe_up, 0] < -0.5 and joints["club"][through, 0] > 0.5
  # At the top the club turns round.
  before, at_top, after = arm[top - 1], arm[top], arm[top + 1]
  assert at_top >= before and at_top >= after
  assert finish > through


def test_nothing_swings_before_address_nor_after_finish():
  joints, style = move()
  speed = np.linalg.norm(np.diff(joints["club"], axis=0), axis=1)
  assert speed[:8].max() < 0.15 * speed.max()
  assert speed[56:].max() < 0.25 * speed.max()
  assert style.height == pytest.approx(1, abs=0.1)


def test_bones_keep_their_lengths():
  joints, style = move()
  for side in ("left", "right"):
    lower = np.linalg.norm(joints[f"{side}_foot"] - joints[f"{side}_knee"], axis=1) / style.height
    assert lower.max() < 1.15 * golf_swing.LOWER_LEG
    upper = np.linalg.norm(joints[f"{side}_elbow"] - joints[f"{side}_shoulder"], axis=1) / style.height
    assert upper.max() < 1.6 * golf_swing.UPPER_ARM  # arms are stretched a little where they would not reach


@pytest.mark.parametrize("events", [EVENTS[:7], EVENTS[[0, 2, 1, 3, 4, 5, 6, 7]]])
def test_refuses_events_out_of_order(events):
  with pytest.raises(ValueError, match="expected 8 frames, each after the one before"):
    move(events=events)


def test_pictures_move_with_the_golfer():
  joints, _ = move()
  rng = np.random.default_rng(1)
  look = golf_picture.draw_look(rng, "face-on")
  frames = golf_picture.render(rng, joints, look, 64)
  assert frames.shape == (70, 64, 64, 3) and frames.dtype == np.uint8
  change = np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=(1, 2, 3))
  # The downswing moves more than the address, whatever the camera does.
  assert change[34:42].mean() > 1.2 * change[:8].mean()


def test_views_differ():
  pictures = []
  for view in golf_picture.AZIMUTHS:
    joints, _ = move()
    rng = np.random.default_rng(1)
    pictures.append(golf_picture.render(rng, joints, golf_picture.draw_look(rng, view), 32)[20].astype(int))
  assert all(np.abs(a - b).mean() > 1 for a, b in itertools.pairwise(pictures))


def test_depends_on_seed_and_id_alone(tmp_path):
  small_golf.write_mat(tmp_path)
  first, second = (golf_rendered.find(tmp_path, side=32) for _ in range(2))
  np.testing.assert_array_equal(golf_rendered.render(first[2]), golf_rendered.render(second[2]))
  other = golf_rendered.find(tmp_path, side=32, seed=1)
  assert (golf_rendered.render(other[2]) != golf_rendered.render(first[2])).mean() > 0.5


def test_swings_of_a_video_have_one_golfer(tmp_path):
  small_golf.write_mat(tmp_path)
  plain, slow, stranger = (
    golf_rendered.render(one)[0].astype(int) for one in golf_rendered.find(tmp_path, side=32)[:3]
  )
  assert np.abs(plain - slow).mean() < np.abs(plain - stranger).mean() / 2


def test_finds_what_can_be_drawn(tmp_path):
  table = small_golf.rows()
  table[3]["events"] = table[3]["events"].copy()
  table[3]["events"][[6, 7]] = table[3]["events"][[7, 6]]  # as one real swing has it
  small_golf.write_mat(tmp_path, table)
  assert [one.id for one in golf_rendered.find(tmp_path)] == ["0000", "0001", "0002", "0004", "0005"]
  assert [one.id for one in golf_rendered.find(tmp_path, most_frames=100)] == ["0000", "0002", "0004", "0005"]
  assert [one.id for one in golf_rendered.find(tmp_path, per_split=1)] == ["0000", "0002", "0004"]
  # 0001 is of the video of 0000, as the test above has it.
  assert [one.id for one in golf_rendered.find(tmp_path, skip_per_split=1)] == ["0005"]


def test_writing_leaves_clips_that_are_there(tmp_path):
  small_golf.write_mat(tmp_path)
  swings = golf_rendered.find(tmp_path, side=32)[:2]
  golf_rendered.write(tmp_path, swings[:1])
  path = tmp_path / "videos_160" / "0.mp4"
  before = path.stat().st_mtime_ns
  golf_rendered.write(tmp_path, swings)
  assert path.stat().st_mtime_ns == before and (tmp_path / "videos_160" / "1.mp4").exists()
