"""ENST-Drums, on small files in the distribution's layout."""

import logging

import numpy as np
import pytest
import soundfile

from softloc_jax.data import enst_drums

PHRASE = "036_phrase_disco_simple_slow_sticks"
MINUS_ONE = "107_minus-one_salsa_sticks"
MIDI_MINUS_ONE = "137_MIDI-minus-one_rock'n'roll-188_sticks"
ROWS = "0.100000 bd\n0.200000 chh\n0.300000 sd\n0.310000 ohh\n0.400000 sd-\n0.500000 bd\n"


def write_track(root, stem=PHRASE, rows=ROWS, *, drummer=1, mixes=("dry_mix", "wet_mix")):
  folder = root / f"drummer_{drummer}"
  (folder / "annotation").mkdir(parents=True, exist_ok=True)
  (folder / "annotation" / f"{stem}.txt").write_text(rows)
  for number, mix in enumerate(mixes, start=1):
    (folder / "audio" / mix).mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "audio" / mix / f"{stem}.wav", np.full((8000, 2), number / 8), 8000)


def read_only_track(root, **options):
  (item,) = enst_drums.find(root, **options)
  return enst_drums.read(item)


def test_reads_a_track_with_its_three_drums(tmp_path, caplog):
  write_track(tmp_path)
  recording = read_only_track(tmp_path)
  assert (recording.id, recording.sample_rate_hz) == (f"drummer_1__{PHRASE}", 8000.0)
  assert recording.signal.shape == (8000,)
  assert {name: times.tolist() for name, times in recording.events.items()} == {
    "KD": [0.1, 0.5],
    "SD": [0.3, 0.4],
    "HH": [0.2, 0.31],
  }
  assert not caplog.records


def test_the_mix_is_chosen_by_name(tmp_path):
  write_track(tmp_path)
  assert read_only_track(tmp_path).signal[0] == pytest.approx(2 / 8, abs=1e-4)
  assert read_only_track(tmp_path, mix="dry_mix").signal[0] == pytest.approx(1 / 8, abs=1e-4)
  with pytest.raises(FileNotFoundError, match=r"no audio of the mix 'wet-mix'; found dry_mix, wet_mix"):
    enst_drums.find(tmp_path, mix="wet-mix")
  with pytest.raises(ValueError, match=r"mix is 'accompaniment', which has no drums"):
    enst_drums.find(tmp_path, mix="accompaniment")


def test_drummers_are_the_groups_and_may_have_tracks_of_one_name(tmp_path):
  for drummer in (3, 1, 2):
    write_track(tmp_path / "ENST-drums-public", drummer=drummer)
  items = enst_drums.find(tmp_path)  # the parent of the distribution
  assert [(item.id, item.group) for item in items] == [
    (f"drummer_{n}__{PHRASE}", f"drummer_{n}") for n in (1, 2, 3)
  ]
  assert all(item.group in item.signal_path.parts for item in items)


def test_minus_one_tracks(tmp_path):
  for stem in (PHRASE, MINUS_ONE, MIDI_MINUS_ONE):
    write_track(tmp_path, stem)
  chosen = enst_drums.minus_one(enst_drums.find(tmp_path))
  assert [item.id for item in chosen] == [f"drummer_1__{MINUS_ONE}", f"drummer_1__{MIDI_MINUS_ONE}"]
  assert all(len(enst_drums.read(item).times_s("KD")) == 2 for item in chosen)


def test_other_drums_are_left_out_without_a_word(tmp_path, caplog):
  others = ["cs", "rs", "sweep", "sticks", "cb", "lmt", "mt", "mtr", "lt", "ltr", "lft"]
  others += ["rc", "rc1", "rc4", "c", "c1", "cr", "cr5", "ch", "ch1", "spl", "spl2"]
  rows = "".join(f"{0.01 * n:.6f} {label}\n" for n, label in enumerate([*others, "bd"]))
  write_track(tmp_path, rows=rows)
  with caplog.at_level(logging.WARNING):
    recording = read_only_track(tmp_path)
  assert {name: len(times) for name, times in recording.events.items()} == {"KD": 1, "SD": 0, "HH": 0}
  assert not caplog.records


def test_unknown_labels_are_reported_once_and_never_fatal(tmp_path, caplog):
  write_track(tmp_path, rows=ROWS + "0.6 tambourine\n0.7 tambourine\n0.8 BD\n")
  with caplog.at_level(logging.WARNING):
    recording = read_only_track(tmp_path)
  assert len(recording.times_s("KD")) == 2
  (record,) = caplog.records
  assert (
    f"{PHRASE}.txt: left out 3 hits with unknown labels: 'BD' (1), 'tambourine' (2)" in record.getMessage()
  )


@pytest.mark.parametrize(
  "rows, message",
  [
    ("", "the file is empty"),
    ("0.1 bd\n0.2\n", "row 2 has 1 columns"),
    ("0.1 bd\nsoon sd\n", "row 2: time is 'soon'"),
    ("0.1 bd\n1.3 sd\n", "event 'SD' at 1.300 s lies outside the recording"),
  ],
)
def test_malformed_annotations(tmp_path, rows, message):
  write_track(tmp_path, rows=rows)
  with pytest.raises(ValueError, match=rf"{PHRASE}\.txt: .*{message}"):
    read_only_track(tmp_path)


def test_a_wrong_folder_says_what_is_expected_and_what_is_there(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*; expected ENST-Drums, drummer_"):
    enst_drums.find(tmp_path / "nowhere")
  (tmp_path / "annotation_xml").mkdir()
  with pytest.raises(FileNotFoundError, match=r"no drummer_.*/annotation in .*; found annotation_xml"):
    enst_drums.find(tmp_path)


def test_hits_just_outside_are_moved_to_the_edge(tmp_path, caplog):
  write_track(tmp_path, rows="-0.05 bd\n0.5 sd\n1.03 chh\n")
  (item,) = enst_drums.find(tmp_path)
  with caplog.at_level(logging.WARNING):
    recording = enst_drums.read(item)
  found = {name: times_s.tolist() for name, times_s in recording.events.items()}
  assert found == {"KD": [0.0], "SD": [0.5], "HH": [1.0]} and len(caplog.records) == 2
  write_track(tmp_path, rows="-0.06 bd\n")
  with pytest.raises(ValueError, match=r"row 1: time is '-0\.06'; expected seconds, a number >= -0\.05"):
    enst_drums.read(item)


def test_hidden_files_are_no_tracks(tmp_path, caplog):
  write_track(tmp_path)
  write_track(tmp_path, f"._{PHRASE}")
  assert [item.id for item in enst_drums.find(tmp_path)] == [f"drummer_1__{PHRASE}"] and not caplog.records


def test_annotations_without_audio_are_left_out_with_a_warning(tmp_path, caplog):
  write_track(tmp_path)
  write_track(tmp_path, MINUS_ONE, mixes=("dry_mix",))
  with caplog.at_level(logging.WARNING):
    assert [item.id for item in enst_drums.find(tmp_path)] == [f"drummer_1__{PHRASE}"]
  (record,) = caplog.records
  assert f"left out 1 annotations without audio: {tmp_path}" in record.getMessage()
  assert MINUS_ONE in record.getMessage()


def test_splits(tmp_path):
  for drummer in (1, 2, 3):
    for number in range(7):
      write_track(tmp_path, f"{number:03d}_minus-one_x_sticks", drummer=drummer, mixes=("wet_mix",))
  items = enst_drums.minus_one(enst_drums.find(tmp_path))
  everything = sorted(item.id for item in items)

  random = enst_drums.random_split(items, seed=0)
  assert sorted(item.id for members in random.values() for item in members) == everything
  assert {name: len(members) for name, members in random.items()} == {"train": 15, "validation": 3, "test": 3}
  assert random != enst_drums.random_split(items, seed=1)

  by_drummer = enst_drums.drummer_split(items, "drummer_3")
  assert sorted(item.id for members in by_drummer.values() for item in members) == everything
  assert {item.group for item in by_drummer["test"]} == {"drummer_3"}
  assert len(by_drummer["test"]) == 7
  assert {item.group for item in by_drummer["validation"]} == {"drummer_1", "drummer_2"}
  with pytest.raises(ValueError, match=r"test group is 'drummer_4'; expected one of drummer_1, drummer_2"):
    enst_drums.drummer_split(items, "drummer_4")
