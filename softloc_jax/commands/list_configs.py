"""What `softloc-jax configs` does: the experiments of a checkout, and what each is."""

from __future__ import annotations

import ast
import os
import pathlib
from typing import NamedTuple


class Experiment(NamedTuple):
  """A config file.

  Attributes:
    path: within the checkout.
    what: first line of its docstring.
    arguments: first line of its function's, which names variants and keys.
  """

  path: str
  what: str
  arguments: str


def find(folder: str | os.PathLike = ".") -> list[Experiment]:
  """The experiments of a checkout; its files are read, not run.

  Raises:
    FileNotFoundError: the folder has no `configs/` with experiments.
  """
  folder = pathlib.Path(folder)
  found = []
  for path in sorted(folder.glob("configs/*/*.py")):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [
      node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "get_config"
    ]
    if functions:
      what, arguments = ((ast.get_docstring(node) or "").split("\n")[0] for node in (tree, functions[0]))
      found.append(Experiment(path.relative_to(folder).as_posix(), what, arguments))
  if not found:
    raise FileNotFoundError(f"{folder.resolve()} has no configs/; expected a checkout of softloc_jax")
  return found


def as_text(experiments: list[Experiment]) -> str:
  """Each with what it is and what it takes, and how to run one."""
  lines = [line for one in experiments for line in (one.path, f"  {one.what}", f"  {one.arguments}", "")]
  return "\n".join([*lines, "python -m experiments.train --config=FILE:VARIANT,KEY=VALUE --workdir=DIR"])
