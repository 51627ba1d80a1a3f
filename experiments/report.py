"""What the tables are written with."""

from collections.abc import Sequence

import numpy as np


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
  """Lines of a Markdown table, and an empty one.

  >>> markdown_table(["loss", "F1"], [["CE", "38.6"]])
  ['| loss | F1 |', '|---|---|', '| CE | 38.6 |', '']
  """
  lines = [header, *rows]
  if len({len(line) for line in lines}) != 1:
    raise ValueError(f"rows have {[len(row) for row in rows]} entries; expected {len(header)} as the header")
  text = [f"| {' | '.join(line)} |" for line in lines]
  return [text[0], "|---" * len(header) + "|", *text[1:], ""]


def mean_and_spread(values: Sequence[float | None], form: str = "{:.1f}") -> str:
  """Mean and standard deviation over seeds; of one seed the mean alone, of none a dash.

  >>> mean_and_spread([70.0, 72.0]), mean_and_spread([70.0]), mean_and_spread([None])
  ('71.0 ± 1.4', '70.0', '-')
  """
  known = [value for value in values if value is not None and np.isfinite(value)]
  if not known:
    return "-"
  mean = form.format(np.mean(known))
  return mean if len(known) == 1 else f"{mean} ± {form.format(np.std(known, ddof=1))}"


def over_seeds(number: int) -> str:
  """What the entries of a table are over.

  >>> over_seeds(3), over_seeds(1)
  ('± over 3 seeds', 'one seed')
  """
  return f"± over {number} seeds" if number > 1 else "one seed"
