"""The drum machine: exact labels, reproducible items, held-out kits and rooms, and enough variety."""

import pickle

import numpy as np
import pytest
from scipy import signal as sps

from softloc_jax.data import drum_machine, drum_score, drum_voices
from softloc_jax.data.drum_machine import CLASSES, DrumMachine
from softloc_jax.data.recording import validate
from softloc_jax.data.splits import SPLITS

RATES_HZ = (8_000, 16_000, 44_100)


@pytest.fixture(scope="module")
def recordings():
  return list(DrumMachine("train", num_recordings=24))


def same(one, other):
  return (
    one.id == other.id
    and np.array_equal(one.signal, other.signal)
    and all(np.array_equal(one.times_s(label), other.times_s(label)) for label in CLASSES)
  )


def onset_sample(sound):
  """First sample whose magnitude exceeds 2% of the peak."""
  return int(np.argmax(np.abs(sound) > 0.02 * np.abs(sound).max()))


# What an item depends on


def test_items_depend_on_seed_split_and_index_alone():
  few, many = (DrumMachine("train", num_recordings=n, duration_s=2.0) for n in (2, 5))
  backwards = [many[i] for i in (4, 3, 2, 1, 0)][::-1]
  assert all(same(few[i], backwards[i]) for i in range(2))
  assert same(many[-1], backwards[4])
  assert [recording.id for recording in many] == [f"train-{i:04d}" for i in range(5)]


def test_items_survive_pickling_to_a_worker():
  recordings = DrumMachine("test", num_recordings=3, seed=5, duration_s=1.0)
  assert same(pickle.loads(pickle.dumps(recordings))[2], recordings[2])


def test_splits_and_seeds_and_items_differ():
  train = DrumMachine("train", num_recordings=2, duration_s=2.0)
  first = [train[0], train[1], DrumMachine("train", num_recordings=1, seed=1, duration_s=2.0)[0]]
  first += [DrumMachine(split, num_recordings=1, duration_s=2.0)[0] for split in ("validation", "test")]
  for i, one in enumerate(first):
    for other in first[:i]:
      assert not np.array_equal(one.signal, other.signal)
      assert any(not np.array_equal(one.times_s(label), other.times_s(label)) for label in CLASSES)


def test_index_out_of_range():
  recordings = DrumMachine("train", num_recordings=2, duration_s=1.0)
  for index in (2, -3):
    with pytest.raises(IndexError, match=f"recording {index} of 2"):
      recordings[index]


# Labels


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
@pytest.mark.parametrize("split", SPLITS)
def test_recordings_are_valid(split, sample_rate_hz):
  for recording in DrumMachine(split, num_recordings=3, duration_s=3.0, sample_rate_hz=sample_rate_hz):
    validate(recording, CLASSES)
    assert recording.signal.dtype == np.float32 and recording.signal.shape == (3 * sample_rate_hz,)
    assert 0.09 < np.abs(recording.signal).max() <= 1
    for label in CLASSES:
      times_s = recording.times_s(label)
      assert np.all((times_s >= drum_machine.EDGE_S - 1e-4) & (times_s < 3 - drum_machine.EDGE_S))
      assert np.all(np.diff(times_s) >= 0.04 - 1e-9)


def test_min_gap_is_kept_and_matters():
  counts = {}
  for min_gap_s in (0.001, 0.04, 0.3):
    drums = DrumMachine("train", num_recordings=10, duration_s=5.0, min_gap_s=min_gap_s)
    gaps_s = np.concatenate([np.diff(recording.times_s(label)) for recording in drums for label in CLASSES])
    assert gaps_s.min() >= min_gap_s - 1e-9
    counts[min_gap_s] = len(gaps_s)
  assert counts[0.3] < counts[0.04] <= counts[0.001]


def test_events_do_not_depend_on_how_they_are_rendered():
  plain = DrumMachine("train", num_recordings=4, duration_s=3.0)
  for changed in ({"clutter": 0.0}, {"sample_rate_hz": 44_100}):
    others = DrumMachine("train", num_recordings=4, duration_s=3.0, **changed)
    for one, other in zip(plain, others, strict=True):
      for label in CLASSES:
        np.testing.assert_allclose(one.times_s(label), other.times_s(label), atol=0.5 / 16_000 + 0.5 / 44_100)


@pytest.mark.parametrize("voice", drum_voices.VOICES)
def test_a_lone_stroke_starts_at_its_label_in_a_room_too(voice):
  rng = np.random.default_rng(2)
  sample, num_samples = 4_321, 16_000
  placed = {label: [] for label in CLASSES} | {drum_machine.VOICE_CLASS[voice]: [(sample, voice, 0.9)]}
  for split in ("train", "test"):
    dry = drum_machine.mix_drums(rng, placed, drum_voices.draw_kit(rng, split), num_samples, 16_000)
    room = drum_voices.room_response(rng, drum_voices.draw_room(rng, split), 16_000)
    for mix in (dry, np.convolve(dry, room)[:num_samples]):
      assert not np.any(mix[:sample])
      assert 0 <= onset_sample(mix) - sample <= 16


def test_next_hat_chokes_an_open_hat():
  kit = drum_voices.draw_kit(np.random.default_rng(0), "train")
  alone, choked = [(1_000, "open_hat", 1.0)], [(1_000, "open_hat", 1.0), (2_600, "closed_hat", 1.0)]
  mixes = [
    drum_machine.mix_drums(np.random.default_rng(3), {"HH": strokes}, kit, 16_000, 16_000)
    for strokes in (alone, choked)
  ]
  np.testing.assert_array_equal(mixes[0][:2_600], mixes[1][:2_600])
  # Past the closed hat's own decay (at most 5 * 55 ms) nothing of the open one is left.
  assert not np.any(mixes[1][2_600 + 4_400 :])


def test_energy_of_each_class_rises_at_its_events():
  """In its own band a class gets louder at its labels, measured across the mixes with all clutter."""
  bands_hz = {"KD": (40, 150), "SD": (150, 5_000), "HH": (6_000, 7_900)}
  rises_db = {label: [] for label in CLASSES}
  for recording in DrumMachine("validation", num_recordings=12, duration_s=5.0):
    for label, band_hz in bands_hz.items():
      power = sps.sosfilt(sps.butter(2, band_hz, "bandpass", fs=16_000, output="sos"), recording.signal) ** 2
      for time_s in recording.times_s(label):
        sample = round(time_s * 16_000)
        before, after = power[sample - 320 : sample - 16].mean(), power[sample : sample + 304].mean()
        rises_db[label].append(10 * np.log10((after + 1e-12) / (before + 1e-12)))
  for label, values in rises_db.items():
    assert np.median(values) > 6, label
    assert np.mean(np.array(values) > 0) > 0.85, label


# Variety


def test_every_class_occurs_with_counts_that_vary(recordings):
  counts = np.array([[len(recording.times_s(label)) for label in CLASSES] for recording in recordings])
  assert np.all(counts.mean(0) > 8), "10 s hold many events of each class"
  assert np.all(counts.max(0) < 80)
  assert np.all(counts.std(0) / counts.mean(0) > 0.25)
  # Neither does one class give away another.
  correlation = np.corrcoef(counts.T)
  assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.8


def test_ghost_notes_and_simultaneous_strokes_occur(recordings):
  velocities = np.concatenate(
    [drum_score.draw_score(np.random.default_rng(seed), 10.0).strokes["snare"][:, 1] for seed in range(40)]
  )
  ghosts = np.mean(velocities < 0.45)
  assert 0.05 < ghosts < 0.5
  near = [
    np.abs(recording.times_s("HH")[:, np.newaxis] - recording.times_s("KD")).min(1) < 0.03
    for recording in recordings
    if len(recording.times_s("KD"))
  ]
  assert 0.1 < np.concatenate(near).mean() < 0.7


def test_clutter_is_scaled():
  def parts(clutter):
    return drum_machine.render(np.random.default_rng(9), "train", 3.0, clutter=clutter)[0].astype(np.float64)

  # Peaks are normalised, so compare shapes: full clutter is a mixture of none and double.
  none, full, double = parts(0.0), parts(1.0), parts(2.0)
  weights, residual, *_ = np.linalg.lstsq(np.stack([none, double], 1), full, rcond=None)
  assert np.all(weights > 0)
  assert residual[0] < 1e-6 * np.sum(full**2)
  assert not np.allclose(none / np.abs(none).max(), full / np.abs(full).max(), atol=1e-3)


def test_no_stroke_and_no_clutter_is_silence_not_nan():
  drums = DrumMachine("train", num_recordings=40, duration_s=0.5, clutter=0.0)
  silent = [recording for recording in drums if not sum(map(len, recording.events.values()))]
  assert silent
  assert not any(np.any(recording.signal) for recording in silent)


# Refusals


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"split": "eval"}, "split is 'eval'; expected one of train, validation, test"),
    ({"duration_s": 0.0}, "duration_s is 0.0"),
    ({"duration_s": float("nan")}, "duration_s is nan"),
    ({"sample_rate_hz": 4_000}, "sample_rate_hz is 4000; expected at least 8000"),
    ({"clutter": -1.0}, "clutter is -1.0"),
    ({"min_gap_s": 0.0}, "min_gap_s is 0.0"),
    ({"num_recordings": 0}, "num_recordings is 0; expected at least 1"),
    ({"seed": -1}, "seed is -1"),
  ],
)
def test_bad_arguments_are_refused(changed, message):
  arguments = {"split": "train", "num_recordings": 1} | changed
  with pytest.raises(ValueError, match=message):
    DrumMachine(arguments.pop("split"), **arguments)
