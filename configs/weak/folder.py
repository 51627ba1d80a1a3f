"""Your own folder, from counts only: recordings with sidecar event files, of which only counts are used.

`audio` hears wav, flac, ogg or mp3 through a log-mel spectrogram; `sensor` reads npz or csv signals as
they are. Splits are by recording: those of the folder's `split.csv` (`id,split`: train, validation, test)
if it has one, else 70/15/15 by a seed.

  python -m experiments.train \\
    --config=configs/weak/folder.py:sensor,data_dir=PATH,classes=A+B,rate_hz=50,channels=3 --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from configs.weak import drums, ecg


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
  base = drums if args.variant == "audio" else ecg
  config = base.get_config(f"seed={args.seed},num_replicas={args.num_replicas}").unlock()
  config.name = "folder"
  rate_hz = args.rate_hz or config.features.sample_rate_hz
  conditioning = dict(config.data.conditioning) | {"sample_rate_hz": rate_hz}
  if args.variant == "sensor":
    conditioning["bandpass_hz"] = None  # what band matters, nobody knows yet
    config.features.num_channels = args.channels
  else:
    config.features.hop_samples = round(rate_hz / 100)
    config.features.window_samples = 2 * round(rate_hz * 0.016)
  config.features.sample_rate_hz = rate_hz
  config.data = ConfigDict(
    {
      "name": "folder",
      "data_dir": args.data_dir,
      "classes": tuple(args.classes.split("+")),
      "fractions": {"train": 0.7, "validation": 0.15, "test": 0.15},
      "seed": 0,
      "conditioning": conditioning,
    }
  )
  config.loss.max_count = 31
  config.decode.suppression_s = args.min_gap_s
  config.decode.window_s = args.min_gap_s / 2
  return config.lock()
