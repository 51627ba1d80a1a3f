"""`softloc-jax`: the command line."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import pathlib
import shlex
import sys

import click

FORMATS = ("csv", "tsv", "jams", "mid", "svl")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="softloc_jax")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
  """Locate instantaneous events with networks trained from counts or misaligned labels."""
  context.obj = debug


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=pathlib.Path))
@click.option("--model", help="A network that comes with the package: drums (kick, snare, hi-hat).")
@click.option(
  "--checkpoint",
  type=click.Path(path_type=pathlib.Path),
  help="Instead: workdir of a training (the folder that holds config.json and checkpoints/).",
)
@click.option(
  "--out",
  type=click.Path(path_type=pathlib.Path),
  default=pathlib.Path("."),
  show_default=True,
  help="Folder for <name>.csv (time, label, confidence) and <name>.png.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--plot/--no-plot", default=True, show_default=True, help="Draw the signal with its events.")
@click.option(
  "--start", "start_s", default=0.0, show_default=True, help="Where the figure begins, in seconds."
)
@click.option("--length", "length_s", default=10.0, show_default=True, help="How much it shows, in seconds.")
@click.pass_obj
def predict(debug, files, model, checkpoint, out, overwrite, plot, start_s, length_s) -> None:
  """Events of signal FILES (wav, flac, ogg, mp3, npz, csv, WFDB .hea, videos) as CSV, with a figure."""
  from softloc_jax import detector

  with _one_line_errors(debug):
    if (model is None) == (checkpoint is None):
      raise click.UsageError("expected either --model or --checkpoint")
    results = _result_paths(files, out, [".csv", ".png"] if plot else [".csv"], overwrite)
    trained = detector.Detector.pretrained(model) if model else detector.Detector.from_workdir(checkpoint)
    for path, csv_path in zip(files, results, strict=True):
      found = trained.detect_file(path)
      found.write(csv_path, overwrite=overwrite)
      counts = ", ".join(f"{len(times)} {name}" for name, times in found.times_s.items())
      click.echo(f"{path}: {counts} -> {csv_path}")
      if plot:
        found.plot(csv_path.with_suffix(".png"), start_s=start_s, length_s=length_s)


@cli.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option(
  "--out",
  type=click.Path(path_type=pathlib.Path),
  help="Folder for labels/, corrections.csv, report.html and the trainings.  [default: FOLDER-refined]",
)
@click.option("--kind", type=click.Choice(["audio", "sensor"]), help="Of signal.  [default: by the files]")
@click.option("--classes", help="Labels that may occur, as A,B.  [default: those found]")
@click.option("--model", help="Correct with a network that comes with the package instead of training.")
@click.option(
  "--checkpoint",
  type=click.Path(path_type=pathlib.Path),
  help="Correct with a training of yours that never saw these labels.",
)
@click.option(
  "--folds", default=5, show_default=True, help="Networks; each judges what it was not trained on."
)
@click.option("--steps", type=int, help="Of each training.  [default: 1800 for audio, 1200 for sensors]")
@click.option("--softness-ms", type=float, help="How far labels are off (std).  [default: estimated]")
@click.option("--min-gap-ms", type=float, help="Least time between events of a class.  [default: by labels]")
@click.option("--tolerance-ms", default=50.0, show_default=True, help="What confidences refer to.")
@click.option("--common-offset", is_flag=True, help="Correct recordings whose labels are all late or early.")
@click.option("--trust-counts", is_flag=True, help="Every label is an event, even if nothing is heard of it.")
@click.option("--add-missing", is_flag=True, help="Also write events that seem to lack a label.")
@click.option("--least-confidence", default=0.0, show_default=True, help="Leave out labels of less.")
@click.option(
  "--format",
  "formats",
  multiple=True,
  type=click.Choice(FORMATS),
  default=("csv",),
  show_default=True,
  help="Of the new label files; may be given several times.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.pass_obj
def refine(debug, folder, out, formats, overwrite, **options) -> None:
  """Correct the labels of a FOLDER of recordings: new label files and a report; the old ones stay."""
  from softloc_jax import refine_folder

  with _one_line_errors(debug):
    out = out or folder.with_name(f"{folder.resolve().name}-refined")
    command = shlex.join(["softloc-jax", *sys.argv[1:]])
    report = refine_folder.refine_folder(
      folder, out, formats=[f".{one}" for one in formats], overwrite=overwrite, command=command, **options
    )
    click.echo(f"{report.summary}\n-> {report.path}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option("--classes", help="Labels that may occur, as A,B.  [default: any]")
@click.option("--model", help="Compare label times with what a network of the package hears.")
@click.option(
  "--checkpoint",
  type=click.Path(path_type=pathlib.Path),
  help="Compare them with what a training of yours hears.",
)
@click.option("--timing/--no-timing", default=True, show_default=True, help="Compare times at all.")
@click.option("--all", "show_all", is_flag=True, help="List the timing of every recording.")
@click.pass_obj
def doctor(debug, folder, classes, model, checkpoint, timing, show_all) -> None:
  """Examine a FOLDER of recordings and labels before training; exit code 1 if it cannot be used."""
  from softloc_jax import detector
  from softloc_jax import doctor as examination

  with _one_line_errors(debug):
    trained = None
    if model or checkpoint:
      trained = detector.Detector.pretrained(model) if model else detector.Detector.from_workdir(checkpoint)
    known = tuple(classes.split(",")) if classes else None
    found = examination.examine(folder, classes=known, trained=trained, timing=timing)
    click.echo(examination.as_text(found, show_all=show_all))
  if not found.is_usable:
    sys.exit(1)


@contextlib.contextmanager
def _one_line_errors(debug: bool):
  """What went wrong in one line, unless the traceback was asked for."""
  try:
    yield
  except (OSError, ValueError, ImportError) as error:
    if debug:
      raise
    raise click.ClickException(f"{error}") from error


def _result_paths(
  files: Sequence[pathlib.Path], out: pathlib.Path, extensions: Sequence[str], overwrite: bool
) -> list[pathlib.Path]:
  """Where each file's events go; refuses, before any work, what would replace a file or another result."""
  results = [out / f"{path.stem}.csv" for path in files]
  for number, result in enumerate(results):
    if result in results[:number]:
      first = files[results.index(result)]
      raise ValueError(f"{first} and {files[number]} would both be written to {result}; predict them apart")
    for target in (result.with_suffix(extension) for extension in extensions):
      if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists; use --overwrite to replace it")
  return results


def main() -> None:
  """Entry point of the console script."""
  sys.exit(cli())
