"""Log-mel spectrograms of ten minutes of sound: on the device, and by librosa, some chunks at a time."""

from __future__ import annotations

import concurrent.futures

import jax
import numpy as np

from experiments.benchmarks.timing import Timing, compare
from softloc_jax import features
from softloc_jax.predict import BATCHES_AT_A_TIME

RATE_HZ, HOP, WINDOW, MELS = 16_000, 160, 1024, 80  # the drums'
MINUTES = 10
CHUNK_S = 20


def measure(repeats: int, minutes: float = MINUTES) -> dict[str, dict[str, Timing]]:
  """Setting -> implementation -> timing of all minutes, in chunks, one at a time or as many as predictions
  take."""
  extractor = features.LogMel(
    sample_rate_hz=RATE_HZ, hop_samples=HOP, window_samples=WINDOW, num_mels=MELS, floor_db=-80.0
  )
  shape = (round(60 * minutes / CHUNK_S), 1, CHUNK_S * RATE_HZ, 1)
  chunks = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
  on_device = jax.jit(extractor)

  def compute(chunk: np.ndarray) -> None:
    on_device(chunk).block_until_ready()

  def run(mapped, one) -> None:
    for _ in mapped(one, chunks):  # used and forgotten
      pass

  with concurrent.futures.ThreadPoolExecutor(BATCHES_AT_A_TIME) as pool:
    functions = {
      "on the device": lambda: run(pool.map, compute),
      "on the device, one chunk at a time": lambda: run(map, compute),
      "librosa": lambda: run(pool.map, by_librosa),
      "librosa, one chunk at a time": lambda: run(map, by_librosa),
    }
    return {f"{minutes:g} min, 16 kHz, {MELS} mels": compare(functions, repeats=repeats)}


def by_librosa(chunk: np.ndarray) -> np.ndarray:
  """The same spectrogram of a chunk `[1, N, 1]`, without its difference over time."""
  import librosa

  settings = {"sr": RATE_HZ, "n_fft": WINDOW, "hop_length": HOP, "n_mels": MELS, "fmin": 30.0}
  return librosa.power_to_db(librosa.feature.melspectrogram(y=chunk[0, :, 0], **settings))
