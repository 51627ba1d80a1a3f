"""How a config's string argument is read, and what the papers' experiments share."""

import ast

from ml_collections import ConfigDict

from softloc_jax import recipes

# Of S Table 2, on the network of Hawthorne et al.: ORIGINAL, EXTENDED and BOOTSTRAP.
PIANO_LOSSES = (*recipes.MISALIGNED_LOSSES, "widened_cross_entropy", "soft_bootstrap")
# Of L sections 6 and 7, for the papers' networks.
COUNT_OPTIMIZER = {"learning_rate": 1e-4, "schedule": "constant", "warmup_steps": 0, "clip_norm": 10.0}


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

  >>> config = recipes.base("example")
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
