"""Drum hits from misaligned labels: SoftLoc and what it is compared with.

As `configs/weak/drums.py`, `synthetic` or `groove`, but training and validation labels are times, each moved
once by N(0, noise^2) (the noise of S section 4.2). With `cross_entropy,noise_ms=0` it is the same network on
exact labels, what counts alone are to be compared with.

  python -m experiments.train --config=configs/misaligned/drums.py:softloc,noise_ms=50 --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from configs.weak import drums
from softloc_jax import recipes

VARIANTS = recipes.MISALIGNED_LOSSES
SOFTNESS_S = 0.05  # half the papers' 100 ms: sixteenth notes are 90 to 200 ms apart


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `LOSS,noise_ms=0|25|...,data=synthetic|groove,groove_dir=...,seed=...,num_replicas=...`."""
  folders = {"prepared_dir": "", "groove_dir": "", "one_shots_dir": "", "mdb_dir": ""}
  args = common.parse_arg(
    arg, variants=VARIANTS, data="synthetic", seed=0, num_replicas=0, noise_ms=0.0, **folders
  )
  given = "".join(f",{key}={args[key]}" for key in folders)
  config = drums.get_config(f"{args.data},seed={args.seed},num_replicas={args.num_replicas}{given}").unlock()
  config.name = f"drums {args.variant} {args.noise_ms:g} ms"
  config.label_noise.scale_s = args.noise_ms / 1000
  config.window.segments = False  # labels are times: windows may lie anywhere
  config.window.min_s, config.window.max_s = 1.0, 2.0
  if args.data == "groove":
    config.batch_size = 16  # as much sound in a batch as where hits are counted, in longer windows
  recipes.set_misaligned_loss(
    config, args.variant, softness_s=SOFTNESS_S, max_count=31, smoothing_weight=10.0
  )
  return config.lock()
