"""Heart beats from counts only: count learning (LoCo) on the MIT-BIH arrhythmia database.

Each training recording is cut once into windows of 0.5 to 1.5 s; how many beats a window holds is all that
training sees (L section 4). Four folds by record: six train (one of them held out for thresholds), two test.

  python -m experiments.train --config=configs/weak/ecg.py:fold=0,data_dir=PATH/mitdb --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from softloc_jax import recipes

# Tested records of each fold, and the one that is held out of the other six for thresholds.
FOLDS = ((("100", "108"), "116"), (("102", "116"), "121"), (("104", "121"), "106"), (("106", "114"), "100"))
RECORDS = tuple(sorted(record for test, _ in FOLDS for record in test))


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `fold=0..3,data_dir=...,seed=...,num_replicas=...`; thresholds come from a held-out record."""
  args = common.parse_arg(arg, variants=("mitdb",), data_dir="mitdb", fold=0, seed=0, num_replicas=1)
  if args.fold not in range(len(FOLDS)):
    raise ValueError(f"config argument fold={args.fold}: expected 0 to {len(FOLDS) - 1}")
  config = recipes.base("ecg")
  config.seed, config.num_replicas = args.seed, args.num_replicas
  test, validation = FOLDS[args.fold]
  config.data = ConfigDict(
    {
      "name": "mitdb",
      "data_dir": args.data_dir,
      "classes": ("beat",),
      "train": tuple(record for record in RECORDS if record not in (*test, validation)),
      "validation": (validation,),
      "test": test,
      "conditioning": {"sample_rate_hz": 100.0, "bandpass_hz": (0.5, 40.0), "scaling": "robust"},
    }
  )
  recipes.set_sensor(config, 100.0, num_channels=1)
  config.loss = ConfigDict({"name": "count_nll", "max_count": 10})
  config.decode.suppression_s = 0.2  # no heart beats faster than 300 a minute
  config.decode.window_s = 0.05
  return config.lock()
