"""`softloc-jax predict --stream`: raw samples in, lines of events out."""

from __future__ import annotations

import csv
import os
import sys
from typing import Any, BinaryIO, TextIO

import numpy as np

from softloc_jax import detector, streaming

# What full scale is, where samples are whole numbers, is what libraries that read files take for 1.
_FORMATS = {"s16le": ("<i2", 1 / 32768), "f32le": ("<f4", 1.0)}
_HEADERS = {b"RIFF": "wav", b"RF64": "wav", b"FORM": "aiff", b"fLaC": "flac", b"OggS": "ogg", b"ID3": "mp3"}
_MOST_BYTES = 1 << 16  # at a time; what a pipe holds

# Options of `predict` that only mean something for one of both.
_OF_STREAMS = {
  "rate_hz": "--rate-hz",
  "sample_format": "--sample-format",
  "block_ms": "--block-ms",
  "ahead_ms": "--ahead-ms",
}
_OF_FILES = {
  "out": "--out",
  "formats": "--format",
  "overwrite": "--overwrite",
  "skip_existing": "--skip-existing",
  "plot": "--plot",
  "start_s": "--start",
  "length_s": "--length",
}


def is_meant(context: Any) -> bool:
  """Whether a call of the command, a `click.Context`, is for a stream, and has no options that say otherwise.

  Raises:
    click.UsageError: naming what does not go together, or is missing.
  """
  import click

  files = [str(one) for one in context.params["files"]]
  is_stream = context.params["stream"] or "-" in files
  if is_stream and files not in ([], ["-"]):
    others = ", ".join(one for one in files if one != "-")
    raise click.UsageError(f"a stream comes from standard input alone; expected no files, found {others}")
  if not is_stream and not files:
    raise click.UsageError("Missing argument 'FILES...'; expected signals, or --stream")
  for name, option in (_OF_FILES if is_stream else _OF_STREAMS).items():
    if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
      raise click.UsageError(f"{option} is for {'files' if is_stream else 'streams'}; expected none here")
  return is_stream


def predict_stream(
  trained: detector.Detector,
  source: BinaryIO,
  out: TextIO,
  log: TextIO,
  *,
  rate_hz: float | None = None,
  sample_format: str = "s16le",
  **settings,
) -> None:
  """Reads raw samples until they end, and writes `time,label,confidence` of each event once it is certain.

  Args:
    trained: what finds events.
    source: samples one after the other, with the network's channels interleaved.
    out: gets the header and the lines, each at once.
    log: gets the latency, and what is odd.
    rate_hz: of the samples; that of the network if None.
    sample_format: "s16le" or "f32le".
    **settings: of `streaming.Stream`.

  Raises:
    ValueError: samples that come with the header of a file, or that the network does not take.
    BrokenPipeError: nobody reads what is written any more.
  """
  dtype, scale = _FORMATS[sample_format]
  stream = streaming.Stream(trained, rate_hz=rate_hz, **settings)
  channels = trained.network.extractor.num_channels
  rate_hz = rate_hz or trained.network.extractor.sample_rate_hz
  print(f"latency: {stream.latency}", file=log, flush=True)
  writer = csv.writer(out, lineterminator="\n")
  writer.writerow(("time", "label", "confidence"))
  out.flush()
  frame_bytes = channels * np.dtype(dtype).itemsize
  held = b""
  is_first, is_last = True, False
  while not is_last:
    data = source.read1(_MOST_BYTES)
    held, is_last = held + data, not data
    if is_first and len(held) >= 4:
      _refuse_header(held[:4], f"-f {sample_format} -ac {channels} -ar {rate_hz:g}")
      is_first = False
    # The begin waits until it could be a header, but not beyond the end: a sample may have two bytes.
    whole = 0 if is_first and not is_last else len(held) - len(held) % frame_bytes
    samples = np.frombuffer(held[:whole], dtype).astype(np.float32) * np.float32(scale)
    held = held[whole:]
    _write(writer, out, stream.push(samples.reshape(-1, channels)))
  if held:
    print(f"{len(held)} bytes at the end are no whole sample of {frame_bytes} bytes", file=log, flush=True)
  _write(writer, out, stream.finish())


def run(trained: detector.Detector, **settings) -> None:
  """`predict_stream` of the process's own streams; ends without a word when it is interrupted.

  Raises:
    ValueError: see `predict_stream`; or a terminal in the place of a pipe.
  """
  if sys.stdin.isatty():
    raise ValueError("standard input is a terminal; expected raw samples, from a pipe")
  try:
    predict_stream(trained, sys.stdin.buffer, sys.stdout, sys.stderr, **settings)
  except BrokenPipeError:
    _silence(sys.stdout)
  except KeyboardInterrupt:
    sys.exit(130)  # as a shell says it


def _silence(out: TextIO) -> None:
  """Sends the rest nowhere: the interpreter writes what is left on its way out, and would complain."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _write(writer, out: TextIO, found: list[streaming.Event]) -> None:
  for one in found:
    writer.writerow((f"{one.time_s:.6f}", one.label, f"{one.confidence:.6f}"))
    out.flush()


def _refuse_header(begin: bytes, ffmpeg: str) -> None:
  for magic, name in _HEADERS.items():
    if begin.startswith(magic):
      raise ValueError(
        f"standard input begins with {magic.decode()!r}, as {name} files do; expected raw samples,"
        f" as `ffmpeg -i FILE {ffmpeg} -` writes them"
      )
