"""Tables of counts, and rules of how far times may be trusted: what they say, and what they refuse."""

import numpy as np
import pytest

from softloc_jax import doctor
from softloc_jax.data import count_tables, event_files, folder, supervision
from softloc_jax.data.recording import CountedWindow, Recording, validate

TABLE = """start,end,label,count
0,1.5,KD,3
1.5,4,KD,2-4
0,2,SD,1+
2,4,SD,?
,,HH,0
0.75,,CR,
0.25,,CR,
"""


def write(path, text, *, seconds=4.0):
  """A signal with a table of counts beside it."""
  path.write_text(text)
  np.savez(path.with_suffix(".npz"), signal=np.ones(round(100 * seconds), np.float32), sample_rate=100.0)
  return path


@pytest.mark.parametrize("separator", [",", "\t"])
def test_every_kind_of_row(tmp_path, separator):
  path = tmp_path / "clip.csv"
  path.write_text(TABLE.replace(",", separator))
  assert count_tables.is_count_table(path)
  table = count_tables.read_counts(path)
  assert table.counted == {
    "HH": [CountedWindow(0.0, np.inf, 0, 0)],
    "KD": [CountedWindow(0.0, 1.5, 3, 3), CountedWindow(1.5, 4.0, 2, 4)],
    "SD": [CountedWindow(0.0, 2.0, 1, None)],
  }
  assert table.events["CR"].tolist() == [0.25, 0.75] and list(table.events) == ["CR"]
  assert table.until(4.0)["HH"] == [CountedWindow(0.0, 4.0, 0, 0)]
  # An end that was rounded is the recording's end; one far beyond it is refused when both are put together.
  assert table.until(3.995)["KD"][1].end_s == 3.995 and table.until(3.9)["KD"][1].end_s == 4.0


@pytest.mark.parametrize("text", ["3", "0", "3-5", "7-7", "1+"])
def test_counts_are_written_as_they_are_read(tmp_path, text):
  path = tmp_path / "clip.csv"
  path.write_text(f"start,end,label,count\n0,1,KD,{text}\n")
  ((_, _, low, high),) = count_tables.read_counts(path).counted["KD"]
  assert count_tables.format_count(low, high) == {"7-7": "7"}.get(text, text)


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ("0,1,KD,three", r"clip\.csv: row 2: count is 'three'; expected a number, or one like 3-5, 1\+ or \?"),
    ("0,1,KD,-1", "count is '-1'"),
    ("0,1,KD,5-3", "count is '5-3'; expected the smaller number first"),
    ("0,1,KD,", "count is ''"),
    ("1,1,KD,2", r"row 2: the end, 1 s, is not after the start, 1 s"),
    ("x,1,KD,2", "start is 'x'; expected seconds"),
    ("0,nan,KD,2", "end is 'nan'"),
    ("0,1_0,KD,2", "end is '1_0'; expected seconds"),
    ("0,1,,2", "the label is empty"),
    ("0,1,KD", "row 2 has 3 columns; expected 4"),
    ("0,1,KD,2\n0.5,,KD,", "class 'KD' has times and counts"),
  ],
)
def test_rows_that_make_no_sense_are_named(tmp_path, row, message):
  path = tmp_path / "clip.csv"
  path.write_text(f"start,end,label,count\n{row}\n")
  with pytest.raises(ValueError, match=message):
    count_tables.read_counts(path)


def test_counts_are_no_times(tmp_path):
  path = tmp_path / "clip.csv"
  path.write_text(TABLE)
  with pytest.raises(ValueError, match=r"clip\.csv: holds counts of windows .*; expected times"):
    event_files.read_events(path)
  path.write_text("time,label\n0.5,KD\n")
  assert not count_tables.is_count_table(path)
  with pytest.raises(ValueError, match="the header is 'time,label'; expected 'start,end,label,count'"):
    count_tables.read_counts(path)


def test_a_folder_with_counts(tmp_path):
  write(tmp_path / "counted.csv", TABLE)
  write(tmp_path / "timed.csv", "time,label\n0.5,KD\n")
  counted, timed = folder.load(tmp_path)
  assert set(counted.counted) == {"KD", "SD", "HH"}
  assert counted.counted["HH"] == [CountedWindow(0.0, 4.0, 0, 0)]
  # A table of counts says nothing of what it has no row of, a list of times that there are no others.
  assert counted.labelled == {"CR": True, "HH": False, "KD": False, "SD": False}
  assert all(timed.labelled.values()) and not timed.counted
  assert counted.times_s("CR").tolist() == [0.25, 0.75]


def test_classes_and_renaming_apply_to_counts(tmp_path):
  write(tmp_path / "clip.csv", TABLE)
  with pytest.raises(ValueError, match=r"clip\.csv: unknown label 'CR'; expected one of KD, SD, HH"):
    folder.load(tmp_path, classes=("KD", "SD", "HH"))
  (clip,) = folder.load(tmp_path, class_map={"KD": "kick", "SD": None, "HH": None, "CR": "cymbal"})
  assert set(clip.counted) == {"kick"} and clip.times_s("cymbal").tolist() == [0.25, 0.75]
  with pytest.raises(ValueError, match="makes one class of several that were counted"):
    folder.load(tmp_path, class_map={"KD": "drum", "SD": "drum", "HH": None, "CR": None})


@pytest.mark.parametrize(
  ("row", "message"),
  [
    (
      "0,5,KD,1",
      r"clip\.npz \(labels in clip\.csv\): .*from 0\.000 to 5\.000 s does not lie in the recording",
    ),
    ("0,2,KD,1\n1,3,KD,1", "from 1.000 to 3.000 s overlaps the one before, which ends at 2.000 s"),
  ],
)
def test_windows_that_cannot_be_are_named(tmp_path, row, message):
  write(tmp_path / "clip.csv", f"start,end,label,count\n{row}\n")
  with pytest.raises(ValueError, match=message):
    folder.load(tmp_path)


def test_a_class_has_times_or_counts():
  both = Recording(
    "clip", np.ones(10), 1.0, {"KD": np.array([1.0])}, counted={"KD": [CountedWindow(0, 5, 1, 1)]}
  )
  with pytest.raises(ValueError, match="class 'KD' has times and counts"):
    validate(both)


def rules(path, text):
  path.write_text(text)
  return supervision.read_rules(path)


def test_the_first_rule_that_fits_decides(tmp_path):
  (tmp_path / "studio").mkdir()
  write(tmp_path / "studio" / "one.csv", "time,label\n0.5,KD\n1.5,HH\n")
  write(tmp_path / "two.csv", "time,label\n0.5,KD\n1.5,HH\n")
  (tmp_path / "supervision.csv").write_text(
    "id,label,supervision\nstudio/*,HH,unlabelled\nstudio/*,*,exact\n*,*,jittered\n"
  )
  studio, two = folder.load(tmp_path)
  assert studio.exact == {"KD"} and not studio.is_labelled("HH") and not len(studio.times_s("HH"))
  assert not two.exact and two.is_labelled("HH") and len(two.times_s("HH"))


def test_rules_may_be_for_other_splits(tmp_path):
  for name in ("one", "two", "three"):
    write(tmp_path / f"{name}.csv", "time,label\n0.5,KD\n")
  (tmp_path / "split.csv").write_text("id,split\none,train\ntwo,validation\nthree,test\n")
  (tmp_path / "supervision.csv").write_text("id,label,supervision\ntwo,KD,exact\n")
  assert [folder.load(tmp_path, split=split)[0].exact for split in ("train", "validation")] == [set(), {"KD"}]
  (tmp_path / "supervision.csv").write_text("id,label,supervision\nfour,KD,exact\n")
  with pytest.raises(ValueError, match="'four,KD,exact' decides for no recording"):
    folder.load(tmp_path, split="train")


@pytest.mark.parametrize("place", ["labels", "Annotations"])
def test_rules_may_lie_with_the_labels(tmp_path, place):
  (tmp_path / place).mkdir()
  for name in ("one", "two"):
    write(tmp_path / f"{name}.csv", "time,label\n0.5,KD\n").rename(tmp_path / place / f"{name}.csv")
  (tmp_path / place / "supervision.csv").write_text("id,label,supervision\none,KD,exact\ntwo,KD,unlabelled\n")
  one, two = folder.load(tmp_path)
  assert one.exact == {"KD"} and not two.is_labelled("KD")


@pytest.mark.parametrize(
  ("places", "message"),
  [
    ((".", "labels"), r"supervision\.csv: there is labels/supervision\.csv too; expected one"),
    (("annotations", "labels"), r"labels/supervision\.csv: there is annotations/supervision\.csv too"),
    (
      ("kit1",),
      r"kit1/supervision\.csv: would not be read where it lies; expected supervision\.csv at the top",
    ),
    (("kit1/labels",), r"kit1/labels/supervision\.csv: would not be read where it lies"),
    (("labels/kit1",), r"labels/kit1/supervision\.csv: would not be read where it lies"),
  ],
)
def test_rules_that_nobody_would_read_are_named(tmp_path, places, message):
  write(tmp_path / "clip.csv", "time,label\n0.5,KD\n")
  for place in places:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "supervision.csv").write_text("id,label,supervision\n*,KD,exact\n")
  with pytest.raises(ValueError, match=message):
    folder.load(tmp_path)
  (finding,) = [one for one in doctor.examine(tmp_path).findings if one.where.endswith("supervision.csv")]
  assert finding.level == "error" and "expected" in finding.message


def test_a_sidecar_may_be_called_supervision(tmp_path):
  (tmp_path / "kit1").mkdir()
  write(tmp_path / "kit1" / "supervision.csv", "time,label\n0.5,KD\n")
  assert [one.id for one in folder.load(tmp_path)] == ["kit1__supervision"]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("id,label\na,b\n", "the header is 'id,label'; expected 'id,label,supervision'"),
    ("id,label,supervision\na,b\n", r"row 2 is \['a', 'b'\]"),
    (
      "id,label,supervision\na,b,perfect\n",
      "row 2: supervision is 'perfect'; expected one of exact, jittered",
    ),
  ],
)
def test_rules_that_make_no_sense_are_named(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    rules(tmp_path / "supervision.csv", text)


def test_rules_that_decide_nothing_are_named(tmp_path):
  write(tmp_path / "clip.csv", "time,label\n0.5,KD\n")
  path = tmp_path / "supervision.csv"
  for text in ("clop,*,exact", "*,*,exact\nclip,KD,jittered"):
    path.write_text(f"id,label,supervision\n{text}\n")
    with pytest.raises(ValueError, match="decides for no recording and class"):
      folder.load(tmp_path)
  write(tmp_path / "clip.csv", "start,end,label,count\n0,1,KD,1\n")
  path.write_text("id,label,supervision\n*,KD,exact\n")
  with pytest.raises(ValueError, match="'clip' has counts of 'KD', which are no exact times"):
    folder.load(tmp_path)
  write(tmp_path / "timed.csv", "time,label\n0.5,KD\n")
  path.write_text("id,label,supervision\n*,*,exact\n")  # of all that has times
  counted, timed = folder.load(tmp_path)
  assert not counted.exact and timed.exact == {"KD"}


def test_what_spreadsheets_make_of_tables(tmp_path):
  path = tmp_path / "clip.csv"
  path.write_text('\n"start","end","label","count"\n"0","4","KD","7.0"\n0,4,SD,?\n1.5,,SD,\n')
  table = count_tables.read_counts(path)
  assert table.counted == {"KD": [CountedWindow(0.0, 4.0, 7, 7)]}
  assert table.events["SD"].tolist() == [1.5]  # "?" says nothing
