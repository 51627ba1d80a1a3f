"""Refuses, or reports, settings and recordings that a training could not make sense of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import logging
from typing import Any

import jax
import numpy as np

from softloc_jax import events, features
from softloc_jax.data.recording import Recording, digest
from softloc_jax.data.splits import listing


def check_settings(config: Any) -> None:
  """Refuses settings of a training that would fail, or do nothing, only later.

  Raises:
    ValueError: naming the setting, its value and what was expected.
  """
  _check_numbers(config)
  if config.get("protocol", "") not in ("", "golf_pce"):
    raise ValueError(f"protocol is {config.protocol!r}; expected 'golf_pce' or ''")
  if config.optimizer.weight_decay and config.model.get("frozen_stages", 0):
    raise ValueError(
      f"optimizer.weight_decay is {config.optimizer.weight_decay} and model.frozen_stages"
      f" {config.model.frozen_stages}; expected one of them, as frozen weights would decay, too"
    )
  if config.batch_size % jax.device_count():
    raise ValueError(
      f"batch_size is {config.batch_size}; expected a multiple of the {jax.device_count()} devices"
    )
  if not 0 <= config.optimizer.warmup_steps < config.num_steps:
    raise ValueError(
      f"optimizer.warmup_steps is {config.optimizer.warmup_steps}; expected less than num_steps,"
      f" {config.num_steps}"
    )
  moving = sorted({"stack", "change_rate", "shift_pitch"} & set(config.augment))
  if config.loss.name == "mixed" and moving:
    raise ValueError(
      f"augment has {', '.join(moving)}; expected none that moves events where labels are mixed"
    )
  if config.get("split_by") and config.predict.ensemble:
    raise ValueError(
      f"split_by is {config.split_by!r} and predict.ensemble is True; expected only one of them, as networks"
      f" of several splits have seen each other's test recordings"
    )
  if config.get("init_from") and config.get("encoder_weights"):
    raise ValueError(
      f"init_from is {config.init_from!r} and encoder_weights is {config.encoder_weights!r}; expected only"
      f" one of them"
    )
  if config.report_checkpoint not in ("best", "last"):
    raise ValueError(f"report_checkpoint is {config.report_checkpoint!r}; expected 'best' or 'last'")


def _check_numbers(config: Any) -> None:
  for key in ("batch_size", "num_steps", "num_replicas", "log_every", "eval_every"):
    if config[key] < 1:
      raise ValueError(f"{key} is {config[key]}; expected 1 or more")
  if config.seed < 0:
    raise ValueError(f"seed is {config.seed}; expected 0 or more")
  positive = {
    "score_window_s": config.score_window_s,
    "optimizer.learning_rate": config.optimizer.learning_rate,
    "optimizer.clip_norm": config.optimizer.clip_norm,
    "decode.count_window_s": config.decode.count_window_s,
    "decode.align_max_s": config.decode.align_max_s,
  } | {f"more_score_windows_s[{i}]": value for i, value in enumerate(config.more_score_windows_s)}
  for key, value in positive.items():
    if not 0 < value < float("inf"):
      raise ValueError(f"{key} is {value}; expected a positive number")


def check_signal(recording: Recording, extractor: features.FeatureExtractor) -> None:
  """Refuses a signal of another rate or other channels than the extractor is made for.

  Raises:
    ValueError: naming the recording, what it has and what was expected.
  """
  if recording.sample_rate_hz != extractor.sample_rate_hz:
    raise ValueError(
      f"recording {recording.id!r} has {recording.sample_rate_hz:g} samples per second; expected"
      f" {extractor.sample_rate_hz:g}, features.sample_rate_hz (data.conditioning.sample_rate_hz resamples)"
    )
  channels = 1 if recording.signal.ndim == 1 else recording.signal.shape[1]
  if channels != extractor.num_channels:
    raise ValueError(
      f"recording {recording.id!r} has {channels} channels; the features expect {extractor.num_channels}"
    )


def check_unseen(
  recordings: Sequence[Sequence[Recording]], splits: Sequence[Mapping[str, Sequence[Recording]]]
) -> None:
  """Refuses to test on recordings that a training learned from, or that its thresholds come from.

  Those that are made when they are asked for are not compared.

  Args:
    recordings: of each replica.
    splits: that each was trained with.

  Raises:
    ValueError: naming them.
  """
  for own, split in zip(recordings, splits, strict=True):
    if not isinstance(own, list) or not isinstance(split["train"], list):
      continue
    seen = {digest([[one]]) for name in ("train", "validation") for one in split[name]}
    known = [one.id for one in own if digest([[one]]) in seen]
    if known:
      raise ValueError(
        f"{listing(known)}: the network learned from this, by the settings of its training; expected others"
      )


def check_no_counts(recordings: Sequence[Recording]) -> None:
  """Refuses counts of given windows, for a loss that would not see them.

  Raises:
    ValueError: naming the recording and the class.
  """
  for one in recordings:
    counted = sorted(name for name, windows in one.counted.items() if windows)
    if counted:
      raise ValueError(
        f"recording {one.id!r} has counts of {counted[0]!r} instead of times; expected the loss 'mixed',"
        f" which learns from both (`softloc-jax train` takes it by itself)"
      )


def check_counts(
  recording: Recording,
  frame_rate_hz: float,
  *,
  shortest: int,
  longest: int,
  segments: np.ndarray | None = None,
) -> None:
  """Refuses labels with more events in some window than it has frames: their count loss would be infinite.

  Args:
    recording: with its events.
    frame_rate_hz: frames per second.
    shortest, longest: frames that a window may have.
    segments: the windows `[n, 2]` that will be drawn; None if they may lie anywhere.

  Raises:
    ValueError: naming the recording, the class, the place and the numbers.
  """
  for label, times_s in recording.events.items():
    frames = np.sort(events.seconds_to_frames(times_s, frame_rate_hz))
    if segments is None:
      found = _crowded_window(frames, shortest, longest)
    else:
      counts = np.diff(np.searchsorted(frames, segments), axis=1)[:, 0]
      crowded = np.flatnonzero(counts > np.diff(segments, axis=1)[:, 0])
      found = (*segments[crowded[0]], counts[crowded[0]]) if len(crowded) else None
    if found is not None:
      start, stop, count = found
      raise ValueError(
        f"recording {recording.id!r} has {count} events {label!r} in the {stop - start} frames from"
        f" {start / frame_rate_hz:.3f} s ({(stop - start) / frame_rate_hz:.3f} s): a window of that length"
        f" holds at most one event per frame and class"
      )


def _crowded_window(frames: np.ndarray, shortest: int, longest: int) -> tuple[int, int, int] | None:
  """Start, stop and count of a window with more events than frames, of all that are possible."""
  # `count` events fit no window of `count - 1` frames. Fewer than `shortest + 1` fit every window.
  for count in range(shortest + 1, min(longest + 1, len(frames)) + 1):
    spans = frames[count - 1 :] - frames[: len(frames) - count + 1] + 1
    if spans.min() < count:
      start = int(frames[spans.argmin()])
      return start, start + count - 1, count
  return None


def report_collisions(recordings: Sequence[Recording], frame_rate_hz: float) -> dict[str, int]:
  """Events that share a frame with another of their class, per class; logs a warning where there are any."""
  totals: dict[str, int] = {}
  for recording in recordings:
    for label, times_s in recording.events.items():
      frames = events.seconds_to_frames(times_s, frame_rate_hz)
      totals[label] = totals.get(label, 0) + len(frames) - len(np.unique(frames))
  for label, total in totals.items():
    if total:
      logging.warning(
        "%d events %r share a frame of %.1f ms with another: counts keep them, frame labels cannot",
        total,
        label,
        1e3 / frame_rate_hz,
      )
  return totals
