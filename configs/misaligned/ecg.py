"""Heart beats from misaligned labels: SoftLoc and what it is compared with, on MIT-BIH (after S section 4).

Every beat of training and validation is moved once by N(0, noise^2); those that are tested stay where they
are. The losses share everything else.

  python -m experiments.train \\
    --config=configs/misaligned/ecg.py:softloc,noise_ms=100,data_dir=PATH/mitdb --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from configs.weak import ecg
from softloc_jax import recipes

VARIANTS = recipes.MISALIGNED_LOSSES
SOFTNESS_S = 0.1  # SoftLoc's own for audio (S appendix B.2)


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `LOSS,noise_ms=0|50|...,fold=...,data_dir=...,seed=...,num_replicas=...`."""
  args = common.parse_arg(
    arg, variants=VARIANTS, data_dir="mitdb", fold=0, seed=0, num_replicas=1, noise_ms=0.0
  )
  config = ecg.get_config(
    f"data_dir={args.data_dir},fold={args.fold},seed={args.seed},num_replicas={args.num_replicas}"
  ).unlock()
  config.name = f"ecg {args.variant} {args.noise_ms:g} ms"
  config.label_noise.scale_s = args.noise_ms / 1000
  config.window.segments = False  # labels are times: windows may lie anywhere
  config.window.min_s, config.window.max_s = 1.5, 2.0
  config.window.border_search_s = 0.4  # half a beat at 75 a minute
  recipes.set_misaligned_loss(config, args.variant, softness_s=SOFTNESS_S, max_count=10, smoothing_weight=1.0)
  return config.lock()
