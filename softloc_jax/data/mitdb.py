"""MIT-BIH Arrhythmia Database: half-hour ECG recordings with every beat annotated.

Each record is three files in WFDB format, `<record>.hea`, `<record>.dat` and `<record>.atr`, as PhysioNet
distributes them (https://physionet.org/content/mitdb/). The folder may hold all 48 records or some of them.

References:
  Moody and Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE Eng. in Med. and Biol. 20(3), 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import os
import pathlib

import numpy as np

from softloc_jax.data import layout
from softloc_jax.data.recording import Recording, validate

CLASSES = ("beat",)

# The standard WFDB beat annotation symbols; every other symbol marks rhythm, noise, waves or comments.
BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")

# Records of patients with a pacemaker.
PACED = ("102", "104", "107", "217")

# Records, of those this loader was developed on, whose first lead makes beats hard to tell from noise and
# from other waves.
HARD = ("108", "114")

_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}


def load(data_dir: str | os.PathLike, records: Sequence[str] | None = None) -> list[Recording]:
  """Reads ECG records with their beats.

  Args:
    data_dir: the folder with the `.hea`, `.dat` and `.atr` files.
    records: record names, such as `("100", "106")`; None reads every record of the folder, sorted by name.

  Returns:
    One recording per record: id the record name, signal `[num_samples]` the first lead in mV (which lead
    comes first differs between records), sample rate as in the header (360 Hz), events under the one
    class "beat".

  Raises:
    FileNotFoundError: no such folder, no record in it, or a record without one of its files.
    ValueError: an unreadable record, a signal that is not a voltage, NaN in the signal, or a repeated name.
    ImportError: wfdb is not installed.
  """
  _wfdb()  # fails here, before any file is looked at
  folder = pathlib.Path(data_dir)
  if not folder.is_dir():
    raise FileNotFoundError(
      f"no such folder: {folder}; expected the MIT-BIH files <record>.hea, .dat and .atr"
    )
  found = sorted(path.stem for path in folder.glob("*.hea") if not layout.is_hidden(path))
  if not found:
    raise FileNotFoundError(
      f"no .hea file in {folder}; expected the MIT-BIH files <record>.hea, .dat and .atr"
    )
  names = found if records is None else [str(name) for name in records]
  unknown = [name for name in names if name not in found]
  if unknown:
    raise FileNotFoundError(f"no record {', '.join(unknown)} in {folder}; found {', '.join(found)}")
  repeated = sorted({name for name in names if names.count(name) > 1})
  if repeated:
    raise ValueError(f"records names {', '.join(repeated)} more than once")
  return [_load_record(folder, name) for name in names]


def read_lead(path: str | os.PathLike) -> tuple[np.ndarray, float]:
  """The first lead of a WFDB record, annotated or not.

  Args:
    path: the record, with or without `.hea`.

  Returns:
    The signal in mV, `[num_samples]`, and the sample rate in Hz.

  Raises:
    FileNotFoundError: a file of the record is missing.
    ValueError: an unreadable record, or a signal that is not a voltage.
    ImportError: wfdb is not installed.
  """
  wfdb = _wfdb()
  path = str(path).removesuffix(".hea")
  record = _reading(path, lambda: wfdb.rdrecord(path, channels=[0]))
  unit = record.units[0]
  if unit not in _MILLIVOLTS:
    raise ValueError(
      f"record {path}: the first signal is in {unit!r}; expected one of {', '.join(_MILLIVOLTS)}"
    )
  return np.asarray(record.p_signal[:, 0] * _MILLIVOLTS[unit], dtype=np.float32), float(record.fs)


def _load_record(folder: pathlib.Path, name: str) -> Recording:
  """Reads one record; the first lead only."""
  path = str(folder / name)
  if not os.path.exists(path + ".atr"):
    raise FileNotFoundError(f"record {name} has no annotations: expected {path}.atr")
  signal, rate_hz = read_lead(path)
  annotation = _reading(path, lambda: _wfdb().rdann(path, "atr"))
  is_beat = np.array([symbol in BEAT_SYMBOLS for symbol in annotation.symbol], dtype=bool)
  # An annotation file may count time in ticks of its own.
  beats_s = np.sort(annotation.sample[is_beat] / float(annotation.fs or rate_hz))
  recording = Recording(name, signal, rate_hz, events={"beat": beats_s})
  validate(recording, CLASSES)
  return recording


def _reading(path: str, read: Callable):
  """What `read` returns; wfdb answers a damaged file with whatever its parsing runs into, so all is named."""
  try:
    return read()
  except FileNotFoundError as error:
    raise FileNotFoundError(f"record {path} is incomplete: no file {error.filename}") from error
  except Exception as error:
    raise ValueError(f"cannot read record {path} as WFDB: {type(error).__name__}: {error}") from error


def _wfdb():
  try:
    import wfdb
  except ImportError as error:
    raise ImportError("reading WFDB records needs the package wfdb: pip install softloc-jax[ecg]") from error
  return wfdb
