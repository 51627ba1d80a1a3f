"""PCE of a network's outputs on golf swings, whoever computed them.

  python -m experiments.golf_pce --probs=FILE.npz

The file has `probs`, the event probabilities of the frames of all clips, one after the other (`[N, 8]`, or
`[N, 9]` with no event as the last), `lengths`, the number of frames of each clip, and `events`, the true
frames, `[n, 8]`.
"""

import os
import sys

from absl import app, flags
import numpy as np

from softloc_jax import decode, metrics

_PROBS = flags.DEFINE_string("probs", None, "File of outputs.")
_KEYS = {"probs", "lengths", "events"}


def score(path: str | os.PathLike) -> dict[str, float]:
  """PCE and that of each event.

  Raises:
    FileNotFoundError: no such file.
    ValueError: another kind of file, or numbers of frames that do not agree.
  """
  with np.load(path) as file:
    if not set(file) >= _KEYS:
      raise ValueError(f"{path}: holds {', '.join(sorted(file))}; expected {', '.join(sorted(_KEYS))}")
    probs, lengths, events = file["probs"], file["lengths"], file["events"]
  if lengths.sum() != len(probs):
    raise ValueError(f"{path}: probs of {len(probs)} frames; expected {lengths.sum()}, as the lengths say")
  clips = np.split(probs.astype(np.float64)[:, : len(metrics.GOLF_EVENTS)], np.cumsum(lengths)[:-1])
  frames = [[found.frames[0] for found in decode.one_each(clip)] for clip in clips]
  return metrics.golf_pce(frames, events)


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
