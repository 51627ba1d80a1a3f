"""`softloc-jax`: the command line."""

from __future__ import annotations

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
@click.option(
  "--checkpoint",
  required=True,
  type=click.Path(path_type=pathlib.Path),
  help="Workdir of a training (the folder that holds config.json and checkpoints/).",
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
def predict(debug, files, checkpoint, out, overwrite, plot, start_s, length_s) -> None:
  """Events of signal FILES (wav, flac, ogg, mp3, npz, csv, WFDB .hea) as CSV, with a figure."""
  from softloc_jax import detector

  try:
    trained = detector.Detector(checkpoint)
    for path in files:
      csv_path = out / f"{path.stem}.csv"
      if csv_path.exists() and not overwrite:
        raise FileExistsError(f"{csv_path} exists; use --overwrite to replace it")
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


def main() -> None:
  """Entry point of the console script."""
  sys.exit(cli())
