"""A trained network as one file that needs nothing of this package.

`write` makes a zip of `network.jax_export`, the compiled function from signals to event probabilities in the
format of `jax.export` (StableHLO), and `metadata.json`. JAX promises to read such files for six months at
least, and needs flatbuffers for it; the weights are inside. It runs on CPUs, NVIDIA's GPUs and TPUs:

  import json, zipfile
  import jax
  from jax import export  # jax.export has to be imported by name
  import numpy as np

  with zipfile.ZipFile("drums.zip") as file:
    network = export.deserialize(bytearray(file.read("network.jax_export")))
    metadata = json.loads(file.read("metadata.json"))
  signal = np.zeros((1, 32000), np.float32)  # [batch, samples] at metadata["sample_rate_hz"]
  probs = np.asarray(jax.jit(network.call)(signal))  # [batch, frames, classes]
  times_s = np.arange(probs.shape[1]) / metadata["frame_rate_hz"]

Batch and length are free. Inside, a signal is cut into chunks with context as `predict.Predictor` does it,
and the probabilities are those of `Detector`, before thresholds. What comes before is left to the reader:
`metadata["conditioning"]` says which rate, band and scale the signal has to have. What comes after is said by
`metadata["decode"]`, the thresholds and the offsets of each class.

`write_onnx` writes a model for ONNX Runtime through jax2onnx (extra `onnx`), which does not convert a free
batch of these networks: it takes one chunk of a recording, see there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import contextlib
import importlib.util
import json
import os
import pathlib
from typing import Any
import zipfile

import jax
from jax import Array
from jax import export as jax_export
import jax.numpy as jnp

import softloc_jax
from softloc_jax.network import Network
from softloc_jax.predict import Predictor, fade_weights
from softloc_jax.pretrained import Trained

PLATFORMS = ("cpu", "cuda", "tpu")
NETWORK_FILE, METADATA_FILE = "network.jax_export", "metadata.json"


def write(
  path: str | os.PathLike,
  trained: Trained,
  *,
  platforms: Sequence[str] = PLATFORMS,
  overwrite: bool = False,
) -> None:
  """Writes a network as a zip that needs only JAX; the module's text says how it is read.

  Args:
    path: of the file, which appears whole or not at all.
    trained: the network; of an ensemble the probabilities are the mean.
    platforms: what it is to run on, of `PLATFORMS`.
    overwrite: whether an existing file may be replaced.

  Raises:
    FileExistsError: the file exists and `overwrite` is False.
    FileNotFoundError: its folder does not exist.
    ImportError: flatbuffers is not installed.
    ValueError: an unknown platform, or a network that listens to recordings at several rates.
  """
  path = pathlib.Path(path)
  unknown = [platform for platform in platforms if platform not in PLATFORMS]
  if unknown or not platforms:
    raise ValueError(f"platforms are {', '.join(platforms)!r}; expected some of {', '.join(PLATFORMS)}")
  check_target(path, overwrite)
  if importlib.util.find_spec("flatbuffers") is None:
    raise ImportError("writing an exported network needs flatbuffers: pip install softloc-jax[export]")
  function = whole_signals(trained)
  channels = trained.network.extractor.num_channels
  shape = jax_export.symbolic_shape("batch, samples" + (f", {channels}" if channels > 1 else ""))
  exported = jax_export.export(jax.jit(function), platforms=tuple(platforms))(
    jax.ShapeDtypeStruct(shape, jnp.float32)
  )
  about = metadata(trained) | {"platforms": list(platforms), "signal_shape": [str(size) for size in shape]}
  with _replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
    file.writestr(NETWORK_FILE, bytes(exported.serialize()))
    file.writestr(METADATA_FILE, json.dumps(about, indent=2) + "\n")


def write_onnx(path: str | os.PathLike, trained: Trained, *, overwrite: bool = False) -> None:
  """Writes a network as an ONNX model of one chunk: `[1, num_samples]` to `[1, frames, C]` probabilities.

  The model's metadata has one entry, `softloc_jax`: the JSON that `write` writes, and in it `chunk`. Chunk
  `i` takes `num_samples` samples from `first_sample + i * step_samples` on, zeros where the recording has
  none, and gives the frames `i * frames` to `(i + 1) * frames`. A signal of several channels is
  `[1, num_samples, channels]`. Without context (`predict.context_s`) the last chunk has to end with the
  recording, as nothing else is known of how the network takes zeros: there `ends_with_recording` is true, and
  a chunk begins at frame `min(i * frames, max(end - frames, 0))`, with `end` the number of frames rounded up
  to a multiple of `frames_stride`; of the last only those frames count that the one before does not have.

  Args:
    path: of the file, which appears whole or not at all.
    trained: the network.
    overwrite: whether an existing file may be replaced.

  Raises:
    FileExistsError: the file exists and `overwrite` is False.
    FileNotFoundError: its folder does not exist.
    ImportError: jax2onnx is not installed.
    ValueError: a network whose chunks fade into each other, or that listens to recordings at several rates.
  """
  path = pathlib.Path(path)
  check_target(path, overwrite)
  try:
    import jax2onnx
  except ImportError as error:
    raise ImportError("writing ONNX needs jax2onnx: pip install softloc-jax[onnx]") from error
  chunks = _Chunks(trained)
  if chunks.fades:
    raise ValueError("predict.overlap is 'fade'; expected 'cut' for ONNX, whose chunks stand alone")

  def probabilities(signal: Array) -> Array:
    logits = chunks.logits(signal.reshape(1, chunks.num_samples, -1))
    return jax.nn.sigmoid(logits).mean(axis=0)

  channels = trained.network.extractor.num_channels
  shape = (1, chunks.num_samples, *((channels,) if channels > 1 else ()))
  model = jax2onnx.to_onnx(probabilities, inputs=[shape], model_name="softloc_jax")
  chunk = {"first_sample": chunks.first, "step_samples": chunks.step, "num_samples": chunks.num_samples}
  chunk |= {"ends_with_recording": not chunks.context, "frames_stride": trained.network.time_stride}
  about = metadata(trained) | {"signal_shape": list(shape), "chunk": chunk | {"frames": chunks.frames}}
  model.metadata_props.add(key="softloc_jax", value=json.dumps(about))
  with _replacing(path) as partial:
    partial.write_bytes(model.SerializeToString())


def whole_signals(trained: Trained) -> Callable[[Array], Array]:
  """Event probabilities of signals of any length: `[B, N]` or `[B, N, channels]` to `[B, T, C]`.

  Chunks are computed one after the other, the batch at once, those of `Predictor`. But every chunk has one
  length here: without context a signal that is shorter is filled with zeros.

  Raises:
    ValueError: a network that listens to recordings at several rates.
  """
  chunks = _Chunks(trained)

  def probabilities(signal: Array) -> Array:
    signal = jnp.asarray(signal, jnp.float32).reshape(*signal.shape[:2], -1)
    num_samples = signal.shape[1]
    total = trained.network.extractor.num_frames(num_samples)
    num_chunks = (total + chunks.frames - 1) // chunks.frames
    after = chunks.first + (num_chunks - 1) * chunks.step + chunks.num_samples - num_samples
    signal = jnp.pad(signal, [(0, 0), (-chunks.first, after), (0, 0)])
    starts = chunks.starts(jnp.arange(num_chunks), total)

    def logits(start: Array) -> Array:
      return chunks.logits(jax.lax.dynamic_slice_in_dim(signal, start * chunks.hop, chunks.num_samples, 1))

    joined = chunks.join(jax.lax.map(logits, starts), starts)  # [R, B, frames of all chunks, C]
    return jax.nn.sigmoid(joined).mean(axis=0)[:, :total]

  return probabilities


class _Chunks:
  """The chunks that `predict.Predictor` makes of a recording, as functions that can be exported.

  Attributes:
    frames: frames of a chunk.
    first: first sample of the first chunk with its context, before the recording.
    hop: samples between frames.
    step: samples between chunks.
    num_samples: samples of a chunk with its context.
  """

  def __init__(self, trained: Trained):
    network = _portable(trained)
    predictor = Predictor.from_config(network, trained.config.predict)
    if set(predictor.rates) != {1.0}:
      raise ValueError(
        f"predict.rates are {predictor.rates}; expected (1.0,): a file cannot play a recording at other rates"
      )
    extractor = network.extractor
    self.frames, self.context, self.fades = predictor.chunk_frames, predictor.context_frames, predictor.fades
    self.first, self.num_samples = extractor.sample_range(-self.context, self.frames + 2 * self.context)
    self.hop = extractor.sample_range(1, 1)[0] - extractor.sample_range(0, 1)[0]
    self.step = self.frames * self.hop
    self._network, self._variables = network, trained.variables

  def logits(self, signal: Array) -> Array:
    """`[B, num_samples, channels] -> [R, B, frames, C]`, without the context where that is cut off."""
    members = range(jax.tree.leaves(self._variables)[0].shape[0])
    # One by one: mapping over members would stack them only to take them apart again (`convolution`).
    variables = [jax.tree.map(lambda leaf, n=n: jnp.asarray(leaf[n]), self._variables) for n in members]
    found = jnp.stack([self._network.apply(one, signal) for one in variables])
    return found if self.fades else found[:, :, self.context : self.context + self.frames]

  def starts(self, numbers: Array, total: int) -> Array:
    """First frame of each chunk; without context the last one ends where the signal does."""
    starts = numbers * self.frames
    if self.context:
      return starts
    stride = self._network.time_stride
    return jnp.minimum(starts, jnp.maximum((total + stride - 1) // stride * stride - self.frames, 0))

  def join(self, chunks: Array, starts: Array) -> Array:
    """`[chunks, R, B, frames, C] -> [R, B, chunks * frames, C]`, each as far as the next one."""
    if not self.context:
      at = jnp.arange(self.frames) + (jnp.arange(chunks.shape[0]) * self.frames - starts)[:, None]
      at = jnp.minimum(at, self.frames - 1)  # beyond the end
      chunks = jnp.take_along_axis(chunks, at[:, None, None, :, None], axis=3)
    if self.fades:
      weights = jnp.asarray(fade_weights(self.frames, self.context))
      chunks = self._add_up(weights * chunks) / self._add_up(jnp.broadcast_to(weights, chunks.shape))
    members, batch, _, classes = chunks.shape[1:]
    return jnp.moveaxis(chunks, 0, 2).reshape(members, batch, -1, classes)

  def _add_up(self, chunks: Array) -> Array:
    """Chunks with context, where each overlaps its neighbours, to sums without it."""
    reach = self.context
    around = [(1, 1)] + [(0, 0)] * (chunks.ndim - 1)
    after = jnp.pad(chunks[..., :reach, :], around)[2:]  # what the next chunk adds at the end
    before = jnp.pad(chunks[..., reach + self.frames :, :], around)[:-2]
    inner = chunks[..., reach : reach + self.frames, :]
    return inner.at[..., self.frames - reach :, :].add(after).at[..., :reach, :].add(before)


def _portable(trained: Trained) -> Network:
  """The network in operations that every device has: NVIDIA's LSTM is the plain one elsewhere."""
  if trained.config.model.get("recurrent") != "cudnn_lstm":
    return trained.network
  config = trained.config.copy_and_resolve_references()
  with config.unlocked():
    config.model.recurrent = "lstm"
  return Network.from_config(config)


def metadata(trained: Trained) -> dict[str, Any]:
  """What a reader of a file has to know, as JSON holds it."""
  config, extractor = json.loads(trained.config.to_json()), trained.network.extractor
  by_class = {
    key: dict(zip(trained.network.classes, values, strict=True))
    for key, values in trained.calibration.items()
  }
  return {
    "written_by": f"softloc_jax {softloc_jax.__version__}, jax {jax.__version__}",
    "classes": list(trained.network.classes),
    "sample_rate_hz": extractor.sample_rate_hz,
    "num_channels": extractor.num_channels,
    "frame_rate_hz": extractor.frame_rate_hz,
    "conditioning": config["data"].get("conditioning"),
    "decode": config["decode"],
    **by_class,
  }


def check_target(path: pathlib.Path, overwrite: bool) -> None:
  if not path.parent.is_dir():
    raise FileNotFoundError(f"no such folder: {path.parent}")
  if path.is_dir() or (path.exists() and not overwrite):
    raise FileExistsError(f"{path} exists; expected a new file, or overwrite")


@contextlib.contextmanager
def _replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A temporary file beside a path, which takes its place once it is written whole."""
  partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    yield partial
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)
