"""Which file is whose sidecar, and what does not pair up."""

import numpy as np
import pytest

from softloc_jax.data import folder

RATE_HZ = 100.0
NUM_SAMPLES = 400  # 4 s
SIGNAL_CSV = "# sample_rate_hz: 100\n" + "0\n" * NUM_SAMPLES


def add_npz(root, name, num_samples=NUM_SAMPLES, value=0.0):
  path = root / f"{name}.npz"
  path.parent.mkdir(parents=True, exist_ok=True)
  np.savez(path, signal=np.full(num_samples, value, np.float32), sample_rate=RATE_HZ)


def add_wav(root, name):
  soundfile = pytest.importorskip("soundfile")
  path = root / f"{name}.wav"
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, np.zeros(NUM_SAMPLES), int(RATE_HZ))


def add_text(root, name, text="time,label\n1,KD\n2,SD\n"):
  path = root / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def events_of(recording):
  return {label: times.tolist() for label, times in recording.events.items()}


def test_links_are_followed_and_lead_into_no_circle(tmp_path):
  elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
  for name in ("kit/a", "kit/.hidden/b", "kit/._c"):
    add_npz(elsewhere, name)
  add_text(elsewhere, "kit/a.csv")
  add_npz(data, "z")
  add_text(data, "z.csv")
  (data / "linked").symlink_to(elsewhere / "kit", target_is_directory=True)
  (elsewhere / "kit" / "back").symlink_to(data, target_is_directory=True)
  (data / "again.npz").symlink_to(data / "z.npz")
  (data / ".lock").symlink_to("nowhere")  # hidden
  found = [str(path) for path in folder.list_files(data)]
  assert found == ["again.npz", "linked/a.csv", "linked/a.npz", "z.csv", "z.npz"]
  (data / "again.npz").unlink()
  assert [r.id for r in folder.load(data)] == ["linked__a", "z"]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
  add_npz(tmp_path, "a")
  add_text(tmp_path, "a.csv")
  (tmp_path / "b.npz").symlink_to("gone.npz")
  with pytest.raises(
    FileNotFoundError, match=r"b\.npz is a link to gone\.npz, which does not exist; expected"
  ):
    folder.load(tmp_path)


def test_sidecar_beside_its_signal(tmp_path):
  add_npz(tmp_path, "b")
  add_text(tmp_path, "b.csv")
  add_wav(tmp_path, "kit1/a.take2")
  add_text(tmp_path, "kit1/a.take2.txt", "0.5\tHH\n")
  recordings = folder.load(tmp_path)
  assert [r.id for r in recordings] == ["b", "kit1__a.take2"]
  assert [len(r.signal) for r in recordings] == [NUM_SAMPLES, NUM_SAMPLES]
  assert all(r.sample_rate_hz == RATE_HZ for r in recordings)
  # Every recording has every class, in one order.
  assert events_of(recordings[0]) == {"HH": [], "KD": [1.0], "SD": [2.0]}
  assert events_of(recordings[1]) == {"HH": [0.5], "KD": [], "SD": []}
  assert list(recordings[0].events) == list(recordings[1].events) == ["HH", "KD", "SD"]
  assert all(r.is_labelled("KD") for r in recordings)


@pytest.mark.parametrize(
  "signal, sidecar",
  [
    ("clip", "labels/clip.csv"),
    ("clip", "Annotations/clip.tsv"),
    ("audio/clip", "annotations/clip.txt"),
    ("audio/kit1/clip", "annotations/kit1/clip.txt"),
    ("kit1/clip", "labels/kit1/clip.csv"),
    ("kit1/clip", "kit1/labels/clip.csv"),
    ("kit1/audio/clip", "kit1/labels/clip.csv"),
  ],
)
def test_sidecar_in_a_parallel_folder(tmp_path, signal, sidecar):
  add_npz(tmp_path, signal)
  add_text(tmp_path, sidecar, "1\tKD\n")
  (recording,) = folder.load(tmp_path)
  assert recording.id == signal.replace("/", "__")
  assert events_of(recording) == {"KD": [1.0]}


@pytest.mark.parametrize(
  "sidecar", ["annotations/kit2/clip.txt", "kit2/annotations/clip.txt", "kit2/clip.txt"]
)
def test_sidecar_of_another_place_does_not_fit(tmp_path, sidecar):
  add_npz(tmp_path, "audio/kit1/clip")
  add_text(tmp_path, sidecar, "1\tKD\n")
  with pytest.raises(ValueError, match=f"1 event files without a signal: {sidecar}"):
    folder.load(tmp_path)


@pytest.mark.parametrize("sidecar", ["clip.txt", "clip.tsv", "labels/clip.csv"])
def test_csv_is_a_signal_where_another_file_is_its_sidecar(tmp_path, sidecar):
  add_text(tmp_path, "clip.csv", SIGNAL_CSV)
  add_text(tmp_path, sidecar, "1\tKD\n")
  (recording,) = folder.load(tmp_path)
  assert recording.signal.shape == (NUM_SAMPLES,)
  assert events_of(recording) == {"KD": [1.0]}


def test_csv_is_a_sidecar_beside_another_signal(tmp_path):
  add_npz(tmp_path, "clip", value=7.0)
  add_text(tmp_path, "clip.csv", "time,label\n1,KD\n")
  (recording,) = folder.load(tmp_path)
  assert recording.signal[0] == 7.0


def test_csv_alone_is_no_recording(tmp_path):
  add_npz(tmp_path, "a")
  add_text(tmp_path, "a.csv")
  add_text(tmp_path, "b.csv", SIGNAL_CSV)
  with pytest.raises(ValueError, match=r"1 event files without a signal: b\.csv; .*only if it has a sidecar"):
    folder.load(tmp_path)


def test_several_sidecars_are_refused_until_one_is_chosen(tmp_path):
  add_npz(tmp_path, "clip")
  add_text(tmp_path, "clip.csv", "time,label\n1,KD\n")
  add_text(tmp_path, "labels/clip.txt", "2 KD\n")
  with pytest.raises(
    ValueError, match=r"clip\.npz has 2 sidecars: clip\.csv, labels/clip\.txt; .*sidecar_extension"
  ):
    folder.load(tmp_path)
  assert events_of(folder.load(tmp_path, sidecar_extension=".txt")[0]) == {"KD": [2.0]}
  assert events_of(folder.load(tmp_path, sidecar_extension=".csv")[0]) == {"KD": [1.0]}


def test_same_stem_twice(tmp_path):
  add_npz(tmp_path, "clip")
  add_wav(tmp_path, "clip")
  add_text(tmp_path, "clip.txt", "1 KD\n")
  with pytest.raises(ValueError, match=r"clip\.npz and clip\.wav would both have the id 'clip'"):
    folder.load(tmp_path)


def test_ids_that_collide_through_their_separator(tmp_path):
  for name in ("a/b__c", "a__b/c"):
    add_npz(tmp_path, name)
    add_text(tmp_path, f"{name}.csv")
  with pytest.raises(ValueError, match=r"would both have the id 'a__b__c'"):
    folder.load(tmp_path)


def test_one_sidecar_for_two_signals(tmp_path):
  add_npz(tmp_path, "wet/clip")
  add_npz(tmp_path, "dry/clip")
  add_text(tmp_path, "annotations/clip.txt", "1 KD\n")
  with pytest.raises(
    ValueError, match=r"annotations/clip\.txt fits two signals, dry/clip\.npz and wet/clip\.npz"
  ):
    folder.load(tmp_path)
  assert folder.load(tmp_path, include="wet/*")[0].id == "wet__clip"


def test_files_that_are_no_events(tmp_path):
  add_npz(tmp_path, "clip")
  add_text(tmp_path, "clip.csv")
  for name in (
    "README.txt",
    "LICENSE.txt",
    "metadata.csv",
    "split.csv",
    ".hidden.csv",
    ".git/x.csv",
    "notes.md",
  ):
    add_text(tmp_path, name, "any text")
  assert [r.id for r in folder.load(tmp_path)] == ["clip"]


# --- what is missing


def test_missing_folder(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
    folder.load(tmp_path / "nowhere")


def test_no_recording_says_what_was_looked_for_and_found(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"looked for \.wav, \.flac.*, found no file"):
    folder.load(tmp_path)
  for name in ("a.m4a", "b.m4a", "c.csv", "Makefile"):
    add_text(tmp_path, name)
  with pytest.raises(FileNotFoundError, match=r"no recording in .*, found 2 \.m4a, 1 no extension, 1 \.csv"):
    folder.load(tmp_path)


def make_unlabelled(tmp_path, num=7):
  add_npz(tmp_path, "a")
  add_text(tmp_path, "a.csv", "time,label\n1,KD\n")
  for n in range(num):
    add_npz(tmp_path, f"u{n}")


def test_signal_without_sidecar(tmp_path):
  make_unlabelled(tmp_path)
  with pytest.raises(
    ValueError, match=r"7 signals without a sidecar of events: u0\.npz, .*u4\.npz and 2 more"
  ):
    folder.load(tmp_path)


@pytest.mark.parametrize("classes", [None, ("KD", "SD")])
def test_unlabelled_or_empty_on_request(tmp_path, classes):
  make_unlabelled(tmp_path, num=1)
  unlabelled = folder.load(tmp_path, missing="unlabelled", classes=classes)
  empty = folder.load(tmp_path, missing="empty", classes=classes)
  assert [r.is_labelled("KD") for r in unlabelled] == [True, False]
  assert [r.is_labelled("KD") for r in empty] == [True, True]
  assert [len(r.times_s("KD")) for r in unlabelled] == [len(r.times_s("KD")) for r in empty] == [1, 0]


def test_unlabelled_needs_to_know_of_what(tmp_path):
  add_npz(tmp_path, "a")
  with pytest.raises(ValueError, match=r"no label found; expected classes=\.\.\."):
    folder.load(tmp_path, missing="unlabelled")


def test_sidecars_without_signals(tmp_path):
  add_npz(tmp_path, "a")
  for name in ("a.csv", "b.csv", "c/d.txt"):
    add_text(tmp_path, name)
  with pytest.raises(ValueError, match=r"2 event files without a signal: b\.csv, c/d\.txt"):
    folder.load(tmp_path)
