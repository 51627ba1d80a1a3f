"""Written events: tables read back, other formats read by their own libraries, nothing overwritten."""

import os
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from softloc_jax.data.event_files import read_events
from softloc_jax.data.event_writers import write_events

EVENTS = {"KD": np.array([0.5, 1.25]), "SD": np.array([1.0])}
CONFIDENCE = {"KD": np.array([0.9, 0.4]), "SD": np.array([1.0])}


def test_jams_round_trip(tmp_path):
  jams = pytest.importorskip("jams")
  path = tmp_path / "take.jams"
  write_events(path, EVENTS, CONFIDENCE, duration_s=3.0)
  read = read_events(path)
  assert {k: v.tolist() for k, v in read.items()} == {k: v.tolist() for k, v in EVENTS.items()}
  document = jams.load(str(path))
  assert document.file_metadata.duration == 3.0
  assert [one.confidence for one in document.annotations[0]] == [0.9, 1.0, 0.4]


def test_midi_round_trip(tmp_path):
  pretty_midi = pytest.importorskip("pretty_midi")
  path = tmp_path / "take.mid"
  write_events(path, EVENTS, CONFIDENCE)
  read = read_events(path)
  assert sorted(read) == ["36", "38"]  # General MIDI's kick and snare
  np.testing.assert_allclose(read["36"], EVENTS["KD"], atol=1e-3)
  (instrument,) = pretty_midi.PrettyMIDI(str(path)).instruments
  assert instrument.is_drum and {note.velocity for note in instrument.notes} == {114, 51, 127}


def test_midi_keys_of_pitches_and_other_names(tmp_path):
  pytest.importorskip("pretty_midi")
  path = tmp_path / "take.mid"
  write_events(path, {"60": [1.0], "step": [2.0], "jump": [3.0]})
  assert {k: v.round(2).tolist() for k, v in read_events(path).items()} == {
    "60": [1.0],
    "61": [2.0],
    "62": [3.0],
  }


def test_midi_of_hours_can_be_read_again(tmp_path):
  pytest.importorskip("pretty_midi")
  path, times_s = tmp_path / "long.mid", np.array([0.5125, 3600.0125, 7200.3337, 36000.25])
  write_events(path, {"KD": times_s})
  np.testing.assert_allclose(read_events(path)["36"], times_s, atol=3e-3)
  with pytest.raises(ValueError, match=r"longer: an event at 90000 s; expected at most 49500 s"):
    write_events(tmp_path / "longer.mid", {"KD": np.array([9e4])})


@pytest.mark.parametrize("labels", [("KD", "36"), ("7", "07")])
def test_classes_that_would_share_a_key_are_refused(tmp_path, labels):
  pytest.importorskip("pretty_midi")
  with pytest.raises(ValueError, match=r"x: classes '\w+' and '\w+' are both key \d+ of MIDI"):
    write_events(tmp_path / "x.mid", {label: np.array([1.0]) for label in labels})
  assert not list(tmp_path.iterdir())


def test_a_layer_counts_in_samples_of_the_file(tmp_path):
  path = tmp_path / "take.svl"
  write_events(path, EVENTS, CONFIDENCE, sample_rate_hz=48000)
  text = path.read_text()
  assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE sonic-visualiser>')
  root = ElementTree.fromstring(text)
  assert root.find("data/model").get("sampleRate") == "48000"
  assert root.find("data/model").get("dataset") == root.find("data/dataset").get("id")
  assert root.find("display/layer").get("model") == root.find("data/model").get("id")
  points = [(int(p.get("frame")), p.get("label")) for p in root.findall("data/dataset/point")]
  assert points == [(24000, "KD 0.90"), (48000, "SD 1.00"), (60000, "KD 0.40")]


@pytest.mark.parametrize("extension", [".jams", ".mid", ".svl"])
def test_nothing_is_replaced_unless_told_and_nothing_is_left_behind(extension, tmp_path):
  pytest.importorskip("jams")
  path = tmp_path / f"take{extension}"
  path.write_text("mine")
  with pytest.raises(FileExistsError, match="overwrite"):
    write_events(path, EVENTS)
  assert path.read_text() == "mine"
  write_events(path, {}, overwrite=True)
  assert path.read_bytes() != b"mine" and [p.name for p in tmp_path.iterdir()] == [path.name]
  with pytest.raises(ValueError, match=r">= 0 s"):
    write_events(path, {"KD": [-1.0]}, overwrite=True)


def test_written_table_is_sorted_with_six_decimals(tmp_path):
  path = tmp_path / "a.csv"
  write_events(
    path, {"SD": [1.0, 0.5], "KD": np.array([0.5]), "HH": []}, {"SD": [0.9, 0.25], "KD": [1], "HH": []}
  )
  assert path.read_text() == (
    "time,label,confidence\n0.500000,KD,1.000000\n0.500000,SD,0.250000\n1.000000,SD,0.900000\n"
  )
  assert os.listdir(tmp_path) == ["a.csv"]


LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1) | st.sampled_from(
  ["closed hat", "a,b", "a\tb", '"', "1.5", "time", "#"]
)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("with_confidence", [False, True])
def test_what_is_written_is_read_back(tmp_path, name, with_confidence):
  @given(st.dictionaries(LABELS, st.lists(st.floats(0, 1e5), min_size=1, max_size=5), max_size=4))
  def round_trip(events):
    confidence = {label: np.linspace(0, 1, len(times)) for label, times in events.items()}
    write_events(tmp_path / name, events, confidence if with_confidence else None, overwrite=True)
    back = read_events(tmp_path / name)
    assert set(back) == set(events)
    for label, times in events.items():
      np.testing.assert_allclose(back[label], np.sort(times), atol=0.51e-6)

  round_trip()


def test_nothing_is_overwritten_unasked(tmp_path):
  path = tmp_path / "a.csv"
  write_events(path, {"a": [1.0]})
  with pytest.raises(FileExistsError, match=r"a\.csv exists; overwrite=True"):
    write_events(path, {"a": [2.0]})
  assert read_events(path)["a"].tolist() == [1.0]
  write_events(path, {"a": [2.0]}, overwrite=True)
  assert read_events(path)["a"].tolist() == [2.0]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
  path = tmp_path / "a.csv"
  write_events(path, {"a": [1.0]})

  def full_disk(source, target):
    raise OSError("no space left")

  monkeypatch.setattr(os, "replace", full_disk)
  with pytest.raises(OSError, match="no space left"):
    write_events(path, {"a": [2.0]}, overwrite=True)
  assert os.listdir(tmp_path) == ["a.csv"]
  assert read_events(path)["a"].tolist() == [1.0]


@pytest.mark.parametrize(
  "events, confidence, message",
  [
    ({"a": [-1.0]}, None, r"times of 'a'; expected a list of finite times >= 0 s"),
    ({"a": [np.nan]}, None, r"times of 'a'"),
    ({"a": [[1.0]]}, None, r"times of 'a'"),
    ({"": [1.0]}, None, r"label ''; expected text in one line"),
    ({" a": [1.0]}, None, r"label ' a'"),
    ({"a\nb": [1.0]}, None, r"label 'a\\nb'"),
    ({"a": [1.0]}, {"b": [1.0]}, r"confidence is given for \['b'\]; expected the events' labels \['a'\]"),
    ({"a": [1.0]}, {"a": [1.0, 2.0]}, r"confidence of 'a'; expected 1 finite numbers"),
    ({"a": [1.0]}, {"a": [np.inf]}, r"confidence of 'a'; expected 1 finite numbers"),
  ],
)
def test_what_cannot_be_written(tmp_path, events, confidence, message):
  with pytest.raises(ValueError, match=message):
    write_events(tmp_path / "a.csv", events, confidence)
  assert os.listdir(tmp_path) == []


def test_where_it_cannot_be_written(tmp_path):
  with pytest.raises(
    ValueError, match=r"cannot write events as .\.png.; expected one of \.csv, \.tsv, \.jams"
  ):
    write_events(tmp_path / "a.png", {})
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
    write_events(tmp_path / "nowhere" / "a.csv", {})
