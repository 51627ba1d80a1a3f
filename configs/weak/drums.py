"""Drum hits from counts only: count learning (LoCo, L section 6) on the embedded drum machine.

`synthetic` (the default) is the main job of the README: kick, snare and hi-hat are learned from how
many of each a window of 0.4 to 1.2 s holds, and scored on kits and rooms never heard in training.

  python -m experiments.train --config=configs/weak/drums.py:synthetic --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `synthetic,seed=...,num_replicas=...`."""
  args = common.parse_arg(arg, variants=("synthetic",), seed=0, num_replicas=1)
  config = common.base("drums")
  config.seed, config.num_replicas = args.seed, args.num_replicas
  config.data = ConfigDict(
    {
      "name": "drum_machine",
      "classes": ("KD", "SD", "HH"),
      "seed": 0,
      "sample_rate_hz": 16000,
      "conditioning": {"sample_rate_hz": 16000, "bandpass_hz": None, "scaling": None},
      "duration_s": 10.0,
      "clutter": 1.0,
      "num_train": 400,
      "num_validation": 24,
      "num_test": 48,
    }
  )
  config.features = ConfigDict(
    {
      "kind": "log_mel",
      "sample_rate_hz": 16000,
      "hop_samples": 160,
      "window_samples": 512,
      "num_mels": 40,
      "floor_db": -60.0,
    }
  )
  config.window = ConfigDict(
    # Short windows: where their borders lie is all that counts say about times.
    {"min_s": 0.4, "max_s": 1.2, "context_s": 0.4, "segments": True, "border_search_s": 0.0}
  )
  config.model = ConfigDict(
    {
      "name": "crnn",
      "conv_features": (48, 48, 48),
      "conv_kernel": (3, 1),
      "merge_bins": True,
      "residual": True,
      "recurrent": "gru",
      "recurrent_units": 32,
      "dense_units": 0,
      "causal": False,
    }
  )
  config.loss = ConfigDict({"name": "count_nll", "max_count": 31})
  config.optimizer.learning_rate = 3e-3
  config.num_steps, config.eval_every = 1800, 600
  return config.lock()
