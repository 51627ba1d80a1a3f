"""Piano onsets of 88 pitches from counts only: count learning (LoCo, L section 7) on MAPS.

Seven software pianos train, real ones are tested (configuration 2 of Hawthorne et al.); one of the seven is
held out for thresholds. Each training piece is cut once into windows of about a second; how often each pitch
is struck in a window is all that training sees.

  python -m experiments.train --config=configs/weak/piano.py:cpu,data_dir=PATH/MAPS --workdir=DIR

`cpu` takes about twenty minutes of one core. For a GPU there are `paper`, the network and settings of L
section 7 (a network for every ten pitches, all trained as one), and `modern`, a larger version of the network
that `cpu` trains; `modern_causal` sees no later frame.

With `one_shots_dir`, sampled pianos (folders joined as in PATH, "a:b") take the place of those of MAPS and
play its music; MAPS is tested all the same. With an empty `data_dir` they play random music, and clips of the
pianos in `test_one_shots_dir` are tested.
"""

from ml_collections import ConfigDict

from configs import common
from softloc_jax import recipes
from softloc_jax.data import maps
from softloc_jax.models import papers

SIZES = ("cpu", "paper", "modern", "modern_causal")
VALIDATION_INSTRUMENTS = ("AkPnBsdf",)


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `SIZE,data_dir=...,one_shots_dir=...,prepared_dir=...,seed=...,num_replicas=...`.

  `prepared_dir` is where tensorflow-datasets keeps the resampled pieces; empty is its own default.
  """
  args = common.parse_arg(
    arg,
    variants=SIZES,
    data_dir="MAPS",
    prepared_dir="",
    one_shots_dir="",
    test_one_shots_dir="",
    seed=0,
    num_replicas=1,
  )
  config = recipes.base("piano")
  config.seed, config.num_replicas = args.seed, args.num_replicas
  config.data = ConfigDict(
    {
      "classes": maps.CLASSES,
      "prepared_dir": args.prepared_dir,
      "conditioning": {"sample_rate_hz": 16000, "bandpass_hz": None, "scaling": None},
    }
    | (_rendered(args) if args.one_shots_dir else _maps(args))
  )
  config.window = ConfigDict(
    # Short windows: where their borders lie is all that counts say about times.
    {"min_s": 0.8, "max_s": 1.4, "context_s": 0.25, "segments": True, "border_search_s": 0.0}
  )
  config.loss = ConfigDict({"name": "count_nll", "max_count": 20})
  config.predict.update({"chunk_s": 20.0, "context_s": 1.0, "batch_size": 4})
  config.decode.update({"shared": True, "suppression_s": 0.1, "window_s": 0.05})
  config.log_every = 100
  if args.variant == "paper":
    _set_paper(config)
  else:
    _set_onset_net(config, args.variant)
  return config.lock()


def _maps(args: ConfigDict) -> dict:
  """What the data set of MAPS takes."""
  return {
    "name": "maps",
    "data_dir": args.data_dir,
    "validation_instruments": VALIDATION_INSTRUMENTS,
    "validation_excerpt_s": 60.0,
  }


def _rendered(args: ConfigDict) -> dict:
  """What the data set of rendered pianos takes."""
  return {
    "name": "piano_rendered",
    "one_shots_dir": args.one_shots_dir,
    "test_one_shots_dir": args.test_one_shots_dir,
    "maps_dir": args.data_dir,
    "seed": 0,
    "sample_rate_hz": 16000,
    "duration_s": 20.0,
    "num_train": 400,
    "num_validation": 24,
    "num_test": 24,
    "variation": {},
  }


def _set_onset_net(config: ConfigDict, size: str) -> None:
  """One pitch detector serves all pitches, and a recurrent layer sees the whole frame.

  Counts alone teach the first many times faster than a network that has to find out about each pitch by
  itself, and far less data is needed.
  """
  config.features = ConfigDict(
    {
      "kind": "log_mel",
      "sample_rate_hz": 16000,
      "hop_samples": 160,
      "window_samples": 2048,
      "num_mels": 229,
      "floor_db": -80.0,
    }
  )
  config.model = ConfigDict(
    {
      "name": "onset_net",
      "dtype": "float32",
      "harmonics": (0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
      "features": 24,
      "stem_kernel": (4, 3),
      "time_stride": 2,
      "bin_stride": 2,
      "kernel": (3, 3),
      "dilations": ((1, 1), (1, 12)),
      "context_units": 128,
      "recurrent": "gru",
      "recurrent_units": 64,
      "dropout": 0.1,
      "causal": False,
    }
  )
  config.augment = ConfigDict(
    {
      "equalize": {"std_db": 4.0, "tilt_db": 1.5},
      "add_noise": {"snr_db": (15.0, 50.0), "probability": 0.5},
      "reverberate": {"rt60_s": (0.2, 0.8), "direct_db": (0.0, 20.0), "probability": 0.5},
      "shift_pitch": {"semitones": 2, "detune_semitones": 0.1},
      "gain": {"range_db": (-10.0, 10.0)},
    }
  )
  config.batch_size, config.num_steps, config.eval_every = 8, 3000, 1000
  config.optimizer.learning_rate = 1e-3
  if size == "cpu":
    return
  config.model.update(
    {
      "harmonics": (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
      "features": 48,
      "dilations": ((1, 1), (1, 12), (2, 1), (1, 12), (4, 1)),
      "context_units": 512,
      "recurrent_units": 256,
      "dropout": 0.2,
    }
  )
  if size == "modern_causal":
    config.model.update({"causal": True, "time_stride": 1})
  config.batch_size, config.num_steps, config.eval_every = 32, 20_000, 2000


def _set_paper(config: ConfigDict) -> None:
  """L section 7: 1.5 s clips at 44.1 kHz, stretched and stacked, Adam at 1e-4, 500,000 steps.

  All 88 pitches are learned here, in bands from the lowest; the paper's eight bands begin at pitch 25.
  """
  config.data.conditioning.sample_rate_hz = 44100
  if "sample_rate_hz" in config.data:  # what is rendered is rendered at this rate
    config.data.sample_rate_hz = 44100
  config.features = ConfigDict(common.reference_features(num_mels=384, bank_mels=550, fft_samples=8192))
  config.model = ConfigDict(papers.PIANO_COUNTS)
  config.window.update({"min_s": 1.5, "max_s": 1.5, "context_s": 0.25})
  config.loss.max_count = 42
  config.augment = ConfigDict({"stack": {"probability": 0.5}, "shift_pitch": {"semitones": 2}})
  config.predict.update({"chunk_s": 2.0, "context_s": 0.25, "batch_size": 32, "overlap": "fade"})
  config.decode.update({"method": "threshold"})
  config.batch_size, config.num_steps, config.eval_every = 32, 500_000, 20_000
  config.optimizer.update(common.COUNT_OPTIMIZER)
