"""Batches that augmentation is tested on."""

import jax
from ml_collections import ConfigDict
import numpy as np

from softloc_jax import augment, features, input_pipeline

EXTRACTOR = features.LogMel(sample_rate_hz=4_000, hop_samples=40, window_samples=80, num_mels=8)
WINDOWS = input_pipeline.Windows(min_frames=40, max_frames=80, context_frames=20, segments=True)
KEY = jax.random.key(0)
CLASSES = 6
PITCHES = tuple(str(60 + n) for n in range(CLASSES))


def make_batch(num_frames=WINDOWS.crop_frames, size=8, seed=0, events=5, extractor=EXTRACTOR):
  """Noise with labels of one to a few events per class and clip, in windows of various places."""
  rng = np.random.default_rng(seed)
  _, num_samples = extractor.sample_range(0, num_frames)
  labels = np.zeros((size, num_frames, CLASSES), np.float32)
  where = np.zeros((size, num_frames), bool)
  for clip in range(size):
    length = rng.integers(WINDOWS.min_frames, WINDOWS.max_frames + 1)
    start = num_frames // 2 - 40 + rng.integers(0, 81 - length)
    where[clip, start : start + length] = True
    for label in range(CLASSES):
      labels[clip, rng.choice(np.arange(start, start + length), events, replace=False), label] = 1
  return {
    "signal": (0.1 * rng.standard_normal((size, num_samples, extractor.num_channels))).astype(np.float32),
    "labels": labels,
    "counts": labels.sum(1).astype(np.int32),
    "where": where,
    "labelled": np.ones((size, CLASSES), bool),
  }


def make_augmentation(extractor=EXTRACTOR, windows=WINDOWS, classes=PITCHES, **config):
  return augment.from_config(ConfigDict(config), extractor, windows, classes)


def as_numpy(batch):
  return {name: np.asarray(value) for name, value in batch.items()}
