"""Drum configs small enough to train in seconds, with every part of the real ones."""

from ml_collections import ConfigDict

SMALL = {
  "num_steps": 40,
  "eval_every": 8,
  "log_every": 4,
  "batch_size": 8,
  "num_figures": 1,
  "optimizer.warmup_steps": 4,
  "progress": False,
  "data.num_train": 3,
  "data.num_validation": 2,
  "data.num_test": 2,
  "data.duration_s": 4.0,
  "features.num_mels": 16,
  "model.conv_features": (8, 8),
  "model.recurrent_units": 8,
  "loss.max_count": 15,
  "window.max_s": 1.0,
  "window.min_s": 0.5,
}


def small(config: ConfigDict, **changes) -> ConfigDict:
  config.update_from_flattened_dict(SMALL | changes)
  return config
