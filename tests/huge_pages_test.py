"""Huge pages are asked of the processes that are started, of no other, and not against the user's wish."""

import os

import pytest

from experiments import huge_pages

VARIABLE = "GLIBC_TUNABLES"


@pytest.mark.parametrize(
  ("before", "wanted", "expected"),
  [
    (None, None, "glibc.malloc.hugetlb=1"),
    ("glibc.malloc.hugetlb=2", None, "glibc.malloc.hugetlb=2"),
    ("glibc.malloc.hugetlb=2:glibc.malloc.perturb=1", True, "glibc.malloc.perturb=1:glibc.malloc.hugetlb=1"),
    ("glibc.malloc.perturb=1", False, "glibc.malloc.perturb=1:glibc.malloc.hugetlb=0"),
  ],
)
def test_the_environment_asks_for_them_and_is_as_before_afterwards(monkeypatch, before, wanted, expected):
  if before is None:
    monkeypatch.delenv(VARIABLE, raising=False)
  else:
    monkeypatch.setenv(VARIABLE, before)
  with huge_pages.for_new_processes(wanted):
    assert os.environ[VARIABLE] == expected
  assert os.environ.get(VARIABLE) == before


@pytest.mark.parametrize(
  ("libc", "expected"),
  [(("glibc", "2.35"), True), (("glibc", "2.31"), False), (("", ""), False)],
)
def test_only_glibc_has_them_and_not_an_old_one(monkeypatch, libc, expected):
  monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: libc)
  assert huge_pages.available() is expected
