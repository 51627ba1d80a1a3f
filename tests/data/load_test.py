"""What a config says about data to recordings of three splits, and every mistake in between."""

from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import data

PLAIN = {"sample_rate_hz": None, "bandpass_hz": None, "scaling": None}
SENSOR_HZ = 50.0


def drum_config(**changes):
  settings = {
    "name": "drum_machine",
    "classes": ("KD", "SD", "HH"),
    "seed": 0,
    "sample_rate_hz": 8_000,
    "conditioning": PLAIN,
    "duration_s": 2.0,
    "clutter": 1.0,
    "num_train": 3,
    "num_validation": 1,
    "num_test": 2,
  }
  return ConfigDict(settings | changes)


def folder_config(root, **changes):
  settings = {
    "name": "folder",
    "data_dir": str(root),
    "classes": ("step",),
    "fractions": {"train": 0.5, "validation": 0.25, "test": 0.25},
    "seed": 0,
    "conditioning": PLAIN,
  }
  return ConfigDict(settings | changes)


def ids(splits):
  return {name: [one.id for one in recordings] for name, recordings in splits.items()}


def test_drum_machine():
  splits = data.load(drum_config())
  assert list(splits) == ["train", "validation", "test"]
  assert ids(splits)["train"] == ["train-0000", "train-0001", "train-0002"]
  assert [len(one) for one in splits.values()] == [3, 1, 2]
  for one in splits["train"]:
    assert one.signal.shape == (16_000,) and one.sample_rate_hz == 8_000
  again, other = data.load(drum_config()), data.load(drum_config(seed=1))
  np.testing.assert_array_equal(splits["test"][1].signal, again["test"][1].signal)
  assert not np.array_equal(splits["test"][1].signal, other["test"][1].signal)


def test_signals_are_conditioned_and_events_stay():
  plain = data.load(drum_config())["test"][0]
  settings = {"sample_rate_hz": 4_000.0, "bandpass_hz": (50.0, 1_500.0), "scaling": "peak"}
  found = data.load(drum_config(conditioning=settings))["test"][0]
  assert found.sample_rate_hz == 4_000 and len(found.signal) == 8_000
  assert np.abs(found.signal).max() == pytest.approx(1.0)
  for name in ("KD", "SD", "HH"):
    np.testing.assert_array_equal(found.times_s(name), plain.times_s(name))


def write_recording(root, name, *, num_samples=200, text="time,label\n1.5,step\n0.5,step\n", value=1.0):
  np.savez(root / f"{name}.npz", signal=np.full(num_samples, value, np.float32), sample_rate=SENSOR_HZ)
  (root / f"{name}.csv").write_text(text)


@pytest.fixture
def own_folder(tmp_path):
  for number in range(8):
    write_recording(tmp_path, f"walk{number}")
  return tmp_path


def test_labels_of_an_own_folder_may_be_merged(own_folder):
  for number in range(8):
    write_recording(own_folder, f"walk{number}", text="time,label\n1.5,left\n0.5,right\n")
  splits = data.load(folder_config(own_folder, class_map={"left": "step", "right": "step"}))
  for recording in (one for split in splits.values() for one in split):
    assert list(recording.events) == ["step"]
    np.testing.assert_array_equal(recording.times_s("step"), [0.5, 1.5])


def test_own_folder(own_folder):
  splits = data.load(folder_config(own_folder))
  assert [len(one) for one in splits.values()] == [4, 2, 2]
  everything = [name for names in ids(splits).values() for name in names]
  assert sorted(everything) == [f"walk{number}" for number in range(8)]
  assert splits["train"][0].times_s("step").tolist() == [0.5, 1.5]
  assert ids(data.load(folder_config(own_folder))) == ids(splits)
  assert ids(data.load(folder_config(own_folder, seed=1))) != ids(splits)
  resampled = data.load(folder_config(own_folder, conditioning=PLAIN | {"sample_rate_hz": 100.0}))
  assert resampled["train"][0].sample_rate_hz == 100.0


@pytest.fixture
def ecg_folder(tmp_path):
  wfdb = pytest.importorskip("wfdb")
  for name in ("100", "102", "104"):
    wfdb.wrsamp(
      name,
      fs=360,
      units=["mV"],
      sig_name=["MLII"],
      p_signal=np.sin(np.arange(3_600) / 30)[:, None],
      fmt=["16"],
      adc_gain=[200.0],
      baseline=[0],
      write_dir=str(tmp_path),
    )
    wfdb.wrann(name, "atr", np.array([360, 1_800]), symbol=["N", "V"], write_dir=str(tmp_path))
  return tmp_path


def ecg_config(root, **changes):
  settings = {
    "name": "mitdb",
    "data_dir": str(root),
    "classes": ("beat",),
    "train": ("100",),
    "validation": ("104",),
    "test": ("102",),
    "conditioning": {"sample_rate_hz": 100.0, "bandpass_hz": (0.5, 40.0), "scaling": "robust"},
  }
  return ConfigDict(settings | changes)


def test_mitdb(ecg_folder):
  splits = data.load(ecg_config(ecg_folder))
  assert ids(splits) == {"train": ["100"], "validation": ["104"], "test": ["102"]}
  (recording,) = splits["train"]
  assert recording.sample_rate_hz == 100 and len(recording.signal) == 1_000
  assert recording.times_s("beat").tolist() == [1.0, 5.0]
  assert data.load(ecg_config(ecg_folder, train=["100"]))["train"][0].id == "100"  # as JSON gives it


# Mistakes.


def test_an_unknown_data_set():
  with pytest.raises(ValueError, match=r"data\.name is 'none-such'; expected one of drum_machine, .*folder"):
    data.load(drum_config(name="none-such"))


@pytest.mark.parametrize("make_config", [folder_config, ecg_config])
def test_a_missing_folder(tmp_path, make_config):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
    data.load(make_config(tmp_path / "nowhere"))


@pytest.mark.parametrize("make_config", [folder_config, ecg_config])
def test_a_folder_without_recordings(tmp_path, make_config):
  with pytest.raises(FileNotFoundError, match=r"no (recording|\.hea file) in"):
    data.load(make_config(tmp_path))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_recordings(ecg_folder, split):
  with pytest.raises(ValueError, match=f"the split '{split}' has no recording; expected one or more"):
    data.load(ecg_config(ecg_folder, **{split: ()}))
  with pytest.raises(ValueError, match="num_recordings is 0"):
    data.load(drum_config(**{f"num_{split}": 0}))


def test_fewer_recordings_than_splits(tmp_path):
  write_recording(tmp_path, "walk")
  with pytest.raises(ValueError, match="1 recordings for 3 splits"):
    data.load(folder_config(tmp_path))


def test_a_record_in_two_splits(ecg_folder):
  with pytest.raises(ValueError, match="names 100 more than once"):
    data.load(ecg_config(ecg_folder, test=("100", "102")))


def test_a_record_that_is_not_there(ecg_folder):
  with pytest.raises(FileNotFoundError, match=r"no record 999 in .*; found 100, 102, 104"):
    data.load(ecg_config(ecg_folder, test=("999",)))


def test_unknown_labels(own_folder, ecg_folder):
  with pytest.raises(ValueError, match=r"unknown label 'HH'; expected one of KD, SD"):
    data.load(drum_config(classes=("KD", "SD")))
  with pytest.raises(ValueError, match=r"recording '100': unknown label 'beat'; expected one of pulse"):
    data.load(ecg_config(ecg_folder, classes=("pulse",)))
  write_recording(own_folder, "odd", text="time,label\n1.0,jump\n")
  with pytest.raises(ValueError, match=r"odd\.csv: unknown label 'jump'; expected one of step"):
    data.load(folder_config(own_folder))


def test_not_a_number_in_a_signal(own_folder):
  write_recording(own_folder, "gap", value=np.nan)
  with pytest.raises(ValueError, match=r"gap\.npz.*200 samples are NaN or infinite, the first at sample 0"):
    data.load(folder_config(own_folder))


def test_an_event_outside_its_recording(own_folder):
  write_recording(own_folder, "late", text="time,label\n4.5,step\n")
  with pytest.raises(
    ValueError, match=r"late\.npz.*event 'step' at 4\.500 s lies outside the recording \(0 to 4"
  ):
    data.load(folder_config(own_folder))


def test_an_unreadable_signal(own_folder):
  (own_folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
  (own_folder / "broken.csv").write_text("time,label\n")
  with pytest.raises(ValueError, match=r"broken\.npz"):
    data.load(folder_config(own_folder))


def test_an_explicit_split_wins(own_folder):
  ids = [recording.id for split in data.load(folder_config(own_folder)).values() for recording in split]
  wanted = dict(zip(sorted(ids), ["test", "validation", *["train"] * (len(ids) - 2)], strict=True))
  rows = "".join(f"{name},{split}\n" for name, split in wanted.items())
  (own_folder / "split.csv").write_text("id,split\n" + rows)
  loaded = data.load(folder_config(own_folder, seed=3))
  assert {one.id: split for split, recordings in loaded.items() for one in recordings} == wanted
  (own_folder / "split.csv").write_text("id,split\n" + rows.replace("test", "train"))
  with pytest.raises(ValueError, match=r"split\.csv has no split 'test'"):
    data.load(folder_config(own_folder))
