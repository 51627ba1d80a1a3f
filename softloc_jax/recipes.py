"""Settings that fit recordings of a kind: what all configs begin with, and what one's own recordings get."""

from __future__ import annotations

from collections.abc import Sequence

from ml_collections import ConfigDict
import numpy as np

from softloc_jax.data.recording import CountedWindow, Recording

MISALIGNED_LOSSES = (
  "softloc",
  "soft_localization",
  "one_sided_smoothing",
  "cross_entropy",
  "shift_tolerant",
)
KINDS = ("audio", "sensor")
_KIND_OF_FEATURES = {"log_mel": "audio", "reference_log_mel": "audio", "signal": "sensor"}

_SOFTNESS_S = 0.05  # of times that nobody says more of
_USUAL_WINDOW_S = 2.0


def base(name: str) -> ConfigDict:
  """Settings that no single task decides."""
  return ConfigDict(
    {
      "name": name,
      "seed": 0,
      "num_replicas": 1,  # seeds trained together, from `seed` on
      "split_by": "",  # a key of `data`, "seed", that counts up with them, so that each has its own split
      "init_from": "",  # a network to train further, see `train.read_learned`; none begins at random
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
  softloc = softness | {
    "max_count": max_count,
    "smoothing_weight": smoothing_weight,
    "alpha_low": 0.2,
    "alpha_high": 0.9,
    "ramp_start": 0.5,
    "ramp_end": 0.9,
  }
  config.loss = ConfigDict(
    {
      "softloc": softloc,
      "soft_localization": softness,
      "one_sided_smoothing": softness,
      "mixed": softloc,
      "cross_entropy": {"positive_weight": 1.0},
      "shift_tolerant": {"tolerance_s": softness_s, "positive_weight": 1.0},
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
    "shift_tolerant",
    "widened_cross_entropy",
    "soft_bootstrap",
  ):  # its frames are probabilities of their own, not shares of an event's mass
    config.decode.method = "threshold"


def set_audio(config: ConfigDict, sample_rate_hz: float) -> None:
  """Features and a small network for sounds: 100 frames a second, minutes on two cores."""
  config.features = ConfigDict(
    {
      "kind": "log_mel",
      "sample_rate_hz": sample_rate_hz,
      "hop_samples": round(sample_rate_hz / 100),
      "window_samples": 2 * round(sample_rate_hz * 0.016),
      "num_mels": 40,
      "floor_db": -60.0,
    }
  )
  config.model = _crnn((48, 48, 48), conv_kernel=(3, 1), merge_bins=True)
  config.window = _counted(min_s=0.4, max_s=1.2, context_s=0.4)
  config.optimizer.learning_rate = 3e-3
  config.num_steps, config.eval_every = 1800, 600


def set_sensor(config: ConfigDict, sample_rate_hz: float, num_channels: int) -> None:
  """A small network for signals as they are, such as acceleration: a minute on two cores."""
  config.features = ConfigDict(
    {"kind": "signal", "sample_rate_hz": sample_rate_hz, "num_channels": num_channels}
  )
  config.model = _crnn((24, 24, 24), conv_kernel=(9, 1), time_stride=2)
  config.window = _counted(min_s=0.5, max_s=1.5, context_s=0.5)
  config.num_steps, config.eval_every = 1200, 600


def own(
  kind: str,
  *,
  classes: Sequence[str],
  sample_rate_hz: float = 0.0,
  num_channels: int = 1,
  min_gap_s: float = 0.05,
  softness_s: float = 0.0,
  loss: str = "softloc",
  like: ConfigDict | None = None,
) -> ConfigDict:
  """Settings for recordings that nothing is known about; where they are, `config.data`, is the caller's.

  Args:
    kind: "audio", heard through a log-mel spectrogram, or "sensor", read as it is.
    classes: of events.
    sample_rate_hz: what signals are resampled to; 0 is 16,000 for audio and 100 for sensors.
    num_channels: of a sensor.
    min_gap_s: least time between two events of a class.
    softness_s: how far labels' times are trusted; 0 learns from counts alone.
    loss: of those that learn from misaligned times, or "mixed", which learns from counts of given windows
      too.
    like: the config of a network that is to be trained further: its features and layers, and signals of its
      rate, are taken, for shorter training by smaller steps.

  Raises:
    ValueError: an unknown kind, a rate too low for audio, or a network for another kind or rate.
  """
  if kind not in KINDS:
    raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
  if like is not None:
    _check_like(like, kind, sample_rate_hz)
  if kind == "audio" and 0 < sample_rate_hz < 1000:
    raise ValueError(f"sample_rate_hz is {sample_rate_hz}; expected at least 1000 to hear anything")
  config = base("folder")
  if kind == "audio":
    set_audio(config, sample_rate_hz or 16000)
  else:
    set_sensor(config, sample_rate_hz or 100.0, num_channels)
  scaling = None if kind == "audio" else "robust"
  conditioning = {
    "sample_rate_hz": config.features.sample_rate_hz,
    "bandpass_hz": None,
    "scaling": scaling,
  }
  if like is not None:
    config.features, config.model = like.features, like.model
    conditioning = like.data.conditioning
    if like.predict.get("ensemble", False):  # of which every member is trained further
      config.num_replicas, config.predict.ensemble = like.num_replicas, True
    config.optimizer.learning_rate, config.num_steps, config.eval_every = 5e-4, 600, 200
  config.data = ConfigDict({"classes": tuple(classes), "conditioning": conditioning})
  config.loss = ConfigDict({"name": "count_nll", "max_count": 31})
  config.decode.suppression_s, config.decode.window_s = min_gap_s, min_gap_s / 2
  if softness_s:
    config.window.segments = False  # labels are times: windows may lie anywhere
    config.window.min_s, config.window.max_s = 1.0, 2.0
    set_misaligned_loss(config, loss, softness_s=softness_s, max_count=31, smoothing_weight=5.0)
  return config


def _check_like(like: ConfigDict, kind: str, sample_rate_hz: float) -> None:
  """Refuses a network to train further that is not made for signals of a kind and rate."""
  made_for = _KIND_OF_FEATURES.get(like.features.kind)
  if made_for != kind:
    raise ValueError(
      f"the network hears {like.features.kind} features, of {made_for or 'pictures'}; expected one for {kind}"
    )
  if sample_rate_hz not in (0, like.features.sample_rate_hz):
    raise ValueError(
      f"sample_rate_hz is {sample_rate_hz:g}; expected {like.features.sample_rate_hz:g}, which the network is"
      f" made for"
    )


def for_recordings(recordings: Sequence[Recording], *, kind: str, **settings) -> ConfigDict:
  """`own` for recordings at hand, which say what is not given.

  The classes are those of their labels; a sensor has as many channels as they do. The least gap between two
  events is half of what nine of ten neighbouring labels of a class keep, within 30 to 200 ms; windows may
  hold half as many events more than any stretch of their length does. Where some windows were counted, or
  some times are exact, the loss is "mixed", and crops hold the longest window that was counted.

  Raises:
    ValueError: as `own`; recordings without labels, or sensors with different numbers of channels.
  """
  classes = settings.pop("classes", None) or sorted(
    {name for one in recordings for name in (*one.events, *one.counted)}
  )
  times_s = [np.sort(one.times_s(name)) for one in recordings for name in classes]
  counted = [window for one in recordings for windows in one.counted.values() for window in windows]
  if not sum(map(len, times_s)) and not counted:
    raise ValueError("the recordings have no label; expected some to learn from")
  gaps_s = np.concatenate([np.diff(one) for one in times_s])
  likely_s = float(np.clip(np.quantile(gaps_s, 0.1) / 2, 0.03, 0.2)) if len(gaps_s) else 0.05
  channels = {1 if one.signal.ndim == 1 else one.signal.shape[1] for one in recordings}
  if kind == "sensor" and len(channels) > 1:
    raise ValueError(
      f"recordings have {', '.join(map(str, sorted(channels)))} channels; expected as many in each"
    )
  given = {"min_gap_s": round(likely_s, 3), "num_channels": channels.pop()} | settings
  if are_mixed(recordings):
    given |= {"loss": "mixed", "softness_s": given.get("softness_s") or _SOFTNESS_S}
  config = own(kind, classes=classes, **given)
  counted_s = _set_counted(config, counted, timed=any(map(len, times_s))) if counted else 0.0
  longest_s = max(_USUAL_WINDOW_S, counted_s)
  most = [_most_within(one, np.ones(len(one)), longest_s) for one in times_s]
  for one in recordings:
    for windows in one.counted.values():
      # No window holds more events than frames.
      high = [own.low if own.high is None else min(own.high, _num_frames(config, own)) for own in windows]
      most.append(_most_within(np.array([own.start_s for own in windows]), np.array(high), longest_s))
  config.loss.max_count = max(10, round(1.5 * max(most)))
  return config


def _most_within(starts_s: np.ndarray, events: np.ndarray, length_s: float) -> int:
  """The most events that begin within any stretch of a length."""
  total = np.concatenate([[0], np.cumsum(events)])
  last = np.searchsorted(starts_s, starts_s + length_s)
  return int((total[last] - total[: len(starts_s)]).max(initial=0))


def are_mixed(recordings: Sequence[Recording]) -> bool:
  """Whether recordings have labels of several kinds, or counts of given windows."""
  return any(one.exact or any(one.counted.values()) for one in recordings)


def _set_counted(config: ConfigDict, counted: Sequence[CountedWindow], timed: bool) -> float:
  """Crops that hold each counted window, in batches of about as much signal; the longest, in seconds.

  Windows without any event do not count: they are learned from in pieces.
  """
  # Both ends are put on frames, so a window may have one more than its length.
  frame_s = config.features.get("hop_samples", 1) / config.features.sample_rate_hz
  lengths_s = [one.end_s - one.start_s for one in counted if one.high != 0]
  longest_s = max(lengths_s, default=config.window.max_s) + frame_s
  config.window.counted_s = longest_s
  if not timed:  # nothing is drawn but what was counted
    config.window.max_s = min(config.window.max_s, longest_s)
    config.window.min_s = min(config.window.min_s, config.window.max_s)
    config.decode.align_softness_s = 0.0  # there are no times to be right on average
  usual = _USUAL_WINDOW_S / max(longest_s, config.window.max_s)
  config.batch_size = max(4, round(config.batch_size * min(1.0, usual)))
  return longest_s


def _num_frames(config: ConfigDict, window: CountedWindow) -> int:
  rate_hz = config.features.sample_rate_hz / config.features.get("hop_samples", 1)
  return int((window.end_s - window.start_s) * rate_hz) + 1


def set_steps(config: ConfigDict, num_steps: int | None) -> None:
  """A training of another length, with checkpoints and warm-up in proportion; None leaves it."""
  if num_steps is not None:
    config.num_steps, config.eval_every = num_steps, max(num_steps // 3, 1)
    config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, num_steps // 4)


def _crnn(conv_features: tuple[int, ...], **settings) -> ConfigDict:
  """Convolutions with a small bidirectional recurrent layer."""
  return ConfigDict(
    {
      "name": "crnn",
      "dtype": "float32",
      "conv_features": conv_features,
      "residual": True,
      "recurrent": "gru",
      "recurrent_units": 32,
      "dense_units": 0,
      "causal": False,
      **settings,
    }
  )


def _counted(*, min_s: float, max_s: float, context_s: float) -> ConfigDict:
  """Short windows that are counted: where their borders lie is all that counts say about times."""
  return ConfigDict(
    {"min_s": min_s, "max_s": max_s, "context_s": context_s, "segments": True, "border_search_s": 0.0}
  )
