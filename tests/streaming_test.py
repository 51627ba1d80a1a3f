"""Streams against whole recordings, and the command that reads them."""

import copy
import functools
import io
import types

from click.testing import CliRunner
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import cli, detector, evaluation, features, pretrained, streaming
from softloc_jax.commands import predict_stream
from softloc_jax.data.recording import Recording
from softloc_jax.network import Network

CLASSES = ("KD", "SD")
SIGNAL = {"kind": "signal", "sample_rate_hz": 100.0}
LOG_MEL = {
  "kind": "log_mel",
  "sample_rate_hz": 8_000,
  "hop_samples": 80,
  "window_samples": 200,
  "num_mels": 6,
}
GRU = {"recurrent": "gru", "recurrent_units": 6}
NETWORKS = {
  "bidirectional": (SIGNAL, GRU),
  "causal": (LOG_MEL, {"causal": True, **GRU}),
  "convolutions": (SIGNAL, {"time_stride": 3}),
}


def make_config(feature_config, **changes):
  config = ConfigDict(
    {
      "features": feature_config,
      "window": {"min_s": 1.0, "max_s": 1.0, "context_s": 0.0, "segments": False, "border_search_s": 0.0},
      "data": {
        "classes": CLASSES,
        "conditioning": {"sample_rate_hz": None, "bandpass_hz": None, "scaling": None},
      },
      "omega": 0.8,
      "model": {"name": "crnn", "conv_features": (4, 4), "conv_kernel": (5, 1), "recurrent": None},
      "predict": {"chunk_s": 4.0, "context_s": 1.0, "batch_size": 4, "overlap": "cut", "rates": (1.0,)},
      "decode": {
        "method": "mass",
        "suppression_s": 0.05,
        "window_s": 0.02,
        "softness_s": 0.0,
        "count_window_s": 1.0,
        "align_softness_s": 0.0,
        "align_max_s": 0.0,
        "shared": False,
      },
    }
  )
  config.update_from_flattened_dict(changes)
  return config


def make_detector(feature_config=SIGNAL, model=None, **changes):
  """A network that nobody trained, but that says much and forgets within the context."""
  config = make_config(feature_config, **changes)
  config.model.update(model or {})
  network = Network.from_config(config)
  shapes = jax.eval_shape(jax.vmap(network.init), jax.vmap(jax.random.key)(jnp.arange(1)))
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda leaf: 0.25 * rng.standard_normal(leaf.shape).astype(np.float32), shapes)
  calibration = {"thresholds": [0.9, 1.0], "offsets_s": [0.013, -0.02]}
  return detector.Detector(pretrained.Trained(config, network, variables, calibration))


@functools.cache
def named(name="convolutions"):
  """One of each for all tests, as what a network compiles is kept with it."""
  return make_detector(*NETWORKS[name])


@pytest.fixture(params=NETWORKS)
def trained(request):
  return named(request.param)


def bursts(trained, duration_s, seed=0):
  """Noise in bursts, so that there is something to find."""
  rng = np.random.default_rng(seed)
  num_samples = round(duration_s * trained.network.extractor.sample_rate_hz)
  loud = np.repeat(rng.random(-(-num_samples // 20)) < 0.2, 20)[:num_samples]
  return ((0.05 + 2 * loud) * rng.standard_normal(num_samples)).astype(np.float32)


def in_pieces(stream, signal, sizes):
  """Events, and the samples that had been pushed when each was told."""
  found, at, sizes = [], 0, iter(sizes)
  while at < len(signal):
    size = next(sizes)
    new = stream.push(signal[at : at + size])
    at += size
    found += [(event, min(at, len(signal))) for event in new]
  return found


def whole(trained, signal):
  rate_hz = trained.network.extractor.sample_rate_hz
  found = trained.detect(Recording("all", signal, rate_hz, {}))
  return sorted(
    (time_s, name, confidence)
    for name in CLASSES
    for time_s, confidence in zip(found.times_s[name], found.confidence[name], strict=True)
  )


def random_sizes(most, seed=0):
  rng = np.random.default_rng(seed)
  while True:
    yield int(rng.integers(0, most)) if rng.random() < 0.9 else 3 * most


def test_a_stream_finds_what_is_in_the_whole_however_it_is_cut(trained):
  signal = bursts(trained, 13.37)
  at_once = streaming.Stream(trained)
  expected = at_once.push(signal) + at_once.finish()
  for seed, most in enumerate((len(signal) // 200, len(signal) // 10)):
    stream = streaming.Stream(trained)
    found = [event for event, _ in in_pieces(stream, signal, random_sizes(most, seed))]
    assert sorted(found + stream.finish()) == sorted(expected)
  reference = whole(trained, signal)
  assert len(reference) == len(expected) > 20
  for one, other in zip(sorted(expected), reference, strict=True):
    # Blocks and chunks begin elsewhere, and what was before the context still counts a little.
    assert one.label == other[1]
    assert abs(one.time_s - other[0]) < 1e-3 and abs(one.confidence - other[2]) < 0.01


def test_events_come_within_the_latency(trained):
  signal, rate_hz = bursts(trained, 10.0), trained.network.extractor.sample_rate_hz
  stream = streaming.Stream(trained)
  found = in_pieces(stream, signal, iter(lambda: 1 if rate_hz == 100 else 40, None))
  late_s = np.array([pushed / rate_hz - event.time_s for event, pushed in found])
  assert len(late_s) > 10
  # Those beside stronger ones may wait longer.
  assert np.mean(late_s <= stream.latency_s + 1e-9) > 0.8
  assert late_s.min() > stream.latency.features_s + stream.latency.network_s - 0.03
  assert np.median(late_s) > 0.5 * stream.latency_s  # it says no more than it takes


def test_what_the_network_looks_ahead_is_found():
  # With a stride of three frames the convolutions see 1 + 6 frames ahead: three steps.
  expected_s = {"bidirectional": 1.0, "causal": 0.0, "convolutions": 0.09}
  for name, ahead_s in expected_s.items():
    assert streaming.Stream(named(name)).latency.network_s == pytest.approx(ahead_s)
  plain = make_detector(SIGNAL, {"conv_kernel": (7, 1)})  # sees 3 + 3 frames after its own
  assert streaming.Stream(plain).latency.network_s == pytest.approx(0.06)
  assert streaming.Stream(plain, ahead_s=0.02).latency.network_s == pytest.approx(0.02)


def test_memory_and_programs_do_not_grow():
  shapes = []

  class Scaled:
    extractor, time_stride, classes = features.SignalFrames(100.0), 1, ("hit",)

    def apply(self, weight, signal):
      shapes.append(signal.shape)
      return weight * signal

  network = Scaled()
  one = types.SimpleNamespace(
    config=make_config(SIGNAL),
    network=network,
    variables=np.ones(1, np.float32),
    calibration=types.SimpleNamespace(thresholds=[0.9], offsets_s=[0.0]),
  )
  stream, sizes = streaming.Stream(one), []
  signal = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
  num_found = 0
  for start in range(0, len(signal), 73):
    num_found += len(stream.push(signal[start : start + 73]))
    sizes.append(stream.size)
  assert num_found > 1_000 and max(sizes) < 400
  streaming.Stream(one).push(signal[:500])
  assert shapes == [(1, 210, 1), (1, 110, 1)]  # to see how far it looks ahead, and without


def test_the_end_of_a_stream():
  trained = named()
  stream = streaming.Stream(trained)
  assert stream.finish() == [] and stream.finish() == []
  with pytest.raises(ValueError, match="the stream is finished"):
    stream.push(np.zeros(3))
  short = bursts(trained, 0.11)
  stream = streaming.Stream(trained)
  assert [tuple(one)[1:2] for one in sorted(stream.push(short) + stream.finish())] == [
    one[1:2] for one in whole(trained, short)
  ]


@pytest.mark.parametrize(
  ("samples", "message"),
  [
    (np.zeros((4, 2)), r"shape \(4, 2\); expected \[N, 1\]"),
    (0.5, r"shape \(\); expected \[N, 1\]"),
    (np.array([0, np.nan]), "NaN or infinite"),
  ],
)
def test_bad_samples(samples, message):
  with pytest.raises(ValueError, match=message):
    streaming.Stream(named()).push(samples)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"data.conditioning.scaling": "robust"}, "data.conditioning.scaling is 'robust'"),
    ({"data.conditioning.bandpass_hz": (1.0, 4.0)}, r"data.conditioning.bandpass_hz is \(1.0, 4.0\)"),
    ({"predict.overlap": "fade"}, "predict.overlap is 'fade'"),
    ({"predict.rates": (0.9, 1.0)}, r"predict.rates are \(0.9, 1.0\)"),
    ({"features.kind": "reference_log_mel"}, "features.kind is 'reference_log_mel', whose levels"),
    ({"features.kind": "video"}, "features.kind is 'video'"),
  ],
)
def test_networks_that_need_the_whole_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    streaming.refuse_whole_recordings(make_config(SIGNAL, **changes))


@pytest.mark.parametrize("settings", [{"block_s": 0}, {"block_s": float("nan")}, {"ahead_s": -1}])
def test_bad_lengths(settings):
  name, value = next(iter(settings.items()))
  with pytest.raises(ValueError, match=f"{name} (is )?{value}"):
    streaming.Stream(named(), **settings)


def test_other_rates_are_resampled_where_recordings_are():
  pytest.importorskip("soxr")
  trained = make_detector(LOG_MEL, {"causal": True})
  with pytest.raises(ValueError, match="rate_hz is 16000; expected 8000"):
    streaming.Stream(trained, rate_hz=16_000)
  trained.config.data.conditioning = ConfigDict({"sample_rate_hz": 8_000})
  signal = np.repeat(bursts(trained, 6.0), 2)
  stream = streaming.Stream(trained, rate_hz=16_000)
  assert 0 < stream.latency.resampler_s < 0.2 and "resampler" in str(stream.latency)
  found = [event for event, _ in in_pieces(stream, signal, random_sizes(999))] + stream.finish()
  recording = Recording("all", signal, 16_000.0, {})
  expected = trained.detect(recording).times_s
  assert sum(map(len, expected.values())) > 20
  near = [np.abs(expected[one.label] - one.time_s).min() < 0.005 for one in found if len(expected[one.label])]
  assert len(near) == len(found) and np.mean(near) > 0.95  # the filters differ a little
  assert abs(len(found) - sum(map(len, expected.values()))) <= 1


def test_a_recording_of_a_lower_rate_is_warned_of(caplog):
  trained = make_detector(SIGNAL, {"causal": True})
  trained.config.data.conditioning = ConfigDict({"sample_rate_hz": 100.0})
  for rate_hz, said in ((200.0, False), (100.0, False), (50.0, True)):
    caplog.clear()
    trained.detect(Recording("take", np.zeros(400, np.float32), rate_hz, {}))
    assert ("'take' has 50 samples per second; the network expects 100" in caplog.text) is said


def as_bytes(signal, dtype="<i2"):
  scaled = np.round(np.clip(signal / 8, -1, 1) * 32767)
  return scaled.astype("<i2").tobytes() if dtype == "<i2" else signal.astype(dtype).tobytes()


class Pipe(io.BytesIO):
  """Gives an odd number of bytes at a time."""

  def read1(self, size=-1):
    return super().read1(min(size, 37))


@pytest.mark.parametrize("dtype", ["<i2", "<f4"])
def test_raw_samples_to_lines(dtype):
  trained = named()
  signal = bursts(trained, 6.0)
  out, log = io.StringIO(), io.StringIO()
  source = Pipe(as_bytes(signal, dtype) + b"?")
  predict_stream.predict_stream(
    trained, source, out, log, sample_format={"<i2": "s16le", "<f4": "f32le"}[dtype]
  )
  heard = signal if dtype == "<f4" else np.frombuffer(as_bytes(signal), "<i2") / np.float32(32768)
  stream = streaming.Stream(trained)
  expected = [f"{t:.6f},{name},{c:.6f}" for t, name, c in stream.push(heard) + stream.finish()]
  header, *lines = out.getvalue().splitlines()
  assert header == "time,label,confidence" and len(lines) > 3
  assert sorted(lines) == sorted(expected)
  latency, left = log.getvalue().splitlines()
  assert latency == "latency: 0.34 s (features 0.010, network 0.090, decoder 0.120, block 0.120)"
  assert left.startswith("1 bytes at the end")


def test_a_stream_of_one_sample_is_heard():
  trained, out, log = copy.copy(named()), io.StringIO(), io.StringIO()
  trained.calibration = evaluation.Calibration([0.01, 0.01], [0.0, 0.0])
  sample = np.full(1, 8, np.float32)  # two bytes: too few to tell a header by
  predict_stream.predict_stream(trained, io.BytesIO(as_bytes(sample)), out, log)
  stream = streaming.Stream(trained)
  expected = stream.push([32767 / 32768]) + stream.finish()
  assert len(out.getvalue().splitlines()) == 1 + len(expected) > 1
  assert "no whole sample" not in log.getvalue()


def test_lines_come_while_the_stream_goes_on():
  trained = named()
  lines_at = []
  out = io.StringIO()

  class Source(Pipe):
    def read1(self, size=-1):
      lines_at.append(out.getvalue().count("\n"))
      return super().read1(20)

  predict_stream.predict_stream(trained, Source(as_bytes(bursts(trained, 6.0))), out, io.StringIO())
  assert lines_at[0] == 1  # the header, before anything is read
  assert len(set(lines_at)) > 3


@pytest.mark.parametrize("begin", [b"RIFF\x24\x00\x00\x00WAVE", b"fLaC", b"ID3\x04"])
def test_files_are_refused(begin):
  with pytest.raises(ValueError, match="expected raw samples, as `ffmpeg -i FILE -f s16le -ac 1 -ar 100 -`"):
    predict_stream.predict_stream(
      make_detector(), io.BytesIO(begin + bytes(99)), io.StringIO(), io.StringIO()
    )


def run(*arguments, **settings):
  return CliRunner().invoke(cli.cli, ["predict", *map(str, arguments)], **settings)


@pytest.mark.parametrize("how", ["--stream", "-"])
def test_the_command(how, monkeypatch):
  trained = named()
  monkeypatch.setattr(detector, "chosen", lambda model, checkpoint: trained)
  signal = bursts(trained, 6.0)
  result = run(how, "--model", "drums", "--ahead-ms", 30, "--block-ms", 60, input=as_bytes(signal))
  assert result.exit_code == 0, result.output
  assert "latency: " in result.output and "network 0.030, decoder 0.120, block 0.060" in result.output
  assert "time,label,confidence\n" in result.output and ",KD," in result.output
  result = run("--stream", "--model", "drums", input=b"RIFF" + bytes(40))
  assert result.exit_code == 1 and "Error: standard input begins with 'RIFF'" in result.output


@pytest.mark.parametrize(("error", "code"), [(BrokenPipeError, 0), (KeyboardInterrupt, 130)])
def test_the_command_ends_without_a_word(error, code, monkeypatch):
  def fail(*_, **__):
    raise error

  monkeypatch.setattr(detector, "chosen", lambda model, checkpoint: None)
  monkeypatch.setattr(predict_stream, "predict_stream", fail)
  monkeypatch.setattr(predict_stream, "_silence", lambda out: None)
  result = run("--stream", "--model", "drums", input=b"")
  assert result.exit_code == code and result.output == ""


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--stream", "--out", "x"), "--out is for files"),
    (("--stream", "--no-plot"), "--plot is for files"),
    (("--stream", "--format", "tsv"), "--format is for files"),
    (("-", "--overwrite"), "--overwrite is for files"),
    (("--stream", "--skip-existing"), "--skip-existing is for files"),
    (("a.wav", "--rate-hz", "16000"), "--rate-hz is for streams"),
    (("a.wav", "--ahead-ms", "100"), "--ahead-ms is for streams"),
    (("--stream", "a.wav"), "expected no files, found a.wav"),
    (("-", "a.wav"), "expected no files, found a.wav"),
    ((), "Missing argument 'FILES...'"),
  ],
)
def test_options_that_do_not_go_together(arguments, message):
  result = run(*arguments, "--model", "drums")
  assert result.exit_code == 2 and message in result.output
