"""The drum network of the package: ten minutes of sound, and the time to a first prediction."""

from __future__ import annotations

from collections.abc import Callable
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
LONG_MINUTES = 60


def measure(repeats: int, minutes: float = MINUTES) -> dict[str, dict[str, Timing]]:
  """What -> how -> timing."""
  detect, recording = detection(minutes)
  warm = compare({"Detector.detect": lambda: detect(recording).probs}, repeats=repeats)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "noise.wav"
    soundfile.write(path, noise(5.0), RATE_HZ)
    command = [sys.executable, "-c", "from softloc_jax.cli import main; main()", "predict", str(path)]
    command += ["--model=drums", "--no-plot", "--overwrite", f"--out={folder}"]
    cold = compare(
      {"softloc-jax predict": lambda: subprocess.run(command, check=True, capture_output=True)},
      repeats=min(repeats, 3),
    )
  return {
    f"{minutes:g} min of sound": warm,
    "5 s from the shell, start-up included": cold,
    "most memory of a process": {
      f"{length:g} min of sound": in_a_process(length) for length in (minutes, LONG_MINUTES)
    },
  }


def in_a_process(minutes: float) -> Timing:
  """Detects drums in a process of its own, for the most memory that it holds at any time."""
  script = (
    "import time\n"
    "from experiments.benchmarks import prediction\n"
    f"detect, recording = prediction.detection({minutes})\n"
    "started = time.perf_counter()\n"
    "detect(recording)\n"
    "seconds = time.perf_counter() - started\n"
    "print(seconds, prediction.most_memory_bytes())\n"
  )
  result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
  seconds, memory_bytes = result.stdout.split()[-2:]
  return Timing((float(seconds),), int(memory_bytes))


def most_memory_bytes() -> int:
  """What this process held at most.

  Linux's own figure goes by its program; that of `getrusage` may be the one of the process that started it.
  """
  status = pathlib.Path("/proc/self/status")
  if status.exists():
    peaks = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    if peaks:
      return 1024 * int(peaks[0].split()[1])
  import resource

  return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def detection(minutes: float) -> tuple[Callable, Recording]:
  """The detector of the package, and noise for it to listen to."""
  return Detector.pretrained("drums").detect, Recording("noise", noise(60 * minutes), RATE_HZ, {})


def noise(seconds: float) -> np.ndarray:
  """White noise that is no louder at its end than at its start."""
  signal = np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ), np.float32)
  signal *= 0.1  # in place: an hour is measured for its memory
  return signal
