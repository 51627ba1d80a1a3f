"""Piano onsets from misaligned labels: SoftLoc and all it is compared with, on MAPS (S section 4.2).

Every training onset is moved once by N(0, noise^2); test labels stay as they are. `cross_entropy`,
`widened_cross_entropy` and `soft_bootstrap` are the losses of ORIGINAL, EXTENDED and BOOTSTRAP in S Table 2.
`size` is `cpu` (about ten minutes of one core), or for a GPU `paper`, `modern` or `modern_causal`.

  python -m experiments.train \\
    --config=configs/misaligned/piano.py:softloc,noise_ms=100,data_dir=PATH/MAPS --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from configs.weak import piano
from softloc_jax import recipes
from softloc_jax.models import papers

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
  if args.size == "cpu":  # times teach faster than counts
    config.num_steps, config.eval_every = 1500, 500
  loss = {"softness_s": SOFTNESS_S, "max_count": 20, "smoothing_weight": 10.0, "width_s": 0.03}
  if args.size == "paper":
    loss |= {"max_count": 40, "smoothing_weight": 32.0}
    _set_paper(config, args.variant)
  recipes.set_misaligned_loss(config, args.variant, **loss)
  if args.size == "paper" and args.variant == "softloc":
    config.loss.update({"ramp_start": 1e5 / 160_000, "ramp_end": 2e5 / 160_000})  # S appendix B.2
  return config.lock()


def _set_paper(config: ConfigDict, loss: str) -> None:
  """S appendix B.2: one network for all pitches, Adam at 3e-4, 160,000 steps; or that of Hawthorne et al."""
  config.model = ConfigDict(papers.PIANO_MISALIGNED)
  config.window.update({"min_s": 1.5, "max_s": 1.5})
  config.num_steps, config.optimizer.learning_rate = 160_000, 3e-4
  if loss not in ("cross_entropy", "widened_cross_entropy", "soft_bootstrap"):
    return
  config.data.conditioning.sample_rate_hz = 16000
  config.features = ConfigDict(
    {
      "kind": "log_mel",
      "sample_rate_hz": 16000,
      "hop_samples": 512,
      "window_samples": 2048,
      "num_mels": 229,
      "floor_db": -80.0,
    }
  )
  config.model = ConfigDict(papers.HAWTHORNE)
  config.augment = ConfigDict({})
  config.window.update({"min_s": 20.0, "max_s": 20.0, "context_s": 0.0})
  config.predict.update({"chunk_s": 20.0, "context_s": 1.0, "batch_size": 8, "overlap": "cut"})
  config.batch_size, config.num_steps, config.eval_every = 8, 50_000, 5000
  config.optimizer.update({"learning_rate": 6e-4, "schedule": "cosine", "clip_norm": 3.0})
