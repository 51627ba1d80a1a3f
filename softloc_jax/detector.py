"""A trained network applied to signals of any kind of file: what `softloc-jax predict` does."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import os
import pathlib

from absl import logging
import jax
from ml_collections import ConfigDict
import numpy as np

from softloc_jax import (
  checkpoints,
  checks,
  evaluation,
  features,
  plots,
  predict,
  pretrained,
  train,
  video_plots,
)
from softloc_jax.data import condition, event_writers, mitdb, signal_files, video_files
from softloc_jax.data import recording as recording_lib
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network


@dataclasses.dataclass(frozen=True, eq=False)
class Detection:
  """Events found in a recording.

  Attributes:
    recording: the conditioned signal.
    times_s: class name -> times in seconds.
    confidence: class name -> confidence of each, between 0 and 1.
    probs: event probabilities of the frames, `[T, C]`.
    network: what found them.
    source_rate_hz: sample rate of the signal before it was conditioned, in which layers count.
  """

  recording: Recording
  times_s: Mapping[str, np.ndarray]
  confidence: Mapping[str, np.ndarray]
  probs: np.ndarray
  network: Network
  source_rate_hz: float

  def write(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Writes times, labels and confidences in the format of the extension, see `event_writers.write_events`.

    Raises:
      FileExistsError: the file exists and `overwrite` is False.
    """
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    event_writers.write_events(
      path,
      self.times_s,
      self.confidence,
      overwrite=overwrite,
      duration_s=self.recording.duration_s,
      sample_rate_hz=self.source_rate_hz,
    )

  def plot(self, path: str | os.PathLike, *, start_s: float = 0.0, length_s: float = 10.0) -> None:
    """Draws a stretch of the signal with its probabilities and events; of a video, its events' frames."""
    if isinstance(self.network.extractor, features.VideoFrames):
      signal, size = self.recording.signal, self.network.extractor.frame_size
      video_plots.save_moments(
        path, np.reshape(signal, (len(signal), *size, 3)), self.times_s, self.confidence
      )
      return
    plots.save_recording(
      path,
      self.recording,
      self.network.extractor,
      self.probs,
      self.times_s,
      self.network.classes,
      start_s=start_s,
      length_s=length_s,
    )


def read_workdir(workdir: str | os.PathLike, *, replica: int = 0) -> pretrained.Trained:
  """What a training's reported checkpoint holds of one of its seeds, or of all where they are an ensemble.

  Raises:
    FileNotFoundError: the folder holds no training, or no checkpoint yet.
    ValueError: there is no such replica.
  """
  config = ConfigDict(checkpoints.read_config(workdir))
  is_ensemble = config.predict.get("ensemble", False)
  num_networks = 1 if is_ensemble else config.num_replicas
  if not 0 <= replica < num_networks:
    raise ValueError(f"replica is {replica}; {workdir} holds {num_networks}")
  network = Network.from_config(config)
  state, notes = train.restore_reported(config, workdir, network)
  members = slice(None) if is_ensemble else slice(replica, replica + 1)
  variables = jax.tree.map(lambda leaf: leaf[members], state.variables)
  return pretrained.Trained(config, network, variables, notes["calibration"][replica])


def chosen(model: str | None, checkpoint: str | os.PathLike | None) -> Detector | None:
  """The network that a command names: one of the package, or of a training; None for neither.

  Raises:
    FileNotFoundError, ValueError: both are given, or there is no such network.
  """
  if model is not None and checkpoint is not None:
    raise ValueError("expected either a model or a checkpoint")
  if model is not None:
    return Detector.pretrained(model)
  return None if checkpoint is None else Detector.from_workdir(checkpoint)


class Detector:
  """Finds events with a trained network: `Detector.from_workdir(DIR)` or `Detector.pretrained("drums")`."""

  def __init__(self, trained: pretrained.Trained):
    self.config, self.network = trained.config, trained.network
    self.variables = trained.variables
    self.calibration = evaluation.Calibration(**trained.calibration)
    self._predictor = predict.Predictor.from_config(self.network, self.config.predict)
    self._decoder = evaluation.Decoder(
      self.config.decode, self.network.classes, self.network.extractor.frame_rate_hz
    )

  @classmethod
  def from_workdir(cls, workdir: str | os.PathLike, *, replica: int = 0) -> Detector:
    """The network of a folder that `train_and_evaluate` filled; `replica` is which of several seeds.

    Raises:
      FileNotFoundError: the folder holds no training, or no checkpoint yet.
      ValueError: there is no such replica.
    """
    return cls(read_workdir(workdir, replica=replica))

  @classmethod
  def pretrained(cls, name: str) -> Detector:
    """A network that comes with the package.

    Raises:
      ValueError: there is no such network.
    """
    return cls(pretrained.load(pretrained.folder(name)))

  def detect(self, recording: Recording) -> Detection:
    """Events of a recording, whose signal may have any rate: it is conditioned as for training.

    Raises:
      ValueError: a signal with NaN, or with another rate or other channels than the network was trained on.
    """
    recording_lib.validate(recording)
    source_rate_hz = recording.sample_rate_hz
    if self.config.data.conditioning is not None:
      recording = condition.condition(recording, **self.config.data.conditioning)
    if recording.sample_rate_hz > source_rate_hz:
      logging.warning(
        "recording %r has %g samples per second; the network expects %g, and sees nothing above %g Hz here",
        recording.id,
        source_rate_hz,
        recording.sample_rate_hz,
        source_rate_hz / 2,
      )
    checks.check_signal(recording, self.network.extractor)
    probs = self._predictor.probabilities(self.variables, recording.signal)[0]
    times_s, confidence = self._decoder(probs, self.calibration)
    return Detection(recording, times_s, confidence, probs, self.network, source_rate_hz)

  def detect_file(self, path: str | os.PathLike) -> Detection:
    """Events of a wav, flac, ogg, mp3, npz, csv or WFDB (.hea) file; of a video, in frames.

    Raises:
      FileNotFoundError, ValueError: a file that is missing or cannot be read.
    """
    path = pathlib.Path(path)
    extractor = self.network.extractor
    if isinstance(extractor, features.VideoFrames):
      frames = video_files.read(path, square=extractor.frame_size[0])
      return self.detect(Recording(path.stem, frames.reshape(len(frames), -1), extractor.sample_rate_hz, {}))
    read = mitdb.read_lead if path.suffix == ".hea" else signal_files.read_signal
    return self.detect(Recording(path.stem, *read(path), events={}))
