"""Our docstrings, plain text with backticks, as the reStructuredText that Sphinx reads."""

from __future__ import annotations

import itertools
import re

_BLANK_BEFORE_FENCE = re.compile(r"\n\n```$", re.MULTILINE)
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
_SECTION = re.compile(r"[A-Z][a-z]+:$")


def to_rst(lines: list[str]) -> list[str]:
  """Backticks are code, and so is an indented block that follows an empty line; bars make a table.

  >>> to_rst(["The sum `a_t`:", "", "    a + b"])
  ['The sum ``a_t``:', '', '.. code-block:: text', '', '    a + b']
  """
  result: list[str] = []
  text = "\n".join(lines)
  last = ""  # line with text
  in_block = False
  for line in _tables(_CODE.sub(_literal, text).split("\n")):
    is_indented = line.startswith("  ")
    follows_text = last and not last.startswith(" ") and not _SECTION.match(last)
    if is_indented and not in_block and follows_text and not result[-1].strip():
      result += [".. code-block:: text", ""]
      in_block = True
    if last in ("Returns:", "Yields:"):
      # Napoleon takes what stands before a colon for a type: so there is a colon, with nothing before it.
      line = re.sub(r"^ +", r"\g<0>: ", line)
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


def _close_examples(app, docname, source) -> None:
  # Doctests in pages end with an empty line, which is not to be seen.
  source[0] = _BLANK_BEFORE_FENCE.sub("\n```", source[0])


def _skip(app, what, name, obj, skip, options) -> bool | None:
  # Fields of named tuples are described by their class.
  return True if type(obj).__name__ == "_tuplegetter" else None


def _name_aliases(app, what, name, obj, options, signature, returns):
  # Within a union, autodoc shows how it stands for an alias instead of its name.
  return tuple(text and _ALIAS.sub(r"\1", text) for text in (signature, returns))


def setup(app):
  """Before napoleon, which has priority 500, makes fields of the sections."""
  app.connect("autodoc-process-docstring", _process, priority=400)
  app.connect("autodoc-process-signature", _name_aliases)
  app.connect("autodoc-skip-member", _skip)
  app.connect("source-read", _close_examples)
  return {"parallel_read_safe": True, "parallel_write_safe": True}
