"""What a config may set of each augmentation, checked before anything is traced (`augment.from_config`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import inspect
import math
import numbers
from typing import Any

from softloc_jax.data.splits import listing

# What a config may set, and the lowest value that makes sense.
_RANGES = {
  **dict.fromkeys(("range_db", "gain_db", "snr_db", "direct_db"), -math.inf),
  **dict.fromkeys(("rt60_s", "damping", "factor"), 1e-3),
  "color": 0.0,
}
_LOWEST = _RANGES | {
  "probability": 0.0,
  "std_db": 0.0,
  "num_points": 2,
  "tilt_db": 0.0,
  "low_hz": 1e-3,
  "semitones": 0,
  "detune_semitones": 0.0,
  "rotation_deg": 0.0,
  "shear_deg": 0.0,
}
_WHOLE = ("num_points", "semitones")


def read(config: Any, functions: Mapping[str, Iterable[Callable]]) -> dict[str, dict[str, Any]]:
  """The arguments of the augmentations that are on.

  Args:
    config: name -> arguments; None, or one that is None, is off.
    functions: name -> the functions whose arguments these may be.

  Raises:
    ValueError: an unknown augmentation or argument, or a value that cannot be; with its name.
  """
  given = {name: value for name, value in dict(config or {}).items() if value is not None}
  settings = {name: _arguments(name, value) for name, value in given.items()}
  for name, arguments in settings.items():
    if name not in functions:
      raise ValueError(f"augment has {name!r}; expected some of {', '.join(functions)}")
    _check_arguments(name, arguments, functions[name])
  return settings


def check_pitches(classes: Sequence[str]) -> None:
  """Refuses classes whose sounds, shifted by a semitone, are not those of the next class.

  Raises:
    ValueError: anything but consecutive whole numbers in order.

  >>> check_pitches(("60", "61", "62"))
  """
  pitches = [int(name) if name.isdecimal() else None for name in classes]
  if None in pitches or pitches != list(range(pitches[0], pitches[0] + len(pitches))):
    raise ValueError(
      f"augment has shift_pitch, and the classes are {listing(classes)}; expected consecutive MIDI pitches in"
      f" order, such as 60, 61, 62, as a sound of one class becomes one of another"
    )


def _arguments(name: str, value: Any) -> dict[str, Any]:
  try:
    return dict(value)
  except (TypeError, ValueError):
    raise ValueError(f"augment.{name} is {value!r}; expected arguments by name, or None") from None


def _check_arguments(name: str, arguments: Mapping[str, Any], functions: Iterable[Callable]) -> None:
  parameters = {
    key: parameter
    for function in functions
    for key, parameter in inspect.signature(function).parameters.items()
    if key in _LOWEST
  }
  missing = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
  if not missing <= set(arguments) <= set(parameters):
    raise ValueError(
      f"augment.{name} has {', '.join(arguments) or 'no arguments'}; expected"
      f" {', '.join(key if key in missing else f'[{key}]' for key in parameters)}"
    )
  for key, value in arguments.items():
    _check_value(f"augment.{name}.{key}", key, value)


def _check_value(where: str, key: str, value: Any) -> None:
  lowest, highest = _LOWEST[key], 1.0 if key == "probability" else math.inf
  if key in _RANGES:
    is_range = isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))
    if not is_range or not lowest <= value[0] <= value[1] < math.inf:
      raise ValueError(f"{where} is {value!r}; expected a range (low, high), low >= {lowest}")
  elif not _is_number(value) or not lowest <= value <= highest:
    raise ValueError(f"{where} is {value!r}; expected {lowest} to {highest}")
  elif key in _WHOLE and not isinstance(value, numbers.Integral):
    raise ValueError(f"{where} is {value!r}; expected a whole number")


def _is_number(value: Any) -> bool:
  return isinstance(value, numbers.Real) and not isinstance(value, bool)
