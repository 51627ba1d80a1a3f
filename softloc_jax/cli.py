"""`softloc-jax`: the command line."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
import sys

import click


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

  try:
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
