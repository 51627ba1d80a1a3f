"""Heart beats from counts only: count learning (LoCo) on the MIT-BIH arrhythmia database.

Each training recording is cut once into windows of 1 to 2 s; how many beats a window holds is all that
training sees (L section 4). Two folds by record: what one trains on, the other tests.

  python -m experiments.train --config=configs/weak/ecg.py:fold=0,data_dir=PATH/mitdb --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common

# Every fold trains on normal, paced and ectopic beats, and on one hard record.
FOLDS = (("100", "102", "106", "114"), ("104", "108", "116", "121"))
VALIDATION = ("100", "121")  # held out of the training fold for thresholds


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `fold=0|1,data_dir=...,seed=...,num_replicas=...`; thresholds come from a held-out record."""
  args = common.parse_arg(arg, variants=("mitdb",), data_dir="mitdb", fold=0, seed=0, num_replicas=1)
  config = common.base("ecg")
  config.seed, config.num_replicas = args.seed, args.num_replicas
  train = FOLDS[args.fold]
  config.data = ConfigDict(
    {
      "name": "mitdb",
      "data_dir": args.data_dir,
      "classes": ("beat",),
      "train": tuple(name for name in train if name not in VALIDATION),
      "validation": tuple(name for name in train if name in VALIDATION),
      "test": FOLDS[1 - args.fold],
      "conditioning": {"sample_rate_hz": 100.0, "bandpass_hz": (0.5, 40.0), "scaling": "robust"},
    }
  )
  config.features = ConfigDict({"kind": "signal", "sample_rate_hz": 100.0, "num_channels": 1})
  config.window = ConfigDict({"min_s": 1.0, "max_s": 2.0, "context_s": 0.5, "segments": True})
  config.model = ConfigDict(
    {
      "name": "crnn",
      "conv_features": (24, 24, 24),
      "conv_kernel": (9, 1),
      "residual": True,
      "recurrent": "gru",
      "recurrent_units": 32,
      "dense_units": 0,
      "causal": False,
    }
  )
  config.loss = ConfigDict({"name": "count_nll", "max_count": 10})
  config.decode.suppression_s = 0.2  # no heart beats faster than 300 a minute
  return config.lock()
