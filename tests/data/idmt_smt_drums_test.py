"""IDMT-SMT-Drums, on small files in the distribution's layout."""

import logging
import pathlib

import numpy as np
import pytest
import soundfile

from softloc_jax.data import idmt_smt_drums
from softloc_jax.data.item import Item

EVENT = """    <event>
      <pitch>0</pitch>
      <onsetSec>{0}</onsetSec>
      <offsetSec>{0}</offsetSec>
      <instrument>{1}</instrument>
    </event>
"""
XML = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<instrumentRecording>
  <globalParameter>
    <audioFileName>{track}#MIX.wav</audioFileName>
    <recordingArtist>somebody</recordingArtist>
    <mixGroundTrouthAvailable>false</mixGroundTrouthAvailable>
    <audioTrainingFileName>{track}#HH#train.wav</audioTrainingFileName>
  </globalParameter>
  <transcription>
{events}  </transcription>
</instrumentRecording>
"""
HITS = [("0.08585", "HH"), ("0.091791", "KD"), ("0.50431", "HH"), ("0.52608", "SD"), ("1", "HH")]


def write_track(root, track="RealDrum01_00", hits=HITS, *, audio=True, xml=None):
  for folder in ("audio", "annotation_xml", "annotation_svl"):
    (root / folder).mkdir(parents=True, exist_ok=True)
  if audio:
    for part in ("MIX", "HH", "KD", "SD", "HH#train"):
      soundfile.write(root / "audio" / f"{track}#{part}.wav", np.full(8820, 0.25), 8820)
  if xml is None:
    xml = XML.format(track=track, events="".join(EVENT.format(*hit) for hit in hits))
  (root / "annotation_xml" / f"{track}#MIX.xml").write_text(xml)
  (root / "annotation_svl" / f"{track}#HH.svl").touch()


def read_only_track(root):
  (item,) = idmt_smt_drums.find(root)
  return idmt_smt_drums.read(item)


def test_reads_a_mix_with_its_three_drums(tmp_path, caplog):
  write_track(tmp_path)
  recording = read_only_track(tmp_path)
  assert (recording.id, recording.sample_rate_hz, len(recording.signal)) == ("RealDrum01_00", 8820.0, 8820)
  assert {name: times.tolist() for name, times in recording.events.items()} == {
    "KD": [0.091791],
    "SD": [0.52608],
    "HH": [0.08585, 0.50431, 1.0],
  }
  assert not caplog.records


def test_only_mixes_are_read_and_their_names_give_the_subset(tmp_path):
  for track in ("WaveDrum02_60", "RealDrum01_00", "TechnoDrum02_03"):
    write_track(tmp_path / "IDMT-SMT-DRUMS-V2", track)
  items = idmt_smt_drums.find(tmp_path)  # the parent of the distribution
  assert [(item.id, item.group) for item in items] == [
    ("RealDrum01_00", "RealDrum"),
    ("TechnoDrum02_03", "TechnoDrum"),
    ("WaveDrum02_60", "WaveDrum"),
  ]
  assert [item.signal_path.name for item in items] == [f"{item.id}#MIX.wav" for item in items]


def test_a_drum_that_is_not_played_is_known_to_be_absent(tmp_path):
  write_track(tmp_path, hits=[("0.5", "KD")])
  recording = read_only_track(tmp_path)
  assert {name: len(times) for name, times in recording.events.items()} == {"KD": 1, "SD": 0, "HH": 0}
  assert all(recording.is_labelled(name) for name in idmt_smt_drums.CLASSES)


def test_hidden_files_are_no_tracks(tmp_path):
  write_track(tmp_path)
  for path in list(tmp_path.rglob("*MIX*")):
    path.with_name(f"._{path.name}").touch()
  assert len(idmt_smt_drums.find(tmp_path)) == 1


def test_hits_are_sorted_and_exponents_are_numbers(tmp_path):
  write_track(tmp_path, hits=[("0.5", "KD"), ("9.5e-05", "KD")])
  assert read_only_track(tmp_path).times_s("KD").tolist() == [9.5e-05, 0.5]


def test_hits_just_outside_are_moved_to_the_edge_and_reported(tmp_path, caplog):
  write_track(tmp_path, hits=[("-0.00017", "KD"), ("0.5", "SD"), ("1.03", "HH")])
  with caplog.at_level(logging.WARNING):
    recording = read_only_track(tmp_path)
  assert {name: times.tolist() for name, times in recording.events.items()} == {
    "KD": [0.0],
    "SD": [0.5],
    "HH": [1.0],
  }
  assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
    "moved 1 hits to the edge of the recording (0 to 1.0000 s), the first from -0.0002 s",
    "moved 1 hits to the edge of the recording (0 to 1.0000 s), the first from 1.0300 s",
  ]


def test_hits_far_outside_are_refused(tmp_path):
  write_track(tmp_path, hits=[("0.5", "SD"), ("1.2", "SD")])
  with pytest.raises(ValueError, match=r"RealDrum01_00#MIX\.xml: .*event 'SD' at 1\.200 s lies outside"):
    read_only_track(tmp_path)


def test_an_unknown_instrument_is_reported(tmp_path, caplog):
  write_track(tmp_path, hits=[("0.5", "TT"), ("0.6", "KD"), ("0.7", "TT")])
  with caplog.at_level(logging.WARNING):
    assert read_only_track(tmp_path).times_s("KD").tolist() == [0.6]
  (record,) = caplog.records
  assert "left out 2 hits with unknown labels: 'TT' (2)" in record.getMessage()


@pytest.mark.parametrize(
  "xml, message",
  [
    ("<a><b></a>", "cannot read as XML"),
    ("", "cannot read as XML"),
    ("<instrumentRecording/>", "no <transcription> in <instrumentRecording>"),
    (XML.format(track="a", events=EVENT.format("0.1", "KD") + EVENT.format("soon", "KD")), "event 2 has"),
    (XML.format(track="a", events=EVENT.format("nan", "KD")), "event 1 has onsetSec 'nan'"),
    (XML.format(track="a", events=EVENT.format("0.1", "")), "event 1 has .* instrument ''"),
  ],
)
def test_malformed_annotations(tmp_path, xml, message):
  write_track(tmp_path, xml=xml)
  with pytest.raises(ValueError, match=rf"RealDrum01_00#MIX\.xml: {message}"):
    read_only_track(tmp_path)


def test_a_wrong_folder_says_what_is_expected_and_what_is_there(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*; expected IDMT-SMT-Drums, audio/"):
    idmt_smt_drums.find(tmp_path / "nowhere")
  (tmp_path / "drummer_1").mkdir()
  with pytest.raises(FileNotFoundError, match=r"no annotation_xml in .*expected .*; found drummer_1"):
    idmt_smt_drums.find(tmp_path)


def test_several_copies_in_a_folder_are_not_chosen_from(tmp_path):
  write_track(tmp_path / "V1")
  write_track(tmp_path / "V2")
  with pytest.raises(FileNotFoundError, match=r"several copies: V1, V2; expected the path of one"):
    idmt_smt_drums.find(tmp_path)


def test_annotations_without_any_mix(tmp_path):
  write_track(tmp_path, audio=False)
  with pytest.raises(FileNotFoundError, match=r"found 1 annotations without audio: .*RealDrum01_00#MIX\.xml"):
    idmt_smt_drums.find(tmp_path)


def test_mixes_without_annotation_are_left_out_with_a_warning(tmp_path, caplog):
  write_track(tmp_path, "RealDrum01_00")
  write_track(tmp_path, "RealDrum01_01")
  (tmp_path / "annotation_xml" / "RealDrum01_01#MIX.xml").unlink()
  with caplog.at_level(logging.WARNING):
    assert [item.id for item in idmt_smt_drums.find(tmp_path)] == ["RealDrum01_00"]
  (record,) = caplog.records
  assert "left out 1 audio files without annotation" in record.getMessage()
  assert "RealDrum01_01#MIX.wav" in record.getMessage()


@pytest.mark.parametrize("track", ["FolkDrum01_00", "RealDrum"])
def test_a_track_of_no_subset(tmp_path, track):
  write_track(tmp_path, track)
  with pytest.raises(ValueError, match=rf"the track is '{track}'; expected one of RealDrum, TechnoDrum"):
    idmt_smt_drums.find(tmp_path)


def distribution():
  """All 104 tracks of version 2, as names."""
  tracks = [f"RealDrum01_{n:02d}" for n in range(20)]
  tracks += [f"TechnoDrum01_{n:02d}" for n in range(10)] + [f"TechnoDrum02_{n:02d}" for n in range(4)]
  tracks += [f"WaveDrum01_{n:02d}" for n in range(10)] + [f"WaveDrum02_{n:02d}" for n in range(1, 61)]
  return [
    Item(t, pathlib.Path(f"{t}.wav"), pathlib.Path(f"{t}.xml"), t[: t.index("Drum") + 4]) for t in tracks
  ]


def ids(split):
  return {name: [item.id for item in members] for name, members in split.items()}


def all_ids(split):
  return sorted(item.id for members in split.values() for item in members)


def test_random_split_of_the_six_runs():
  items = distribution()
  runs = [idmt_smt_drums.random_split(items, seed) for seed in range(6)]
  for split in runs:
    assert all_ids(split) == sorted(item.id for item in items)
    assert {name: len(members) for name, members in split.items()} == {
      "train": 14 + 10 + 49,
      "validation": 3 + 2 + 11,
      "test": 3 + 2 + 10,
    }
    for members in split.values():  # every subset is in every split, as much as in the whole
      shares = {
        name: sum(item.group == name for item in members) / len(members) for name in idmt_smt_drums.SUBSETS
      }
      assert shares == pytest.approx(
        {"RealDrum": 20 / 104, "TechnoDrum": 14 / 104, "WaveDrum": 70 / 104}, abs=0.06
      )
  tests = [frozenset(ids(split)["test"]) for split in runs]
  assert len(set(tests)) == 6
  assert ids(idmt_smt_drums.random_split(items[::-1], 3)) == ids(runs[3])


@pytest.mark.parametrize("subset", idmt_smt_drums.SUBSETS)
def test_subset_split_tests_what_was_never_trained_on(subset):
  items = distribution()
  split = idmt_smt_drums.subset_split(items, subset)
  assert all_ids(split) == sorted(item.id for item in items)
  assert {item.group for item in split["test"]} == {subset}
  for name in ("train", "validation"):
    assert {item.group for item in split[name]} == set(idmt_smt_drums.SUBSETS) - {subset}
  assert 0.1 < len(split["validation"]) / len(split["train"]) < 0.25
  assert ids(idmt_smt_drums.subset_split(items, subset, seed=1)) != ids(split)


def test_splits_that_cannot_be_made():
  items = distribution()
  with pytest.raises(ValueError, match=r"test group is 'FolkDrum'; expected one of RealDrum, TechnoDrum"):
    idmt_smt_drums.subset_split(items, "FolkDrum")
  with pytest.raises(ValueError, match=r"every track is of the group 'RealDrum'"):
    idmt_smt_drums.subset_split(items[:20], "RealDrum")
  with pytest.raises(ValueError, match=r"group 'RealDrum': 2 recordings for 3 splits"):
    idmt_smt_drums.random_split(items[:2], 0)
