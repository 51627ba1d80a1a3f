"""PCE of a network's outputs on golf swings, whoever computed them.

  python -m experiments.golf_pce --probs=FILE.npz

The file has `probs`, the event probabilities of the frames of all clips, one after the other (`[N, 8]`, or
`[N, 9]` with no event as the last), `lengths`, the number of frames of each clip, and `events`, the true
frames, `[n, 8]`.
"""

import os
import sys
import zipfile

from absl import app, flags
import numpy as np

from softloc_jax import decode, metrics

_PROBS = flags.DEFINE_string("probs", None, "File of outputs.")
_KEYS = ("probs", "lengths", "events")


def score(path: str | os.PathLike) -> dict[str, float]:
  """PCE and that of each event.

  Raises:
    FileNotFoundError: no such file.
    ValueError: another kind of file, or numbers of frames that do not agree.
  """
  arrays = _arrays(path)
  probs, lengths, events = (arrays[name] for name in _KEYS)
  if lengths.min(initial=1) < 1:
    raise ValueError(f"{path}: clip {lengths.argmin()} has {lengths.min()} frames; expected 1 or more")
  if lengths.sum() != len(probs):
    raise ValueError(f"{path}: probs of {len(probs)} frames; expected {lengths.sum()}, as the lengths say")
  clips = np.split(probs.astype(np.float64)[:, : len(metrics.GOLF_EVENTS)], np.cumsum(lengths)[:-1])
  frames = [[found.frames[0] for found in decode.one_each(clip)] for clip in clips]
  return metrics.golf_pce(frames, events)


def _arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
  try:
    file = np.load(path)
    if isinstance(file, np.ndarray):
      raise ValueError("a single array")
    with file:
      missing = [name for name in _KEYS if name not in file]
      if missing:
        raise ValueError(f"no array {', '.join(missing)}, but {', '.join(sorted(file))}")
      return {name: file[name] for name in _KEYS}
  except (ValueError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f"{path}: {error}; expected an npz file with {', '.join(_KEYS)}") from error


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  try:
    scores = score(_PROBS.value)
  except (FileNotFoundError, ValueError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
  for name, value in scores.items():
    print(f"{name:24s} {value:.3f}")


if __name__ == "__main__":
  flags.mark_flag_as_required("probs")
  app.run(main)
