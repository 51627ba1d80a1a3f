"""Splits keep recordings whole and apart."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import assign_ids, explicit_split, read_split, split_by_recording


def recordings(ids):
  return [Recording(str(id_), np.zeros(4, np.float32), 1.0, {}) for id_ in ids]


def ids_of(split):
  return {name: [r.id for r in members] for name, members in split.items()}


@given(
  num=st.integers(3, 60),
  shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=3),
  seed=st.integers(0, 1000),
)
def test_random_split_is_a_partition_of_the_right_sizes(num, shares, seed):
  fractions = {f"s{n}": share / sum(shares) for n, share in enumerate(shares)}
  split = ids_of(split_by_recording(recordings(range(num)), fractions=fractions, seed=seed))
  assert sorted(id_ for ids in split.values() for id_ in ids) == sorted(map(str, range(num)))
  assert list(split) == list(fractions)
  for name, ids in split.items():
    assert len(ids) >= 1
    # Rounding moves a size by less than one, and keeping other splits from being empty by at most two more.
    assert abs(len(ids) - fractions[name] * num) < 3


@pytest.mark.parametrize(
  "num, sizes", [(20, [14, 3, 3]), (100, [70, 15, 15]), (3, [1, 1, 1]), (10, [7, 2, 1])]
)
def test_default_sizes(num, sizes):
  split = split_by_recording(recordings(range(num)), seed=0)
  assert list(split) == ["train", "validation", "test"]
  assert [len(members) for members in split.values()] == sizes


def test_split_depends_on_ids_and_seed_alone():
  some = recordings(range(30))
  split = ids_of(split_by_recording(some, seed=3))
  assert ids_of(split_by_recording(some[::-1], seed=3)) == split
  assert ids_of(split_by_recording([r.replace(sample_rate_hz=9.0) for r in some], seed=3)) == split
  assert ids_of(split_by_recording(some, seed=4)) != split


def test_split_never_changes_between_versions():
  split = ids_of(split_by_recording(recordings("abcdefghij"), fractions={"a": 0.5, "b": 0.5}, seed=0))
  assert split == {"a": ["b", "c", "f", "g", "j"], "b": ["a", "d", "e", "h", "i"]}


def test_one_more_recording_moves_few_others():
  before = ids_of(split_by_recording(recordings(range(100)), seed=0))
  after = ids_of(split_by_recording(recordings(range(101)), seed=0))
  moved = sum(len(set(before[name]) - set(after[name])) for name in before)
  assert moved <= 3


@pytest.mark.parametrize(
  "ids, fractions, message",
  [
    ("aa", {"train": 1.0}, r"two recordings have the id 'a'"),
    ("abc", {"train": 0.5, "test": 0.4}, r"fractions are .*; expected positive numbers that add up to 1"),
    ("abc", {"train": 1.5, "test": -0.5}, r"expected positive numbers"),
    ("abc", {"train": 1.0, "test": 0.0}, r"expected positive numbers"),
    ("abc", {}, r"expected positive numbers"),
    ("a", {"train": 0.5, "test": 0.5}, r"1 recordings for 2 splits"),
    ("", {"train": 1.0}, r"0 recordings for 1 splits"),
  ],
)
def test_random_split_that_is_refused(ids, fractions, message):
  with pytest.raises(ValueError, match=message):
    split_by_recording(recordings(ids), fractions=fractions, seed=0)


def test_explicit_split_by_ids_and_patterns():
  some = recordings(["d1__b", "d1__a", "d2__a", "d3__a"])
  split = ids_of(explicit_split(some, {"train": ["d[12]__*", "d1__a"], "test": ("d3__a",)}))
  assert split == {"train": ["d1__a", "d1__b", "d2__a"], "test": ["d3__a"]}


def test_an_id_with_pattern_characters_is_itself():
  split = ids_of(explicit_split(recordings(["a[1]", "a1"]), {"x": ["a[1]"], "y": ["a1"]}))
  assert split == {"x": ["a[1]"], "y": ["a1"]}


def test_recordings_outside_every_split():
  some = recordings("abc")
  with pytest.raises(ValueError, match=r"1 recordings are in no split: c; expected every one"):
    explicit_split(some, {"train": ["a"], "test": ["b"]})
  split = explicit_split(some, {"train": ["a"], "test": ["b"]}, allow_unused=True)
  assert ids_of(split) == {"train": ["a"], "test": ["b"]}


@pytest.mark.parametrize(
  "ids, patterns, message",
  [
    ("ab", {"train": ["a", "b", "z"]}, r"split 'train': 'z' fits no recording; found a, b"),
    ("abcdefg", {"train": ["z*"]}, r"'z\*' fits no recording; found a, b, c, d, e and 2 more"),
    ("ab", {"train": ["*"], "test": ["b"]}, r"recording 'b' is in two splits, 'train' and 'test'"),
    ("ab", {"train": ["a", "b"], "test": []}, r"split 'test' is empty"),
    ("ab", {"train": "ab"}, r"split 'train' is the text 'ab'; expected a list"),
    ("aab", {"train": ["a", "b"]}, r"two recordings have the id 'a'"),
  ],
)
def test_explicit_split_that_is_refused(ids, patterns, message):
  with pytest.raises(ValueError, match=message):
    explicit_split(recordings(ids), patterns)


def test_split_file(tmp_path):
  path = tmp_path / "split.csv"
  path.write_text("id,split\nb,train\n a ,train\n\nc,test\n")
  assert read_split(path) == {"train": ["b", "a"], "test": ["c"]}
  assert assign_ids(["c", "b", "a"], read_split(path)) == {"train": ["a", "b"], "test": ["c"]}


def test_split_file_of_paths(tmp_path):
  path = tmp_path / "split.csv"
  path.write_text("id,split\nstudio/*,train\nlive/a/b,test\nlive__c,test\n")
  split = assign_ids(["studio__a", "studio__b", "live__a__b", "live__c"], read_split(path))
  assert split == {"train": ["studio__a", "studio__b"], "test": ["live__a__b", "live__c"]}


@pytest.mark.parametrize(
  "text, message",
  [
    ("", r"the header is ''; expected 'id,split'"),
    ("a,train\n", r"the header is 'a,train'; expected 'id,split'"),
    ("id,split\n", r"no row after the header"),
    ("id,split\na,train\nb\n", r"row 3 is \['b'\]; expected an id and a split"),
    ("id,split\na,\n", r"row 2 is \['a', ''\]"),
    ("id,split\na,train\nb,test\na,test\n", r"row 4: 'a' is in row 2 too"),
    ("id,split\na__b,train\na/b,test\n", r"row 3: 'a__b' is in row 2 too"),
  ],
)
def test_split_file_that_is_refused(tmp_path, text, message):
  path = tmp_path / "split.csv"
  path.write_text(text)
  with pytest.raises(ValueError, match=r"split\.csv: " + message):
    read_split(path)


@pytest.mark.parametrize("content", ["id,split\nCafé,train\n".encode("latin-1"), b"id,split\n\xff\xfe\n"])
def test_split_file_that_is_no_text(tmp_path, content):
  path = tmp_path / "split.csv"
  path.write_bytes(content)
  message = (
    r"split\.csv: cannot read as a table \('utf-8' .*\); expected a csv table in UTF-8 with the header"
  )
  with pytest.raises(ValueError, match=message):
    read_split(path)


def test_missing_split_file(tmp_path):
  with pytest.raises(
    FileNotFoundError, match=r"no such file: .*split\.csv; expected a table with the header id,split"
  ):
    read_split(tmp_path / "split.csv")
