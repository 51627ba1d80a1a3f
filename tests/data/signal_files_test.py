"""Signals from audio, npz and csv files, and what is refused in them."""

import sys

import numpy as np
import pytest

from softloc_jax.data.signal_files import read_signal

RATE_HZ = 16000


def tone(num_samples=8000):
  return (0.5 * np.sin(2 * np.pi * 440 * np.arange(num_samples) / RATE_HZ)).astype(np.float32)


def write_audio(path, signal, **kwargs):
  soundfile = pytest.importorskip("soundfile")
  soundfile.write(path, signal, RATE_HZ, **kwargs)
  return path


def write_text(path, text):
  path.write_text(text)
  return path


@pytest.mark.parametrize("extension, error", [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.1), ("mp3", 0.1)])
def test_audio(tmp_path, extension, error):
  path = write_audio(tmp_path / f"a.{extension}", tone())
  signal, rate_hz = read_signal(path)
  assert (signal.dtype, rate_hz) == (np.float32, 16000.0)
  if extension == "mp3":  # its frames have a fixed length, and some decoders keep the padding
    assert len(signal) >= 8000
  else:
    np.testing.assert_allclose(signal, tone(), atol=error)
  assert np.std(signal) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_extension_in_capitals(tmp_path):
  path = write_audio(tmp_path / "a.WAV", tone(), format="WAV")
  assert len(read_signal(path)[0]) == 8000


def test_channels_of_audio_are_averaged_unless_asked_for(tmp_path):
  path = write_audio(tmp_path / "a.wav", np.stack([tone(), np.zeros(8000)], axis=1), subtype="FLOAT")
  np.testing.assert_allclose(read_signal(path)[0], tone() / 2, atol=1e-7)
  stereo, _ = read_signal(path, mono=False)
  assert stereo.shape == (8000, 2)
  one = write_audio(tmp_path / "b.wav", tone())
  assert read_signal(one, mono=False)[0].shape == (8000,)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("content", [b"", b"this is text, whatever its name says" * 100])
def test_unreadable_audio(tmp_path, extension, content):
  pytest.importorskip("soundfile")
  path = tmp_path / f"a.{extension}"
  path.write_bytes(content)
  with pytest.raises(ValueError, match=rf"a\.{extension}: cannot read as audio"):
    read_signal(path)


def test_audio_without_a_sample(tmp_path):
  path = write_audio(tmp_path / "a.wav", np.zeros(0, np.float32))
  for mono in (True, False):
    with pytest.raises(ValueError, match=r"a\.wav: the signal has shape .*; expected at least one sample"):
      read_signal(path, mono=mono)


@pytest.mark.parametrize("extension", ["wav", "mp3"])
def test_audio_that_is_cut_off_is_reported(tmp_path, caplog, extension):
  path = write_audio(tmp_path / f"a.{extension}", tone(80_000))
  assert len(read_signal(path)[0]) == 80_000 and not caplog.records
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])
  num_read = len(read_signal(path)[0])
  assert 30_000 < num_read < 50_000
  assert f"a.{extension}: cut off: read {num_read} samples; expected 80000" in caplog.text


def test_audio_from_a_pipe_is_not_cut_off(tmp_path, caplog):
  path = write_audio(tmp_path / "a.wav", tone())
  content = bytearray(path.read_bytes())
  content[40:44] = b"\xff\xff\xff\xff"  # the size of the data, which their writer did not know
  path.write_bytes(content)
  assert len(read_signal(path)[0]) == 8000 and not caplog.records


def test_missing_soundfile_says_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "soundfile", None)
  with pytest.raises(ImportError, match=r"pip install soundfile"):
    read_signal(write_text(tmp_path / "a.wav", ""))


def test_missing_file_and_unknown_extension(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such file: .*gone\.wav"):
    read_signal(tmp_path / "gone.wav")
  with pytest.raises(ValueError, match=r"cannot read a signal from '\.mat'; expected one of \.wav"):
    read_signal(write_text(tmp_path / "a.mat", ""))


@pytest.mark.parametrize("shape, result", [((9,), (9,)), ((9, 3), (9, 3)), ((9, 1), (9,))])
def test_npz(tmp_path, shape, result):
  array = np.arange(np.prod(shape)).reshape(shape).astype(np.float16)
  np.savez(tmp_path / "a.npz", signal=array, sample_rate=50.0)
  signal, rate_hz = read_signal(tmp_path / "a.npz")
  assert (signal.shape, signal.dtype, rate_hz) == (result, np.float32, 50.0)
  np.testing.assert_array_equal(signal.ravel(), array.ravel())


@pytest.mark.parametrize(
  "arrays, message",
  [
    ({"signal": np.zeros(3)}, r"has no array sample_rate; found signal"),
    ({"x": np.zeros(3)}, r"has no array signal and sample_rate; found x"),
    ({}, r"has no array signal and sample_rate; found none"),
    (
      {"signal": np.zeros(3), "sample_rate": [1.0, 2.0]},
      r"sample_rate has shape \(2,\); expected one number",
    ),
    ({"signal": np.zeros(3), "sample_rate": 0}, r"the sample rate is 0\.0 Hz; expected a positive number"),
    ({"signal": np.zeros(3), "sample_rate": np.nan}, r"the sample rate is nan Hz"),
    ({"signal": np.zeros(3), "sample_rate": "50"}, r"sample_rate is of type <U2; expected real numbers"),
    ({"signal": np.zeros(3, complex), "sample_rate": 50}, r"signal is of type complex128"),
    ({"signal": np.zeros((0, 3)), "sample_rate": 50}, r"the signal has shape \(0, 3\)"),
    ({"signal": np.zeros((2, 3, 4)), "sample_rate": 50}, r"the signal has shape \(2, 3, 4\)"),
    ({"signal": np.array([None]), "sample_rate": 50}, r"cannot read as npz"),
  ],
)
def test_npz_that_is_refused(tmp_path, arrays, message):
  np.savez(tmp_path / "a.npz", **arrays)
  with pytest.raises(ValueError, match=r"a\.npz: " + message):
    read_signal(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but cut short", b"text"])
def test_damaged_npz(tmp_path, content):
  (tmp_path / "a.npz").write_bytes(content)
  with pytest.raises(ValueError, match=r"a\.npz: cannot read as npz"):
    read_signal(tmp_path / "a.npz")


def test_npz_that_is_a_bare_array(tmp_path):
  np.save(tmp_path / "a.npy", np.zeros(3))
  (tmp_path / "a.npy").rename(tmp_path / "a.npz")
  message = (
    r"a\.npz: cannot read as npz: holds one bare array, .*; expected the arrays signal and sample_rate"
  )
  with pytest.raises(ValueError, match=message):
    read_signal(tmp_path / "a.npz")


CSV = {
  "time column": "time,x,y\n0.00,1,2\n0.02,3,4\n0.04,5,6\n",
  "time column elsewhere": "x,Time,y\n1,0.00,2\n3,0.02,4\n5,0.04,6\n",
  "rate in a comment": "# sample_rate_hz: 50\nx,y\n1,2\n3,4\n5,6\n",
  "rate and no header": "# sample_rate_hz: 50\n1,2\n3,4\n5,6\n",
  "both": "# sample_rate_hz: 50\ntime,x,y\n0.00,1,2\n0.021,3,4\n0.04,5,6\n",
  "blank lines": "\n# sample_rate_hz: 50\n\n1, 2\n\n3, 4\n5, 6\n\n",
}


@pytest.mark.parametrize("text", CSV.values(), ids=CSV)
def test_csv(tmp_path, text):
  signal, rate_hz = read_signal(write_text(tmp_path / "a.csv", text))
  assert rate_hz == 50.0
  np.testing.assert_array_equal(signal, np.float32([[1, 2], [3, 4], [5, 6]]))


def test_csv_of_one_channel_with_rounded_time_stamps(tmp_path):
  times = np.arange(3600) / 360
  rows = "\n".join(f"{t:.4f},{n}" for n, t in enumerate(times))
  signal, rate_hz = read_signal(write_text(tmp_path / "a.csv", "time,ecg\n" + rows))
  assert signal.shape == (3600,)
  assert rate_hz == pytest.approx(360, abs=0.01)


@pytest.mark.parametrize("num_samples", [100, 101, 999, 6001, 6002])
@pytest.mark.parametrize("rate_hz", [480, 400, 360, 256, 125, 59.94])
def test_time_stamps_in_milliseconds(tmp_path, rate_hz, num_samples):
  rows = "\n".join(f"{time_s:.3f},0" for time_s in np.round(np.arange(num_samples) / rate_hz, 3))
  assert read_signal(write_text(tmp_path / "a.csv", "time,x\n" + rows))[1] == rate_hz
  lost = "time,x\n" + "\n".join(line for n, line in enumerate(rows.split("\n")) if n != num_samples // 3)
  with pytest.raises(ValueError, match=r"column time is not regular: sample \d+ at .* s"):
    read_signal(write_text(tmp_path / "a.csv", lost))


def test_the_rate_of_few_or_uneven_time_stamps(tmp_path):
  def rate(times_s):
    return read_signal(write_text(tmp_path / "a.csv", "time,x\n" + "".join(f"{t},0\n" for t in times_s)))[1]

  assert rate([0, 0.008, 0.016]) == 125
  assert rate(np.round(np.arange(3) / 96, 6)) == 96
  jitter = np.random.default_rng(0).uniform(-0.1, 0.1, 500)
  assert rate(np.maximum(np.arange(500) + jitter, 0) / 50) == 50


@pytest.mark.parametrize("lost", [1, 50, 98])
def test_csv_with_a_lost_sample_is_refused(tmp_path, lost):
  rows = "\n".join(f"{n / 100:.2f},0" for n in range(100) if n != lost)
  with pytest.raises(ValueError, match=r"column time is not regular: sample \d+ at .* s"):
    read_signal(write_text(tmp_path / "a.csv", "time,x\n" + rows))


@pytest.mark.parametrize(
  "text, message",
  [
    ("", r"holds no sample; expected rows of numbers"),
    ("time,x\n", r"holds no sample"),
    ("1,2\n3,4\n", r"no sample rate; expected a column time"),
    ("x,y\n1,2\n", r"no sample rate; expected a column time"),
    ("# sample_rate_hz: fast\n1\n2\n", r"the sample rate is 'fast'; expected a number in Hz"),
    ("# sample_rate_hz: -5\n1\n2\n", r"the sample rate is -5\.0 Hz; expected a positive number"),
    ("time,x\n0,1\n", r"column time gives no sample rate; expected two or more increasing times"),
    ("time,x\n1,1\n0,1\n", r"column time gives no sample rate; expected two or more increasing times"),
    ("time,x\n0,1\nnan,1\n", r"column time gives no sample rate; expected two or more increasing times"),
    (
      "# sample_rate_hz: 100\ntime,x\n0,1\n0.02,1\n0.04,1\n",
      r"column time is not regular: sample 2 at 0\.04 s is 2 samples off a grid of 100 Hz",
    ),
    ("time,x\n5.00,1\n5.02,1\n", r"column time starts at 5 s; expected 0"),
    ("time\n0.0\n0.1\n", r"the signal has shape \(2, 0\)"),
    ("# sample_rate_hz: 50\nx,y\n1,2\n3,oops\n", r"cannot read as rows of numbers .*'oops'.*row 1"),
    ("# sample_rate_hz: 50\n1,2\n3\n", r"cannot read as rows of numbers .*columns changed"),
    ("# sample_rate_hz: 50\n1,2\n3,\n", r"cannot read as rows of numbers"),
    ("# sample_rate_hz: 50\nx\n1,2\n", r"the header has 1 names and the rows 2 columns"),
  ],
)
def test_csv_that_is_refused(tmp_path, text, message):
  with pytest.raises(ValueError, match=r"a\.csv: " + message):
    read_signal(write_text(tmp_path / "a.csv", text))


def test_csv_that_is_no_text(tmp_path):
  (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
  with pytest.raises(ValueError, match=r"a\.csv: not a text file in UTF-8"):
    read_signal(tmp_path / "a.csv")


def test_nan_passes_for_validation_to_name_its_place(tmp_path):
  signal, _ = read_signal(write_text(tmp_path / "a.csv", "# sample_rate_hz: 50\n1\nnan\n"))
  assert np.isnan(signal).tolist() == [False, True]


def test_real_files(shared_data):
  steps, rate_hz = read_signal(sorted(shared_data("steps").glob("*.npz"))[0])
  assert (steps.shape[1], steps.dtype, rate_hz) == (3, np.float32, 50.0)
  ground, rate_hz = read_signal(sorted(shared_data("seismic").glob("*.npz"))[0])
  assert (ground.shape, ground.dtype, rate_hz) == ((9001, 3), np.float32, 100.0)
