"""Reads the files that hold a recording's signal: audio, npz and csv."""

from __future__ import annotations

import logging
import math
import os
import pathlib
import re
from typing import Any
import zipfile

import numpy as np

from softloc_jax.data import text_files

AUDIO_EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")
EXTENSIONS = (*AUDIO_EXTENSIONS, ".npz", ".csv")

_log = logging.getLogger(__name__)

_RATE_COMMENT = "# sample_rate_hz:"
# How far a time stamp may lie from its place on a regular grid, in samples. Stamps in milliseconds stay
# within it up to 500 Hz. A lost sample makes a step of one sample between two stamps, less what both are
# rounded by: whatever the grid, one of them is off by half a sample, or a quarter where they are rounded that
# much.
_MAX_JITTER_SAMPLES = 0.25
_UNKNOWN_BYTES = 0x7FFF0000
_EXACT_S = 1e-10  # more is no error of arithmetic


def read_signal(path: str | os.PathLike, *, mono: bool = True) -> tuple[np.ndarray, float]:
  """Reads one signal.

  An npz file holds the arrays `signal` (`[num_samples]` or `[num_samples, channels]`) and `sample_rate`
  (in Hz). A csv file holds one row per sample and one column per channel, under an optional header of
  column names. Its sample rate comes from a column `time` (seconds, regular, from 0), which is then no
  channel, or from a first line `# sample_rate_hz: 100`.

  An audio file that is cut off is read as far as it goes, with a warning.

  Args:
    path: a wav, flac, ogg, mp3, npz or csv file.
    mono: whether the channels of an audio file are averaged; those of npz and csv files never are.

  Returns:
    The signal as float32, `[num_samples]` or, with more than one channel, `[num_samples, channels]`, and
    the sample rate in Hz. NaN passes: `recording.validate` refuses it with its place.

  Raises:
    FileNotFoundError: no such file.
    ValueError: an unknown extension, an unreadable or empty file, or a missing or irregular sample rate.
    ImportError: audio without soundfile.
  """
  path = pathlib.Path(path)
  extension = path.suffix.lower()
  if extension not in EXTENSIONS:
    raise ValueError(
      f"{path}: cannot read a signal from {extension!r}; expected one of {', '.join(EXTENSIONS)}"
    )
  if not path.is_file():
    raise FileNotFoundError(f"no such file: {path}")
  if extension == ".npz":
    signal, rate_hz = _read_npz(path)
  elif extension == ".csv":
    signal, rate_hz = _read_csv(path)
  else:
    signal, rate_hz = _read_audio(path, mono)
  if signal.ndim not in (1, 2) or signal.size == 0:
    raise ValueError(
      f"{path}: the signal has shape {signal.shape}; expected at least one sample,"
      f" [num_samples] or [num_samples, channels]"
    )
  if not (rate_hz > 0 and math.isfinite(rate_hz)):
    raise ValueError(f"{path}: the sample rate is {rate_hz} Hz; expected a positive number")
  if signal.ndim == 2 and signal.shape[1] == 1:
    signal = signal[:, 0]
  return np.ascontiguousarray(signal, dtype=np.float32), rate_hz


def is_csv_signal(path: str | os.PathLike) -> bool:
  """Whether a csv file begins as a signal does, and not as a list of events; the rest is not read.

  That is a first line `# sample_rate_hz: 100`, or a header with `time` and channels, which for events would
  have a `label`.

  Raises:
    FileNotFoundError: no such file.
  """
  try:
    with open(path, encoding="utf-8-sig") as file:
      first = next((line for line in file if line.strip()), "")
  except UnicodeDecodeError:
    return False
  if first.lower().startswith(_RATE_COMMENT):
    return True
  names = {name.strip().lower() for name in first.split(",")}
  return "time" in names and "label" not in names and bool(names - {"time", "confidence"})


def _read_audio(path: pathlib.Path, mono: bool) -> tuple[np.ndarray, float]:
  """Audio in [-1, 1]."""
  try:
    import soundfile
  except ImportError as error:
    raise ImportError(f"{path}: reading audio needs the package soundfile: pip install soundfile") from error
  try:
    with soundfile.SoundFile(path) as file:
      signal, rate_hz = file.read(dtype="float32", always_2d=True), file.samplerate
      expected = _expected_samples(file, len(signal))
  except (soundfile.SoundFileError, RuntimeError) as error:
    raise ValueError(f"{path}: cannot read as audio: {error}") from error
  if len(signal) < expected:
    _log.warning("%s: cut off: read %d samples; expected %d, as its header says", path, len(signal), expected)
  return (signal.mean(axis=1) if mono and len(signal) else signal), float(rate_hz)


def _expected_samples(file: Any, num_read: int) -> int:
  """How many samples the header of an audio file says there are.

  Args:
    file: a `soundfile.SoundFile`, which takes what is there of a wav file for all there is.
    num_read: how many there were.
  """
  stated = re.search(r"^data : (\d+) \(should be (\d+)\)$", file.extra_info, re.MULTILINE)
  if stated is None:
    return file.frames
  num_bytes, num_there = map(int, stated.groups())
  # Whoever writes into a pipe cannot know the size, and writes the largest one, or about that.
  is_known = num_there > 0 and num_bytes < _UNKNOWN_BYTES
  return round(num_read * num_bytes / num_there) if is_known else file.frames


def _read_npz(path: pathlib.Path) -> tuple[np.ndarray, float]:
  """The arrays `signal` and `sample_rate`."""
  try:
    arrays = np.load(path, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
      raise ValueError("holds one bare array, as npy files do; expected the arrays signal and sample_rate")
    with arrays:
      names = list(arrays.files)
      missing = [name for name in ("signal", "sample_rate") if name not in names]
      if not missing:
        signal, rate = arrays["signal"], arrays["sample_rate"]
  except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f"{path}: cannot read as npz: {error}") from error
  if missing:
    raise ValueError(f"{path}: has no array {' and '.join(missing)}; found {', '.join(names) or 'none'}")
  for name, array in (("signal", signal), ("sample_rate", rate)):
    if array.dtype.kind not in "fiu":
      raise ValueError(f"{path}: {name} is of type {array.dtype}; expected real numbers")
  if rate.size != 1:
    raise ValueError(f"{path}: sample_rate has shape {rate.shape}; expected one number in Hz")
  return signal, float(rate.item())


def _read_csv(path: pathlib.Path) -> tuple[np.ndarray, float]:
  """Columns of numbers, with the rate from a comment or from a column `time`."""
  lines = [line for line in text_files.read(path).split("\n") if line.strip()]
  stated_hz = None
  if lines and lines[0].lower().startswith(_RATE_COMMENT):
    stated_hz = _stated_rate(path, lines.pop(0))
  names: list[str] = []
  if lines and not _is_numbers(lines[0]):
    names = [name.strip().lower() for name in lines.pop(0).split(",")]
  if not lines:
    raise ValueError(f"{path}: holds no sample; expected rows of numbers")
  try:
    table = np.loadtxt(lines, delimiter=",", dtype=np.float64, comments=None, ndmin=2)
  except ValueError as error:
    raise ValueError(
      f"{path}: cannot read as rows of numbers (counted from 0, below the header): {error}"
    ) from error
  if names and len(names) != table.shape[1]:
    raise ValueError(f"{path}: the header has {len(names)} names and the rows {table.shape[1]} columns")
  if "time" not in names:
    if stated_hz is None:
      raise ValueError(
        f"{path}: no sample rate; expected a column time (seconds) or the first line `{_RATE_COMMENT} 100`"
      )
    return table, stated_hz
  column = names.index("time")
  rate_hz = _regular_rate(path, table[:, column], stated_hz)
  return np.delete(table, column, axis=1), rate_hz


def _stated_rate(path: pathlib.Path, line: str) -> float:
  """The number in `# sample_rate_hz: 100`."""
  text = line[len(_RATE_COMMENT) :].strip()
  rate_hz = text_files.number(text)
  if rate_hz is None:
    raise ValueError(f"{path}: the sample rate is {text!r}; expected a number in Hz")
  return rate_hz


def _is_numbers(line: str) -> bool:
  """Whether every field of a line is a number; blank fields are left to the parser to refuse."""
  fields = [field for field in line.split(",") if field.strip()]
  return bool(fields) and all(text_files.number(field) is not None for field in fields)


def _regular_rate(path: pathlib.Path, times_s: np.ndarray, stated_hz: float | None) -> float:
  """The sample rate of regular time stamps that start at 0."""
  if not np.isfinite(times_s).all() or len(times_s) < 2 or times_s[-1] <= times_s[0]:
    raise ValueError(f"{path}: column time gives no sample rate; expected two or more increasing times")
  rate_hz = stated_hz or _fitted_rate(times_s)
  jitter_samples = np.abs((times_s - times_s[0]) * rate_hz - np.arange(len(times_s)))
  worst = int(np.argmax(jitter_samples))
  if jitter_samples[worst] > _MAX_JITTER_SAMPLES:
    raise ValueError(
      f"{path}: column time is not regular: sample {worst} at {times_s[worst]:g} s is"
      f" {jitter_samples[worst]:.2g} samples off a grid of {rate_hz:g} Hz; expected at most"
      f" {_MAX_JITTER_SAMPLES}"
    )
  if abs(times_s[0]) * rate_hz > _MAX_JITTER_SAMPLES:
    raise ValueError(
      f"{path}: column time starts at {times_s[0]:g} s; expected 0, since events count from the first sample"
    )
  return rate_hz


def _fitted_rate(times_s: np.ndarray) -> float:
  """The sample rate of time stamps by least squares, or the roundest one nearby that fits them as well.

  The first and the last stamp alone would tell a wrong rate: each is off by up to half its last decimal.
  """
  steps = np.arange(len(times_s)) - (len(times_s) - 1) / 2
  fitted_hz = float(steps @ steps / (steps @ (times_s - times_s.mean())))
  fitted_spread_s = np.ptp(times_s - steps / fitted_hz)
  if fitted_spread_s > _EXACT_S:
    decimals = next((n for n in range(9) if np.allclose(times_s, times_s.round(n), 0, _EXACT_S)), 9)
    most_s = max(10.0**-decimals + _EXACT_S, 1.1 * fitted_spread_s)
    for digits in range(-4, 6):
      round_hz = round(fitted_hz, digits)
      if round_hz > 0 and np.ptp(times_s - steps / round_hz) <= most_s:
        return round_hz
  return round(fitted_hz, 6)  # without what decimal fractions leave behind: 100.00000000000001
