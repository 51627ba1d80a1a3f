"""MAPS: real files, and small ones in the distribution's layout with each of its formats."""

import pathlib

import numpy as np
import pytest
import soundfile

from softloc_jax.data import maps
from softloc_jax.data.item import Item

HEADER = "OnsetTime\tOffsetTime\tMidiPitch\n"
NOTES = [(0.25, 0.5, 60), (0.25, 0.75, 64), (0.5, 0.6, 60)]


def write_piece(root, piece="bach_846", instrument="AkPnBcht", *, signal=".wav", labels=".txt", notes=NOTES):
  folder = root / instrument / "MUS"
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / f"MAPS_MUS-{piece}_{instrument}"
  if signal:
    stereo = np.stack([np.linspace(0, 0.5, 8000), np.zeros(8000)], axis=1)
    soundfile.write(path.with_name(path.name + signal), stereo, 8000)
  if labels == ".txt":
    rows = "".join(f"{on:.6f}\t{off:.6f}\t{pitch}\n" for on, off, pitch in notes)
    path.with_name(path.name + ".txt").write_text(HEADER + rows)
  elif labels == ".mid":
    pretty_midi = pytest.importorskip("pretty_midi")
    piano = pretty_midi.Instrument(0)
    piano.notes = [pretty_midi.Note(90, pitch, on, off) for on, off, pitch in notes]
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(piano)
    midi.write(str(path.with_name(path.name + ".mid")))
  return path


@pytest.mark.parametrize("labels", [".txt", ".mid"])
def test_reads_both_kinds_of_labels(tmp_path, labels):
  write_piece(tmp_path, labels=labels)
  (item,) = maps.find(tmp_path)
  assert (item.id, item.group) == ("MAPS_MUS-bach_846_AkPnBcht", "AkPnBcht")
  recording = maps.read(item)
  assert (recording.id, recording.sample_rate_hz, recording.signal.shape) == (item.id, 8000.0, (8000,))
  np.testing.assert_allclose(recording.signal, np.linspace(0, 0.25, 8000), atol=1e-4)  # mean of the channels
  assert set(recording.events) == {"60", "64"}
  np.testing.assert_allclose(recording.times_s("60"), [0.25, 0.5], atol=1e-3)
  np.testing.assert_allclose(recording.times_s("64"), [0.25], atol=1e-3)


def test_one_recording_where_a_piece_is_there_in_several_formats(tmp_path):
  write_piece(tmp_path, signal=".flac", labels=".mid", notes=[(0.1, 0.2, 40)])
  write_piece(tmp_path, signal=".wav", labels=".txt")
  (item,) = maps.find(tmp_path)
  assert (item.signal_path.suffix, item.label_path.suffix) == (".wav", ".txt")


def test_extensions_in_capitals(tmp_path):
  path = write_piece(tmp_path)
  for extension in (".wav", ".txt"):
    path.with_suffix(extension).rename(path.with_suffix(extension.upper()))
  (item,) = maps.find(tmp_path)
  assert maps.read(item).times_s("64").tolist() == [0.25]


def test_the_parent_of_the_distribution_will_do(tmp_path):
  write_piece(tmp_path / "MAPS")
  assert maps.find(tmp_path) == maps.find(tmp_path / "MAPS")


def test_other_parts_of_the_distribution_are_not_read(tmp_path):
  write_piece(tmp_path)
  isolated = tmp_path / "AkPnBcht" / "ISOL" / "NO"
  isolated.mkdir(parents=True)
  (isolated / "MAPS_ISOL_NO_F_S0_M21_AkPnBcht.wav").touch()
  (tmp_path / "readme.pdf").touch()
  assert len(maps.find(tmp_path)) == 1


def test_a_wrong_folder_says_what_is_expected_and_what_is_there(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere; expected MAPS, <instrument>/MUS/"):
    maps.find(tmp_path / "nowhere")
  (tmp_path / "groove-v1").mkdir()
  with pytest.raises(FileNotFoundError, match=r"expected MAPS, .*; found groove-v1"):
    maps.find(tmp_path)


@pytest.mark.parametrize("missing, what", [("signal", "no audio: expected .wav"), ("labels", "no labels")])
def test_a_piece_without_audio_or_labels_is_named(tmp_path, missing, what):
  write_piece(tmp_path)
  write_piece(tmp_path, "mz_331_1", **{missing: None})
  with pytest.raises(FileNotFoundError, match=rf"MAPS_MUS-mz_331_1_AkPnBcht has {what}"):
    maps.find(tmp_path)


def test_a_file_in_another_instruments_folder(tmp_path):
  path = write_piece(tmp_path, instrument="StbgTGd2")
  path.parent.rename(tmp_path / "MUS")
  (tmp_path / "AkPnBsdf").mkdir()
  (tmp_path / "MUS").rename(tmp_path / "AkPnBsdf" / "MUS")
  with pytest.raises(ValueError, match=r"the name says 'StbgTGd2', the folder 'AkPnBsdf'"):
    maps.find(tmp_path)


@pytest.mark.parametrize(
  "text, message",
  [
    ("0.5\t0.6\t60\n", "the header is"),
    (HEADER + "0.5\t0.6\t60\n0.7\t0.8\n", r"row 3 is '0.7\\t0.8'"),
    (HEADER + "0.5\t0.6\tC4\n", "row 2"),
    (HEADER + "-0.5\t0.6\t60\n", "row 2 .*from 0 s on"),
    (HEADER + "0.5\t0.6\t60\n0_7\t0.8\t60\n", "row 3 is '0_7"),
    (HEADER + "0.5\t0.6\t6_0\n", "row 2"),
    (HEADER + "0.5\t0.6\t60 \udce9\n", r"MAPS_MUS-bach_846_AkPnBcht\.txt: not a text file in UTF-8"),
    (HEADER + "0.5\t0.6\t20\n", "pitch 20 at 0.500 s; expected 21 to 108"),
    (HEADER + "1.5\t1.6\t60\n", "event '60' at 1.500 s lies outside the recording"),
  ],
)
def test_malformed_tables(tmp_path, text, message):
  path = write_piece(tmp_path)
  path.with_name(path.name + ".txt").write_text(text, errors="surrogateescape")
  (item,) = maps.find(tmp_path)
  with pytest.raises(ValueError, match=message):
    maps.read(item)


def an_item(piece, instrument):
  name = f"MAPS_MUS-{piece}_{instrument}"
  return Item(name, pathlib.Path(f"{name}.wav"), pathlib.Path(f"{name}.txt"), instrument)


def test_music_that_is_tested_is_not_trained_on():
  items = [
    an_item("ty_mai", "ENSTDkAm"),
    an_item("chpn-e01", "ENSTDkCl"),
    an_item("ty_mai", "AkPnBcht"),
    an_item("chpn-e01", "StbgTGd2"),
    an_item("ty_juni", "AkPnBsdf"),
    an_item("ty_juni", "SptkBGCl"),
  ]
  split = maps.configuration_2(items, validation_instruments=["SptkBGCl"])
  assert {name: [item.id for item in members] for name, members in split.items()} == {
    "train": ["MAPS_MUS-ty_juni_AkPnBsdf"],
    "validation": ["MAPS_MUS-ty_juni_SptkBGCl"],
    "test": ["MAPS_MUS-ty_mai_ENSTDkAm", "MAPS_MUS-chpn-e01_ENSTDkCl"],
  }


@pytest.mark.parametrize("instrument", ["ENSTDkAm", "Steinway"])
def test_a_validation_instrument_has_to_be_trained_on_otherwise(instrument):
  with pytest.raises(ValueError, match=rf"validation instrument '{instrument}': expected one of AkPnBcht"):
    maps.configuration_2(
      [an_item("a", "AkPnBcht"), an_item("b", "ENSTDkAm")], validation_instruments=[instrument]
    )


def test_overlap_on_real_names(shared_data):
  """The second Disklavier is not in the folder; two of its pieces are there for software pianos."""
  items = maps.find(shared_data("MAPS"))
  second = [an_item(piece, "ENSTDkCl") for piece in ("alb_se2", "bk_xmas1", "chpn-p19", "mz_333_2")]
  split = maps.configuration_2([*items, *second])
  used = {item.id for members in split.values() for item in members}
  assert sorted(item.id for item in items if item.id not in used) == [
    "MAPS_MUS-alb_se2_StbgTGd2",
    "MAPS_MUS-bk_xmas1_AkPnBsdf",
    "MAPS_MUS-bk_xmas1_AkPnStgb",
    "MAPS_MUS-bk_xmas1_StbgTGd2",
  ]
  assert len(split["test"]) == 23 + 4
  tested = {maps.piece(item) for item in split["test"]}
  assert not tested & {maps.piece(item) for item in split["train"]}
  # Nothing is left of the seventh software piano, StbgTGd2, of which the folder has these two pieces only.
  trained = {"AkPnBcht", "AkPnBsdf", "AkPnCGdD", "AkPnStgb", "SptkBGAm", "SptkBGCl"}
  assert {item.group for item in split["train"]} == trained


@pytest.mark.parametrize("name", ["MAPS_MUS-bk_xmas1_AkPnBsdf", "MAPS_MUS-ty_mai_ENSTDkAm"])
def test_real_pieces(shared_data, name):
  (item,) = (item for item in maps.find(shared_data("MAPS")) if item.id == name)
  recording = maps.read(item)
  assert (recording.id, recording.sample_rate_hz, recording.signal.ndim) == (name, 16000.0, 1)
  table = np.loadtxt(item.label_path, skiprows=1)
  assert sum(map(len, recording.events.values())) == len(table) > 50
  for pitch in np.unique(table[:, 2]):
    np.testing.assert_array_equal(recording.times_s(str(int(pitch))), np.sort(table[table[:, 2] == pitch, 0]))
  # Notes are played, and heard: the signal is louder just after onsets than over the piece.
  level = np.abs(recording.signal)
  after = [level[int(16000 * on) :][:1600].mean() for on in table[:, 0]]
  assert np.mean(after) > level.mean()
