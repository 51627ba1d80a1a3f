"""The MIT-BIH loader, on records written in the true format and on the real ones."""

import sys

import numpy as np
import pytest

from softloc_jax.data import mitdb

wfdb = pytest.importorskip("wfdb")

SYMBOLS = ["+", "N", "V", "~", "/", "|", "A", '"']  # four of them are beats: N V / A
SAMPLES = [5, 100, 400, 450, 700, 800, 1000, 1100]


def write_record(folder, name, *, units="mV", signal=None, annotate=True):
  if signal is None:
    time_s = np.arange(1440) / 360
    signal = np.stack([np.sin(2 * np.pi * time_s), np.zeros(1440)], axis=1)
  wfdb.wrsamp(
    name,
    fs=360,
    units=[units, "mV"],
    sig_name=["MLII", "V5"],
    p_signal=signal,
    fmt=["16", "16"],
    adc_gain=[200.0, 200.0],
    baseline=[0, 0],
    write_dir=str(folder),
  )
  if annotate:
    wfdb.wrann(name, "atr", np.array(SAMPLES), symbol=SYMBOLS, write_dir=str(folder))


def test_reads_the_first_lead_in_millivolts_and_beats_only(tmp_path):
  write_record(tmp_path, "100")
  (recording,) = mitdb.load(tmp_path)
  assert (recording.id, recording.sample_rate_hz) == ("100", 360.0)
  assert recording.signal.dtype == np.float32
  np.testing.assert_allclose(recording.signal, np.sin(2 * np.pi * np.arange(1440) / 360), atol=1 / 200)
  assert list(recording.events) == ["beat"]
  np.testing.assert_allclose(recording.times_s("beat"), np.array([100, 400, 700, 1000]) / 360)


def test_other_voltage_units_are_converted(tmp_path):
  signal = np.zeros((1440, 2))
  signal[10, 0] = 100.0
  write_record(tmp_path, "100", units="uV", signal=signal)
  assert mitdb.load(tmp_path)[0].signal[10] == pytest.approx(0.1)


def test_records_come_sorted_or_as_asked(tmp_path):
  for name in ("203", "100", "101"):
    write_record(tmp_path, name)
  (tmp_path / "._100.hea").touch()  # which macOS puts beside others
  assert [r.id for r in mitdb.load(tmp_path)] == ["100", "101", "203"]
  assert [r.id for r in mitdb.load(str(tmp_path), records=("203", 100))] == ["203", "100"]


def test_missing_folder_and_empty_folder(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
    mitdb.load(tmp_path / "nowhere")
  with pytest.raises(FileNotFoundError, match=r"no \.hea file in"):
    mitdb.load(tmp_path)


def test_missing_record_lists_what_is_there(tmp_path):
  write_record(tmp_path, "100")
  write_record(tmp_path, "101")
  with pytest.raises(FileNotFoundError, match=r"no record 999, 7 in .*; found 100, 101"):
    mitdb.load(tmp_path, records=("100", "999", "7"))


def test_repeated_record(tmp_path):
  write_record(tmp_path, "100")
  with pytest.raises(ValueError, match="names 100 more than once"):
    mitdb.load(tmp_path, records=("100", "100"))


def test_missing_annotations_and_missing_samples(tmp_path):
  write_record(tmp_path, "100", annotate=False)
  with pytest.raises(FileNotFoundError, match=r"record 100 has no annotations: expected .*100\.atr"):
    mitdb.load(tmp_path)
  write_record(tmp_path, "100")
  (tmp_path / "100.dat").unlink()
  with pytest.raises(FileNotFoundError, match=r"record .*100 is incomplete: no file .*100\.dat"):
    mitdb.load(tmp_path)


@pytest.mark.parametrize("damage", ["header", "samples"])
def test_unreadable_record_is_named(tmp_path, damage):
  write_record(tmp_path, "100")
  if damage == "header":
    (tmp_path / "100.hea").write_text("this is no header\n")
  else:
    samples = (tmp_path / "100.dat").read_bytes()
    (tmp_path / "100.dat").write_bytes(samples[: len(samples) // 2])
  with pytest.raises(ValueError, match=r"cannot read record .*100 as WFDB"):
    mitdb.load(tmp_path)


def test_signal_that_is_no_voltage(tmp_path):
  write_record(tmp_path, "100", units="mmHg")
  with pytest.raises(ValueError, match=r"the first signal is in 'mmHg'; expected one of mV, uV, V"):
    mitdb.load(tmp_path)


def test_missing_samples_are_refused(tmp_path):
  signal = np.zeros((1440, 2))
  signal[7, 0] = np.nan
  write_record(tmp_path, "100", signal=signal)
  with pytest.raises(ValueError, match=r"recording '100': 1 samples are NaN"):
    mitdb.load(tmp_path)


def test_beat_after_the_end_of_the_signal(tmp_path):
  write_record(tmp_path, "100", signal=np.zeros((900, 2)))
  with pytest.raises(ValueError, match=r"recording '100': event 'beat' at 2\.778 s lies outside"):
    mitdb.load(tmp_path)


def test_missing_wfdb_says_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "wfdb", None)
  with pytest.raises(ImportError, match=r"pip install softloc-jax\[ecg\]"):
    mitdb.load(tmp_path)


def test_beat_symbols_are_the_standard_beats_of_wfdb():
  described = {label.symbol: label.description for label in wfdb.io.annotation.ann_labels}
  beats = {
    symbol
    for symbol, text in described.items()
    if any(w in text for w in ("beat", "contraction", "Learning"))
  }
  # Bundle branch block without a side, and fusions, are described without one of these words.
  assert beats | {"B"} == mitdb.BEAT_SYMBOLS


def test_real_records(shared_data):
  recordings = {r.id: r for r in mitdb.load(shared_data("mitdb"), records=("100", "106", "102"))}
  assert all(r.sample_rate_hz == 360 and len(r.signal) == 650000 for r in recordings.values())
  # The database's own record descriptions: 2273 beats in 100, 2027 in 106, 2187 in 102.
  assert {name: len(r.times_s("beat")) for name, r in recordings.items()} == {
    "100": 2273,
    "106": 2027,
    "102": 2187,
  }
  # The signal is in mV: a beat of record 100 rises about 1 mV above its surroundings.
  signal = recordings["100"].signal
  beats = (recordings["100"].times_s("beat")[1:-1] * 360).round().astype(int)
  rise = np.max([signal[beats + shift] for shift in range(-5, 6)], axis=0) - np.median(signal)
  assert 0.8 < np.median(rise) < 2.0
