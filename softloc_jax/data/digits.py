"""Pictures of handwritten digits: MNIST from its files or tensorflow-datasets, or scikit-learn's own.

References:
  LeCun et al., "Gradient-based learning applied to document recognition", 1998 (MNIST).
  Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI machine learning repository, 1998.
"""

from __future__ import annotations

import gzip
import os
import pathlib
import struct
from typing import NamedTuple
import zlib

import numpy as np

SIDE = 28  # pixels
CLASSES = tuple(str(digit) for digit in range(10))
_PREFIX = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTES = 8  # type code of the IDX format
_NUM_EMBEDDED_TEST = 397


class Digits(NamedTuple):
  """Pictures and what they show.

  Attributes:
    images: uint8 `[n, 28, 28]`, ink is bright.
    labels: `[n]`, 0 to 9.
  """

  images: np.ndarray
  labels: np.ndarray


def mnist(data_dir: str | os.PathLike, split: str) -> Digits:
  """MNIST from the four official files, packed or not: `train-images-idx3-ubyte.gz` and so on.

  Args:
    data_dir: folder of the files.
    split: "train" or "test", the original ones.

  Raises:
    FileNotFoundError: a file that is not there.
    ValueError: a file that is not what its name says, or as many labels as there are not images.
  """
  folder = pathlib.Path(data_dir)
  images = read_idx(_find(folder, f"{_PREFIX[split]}-images", 3))
  path = _find(folder, f"{_PREFIX[split]}-labels", 1)
  labels = read_idx(path)
  if images.shape[1:] != (SIDE, SIDE) or len(images) != len(labels) or labels.max(initial=0) > 9:
    raise ValueError(
      f"{path}: {len(labels)} labels up to {labels.max(initial=0)} for images of shape {images.shape};"
      f" expected as many images of {SIDE} x {SIDE} as labels from 0 to 9"
    )
  return Digits(images, labels.astype(int))


def from_tfds(data_dir: str | os.PathLike | None, split: str) -> Digits:
  """MNIST as tensorflow-datasets prepares it (`tfds build mnist --file_format=array_record`).

  Args:
    data_dir: folder of tensorflow-datasets; None is its own.
    split: "train" or "test".

  Raises:
    FileNotFoundError: it is not prepared there.
  """
  import tensorflow_datasets as tfds

  try:
    source = tfds.data_source("mnist", split=split, data_dir=data_dir, download=False)
  except (ValueError, AssertionError, NotImplementedError, tfds.core.DatasetNotFoundError) as error:
    raise FileNotFoundError(f"{data_dir or 'tensorflow-datasets'}: no prepared mnist; {error}") from error
  pairs = [(one["image"].reshape(SIDE, SIDE), int(one["label"])) for one in source]
  images, labels = zip(*pairs, strict=True)
  return Digits(np.stack(images), np.array(labels))


def embedded(split: str) -> Digits:
  """The 1,797 digits of 8 x 8 pixels that scikit-learn brings, enlarged; the last 397 are for tests."""
  import scipy.ndimage
  from sklearn.datasets import load_digits

  found = load_digits()
  part = slice(-_NUM_EMBEDDED_TEST) if split == "train" else slice(-_NUM_EMBEDDED_TEST, None)
  images = found.images[part] / 16.0
  # To 20 pixels with a border of 4, as in MNIST.
  zoom = 20 / images.shape[1]
  large = scipy.ndimage.zoom(images, (1, zoom, zoom), order=1, mode="nearest", grid_mode=True)
  framed = np.pad(np.clip(large, 0, 1), ((0, 0), (4, 4), (4, 4)))
  return Digits(np.round(255 * framed).astype(np.uint8), found.target[part].astype(int))


def read_idx(path: str | os.PathLike) -> np.ndarray:
  """Numbers of an IDX file of unsigned bytes, packed by gzip where the name ends so.

  Raises:
    FileNotFoundError: no such file.
    ValueError: another format or type, or more or fewer numbers than its header says.
  """
  path = pathlib.Path(path)
  try:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
  except (gzip.BadGzipFile, EOFError, zlib.error) as error:
    raise ValueError(f"{path}: {error}; expected a gzip file") from error
  if len(data) < 4 or data[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
    raise ValueError(f"{path}: starts with {data[:4]!r}; expected an IDX file of unsigned bytes")
  num_axes = data[3]
  if len(data) < 4 + 4 * num_axes:
    raise ValueError(f"{path}: its header ends too soon; expected {num_axes} lengths")
  shape = struct.unpack(f">{num_axes}I", data[4 : 4 + 4 * num_axes])
  numbers = np.frombuffer(data, np.uint8, offset=4 + 4 * num_axes)
  if numbers.size != np.prod(shape):
    raise ValueError(
      f"{path}: {numbers.size} numbers; expected {' x '.join(map(str, shape))}, as its header says"
    )
  return numbers.reshape(shape)


def _find(folder: pathlib.Path, stem: str, num_axes: int) -> pathlib.Path:
  """The file under one of the names that it goes by."""
  names = [f"{stem}{mark}idx{num_axes}-ubyte{end}" for end in (".gz", "") for mark in "-."]
  for name in names:
    if (folder / name).is_file():
      return folder / name
  raise FileNotFoundError(f"{folder}: expected one of {', '.join(names)}")
