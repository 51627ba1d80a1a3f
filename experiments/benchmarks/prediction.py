"""The drum network of the package: ten minutes of sound, and the time to a first prediction."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import soundfile

from experiments.benchmarks.timing import Timing, compare
from softloc_jax.data.recording import Recording
from softloc_jax.detector import Detector

RATE_HZ = 16_000
MINUTES = 10


def measure(repeats: int, minutes: float = MINUTES) -> dict[str, dict[str, Timing]]:
  """What -> how -> timing."""
  detector = Detector.pretrained("drums")
  recording = Recording("noise", noise(60 * minutes), RATE_HZ, {})
  warm = compare({"Detector.detect": lambda: detector.detect(recording).probs}, repeats=repeats)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "noise.wav"
    soundfile.write(path, noise(5.0), RATE_HZ)
    command = [sys.executable, "-c", "from softloc_jax.cli import main; main()", "predict", str(path)]
    command += ["--model=drums", "--no-plot", "--overwrite", f"--out={folder}"]
    cold = compare(
      {"softloc-jax predict": lambda: subprocess.run(command, check=True, capture_output=True)},
      repeats=min(repeats, 3),
    )
  return {f"{minutes:g} min of sound": warm, "5 s from the shell, start-up included": cold}


def noise(seconds: float) -> np.ndarray:
  """White noise that is no louder at its end than at its start."""
  return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE_HZ)).astype(np.float32)
