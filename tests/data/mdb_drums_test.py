"""MDB Drums: its real tracks, and small files in the distribution's layout."""

import logging

import numpy as np
import pytest
import soundfile

from softloc_jax.data import mdb_drums

# As the distribution writes them: blanks around the tabs, and an empty line at the end.
CLASS_ROWS = (
  "0.000000 \t CY \n0.004354 \t KD \n0.290000 \t HH \n0.420000 \t SD \n0.500000 \t TT \n0.6\tOT\n\n"
)
SUBCLASS_ROWS = "0.000000 \t CRC \n0.004354 \t KD \n0.290000 \t OHH \n0.420000 \t SDG \n\n"


def write_track(
  root, track="MusicDelta_Rock", rows=CLASS_ROWS, *, mixes=("drum_only", "full_mix"), extension=".wav"
):
  for folder in ("class", "subclass"):
    (root / "annotations" / folder).mkdir(parents=True, exist_ok=True)
  (root / "annotations" / "class" / f"{track}_class.txt").write_text(rows)
  (root / "annotations" / "subclass" / f"{track}_subclass.txt").write_text(SUBCLASS_ROWS)
  for mix in ("drum_only", "full_mix"):
    (root / "audio" / mix).mkdir(parents=True, exist_ok=True)
  for number, mix in enumerate(mixes, start=1):
    path = root / "audio" / mix / f"{track}{mdb_drums.MIXES[mix]}{extension}"
    soundfile.write(path, np.full((8000, 2), number / 8), 8000)


@pytest.mark.parametrize("extension", [".wav", ".flac"])
def test_reads_a_track_with_its_three_drums(tmp_path, caplog, extension):
  write_track(tmp_path, extension=extension)
  (item,) = mdb_drums.find(tmp_path)
  assert (item.id, item.group) == ("MusicDelta_Rock", "drum_only")
  recording = mdb_drums.read(item)
  assert (recording.sample_rate_hz, recording.signal.shape) == (8000.0, (8000,))
  assert {name: times.tolist() for name, times in recording.events.items()} == {
    "KD": [0.004354],
    "SD": [0.42],
    "HH": [0.29],
  }
  assert not caplog.records  # toms, cymbals and others are left out by design


def test_files_that_macos_puts_beside_others_are_no_tracks(tmp_path, caplog):
  write_track(tmp_path)
  for path in [*tmp_path.rglob("*.wav"), *tmp_path.rglob("*.txt")]:
    path.with_name(f"._{path.name}").write_bytes(b"\0")
  assert [item.id for item in mdb_drums.find(tmp_path)] == ["MusicDelta_Rock"] and not caplog.records


def test_extensions_in_capitals(tmp_path):
  write_track(tmp_path)
  for path in [*tmp_path.rglob("*.wav"), *tmp_path.rglob("*_class.txt")]:
    path.rename(path.with_suffix(path.suffix.upper()))
  (item,) = mdb_drums.find(tmp_path)
  assert mdb_drums.read(item).times_s("KD").tolist() == [0.004354]


def test_subclasses_tell_open_from_closed(tmp_path):
  write_track(tmp_path)
  (item,) = mdb_drums.find(tmp_path)
  found = mdb_drums.read_subclasses(item)
  assert {name: times.tolist() for name, times in found.items()} == {
    "CRC": [0.0],
    "KD": [0.004354],
    "OHH": [0.29],
    "SDG": [0.42],
  }
  path = tmp_path / "annotations" / "subclass" / "MusicDelta_Rock_subclass.txt"
  path.write_text("-0.01\tKD\n")
  assert mdb_drums.read_subclasses(item)["KD"].tolist() == [0.0]
  path.unlink()
  with pytest.raises(FileNotFoundError, match=r"no such file: .*MusicDelta_Rock_subclass\.txt"):
    mdb_drums.read_subclasses(item)


def test_the_mix_is_chosen_by_name(tmp_path):
  write_track(tmp_path / "MDB Drums")
  (item,) = mdb_drums.find(tmp_path, mix="full_mix")  # the parent of the distribution
  assert item.signal_path.name == "MusicDelta_Rock_MIX.wav"
  assert mdb_drums.read(item).signal[0] == pytest.approx(2 / 8, abs=1e-4)
  with pytest.raises(ValueError, match=r"mix is 'mix'; expected one of drum_only, full_mix"):
    mdb_drums.find(tmp_path, mix="mix")


def test_hits_just_outside_are_moved_to_the_edge(tmp_path, caplog):
  write_track(tmp_path, rows="-0.05\tKD\n0.5\tSD\n1.03\tHH\n")
  (item,) = mdb_drums.find(tmp_path)
  with caplog.at_level(logging.WARNING):
    recording = mdb_drums.read(item)
  found = {name: times_s.tolist() for name, times_s in recording.events.items()}
  assert found == {"KD": [0.0], "SD": [0.5], "HH": [1.0]} and len(caplog.records) == 2
  write_track(tmp_path, rows="-0.06\tKD\n")
  with pytest.raises(ValueError, match=r"row 1: time is '-0\.06'; expected seconds, a number >= -0\.05"):
    mdb_drums.read(item)


def test_unknown_classes_are_reported(tmp_path, caplog):
  write_track(tmp_path, rows="0.1\tKD\n0.2\tCowbell\n")
  (item,) = mdb_drums.find(tmp_path)
  with caplog.at_level(logging.WARNING):
    assert mdb_drums.read(item).times_s("KD").tolist() == [0.1]
  (record,) = caplog.records
  assert (
    "MusicDelta_Rock_class.txt: left out 1 hits with unknown labels: 'Cowbell' (1)" in record.getMessage()
  )


@pytest.mark.parametrize(
  "rows, message", [("0.1\tKD\n0.2\n", "row 2 has 1 columns"), ("", "the file is empty")]
)
def test_malformed_annotations(tmp_path, rows, message):
  write_track(tmp_path, rows=rows)
  (item,) = mdb_drums.find(tmp_path)
  with pytest.raises(ValueError, match=rf"MusicDelta_Rock_class\.txt: {message}"):
    mdb_drums.read(item)


def test_a_wrong_folder_says_what_is_expected_and_what_is_there(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*; expected MDB Drums, audio/drum_only/"):
    mdb_drums.find(tmp_path / "nowhere")
  (tmp_path / "LICENSE").touch()
  with pytest.raises(FileNotFoundError, match=r"no annotations/class in .*; found LICENSE"):
    mdb_drums.find(tmp_path)


def test_a_folder_without_audio(tmp_path):
  write_track(tmp_path, mixes=("drum_only",))
  with pytest.raises(
    FileNotFoundError, match=r"found 1 annotations without audio: .*MusicDelta_Rock_class\.txt"
  ):
    mdb_drums.find(tmp_path, mix="full_mix")


def test_official_halves(tmp_path):
  assert len(mdb_drums.MIREX_TRAIN) == 12 and len(mdb_drums.MIREX_TEST) == 11
  assert not set(mdb_drums.MIREX_TRAIN) & set(mdb_drums.MIREX_TEST)
  for track in ("MusicDelta_Zeppelin", "MusicDelta_Punk", "MusicDelta_80sRock"):
    write_track(tmp_path, track)
  split = mdb_drums.mirex_split(mdb_drums.find(tmp_path))
  assert {name: [item.id for item in members] for name, members in split.items()} == {
    "train": ["MusicDelta_80sRock", "MusicDelta_Zeppelin"],
    "test": ["MusicDelta_Punk"],
  }
  write_track(tmp_path, "MusicDelta_Polka")
  with pytest.raises(ValueError, match=r"track 'MusicDelta_Polka' is in neither half"):
    mdb_drums.mirex_split(mdb_drums.find(tmp_path))


def test_real_tracks(shared_data, caplog):
  items = mdb_drums.find(shared_data("MDBDrums"))
  assert len(items) == 7
  assert len(mdb_drums.mirex_split(items)["train"]) == 7  # part of the training list
  totals = dict.fromkeys(mdb_drums.CLASSES, 0)
  for item in items:
    recording = mdb_drums.read(item)
    assert recording.sample_rate_hz == 44100.0 and recording.duration_s > 10
    subclasses = mdb_drums.read_subclasses(item)
    hats = [subclasses[name] for name in ("CHH", "OHH", "PHH") if name in subclasses]
    np.testing.assert_allclose(recording.times_s("HH"), np.sort(np.concatenate([[], *hats])), atol=1e-6)
    for name in totals:
      totals[name] += len(recording.times_s(name))
  assert totals == {"KD": 248, "SD": 226, "HH": 355}
  assert not caplog.records


def test_real_full_mixes_are_there_in_part(shared_data, caplog):
  with caplog.at_level(logging.WARNING):
    items = mdb_drums.find(shared_data("MDBDrums"), mix="full_mix")
  assert [item.id for item in items] == ["MusicDelta_Reggae", "MusicDelta_Rock", "MusicDelta_Zeppelin"]
  assert "left out 4 annotations without audio" in caplog.text
  assert all(mdb_drums.read(item).duration_s > 10 for item in items)
