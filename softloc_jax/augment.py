"""Augmentation of batches inside the training step: pure, jitted, seeded by a key, different for every clip.

Here are those of sounds and other signals; those of videos are in `video_augment`.

A batch is a dict of what `input_pipeline.Crops` yields, batched: `signal [B, N, channels]`,
`labels [B, T, C]`, `counts [B, C]`, `where [B, T]` (the counted window), `labelled [B, C]`. Every
augmentation is a function `f(key, batch, *, ...) -> batch`; `from_config` chains those that a config names
and takes the sounds through one FFT and back. Only `change_rate` and `shift_pitch` move events, and labels
move with them; no other effect delays a sound.

Counts are exact under all of them. Where two events meet in one frame, by stacking or by a faster rate, the
label is 1 and the count 2: `labels.sum(T) <= counts`. Stacked counts may exceed a loss's `max_count`, whose
last bin holds "that many or more"; they never exceed twice the largest count of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any
import zlib

import jax
from jax import Array
import jax.numpy as jnp

from softloc_jax import acoustics, augment_settings, features, input_pipeline, playback, video_augment
from softloc_jax.acoustics import Range

Batch = Mapping[str, Array]


def gain(key: Array, batch: Batch, *, range_db: Range) -> Batch:
  """Each clip louder or softer, uniform in dB."""
  factor_db = acoustics.uniform(key, (len(batch["signal"]), 1, 1), range_db)
  return {**batch, "signal": batch["signal"] * acoustics.amplitude(factor_db)}


def equalize(key: Array, batch: Batch, *, sample_rate_hz: float, probability: float = 1.0, **curve) -> Batch:
  """Each clip through its own equaliser, see `acoustics.equalizer` for the settings of the curve."""
  effects = {"equalize": (key, {"probability": probability, **curve})}
  return {**batch, "signal": acoustics.through_effects(batch["signal"], sample_rate_hz, effects)}


def reverberate(
  key: Array, batch: Batch, *, sample_rate_hz: float, probability: float = 1.0, **room
) -> Batch:
  """Each clip in its own room, see `acoustics.room`; the direct sound stays where it is and as it is."""
  effects = {"reverberate": (key, {"probability": probability, **room})}
  return {**batch, "signal": acoustics.through_effects(batch["signal"], sample_rate_hz, effects)}


def add_noise(
  key: Array,
  batch: Batch,
  *,
  sample_rate_hz: float,
  snr_db: Range,
  color: Range = (0.0, 1.0),
  probability: float = 1.0,
) -> Batch:
  """Stationary noise, white (colour 0) to pink (1), at a ratio to the clip's RMS; silence stays silent."""
  effects = {"add_noise": (key, {"snr_db": snr_db, "color": color, "probability": probability})}
  return {**batch, "signal": acoustics.through_effects(batch["signal"], sample_rate_hz, effects)}


def change_rate(
  key: Array, batch: Batch, *, extractor: features.FeatureExtractor, num_frames: int, factor: Range
) -> Batch:
  """Each clip played faster (and higher) or slower by a factor, log-uniform in a range; counts stay.

  Args:
    key: random key.
    batch: crops of `num_frames` and a margin on each side, the same on both.
    extractor: says where frames lie in the signal.
    num_frames: of the result, whose centre is that of the crop.
    factor: range of the factor, such as (7 / 8, 9 / 8).

  Returns:
    The batch with `num_frames` frames. A label goes to the nearest frame of its new place, and the counted
    window from the new place of its first frame to that of its last.
  """
  factors = playback.random_factor(key, len(batch["signal"]), factor=factor)
  return playback.play(batch, factors, extractor, num_frames, {})


def shift_pitch(
  key: Array,
  batch: Batch,
  *,
  extractor: features.FeatureExtractor,
  num_frames: int,
  semitones: int,
  detune_semitones: float = 0.0,
) -> Batch:
  """Each clip played faster or slower by whole semitones, up to some: class `p` becomes class `p + k`.

  For data whose classes are consecutive semitones. `k` is uniform among the shifts from `-semitones` to
  `semitones` that keep all counted events within the classes. Classes at the edge, into which sounds from
  beyond the classes may have moved, count as not labelled.

  Args:
    key: random key.
    batch: crops with a margin, as for `change_rate`.
    extractor: says where frames lie in the signal.
    num_frames: of the result.
    semitones: largest shift.
    detune_semitones: largest further shift, uniform, that leaves classes alone.
  """
  batch, factors = playback.random_shift(key, batch, semitones=semitones, detune_semitones=detune_semitones)
  return playback.play(batch, factors, extractor, num_frames, {})


def stack(key: Array, batch: Batch, *, gain_db: Range = (-6.0, 6.0), probability: float = 0.5) -> Batch:
  """Adds another clip of the batch to some: counts add, labels are either's, labelled is what both are.

  A count belongs to its own counted window, so only clips with equal windows can be added; the others stay
  alone. Partners are drawn before windows are compared: all fit where windows have one length.

  Args:
    key: random key.
    batch: clips.
    gain_db: range of the gain of the clip that is added.
    probability: of each clip to be given a partner.
  """
  size = len(batch["signal"])
  order_key, gain_key, chance_key = jax.random.split(key, 3)
  order = jax.random.permutation(order_key, size)
  partner = jnp.zeros(size, order.dtype).at[order].set(jnp.roll(order, 1))
  other = {name: batch[name][partner] for name in ("signal", "labels", "counts", "where", "labelled")}
  chosen = jax.random.bernoulli(chance_key, probability, (size,)) & (partner != jnp.arange(size))
  chosen &= jnp.all(batch["where"] == other["where"], axis=-1)
  level = jnp.where(chosen, acoustics.amplitude(acoustics.uniform(gain_key, (size,), gain_db)), 0.0)
  added = chosen[:, None]
  return {
    **batch,
    "signal": batch["signal"] + level[:, None, None] * other["signal"],
    "labels": jnp.where(added[..., None], jnp.maximum(batch["labels"], other["labels"]), batch["labels"]),
    "counts": batch["counts"] + jnp.where(added, other["counts"], 0),
    "labelled": batch["labelled"] & (other["labelled"] | ~added),
  }


@dataclasses.dataclass(frozen=True, eq=False)
class Augmentation:
  """All augmentations of a config, `(key, batch) -> batch`: stacking, then effects, then the rate, then gain.

  Attributes:
    settings: name -> arguments of the augmentations that are on.
    extractor: of the network.
    num_frames: of the clips that come out.
    margin_frames: of signal, labels and mask on each side that clips need beyond these: those that come
      in have `num_frames + 2 * margin_frames` frames.
  """

  settings: Mapping[str, Mapping[str, Any]]
  extractor: features.FeatureExtractor
  num_frames: int
  margin_frames: int

  def widen(self, windows: input_pipeline.Windows) -> input_pipeline.Windows:
    """Windows whose crops have the margin, which augmentation takes off again."""
    return dataclasses.replace(windows, context_frames=windows.context_frames + self.margin_frames)

  def __call__(self, key: Array, batch: Batch) -> Batch:
    on, size = self.settings, len(batch["signal"])
    # A key for each name: switching one augmentation off changes nothing about the others.
    keys = {name: jax.random.fold_in(key, zlib.crc32(name.encode())) for name in on}
    if "stack" in on:
      batch = stack(keys["stack"], batch, **on["stack"])
    effects = {
      name: (keys[name], on[name]) for name in ("equalize", "reverberate", "add_noise") if name in on
    }
    factors = None
    if "change_rate" in on:
      factors = playback.random_factor(keys["change_rate"], size, **on["change_rate"])
    elif "shift_pitch" in on:
      batch, factors = playback.random_shift(keys["shift_pitch"], batch, **on["shift_pitch"])
    if factors is not None:
      batch = playback.play(batch, factors, self.extractor, self.num_frames, effects)
    elif effects:
      rate_hz = self.extractor.sample_rate_hz
      batch = {**batch, "signal": acoustics.through_effects(batch["signal"], rate_hz, effects)}
    if "gain" in on:
      batch = gain(keys["gain"], batch, **on["gain"])
    for name, function in (("flip", video_augment.flip), ("warp", video_augment.warp)):
      if name in on:
        batch = function(keys[name], batch, extractor=self.extractor, **on[name])
    return batch


def from_config(
  config: Any,
  extractor: features.FeatureExtractor,
  windows: input_pipeline.Windows,
  classes: Sequence[str],
) -> Augmentation:
  """The augmentations that a config names, each with its arguments; None, or one that is None, is off.

  Args:
    config: name -> arguments of the function of this name; None for no augmentation at all.
    extractor: of the network.
    windows: of the crops without margin.
    classes: of the network, in its order.

  Raises:
    ValueError: an unknown augmentation or argument, a value that cannot be, a change of rate that would
      push the counted window out of the clip, two changes of rate, or a shift of pitch though classes are no
      consecutive pitches.

  >>> windows = input_pipeline.Windows(100, 100, 20, segments=True)
  >>> extractor = features.SignalFrames(100.0)
  >>> augmentation = from_config({"change_rate": {"factor": (0.9, 1.1)}}, extractor, windows, ("hit",))
  >>> augmentation.num_frames, augmentation.margin_frames
  (140, 9)
  """
  settings = augment_settings.read(config, _FUNCTIONS)
  if "shift_pitch" in settings:
    augment_settings.check_pitches(classes)
  for name in settings:
    if (name in _FOR_VIDEOS) != isinstance(extractor, features.VideoFrames):
      raise ValueError(
        f"augment has {name!r}, which the features, {type(extractor).__name__}, are not made for"
      )
  factors = _factors(settings)
  if (windows.max_frames - 1) / factors[0] > windows.crop_frames - 1:
    raise ValueError(
      f"augment plays clips down to {factors[0]:.3f} times as fast: a window of {windows.max_frames} frames"
      f" would not fit into a crop of {windows.crop_frames}; expected a longer context or less change"
    )
  margin = playback.margin_frames(extractor, windows.crop_frames, factors[1]) if factors != (1.0, 1.0) else 0
  augmentation = Augmentation(settings, extractor, windows.crop_frames, margin)
  _try_out(augmentation)
  return augmentation


_FUNCTIONS = {
  "stack": (stack,),
  "equalize": (equalize, acoustics.equalizer),
  "reverberate": (reverberate, acoustics.room),
  "add_noise": (add_noise,),
  "change_rate": (change_rate,),
  "shift_pitch": (shift_pitch,),
  "gain": (gain,),
  "flip": (video_augment.flip,),
  "warp": (video_augment.warp,),
}
# Which features an augmentation is for.
_FOR_VIDEOS = ("flip", "warp")


def _factors(settings: Mapping[str, Mapping[str, Any]]) -> Range:
  """Slowest and fastest that clips are played."""
  if "change_rate" in settings and "shift_pitch" in settings:
    raise ValueError(
      "augment has change_rate and shift_pitch; expected one of them, as a change of rate moves pitches too"
    )
  if "change_rate" in settings:
    low, high = settings["change_rate"]["factor"]
    return low, high
  shift = settings.get("shift_pitch", {"semitones": 0})
  most = shift["semitones"] + shift.get("detune_semitones", 0.0)
  return 2.0 ** (-most / 12), 2.0 ** (most / 12)


def _try_out(augmentation: Augmentation) -> None:
  """Traces the augmentation on shapes alone, so that what cannot work is refused before any training."""
  num_frames = augmentation.num_frames + 2 * augmentation.margin_frames
  num_samples = augmentation.extractor.sample_range(0, num_frames)[1]
  batch = {
    "signal": jax.ShapeDtypeStruct((2, num_samples, augmentation.extractor.num_channels), jnp.float32),
    "labels": jax.ShapeDtypeStruct((2, num_frames, 1), jnp.float32),
    "counts": jax.ShapeDtypeStruct((2, 1), jnp.int32),
    "where": jax.ShapeDtypeStruct((2, num_frames), bool),
    "labelled": jax.ShapeDtypeStruct((2, 1), bool),
  }
  jax.eval_shape(augmentation, jax.random.key(0), batch)
