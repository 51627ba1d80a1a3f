"""Prepared copies: written from original files, read back bit by bit, never stale."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds

from softloc_jax.data import builders, condition, maps, mdb_drums

REPO = pathlib.Path(__file__).resolve().parents[2]
RATE_HZ = 8000


def write_track(root, track, *, seed, hits="0.1\tKD\n0.1\tHH\n0.2345678\tHH\n0.3\tCY\n"):
  (root / "annotations" / "class").mkdir(parents=True, exist_ok=True)
  (root / "audio" / "drum_only").mkdir(parents=True, exist_ok=True)
  (root / "annotations" / "class" / f"MusicDelta_{track}_class.txt").write_text(hits)
  signal = np.random.default_rng(seed).uniform(-0.9, 0.9, RATE_HZ // 2 + seed)
  soundfile.write(root / "audio" / "drum_only" / f"MusicDelta_{track}_Drum.wav", signal, RATE_HZ, "FLOAT")


@pytest.fixture
def original(tmp_path):
  """Six tracks of MDB Drums in its layout: more than a shard holds, in both halves of its split."""
  for seed, track in enumerate(("Zeppelin", "Rock", "Reggae", "Punk", "Gospel", "80sRock")):
    write_track(tmp_path / "original", track, seed=seed)
  return tmp_path / "original"


@pytest.fixture
def load(original, tmp_path):
  def call(**arguments):
    settings = {"prepared_dir": tmp_path / "prepared", "show_progress": False}
    return builders.load("mdb_drums", original, **(settings | arguments))

  return call


@pytest.fixture
def reads(monkeypatch):
  """Ids of the original recordings that are read."""
  found = []

  def read(item):
    found.append(item.id)
    return mdb_drums.read(item)

  monkeypatch.setattr(builders.MdbDrums, "read", staticmethod(read))
  return found


def assert_same(recording, expected, classes=mdb_drums.CLASSES):
  assert recording.id == expected.id
  assert recording.sample_rate_hz == expected.sample_rate_hz
  assert recording.signal.dtype == np.float32
  np.testing.assert_array_equal(recording.signal, expected.signal)
  for name in classes:
    np.testing.assert_array_equal(recording.times_s(name), expected.times_s(name))
    assert recording.is_labelled(name) == expected.is_labelled(name)


def test_recordings_come_back_bit_by_bit(original, load):
  recordings = load()
  expected = [mdb_drums.read(item) for item in mdb_drums.find(original)]
  assert len(recordings) == 6
  for recording, other in zip(recordings, expected, strict=True):
    assert_same(recording, other)
  assert recordings[0].times_s("HH").tolist() == [0.1, 0.2345678]  # 64 bits: no 32-bit number is that
  assert list(recordings[0].events) == list(mdb_drums.CLASSES)
  recordings[0].signal[0] = 0  # may be changed


def test_recordings_are_conditioned_as_without_a_copy(original, load):
  for recording, item in zip(load(sample_rate_hz=3000), mdb_drums.find(original), strict=True):
    assert_same(recording, condition.condition(mdb_drums.read(item), sample_rate_hz=3000))


def test_a_copy_is_made_once(load, reads):
  first = load()
  assert sorted(reads) == [recording.id for recording in first]
  reads.clear()
  for recording, again in zip(first, load(), strict=True):
    assert_same(again, recording)
  assert not reads


def test_a_copy_is_never_stale(original, load, reads, tmp_path):
  load()
  reads.clear()

  labels = original / "annotations" / "class" / "MusicDelta_Punk_class.txt"
  labels.write_text("0.4\tKD\n")
  assert load(ids=["MusicDelta_Punk"])[0].times_s("KD").tolist() == [0.4]
  labels.write_text("0.2\tKD\n")  # of the same size
  os.utime(labels, ns=(1, 1))
  assert load(ids=["MusicDelta_Punk"])[0].times_s("KD").tolist() == [0.2]
  assert len(reads) == 12

  write_track(original, "Britpop", seed=9)
  assert len(load()) == 7
  (original / "annotations" / "class" / "MusicDelta_Britpop_class.txt").unlink()
  (original / "audio" / "drum_only" / "MusicDelta_Britpop_Drum.wav").unlink()
  reads.clear()
  assert len(load()) == 6
  assert not reads  # the copy of before is still there
  assert load(sample_rate_hz=4000)[0].sample_rate_hz == 4000
  assert len(reads) == 6
  names = sorted(path.name.split("-")[0] for path in (tmp_path / "prepared" / "mdb_drums").iterdir())
  assert names == ["4000hz", "native", "native", "native", "native"]


def test_other_code_makes_another_copy(original, load, reads, monkeypatch):
  load()
  items = mdb_drums.find(original)
  config = builders.RecordingsConfig(name="")
  before = builders.MdbDrums.fingerprint(items, config)
  assert builders.MdbDrums.fingerprint(items, config) == before
  monkeypatch.setattr(builders.recordings_builder, "_source", lambda module: "another version")
  assert builders.MdbDrums.fingerprint(items, config) != before
  reads.clear()
  load()
  assert len(reads) == 6


def test_some_recordings_in_the_order_asked_for(load):
  wanted = ["MusicDelta_Rock", "MusicDelta_80sRock", "MusicDelta_Punk"]
  assert [recording.id for recording in load(ids=wanted)] == wanted
  assert load(ids=[]) == []


@pytest.mark.parametrize(
  "arguments, message",
  [
    ({"ids": ["MusicDelta_Rock", "Polka"]}, r"ids: Polka not in .*; expected some of MusicDelta_80sRock, "),
    ({"ids": ["MusicDelta_Rock"] * 2}, r"ids: MusicDelta_Rock given more than once"),
    ({"sample_rate_hz": -1}, r"sample_rate_hz is -1"),
    ({"options": {"mix": "mono"}}, r"mix is 'mono'; expected one of drum_only, full_mix"),
  ],
)
def test_bad_arguments(load, arguments, message):
  with pytest.raises(ValueError, match=message):
    load(**arguments)


def test_an_unknown_data_set(tmp_path):
  with pytest.raises(
    ValueError, match=r"data set is 'mnist'; expected one of maps, idmt_smt_drums, enst_drums"
  ):
    builders.load("mnist", tmp_path)


def test_a_wrong_folder_is_what_the_data_set_says_of_it(tmp_path):
  (tmp_path / "holiday.jpg").touch()
  with pytest.raises(FileNotFoundError, match=r"expected MAPS, .*; found holiday\.jpg$") as raised:
    builders.load("maps", tmp_path, prepared_dir=tmp_path / "prepared")
  assert "tensorflow_datasets" not in str(raised.traceback[-1].path)
  assert not (tmp_path / "prepared").exists()


def test_an_unreadable_recording_leaves_nothing_behind(original, load):
  labels = original / "annotations" / "class" / "MusicDelta_Rock_class.txt"
  text = labels.read_text()
  labels.write_text("0.1\tKD\nsoon\tKD\n")
  for _ in range(2):
    with pytest.raises(ValueError, match=r"MusicDelta_Rock_class\.txt: row 2: time is 'soon'"):
      load()
  labels.write_text(text)
  assert len(load()) == 6


def test_another_process_may_be_faster(load, reads, monkeypatch):
  slow_read = builders.MdbDrums.read

  def read(item):
    if not reads:  # while the first recording is read, the other process starts and finishes
      reads.append("the other process")
      assert len(load()) == 6
    return slow_read(item)

  monkeypatch.setattr(builders.MdbDrums, "read", staticmethod(read))
  assert len(load()) == 6
  assert len(reads) == 1 + 6 + 6


def test_progress_is_shown_if_asked_for_and_output_is_left_alone(load, capfd):
  load(show_progress=False)
  assert capfd.readouterr() == ("", "")
  load(sample_rate_hz=4000, show_progress=True)
  shown = capfd.readouterr()
  assert shown.out == ""
  assert "preparing mdb_drums: 100%" in shown.err and "6/6" in shown.err


def test_official_splits_and_what_a_record_holds(original, tmp_path):
  builder = builders.prepare("mdb_drums", original, prepared_dir=tmp_path / "prepared", show_progress=False)
  assert {name: split.num_examples for name, split in builder.info.splits.items()} == {"test": 2, "train": 4}
  source = builder.as_data_source("train")
  items = {item.id: item for item in mdb_drums.find(original)}
  assert [example["id"].decode() for example in source] == [
    f"MusicDelta_{style}" for style in ("80sRock", "Reggae", "Rock", "Zeppelin")
  ]
  example = source[2]
  assert set(example) == {"id", "group", "sample_rate_hz", "signal", "events", "unlabelled"}
  assert example["group"] == b"drum_only"
  assert builder.info.features["events"]["label"].feature.names == ["KD", "SD", "HH"]
  assert list(example["events"]["label"]) == [2, 0, 2]  # in the order of time, and of the name
  assert_same(builders.recording_of(example, builder.CLASSES), mdb_drums.read(items["MusicDelta_Rock"]))


def write_piece(root, piece, instrument):
  folder = root / instrument / "MUS"
  folder.mkdir(parents=True, exist_ok=True)
  name = f"MAPS_MUS-{piece}_{instrument}"
  (folder / f"{name}.txt").write_text("OnsetTime\tOffsetTime\tMidiPitch\n0.1\t0.2\t60\n")
  soundfile.write(folder / f"{name}.wav", np.zeros(800), 1600)


def test_pieces_that_overlap_the_test_set_have_a_split_of_their_own(tmp_path):
  for piece, instrument in (("a", "ENSTDkAm"), ("a", "AkPnBcht"), ("b", "AkPnBcht"), ("c", "StbgTGd2")):
    write_piece(tmp_path / "MAPS", piece, instrument)
  arguments = {"prepared_dir": tmp_path / "prepared", "show_progress": False}
  builder = builders.prepare("maps", tmp_path, **arguments)
  found = {
    name: [example["id"].decode() for example in source] for name, source in builder.as_data_source().items()
  }
  assert found == {
    "train": ["MAPS_MUS-b_AkPnBcht", "MAPS_MUS-c_StbgTGd2"],
    "test": ["MAPS_MUS-a_ENSTDkAm"],
    "overlap": ["MAPS_MUS-a_AkPnBcht"],
  }
  assert len(builder.as_data_source("all")) == 4
  for recording, item in zip(builders.load("maps", tmp_path, **arguments), maps.find(tmp_path), strict=True):
    assert_same(recording, maps.read(item), maps.CLASSES)


def test_a_data_set_without_official_splits_has_one(tmp_path):
  for drummer in (1, 2):
    folder = tmp_path / f"drummer_{drummer}"
    (folder / "annotation").mkdir(parents=True)
    (folder / "audio" / "dry_mix").mkdir(parents=True)
    (folder / "annotation" / "001_hits.txt").write_text("0.1 bd\n")
    soundfile.write(folder / "audio" / "dry_mix" / "001_hits.wav", np.zeros(800), 1600)
  builder = builders.prepare(
    "enst_drums", tmp_path, prepared_dir=tmp_path, options={"mix": "dry_mix"}, show_progress=False
  )
  groups = [example["group"] for example in builder.as_data_source("full")]
  assert groups == [b"drummer_1", b"drummer_2"]


def download_config(original, **more):
  return {"download_config": tfds.download.DownloadConfig(manual_dir=original, **more)}


def test_tensorflow_datasets_knows_the_builders(original, tmp_path, capfd):
  assert set(builders.BUILDERS) <= set(tfds.list_builders(with_community_datasets=False))
  source = tfds.data_source(
    "mdb_drums",
    split="train",
    data_dir=tmp_path / "prepared",
    download_and_prepare_kwargs=download_config(original),
  )
  assert len(source) == 4
  builder = tfds.builder("mdb_drums", data_dir=tmp_path / "prepared")
  assert len(builder.as_data_source("train[50%:]")) == 2
  assert builder.info.homepage.startswith("https://")


def test_tensorflow_datasets_never_prepares_over_other_files(original, tmp_path):
  prepared = tmp_path / "prepared"
  tfds.builder("mdb_drums", data_dir=prepared).download_and_prepare(**download_config(original))
  builder = tfds.builder("mdb_drums", data_dir=prepared)
  builder.download_and_prepare(**download_config(original))  # the same files: nothing to do
  write_track(original, "Britpop", seed=9)
  with pytest.raises(ValueError, match=r"mdb_drums/1\.0\.0 was prepared from other files than those in"):
    builder.download_and_prepare(**download_config(original))
  again = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
  builder.download_and_prepare(**download_config(original, download_mode=again))
  assert len(builder.as_data_source("train")) == 5


def test_classes_that_are_not_annotated_stay_so(original, tmp_path):
  class WithoutHats(builders.MdbDrums, skip_registration=True):
    name = "without_hats"

    @staticmethod
    def read(item):
      recording = mdb_drums.read(item)
      return recording.replace(events={"KD": recording.times_s("KD")}, labelled={"HH": False})

  builder = WithoutHats(data_dir=tmp_path / "prepared")
  builder.show_progress = False
  builder.download_and_prepare(**download_config(original))
  recording = builders.recording_of(builder.as_data_source("test")[0], builder.CLASSES)
  assert recording.labelled == {"HH": False}
  assert [recording.is_labelled(name) for name in builder.CLASSES] == [True, True, False]
  assert recording.times_s("KD").tolist() == [0.1]


def test_preparation_in_parallel(original, tmp_path):
  """The same copy, made by steps of Apache Beam that are sent to workers."""
  pytest.importorskip("apache_beam", reason="Apache Beam is not installed: pip install apache-beam")
  builder = builders.MdbDrums(data_dir=tmp_path / "prepared")
  builder.download_and_prepare(**download_config(original, beam_runner="DirectRunner"))
  items = mdb_drums.find(original)
  for name, members in builders.MdbDrums.splits(items).items():
    for example, item in zip(builder.as_data_source(name), members, strict=True):
      assert_same(builders.recording_of(example, builder.CLASSES), mdb_drums.read(item))


def test_neither_tensorflow_nor_this_package_is_loaded_unasked():
  script = """
import json, sys
import softloc_jax, softloc_jax.data
from softloc_jax.data import maps, mdb_drums
before = "tensorflow_datasets" in sys.modules
from softloc_jax.data import builders
print(json.dumps([before, "tensorflow_datasets" in sys.modules, "tensorflow" in sys.modules]))
"""
  environment = {**os.environ, "PYTHONPATH": str(REPO), "JAX_PLATFORMS": "cpu"}
  output = subprocess.run(
    [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
  )
  assert json.loads(output.stdout) == [False, True, False]


def test_real_tracks(shared_data, tmp_path):
  folder = shared_data("MDBDrums")
  recordings = builders.load("mdb_drums", folder, prepared_dir=tmp_path, show_progress=False)
  for recording, item in zip(recordings, mdb_drums.find(folder), strict=True):
    assert_same(recording, mdb_drums.read(item))
