"""Drum hits from counts only: count learning (LoCo, L section 6).

`synthetic` (the default) is the main job of the README, on the embedded drum machine: kick, snare and hi-hat
are learned from how many of each a window of 0.4 to 1.2 s holds, and scored on kits and rooms never heard
in training.

  python -m experiments.train --config=configs/weak/drums.py:synthetic --workdir=DIR

`groove` learns the same from Groove MIDI performances played through recorded one-shots, and is scored on the
real recordings of MDB Drums (or, without `mdb_dir`, on rendered performances of the test split).

  python -m experiments.train --workdir=DIR \\
    --config=configs/weak/drums.py:groove,groove_dir=PATH,one_shots_dir=PATH,mdb_dir=PATH

`idmt` and `enst` are the papers' data sets, Eval Random by `seed` or, with `test_group`, Eval Subset. With
`size=paper` the network and settings are those of L section 6 (a network per drum, all trained as one; GPU);
`size=modern` is the ensemble that comes with the package, wider and trained for longer than the default.

  python -m experiments.train --workdir=DIR \\
    --config=configs/weak/drums.py:idmt,data_dir=PATH,test_group=RealDrum
"""

from ml_collections import ConfigDict

from configs import common
from softloc_jax import recipes
from softloc_jax.models import papers

VARIANTS = ("synthetic", "groove", "idmt", "enst")
SIZES = ("cpu", "modern", "paper")
CLASSES = ("KD", "SD", "HH")


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `VARIANT,size=...,seed=...,num_replicas=...`, and of the folders that the variant needs.

  Without `num_replicas`, real drums get an ensemble of three networks, and all else one. With `runs`, as many
  networks, each on a split of its own from `seed` on, are trained as one program: Eval Random in one go.
  """
  args = common.parse_arg(
    arg,
    variants=VARIANTS,
    size="cpu",
    seed=0,
    num_replicas=0,
    runs=0,
    data_dir="",
    prepared_dir="",
    test_group="",
    groove_dir="",
    one_shots_dir="",
    mdb_dir="",
  )
  config = recipes.base("drums")
  config.seed, config.num_replicas = args.seed, args.num_replicas or 1
  config.data = ConfigDict({"classes": CLASSES, "seed": 0} | _data(args))
  config.data.conditioning = {"sample_rate_hz": 16000, "bandpass_hz": None, "scaling": None}
  recipes.set_audio(config, 16000)
  config.loss = ConfigDict({"name": "count_nll", "max_count": 31})
  if args.size not in SIZES:
    raise ValueError(f"config argument size={args.size}: expected one of {', '.join(SIZES)}")
  if args.size == "modern" and args.variant == "synthetic":
    raise ValueError("config argument size=modern: for real drums; expected another variant than synthetic")
  if args.size == "paper":
    _set_paper(config)
  elif args.variant != "synthetic":
    _set_real(config, args.num_replicas)
    if args.size == "modern":
      _set_modern(config)
  if args.runs:
    if args.variant not in ("idmt", "enst"):
      raise ValueError(
        f"config argument runs={args.runs}: expected idmt or enst, {args.variant} has one split"
      )
    config.num_replicas, config.split_by, config.predict.ensemble = args.runs, "seed", False
  return config.lock()


def _data(args: ConfigDict) -> dict:
  """What the data set of a variant takes."""
  if args.variant == "synthetic":
    return {
      "name": "drum_machine",
      "sample_rate_hz": 16000,
      "duration_s": 10.0,
      "clutter": 1.0,
      "num_train": 400,
      "num_validation": 24,
      "num_test": 48,
    }
  if args.variant == "groove":
    return {
      "name": "groove_rendered",
      "prepared_dir": args.prepared_dir,
      "groove_dir": args.groove_dir,
      "one_shots_dir": args.one_shots_dir,
      "mdb_dir": args.mdb_dir,
      "mdb_mix": "drum_only",
      "sample_rate_hz": 16000,
      "duration_s": 15.0,
      # Where real kits are tested, all rendered ones train.
      "variation": {
        "hold_out": not args.mdb_dir,
        **{"gated": 0.15, "ride_on_hat": 0.25, "hat_on_ride": 0.2, "lone_hats": 0.25},
      },
      "num_train": 1500,
      "num_validation": 60,
      "num_test": 60,
    }
  distribution = {"data_dir": args.data_dir, "prepared_dir": args.prepared_dir, "test_group": args.test_group}
  if args.variant == "idmt":
    return distribution | {"name": "idmt_smt_drums", "seed": args.seed}
  return distribution | {"name": "enst_drums", "mix": "wet_mix", "seed": args.seed}


def _set_real(config: ConfigDict, num_replicas: int) -> None:
  """About 25 minutes of one core; for real kits.

  What the convolutions see has logits of its own. With a recurrent layer between them and all logits, counts
  teach how dense the hits are long before where they are, and steady hats stay smeared. Real kits are unlike
  those that are trained on, and networks err on them in different ways: the mean of several does better.
  """
  config.num_replicas = num_replicas or 3
  config.predict.ensemble = config.num_replicas > 1
  config.window.update({"min_s": 0.3, "max_s": 0.8, "context_s": 0.3})
  config.features = _log_mel(num_mels=80, window_samples=1024, floor_db=-80.0)
  config.model = ConfigDict(
    {
      "name": "crnn",
      "dtype": "float32",
      "conv_features": (64, 64, 64, 64, 64),
      "conv_kernel": (5, 1),
      "merge_bins": True,
      "residual": True,
      "recurrent": "gru",
      "recurrent_units": 32,
      "dense_units": 32,
      "local_logits": True,
      "causal": False,
    }
  )
  config.augment = ConfigDict(
    {
      "equalize": {"std_db": 3.0, "tilt_db": 1.0},
      "add_noise": {"snr_db": (20.0, 60.0), "probability": 0.3},
      "change_rate": {"factor": (0.9, 1.1)},
      "gain": {"range_db": (-10.0, 6.0)},
    }
  )
  config.batch_size, config.num_steps, config.eval_every = 32, 3000, 1500
  config.num_figures = 7
  config.log_every = 100


def _set_modern(config: ConfigDict) -> None:
  """About an hour of one core."""
  config.model.conv_features = (96,) * 5
  config.num_steps = 4500


def _set_paper(config: ConfigDict) -> None:
  """L section 6: 1.5 s clips at 44.1 kHz at 7/8 to 9/8 of their rate, Adam at 1e-4; seven copies merged."""
  config.data.conditioning.sample_rate_hz = 44100
  if "sample_rate_hz" in config.data:  # what is rendered is rendered at this rate
    config.data.sample_rate_hz = 44100
  config.features = ConfigDict(common.reference_features(num_mels=72, bank_mels=72, fft_samples=4096))
  config.model = ConfigDict(papers.DRUMS)
  config.window.update({"min_s": 1.5, "max_s": 1.5, "context_s": 0.25})
  config.augment = ConfigDict({"change_rate": {"factor": (7 / 8, 9 / 8)}})
  config.predict.update({"chunk_s": 2.0, "context_s": 0.25, "batch_size": 32, "overlap": "fade"})
  config.predict.rates = (7 / 8, 11 / 12, 23 / 24, 1.0, 25 / 24, 13 / 12, 9 / 8)
  config.decode.update({"method": "threshold", "suppression_s": 0.05})
  config.batch_size, config.num_steps, config.eval_every = 32, 200_000, 20_000
  config.optimizer.update(common.COUNT_OPTIMIZER)


def _log_mel(*, num_mels: int, window_samples: int, floor_db: float) -> ConfigDict:
  return ConfigDict(
    {
      "kind": "log_mel",
      "sample_rate_hz": 16000,
      "hop_samples": 160,
      "window_samples": window_samples,
      "num_mels": num_mels,
      "floor_db": floor_db,
    }
  )
