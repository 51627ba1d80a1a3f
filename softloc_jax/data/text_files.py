"""Reads text in UTF-8, and the numbers in it."""

from __future__ import annotations

import os
import pathlib


def read(path: str | os.PathLike, content: bytes | None = None) -> str:
  """The text of a file, without a byte order mark, and with "\\n" at the end of lines.

  Args:
    path: what errors name, and what is read.
    content: is taken instead, for files within archives.

  Raises:
    FileNotFoundError: no such file.
    ValueError: not in UTF-8; the message names the file.
  """
  content = pathlib.Path(path).read_bytes() if content is None else content
  try:
    text = content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(f"{path}: not a text file in UTF-8 ({error})") from error
  return text.replace("\r\n", "\n").replace("\r", "\n")


def number(text: str) -> float | None:
  """The number that a text shows, or None.

  Underscores, which Python reads as digit separators, are no part of one: `1_0` is rather a name.

  >>> number("1.5"), number("1e-3"), number("1_0"), number("kick")
  (1.5, 0.001, None, None)
  """
  try:
    return None if "_" in text else float(text)
  except ValueError:
    return None
