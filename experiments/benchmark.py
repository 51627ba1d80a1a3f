"""Measures the library beside what people would use instead, all in one process, in turns.

  python -m experiments.benchmark --out=runs/benchmark

writes `benchmark.md` and `benchmark.json` with medians, spreads and ratios, and what they were taken on. `pip
install 'softloc_jax[bench]'` adds the peers that are not installed anyway.
"""

from collections.abc import Callable, Mapping
import json
import pathlib

from absl import app, flags, logging

from experiments.benchmarks import count_loss, features, prediction, smoothing, timing, training
from experiments.benchmarks.timing import Timing
from experiments.report import markdown_table
from softloc_jax import checkpoints

SECTIONS: Mapping[str, Callable[[int], dict[str, dict[str, Timing]]]] = {
  "count_loss": count_loss.measure,
  "smoothing": smoothing.measure,
  "features": features.measure,
  "prediction": prediction.measure,
  "training": training.measure,
}

_OUT = flags.DEFINE_string("out", "runs/benchmark", "Where the figures go.")
_ONLY = flags.DEFINE_list("only", list(SECTIONS), "Which sections.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Measurements of each.", lower_bound=1)


def markdown(sections: Mapping[str, Mapping[str, Mapping[str, Timing]]], machine: Mapping) -> str:
  """A table for every section; ratios are of medians, to the first of their group."""
  lines = [", ".join(f"{key} {value}" for key, value in machine.items()), ""]
  for section, groups in sections.items():
    rows = [
      [
        group,
        name,
        _milliseconds(one.median_s, one.spread_s),
        f"{one.median_s / next(iter(timings.values())).median_s:.2f}",
        "-" if one.memory_bytes is None else f"{one.memory_bytes / 1e6:.1f} MB",
      ]
      for group, timings in groups.items()
      for name, one in timings.items()
    ]
    header = ["what", "how", "median ± half the quartiles' distance", "to the first", "memory"]
    lines += [f"### {section.replace('_', ' ')}", "", *markdown_table(header, rows)]
  return "\n".join(lines)


def _milliseconds(median_s: float, spread_s: float) -> str:
  digits = 3 if median_s < 1e-3 else 2 if median_s < 0.1 else 0
  return f"{1e3 * median_s:.{digits}f} ± {1e3 * spread_s:.{digits}f} ms"


def to_json(sections: Mapping[str, Mapping[str, Mapping[str, Timing]]], machine: Mapping) -> str:
  """Everything that was measured."""
  seconds = {
    section: {
      group: {
        name: {"seconds": one.seconds, "memory_bytes": one.memory_bytes} for name, one in timings.items()
      }
      for group, timings in groups.items()
    }
    for section, groups in sections.items()
  }
  return json.dumps({"machine": machine, "sections": seconds}, indent=2) + "\n"


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  unknown = sorted(set(_ONLY.value) - set(SECTIONS))
  if unknown:
    raise app.UsageError(f"--only: {', '.join(unknown)}; expected some of {', '.join(SECTIONS)}")
  logging.set_verbosity(logging.WARNING)
  machine, out = timing.machine(), pathlib.Path(_OUT.value)
  sections = {name: SECTIONS[name](_REPEATS.value) for name in _ONLY.value}
  out.mkdir(parents=True, exist_ok=True)
  checkpoints.replace_text(out / "benchmark.json", to_json(sections, machine))
  checkpoints.replace_text(out / "benchmark.md", markdown(sections, machine))
  print(markdown(sections, machine))


if __name__ == "__main__":
  app.run(main)
