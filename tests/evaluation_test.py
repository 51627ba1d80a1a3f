"""Decoding as configs ask for it, its calibration from imperfect labels, scores and files."""

from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import evaluation, input_pipeline, metrics, recipes
from softloc_jax.data import event_files
from softloc_jax.data.recording import Recording

RATE_HZ = 100.0
CLASSES = ("KD", "SD")
SOFTNESS_S = 0.03


def make_decoder(**changes):
  config = recipes.base("test").decode
  config.update({"softness_s": SOFTNESS_S} | changes)
  return evaluation.Decoder(config, CLASSES, RATE_HZ)


def make_recordings(num=4, duration_s=30.0, seed=0):
  """Random events of both classes, a quarter of a second or more apart."""
  rng = np.random.default_rng(seed)
  recordings = []
  for number in range(num):
    times_s = {}
    for name in CLASSES:
      found = 0.5 + np.cumsum(rng.uniform(0.25, 1.2, 60))
      times_s[name] = found[found < duration_s - 0.5]
    signal = np.zeros(int(duration_s * RATE_HZ), np.float32)
    recordings.append(Recording(f"take {number}", signal, RATE_HZ, times_s))
  return recordings


def make_probs(recording, kind, *, offset_s=0.0, clutter=0.0, seed=0):
  """What a good network says: one sharp frame, two halves, or a bump for each event; `offset_s` too early."""
  rng = np.random.default_rng(seed)
  num_frames = len(recording.signal)
  probs = clutter * rng.random((num_frames, len(CLASSES)))
  for column, name in enumerate(CLASSES):
    for position in (recording.times_s(name) - offset_s) * RATE_HZ:
      frames = np.arange(num_frames)
      if kind == "sharp":
        probs[round(position), column] = 0.9
      elif kind == "split":
        share = position - np.floor(position)
        probs[int(position), column] += 0.9 * (1 - share)
        probs[int(position) + 1, column] += 0.9 * share
      else:
        softness = SOFTNESS_S * RATE_HZ
        probs[:, column] += np.exp(-0.5 * ((frames - position) / softness) ** 2) / (
          softness * np.sqrt(2 * np.pi)
        )
  return np.clip(probs, 0, 1)


@pytest.mark.parametrize(
  ("method", "kind", "error_s"),
  [("threshold", "sharp", 0.0051), ("mass", "split", 1e-6), ("peak_pick", "bump", 0.0051)],
)
def test_each_method_finds_the_events_of_the_output_it_is_for(method, kind, error_s):
  decoder = make_decoder(method=method)
  for recording in make_recordings(2):
    plain = evaluation.Calibration([0.5, 0.5], [0.0, 0.0])
    times_s, confidence = decoder(make_probs(recording, kind), plain)
    for name in CLASSES:
      assert len(times_s[name]) == len(recording.times_s(name)) == len(confidence[name])
      np.testing.assert_allclose(times_s[name], recording.times_s(name), atol=error_s)
      assert ((confidence[name] >= 0.5) & (confidence[name] <= 1)).all()


def test_thresholds_and_offsets_are_those_of_each_class():
  recording = make_recordings(1)[0]
  probs = make_probs(recording, "sharp") * [0.5, 1.0]
  times_s, _ = make_decoder()(probs, evaluation.Calibration([0.4, 0.95], [0.0, 0.0]))
  assert len(times_s["KD"]) == len(recording.times_s("KD")) and len(times_s["SD"]) == 0
  plain, _ = make_decoder()(probs, evaluation.Calibration([0.4, 0.4], [0.0, 0.0]))
  moved, _ = make_decoder()(probs, evaluation.Calibration([0.4, 0.4], [0.02, -0.01]))
  np.testing.assert_allclose(moved["KD"] - plain["KD"], 0.02)
  np.testing.assert_allclose(moved["SD"] - plain["SD"], -0.01)


def test_offsets_move_no_event_out_of_the_recording():
  probs = np.zeros((200, 2))
  probs[[0, 100, 199]] = 0.9
  for offset_s in (-0.1, 0.1):
    times_s, _ = make_decoder()(probs, evaluation.Calibration([0.5, 0.5], [offset_s, offset_s]))
    assert len(times_s["KD"]) == 3
    assert times_s["KD"].min() >= 0 and times_s["KD"].max() <= 1.99
    assert times_s["KD"][1] == pytest.approx(1.0 + offset_s)


@pytest.mark.parametrize("noise_s", [0.0, 0.05, 0.1])
def test_calibration_needs_no_clean_labels(noise_s):
  recordings = make_recordings(6)
  noise = ConfigDict({"kind": "normal", "scale_s": noise_s})
  given = input_pipeline.with_label_noise(recordings, noise, seed=0)
  probs = [make_probs(one, "sharp", offset_s=0.04, clutter=0.3) for one in recordings]
  decoder = make_decoder(method="threshold", align_softness_s=0.1)
  calibration, error = decoder.calibrate(probs, given)
  assert all(0.3 <= threshold <= 0.9 for threshold in calibration.thresholds)
  assert calibration.offsets_s == pytest.approx([0.04, 0.04], abs=0.015)
  assert error < 0.06  # only jitter across the borders of the count windows is left
  estimates = [decoder(p, calibration)[0] for p in probs]
  assert evaluation.score(estimates, recordings, classes=CLASSES, window_s=0.05)["f1"] == 1.0


def test_labels_without_times_give_no_offset():
  recordings = make_recordings()
  probs = [make_probs(one, "sharp", offset_s=0.04) for one in recordings]
  calibration, error = make_decoder(align_softness_s=0.0).calibrate(probs, recordings)
  assert calibration.offsets_s == [0.0, 0.0] and error == 0.0


def test_the_count_error_is_a_share_of_the_events():
  recording = make_recordings(1)[0]
  labels = {name: recording.times_s(name)[::2] for name in CLASSES}
  probs = make_probs(recording, "sharp")  # all alike: no threshold finds every second one
  _, error = make_decoder(count_window_s=100.0).calibrate([probs], [recording.replace(events=labels)])
  num_labels = sum(map(len, labels.values()))
  num_found = sum(len(recording.times_s(name)) for name in CLASSES)
  assert error == pytest.approx((num_found - num_labels) / num_labels)


def test_classes_that_were_not_annotated_say_nothing():
  recordings = make_recordings(4)
  probs = [make_probs(one, "sharp", offset_s=0.04, clutter=0.3) for one in recordings]
  decoder = make_decoder(method="threshold", align_softness_s=0.05)
  expected = decoder.calibrate(probs[:2], recordings[:2])
  unlabelled = [one.replace(events={}, labelled=dict.fromkeys(CLASSES, False)) for one in recordings[2:]]
  assert decoder.calibrate(probs, recordings[:2] + unlabelled) == expected
  estimates = [one.events for one in recordings]
  scores = evaluation.score(estimates, recordings[:2] + unlabelled, classes=CLASSES, window_s=0.05)
  assert scores["f1"] == 1.0 and scores["num_estimate"] == scores["num_reference"]


def test_an_event_after_the_last_frame_is_no_error():
  recording = Recording("r", np.zeros(200, np.float32), RATE_HZ, {"KD": [1.0, 2.0], "SD": [0.5]})
  probs = np.zeros((200, 2))
  probs[[100, 199], 0] = 0.9
  probs[50, 1] = 0.9
  _, error = make_decoder().calibrate([probs], [recording])
  assert error == 0.0


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"method": "viterbi"}, "decode.method is 'viterbi'; expected one of threshold, mass, .*peak_pick"),
    ({"method": "peak_pick", "softness_s": 0.0}, "softness is 0.0; expected a positive number of frames"),
    ({"method": "mass", "window_s": 0.04}, "window is 4.0 frames; expected at most half the suppression"),
    ({"method": "threshold", "suppression_s": -1.0}, "suppression is -100.0"),
  ],
)
def test_bad_settings_are_refused_before_there_is_anything_to_decode(changes, message):
  with pytest.raises(ValueError, match=message):
    make_decoder(**changes)


def test_score_is_that_of_metrics():
  recordings = make_recordings(3)
  rng = np.random.default_rng(0)
  estimates = [
    {name: np.sort(one.times_s(name) + rng.normal(0, 0.04, len(one.times_s(name))))[1:] for name in CLASSES}
    for one in recordings
  ]
  found = evaluation.score(estimates, recordings, classes=CLASSES, window_s=0.03)
  expected = metrics.evaluate(
    [one.events for one in recordings], estimates, classes=CLASSES, window_s=0.03, durations_s=[30.0] * 3
  )
  assert found == expected
  assert 0.2 < found["f1"] < 0.9


def test_the_summary_of_several_seeds():
  results = evaluation.summarize(
    [
      {"seed": 3, "f1": 0.5, "num_matched": 7, "recordings": {}},
      {"seed": 4, "f1": 0.9, "num_matched": 8, "recordings": {}},
    ]
  )
  assert results["f1"] == pytest.approx(0.7)
  assert results["f1/seed_std"] == pytest.approx(np.std([0.5, 0.9], ddof=1))
  assert [one["num_matched"] for one in results["replicas"]] == [7, 8]
  assert set(results) == {"f1", "f1/seed_std", "replicas"}
  assert evaluation.summarize([{"f1": 0.5}]) == {"f1": 0.5, "replicas": [{"f1": 0.5}]}


def test_predictions_are_read_back_as_events(tmp_path):
  recording = make_recordings(1)[0]
  decoder = make_decoder()
  times_s, confidence = decoder(
    make_probs(recording, "split"), evaluation.Calibration([0.5, 0.5], [0.0, 0.0])
  )
  for _ in range(2):  # a second evaluation replaces the first one's file
    evaluation.write_predictions(tmp_path / "new" / "folder", recording.id, times_s, confidence)
  path = tmp_path / "new" / "folder" / "take 0.csv"
  assert path.read_text().splitlines()[0] == "time,label,confidence"
  found = event_files.read_events(path)
  assert set(found) == set(CLASSES)
  for name in CLASSES:
    np.testing.assert_allclose(found[name], times_s[name], atol=1e-6)
  assert [one.name for one in path.parent.iterdir()] == ["take 0.csv"]
