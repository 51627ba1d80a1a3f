"""Drums from counts, and from exact labels: rendered Groove trains, rendered and real recordings are tested.

The folder of the data sets holds `groove` (Groove MIDI), `oneshots/<kit>` (one-shot samples) and `MDBDrums`;
where it also holds `IDMT-SMT-Drums`, the six runs of Eval Random (L Table 1) are added.
"""

from collections.abc import Mapping, Sequence
import functools
import json
import pathlib

from ml_collections import ConfigDict

from configs.misaligned import drums as misaligned_drums
from configs.weak import drums as weak_drums
from experiments import cells
from experiments.report import markdown_table, mean_and_spread
from softloc_jax import checkpoints, data, run_log, train
from softloc_jax.network import Network

KIT = "oneshots/muldjord_drums_ccby"
IDMT_RUNS = 6
ROWS = {"counts": "counts only (LoCo)", "exact": "exact times, cross entropy"}
# F1 in per cent: IDMT-SMT-Drums, Eval Random, L Table 1.
PAPER = {"KD": 96.0, "SD": 90.4, "HH": 97.1, "mean": 94.5}


def make(data_dir: str, workdir: pathlib.Path, seeds: int, jobs: int, num_steps: int | None) -> str:
  """Trains what is missing, scores it on rendered and on real recordings, writes the table and returns it."""
  root = pathlib.Path(data_dir)
  configs = {(row, seed): _config(row, seed, root, num_steps) for seed in range(seeds) for row in ROWS}
  idmt = root / "IDMT-SMT-Drums"
  if idmt.is_dir():
    config = weak_drums.get_config(f"idmt,runs={IDMT_RUNS},data_dir={idmt}")
    configs["idmt", 0] = cells.prepare(config, num_steps)
  by_name = cells.run({cell_name(*cell): config for cell, config in configs.items()}, workdir, jobs)
  real = {cell: by_name[cell_name(*cell)] for cell in configs}
  rendered = {
    cell: _on_rendered(config, workdir / cell_name(*cell))
    for cell, config in configs.items()
    if cell[0] in ROWS
  }
  hours = {row: run_log.training_seconds(workdir / cell_name(row, 0)) / 3600 for row in ROWS}
  text = markdown(real, rendered, hours)
  checkpoints.replace_text(workdir / "drums.md", text)
  return text


def cell_name(row: str, seed: int) -> str:
  """Folder of a cell's training."""
  return f"{row}_seed{seed}"


def _config(row: str, seed: int, root: pathlib.Path, num_steps: int | None) -> ConfigDict:
  folders = f"groove_dir={root / 'groove'},one_shots_dir={root / KIT},mdb_dir={root / 'MDBDrums'}"
  folders += f",seed={100 * seed}"  # no member of an ensemble in two of them
  if row == "counts":
    return cells.prepare(weak_drums.get_config(f"groove,{folders}"), num_steps)
  return cells.prepare(misaligned_drums.get_config(f"cross_entropy,data=groove,{folders}"), num_steps)


def _on_rendered(config: ConfigDict, workdir: pathlib.Path) -> Mapping:
  """Scores of a cell on the rendered test split, written beside it once."""
  out = workdir / "rendered"

  def score() -> Mapping:
    own = [_rendered_test(config.data.to_json())] * config.num_replicas
    return train.evaluate(config, workdir, network=Network.from_config(config), recordings=own, out=out)

  # `cells.run` has refused a training of other settings; a trial of fewer steps may have left scores here.
  return cells.once(out / "results.json", {"num_steps": config.num_steps}, score)


@functools.lru_cache(maxsize=1)
def _rendered_test(data_config: str) -> Sequence[data.Recording]:
  config = ConfigDict(json.loads(data_config))
  config.mdb_dir, config.num_train, config.num_validation = "", 1, 1
  return data.load(config)["test"]


def markdown(
  real: Mapping[tuple[str, int], Mapping],
  rendered: Mapping[tuple[str, int], Mapping],
  hours: Mapping[str, float],
) -> str:
  """F1 of each drum at 50 and 20 ms, and time errors, on MDB Drums and on rendered recordings."""
  lines = [
    f"Training time of a cell: {', '.join(f'{ROWS[row]} {value:.2f} h' for row, value in hours.items())}.",
    "",
  ]
  for title, results in (
    ("MDB Drums, drums alone, real recordings", real),
    ("rendered Groove, performances of the test split", rendered),
  ):
    lines += [f"### {title}", "", *_scores(results)]
  runs = real["idmt", 0]["replicas"] if ("idmt", 0) in real else []
  header = ["IDMT-SMT-Drums, Eval Random", *PAPER]
  rows = [["LoCo, L Table 1", *(f"{value:.1f}" for value in PAPER.values())]]
  if runs:
    keys = [*(f"f1/{name}" for name in weak_drums.CLASSES), "f1"]
    rows.append(["here", *(mean_and_spread([100 * one[key] for one in runs]) for key in keys)])
  lines += ["### F1 at ±50 ms in %, six runs", "", *markdown_table(header, rows)]
  return "\n".join(lines)


def _scores(results: Mapping[tuple[str, int], Mapping]) -> list[str]:
  classes = weak_drums.CLASSES
  header = [
    "F1 in %",
    *classes,
    "mean",
    *(f"{name} at ±20 ms" for name in classes),
    "time error KD / SD / HH",
  ]
  rows = []
  for row, title in ROWS.items():
    own = [result for (name, _), result in results.items() if name == row]
    for what, key in (("hits of all tracks", "f1"), ("mean over tracks", "f1_recordings")):
      by_class = [[100 * one[f"{key}/{name}"] for one in own] for name in classes]
      fine = [[100 * one[f"{key}@20ms/{name}"] for one in own] for name in classes]
      errors = [
        f"{_mean(own, f'time_error_ms/mean/{name}'):+.0f} ± {_mean(own, f'time_error_ms/std/{name}'):.0f} ms"
        for name in classes
      ]
      rows.append(
        [
          f"{title}, {what}",
          *(mean_and_spread(values) for values in by_class),
          mean_and_spread([sum(values) / len(classes) for values in zip(*by_class, strict=True)]),
          *(mean_and_spread(values) for values in fine),
          " / ".join(errors) if key == "f1" else "",
        ]
      )
  return markdown_table(header, rows)


def _mean(results: Sequence[Mapping], key: str) -> float:
  values = [one[key] for one in results if one[key] is not None]
  return sum(values) / len(values) if values else float("nan")
