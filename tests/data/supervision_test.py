"""Rules of `supervision.csv`: what they speak of. `count_tables_test` has how folders are read with them."""

import numpy as np
import pytest

from softloc_jax.data import supervision
from softloc_jax.data.recording import Recording
from softloc_jax.data.supervision import Rule


def recording(id_, *labels):
  return Recording(id_, np.zeros(4, np.float32), 1.0, {label: np.array([1.0]) for label in labels or ("KD",)})


def test_an_id_with_pattern_characters_is_itself():
  both = [recording("t[1]"), recording("t1")]
  ruled = supervision.apply([Rule("t[1]", "KD", "exact")], both)
  assert [one.exact for one in ruled] == [{"KD"}, set()]
  (alone,) = supervision.apply([Rule("t[1]", "KD", "exact")], both[1:])  # then it is a pattern
  assert alone.exact == {"KD"}


def test_an_id_with_pattern_characters_may_be_of_another_split():
  (kept,) = supervision.apply([Rule("t[1]", "KD", "exact")], [recording("t1")], others=["t[1]"])
  assert kept.exact == set()


def test_a_label_with_pattern_characters_is_itself():
  (ruled,) = supervision.apply([Rule("*", "HH [o]", "exact")], [recording("take", "HH [o]", "HH o")])
  assert ruled.exact == {"HH [o]"}


@pytest.mark.parametrize("content", ["id,label,supervision\nCafé,*,exact\n".encode("latin-1"), b"\xff\xfe\n"])
def test_rules_that_are_no_text_are_named(tmp_path, content):
  path = tmp_path / "supervision.csv"
  path.write_bytes(content)
  message = r"supervision\.csv: cannot read as a table \('utf-8' .*\); expected a csv table in UTF-8 with the"
  with pytest.raises(ValueError, match=message):
    supervision.read_rules(path)
