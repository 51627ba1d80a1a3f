"""Log-mel spectrograms of ten minutes of sound: on the device, and by librosa."""

from __future__ import annotations

import collections
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
  """Setting -> implementation -> timing of all minutes, in chunks, at a time as many as predictions take."""
  extractor = features.LogMel(
    sample_rate_hz=RATE_HZ, hop_samples=HOP, window_samples=WINDOW, num_mels=MELS, floor_db=-80.0
  )
  shape = (round(60 * minutes / CHUNK_S), 1, CHUNK_S * RATE_HZ, 1)
  chunks = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
  on_device = jax.jit(extractor)

  def compute(chunk: np.ndarray) -> None:
    on_device(chunk).block_until_ready()

  # Spectrograms are used and forgotten, here and there.
  with concurrent.futures.ThreadPoolExecutor(BATCHES_AT_A_TIME) as pool:
    functions = {
      "on the device": lambda: list(pool.map(compute, chunks)),
      "on the device, one chunk at a time": lambda: [compute(chunk) for chunk in chunks],
      "librosa": lambda: collections.deque(map(by_librosa, chunks), maxlen=0),
    }
    return {f"{minutes:g} min, 16 kHz, {MELS} mels": compare(functions, repeats=repeats)}


def by_librosa(chunk: np.ndarray) -> np.ndarray:
  """The same spectrogram of a chunk `[1, N, 1]`, without its difference over time."""
  import librosa

  settings = {"sr": RATE_HZ, "n_fft": WINDOW, "hop_length": HOP, "n_mels": MELS, "fmin": 30.0}
  return librosa.power_to_db(librosa.feature.melspectrogram(y=chunk[0, :, 0], **settings))
