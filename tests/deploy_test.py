"""Exported networks against `Detector`, and read without the package."""

import json
import os
import re
import subprocess
import sys
import zipfile

from click.testing import CliRunner
import jax
import numpy as np
import pytest
from small_config import small

from configs.weak import drums
from softloc_jax import cli, deploy, detector, pretrained
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network

pytest.importorskip("flatbuffers", reason="flatbuffers is not installed: pip install softloc-jax[export]")
from jax import export as jax_export

SENSOR = {"kind": "signal", "sample_rate_hz": 100.0, "num_channels": 2}


def trained(num_members=1, feature_config=None, **changes):
  """A network that nobody trained, whose probabilities are all over the place."""
  config = small(drums.get_config(), **changes)
  if feature_config is not None:
    with config.unlocked():
      config.features = feature_config
      config.data.conditioning = None
  network = Network.from_config(config)
  like = jax.eval_shape(jax.vmap(network.init), jax.random.split(jax.random.key(0), num_members))
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda leaf: (0.5 * rng.normal(size=leaf.shape)).astype(np.float32), like)
  calibration = {"thresholds": [0.4, 0.5, 0.6], "offsets_s": [0.0, 0.01, -0.01]}
  return pretrained.Trained(config, network, variables, calibration)


def signals(network, lengths_s, batch=1):
  """For each length a batch of noise with clicks."""
  rng = np.random.default_rng(1)
  extractor = network.extractor
  for length_s in lengths_s:
    num_samples = round(length_s * extractor.sample_rate_hz)
    shape = (batch, num_samples, *((extractor.num_channels,) if extractor.num_channels > 1 else ()))
    yield (0.3 * rng.normal(size=shape) * (rng.random(shape) < 0.05)).astype(np.float32)


def expected(found_by, signal):
  rate_hz = found_by.network.extractor.sample_rate_hz
  return np.stack([found_by.detect(Recording("x", row, rate_hz, {})).probs for row in signal])


@pytest.fixture(scope="module")
def drums_zip(tmp_path_factory):
  """What finds events with an ensemble of two, the ensemble, and its file."""
  one = trained(2, **{"predict.ensemble": True, "predict.chunk_s": 1.0, "predict.context_s": 0.2})
  path = tmp_path_factory.mktemp("deploy") / "drums.zip"
  deploy.write(path, one)
  return detector.Detector(one), one, path


def read(path):
  with zipfile.ZipFile(path) as file:
    network = jax_export.deserialize(bytearray(file.read(deploy.NETWORK_FILE)))
    return network, json.loads(file.read(deploy.METADATA_FILE))


def test_without_context_the_last_chunk_ends_where_the_signal_does(tmp_path):
  one = trained(feature_config=SENSOR, **{"predict.chunk_s": 1.0, "predict.context_s": 0.0})
  deploy.write(tmp_path / "sensor.zip", one)
  network, _ = read(tmp_path / "sensor.zip")
  for signal in signals(one.network, (1.0, 2.0, 3.12, 1.01), batch=2):
    found, wanted = np.asarray(network.call(signal)), expected(detector.Detector(one), signal)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
  (short,) = signals(one.network, (0.5,))
  filled = np.pad(short, [(0, 0), (0, 50), (0, 0)])
  np.testing.assert_allclose(network.call(short), np.asarray(network.call(filled))[:, :50], atol=1e-5)


def test_probabilities_of_the_detector_at_any_length_and_batch(drums_zip):
  found_by, one, path = drums_zip
  network, _ = read(path)
  assert network.platforms == ("cpu", "cuda", "tpu")
  # Less than a chunk, whole chunks, and a fraction of a frame more.
  for signal in signals(one.network, (0.3, 2.0, 3.1234), batch=2):
    found, wanted = np.asarray(network.call(signal)), expected(found_by, signal)
    assert found.shape == wanted.shape and wanted.std() > 0.01
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
  ("features", "changes"),
  [
    (SENSOR, {"predict.chunk_s": 1.0, "predict.context_s": 0.3, "predict.overlap": "fade"}),
    (None, {"model.recurrent": "cudnn_lstm", "predict.chunk_s": 1.0, "predict.context_s": 0.3}),
  ],
)
def test_other_signals_overlaps_and_layers(tmp_path, features, changes):
  one = trained(feature_config=features, **changes)
  deploy.write(tmp_path / "network.zip", one, platforms=("cpu",))
  network, about = read(tmp_path / "network.zip")
  assert about["num_channels"] == one.network.extractor.num_channels and about["platforms"] == ["cpu"]
  found_by = detector.Detector(one)
  for signal in signals(one.network, (0.5, 3.17)):
    np.testing.assert_allclose(np.asarray(network.call(signal)), expected(found_by, signal), atol=1e-5)


def test_metadata(drums_zip):
  _, one, path = drums_zip
  _, about = read(path)
  assert about["classes"] == ["KD", "SD", "HH"]
  assert about["thresholds"] == {"KD": 0.4, "SD": 0.5, "HH": 0.6}
  assert about["offsets_s"]["HH"] == -0.01
  assert about["sample_rate_hz"] == 16000 and about["frame_rate_hz"] == one.network.extractor.frame_rate_hz
  assert about["conditioning"]["sample_rate_hz"] == 16000
  assert about["decode"]["method"] == one.config.decode.method
  assert about["signal_shape"] == ["batch", "samples"]


def test_read_without_the_package(drums_zip, tmp_path):
  """By the lines that the module's text gives, where importing the package fails."""
  found_by, one, path = drums_zip
  code = re.search(r"\n\n((?:  .*\n|\n)+)", deploy.__doc__).group(1).replace("\n  ", "\n").strip()
  [signal] = signals(one.network, (1.5,))
  np.save(tmp_path / "signal.npy", signal)
  code = code.replace("drums.zip", str(path)).replace(
    "np.zeros((1, 32000), np.float32)", f"np.load({str(tmp_path / 'signal.npy')!r})"
  )
  code = f"import sys; sys.modules['softloc_jax'] = sys.modules['flax'] = None\n{code}\n"
  code += f"np.savez({str(tmp_path / 'found.npz')!r}, probs=probs, times_s=times_s)\n"
  environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
  subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=tmp_path)
  with np.load(tmp_path / "found.npz") as found:
    np.testing.assert_allclose(found["probs"], expected(found_by, signal), atol=1e-5)
    assert found["times_s"][100] == 100 / one.network.extractor.frame_rate_hz


def test_what_cannot_be_written(drums_zip, tmp_path):
  _, one, path = drums_zip
  before = path.read_bytes()
  with pytest.raises(FileExistsError, match=r"drums\.zip exists; expected a new file, or overwrite"):
    deploy.write(path, one)
  with pytest.raises(FileNotFoundError, match="no such folder"):
    deploy.write(tmp_path / "nowhere" / "x.zip", one)
  with pytest.raises(ValueError, match="platforms are 'cpu, gpu'; expected some of cpu, cuda, tpu"):
    deploy.write(tmp_path / "x.zip", one, platforms=("cpu", "gpu"))
  config = one.config.copy_and_resolve_references()
  config.predict.rates = (0.9, 1.0)
  with pytest.raises(ValueError, match=r"predict\.rates are \(0\.9, 1\.0\); expected \(1\.0,\)"):
    deploy.write(tmp_path / "x.zip", one._replace(config=config))
  assert not list(tmp_path.iterdir()) and path.read_bytes() == before


def test_nothing_is_left_of_a_file_that_was_not_finished(drums_zip, tmp_path, monkeypatch):
  _, one, _ = drums_zip
  target = tmp_path / "x.zip"
  target.write_text("mine")

  monkeypatch.setattr(deploy.jax_export, "export", lambda *args, **kwargs: lambda shape: None)
  with pytest.raises(AttributeError):  # in the middle of writing
    deploy.write(target, one, overwrite=True)
  assert target.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def run(*arguments):
  return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


def test_command(drums_zip, tmp_path, monkeypatch):
  _, one, _ = drums_zip
  monkeypatch.setattr(pretrained, "load", lambda folder: one)
  out = tmp_path / "drums.zip"
  result = run("export", "--model", "drums", "--out", out, "--platform", "cpu")
  assert result.exit_code == 0, result.output
  assert "16000 samples per second to 100 frames of KD, SD, HH" in result.output
  network, about = read(out)
  assert network.platforms == ("cpu",) and about["classes"] == ["KD", "SD", "HH"]
  result = run("export", "--model", "drums", "--out", out)
  assert result.exit_code == 1 and result.output.startswith("Error: ") and "drums.zip exists" in result.output
  assert run("export", "--model", "drums", "--out", out, "--platform", "cpu", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
  ("arguments", "code", "message"),
  [
    (("--out", "x.zip"), 2, "expected either --model or --checkpoint"),
    (("--out", "x.zip", "--model", "drums", "--checkpoint", "runs"), 2, "expected either --model or"),
    (("--out", "x.tflite", "--model", "drums"), 1, "x.tflite ends with '.tflite'; expected .zip (for JAX)"),
    (("--out", "x.onnx", "--model", "drums", "--platform", "cpu"), 1, "x.onnx: expected no platforms"),
    (("--out", "x.zip", "--model", "flute"), 1, "no pretrained network 'flute'"),
    (("--out", "x.zip", "--checkpoint", "nowhere"), 1, "expected the workdir of a training"),
  ],
)
def test_command_refuses(arguments, code, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  result = run("export", *arguments)
  assert result.exit_code == code and message in result.output
  assert "Traceback" not in result.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize("context_s", [0.2, 0.0])
def test_onnx(tmp_path, context_s):
  """Chunk by chunk, as the model's metadata says, in ONNX Runtime."""
  pytest.importorskip("jax2onnx", reason="jax2onnx is not installed: pip install softloc-jax[onnx]")
  onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
  one = trained(**{"predict.chunk_s": 0.5, "predict.context_s": context_s})
  deploy.write_onnx(tmp_path / "drums.onnx", one)
  session = onnxruntime.InferenceSession(tmp_path / "drums.onnx")
  about = json.loads(session.get_modelmeta().custom_metadata_map["softloc_jax"])
  chunk = about["chunk"]
  [signal] = signals(one.network, (1.3,))
  wanted = expected(detector.Detector(one), signal)
  frames, total = chunk["frames"], wanted.shape[1]
  end = -(-total // chunk["frames_stride"]) * chunk["frames_stride"]
  pieces = []
  for i in range(-(-total // frames)):
    start = min(i * frames, max(end - frames, 0)) if chunk["ends_with_recording"] else i * frames
    first = chunk["first_sample"] + start * (chunk["step_samples"] // frames)
    index = first + np.arange(chunk["num_samples"])
    inside = (index >= 0) & (index < signal.shape[1])
    cut = np.where(inside, signal[:, np.clip(index, 0, signal.shape[1] - 1)], 0).astype(np.float32)
    pieces.append(session.run(None, {session.get_inputs()[0].name: cut})[0][:, i * frames - start :])
  found = np.concatenate(pieces, axis=1)[:, : wanted.shape[1]]
  np.testing.assert_allclose(found, wanted, atol=1e-5)
  assert about["classes"] == ["KD", "SD", "HH"]


def test_onnx_refuses_what_does_not_stand_alone(tmp_path):
  pytest.importorskip("jax2onnx", reason="jax2onnx is not installed: pip install softloc-jax[onnx]")
  one = trained(**{"predict.chunk_s": 0.5, "predict.context_s": 0.2, "predict.overlap": "fade"})
  with pytest.raises(ValueError, match=r"predict\.overlap is 'fade'; expected 'cut' for ONNX"):
    deploy.write_onnx(tmp_path / "drums.onnx", one)
