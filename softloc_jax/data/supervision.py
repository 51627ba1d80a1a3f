"""How far the times of one's own recordings may be trusted, by recording and class: `supervision.csv`.

    id,label,supervision
    studio/*,*,exact          each event lies in the frame that its label says
    take7,HH,unlabelled       labels that are there are not to be used
    *,*,jittered              about right, as all labels are that no row speaks of

The first row that fits decides. `id` is a recording's id or path without extension; `*` stands for anything,
`exact` for all that has times. An id or label that there is stands for itself, whatever characters it has.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
import fnmatch
import os
import pathlib
from typing import NamedTuple

import numpy as np

from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import as_id, listing, read_rows

FILE = "supervision.csv"
KINDS = ("exact", "jittered", "unlabelled")

HEADER = ["id", "label", "supervision"]


class Rule(NamedTuple):
  """A row: patterns of ids and labels, and what it says of them."""

  id: str
  label: str
  supervision: str


def read_rules(path: str | os.PathLike) -> list[Rule]:
  """Reads a table `id,label,supervision`.

  Raises:
    FileNotFoundError: no such file.
    ValueError: no csv table in UTF-8, another header or a malformed row; the message names file and row.
  """
  path = pathlib.Path(path)
  rules = []
  for number, fields in read_rows(path, HEADER):
    if len(fields) != len(HEADER) or not all(fields):
      raise ValueError(f"{path}: row {number} is {fields}; expected an id, a label and a supervision")
    if fields[2] not in KINDS:
      raise ValueError(
        f"{path}: row {number}: supervision is {fields[2]!r}; expected one of {', '.join(KINDS)}"
        f" (counts have tables of their own, start,end,label,count)"
      )
    rules.append(Rule(as_id(fields[0]), *fields[1:]))
  return rules


def apply(
  rules: Sequence[Rule], recordings: Sequence[Recording], *, others: Sequence[str] = ()
) -> list[Recording]:
  """The recordings with what the rules say of their times.

  Args:
    rules: the first that fits decides.
    recordings: to be changed.
    others: ids of recordings that are not, such as those of other splits, which rules may be for.

  Raises:
    ValueError: a rule that fits nothing, or calls counts exact.

  >>> clip = Recording("clip", np.zeros(4), 1.0, {"KD": np.array([1.0]), "SD": np.array([2.0])})
  >>> (ruled,) = apply([Rule("*", "KD", "exact"), Rule("clip", "*", "unlabelled")], [clip])
  >>> ruled.exact, ruled.labelled
  (frozenset({'KD'}), {'SD': False})
  """
  used: set[int] = set()
  ids = {*(one.id for one in recordings), *others}
  labels = {label for one in recordings for label in (*one.events, *one.counted)}
  ruled = [_apply_to(rules, one, used, ids, labels) for one in recordings]
  unused = [
    rule
    for number, rule in enumerate(rules)
    if number not in used and not any(_fits(other, rule.id, ids) for other in others)
  ]
  if unused:
    raise ValueError(
      f"{FILE}: {','.join(unused[0])!r} decides for no recording and class; expected ids among"
      f" {listing([one.id for one in recordings])}, and rows that no earlier row makes useless"
    )
  return ruled


def _fits(name: str, pattern: str, names: Collection[str]) -> bool:
  """Whether a row's id or label speaks of `name`; one of `names` may itself look like a pattern."""
  return name == pattern if pattern in names else fnmatch.fnmatchcase(name, pattern)


def _apply_to(
  rules: Sequence[Rule], recording: Recording, used: set[int], ids: Collection[str], labels: Collection[str]
) -> Recording:
  exact, labelled = set(recording.exact), dict(recording.labelled)
  events, counted = dict(recording.events), dict(recording.counted)
  for label in sorted({*events, *counted}):
    fits = (
      number
      for number, rule in enumerate(rules)
      if _fits(recording.id, rule.id, ids) and _fits(label, rule.label, labels)
    )
    number = next(fits, None)
    if number is None:
      continue
    exact_counts = rules[number].supervision == "exact" and label in counted
    if exact_counts and rules[number].label != label:
      continue  # whoever says that all is exact speaks of times
    used.add(number)
    if rules[number].supervision == "exact":
      if exact_counts:
        raise ValueError(
          f"{FILE}: recording {recording.id!r} has counts of {label!r}, which are no exact times"
        )
      exact.add(label)
    elif rules[number].supervision == "unlabelled":
      events[label], labelled[label] = np.zeros(0), False
      counted.pop(label, None)
  return recording.replace(exact=frozenset(exact), labelled=labelled, events=events, counted=counted)
