"""A trained network applied to signals of any kind of file: what `softloc-jax predict` does."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import os
import pathlib

import jax
from ml_collections import ConfigDict
import numpy as np

from softloc_jax import checkpoints, checks, evaluation, plots, predict, train
from softloc_jax.data import condition, event_files, mitdb, signal_files
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
  """

  recording: Recording
  times_s: Mapping[str, np.ndarray]
  confidence: Mapping[str, np.ndarray]
  probs: np.ndarray
  network: Network

  def write(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Writes `time,label,confidence` rows.

    Raises:
      FileExistsError: the file exists and `overwrite` is False.
    """
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    event_files.write_events(path, self.times_s, self.confidence, overwrite=overwrite)

  def plot(self, path: str | os.PathLike, *, start_s: float = 0.0, length_s: float = 10.0) -> None:
    """Draws a stretch of the signal with its probabilities and events."""
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


class Detector:
  """Finds events with the network of a training's workdir.

  Args:
    workdir: the folder that `train_and_evaluate` filled.
    replica: which of several seeds.

  Raises:
    FileNotFoundError: the folder holds no training, or no checkpoint yet.
    ValueError: there is no such replica.
  """

  def __init__(self, workdir: str | os.PathLike, *, replica: int = 0):
    self.config = ConfigDict(checkpoints.read_config(workdir))
    if not 0 <= replica < self.config.num_replicas:
      raise ValueError(f"replica is {replica}; {workdir} holds {self.config.num_replicas}")
    self.network = Network.from_config(self.config)
    state, notes = train.restore_reported(self.config, workdir, self.network)
    self._params = jax.tree.map(lambda leaf: leaf[replica : replica + 1], state.params)
    self._calibration = evaluation.Calibration(**notes["calibration"][replica])
    self._predictor = predict.Predictor.from_config(self.network, self.config.predict)
    self._decoder = evaluation.Decoder(
      self.config.decode, self.network.classes, self.network.extractor.frame_rate_hz
    )

  def detect(self, recording: Recording) -> Detection:
    """Events of a recording, whose signal may have any rate: it is conditioned as for training.

    Raises:
      ValueError: a signal with NaN, or with another rate or other channels than the network was trained on.
    """
    recording_lib.validate(recording)
    recording = condition.condition(recording, **self.config.data.conditioning)
    checks.check_signal(recording, self.network.extractor)
    probs = evaluation.probabilities(self._predictor.logits(self._params, recording.signal)[0])
    times_s, confidence = self._decoder(probs, self._calibration)
    return Detection(recording, times_s, confidence, probs, self.network)

  def detect_file(self, path: str | os.PathLike) -> Detection:
    """Events of a wav, flac, ogg, mp3, npz, csv or WFDB (.hea) file.

    Raises:
      FileNotFoundError, ValueError: a file that is missing or cannot be read.
    """
    path = pathlib.Path(path)
    read = mitdb.read_lead if path.suffix == ".hea" else signal_files.read_signal
    return self.detect(Recording(path.stem, *read(path), events={}))
