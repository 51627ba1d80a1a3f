"""Figures that need no training.

python -m experiments.figures --figure=theory --out=DIR
"""

import pathlib

from absl import app, flags

from softloc_jax import plots, theory_plots

FIGURES = {"theory": theory_plots.theory_figure}

_FIGURE = flags.DEFINE_enum("figure", "theory", list(FIGURES), "Which figure.")
_OUT = flags.DEFINE_string("out", None, "Folder to write <figure>.png into.", required=True)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  path = pathlib.Path(_OUT.value) / f"{_FIGURE.value}.png"
  plots.save(FIGURES[_FIGURE.value](), path)
  print(f"written to {path}")


if __name__ == "__main__":
  app.run(main)
