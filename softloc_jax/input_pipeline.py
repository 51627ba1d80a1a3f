"""Recordings to batches of crops: seeded, masked, checkpointable, one stream per replica.

Every crop holds a *counted window* inside more signal. The network sees the crop; the
loss sees only the window (`where`). As the window's borders leave no trace in the
signal, a network cannot learn to trigger late, at the end, or early, at the start.

Crop `i` depends on nothing but the seed and `i`, so that a resumed run and one on other
numbers of workers or processes see the same data.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import logging
import math
from typing import Any
import zlib

import grain
import numpy as np

from softloc_jax import checks, events, features, mixed_labels, noise
from softloc_jax.data.recording import Recording

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Windows:
  """Which stretches of a recording are counted.

  Attributes:
    min_frames, max_frames: shortest and longest counted window; lengths are uniform between them, as far
      as recordings are long enough and borders are not searched for.
    context_frames: signal on each side that the network sees and nobody counts.
    segments: whether each recording is cut once into consecutive windows, as an annotator
      who counts would do it, and only those counts are ever used. Otherwise windows lie
      anywhere, which only makes sense where the labels are times.
    counted_frames: the longest window that somebody counted, of mixed labels; windows of times stay within
      `max_frames`.
    border_search_frames: how far a border of such a window may move to the place that lies
      furthest from any label. A misaligned label seldom crosses a border there, so the count
      of the window is right; 0 leaves borders where chance puts them.
  """

  min_frames: int
  max_frames: int
  context_frames: int
  segments: bool
  border_search_frames: int = 0
  counted_frames: int = 0

  def __post_init__(self):
    if not 1 <= self.min_frames <= self.max_frames:
      raise ValueError(
        f"window lengths are {self.min_frames} to {self.max_frames} frames; expected 1 <= min <= max"
      )
    if self.context_frames < 0:
      raise ValueError(f"context_frames is {self.context_frames}; expected 0 or more")

  @property
  def crop_frames(self) -> int:
    return self.longest_frames + 2 * self.context_frames

  @property
  def longest_frames(self) -> int:
    return max(self.max_frames, self.counted_frames)

  @classmethod
  def from_config(cls, config: Any, frame_rate_hz: float) -> Windows:
    """From seconds: `min_s`, `max_s`, `context_s`, `segments`, `border_search_s`, and of mixed labels
    `counted_s`."""
    return cls(
      min_frames=events.duration_to_frames(config.min_s, frame_rate_hz),
      max_frames=events.duration_to_frames(config.max_s, frame_rate_hz),
      context_frames=round(config.context_s * frame_rate_hz),
      segments=config.segments,
      border_search_frames=round(config.border_search_s * frame_rate_hz),
      counted_frames=math.ceil(config.get("counted_s", 0.0) * frame_rate_hz),
    )


class Crops:
  """Crops of one replica's recordings, drawn at random; crop `i` is a pure function of seed and `i`.

  Args:
    recordings: with the labels that this replica trains on.
    classes: order of the class axis.
    extractor: says which samples a stretch of frames needs.
    windows: what is counted.
    seed: of this replica.
    mixed: whether crops say what is known of each class ("supervision", "count_interval"), be it times or
      counts of given windows. Half of the crops of a recording that has both hold a given window.

  Raises:
    ValueError: no recordings, a signal that the extractor is not made for, more events in a window
      than it has frames, or counts of given windows though crops are not mixed.
  """

  def __init__(
    self,
    recordings: Sequence[Recording],
    classes: Sequence[str],
    extractor: features.FeatureExtractor,
    windows: Windows,
    seed: int,
    mixed: bool = False,
  ):
    if not len(recordings):
      raise ValueError("there are no recordings to train on")
    self._classes, self._seed = tuple(classes), seed
    self._extractor, self._windows = extractor, windows
    if mixed and windows.segments:
      raise ValueError("window.segments is True; expected False, as mixed labels have windows of their own")
    for recording in recordings:
      checks.check_signal(recording, extractor)
    self._num_frames = [extractor.num_frames(len(recording.signal)) for recording in recordings]
    pairs = zip(recordings, self._num_frames, strict=True)
    self._recordings = [_on_frames(one, total, extractor.frame_rate_hz) for one, total in pairs]
    self._mixed = None
    if mixed:
      rest = {"frame_rate_hz": extractor.frame_rate_hz, "longest": windows.longest_frames}
      self._mixed = [
        mixed_labels.MixedLabels(one, self._classes, total, **rest)
        for one, total in zip(self._recordings, self._num_frames, strict=True)
      ]
    else:
      checks.check_no_counts(recordings)
    if windows.segments:
      self._segments = [self._cut(number) for number in range(len(recordings))]
      self._segment_ends = np.cumsum([len(segments) for segments in self._segments])
    else:
      self._frame_ends = np.cumsum([one.num_frames for one in self._mixed] if mixed else self._num_frames)
      if not self._frame_ends[-1]:
        raise ValueError("the recordings have no label to train on: all are unlabelled")
      self._label_frames = [_all_frames(one, extractor.frame_rate_hz) for one in self._recordings]
    for number, recording in enumerate(self._recordings):
      checks.check_counts(
        recording,
        extractor.frame_rate_hz,
        shortest=min(windows.min_frames, self._num_frames[number]),
        longest=windows.max_frames,
        segments=self._segments[number] if windows.segments else None,
      )

  def __call__(self, index: int) -> Batch:
    """The arrays of crop `index`: signal `[N, channels]`, labels `[T, C]`, counts `[C]`, where `[T]`,
    labelled `[C]`; of mixed labels supervision `[C]` and count_interval `[C, 2]` too."""
    rng = np.random.default_rng((self._seed, 1, index))
    number, start, stop = self._draw(rng)
    windows = self._windows
    slack = windows.longest_frames - (stop - start)  # where in the crop the window lies says nothing either
    crop_start = start - windows.context_frames - int(rng.integers(0, slack + 1))
    recording = self._recordings[number]
    found = events.to_frame_labels(
      recording.events,
      self._classes,
      start_frame=start,
      num_frames=stop - start,
      frame_rate_hz=self._extractor.frame_rate_hz,
    )
    labels = np.zeros((windows.crop_frames, len(self._classes)), np.float32)
    where = np.zeros(windows.crop_frames, bool)
    labels[start - crop_start : stop - crop_start] = found.labels
    where[start - crop_start : stop - crop_start] = True
    return {
      "signal": cut_signal(recording.signal, *self._extractor.sample_range(crop_start, windows.crop_frames)),
      "labels": labels,
      "counts": found.counts.astype(np.int32),
      "where": where,
      "labelled": np.array([recording.is_labelled(name) for name in self._classes]),
      **(self._mixed[number].known(start, stop) if self._mixed else {}),
    }

  def _draw(self, rng: np.random.Generator) -> tuple[int, int, int]:
    """Recording and window `[start, stop)`: any segment, or one anywhere, in recordings by their length; of
    mixed labels also one that was counted."""
    if self._windows.segments:
      chosen = int(rng.integers(self._segment_ends[-1]))
      number = int(np.searchsorted(self._segment_ends, chosen, side="right"))
      start, stop = self._segments[number][chosen - self._segment_ends[number]]  # counts back from the end
      return number, int(start), int(stop)
    number = int(np.searchsorted(self._frame_ends, rng.integers(self._frame_ends[-1]), side="right"))
    given = self._mixed[number].draw(rng) if self._mixed else None
    if given is not None:
      return number, *given
    total = self._num_frames[number]
    length = min(int(rng.integers(self._windows.min_frames, self._windows.max_frames + 1)), total)
    start = int(rng.integers(0, total - length + 1))
    shortest = min(self._windows.min_frames, length)
    start = self._far_from_labels(number, start, 0, total - shortest, rng)
    longest = min(start + self._windows.max_frames, total)
    stop = self._far_from_labels(number, min(start + length, longest), start + shortest, longest, rng)
    return number, start, stop

  def _far_from_labels(self, number: int, border: int, low: int, high: int, rng: np.random.Generator) -> int:
    """The border within `[low, high]` and the search distance that is furthest from any label."""
    search = self._windows.border_search_frames
    labels = self._label_frames[number]
    if not search or not len(labels):
      return border
    candidates = np.arange(max(border - search, low), min(border + search, high) + 1)
    right = np.searchsorted(labels, candidates)  # a border at b parts the frames b - 1 and b
    before = np.where(right > 0, candidates - labels[right - 1], np.inf)
    after = np.where(right < len(labels), labels[np.minimum(right, len(labels) - 1)] + 1 - candidates, np.inf)
    distance = np.minimum(before, after)
    return int(rng.choice(candidates[distance == distance.max()]))

  def _cut(self, number: int) -> np.ndarray:
    """Consecutive windows of random lengths, `[n, 2]`, drawn once: every frame lies in exactly one.

    The last one takes what is left and may be shorter than the shortest.
    """
    rng = np.random.default_rng((self._seed, 0, stable_hash(self._recordings[number].id)))
    total, shortest, longest = self._num_frames[number], self._windows.min_frames, self._windows.max_frames
    stops = np.cumsum(rng.integers(shortest, longest + 1, size=total // shortest + 1))
    bounds = np.concatenate([[0], stops[stops < total], [total]])
    return np.stack([bounds[:-1], bounds[1:]], axis=1)


class WholeRecordings:
  """Recordings from end to end, where each is one count; crop `i` is a pure function of seed and `i`.

  For data that are made when they are asked for: nothing is read ahead of training, and so nothing is checked
  but the first.

  Args:
    recordings: all of one length; each is drawn as often as any other.
    classes: order of the class axis.
    extractor: samples to frames.
    seed: of this replica.

  Raises:
    ValueError: no recordings, or a signal that the extractor is not made for.
  """

  def __init__(
    self,
    recordings: Sequence[Recording],
    classes: Sequence[str],
    extractor: features.FeatureExtractor,
    seed: int,
  ):
    if not len(recordings):
      raise ValueError("there are no recordings to train on")
    first = recordings[0]
    checks.check_signal(first, extractor)
    self._recordings, self._classes, self._seed = recordings, tuple(classes), seed
    self._extractor, self._num_frames = extractor, extractor.num_frames(len(first.signal))

  def __call__(self, index: int) -> Batch:
    """The arrays of crop `index`, as of `Crops`."""
    rng = np.random.default_rng((self._seed, 1, index))
    recording = self._recordings[int(rng.integers(len(self._recordings)))]
    recording = _on_frames(recording, self._num_frames, self._extractor.frame_rate_hz)
    found = events.to_frame_labels(
      recording.events,
      self._classes,
      start_frame=0,
      num_frames=self._num_frames,
      frame_rate_hz=self._extractor.frame_rate_hz,
    )
    return {
      "signal": cut_signal(recording.signal, *self._extractor.sample_range(0, self._num_frames)),
      "labels": found.labels.astype(np.float32),
      "counts": found.counts.astype(np.int32),
      "where": np.ones(self._num_frames, bool),
      "labelled": np.array([recording.is_labelled(name) for name in self._classes]),
    }


def _all_frames(recording: Recording, frame_rate_hz: float) -> np.ndarray:
  """Frames of the events of all classes, sorted."""
  times_s = [np.asarray(times, np.float64) for times in recording.events.values()]
  return (
    np.sort(events.seconds_to_frames(np.concatenate(times_s), frame_rate_hz)) if times_s else np.zeros(0, int)
  )


def cut_signal(signal: np.ndarray, first: int, num_samples: int) -> np.ndarray:
  """Samples `[first, first + num_samples)` as `[num_samples, channels]`, zeros beyond the recording.

  They are float32, or bytes if the signal's are.
  """
  start, stop = max(first, 0), max(min(first + num_samples, len(signal)), 0)
  channels = 1 if signal.ndim == 1 else signal.shape[1]
  out = np.zeros((num_samples, channels), np.uint8 if signal.dtype == np.uint8 else np.float32)
  if start < stop:
    out[start - first : stop - first] = signal[start:stop].reshape(-1, channels)
  return out


def _on_frames(recording: Recording, num_frames: int, frame_rate_hz: float) -> Recording:
  """The recording with events after the centre of its last frame put there, so that windows hold them."""
  last_s = (num_frames - 1) / frame_rate_hz
  return recording.replace(
    events={name: np.minimum(recording.times_s(name), last_s) for name in recording.events}
  )


def with_label_noise(
  recordings: Sequence[Recording], config: Any, seed: int, *, frame_rate_hz: float | None = None
) -> Sequence[Recording]:
  """The recordings with their events moved once (`config.kind`, `config.scale_s`), by a seed and their id.

  The frame rate matters to noise of kind "rounded" only, which moves events by whole frames.
  """
  if not config.scale_s:
    return recordings
  moved, clipped = [], 0
  for recording in recordings:
    rng = np.random.default_rng((seed, 2, stable_hash(recording.id)))
    result, num_clipped = noise.misalign_recording(
      rng, recording, kind=config.kind, scale_s=config.scale_s, frame_rate_hz=frame_rate_hz
    )
    moved.append(result)
    clipped += num_clipped
  if clipped:
    logging.warning("label noise put %d events on the edge of their recording", clipped)
  return moved


def make_iterator(
  replicas: Sequence[Crops | WholeRecordings],
  *,
  batch_size: int,
  num_steps: int,
  process_index: int = 0,
  process_count: int = 1,
) -> grain.DatasetIterator:
  """Batches `[R, B, ...]`, `B` this process's share of the batch; a grain iterator that orbax can save.

  Raises:
    ValueError: a batch that the processes cannot share evenly.
  """
  if batch_size % process_count:
    raise ValueError(f"batch_size is {batch_size}; expected a multiple of the {process_count} processes")
  num_replicas, share = len(replicas), batch_size // process_count

  def element(index: int) -> Batch:
    step, position = divmod(index, num_replicas * share)
    replica, row = divmod(position, share)
    return replicas[replica](step * batch_size + process_index * share + row)

  dataset = (
    grain.MapDataset.range(num_steps * num_replicas * share)
    .map(element)
    .batch(num_replicas * share)
    .map(lambda batch: {k: v.reshape(num_replicas, share, *v.shape[1:]) for k, v in batch.items()})
  )
  # Few steps ahead, few threads: crops are slices, and the model wants the cores.
  return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))


def stable_hash(text: str) -> int:
  """A hash that is the same in every process."""
  return zlib.crc32(text.encode())
