"""Your own folder: labels, content and choice of recordings."""

import numpy as np
import pytest

from softloc_jax.data import event_writers, folder

RATE_HZ = 100.0
NUM_SAMPLES = 400  # 4 s


def add_npz(root, name, num_samples=NUM_SAMPLES, value=0.0):
  path = root / f"{name}.npz"
  path.parent.mkdir(parents=True, exist_ok=True)
  np.savez(path, signal=np.full(num_samples, value, np.float32), sample_rate=RATE_HZ)


def add_wav(root, name, channels=1):
  soundfile = pytest.importorskip("soundfile")
  path = root / f"{name}.wav"
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, np.zeros((NUM_SAMPLES, channels)), int(RATE_HZ))


def add_text(root, name, text="time,label\n1,KD\n2,SD\n"):
  path = root / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def events_of(recording):
  return {label: times.tolist() for label, times in recording.events.items()}


# --- labels


def make_clip(tmp_path, text):
  add_npz(tmp_path, "clip")
  add_text(tmp_path, "clip.csv", text)


def test_classes_fix_the_labels_and_their_order(tmp_path):
  make_clip(tmp_path, "time,label\n1,KD\n2,SD\n")
  (recording,) = folder.load(tmp_path, classes=("SD", "KD", "HH"))
  assert events_of(recording) == {"SD": [2.0], "KD": [1.0], "HH": []}
  with pytest.raises(ValueError, match=r"clip\.csv: unknown label 'SD'; expected one of KD, HH"):
    folder.load(tmp_path, classes=("KD", "HH"))


def test_class_map_renames_merges_and_drops(tmp_path):
  make_clip(tmp_path, "time,label\n3,chh\n1,ohh\n2,bd\n0.5,tt\n")
  class_map = {"chh": "HH", "ohh": "HH", "bd": "KD", "tt": None, "unused": "SD"}
  (recording,) = folder.load(tmp_path, class_map=class_map)
  assert events_of(recording) == {"HH": [1.0, 3.0], "KD": [2.0], "SD": []}
  (again,) = folder.load(tmp_path, class_map=class_map, classes=("SD", "KD", "HH"))
  assert events_of(again) == events_of(recording)
  assert list(again.events) == ["SD", "KD", "HH"]
  del class_map["tt"]
  with pytest.raises(
    ValueError, match=r"clip\.csv: label 'tt' is not in class_map \(--map\), which has chh, ohh"
  ):
    folder.load(tmp_path, class_map=class_map)


@pytest.mark.parametrize(
  "kwargs, message",
  [
    ({"classes": "KD"}, r"classes is the text 'KD'; expected a list"),
    ({"missing": "skip"}, r"missing is 'skip'; expected one of error, unlabelled, empty"),
    ({"sidecar_extension": "txt"}, r"sidecar_extension is 'txt'; expected one of \.csv"),
    ({"classes": ["KD"], "class_map": {"a": "SD"}}, r"class_map \(--map\) leads to SD; expected one of KD"),
    ({"include": "*.flac"}, r"include='\*\.flac' fits none of 1 signals: clip\.npz"),
  ],
)
def test_bad_arguments(tmp_path, kwargs, message):
  make_clip(tmp_path, "time,label\n1,KD\n")
  with pytest.raises(ValueError, match=message):
    folder.load(tmp_path, **kwargs)


# --- content


def test_event_outside_the_recording(tmp_path):
  make_clip(tmp_path, "time,label\n4.5,KD\n")
  with pytest.raises(ValueError, match=r"clip\.npz \(labels in clip\.csv\): .*'KD' at 4\.500 s lies outside"):
    folder.load(tmp_path)


def test_event_at_the_very_end_survives_its_six_decimals(tmp_path):
  path = tmp_path / "clip.npz"
  np.savez(path, signal=np.zeros(7, np.float32), sample_rate=9.0)  # 0.7777... s
  event_writers.write_events(tmp_path / "clip.csv", {"KD": [7 / 9]})
  (recording,) = folder.load(tmp_path)
  assert recording.times_s("KD").tolist() == [7 / 9]


def test_nan_in_a_signal(tmp_path):
  add_npz(tmp_path, "clip", value=np.nan)
  add_text(tmp_path, "clip.csv")
  with pytest.raises(ValueError, match=r"clip\.npz.*400 samples are NaN or infinite, the first at sample 0"):
    folder.load(tmp_path)


def test_unreadable_audio_and_sidecar(tmp_path):
  pytest.importorskip("soundfile")
  add_text(tmp_path, "clip.wav", "no audio")
  add_text(tmp_path, "clip.csv")
  with pytest.raises(ValueError, match=r"clip\.wav: cannot read as audio"):
    folder.load(tmp_path)
  add_text(tmp_path, "clip.csv", "time,label\nsoon,KD\n")
  with pytest.raises(
    ValueError, match=r"clip\.csv: row 2: time is 'soon'"
  ):  # found before any signal is read
    folder.load(tmp_path)


def test_stereo_audio(tmp_path):
  add_wav(tmp_path, "clip", channels=2)
  add_text(tmp_path, "clip.csv")
  assert folder.load(tmp_path)[0].signal.shape == (NUM_SAMPLES,)
  assert folder.load(tmp_path, mono=False)[0].signal.shape == (NUM_SAMPLES, 2)


# --- choosing


def make_split(tmp_path, text):
  for name in ("a", "b", "c"):
    add_npz(tmp_path, name)
    add_text(tmp_path, f"{name}.csv")
  if text is not None:
    add_text(tmp_path, "split.csv", text)


def test_split_file_chooses(tmp_path):
  make_split(tmp_path, "id,split\na,train\nc,train\nb,test\n")
  assert [r.id for r in folder.load(tmp_path, split="train")] == ["a", "c"]
  assert [r.id for r in folder.load(tmp_path, split="test")] == ["b"]
  assert [r.id for r in folder.load(tmp_path)] == ["a", "b", "c"]


@pytest.mark.parametrize(
  "text, error, message",
  [
    (None, FileNotFoundError, r"no such file: .*split\.csv"),
    (
      "id,split\na,train\nb,train\nc,train\n",
      ValueError,
      r"split\.csv has no split 'test'; expected one of train",
    ),
    ("id,split\na,train\nb,test\n", ValueError, r"1 recordings are in no split: c"),
    ("id,split\na,train\nb,test\nc,test\nd,test\n", ValueError, r"split 'test': 'd' fits no recording"),
  ],
)
def test_split_file_that_is_refused(tmp_path, text, error, message):
  make_split(tmp_path, text)
  with pytest.raises(error, match=message):
    folder.load(tmp_path, split="test")


def test_include_reads_nothing_else(tmp_path):
  make_split(tmp_path, None)
  add_text(tmp_path, "b.npz", "damaged")
  add_text(tmp_path, "orphan.csv")
  assert [r.id for r in folder.load(tmp_path, include="[ac].*")] == ["a", "c"]
  with pytest.raises(ValueError, match=r"b\.npz: cannot read as npz"):
    folder.load(tmp_path, include="b.*")
  with pytest.raises(ValueError, match=r"1 event files without a signal: orphan\.csv"):
    folder.load(tmp_path, include="*")


# --- real data


def test_real_steps(shared_data):
  recordings = folder.load(shared_data("steps"), classes=("left", "right"))
  assert len(recordings) == 36
  assert sum(len(times) for r in recordings for times in r.events.values()) == 10185
  assert {(r.signal.shape[1], r.sample_rate_hz) for r in recordings} == {(3, 50.0)}


def test_real_seismic(shared_data):
  recordings = folder.load(shared_data("seismic"), include="BG_*")
  assert recordings
  for recording in recordings:
    assert recording.signal.shape == (9001, 3)
    assert recording.times_s("P") == pytest.approx([30.0])
    assert len(recording.times_s("S")) == 1


def test_real_piano(shared_data):
  pytest.importorskip("soundfile")
  (recording,) = folder.load(shared_data("MAPS/ENSTDkAm/MUS"), include="*chpn_op33_2*")
  assert recording.id == "MAPS_MUS-chpn_op33_2_ENSTDkAm"
  assert recording.sample_rate_hz == 16000
  assert sum(len(times) for times in recording.events.values()) == 1933
  assert all(21 <= int(pitch) <= 108 for pitch in recording.events)
