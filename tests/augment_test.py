"""Augmentation: what each does to sounds, labels and counts, measured at what comes out."""

import jax
import numpy as np
import pytest
from random_batch import CLASSES, EXTRACTOR, KEY, WINDOWS, as_numpy, make_augmentation, make_batch

from softloc_jax import augment

RANDOM = {
  "gain": {"range_db": (-12.0, 6.0)},
  "equalize": {"std_db": 6.0, "tilt_db": 1.0},
  "reverberate": {"rt60_s": (0.1, 0.3)},
  "add_noise": {"snr_db": (10.0, 30.0)},
  "change_rate": {"factor": (7 / 8, 9 / 8)},
  "shift_pitch": {"semitones": 2, "detune_semitones": 0.3},
  "stack": {"gain_db": (-6.0, 0.0), "probability": 1.0},
}


@pytest.mark.parametrize("name", RANDOM)
def test_each_is_seeded_by_its_key_and_jitted(name):
  augmentation = make_augmentation(**{name: RANDOM[name]})
  batch = make_batch(augmentation.num_frames + 2 * augmentation.margin_frames)
  batch["where"][:] = batch["where"][0]
  apply = jax.jit(augmentation)
  first, again, other = (as_numpy(apply(key, batch)) for key in (KEY, KEY, jax.random.key(1)))
  assert first["signal"].shape[1] == EXTRACTOR.sample_range(0, WINDOWS.crop_frames)[1]
  assert first["labels"].shape == (8, WINDOWS.crop_frames, CLASSES)
  assert all(first[key].dtype == batch[key].dtype for key in batch)
  assert all(np.array_equal(first[key], again[key]) for key in batch)
  assert not np.allclose(first["signal"], other["signal"], atol=1e-3)
  assert np.isfinite(first["signal"]).all()
  if name in ("gain", "equalize", "reverberate", "add_noise"):
    assert all(np.array_equal(first[key], batch[key]) for key in batch if key != "signal")


def test_every_clip_is_changed_in_its_own_way():
  batch = make_batch()
  batch["signal"][:] = batch["signal"][0]
  for name in ("gain", "equalize", "reverberate", "add_noise"):
    found = np.asarray(make_augmentation(**{name: RANDOM[name]})(KEY, batch)["signal"])
    assert all(not np.allclose(found[0], one, atol=1e-3) for one in found[1:])


@pytest.mark.parametrize(
  "config",
  [
    {},
    {"gain": None},
    {"gain": {"range_db": (0.0, 0.0)}},
    {"equalize": {"std_db": 0.0}},
    {"equalize": {"std_db": 9.0, "probability": 0.0}},
    {"reverberate": {"probability": 0.0}},
    {"reverberate": {"direct_db": (150.0, 150.0)}},
    {"add_noise": {"snr_db": (150.0, 150.0)}},
    {"stack": {"probability": 0.0}},
    {"stack": {"probability": 1.0, "gain_db": (0.0, 0.0)}},  # no two windows are the same here
  ],
)
def test_no_strength_changes_nothing(config):
  augmentation = make_augmentation(**config)
  assert augmentation.margin_frames == 0
  batch = make_batch()
  found = augmentation(KEY, batch)
  np.testing.assert_allclose(found["signal"], batch["signal"], atol=2e-6)
  assert all(np.array_equal(found[key], batch[key]) for key in batch if key != "signal")


def test_gain_is_uniform_in_decibels():
  batch = make_batch(size=300, num_frames=10 + 80)
  found = np.asarray(augment.gain(KEY, batch, range_db=(-12.0, 6.0))["signal"])
  gain_db = 20 * np.log10(found / batch["signal"])[..., 0]
  np.testing.assert_allclose(gain_db, gain_db[:, :1] * np.ones((1, gain_db.shape[1])), atol=1e-3)
  assert -12 <= gain_db.min() < -11.5 and 5.5 < gain_db.max() <= 6.001
  assert gain_db[:, 0].mean() == pytest.approx(-3, abs=1)


def test_switching_one_off_leaves_the_others_as_they_were():
  batch = make_batch()
  parts = {name: RANDOM[name] for name in ("equalize", "gain")}
  both = np.asarray(make_augmentation(**parts)(KEY, batch)["signal"])
  equalized = np.asarray(make_augmentation(equalize=RANDOM["equalize"], gain=None)(KEY, batch)["signal"])
  ratio = both / equalized
  np.testing.assert_allclose(ratio, np.median(ratio, axis=1, keepdims=True) * np.ones_like(ratio), rtol=1e-2)


def test_stacking_adds_sounds_counts_and_labels_of_equal_windows():
  batch = make_batch(size=12)
  batch["where"][:8] = batch["where"][0]
  batch["labelled"][3, 2] = False
  found = as_numpy(jax.jit(make_augmentation(stack=RANDOM["stack"]))(KEY, batch))
  stacked = np.abs(found["signal"] - batch["signal"]).max((1, 2)) > 0
  assert stacked[:8].sum() >= 4 and not stacked[8:].any()
  for clip in range(12):
    added = (found["signal"] - batch["signal"])[clip].ravel()
    partners = [
      other
      for other in range(12)
      if stacked[clip] and abs(np.corrcoef(added, batch["signal"][other].ravel())[0, 1]) > 0.99
    ]
    assert len(partners) == stacked[clip] and clip not in partners
    both = [clip, *partners]
    np.testing.assert_array_equal(found["counts"][clip], batch["counts"][both].sum(0))
    np.testing.assert_array_equal(found["labels"][clip], batch["labels"][both].max(0))
    np.testing.assert_array_equal(found["labelled"][clip], batch["labelled"][both].all(0))
    np.testing.assert_array_equal(found["where"][clip], batch["where"][clip])
    if partners:
      level_db = 10 * np.log10(np.square(added).sum() / np.square(batch["signal"][partners]).sum())
      assert -6 <= level_db <= 1e-3
  shared = found["counts"] - found["labels"].sum(1)
  assert shared.max() > 0  # two events in a frame: one label, counted twice


def test_a_clip_alone_is_not_stacked_on_itself():
  batch = make_batch(size=1)
  found = augment.stack(KEY, batch, probability=1.0)
  assert all(np.array_equal(found[key], batch[key]) for key in batch)


@pytest.mark.slow
def test_replicas_are_augmented_as_each_would_be():
  config = {name: value for name, value in RANDOM.items() if name != "shift_pitch"}
  augmentation = make_augmentation(**config)
  num_frames = augmentation.num_frames + 2 * augmentation.margin_frames
  replicas = [make_batch(num_frames, size=3, seed=seed) for seed in (0, 1)]
  stacked = {name: np.stack([one[name] for one in replicas]) for name in replicas[0]}
  keys = jax.random.split(KEY)
  found = jax.jit(jax.vmap(augmentation))(keys, stacked)
  for number, one in enumerate(replicas):
    expected = jax.jit(augmentation)(keys[number], one)
    np.testing.assert_allclose(found["signal"][number], expected["signal"], atol=1e-4)
    assert all(np.array_equal(found[key][number], expected[key]) for key in one if key != "signal")


def test_a_few_events_of_silence_stay_finite():
  batch = {**make_batch(), "signal": np.zeros_like(make_batch()["signal"])}
  found = make_augmentation(**{name: RANDOM[name] for name in ("equalize", "reverberate", "add_noise")})(
    KEY, batch
  )
  assert not np.asarray(found["signal"]).any()


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ({"speed": {}}, "augment has 'speed'; expected some of stack, equalize"),
    ({"gain": {}}, r"augment.gain has no arguments; expected range_db"),
    ({"gain": {"range_db": (0.0, 1.0), "db": 3}}, r"augment.gain has .*db; expected range_db"),
    ({"add_noise": {"snr": 3}}, r"augment.add_noise has snr; expected snr_db, \[color\], \[probability\]"),
    ({"gain": {"range_db": (6.0, -6.0)}}, r"range_db is .*; expected a range \(low, high\)"),
    ({"stack": {"probability": 1.5}}, r"augment.stack.probability is 1.5; expected 0.0 to 1.0"),
    ({"equalize": {"std_db": -1.0}}, r"augment.equalize.std_db is -1.0"),
    ({"equalize": {"std_db": 1.0, "low_hz": 3_000.0}}, r"low_hz 3000.0; expected"),
    ({"change_rate": {"factor": (0.0, 1.0)}}, r"augment.change_rate.factor is .*; expected a range"),
    ({"shift_pitch": {"semitones": 1.5}}, r"semitones is 1.5; expected a whole number"),
    (
      {"change_rate": {"factor": (0.9, 1.1)}, "shift_pitch": {"semitones": 1}},
      "augment has change_rate and shift_pitch; expected one of them",
    ),
    (
      {"change_rate": {"factor": (0.6, 1.0)}},
      r"down to 0.600 times as fast: a window of 80 frames would not fit into a crop of 120",
    ),
    ({"shift_pitch": {"semitones": 12}}, r"down to 0.500 times as fast"),
    ({"gain": 3.0}, r"augment.gain is 3.0; expected arguments by name"),
    ({"gain": {"range_db": 3.0}}, r"augment.gain.range_db is 3.0; expected a range \(low, high\)"),
    ({"gain": {"range_db": ("a", "b")}}, r"augment.gain.range_db is .*; expected a range"),
    ({"stack": {"probability": None}}, r"augment.stack.probability is None; expected 0.0 to 1.0"),
    ({"stack": {"probability": "1"}}, r"augment.stack.probability is '1'; expected 0.0 to 1.0"),
    ({"equalize": {"std_db": 1.0, "num_points": 4.5}}, r"num_points is 4.5; expected a whole number"),
  ],
)
def test_settings_that_cannot_work_are_refused(config, message):
  with pytest.raises(ValueError, match=message):
    make_augmentation(**config)


@pytest.mark.parametrize("classes", [("KD", "SD", "HH"), ("61", "60"), ("60", "62"), ("60", "60")])
def test_pitch_is_shifted_only_from_class_to_class(classes):
  with pytest.raises(ValueError, match=f"shift_pitch, and the classes are {', '.join(classes)}; expected"):
    make_augmentation(classes=classes, shift_pitch={"semitones": 1})
  assert make_augmentation(classes=classes, gain={"range_db": (0.0, 1.0)}).settings
