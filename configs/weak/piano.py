"""Piano onsets of 88 pitches from counts only: count learning (LoCo, L section 7) on MAPS.

Seven software pianos train, real ones are tested (configuration 2 of Hawthorne et al.); one of the seven is
held out for thresholds. Each training piece is cut once into windows of about a second; how often each pitch
is struck in a window is all that training sees.

  python -m experiments.train --config=configs/weak/piano.py:cpu,data_dir=PATH/MAPS --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import common
from softloc_jax.data import maps

SIZES = ("cpu",)
VALIDATION_INSTRUMENTS = ("AkPnBsdf",)


def get_config(arg: str | None = None) -> ConfigDict:
  """Config of `SIZE,data_dir=...,prepared_dir=...,seed=...,num_replicas=...`.

  `prepared_dir` is where tensorflow-datasets keeps the resampled pieces; empty is its own default.
  """
  args = common.parse_arg(arg, variants=SIZES, data_dir="MAPS", prepared_dir="", seed=0, num_replicas=1)
  config = common.base("piano")
  config.seed, config.num_replicas = args.seed, args.num_replicas
  config.data = ConfigDict(
    {
      "name": "maps",
      "data_dir": args.data_dir,
      "prepared_dir": args.prepared_dir,
      "classes": maps.CLASSES,
      "validation_instruments": VALIDATION_INSTRUMENTS,
      "validation_excerpt_s": 60.0,
      "conditioning": {"sample_rate_hz": 16000, "bandpass_hz": None, "scaling": None},
    }
  )
  config.window = ConfigDict(
    # Short windows: where their borders lie is all that counts say about times.
    {"min_s": 0.8, "max_s": 1.4, "context_s": 0.25, "segments": True, "border_search_s": 0.0}
  )
  config.loss = ConfigDict({"name": "count_nll", "max_count": 20})
  config.predict.update({"chunk_s": 20.0, "context_s": 1.0, "batch_size": 4})
  config.decode.update({"shared": True, "suppression_s": 0.1, "window_s": 0.05})
  config.log_every = 100
  _set_cpu(config)
  return config.lock()


def _set_cpu(config: ConfigDict) -> None:
  """About twenty minutes on one core."""
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
  # One pitch detector serves all pitches: counts alone teach it many times faster than a network that has to
  # find out about each pitch by itself.
  config.model = ConfigDict(
    {
      "name": "onset_net",
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
