"""Your own folder with labels that are roughly right: SoftLoc and what it is compared with.

Everything as in `configs/weak/folder.py`, but training uses the labels' times as they are, trusting
them to about `softness_ms`.

  python -m experiments.train \\
    --config=configs/misaligned/folder.py:softloc,kind=sensor,data_dir=PATH,classes=A+B,rate_hz=50 \\
    --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from configs.weak import folder
from softloc_jax import recipes


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `LOSS,kind=audio|sensor,data_dir=...,classes=A+B,softness_ms=...` and the weak one's keys."""
  shared = {"data_dir": "", "classes": "event", "rate_hz": 0.0, "channels": 1, "min_gap_s": 0.05, "seed": 0}
  args = common.parse_arg(
    arg, variants=recipes.MISALIGNED_LOSSES, kind="audio", softness_ms=50.0, num_replicas=1, **shared
  )
  keys = ",".join(f"{key}={args[key]}" for key in (*shared, "num_replicas"))
  config = folder.get_config(f"{args.kind},{keys}").unlock()
  config.name = f"folder {args.variant}"
  config.window.segments = False  # labels are times: windows may lie anywhere
  config.window.min_s, config.window.max_s = 1.0, 2.0
  recipes.set_misaligned_loss(
    config, args.variant, softness_s=args.softness_ms / 1000, max_count=31, smoothing_weight=5.0
  )
  return config.lock()
