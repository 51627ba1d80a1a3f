"""Digits in scenes from counts only: how many of each there are, never where (LoCo, L section 8).

A scene of 96 x 96 pixels (`canvas=96`) holds 1 to 5 digits that do not overlap. It is read along a Hilbert
curve (`curve=hilbert`) of 144 places, 8 pixels apart; "time" in what is written is the number of the place.

`mnist` reads the four official files from `data_dir`, `tfds` what tensorflow-datasets has prepared, and
`embedded` takes scikit-learn's digits, for which nothing is needed.

  python -m experiments.train --config=configs/weak/digits.py:mnist,data_dir=PATH --workdir=DIR

`size=cpu` is a small network; `size=paper` has the convolutions of VGG-13 (GPU). With
`--config.data.distortion=0.1` digits that are learned from are turned, sheared and stretched a little.

With `alone=True` each digit has a canvas of its own, a single place: its count is its label, and the same
convolutions learn with full supervision. That is the classifier to compare with.
"""

from ml_collections import ConfigDict

from configs import common
from softloc_jax import recipes
from softloc_jax.data.digits import CLASSES

VARIANTS = ("embedded", "mnist", "tfds")
SIZES = ("cpu", "paper")
STRIDE = 8
WINDOW = 32  # pixels that VGG-13 needs


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `SOURCE,size=...,seed=...,num_replicas=...,data_dir=...,alone=...,curve=...,canvas=...`."""
  args = common.parse_arg(
    arg,
    variants=VARIANTS,
    size="cpu",
    seed=0,
    num_replicas=1,
    data_dir="",
    alone=False,
    curve="hilbert",
    canvas=96,
  )
  if args.size not in SIZES:
    raise ValueError(f"config argument size={args.size}: expected one of {', '.join(SIZES)}")
  num_places = (args.canvas // STRIDE) ** 2
  config = recipes.base("digits")
  config.seed, config.num_replicas = args.seed, args.num_replicas
  config.data = ConfigDict(
    {
      "name": "digit_scenes",
      "classes": CLASSES,
      "source": args.variant,
      "data_dir": args.data_dir,
      "canvas_size": (args.canvas, args.canvas),
      "stride": STRIDE,
      "curve": args.curve,
      "min_digits": 1,
      "max_digits": 5,
      "distortion": 0.0,
      "seed": 0,
      "num_train": 10_000_000,  # made when they are drawn
      "num_validation": 200,
      "num_test": 1000,
    }
  )
  config.data.conditioning = None
  config.features = ConfigDict(
    {"kind": "blocks", "sample_rate_hz": float(STRIDE**2), "frame_samples": STRIDE**2}
  )
  # A place is a second here; every scene is counted whole.
  config.window = ConfigDict(
    {
      "whole": True,
      "min_s": float(num_places),
      "max_s": float(num_places),
      "context_s": 0.0,
      "segments": True,
      "border_search_s": 0.0,
    }
  )
  config.loss = ConfigDict({"name": "count_nll", "max_count": 6})
  config.predict.update({"chunk_s": float(num_places), "context_s": 0.0, "batch_size": 1})
  # As many digits as there probably are, wherever on the curve.
  config.decode.update({"method": "count_posterior", "window_s": float(num_places), "suppression_s": 0.0})
  config.decode.update({"count_window_s": float(num_places), "shared": True})
  config.score_window_s, config.more_score_windows_s = 1.0, ()
  config.model = ConfigDict(
    {
      "name": "scene",
      "dtype": "float32",
      # The data's own, whoever overrides them: the network must put scenes together as they were cut.
      "canvas_size": config.data.get_ref("canvas_size"),
      "curve": config.data.get_ref("curve"),
      "conv_layers": "vgg13" if args.size == "paper" else ((5, 2, 24), (3, 2, 48), 48, (3, 2, 96), 96),
      "conv_norm": "batch",  # leaves the plateau of the first steps three times as fast
      "recurrent": "lstm",
      "recurrent_units": 48,
      "bidirectional": True,  # a place is before another only by convention
      "dense_units": 24,
    }
  )
  config.batch_size, config.num_steps, config.eval_every = 32, 8000, 1000
  if args.size == "paper":
    config.num_steps, config.eval_every = 50_000, 5000
  if args.alone:
    _set_alone(config)
  return config.lock()


def _set_alone(config: ConfigDict) -> None:
  """One digit somewhere in one window, and what it is."""
  side = WINDOW
  config.data.update({"canvas_size": (side, side), "curve": "hilbert"})  # of one place
  config.data.update({"stride": side, "min_digits": 1, "max_digits": 1, "num_test": 5000})
  config.features.update({"sample_rate_hz": float(side**2), "frame_samples": side**2})
  config.window.update({"min_s": 1.0, "max_s": 1.0})
  config.predict.chunk_s = 1.0
  config.decode.update({"method": "threshold", "count_window_s": 1.0})
  config.loss = ConfigDict({"name": "cross_entropy", "positive_weight": 1.0})
  config.model.recurrent = None
  if config.model.conv_layers != "vgg13":  # whose windows are of this size
    config.model.conv_layers = (*config.model.conv_layers, "pool", "pool")
  config.batch_size, config.num_figures = 128, 0
  config.num_steps, config.eval_every = 3000, 1000
