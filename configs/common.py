"""What all experiments share, and how a config's string argument is read."""

import ast

from ml_collections import ConfigDict

MISALIGNED_LOSSES = ("softloc", "soft_localization", "one_sided_smoothing", "cross_entropy")
# Of S Table 2, on the network of Hawthorne et al.: ORIGINAL, EXTENDED and BOOTSTRAP.
PIANO_LOSSES = (*MISALIGNED_LOSSES, "widened_cross_entropy", "soft_bootstrap")
# Of L sections 6 and 7, for the papers' networks.
COUNT_OPTIMIZER = {"learning_rate": 1e-4, "schedule": "constant", "warmup_steps": 0, "clip_norm": 10.0}


def base(name: str) -> ConfigDict:
  """Settings that no single task decides."""
  return ConfigDict(
    {
      "name": name,
      "seed": 0,
      "num_replicas": 1,  # seeds trained together, from `seed` on
      "split_by": "",  # a key of `data`, "seed", that counts up with them, so that each has its own split
      "omega": 0.8,  # probability of an empty count before training (L15)
      "batch_size": 16,
      "num_steps": 1200,
      "log_every": 25,
      "eval_every": 250,
      "report_checkpoint": "last",  # or "best" by the validation count error
      "score_window_s": 0.05,
      "more_score_windows_s": (0.02,),
      "official_shift_s": 0.0,  # of estimates, where F1 is computed as the papers' own code does
      "num_figures": 2,
      "progress": True,
      "augment": {},
      "label_noise": {"kind": "normal", "scale_s": 0.0},
      "optimizer": {
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 50,
        "clip_norm": 1.0,
        "weight_decay": 0.0,
      },
      "predict": {
        "chunk_s": 10.0,
        "context_s": 1.0,
        "batch_size": 8,
        "overlap": "cut",
        "rates": (1.0,),
        "ensemble": False,
      },
      "decode": {
        "method": "mass",
        "suppression_s": 0.05,
        "window_s": 0.025,
        "softness_s": 0.0,
        "count_window_s": 10.0,
        "align_softness_s": 0.0,
        "align_max_s": 0.25,
        "shared": False,
      },
    }
  )


def parse_arg(arg: str | None, *, variants: tuple[str, ...], **defaults):
  """Reads the part of `--config=file.py:variant,key=value` after the colon.

  Args:
    arg: the string; None or empty takes the defaults.
    variants: what may stand without a `=`; the first is the default.
    **defaults: keys that may be set, with their defaults; a value has the type of its default.

  Returns:
    ConfigDict with `variant` and the keys.

  Raises:
    ValueError: an unknown variant or key, one given twice, or a value of another type.

  >>> parse_arg("synthetic,seed=3", variants=("synthetic",), seed=0).seed
  3
  """
  values = ConfigDict({"variant": variants[0], **defaults})
  given = set()
  for part in filter(None, (arg or "").split(",")):
    key, has_value, text = part.partition("=")
    if (key if has_value else "variant") in given:
      raise ValueError(f"config argument {part!r}: given twice")
    given.add(key if has_value else "variant")
    if not has_value:
      if key not in variants:
        raise ValueError(f"config argument {part!r}: expected a variant ({', '.join(variants)}) or key=value")
      values.variant = key
    elif key not in defaults:
      raise ValueError(
        f"config argument {part!r}: no such key; expected {', '.join(sorted(defaults)) or 'none'}"
      )
    else:
      values[key] = _as_type_of(defaults[key], text, part)
  return values


def override(config: ConfigDict, setting: str) -> None:
  """Sets one key of a config from `key.of.config=value`, with a value of the type it has.

  Raises:
    ValueError: no such key, or a value of another type.

  >>> config = base("example")
  >>> override(config, "optimizer.clip_norm=2")
  >>> config.optimizer.clip_norm
  2.0
  """
  key, _, text = setting.partition("=")
  *path, leaf = key.split(".")
  for name in path:
    config = config.get(name) if isinstance(config, ConfigDict) else None
  if not isinstance(config, ConfigDict) or leaf not in config:
    raise ValueError(f"setting {setting!r}: the config has no key {key!r}")
  config[leaf] = _as_type_of(config[leaf], text, setting)


def _as_type_of(default, text: str, part: str):
  if isinstance(default, str):
    return text
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = None
  if isinstance(default, float) and type(value) is int:
    value = float(value)
  if type(value) is not type(default):
    raise ValueError(f"config argument {part!r}: expected a value like {default!r}")
  return value


def reference_features(*, num_mels: int, bank_mels: int, fft_samples: int) -> dict:
  """The papers' spectrogram at 44.1 kHz: 25 ms windows every 5 ms."""
  return {
    "kind": "reference_log_mel",
    "sample_rate_hz": 44100,
    "hop_samples": 220,
    "window_samples": 1102,
    "num_mels": num_mels,
    "bank_mels": bank_mels,
    "fft_samples": fft_samples,
    "scale": 0.02,
  }


def set_misaligned_loss(
  config: ConfigDict,
  name: str,
  *,
  softness_s: float,
  max_count: int,
  smoothing_weight: float,
  width_s: float = 0.0,
) -> None:
  """Sets one of the compared losses, and the decoding that belongs to it.

  SoftLoc's weight of counting follows S appendix B.2: from .2 to .9 over the later half of training.
  """
  softness = {"softness_s": softness_s}
  config.loss = ConfigDict(
    {
      "softloc": softness
      | {
        "max_count": max_count,
        "smoothing_weight": smoothing_weight,
        "alpha_low": 0.2,
        "alpha_high": 0.9,
        "ramp_start": 0.5,
        "ramp_end": 0.9,
      },
      "soft_localization": softness,
      "one_sided_smoothing": softness,
      "cross_entropy": {"positive_weight": 1.0},
      "widened_cross_entropy": {"width_s": width_s},
      "soft_bootstrap": {"beta": 0.95},
    }[name]
  )
  config.loss.name = name
  config.decode.align_softness_s = softness_s
  if name == "one_sided_smoothing":  # the network predicts a heat map to pick from
    config.decode.method, config.decode.softness_s = "peak_pick", softness_s
  elif name in (
    "cross_entropy",
    "widened_cross_entropy",
    "soft_bootstrap",
  ):  # its frames are probabilities of their own, not shares of an event's mass
    config.decode.method = "threshold"
