"""Label misalignment: moves event times, at random by a seed or all alike, and says what it did."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from softloc_jax.data.recording import Recording

KINDS = ("normal", "binary", "skewed", "rounded", "constant")

# Shape of the skew-normal law; negative: most labels are a little late and a few far too early.
SKEWNESS_ALPHA = -2.0


class Misaligned(NamedTuple):
  """Moved event times.

  Attributes:
    times_s: sorted moved times in seconds, `[num_events]`.
    order: which event each one was: `times_s[i]` is where event `order[i]` of the input went. Moved events
      may overtake each other.
    num_clipped: how many were put on the edge of the recording because they would have left it.
  """

  times_s: np.ndarray
  order: np.ndarray
  num_clipped: int


def _shifts(rng: np.random.Generator, size: int, kind: str) -> np.ndarray:
  """Random shifts of mean 0 and standard deviation 1, `[size]`; "constant" is 1 and not random."""
  if kind == "constant":
    return np.ones(size)
  if kind == "binary":
    return rng.choice([-1.0, 1.0], size)
  if kind != "skewed":
    return rng.normal(size=size)
  # A skew-normal variable is delta |u| + sqrt(1 - delta^2) v, with u and v normal.
  delta = SKEWNESS_ALPHA / np.sqrt(1 + SKEWNESS_ALPHA**2)
  u, v = rng.normal(size=(2, size))
  skewed = delta * np.abs(u) + np.sqrt(1 - delta**2) * v
  return (skewed - delta * np.sqrt(2 / np.pi)) / np.sqrt(1 - 2 * delta**2 / np.pi)


def misalign(
  rng: np.random.Generator,
  times_s,
  *,
  kind: str,
  scale_s: float,
  duration_s: float | None = None,
  frame_rate_hz: float | None = None,
) -> Misaligned:
  """Moves each event independently at random.

  All kinds but the last have mean 0 and standard deviation `scale_s`, so that a level means the same for
  each:

  - "normal": `N(0, scale_s^2)`;
  - "binary": `scale_s` early or late, with equal probability;
  - "skewed": skew-normal with shape -2, shifted and scaled. Its mean is taken away because a common
    shift of all labels is a constant offset, which no loss can tell from the truth: left in, it would be
    scored as if it were the effect of skewness;
  - "rounded": the normal shift rounded to a whole number of frames (halves to even), for data labelled by
    frame. Rounding adds about `1 / (12 frame_rate_hz^2)` to the variance;
  - "constant": every event is `scale_s` late. No loss can tell that from the truth.

  Args:
    rng: source of randomness.
    times_s: event times in seconds, `[num_events]`, in any order.
    kind: one of `KINDS`.
    scale_s: standard deviation in seconds, or the constant; 0 moves nothing.
    duration_s: length of the recording; events stay between 0 and this. None has no upper end.
    frame_rate_hz: frames per second, for "rounded" only.

  Returns:
    Misaligned: as many events, sorted, which is which, and how many were clipped.

  Raises:
    ValueError: an unknown kind, a negative scale, times outside the recording or not finite, "rounded"
      without a frame rate.

  References:
    S section 4: rounded to frames (golf, 4.1) and normal (piano, 4.2).

  >>> moved = misalign(np.random.default_rng(0), [1.0, 2.0, 2.9], kind="binary", scale_s=0.2, duration_s=3)
  >>> moved.times_s.round(1), moved.num_clipped
  (array([1.2, 2.2, 3. ]), 1)
  """
  times_s = np.asarray(times_s, dtype=np.float64)
  if kind not in KINDS:
    raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
  if not 0 <= scale_s < np.inf:
    raise ValueError(f"scale_s is {scale_s}; expected seconds, 0 or more")
  if times_s.ndim != 1:
    raise ValueError(f"times_s has shape {times_s.shape}; expected [num_events]")
  if kind == "rounded" and not (frame_rate_hz is not None and 0 < frame_rate_hz < np.inf):
    raise ValueError(f"frame_rate_hz is {frame_rate_hz}; kind 'rounded' expects frames per second")
  end_s = np.inf if duration_s is None else duration_s
  outside = ~((times_s >= 0) & (times_s <= end_s) & np.isfinite(times_s))
  if outside.any():
    raise ValueError(f"event at {times_s[outside][0]} s; expected times from 0 to {end_s} s")

  shift_s = scale_s * _shifts(rng, len(times_s), kind)
  if kind == "rounded":
    shift_s = np.round(shift_s * frame_rate_hz) / frame_rate_hz
  moved = times_s + shift_s
  inside = np.clip(moved, 0, end_s)
  order = np.argsort(inside, kind="stable")
  return Misaligned(inside[order], order, int((moved != inside).sum()))


def misalign_recording(
  rng: np.random.Generator,
  recording: Recording,
  *,
  kind: str,
  scale_s: float,
  frame_rate_hz: float | None = None,
) -> tuple[Recording, int]:
  """Moves the events of all classes of a recording, and keeps them inside it.

  Args:
    rng: source of randomness; classes draw from it in alphabetical order.
    recording: what to change; its signal is shared with the result.
    kind: as in `misalign`.
    scale_s: as in `misalign`.
    frame_rate_hz: as in `misalign`.

  Returns:
    The recording with moved events, and how many of them were put on an edge.

  Raises:
    ValueError: as `misalign`, with the names of recording and class.
  """
  moved, num_clipped = {}, 0
  for name in sorted(recording.events):
    try:
      result = misalign(
        rng,
        recording.times_s(name),
        kind=kind,
        scale_s=scale_s,
        duration_s=recording.duration_s,
        frame_rate_hz=frame_rate_hz,
      )
    except ValueError as error:
      raise ValueError(f"recording {recording.id!r}, class {name!r}: {error}") from error
    moved[name] = result.times_s
    num_clipped += result.num_clipped
  return recording.replace(events=moved), num_clipped
