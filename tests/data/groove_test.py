"""Groove MIDI: the distribution's layout, unzipped or not, and what its notes and pedal mean."""

import os
import zipfile

import numpy as np
import pytest
from small_groove import write_groove, write_midi

from softloc_jax.data import groove
from softloc_jax.data.groove import VOICES, Strokes

NAMES = (
  "kick",
  "snare",
  "closed_hat",
  "open_hat",
  "pedal_hat",
  "sidestick",
  "tom_high",
  "tom_low",
  "crash",
  "ride",
)


@pytest.fixture
def folder(tmp_path):
  return write_groove(tmp_path)


def zipped(folder):
  path = folder / "groove-v1.0.0-midionly.zip"
  with zipfile.ZipFile(path, "w") as archive:
    for file in sorted((folder / "groove").rglob("*.*")):
      archive.write(file, file.relative_to(folder))
  return path


def test_folder_parent_and_zip_hold_the_same(folder, tmp_path):
  path = zipped(folder)
  only_zip = tmp_path / "only"
  only_zip.mkdir()
  os.rename(path, only_zip / path.name)
  found = [groove.find(p) for p in (folder, folder / "groove", only_zip, only_zip / path.name)]
  for performances in found:
    assert [one.id for one in performances] == [one.id for one in found[0]]
    strokes, expected = groove.read(performances[3]), groove.read(found[0][3])
    for field in ("times_s", "voices", "velocities", "openness"):
      np.testing.assert_array_equal(getattr(strokes, field), getattr(expected, field))
  first = found[0][0]
  assert (first.drummer, first.bpm, first.duration_s, first.split) == ("drummer1", 100, 8, "train")


def test_official_split(folder):
  by_split = groove.official_split(groove.find(folder))
  assert {split: [one.split for one in some] for split, some in by_split.items()} == {
    split: [split] * 2 for split in ("train", "validation", "test")
  }


def test_notes(folder):
  strokes = groove.read(groove.find(folder)[0])
  assert [VOICES[voice] for voice in strokes.voices[:10]] == list(NAMES)
  np.testing.assert_allclose(strokes.times_s, np.arange(len(strokes)) * 0.25, atol=0.002)
  np.testing.assert_allclose(strokes.velocities[:3], np.array([127, 100, 90]) / 127)
  # The pedal goes down before the first note and up at 1 s.
  np.testing.assert_array_equal(strokes.openness, (strokes.times_s > 0.99).astype(float))


def test_a_pedal_that_is_not_heard_of_is_open(tmp_path):
  root = write_groove(tmp_path) / "groove"
  first = groove.find(tmp_path)[0]
  write_midi(root / first.midi_filename, [(0.5, 46, 100), (1.0, 26, 100), (1.5, 46, 9)], pedal=[(0.8, 45)])
  np.testing.assert_allclose(groove.read(first).openness, [1, 0.5, 0.5])


def test_strokes():
  strokes = Strokes(np.array([2.0, 1.0]), np.array([0, 1]), np.array([0.2, 0.1]), np.array([0.0, 1.0]))
  moved = strokes.shift(1.0, 2.0)
  np.testing.assert_array_equal(moved.times_s, [5, 3])
  joined = groove.join([strokes, moved])
  np.testing.assert_array_equal(joined.times_s, [1, 2, 3, 5])
  np.testing.assert_array_equal(joined.velocities, [0.1, 0.2, 0.1, 0.2])
  np.testing.assert_array_equal(joined.is_any("snare", "ride"), [True, False, True, False])


def test_a_wrong_folder_says_what_was_found(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder or zip file: .*info\.csv beside drummer1"):
    groove.find(tmp_path / "missing")
  (tmp_path / "MAPS").mkdir()
  with pytest.raises(FileNotFoundError, match=r"no info\.csv in .*found MAPS"):
    groove.find(tmp_path)
  with zipfile.ZipFile(tmp_path / "groove.zip", "w") as archive:
    archive.writestr("readme", "")
  with pytest.raises(FileNotFoundError, match=r"groove\.zip: no info\.csv in it"):
    groove.find(tmp_path)


def edit(folder, old, new):
  path = folder / "groove" / "info.csv"
  path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
  ("old", "new", "message"),
  (
    ("duration,split", "length,split", "info.csv has no column duration; found drummer, session"),
    ("100,beat", "fast,beat", "row 2: bpm 'fast', duration '8.0'; expected numbers"),
    ("8.0,train", "8.0,training", "row 2: split 'training'.*expected one of train, validation, test"),
    ("8.0,train", "-1,train", "duration -1.0.*positive numbers"),
  ),
)
def test_bad_tables(folder, old, new, message):
  edit(folder, old, new)
  with pytest.raises(ValueError, match=message):
    groove.find(folder)


def test_a_table_that_is_no_text(folder):
  table = (folder / "groove" / "info.csv").read_bytes().replace(b"rock", b"bl\xf6des", 1)
  with zipfile.ZipFile(folder / "groove.zip", "w") as archive:
    archive.writestr("groove/info.csv", table)
  (folder / "groove" / "info.csv").write_bytes(table)
  for path in (folder, folder / "groove.zip"):
    with pytest.raises(ValueError, match=r"info\.csv: not a text file in UTF-8"):
      groove.find(path)


def test_missing_and_damaged_files(folder):
  performances = groove.find(folder)
  path = folder / "groove" / performances[0].midi_filename
  write_midi(path, [(0, 36, 100), (1, 60, 100)])
  with pytest.raises(ValueError, match=r"0_rock_100_beat_4-4\.mid: notes \[60\]; expected those of the kit"):
    groove.read(performances[0])
  path.write_bytes(b"RIFF")
  with pytest.raises(ValueError, match="cannot read as MIDI"):
    groove.read(performances[0])
  path.unlink()
  with pytest.raises(FileNotFoundError, match=r"1 files of info\.csv are missing: drummer1/train/0"):
    groove.find(folder)


def test_the_real_one(shared_data):
  performances = groove.find(shared_data("groove"))
  by_split = groove.official_split(performances)
  assert [len(by_split[split]) for split in groove.SPLITS] == [897, 124, 129]
  assert sum(one.duration_s for one in performances) / 3600 == pytest.approx(13.6, abs=0.05)
  for one in performances[::200]:
    strokes = groove.read(one)
    assert len(strokes) and (np.diff(strokes.times_s) >= 0).all()
    assert strokes.times_s[-1] <= one.duration_s + 0.1
    assert ((strokes.velocities > 0) & (strokes.velocities <= 1)).all()
    assert ((strokes.openness >= 0) & (strokes.openness <= 1)).all()
