"""`softloc-jax`: the command line."""

from __future__ import annotations

import contextlib
import json
import math
import pathlib
import shlex
import sys
from typing import Any

import click

_POSITIVE = click.FloatRange(min=0, min_open=True)
_SHARE = click.FloatRange(0, 1)
_AT_LEAST_1 = click.IntRange(min=1)

# Options of several commands.
_FORMAT = click.option(
  "--format",
  "formats",
  multiple=True,
  type=click.Choice(["csv", "tsv", "jams", "mid", "svl"]),
  default=("csv",),
  show_default=True,
  help="Of the label files; may be given several times.",
)
_CLASSES = click.option("--classes", help="Labels that may occur, as A,B.  [default: those found]")
_MAP = click.option(
  "--map",
  "class_map",
  multiple=True,
  metavar="OLD=NEW",
  help="Rename a label, or with OLD= leave it out; if any, every label that occurs has to be given.",
)
_LABELS_FROM = click.option(
  "--labels-from",
  type=click.Choice(["csv", "tsv", "txt", "jams", "mid", "midi"]),
  help="Which label files to read, where recordings have several.",
)
_MISSING = click.option(
  "--missing",
  type=click.Choice(["error", "unlabelled", "empty"]),
  default="error",
  show_default=True,
  help="What recordings without label file are: unlabelled ones take no part, empty ones have no event.",
)
_MODEL = click.option("--model", help="A network that comes with the package: drums (kick, snare, hi-hat).")
_CHECKPOINT = click.option(
  "--checkpoint",
  type=click.Path(path_type=pathlib.Path),
  help="Instead: workdir of a training (the folder that holds config.json and checkpoints/).",
)
_KIND = click.option(
  "--kind", type=click.Choice(["audio", "sensor"]), help="Of signal.  [default: by the files]"
)
_MIN_GAP = click.option(
  "--min-gap-ms", type=_POSITIVE, help="Least time between events of a class.  [default: by the labels]"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="softloc_jax")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
  """Locate instantaneous events with networks trained from counts or misaligned labels."""
  context.obj = debug


@cli.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=pathlib.Path))
@_MODEL
@_CHECKPOINT
@click.option(
  "--out",
  type=click.Path(path_type=pathlib.Path),
  default=pathlib.Path("."),
  show_default=True,
  help="Folder for <name>.csv (time, label, confidence) and <name>.png.",
)
@_FORMAT
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--skip-existing", is_flag=True, help="Leave out files whose results exist.")
@click.option("--plot/--no-plot", default=True, show_default=True, help="Draw the signal with its events.")
@click.option(
  "--start",
  "start_s",
  type=click.FloatRange(min=0),
  default=0.0,
  show_default=True,
  help="Where the figure begins, in seconds.",
)
@click.option(
  "--length",
  "length_s",
  type=_POSITIVE,
  default=10.0,
  show_default=True,
  help="How much it shows, in seconds.",
)
@click.option("--stream", is_flag=True, help="Raw samples from standard input instead, to csv as they come.")
@click.option("--rate-hz", type=_POSITIVE, help="Of the stream.  [default: the network's]")
@click.option(
  "--sample-format",
  type=click.Choice(["s16le", "f32le"]),
  default="s16le",
  show_default=True,
  help="Of the stream.",
)
@click.option(
  "--block-ms", type=_POSITIVE, default=100.0, show_default=True, help="Of the stream, computed at a time."
)
@click.option(
  "--ahead-ms",
  type=click.FloatRange(min=0),
  help="Of the stream, that the network waits for at most.  [default: its context]",
)
@click.pass_context
def predict(
  context, files, model, checkpoint, out, formats, overwrite, skip_existing, plot, start_s, length_s, **stream
) -> None:
  """Events of signal FILES (wav, flac, ogg, mp3, npz, csv, WFDB .hea, videos), or of folders of them.

  A csv in a folder is a signal if it begins with `# sample_rate_hz: 100`, or a header with time and channels
  but no label, and no other signal has its name.

  With --stream, or - for FILES, of what arrives on standard input, on standard output.
  """
  from softloc_jax import detector, features
  from softloc_jax.commands import predict_files, predict_stream

  with _one_line_errors(context.obj):
    is_stream = predict_stream.is_meant(context)
    if (model is None) == (checkpoint is None):
      raise click.UsageError("expected either --model or --checkpoint")
    if is_stream:
      predict_stream.run(
        detector.chosen(model, checkpoint),
        rate_hz=stream["rate_hz"],
        sample_format=stream["sample_format"],
        block_s=stream["block_ms"] / 1000,
        ahead_s=None if stream["ahead_ms"] is None else stream["ahead_ms"] / 1000,
      )
      return
    extensions = [*(f".{one}" for one in formats), *([".png"] if plot else [])]
    trained = detector.chosen(model, checkpoint)
    planned = predict_files.plan(
      files,
      out,
      extensions,
      videos=isinstance(trained.network.extractor, features.VideoFrames),
      overwrite=overwrite,
      skip_existing=skip_existing,
    )
    if not planned:
      click.echo("nothing to do: all results exist")
    lines = predict_files.predict(trained, planned, overwrite=overwrite, start_s=start_s, length_s=length_s)
    for line in lines:
      click.echo(line)


@cli.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option("--out", type=click.Path(path_type=pathlib.Path), required=True, help="Folder of the training.")
@click.option(
  "--learn",
  type=click.Choice(["counts", "times"]),
  default="times",
  show_default=True,
  help="From how many events windows hold, or from where they roughly are.",
)
@_KIND
@_CLASSES
@_MAP
@_LABELS_FROM
@_MISSING
@_MODEL
@_CHECKPOINT
@click.option(
  "--steps",
  type=_AT_LEAST_1,
  help="Of the training.  [default: 1800 for audio, 1200 for sensors, 600 with a network]",
)
@click.option("--softness-ms", type=_POSITIVE, help="How far times are off (std).  [default: 50]")
@_MIN_GAP
@click.option(
  "--rate-hz",
  type=click.FloatRange(min=0),
  default=0.0,
  help="Resample to this.  [default: 16000, sensors 100]",
)
@click.option("--seed", default=0, show_default=True)
@click.pass_obj
def train(debug, folder, out, classes, class_map, labels_from, **options) -> None:
  """Train a network on a FOLDER of recordings with label files, test it on some that are held out.

  With --model or --checkpoint that network is trained further: a few labelled recordings are enough then.
  """
  from softloc_jax import train as training
  from softloc_jax.commands import train_folder

  with _one_line_errors(debug):
    results = train_folder.train_folder(
      folder, out, classes=_names(classes), **_labels(class_map, labels_from), **options
    )
    training.print_results(results)
    click.echo(f"-> {out}; softloc-jax predict FILE --checkpoint {shlex.quote(str(out))}")


@cli.command()
@click.argument("reference", type=click.Path(path_type=pathlib.Path))
@click.argument("estimate", type=click.Path(path_type=pathlib.Path))
@click.option("--tolerance-ms", type=_POSITIVE, default=50.0, show_default=True)
@_CLASSES
@click.option("--json", "as_json", is_flag=True, help="All numbers as JSON.")
@click.pass_obj
def evaluate(debug, reference, estimate, tolerance_ms, classes, as_json) -> None:
  """Score label files against true ones: two files, or two folders with files of the same names.

  Classes that the true folder's supervision.csv calls unlabelled in a recording take no part there.
  """
  from softloc_jax.commands import evaluate_files

  with _one_line_errors(debug):
    scores = evaluate_files.evaluate(
      reference, estimate, classes=_names(classes), window_s=tolerance_ms / 1000
    )
    numbers = {key: value if math.isfinite(value) else None for key, value in scores.items()}
    click.echo(json.dumps(numbers, indent=2) if as_json else evaluate_files.as_text(scores))


@cli.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option(
  "--out",
  type=click.Path(path_type=pathlib.Path),
  help="Folder for labels/, corrections.csv, report.html and the trainings.  [default: FOLDER-refined]",
)
@_KIND
@_CLASSES
@_MAP
@_LABELS_FROM
@_MODEL
@_CHECKPOINT
@click.option(
  "--folds",
  type=click.IntRange(min=2),
  help="Networks; each judges what it did not learn from.  [default: 5, or one for each recording if fewer]",
)
@click.option(
  "--steps", type=_AT_LEAST_1, help="Of each training.  [default: 1800 for audio, 1200 for sensors]"
)
@click.option("--softness-ms", type=_POSITIVE, help="How far labels are off (std).  [default: estimated]")
@_MIN_GAP
@click.option(
  "--tolerance-ms", type=_POSITIVE, default=50.0, show_default=True, help="What confidences refer to."
)
@click.option("--common-offset", is_flag=True, help="Correct recordings whose labels are all late or early.")
@click.option("--trust-counts", is_flag=True, help="Every label is an event, even if nothing is heard of it.")
@click.option("--add-missing", is_flag=True, help="Also write events that seem to lack a label.")
@click.option(
  "--least-confidence", type=_SHARE, default=0.0, show_default=True, help="Leave out labels of less."
)
@_FORMAT
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.pass_obj
def refine(debug, folder, out, formats, overwrite, classes, class_map, labels_from, **options) -> None:
  """Correct the labels of a FOLDER of recordings: new label files and a report; the old ones stay.

  Networks are trained for it, or one is given that never saw these labels.
  """
  from softloc_jax.commands import refine_folder

  with _one_line_errors(debug):
    here = folder.resolve()
    out = out or here.with_name(f"{here.name}-refined")
    command = shlex.join(["softloc-jax", *sys.argv[1:]])
    report = refine_folder.refine_folder(
      folder,
      out,
      formats=[f".{one}" for one in formats],
      classes=_names(classes),
      overwrite=overwrite,
      command=command,
      **_labels(class_map, labels_from),
      **options,
    )
    click.echo(f"{report.summary}\n-> {report.path}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option(
  "--for",
  "purpose",
  type=click.Choice(["train", "refine"]),
  default="train",
  show_default=True,
  help="What the folder is for: refine takes fewer recordings, and some without labels.",
)
@_CLASSES
@_MAP
@_LABELS_FROM
@_MISSING
@_MODEL
@_CHECKPOINT
@click.option("--timing/--no-timing", default=True, show_default=True, help="Compare times at all.")
@click.option("--all", "show_all", is_flag=True, help="List the timing of every recording.")
@click.pass_obj
def doctor(
  debug, folder, classes, class_map, labels_from, model, checkpoint, timing, show_all, **options
) -> None:
  """Examine a FOLDER of recordings and labels before they are used; exit code 1 if it cannot be used.

  Label times are compared with sudden rises of sound or motion, or with what a network hears.
  """
  from softloc_jax import detector
  from softloc_jax import doctor as examination

  with _one_line_errors(debug):
    if (model or checkpoint) and not timing:
      raise click.UsageError("expected a network to compare times with, or --no-timing")
    trained = detector.chosen(model, checkpoint)
    options |= {"classes": _names(classes), **_labels(class_map, labels_from)}
    found = examination.examine(folder, trained=trained, timing=timing, **options)
    click.echo(examination.as_text(found, show_all=show_all))
  if not found.is_usable:
    sys.exit(1)


@cli.command()
@_MODEL
@_CHECKPOINT
@click.option(
  "--out",
  type=click.Path(path_type=pathlib.Path),
  required=True,
  help="File: .zip, read by JAX alone, or .onnx, for ONNX Runtime.",
)
@click.option(
  "--platform",
  "platforms",
  multiple=True,
  type=click.Choice(["cpu", "cuda", "tpu"]),
  help="What a zip is to run on; may be given several times.  [default: all three]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.pass_obj
def export(debug, model, checkpoint, out, **options) -> None:
  """Write a trained network as one file that runs without this package."""
  from softloc_jax.commands import export_network

  with _one_line_errors(debug):
    if (model is None) == (checkpoint is None):
      raise click.UsageError("expected either --model or --checkpoint")
    options["platforms"] = options["platforms"] or None
    click.echo(export_network.export(out, model=model, checkpoint=checkpoint, **options))


@contextlib.contextmanager
def _one_line_errors(debug: bool):
  """What went wrong in one line, unless the traceback was asked for."""
  try:
    yield
  except (OSError, ValueError, ImportError, FloatingPointError, SyntaxError) as error:
    if debug:
      raise
    raise click.ClickException(f"{error}") from error


@cli.command()
@click.pass_obj
def configs(debug) -> None:
  """List the experiments of the checkout in this folder, with what they do and take."""
  from softloc_jax.commands import list_configs

  with _one_line_errors(debug):
    click.echo(list_configs.as_text(list_configs.find()))


def _names(classes: str | None) -> tuple[str, ...] | None:
  """`A,B` as names."""
  if classes is None:
    return None
  names = tuple(name.strip() for name in classes.split(","))
  if not all(names) or len(set(names)) < len(names):
    raise click.UsageError(f"--classes {classes!r}: expected different names, as A,B")
  return names


def _labels(class_map: tuple[str, ...], labels_from: str | None) -> dict[str, Any]:
  """`OLD=NEW`s and an extension without point as `data.folder.load` takes them."""
  renamed: dict[str, str | None] = {}
  for one in class_map:
    old, given, new = (part.strip() for part in one.partition("="))
    if not old or not given or old in renamed:
      raise click.UsageError(f"--map {one!r}: expected OLD=NEW, or OLD= to leave a label out, once for each")
    renamed[old] = new or None
  return {
    "class_map": renamed or None,
    "sidecar_extension": None if labels_from is None else f".{labels_from}",
  }


def main() -> None:
  """Entry point of the console script."""
  sys.exit(cli())
