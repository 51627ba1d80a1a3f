"""Events written for other programs, read back by their own libraries."""

from xml.etree import ElementTree

import numpy as np
import pytest

from softloc_jax.data import event_files

EVENTS = {"KD": np.array([0.5, 1.25]), "SD": np.array([1.0])}
CONFIDENCE = {"KD": np.array([0.9, 0.4]), "SD": np.array([1.0])}


def test_jams_round_trip(tmp_path):
  jams = pytest.importorskip("jams")
  path = tmp_path / "take.jams"
  event_files.write_events(path, EVENTS, CONFIDENCE, duration_s=3.0)
  read = event_files.read_events(path)
  assert {k: v.tolist() for k, v in read.items()} == {k: v.tolist() for k, v in EVENTS.items()}
  document = jams.load(str(path))
  assert document.file_metadata.duration == 3.0
  assert [one.confidence for one in document.annotations[0]] == [0.9, 1.0, 0.4]


def test_midi_round_trip(tmp_path):
  pretty_midi = pytest.importorskip("pretty_midi")
  path = tmp_path / "take.mid"
  event_files.write_events(path, EVENTS, CONFIDENCE)
  read = event_files.read_events(path)
  assert sorted(read) == ["36", "38"]  # General MIDI's kick and snare
  np.testing.assert_allclose(read["36"], EVENTS["KD"], atol=1e-3)
  (instrument,) = pretty_midi.PrettyMIDI(str(path)).instruments
  assert instrument.is_drum and {note.velocity for note in instrument.notes} == {114, 51, 127}


def test_midi_keys_of_pitches_and_other_names(tmp_path):
  pytest.importorskip("pretty_midi")
  path = tmp_path / "take.mid"
  event_files.write_events(path, {"60": [1.0], "step": [2.0], "jump": [3.0]})
  assert {k: v.round(2).tolist() for k, v in event_files.read_events(path).items()} == {
    "60": [1.0],
    "61": [2.0],
    "62": [3.0],
  }


def test_a_layer_counts_in_samples_of_the_file(tmp_path):
  path = tmp_path / "take.svl"
  event_files.write_events(path, EVENTS, CONFIDENCE, sample_rate_hz=48000)
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
    event_files.write_events(path, EVENTS)
  assert path.read_text() == "mine"
  event_files.write_events(path, {}, overwrite=True)
  assert path.read_bytes() != b"mine" and [p.name for p in tmp_path.iterdir()] == [path.name]
  with pytest.raises(ValueError, match=r">= 0 s"):
    event_files.write_events(path, {"KD": [-1.0]}, overwrite=True)
