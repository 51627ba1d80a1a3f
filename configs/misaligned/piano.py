"""Piano onsets from misaligned labels: SoftLoc and all it is compared with, on MAPS (S section 4.2).

Every training onset is moved once by N(0, noise^2); test labels stay as they are. `cross_entropy`,
`widened_cross_entropy` and `soft_bootstrap` are the losses of ORIGINAL, EXTENDED and BOOTSTRAP in S Table 2.

  python -m experiments.train \\
    --config=configs/misaligned/piano.py:softloc,noise_ms=100,data_dir=PATH/MAPS --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from configs.weak import piano

VARIANTS = common.PIANO_LOSSES
SOFTNESS_S = 0.1  # S appendix B.2


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `LOSS,noise_ms=0|50|...,size=cpu,data_dir=...,prepared_dir=...,seed=...,num_replicas=...`."""
  args = common.parse_arg(
    arg,
    variants=VARIANTS,
    size="cpu",
    data_dir="MAPS",
    prepared_dir="",
    seed=0,
    num_replicas=1,
    noise_ms=0.0,
  )
  config = piano.get_config(
    f"{args.size},data_dir={args.data_dir},prepared_dir={args.prepared_dir},seed={args.seed},"
    f"num_replicas={args.num_replicas}"
  ).unlock()
  config.name = f"piano {args.variant} {args.noise_ms:g} ms"
  config.label_noise.scale_s = args.noise_ms / 1000
  config.window.segments = False  # labels are times: windows may lie anywhere
  config.window.min_s, config.window.max_s = 1.6, 2.0
  common.set_misaligned_loss(
    config,
    args.variant,
    softness_s=SOFTNESS_S,
    max_count=20,
    smoothing_weight=10.0,
    width_s=0.03,
  )
  return config.lock()
