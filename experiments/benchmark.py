"""Measures the library beside what people would use instead, all in one process, in turns.

  python -m experiments.benchmark --out=runs/benchmark

writes `benchmark.md` and `benchmark.json` with medians, spreads, ratios and distances from the roofline, and
what they were taken on, anew after each section. `pip install 'softloc_jax[bench]'` adds the peers that are
not installed anyway.
"""

from collections.abc import Callable, Mapping
import dataclasses
import json
import pathlib

from absl import app, flags, logging

from experiments.benchmarks import (
  convolutions,
  count_loss,
  features,
  pages,
  piano,
  prediction,
  roofline,
  smoothing,
  timing,
  training,
)
from experiments.benchmarks.timing import Timing
from experiments.report import markdown_table
from softloc_jax import checkpoints

SECTIONS: Mapping[str, Callable[[int], dict[str, dict[str, Timing]]]] = {
  "count_loss": count_loss.measure,
  "smoothing": smoothing.measure,
  "features": features.measure,
  "prediction": prediction.measure,
  "convolutions": convolutions.measure,
  "training": training.measure,
  "piano": piano.measure,
  "pages": pages.measure,
}

_OUT = flags.DEFINE_string("out", "runs/benchmark", "Where the figures go.")
_ONLY = flags.DEFINE_list("only", list(SECTIONS), "Which sections.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Measurements of each.", lower_bound=1)


def markdown(
  sections: Mapping[str, Mapping[str, Mapping[str, Timing]]], machine: Mapping, roof: roofline.Roof
) -> str:
  """A table for every section; ratios are of medians, to the first of their group, and to the roofline."""
  lines = [", ".join(f"{key} {value}" for key, value in machine.items())]
  lines += [
    f"It copies {roof.bytes_per_s / 1e9:.1f} GB and multiplies"
    f" {roof.operations_per_s / 1e9:.0f} GFLOP of float32 a second.",
    "",
  ]
  for section, groups in sections.items():
    rows = [
      [
        group,
        name,
        _milliseconds(one.median_s, one.spread_s),
        f"{one.median_s / next(iter(timings.values())).median_s:.2f}",
        _times_floor(one, roof),
        "-" if one.memory_bytes is None else f"{one.memory_bytes / 1e6:.1f} MB",
      ]
      for group, timings in groups.items()
      for name, one in timings.items()
    ]
    header = [
      "what",
      "how",
      "median ± half the quartiles' distance",
      "to the first",
      "over the floor",
      "memory",
    ]
    if rows:
      lines += [f"### {section.replace('_', ' ')}", "", *markdown_table(header, rows)]
  return "\n".join(lines)


def _times_floor(one: Timing, roof: roofline.Roof) -> str:
  floor_s = roof.floor_s(one)
  return f"{one.median_s / floor_s:.1f}" if floor_s else "-"


def _milliseconds(median_s: float, spread_s: float) -> str:
  digits = 3 if median_s < 1e-3 else 2 if median_s < 0.1 else 0
  return f"{1e3 * median_s:.{digits}f} ± {1e3 * spread_s:.{digits}f} ms"


def to_json(
  sections: Mapping[str, Mapping[str, Mapping[str, Timing]]], machine: Mapping, roof: roofline.Roof
) -> str:
  """Everything that was measured."""
  measured = {
    section: {
      group: {name: dataclasses.asdict(one) for name, one in timings.items()}
      for group, timings in groups.items()
    }
    for section, groups in sections.items()
  }
  found = {"machine": machine, "roof": dataclasses.asdict(roof), "sections": measured}
  return json.dumps(found, indent=2) + "\n"


def write(
  out: pathlib.Path,
  sections: Mapping[str, Mapping[str, Mapping[str, Timing]]],
  machine: Mapping,
  roof: roofline.Roof,
) -> None:
  """What there is so far, as Markdown and JSON."""
  out.mkdir(parents=True, exist_ok=True)
  checkpoints.replace_text(out / "benchmark.json", to_json(sections, machine, roof))
  checkpoints.replace_text(out / "benchmark.md", markdown(sections, machine, roof))


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  unknown = sorted(set(_ONLY.value) - set(SECTIONS))
  if unknown:
    raise app.UsageError(f"--only: {', '.join(unknown)}; expected some of {', '.join(SECTIONS)}")
  logging.set_verbosity(logging.WARNING)
  machine, roof, out = timing.machine(), roofline.measure(), pathlib.Path(_OUT.value)
  sections = {}
  for name in _ONLY.value:
    sections[name] = SECTIONS[name](_REPEATS.value)
    write(out, sections, machine, roof)
  print(markdown(sections, machine, roof))


if __name__ == "__main__":
  app.run(main)
