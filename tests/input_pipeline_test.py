"""Crops, their windows, labels and counts; batches over processes; saved positions."""

import collections.abc
import logging

from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import events, features, input_pipeline
from softloc_jax.data.recording import Recording

RATE_HZ = 100.0
EXTRACTOR = features.SignalFrames(RATE_HZ)
CLASSES = ("KD", "SD")
_RECORDING_SIZE = 10_000


def make_recording(number=0, num_samples=700, num_events=40, **changes):
  """Sample n of recording r has the value 10000 r + n + 1, so that a crop shows where it comes from."""
  rng = np.random.default_rng((1, number))
  times_s = {label: np.sort(rng.uniform(0, num_samples / RATE_HZ, num_events)) for label in CLASSES}
  signal = number * _RECORDING_SIZE + np.arange(1, num_samples + 1, dtype=np.float32)
  return Recording(f"take {number}", signal, RATE_HZ, times_s).replace(**changes)


def make_windows(min_frames=50, max_frames=120, context_frames=30, segments=False):
  return input_pipeline.Windows(min_frames, max_frames, context_frames, segments)


def make_crops(recordings, windows=None, seed=0):
  return input_pipeline.Crops(recordings, CLASSES, EXTRACTOR, windows or make_windows(), seed)


def place_of(crop):
  """What the crop's signal and mask say: recording, first frame of the crop, and the window [start, stop)."""
  shown = np.flatnonzero(crop["signal"][:, 0])
  number, sample = divmod(int(crop["signal"][shown[0], 0]) - 1, _RECORDING_SIZE)
  origin = sample - int(shown[0])
  inside = np.flatnonzero(crop["where"])
  assert (np.diff(inside) == 1).all()
  return number, origin, origin + int(inside[0]), origin + int(inside[-1]) + 1


@pytest.mark.parametrize("segments", [False, True])
def test_signal_labels_and_counts_are_of_one_place(segments):
  recording = make_recording(num_events=150)  # enough for some to share a frame
  windows = make_windows(segments=segments)
  crops, total_collisions = make_crops([recording], windows), 0
  for index in range(200):
    crop = crops(index)
    _, origin, start, stop = place_of(crop)
    assert 0 <= start < stop <= 700
    position = np.arange(origin, origin + windows.crop_frames)
    expected = np.where((position >= 0) & (position < 700), position + 1, 0)
    np.testing.assert_array_equal(crop["signal"], expected[:, None].astype(np.float32))
    assert not crop["labels"][~crop["where"]].any()
    for column, name in enumerate(CLASSES):
      frames = np.minimum(events.seconds_to_frames(recording.times_s(name), RATE_HZ), 699)
      inside = frames[(frames >= start) & (frames < stop)]
      np.testing.assert_array_equal(np.flatnonzero(crop["labels"][:, column]), np.unique(inside) - origin)
      assert crop["counts"][column] == len(inside)
      collisions = len(inside) - len(np.unique(inside))
      assert (crop["labels"][:, column] * crop["where"]).sum() == crop["counts"][column] - collisions
      total_collisions += collisions
  assert total_collisions > 0


def test_a_crop_depends_on_seed_and_index_alone():
  recordings = [make_recording(0), make_recording(1, 330, 20)]
  crops, again, other = (make_crops(recordings, seed=seed) for seed in (3, 3, 4))
  for index in (5, 0, 17):
    first, second = crops(index), again(index)
    assert all(np.array_equal(first[key], second[key]) for key in first)
  assert any(not np.array_equal(crops(i)["signal"], other(i)["signal"]) for i in range(5))
  assert any(not np.array_equal(crops(0)["signal"], crops(i)["signal"]) for i in range(1, 5))


def test_random_windows_have_every_length_and_lie_anywhere():
  crops = make_crops([make_recording(0, 300), make_recording(1, 200)], make_windows(50, 60))
  lengths, covered = set(), {0: np.zeros(300, int), 1: np.zeros(200, int)}
  for index in range(3_000):
    number, _, start, stop = place_of(crops(index))
    covered[number][start:stop] += 1
    lengths.add(stop - start)
  assert lengths == set(range(50, 61))
  assert covered[0].min() > 0 and covered[1].min() > 0
  # Away from the ends all moments are alike, in the short recording as in the long one.
  middle = np.concatenate([covered[0][60:-60], covered[1][60:-60]])
  assert middle.max() < 2 * middle.min()


def test_borders_are_looked_for_where_no_label_is_near():
  recording = make_recording(events={"KD": np.arange(0.5, 7.0), "SD": np.arange(0.6, 7.0)})
  windows = input_pipeline.Windows(80, 160, 30, False, border_search_frames=50)
  labels = np.sort(np.concatenate([np.arange(50, 700, 100), np.arange(60, 700, 100)]))
  starts, lengths = [], set()
  crops = make_crops([recording], windows)
  for index in range(300):
    crop = crops(index)
    _, origin, start, stop = place_of(crop)
    assert 0 <= start < stop <= 700 and 80 <= stop - start <= 160
    assert start - origin >= 30 and stop - origin <= windows.crop_frames - 30
    starts.append(start)
    lengths.add(stop - start)
  inner = np.array([start for start in starts if 100 <= start <= 600])
  # The gaps are 90 frames wide: their middle is 45 frames from the labels on either side.
  distance = np.abs(inner[:, None] - labels - 0.5).min(axis=1)
  assert (distance > 40).all() and len(inner) > 100
  assert set(starts) & set(range(100)) and len(lengths) > 2


def test_the_place_of_the_window_in_the_crop_says_nothing():
  windows = make_windows(50, 120, context_frames=30)
  crops = make_crops([make_recording()], windows)
  shares = []
  for index in range(2_000):
    _, origin, start, stop = place_of(crops(index))
    assert start - origin >= 30 and stop - origin <= windows.crop_frames - 30
    if stop - start <= 100:
      shares.append((start - origin - 30) / (120 - (stop - start)))
  assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
  assert np.quantile(shares, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def test_segments_hold_every_frame_and_event_exactly_once():
  recordings = [make_recording(0), make_recording(1, 330, 20), make_recording(2, 20, 2)]
  at_end = {name: np.append(recordings[0].times_s(name), 7.0) for name in CLASSES}
  recordings[0] = recordings[0].replace(events=at_end)  # after the centre of the last frame
  crops = make_crops(recordings, make_windows(50, 60, segments=True))
  drawn = {}
  for index in range(600):
    crop = crops(index)
    number, _, start, stop = place_of(crop)
    drawn[number, start, stop] = crop["counts"]
  for number, recording in enumerate(recordings):
    bounds = sorted((start, stop) for one, start, stop in drawn if one == number)
    assert bounds[0][0] == 0 and bounds[-1][1] == len(recording.signal)
    assert [start for start, _ in bounds[1:]] == [stop for _, stop in bounds[:-1]]
    assert all(50 <= stop - start <= 60 for start, stop in bounds[:-1])
    counted = sum(drawn[number, *pair] for pair in bounds)
    assert counted.tolist() == [len(recording.times_s(name)) for name in CLASSES]


def test_segments_depend_on_the_seed_and_not_on_the_other_recordings():
  def bounds(recordings, seed):
    crops = make_crops(recordings, make_windows(50, 60, segments=True), seed)
    return {place_of(crops(i))[2:] for i in range(300) if place_of(crops(i))[0] == 0}

  both, alone = [make_recording(1), make_recording(0)], [make_recording(0)]
  assert bounds(both, 0) == bounds(alone, 0)
  assert bounds(alone, 0) != bounds(alone, 1)


@pytest.mark.parametrize("segments", [False, True])
def test_a_recording_shorter_than_a_window_is_its_own_window(segments):
  crops = make_crops([make_recording(0, 20, 5)], make_windows(50, 120, segments=segments))
  for index in range(20):
    crop = crops(index)
    assert place_of(crop)[2:] == (0, 20)
    assert np.count_nonzero(crop["signal"]) == 20
    assert crop["counts"].tolist() == [5, 5]


def test_an_event_after_the_last_frame_is_counted_in_it():
  recording = make_recording(num_samples=70, events={"KD": [0.696, 0.7]})
  crops = make_crops([recording], make_windows(50, 60))
  ends = [crop for crop in map(crops, range(200)) if place_of(crop)[3] == 70]
  assert ends and all(crop["counts"].tolist() == [2, 0] for crop in ends)


def test_classes_that_were_not_annotated_are_marked():
  recordings = [make_recording(0, labelled={"SD": False}), make_recording(1)]
  crops = make_crops(recordings)
  seen = {place_of(crop)[0]: crop["labelled"].tolist() for crop in map(crops, range(50))}
  assert seen == {0: [True, False], 1: [True, True]}


def test_a_crop_of_audio_has_the_features_of_the_whole_recording():
  extractor = features.LogMel(sample_rate_hz=8_000, hop_samples=80, window_samples=200, num_mels=8)
  rng = np.random.default_rng(0)
  recording = Recording("noise", rng.standard_normal(16_000).astype(np.float32), 8_000, {"KD": [1.0]})
  whole = np.asarray(extractor(input_pipeline.cut_signal(recording.signal, *extractor.sample_range(0, 200))))
  crops = input_pipeline.Crops([recording], ("KD",), extractor, make_windows(50, 60, 10), 0)
  for crop in map(crops, range(8)):
    found = np.asarray(extractor(crop["signal"]))
    assert found.shape[0] == len(crop["where"])
    inside = found[crop["where"]]
    distance = [np.abs(whole[i : i + len(inside)] - inside).max() for i in range(201 - len(inside))]
    start = int(np.argmin(distance))
    assert distance[start] < 1e-5
    # ... and the labels are those of that place: the event is in frame 100.
    assert (
      np.flatnonzero(crop["labels"][crop["where"], 0]).tolist() == [100 - start][: int(crop["counts"][0])]
    )


def test_cut_signal_beyond_either_end():
  signal = np.arange(1.0, 6.0)
  assert input_pipeline.cut_signal(signal, -2, 4)[:, 0].tolist() == [0, 0, 1, 2]
  assert input_pipeline.cut_signal(signal, 3, 4)[:, 0].tolist() == [4, 5, 0, 0]
  assert input_pipeline.cut_signal(signal, 9, 2)[:, 0].tolist() == [0, 0]
  assert input_pipeline.cut_signal(signal, -9, 2)[:, 0].tolist() == [0, 0]
  assert input_pipeline.cut_signal(np.ones((5, 3)), 1, 2).shape == (2, 3)


def test_windows_from_seconds():
  config = ConfigDict(
    {"min_s": 0.5, "max_s": 1.25, "context_s": 0.0, "segments": True, "border_search_s": 0.1}
  )
  windows = input_pipeline.Windows.from_config(config, 100.0)
  assert windows == input_pipeline.Windows(50, 125, 0, True, 10)
  assert windows.crop_frames == 125
  with pytest.raises(ValueError, match="125 to 50 frames; expected 1 <= min <= max"):
    input_pipeline.Windows.from_config(ConfigDict(dict(config, min_s=1.25, max_s=0.5)), 100.0)
  with pytest.raises(ValueError, match="context_frames is -10; expected 0 or more"):
    input_pipeline.Windows.from_config(ConfigDict(dict(config, context_s=-0.1)), 100.0)


class MadeWhenAsked(collections.abc.Sequence):
  """A million recordings, of which only those that are drawn exist."""

  def __init__(self):
    self.made = []

  def __len__(self):
    return 1_000_000

  def __getitem__(self, number):
    self.made.append(number)
    return make_recording(number % 100, labelled={"SD": False})


def test_whole_recordings_are_made_when_they_are_drawn():
  recordings = MadeWhenAsked()
  crops = input_pipeline.WholeRecordings(recordings, CLASSES, EXTRACTOR, seed=3)
  assert recordings.made == [0]  # to see how long they are
  drawn = [crops(index) for index in range(20)]
  assert len(set(recordings.made)) == 21 and max(recordings.made) > 500_000
  for number, crop in zip(recordings.made[1:], drawn, strict=True):
    recording = make_recording(number % 100)
    np.testing.assert_array_equal(crop["signal"][:, 0], recording.signal)
    assert crop["where"].all() and crop["counts"].tolist() == [40, 40]
    assert crop["labelled"].tolist() == [True, False]
  again = input_pipeline.WholeRecordings(MadeWhenAsked(), CLASSES, EXTRACTOR, seed=3)(7)
  np.testing.assert_array_equal(again["signal"], drawn[7]["signal"])
  other = input_pipeline.WholeRecordings(MadeWhenAsked(), CLASSES, EXTRACTOR, seed=4)(7)
  assert not np.array_equal(other["signal"], drawn[7]["signal"])


def test_no_recordings():
  with pytest.raises(ValueError, match="no recordings to train on"):
    make_crops([])


def test_too_many_events_for_a_segment_or_a_short_recording_are_named():
  short = make_recording(0, 2, events={"SD": [0.0, 0.001, 0.002]})
  for segments in (False, True):
    with pytest.raises(ValueError, match=r"has 3 events 'SD' in the 2 frames from 0\.000 s"):
      make_crops([short], make_windows(50, 60, segments=segments))
  # 101 frames in segments of 50: the last has one frame, and two events in it.
  tail = make_recording(0, 101, events={"KD": [1.0, 1.001]})
  with pytest.raises(ValueError, match=r"has 2 events 'KD' in the 1 frames from 1\.000 s"):
    make_crops([tail], make_windows(50, 50, segments=True))
  make_crops([tail], make_windows(50, 50))


def test_signals_of_another_rate_or_with_other_channels_are_refused():
  with pytest.raises(
    ValueError, match=r"'take 0' has 360 samples per second; expected 100, features\.sample_rate"
  ):
    make_crops([make_recording(sample_rate_hz=360.0)])
  with pytest.raises(ValueError, match=r"'take 1' has 2 channels; the features expect 1"):
    make_crops([make_recording(0), make_recording(1, signal=np.zeros((700, 2), np.float32))])


# Label noise.

NOISE = ConfigDict({"kind": "normal", "scale_s": 0.05})


def test_label_noise_depends_on_seed_and_id_and_not_on_order():
  recordings = [make_recording(number) for number in range(3)]
  moved = input_pipeline.with_label_noise(recordings, NOISE, seed=1)
  backwards = input_pipeline.with_label_noise(recordings[::-1], NOISE, seed=1)[::-1]
  other = input_pipeline.with_label_noise(recordings, NOISE, seed=2)
  for before, one, again, another in zip(recordings, moved, backwards, other, strict=True):
    for name in CLASSES:
      np.testing.assert_array_equal(one.times_s(name), again.times_s(name))
      assert not np.array_equal(one.times_s(name), another.times_s(name))
      assert not np.array_equal(one.times_s(name), before.times_s(name))
      assert len(one.times_s(name)) == len(before.times_s(name))
  renamed = recordings[0].replace(id="other")
  assert not np.array_equal(
    input_pipeline.with_label_noise([renamed], NOISE, seed=1)[0].times_s("KD"), moved[0].times_s("KD")
  )


def test_label_noise_leaves_everything_else_alone():
  recording = make_recording(0, labelled={"SD": False})
  before = recording.times_s("KD").copy()
  (moved,) = input_pipeline.with_label_noise([recording], NOISE, seed=0)
  assert moved.signal is recording.signal
  assert (moved.id, moved.sample_rate_hz, moved.labelled) == ("take 0", RATE_HZ, {"SD": False})
  np.testing.assert_array_equal(recording.times_s("KD"), before)
  (same,) = input_pipeline.with_label_noise(
    [recording], ConfigDict({"kind": "normal", "scale_s": 0.0}), seed=0
  )
  assert same is recording


def test_rounded_label_noise_moves_by_whole_frames():
  rounded = ConfigDict({"kind": "rounded", "scale_s": 0.05})
  recording = make_recording(0, events={"KD": np.arange(1.003, 6.0)})
  (moved,) = input_pipeline.with_label_noise([recording], rounded, seed=0, frame_rate_hz=RATE_HZ)
  frames = (moved.times_s("KD") - recording.times_s("KD")) * RATE_HZ
  np.testing.assert_allclose(frames, frames.round(), atol=1e-9)
  assert np.ptp(frames) > 1


def test_label_noise_says_how_many_events_it_clipped(caplog):
  recording = make_recording(0, events={"KD": np.zeros(100)})
  with caplog.at_level(logging.INFO):
    (moved,) = input_pipeline.with_label_noise([recording], NOISE, seed=0)
  clipped = int((moved.times_s("KD") == 0).sum())
  assert 30 < clipped < 70
  assert f"put {clipped} events on the edge" in caplog.text


# Batches.


def make_replicas(seeds=(0, 1)):
  recordings = [make_recording(0), make_recording(1, 330, 20)]
  return [make_crops(recordings, seed=seed) for seed in seeds]


def batches(**kwargs):
  iterator = input_pipeline.make_iterator(make_replicas(), **{"batch_size": 4, "num_steps": 6} | kwargs)
  found = list(iterator)
  iterator.close()
  return found


def test_batches_hold_the_crops_in_order():
  found = batches()
  assert len(found) == 6
  replicas = make_replicas()
  for step, batch in enumerate(found):
    assert {key: value.shape for key, value in batch.items()} == {
      "signal": (2, 4, 180, 1),
      "labels": (2, 4, 180, 2),
      "counts": (2, 4, 2),
      "where": (2, 4, 180),
      "labelled": (2, 4, 2),
    }
    for replica in range(2):
      for row in range(4):
        crop = replicas[replica](4 * step + row)
        for key, value in crop.items():
          np.testing.assert_array_equal(batch[key][replica, row], value)


def test_processes_share_what_one_alone_would_see():
  whole = batches()
  shares = [batches(process_index=index, process_count=2) for index in range(2)]
  for batch, *parts in zip(whole, *shares, strict=True):
    for key, value in batch.items():
      np.testing.assert_array_equal(np.concatenate([part[key] for part in parts], axis=1), value)


def test_a_batch_that_processes_cannot_share():
  with pytest.raises(ValueError, match="batch_size is 4; expected a multiple of the 3 processes"):
    batches(process_count=3)


def test_a_restored_iterator_goes_on_exactly():
  iterator = input_pipeline.make_iterator(make_replicas(), batch_size=4, num_steps=6)
  for _ in range(2):
    next(iterator)
  state = iterator.get_state()
  rest = list(iterator)
  iterator.close()
  fresh = input_pipeline.make_iterator(make_replicas(), batch_size=4, num_steps=6)
  fresh.set_state(state)
  again = list(fresh)
  fresh.close()
  assert len(rest) == len(again) == 4
  for one, other in zip(rest, again, strict=True):
    for key, value in one.items():
      np.testing.assert_array_equal(value, other[key])
