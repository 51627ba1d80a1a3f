"""Splits of items: by track within each group, or by whole groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from softloc_jax.data.item import Item
from softloc_jax.data.splits import DEFAULT_FRACTIONS, split_by_recording


def random_by_group(
  items: Sequence[Item], *, seed: int, fractions: Mapping[str, float] = DEFAULT_FRACTIONS
) -> dict[str, list[Item]]:
  """Random split by track in which every group has the same share in every split.

  Args:
    items: items with unique ids.
    seed: another seed, another split.
    fractions: split -> share of each group's tracks, rounded to whole tracks; 1 in total.

  Returns:
    Split -> items, sorted by id. See `splits.split_by_recording` on what the split depends on.

  Raises:
    ValueError: repeated ids, bad fractions, or a group with fewer tracks than there are splits.
  """
  result: dict[str, list[Item]] = {name: [] for name in fractions}
  for group, members in _groups(items).items():
    try:
      # Anything with an id can be split.
      split = split_by_recording(members, fractions=fractions, seed=seed)
    except ValueError as error:
      raise ValueError(f"group {group!r}: {error}") from error
    for name, chosen in split.items():
      result[name] += chosen
  return {name: sorted(chosen, key=lambda item: item.id) for name, chosen in result.items()}


def leave_out_group(
  items: Sequence[Item], test_group: str, *, seed: int, validation_fraction: float = 0.15
) -> dict[str, list[Item]]:
  """One group is tested; the others train, but for a random share of their tracks, which validates.

  Args:
    items: items with unique ids.
    test_group: the group to test on.
    seed: another seed, other validation tracks.
    validation_fraction: share of each other group's tracks.

  Returns:
    "train", "validation" and "test" -> items, sorted by id.

  Raises:
    ValueError: an unknown group, no other group, or what `random_by_group` refuses.
  """
  groups = _groups(items)
  if test_group not in groups:
    raise ValueError(f"test group is {test_group!r}; expected one of {', '.join(groups)}")
  if len(groups) == 1:
    raise ValueError(f"every track is of the group {test_group!r}; expected others to train on")
  rest = [item for item in items if item.group != test_group]
  fractions = {"train": 1 - validation_fraction, "validation": validation_fraction}
  split = random_by_group(rest, seed=seed, fractions=fractions)
  return {**split, "test": sorted(groups[test_group], key=lambda item: item.id)}


def _groups(items: Sequence[Item]) -> dict[str, list[Item]]:
  groups: dict[str, list[Item]] = {}
  for item in sorted(items, key=lambda item: item.id):
    groups.setdefault(item.group, []).append(item)
  return groups
