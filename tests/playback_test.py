"""Rate and pitch: labels, counts and classes move as the sounds do, measured at what comes out."""

import jax
import numpy as np
import pytest
from random_batch import CLASSES, EXTRACTOR, KEY, as_numpy, make_augmentation, make_batch

from softloc_jax import augment, features


def with_clicks(batch, extractor=EXTRACTOR):
  """The batch with a short pulse at the centre of each labelled frame of class 0 and nothing else."""
  signal = np.zeros_like(batch["signal"])
  first, _ = extractor.sample_range(0, batch["where"].shape[1])
  sample = np.arange(signal.shape[1])
  for clip, frame in zip(*np.nonzero(batch["labels"][..., 0]), strict=True):
    signal[clip, :, 0] += np.exp(-0.5 * np.square((sample - (frame * extractor.hop_samples - first)) / 3.0))
  return {**batch, "signal": signal}


def pulses(signal, num_frames, extractor=EXTRACTOR):
  """Places of the pulses of `with_clicks` in frames: centroids around the maxima above half."""
  first, _ = extractor.sample_range(0, num_frames)
  inside = (signal[1:-1] > 0.5) & (signal[1:-1] >= signal[:-2]) & (signal[1:-1] > signal[2:])
  places = []
  for peak in np.flatnonzero(inside) + 1:
    around = np.arange(peak - 9, peak + 10)
    places.append(around @ signal[around] / signal[around].sum())
  return (np.array(places) + first) / extractor.hop_samples


@pytest.mark.parametrize("factor", [(7 / 8, 7 / 8), (9 / 8, 9 / 8), (7 / 8, 9 / 8), (1.0, 1.0)])
def test_labels_and_windows_move_with_the_sound(factor):
  augmentation = make_augmentation(change_rate={"factor": factor})
  num_frames = augmentation.num_frames + 2 * augmentation.margin_frames
  batch = with_clicks(make_batch(num_frames, size=40, events=3))
  found = as_numpy(jax.jit(augmentation)(KEY, batch))
  np.testing.assert_array_equal(found["counts"], batch["counts"])
  np.testing.assert_array_equal(found["labelled"], batch["labelled"])
  errors, lengths = [], []
  for clip in range(40):
    places = pulses(found["signal"][clip, :, 0], augmentation.num_frames)
    frames = np.flatnonzero(found["labels"][clip, :, 0])
    if len(places) == len(frames) == 3:  # neighbours may have become one
      errors.extend(frames - places)
    window = np.flatnonzero(found["where"][clip])
    assert (np.diff(window) == 1).all()
    assert found["labels"][clip][~found["where"][clip]].sum() == 0
    assert (found["labels"][clip].sum(0) <= found["counts"][clip]).all()
    lengths.append(batch["where"][clip].sum() / len(window))
  assert len(errors) > 90
  assert np.abs(errors).max() <= 0.5 + 0.02
  assert abs(np.mean(errors)) < 0.1
  lengths = np.array(lengths)
  assert (lengths > factor[0] * 0.97).all() and (lengths < factor[1] * 1.03).all()
  if factor[0] < factor[1]:
    assert lengths.min() < 0.92 and lengths.max() > 1.08


def test_events_that_meet_in_a_frame_keep_their_count():
  augmentation = make_augmentation(change_rate={"factor": (9 / 8, 9 / 8)})
  batch = make_batch(augmentation.num_frames + 2 * augmentation.margin_frames, events=20)
  batch["labels"][:] = batch["where"][..., None]  # one after the other
  batch["counts"] = batch["labels"].sum(1).astype(np.int32)
  found = as_numpy(augmentation(KEY, batch))
  np.testing.assert_array_equal(found["counts"], batch["counts"])
  np.testing.assert_array_equal(found["labels"], np.repeat(found["where"][..., None], CLASSES, axis=2))
  assert (found["labels"].sum(1) < found["counts"]).all()


@pytest.mark.parametrize(
  "extractor",
  [
    EXTRACTOR,
    features.LogMel(4_000, 50, 120, 8, pre_emphasis=0.9),
    features.SignalFrames(100.0, num_channels=2),
  ],
)
def test_the_margin_is_what_the_fastest_clip_needs(extractor):
  factor = (9 / 8, 9 / 8)
  augmentation = make_augmentation(extractor, change_rate={"factor": factor})
  for missing, least, most in ((0, 0.8, 1.2), (4, -0.2, 0.3)):
    batch = make_batch(
      augmentation.num_frames + 2 * (augmentation.margin_frames - missing), extractor=extractor
    )
    batch["signal"][:] = 1  # anything else comes from beyond the crop
    found = augment.change_rate(
      KEY, batch, extractor=extractor, num_frames=augmentation.num_frames, factor=factor
    )["signal"]
    assert found.shape[1:] == (extractor.sample_range(0, augmentation.num_frames)[1], extractor.num_channels)
    outermost = np.asarray(found)[:, [0, -1]]
    assert least < outermost.min() and outermost.max() < most


def test_tones_and_classes_move_by_the_same_semitones():
  extractor = features.LogMel(4_000, 40, 80, 8)
  augmentation = make_augmentation(extractor, shift_pitch={"semitones": 2})
  batch = make_batch(augmentation.num_frames + 2 * augmentation.margin_frames, size=200)
  classes = np.random.default_rng(0).integers(0, CLASSES, 200)
  batch["labels"] *= np.arange(CLASSES) == classes[:, None, None]
  batch["counts"] = batch["labels"].sum(1).astype(np.int32)
  time = np.arange(batch["signal"].shape[1])
  batch["signal"] = np.cos(2 * np.pi * 0.05 * 2 ** (classes[:, None] / 12) * time)[..., None].astype(
    np.float32
  )
  found = as_numpy(jax.jit(augmentation)(KEY, batch))
  moved = found["counts"].argmax(1)
  shift = moved - classes
  np.testing.assert_array_equal(found["counts"].sum(1), batch["counts"].sum(1))
  np.testing.assert_array_equal(found["labels"].any(1), found["counts"] > 0)
  # Every shift that keeps the event within the classes happens, and no other.
  for one in range(CLASSES):
    assert set(moved[classes == one]) == set(range(max(one - 2, 0), min(one + 2, CLASSES - 1) + 1))
  # What may have come in from beyond the classes is not known.
  source = np.arange(CLASSES) - shift[:, None]
  np.testing.assert_array_equal(found["labelled"], (source >= 0) & (source < CLASSES))
  # The tone is that of its new class.
  spectrum = np.abs(np.fft.rfft(found["signal"][..., 0] * np.hanning(found["signal"].shape[1]), 1 << 16))
  np.testing.assert_allclose(12 * np.log2(spectrum.argmax(1) / (1 << 16) / 0.05), moved, atol=0.05)


def test_detuning_leaves_classes_alone():
  augmentation = make_augmentation(shift_pitch={"semitones": 0, "detune_semitones": 0.4})
  num_frames = augmentation.num_frames + 2 * augmentation.margin_frames
  batch = make_batch(num_frames, size=50)
  batch["signal"][:] = np.cos(2 * np.pi * 0.1 * np.arange(batch["signal"].shape[1]))[:, None]
  found = as_numpy(jax.jit(augmentation)(KEY, batch))
  np.testing.assert_array_equal(found["counts"], batch["counts"])
  assert found["labelled"].all()
  spectrum = np.abs(np.fft.rfft(found["signal"][..., 0] * np.hanning(found["signal"].shape[1]), 1 << 16))
  semitones = 12 * np.log2(spectrum.argmax(1) / (1 << 16) / 0.1)
  assert -0.42 < semitones.min() < -0.3 and 0.3 < semitones.max() < 0.42


def test_crops_of_another_length_are_refused():
  batch, options = make_batch(), {"extractor": EXTRACTOR, "factor": (1.0, 1.1)}
  with pytest.raises(ValueError, match=r"crops have 119 frames; expected 120 and the same margin"):
    augment.change_rate(KEY, {**batch, "where": batch["where"][:, 1:]}, num_frames=120, **options)
  with pytest.raises(ValueError, match=r"crops have \d+ samples; expected \d+ for 120 frames"):
    augment.change_rate(KEY, {**batch, "signal": batch["signal"][:, 1:]}, num_frames=100, **options)
