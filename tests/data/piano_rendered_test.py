"""Rendered pianos: onsets where they are labelled, pitches in tune, notes damped at their end."""

import dataclasses
import pickle

import numpy as np
import pytest
from small_groove import write_kit, write_piano

from softloc_jax.data import maps, one_shots, piano_notes, piano_rendered, sampler
from softloc_jax.data.piano_notes import random_notes
from softloc_jax.data.piano_rendered import CLASSES, PianoRendered, PianoVariation
from softloc_jax.data.recording import validate

CLEAN = PianoVariation(
  tuning_cents=0.0, pedal=0.0, room=0.0, compression=0.0, low_pass=0.0, noise_db=(-120.0, -120.0)
)


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
  return one_shots.find(write_piano(tmp_path_factory.mktemp("piano")))


def render(notes, shots, seed=0, variation=CLEAN, **options):
  return piano_rendered.render(
    np.random.default_rng(seed), np.array(notes, float), shots, variation=variation, **options
  )


def peak_hz(samples, rate_hz=16_000):
  spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
  return np.argmax(spectrum) * rate_hz / (1 << 18)


@pytest.mark.parametrize("rate_hz", (16_000, 44_100))
def test_notes_sound_where_they_are_labelled(shots, rate_hz):
  notes = [(0.5 + 1.2 * i, 0.4, pitch, 0.8) for i, pitch in enumerate((40, 60, 67, 81))]
  signal, events = render(notes, shots, duration_s=6, sample_rate_hz=rate_hz)
  assert sorted(events) == ["40", "60", "67", "81"]
  for onset_s, _, pitch, _ in notes:
    assert events[str(pitch)] == pytest.approx([onset_s], abs=1 / rate_hz)
    start = round((onset_s - 0.1) * rate_hz)
    found = start + sampler.attack_sample(signal[start : start + rate_hz // 2], rate_hz)
    assert abs(found / rate_hz - onset_s) < 0.001


def test_pianos_are_in_the_order_of_their_folders(tmp_path):
  both = one_shots.find_all([write_piano(tmp_path / "z"), write_piano(tmp_path / "a")])
  assert [piano[0].path.parent.name for piano in piano_rendered.pianos(both)] == ["z", "a"]


@pytest.mark.parametrize("pitch", (40, 61, 70, 85))
def test_pitches_are_in_tune(shots, pitch):
  signal, _ = render([(0.2, 2, pitch, 0.8)], shots, duration_s=2)
  cents = 1200 * np.log2(peak_hz(signal[4800:20_000]) / (440 * 2 ** ((pitch - 69) / 12)))
  assert abs(cents) < 5


def test_tuning(shots):
  variation = dataclasses.replace(CLEAN, tuning_cents=40.0)
  heard = [
    peak_hz(render([(0.2, 2, 69, 0.8)], shots, seed, variation, duration_s=2)[0][4800:]) for seed in range(8)
  ]
  cents = 1200 * np.log2(np.array(heard) / 440)
  assert np.ptp(cents) > 20 and np.abs(cents).max() < 46


def test_notes_are_damped_at_their_end_but_the_highest_are_not(shots):
  late = slice(int(1.5 * 16_000), None)
  for pitch, is_damped in ((60, True), (96, False)):
    short, _ = render([(0.2, 0.3, pitch, 0.8)], shots, duration_s=2)
    held, _ = render([(0.2, 5.0, pitch, 0.8)], shots, duration_s=2)
    ratio = np.abs(short[late]).max() / np.abs(held[late]).max()
    assert ratio < 0.01 if is_damped else ratio == pytest.approx(1, rel=0.01)


def test_nearest_recording(shots):
  rng = np.random.default_rng(0)
  for pitch, velocity, expected in (
    (60, 0.9, "C4vH"),
    (61, 0.2, "C4vL"),
    (65, 0.9, "F#4vH"),
    (110, 0.9, "F#7vH"),
  ):
    assert {piano_rendered.nearest(rng, shots, pitch, velocity).path.stem for _ in range(5)} == {expected}


def test_velocity_sets_the_level(shots):
  signal, _ = render([(0.2, 0.3, 60, 0.2), (1.2, 0.3, 60, 0.9)], shots, duration_s=2)
  assert np.abs(signal[:16_000]).max() < 0.4 * np.abs(signal[16_000:]).max()


def test_notes_outside_are_not_played(shots):
  notes = [(-0.1, 1, 60, 0.5), (0.5, 1, 62, 0.5), (1.96, 1, 64, 0.5), (3, 1, 65, 0.5)]
  _, events = render(notes, shots, duration_s=2)
  assert sorted(events) == ["62"]


def test_random_notes():
  for seed in range(5):
    notes = random_notes(np.random.default_rng(seed), 10.0)
    assert (np.diff(notes[:, 0]) >= 0).all() and notes[0, 0] >= 0 and notes[-1, 0] < 10
    assert (np.round(notes[:, 2]) == notes[:, 2]).all() and set(notes[:, 2]) <= set(maps.PITCHES)
    assert ((notes[:, 3] > 0) & (notes[:, 3] <= 1)).all() and (notes[:, 1] > 0).all()


def test_items(shots):
  recordings = PianoRendered("train", shots, num_recordings=3, duration_s=3.0)
  again = pickle.loads(pickle.dumps(recordings))
  for index in (2, 0):
    recording = recordings[index]
    validate(recording, CLASSES)
    np.testing.assert_array_equal(recording.signal, again[index].signal)
    assert recording.id == f"train-0000{index}" and sum(map(len, recording.events.values())) > 3
  assert not np.array_equal(recordings[0].signal, recordings[1].signal)
  with pytest.raises(IndexError, match="recording 3 of 3"):
    recordings[3]


def test_excerpts_of_pieces(shots):
  piece = np.array([(t, 0.2, 60 + t % 12, 0.5) for t in range(40)], float)
  starts = set()
  for recording in PianoRendered("train", shots, [piece], num_recordings=4, duration_s=5.0):
    onsets_s = np.sort(np.concatenate(list(recording.events.values())))
    assert len(onsets_s) in (4, 5)
    np.testing.assert_allclose(np.diff(onsets_s), 1, atol=1e-3)
    starts.add(round(onsets_s[0], 3))
  assert len(starts) > 1


def test_tables_of_notes(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("OnsetTime\tOffsetTime\tMidiPitch\n0.5\t0.75\t60\n1\t3\t72\n")
  np.testing.assert_array_equal(piano_notes.read_notes(path)[:, :3], [[0.5, 0.25, 60], [1, 2, 72]])
  path.write_text("OnsetTime\tOffsetTime\tMidiPitch\n")
  assert piano_notes.read_notes(path).shape == (0, 4)
  path.write_text("OnsetTime\tOffsetTime\tMidiPitch\n0.5\t0.75\t60\n1\t0.5\t72\n")
  with pytest.raises(ValueError, match="row 3: the offset lies before the onset"):
    piano_notes.read_notes(path)


@pytest.mark.parametrize(
  "note", ((0.5, 1, 20, 0.5), (0.5, 1, 60.5, 0.5), (0.5, 1, 60, 0), (0.5, -1, 60, 0.5))
)
def test_bad_notes(shots, note):
  with pytest.raises(ValueError, match=r"note 1 at 0.500 s .*expected at least 0 s, a pitch of 21 to 108"):
    render([(0, 1, 60, 0.5), note], shots)


def test_bad_arguments(shots, tmp_path):
  with pytest.raises(ValueError, match=r"notes have shape \(2, 3\)"):
    render(np.zeros((2, 3)), shots)
  with pytest.raises(ValueError, match="split is 'dev'"):
    PianoRendered("dev", shots, num_recordings=1)
  with pytest.raises(ValueError, match="num_recordings is 0"):
    PianoRendered("train", shots, num_recordings=0)
  with pytest.raises(ValueError, match="no one-shot at all"):
    PianoRendered("train", (), num_recordings=1)
  with pytest.raises(ValueError, match="a stroke on 'closed_hat'; expected a note with a pitch"):
    PianoRendered("train", one_shots.find(write_kit(tmp_path)), num_recordings=1)
  for changes, message in (
    ({"tuning_cents": -1}, "tuning_cents is -1"),
    ({"pedal": 2}, "pedal is 2"),
    ({"peak_db": (0, 1)}, "peak_db is"),
  ):
    with pytest.raises(ValueError, match=message):
      PianoVariation(**changes)


def test_real_pianos_and_pieces(shared_data):
  folder = shared_data("oneshots")
  found = [shot for name in ("piano_kw_cc0", "piano_fb_cc0") for shot in one_shots.find(folder / name)]
  table = shared_data("MAPS") / "ENSTDkAm" / "MUS"
  pieces = [piano_notes.read_notes(sorted(table.glob("*.txt"))[0])]
  recordings = PianoRendered("train", found, pieces, num_recordings=2, duration_s=6.0)
  assert len(recordings.pianos) == 2
  for recording in recordings:
    validate(recording, CLASSES)
    assert sum(map(len, recording.events.values())) > 5
