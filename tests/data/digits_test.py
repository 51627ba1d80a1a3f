"""Pictures of digits from each of their sources, and files that are not what they say."""

import gzip
import struct

import numpy as np
import pytest

from softloc_jax.data import digits


def write_idx(path, numbers, *, code=8):
  header = bytes([0, 0, code, numbers.ndim]) + struct.pack(f">{numbers.ndim}I", *numbers.shape)
  data = header + numbers.astype(np.uint8).tobytes()
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def folder(tmp_path):
  """A small MNIST under both kinds of names that its files go by."""
  rng = np.random.default_rng(0)
  for prefix, number, mark, end in (("train", 7, "-", ".gz"), ("t10k", 3, ".", "")):
    write_idx(tmp_path / f"{prefix}-images{mark}idx3-ubyte{end}", rng.integers(0, 256, (number, 28, 28)))
    write_idx(tmp_path / f"{prefix}-labels{mark}idx1-ubyte{end}", np.arange(number))
  return tmp_path


def test_the_official_files_packed_or_not(folder):
  train, test = digits.mnist(folder, "train"), digits.mnist(folder, "test")
  assert train.images.shape == (7, 28, 28) and train.images.dtype == np.uint8
  assert train.labels.tolist() == list(range(7)) and test.labels.tolist() == [0, 1, 2]


def test_the_real_files(shared_data):
  train, test = (digits.mnist(shared_data("mnist"), split) for split in ("train", "test"))
  assert len(train.images) == 60_000 and len(test.images) >= 5000
  assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
  # Centred by mass, as their authors say.
  image = train.images[0].astype(float)
  centre = [(image.sum(1 - axis) * np.arange(28)).sum() / image.sum() for axis in (0, 1)]
  np.testing.assert_allclose(centre, 13.5, atol=0.75)


def test_what_tensorflow_datasets_has_prepared(monkeypatch):
  import tensorflow_datasets as tfds

  examples = [{"image": np.full((28, 28, 1), value, np.uint8), "label": value} for value in (3, 1)]
  asked = {}

  def data_source(name, **settings):
    asked.update(settings, name=name)
    return examples

  monkeypatch.setattr(tfds, "data_source", data_source)
  found = digits.from_tfds("somewhere", "test")
  assert found.images.shape == (2, 28, 28) and found.labels.tolist() == [3, 1]
  assert asked == {"name": "mnist", "split": "test", "data_dir": "somewhere", "download": False}


def test_tensorflow_datasets_without_mnist(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no prepared mnist"):
    digits.from_tfds(tmp_path, "train")


def test_the_embedded_digits_part_into_train_and_test():
  train, test = digits.embedded("train"), digits.embedded("test")
  assert len(train.labels) + len(test.labels) == 1797
  assert train.images.shape[1:] == (28, 28) and train.images.dtype == np.uint8 and train.images.max() == 255
  assert not train.images[:, :4].any() and not train.images[:, :, -4:].any()  # framed as in MNIST
  assert set(train.labels) == set(test.labels) == set(range(10))


def test_a_missing_file_is_named(folder):
  (folder / "t10k-labels.idx1-ubyte").unlink()
  with pytest.raises(
    FileNotFoundError, match=r"expected one of t10k-labels-idx1-ubyte\.gz, t10k-labels\.idx1"
  ):
    digits.mnist(folder, "test")


@pytest.mark.parametrize(
  ("name", "data", "message"),
  [
    ("x", b"", r"x: starts with b''; expected an IDX file of unsigned bytes"),
    ("x", bytes([0, 0, 13, 1, 0, 0, 0, 0]), "expected an IDX file of unsigned bytes"),
    ("x", bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]), "2 numbers; expected 3, as its header says"),
    ("x", bytes([0, 0, 8, 2, 0, 0]), r"x: its header ends too soon"),
    ("x.gz", b"not packed", r"x\.gz: .*expected a gzip file"),
  ],
)
def test_files_that_are_not_what_they_say(tmp_path, name, data, message):
  (tmp_path / name).write_bytes(data)
  with pytest.raises(ValueError, match=message):
    digits.read_idx(tmp_path / name)


def test_labels_that_do_not_fit(folder):
  write_idx(folder / "t10k-labels.idx1-ubyte", np.arange(4))
  with pytest.raises(
    ValueError, match=r"4 labels up to 3 for images of shape \(3, 28, 28\); expected as many"
  ):
    digits.mnist(folder, "test")
