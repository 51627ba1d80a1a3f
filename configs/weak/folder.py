"""Your own folder, from counts only: recordings with sidecar event files, of which only counts are used.

`audio` hears wav, flac, ogg or mp3 through a log-mel spectrogram; `sensor` reads npz or csv signals as
they are. Splits are by recording: those of the folder's `split.csv` (`id,split`: train, validation, test)
if it has one, else 70/15/15 by a seed.

  python -m experiments.train \\
    --config=configs/weak/folder.py:sensor,data_dir=PATH,classes=A+B,rate_hz=50,channels=3 --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from softloc_jax import recipes


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `audio|sensor,data_dir=...,classes=A+B,rate_hz=...,channels=...,min_gap_s=...`.

  `rate_hz` is what signals are resampled to (16000 for audio, 100 for sensors if not given), `channels`
  how many a sensor has, and `min_gap_s` the least time between two events of a class.
  """
  args = common.parse_arg(
    arg,
    variants=("audio", "sensor"),
    data_dir="",
    classes="event",
    rate_hz=0.0,
    channels=1,
    min_gap_s=0.05,
    seed=0,
    num_replicas=1,
  )
  if not args.data_dir:
    raise ValueError("config argument data_dir=... is missing: the folder of your recordings")
  config = recipes.own(
    args.variant,
    classes=args.classes.split("+"),
    sample_rate_hz=args.rate_hz,
    num_channels=args.channels,
    min_gap_s=args.min_gap_s,
  )
  config.seed, config.num_replicas = args.seed, args.num_replicas
  config.data.update(
    {
      "name": "folder",
      "data_dir": args.data_dir,
      "fractions": {"train": 0.7, "validation": 0.15, "test": 0.15},
      "seed": 0,
    }
  )
  return config.lock()
