"""Our docstrings, plain text with backticks, as the reStructuredText that Sphinx reads."""

from __future__ import annotations

import itertools
import re

_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_SECTION = re.compile(r"[A-Z][a-z]+:$")


def to_rst(lines: list[str]) -> list[str]:
  """Backticks are code, and so is an indented block that follows an empty line; bars make a table.

  >>> to_rst(["The sum `a_t`:", "", "    a + b"])
  ['The sum ``a_t``:', '', '::', '', '    a + b']
  """
  result: list[str] = []
  text = "\n".join(lines)
  last = ""  # line with text
  in_block = False
  for line in _tables(_CODE.sub(_literal, text).split("\n")):
    is_indented = line.startswith("  ")
    if is_indented and not in_block and result and not result[-1].strip():
      if last and not last.startswith(" ") and not _SECTION.match(last):
        result += ["::", ""]
        in_block = True
    if line.strip():
      in_block = in_block and is_indented
      last = line
    result.append(line)
  return result


def _literal(match: re.Match) -> str:
  # A name that is continued, as in `x`s, would not end for reStructuredText.
  return f"``{' '.join(match[1].split())}``"


def _tables(lines: list[str]) -> list[str]:
  """Tables of Markdown as lists of lists."""
  result: list[str] = []
  for is_table, group in itertools.groupby(lines, lambda line: line.startswith("|")):
    if not is_table:
      result += group
      continue
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in group]
    result += [".. list-table::", "  :header-rows: 1", ""]
    for row in (rows[0], *rows[2:]):
      result += [f"  {'*' if column == 0 else ' '} - {cell}" for column, cell in enumerate(row)]
  return result


def _process(app, what, name, obj, options, lines) -> None:
  lines[:] = to_rst(lines)


def _skip(app, what, name, obj, skip, options) -> bool | None:
  # Fields of named tuples are described by their class.
  return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
  """Before napoleon, which has priority 500, makes fields of the sections."""
  app.connect("autodoc-process-docstring", _process, priority=400)
  app.connect("autodoc-skip-member", _skip)
  return {"parallel_read_safe": True, "parallel_write_safe": True}
