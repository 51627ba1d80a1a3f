"""Chunks of a recording against one pass over the whole of it."""

import time
import types

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest
import several_devices

from softloc_jax import features, input_pipeline, predict
from softloc_jax.network import Network
from softloc_jax.predict import Predictor

SIGNAL = {"kind": "signal", "sample_rate_hz": 100.0}
LOG_MEL = {
  "kind": "log_mel",
  "sample_rate_hz": 8_000,
  "hop_samples": 80,
  "window_samples": 200,
  "num_mels": 6,
}
CONVOLUTIONS = {"conv_features": (4, 4), "conv_kernel": (5, 1), "recurrent": None}  # sees 4 frames each side


def make_network(feature_config=SIGNAL, **model):
  return Network.from_config(
    ConfigDict(
      {
        "features": feature_config,
        "window": {"min_s": 1.0, "max_s": 1.0, "context_s": 0.0, "segments": False, "border_search_s": 0.0},
        "data": {"classes": ("KD", "SD")},
        "omega": 0.8,
        "model": {"name": "crnn"} | CONVOLUTIONS | model,
      }
    )
  )


def random_params(network, num_replicas=1):
  """Parameters, biases too, that are all unlike each other."""
  params = jax.eval_shape(jax.vmap(network.init), jax.vmap(jax.random.key)(jnp.arange(num_replicas)))
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda leaf: 0.4 * rng.standard_normal(leaf.shape).astype(np.float32), params)


def random_signal(num_samples, seed=0):
  return np.random.default_rng(seed).standard_normal(num_samples).astype(np.float32)


def whole(network, params, signal):
  """Logits of one pass, `[R, T, C]`."""
  total = network.extractor.num_frames(len(signal))
  cut = input_pipeline.cut_signal(signal, *network.extractor.sample_range(0, total))
  return np.asarray(jax.jit(jax.vmap(network.apply, (0, None)))(params, cut[None]))[:, 0]


def moving_sum(reach):
  """A network that sums `reach` samples each side, and remembers for what shapes it was compiled."""
  shapes = []

  def apply(weight, signal):
    shapes.append(signal.shape)
    kernel = jnp.ones(2 * reach + 1)
    return weight * jax.vmap(lambda x: jnp.convolve(x, kernel, mode="same"))(signal[..., 0])[..., None]

  extractor = features.SignalFrames(100.0)
  return types.SimpleNamespace(extractor=extractor, apply=apply, shapes=shapes, time_stride=1)


@pytest.mark.parametrize("num_samples", [1, 2, 13, 64, 103])
@pytest.mark.parametrize("chunk", [1, 7, 32, 103, 200])
def test_any_chunk_gives_what_the_whole_gives_if_the_context_reaches_far_enough(num_samples, chunk):
  signal = np.random.default_rng(0).integers(0, 100, num_samples).astype(np.float32)
  predictor = Predictor(moving_sum(3), chunk_frames=chunk, context_frames=3, batch_size=4)
  found = predictor.logits(np.array([1.0, 2.0]), signal)
  expected = np.convolve(np.pad(signal, 3), np.ones(7), mode="valid")
  assert found.shape == (2, num_samples, 1)
  np.testing.assert_array_equal(found[..., 0], [expected, 2 * expected])


def less_mean(time_stride=1):
  """A network that a chunk filled with zeros would disturb from end to end."""

  def apply(weight, signal):
    steps = signal.reshape(*signal.shape[:2], -1).mean(axis=-1)
    return weight * (steps - steps.mean(axis=1, keepdims=True))[..., None]

  return types.SimpleNamespace(
    extractor=features.SignalFrames(100.0), apply=apply, shapes=[], time_stride=time_stride
  )


@pytest.mark.parametrize("num_samples", [1, 9, 10, 11, 20, 27])
def test_without_context_nothing_is_filled_with_zeros(num_samples):
  signal = 5 + random_signal(num_samples)
  found = Predictor(less_mean(), chunk_frames=10, context_frames=0).logits(np.ones(2), signal)
  assert found.shape == (2, num_samples, 1)
  for first in range(0, num_samples, 10):
    chunk = signal[min(first, max(num_samples - 10, 0)) :][:10]
    expected = (chunk - chunk.mean())[-len(signal[first : first + 10]) :]
    np.testing.assert_allclose(found[1, first : first + 10, 0], expected, atol=1e-5)


def test_without_context_chunks_stay_on_the_steps_of_a_stride():
  predictor = Predictor(less_mean(time_stride=4), chunk_frames=10, context_frames=0)
  assert [predictor._chunks(total)[0] for total in (3, 9, 12, 13)] == [4, 12, 12, 12]
  assert predictor._chunks(30)[1].tolist() == [0, 12, 20]  # the last one ends at 32


def test_too_little_context_shows():
  signal = random_signal(103)
  found = Predictor(moving_sum(3), chunk_frames=10, context_frames=2).logits(np.ones(1), signal)
  wrong = np.flatnonzero(
    np.abs(found[0, :, 0] - np.convolve(np.pad(signal, 3), np.ones(7), mode="valid")) > 1e-4
  )
  assert {9, 10, 19, 20} <= set(wrong) <= {t for t in range(103) if t % 10 in (0, 9)}


def test_what_is_computed_with_does_not_grow_with_the_recording():
  network = moving_sum(3)
  predictor = Predictor(network, chunk_frames=10, context_frames=3, batch_size=6)
  for num_samples in (5, 10, 41, 60, 400, 1_234):
    predictor.logits(np.ones(1), random_signal(num_samples))
  # Half batches, as two are computed at a time, and smaller ones for what is left, by powers of two; each
  # compiled once.
  assert sorted(network.shapes) == [(1, 16, 1), (2, 16, 1), (3, 16, 1)]


def test_batches_keep_their_places_whichever_is_done_first(monkeypatch):
  signal = random_signal(103)
  predictor = Predictor(moving_sum(3), chunk_frames=10, context_frames=3, batch_size=2)
  expected = predictor.logits(np.ones(1), signal)
  compute, done = predictor._batch, []

  def slow_at_first(*arguments):
    starts = arguments[-1]
    time.sleep(0.1 if starts[0] == 10 else 0)
    result = compute(*arguments)
    done.append(int(starts[0]))
    return result

  monkeypatch.setattr(predictor, "_batch", slow_at_first)
  np.testing.assert_array_equal(predictor.logits(np.ones(1), signal), expected)
  assert done[0] == 0 and done.index(10) > done.index(20), "two batches at a time, after the first"


def test_a_network_on_several_devices_computes_one_batch_at_a_time():
  # Two at a time may wait for each other: the sum over a dimension that is spread needs all devices.
  program = """
import types
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from softloc_jax import features, predict

def apply(weights, signal):
  return (signal * weights).sum(-1, keepdims=True)

network = types.SimpleNamespace(extractor=features.SignalFrames(100.0), apply=apply, time_stride=1)
predictor = predict.Predictor(network, chunk_frames=1, context_frames=0, batch_size=2)
mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
weights = np.arange(64, dtype=np.float32)[None]
spread = jax.device_put(weights, NamedSharding(mesh, PartitionSpec(None, "x")))
assert predict._at_a_time(weights) == 2 and predict._at_a_time(spread) == 1
signal = np.ones(400, np.float32)
np.testing.assert_array_equal(predictor.logits(spread, signal), predictor.logits(weights, signal))
"""
  several_devices.run(program, 4)


def test_what_a_batch_raises_is_raised(monkeypatch):
  predictor = Predictor(moving_sum(3), chunk_frames=10, context_frames=3, batch_size=2)

  compute = predictor._batch

  def fail(*arguments):
    if arguments[-1][0] == 20:
      raise MemoryError("at frame 20")
    return compute(*arguments)

  monkeypatch.setattr(predictor, "_batch", fail)
  with pytest.raises(MemoryError, match="at frame 20"):
    predictor.logits(np.ones(1), random_signal(103))


@pytest.mark.parametrize(("feature_config", "chunk"), [(SIGNAL, 17), (LOG_MEL, 50)])
def test_convolutions_do_not_feel_the_chunks(feature_config, chunk):
  network = make_network(feature_config)
  params = random_params(network)
  num_frames = 133
  hop = feature_config.get("hop_samples", 1)
  signal = random_signal(num_frames * hop - hop // 3)
  predictor = Predictor(network, chunk_frames=chunk, context_frames=4)
  found, expected = predictor.logits(params, signal), whole(network, params, signal)
  assert found.shape == expected.shape == (1, num_frames, 2)
  np.testing.assert_allclose(found[:, 4:-4], expected[:, 4:-4], atol=1e-5)
  assert np.ptp(expected) > 0.1


@pytest.mark.slow
def test_an_hour_of_sound_is_as_one_pass():
  network = make_network(LOG_MEL)
  params = random_params(network)
  signal = random_signal(3600 * 8_000)
  config = {"chunk_s": 10.0, "context_s": 0.04, "batch_size": 8}
  found = Predictor.from_config(network, config).logits(params, signal)
  assert found.shape == (1, 360_000, 2)
  np.testing.assert_allclose(found[:, 4:-4], whole(network, params, signal)[:, 4:-4], atol=1e-5)


def test_chunks_fall_on_the_steps_of_a_stride():
  network = make_network(time_stride=3)
  params = random_params(network)
  signal = random_signal(100)
  predictor = Predictor(network, chunk_frames=16, context_frames=10)
  found, expected = predictor.logits(params, signal), whole(network, params, signal)
  np.testing.assert_allclose(found[:, 12:-12], expected[:, 12:-12], atol=1e-5)
  # It matters: a pass that starts one frame later is another one.
  shifted = whole(network, params, signal[1:])
  assert np.abs(shifted[:, 12:-12] - expected[:, 13:-12]).max() > 0.01


def test_recurrent_layers_forget_and_replicas_do_not_mix():
  network = make_network(recurrent="gru", recurrent_units=6)
  params = random_params(network, num_replicas=2)
  signal = random_signal(333)
  predictor = Predictor(network, chunk_frames=60, context_frames=50)
  found, expected = predictor.logits(params, signal), whole(network, params, signal)
  np.testing.assert_allclose(found[:, 50:-50], expected[:, 50:-50], atol=1e-3)
  assert np.abs(found[0] - found[1]).max() > 0.1
  swapped = predictor.logits(jax.tree.map(lambda leaf: leaf[::-1], params), signal)
  np.testing.assert_allclose(swapped[::-1], found, atol=1e-5)


def test_causal_networks():
  network = make_network(causal=True, recurrent="gru", recurrent_units=6)
  params = random_params(network)
  signal = random_signal(250)
  predictor = Predictor(network, chunk_frames=60, context_frames=50)
  found = predictor.logits(params, signal)
  np.testing.assert_allclose(found[:, 50:], whole(network, params, signal)[:, 50:], atol=1e-3)
  later = np.concatenate([signal[:130], random_signal(120, seed=1)])
  np.testing.assert_array_equal(predictor.logits(params, later)[:, :130], found[:, :130])


def test_from_config_takes_seconds():
  network = moving_sum(1)
  config = ConfigDict({"chunk_s": 0.5, "context_s": 0.1, "batch_size": 2})
  Predictor.from_config(network, config).logits(np.ones(1), random_signal(7))
  assert network.shapes == [(1, 70, 1)]


@pytest.mark.parametrize("changes", [{"chunk_frames": 0}, {"context_frames": -1}, {"batch_size": 0}])
def test_settings_that_cannot_work_are_refused(changes):
  name, value = next(iter(changes.items()))
  with pytest.raises(ValueError, match=rf"{name} (is )?{value}"):
    Predictor(moving_sum(1), **{"chunk_frames": 5, "context_frames": 0} | changes)


def test_faded_chunks_add_up_to_the_whole_where_the_context_covers_the_memory():
  network = moving_sum(3)
  signal = random_signal(95)
  cut = Predictor(network, chunk_frames=10, context_frames=4).logits(np.ones(1), signal)
  faded = Predictor(network, chunk_frames=20, context_frames=10, overlap="fade").logits(np.ones(1), signal)
  assert faded.shape == cut.shape
  # The chunks' ends do not see 3 frames; there the neighbour has most of the weight, but not all.
  np.testing.assert_allclose(faded, cut, atol=1.5)
  middle = slice(13, 17)  # no other chunk reaches here with an end
  np.testing.assert_allclose(faded[:, middle], cut[:, middle], rtol=1e-5, atol=1e-5)


def test_fading_keeps_a_constant():
  network = moving_sum(0)
  found = Predictor(network, chunk_frames=8, context_frames=3, overlap="fade").logits(
    np.ones(1), np.ones(50, np.float32)
  )
  np.testing.assert_allclose(found, found[0, 0, 0], rtol=1e-6)


def test_probabilities_of_copies_at_other_rates_keep_events_in_place():
  """A click predicted by a network that answers it: copies put it where it is, within a frame."""
  network = moving_sum(0)
  signal = np.full(200, -20.0, np.float32)
  signal[80] = 20.0
  for rates in ((1.0,), (0.8, 1.0, 1.25)):
    probs = Predictor(network, chunk_frames=50, context_frames=5, rates=rates).probabilities(
      np.ones(1), signal
    )
    assert probs.shape == (1, 200, 1)
    assert abs(np.average(np.arange(200), weights=probs[0, :, 0]) - 80) < 0.5


@pytest.mark.parametrize("rate", [0.8, 0.9, 1.0, 1.25, 2.0])
def test_merging_a_rate_keeps_the_expected_number_of_events(rate):
  probs = np.random.default_rng(0).uniform(0, 0.3, (2, round(300 / rate), 3))
  merged = predict.merge_rates([probs], [rate], 300)
  assert merged.shape == (2, 300, 3)
  np.testing.assert_allclose(merged.sum(1), probs.sum(1), rtol=1e-4)
  centre = np.average(np.arange(300), weights=merged[0, :, 0])
  expected = np.average(np.arange(probs.shape[1]), weights=probs[0, :, 0]) * rate
  assert abs(centre - expected) < 0.3


@pytest.mark.parametrize(
  "settings, message",
  [
    ({"overlap": "add"}, "overlap is 'add'"),
    ({"overlap": "fade", "context_frames": 6}, "at most half of chunk_frames"),
    ({"rates": ()}, "rates are"),
    ({"rates": (1.0, 0.0)}, "rates are"),
  ],
)
def test_bad_overlap_or_rates(settings, message):
  with pytest.raises(ValueError, match=message):
    Predictor(moving_sum(0), **{"chunk_frames": 10, "context_frames": 2} | settings)


@pytest.mark.slow
def test_devices_that_hold_copies_of_a_network_share_the_chunks_of_a_recording():
  program = """
import types
import jax, numpy as np
from jax.sharding import AxisType
from configs.weak import drums
from softloc_jax import data_parallel, features, predict
from softloc_jax.network import Network
from small_config import small

shapes = []

def apply(weights, signal):
  shapes.append(signal.shape)
  return (signal * weights).sum(-1, keepdims=True)

network = types.SimpleNamespace(extractor=features.SignalFrames(100.0), apply=apply, time_stride=1)
mesh = data_parallel.make_mesh()
assert mesh.size == 4
weights = np.arange(1.0, 4.0, dtype=np.float32)[:, None]  # three replicas
copied = jax.device_put(weights, data_parallel.everywhere(mesh))
assert data_parallel.mesh_of(copied) == mesh
for num_samples in (3, 25, 400):
  for batch_size in (1, 5, 16):
    predictor = predict.Predictor(network, chunk_frames=10, context_frames=2, batch_size=batch_size)
    shapes.clear()
    signal = np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    found = predictor.logits(copied, signal)
    assert all(shape[0] % 4 == 0 for shape in shapes), shapes
    np.testing.assert_array_equal(found, weights[:, None] * signal[:, None])

config = small(drums.get_config("synthetic"))
network = Network.from_config(config)
predictor = predict.Predictor.from_config(network, config.predict)
variables = jax.vmap(network.init)(jax.random.key(0)[None])
copied = jax.device_put(variables, data_parallel.everywhere(mesh))
samples = network.extractor.sample_range(0, predictor.chunk_frames + 2 * predictor.context_frames)[1]
batch = jax.device_put(np.ones((8, samples, 1), np.float32), data_parallel.split(mesh))
program = predictor._apply.lower(copied, batch, mesh).compile()
assert " fft(" in program.as_text() and "all-" not in program.as_text()
assert not program.output_shardings.is_fully_replicated

signal = np.random.default_rng(0).standard_normal((50_000, 1)).astype(np.float32)
expected = predictor.logits(variables, signal)
for mesh in (mesh, jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,))):
  copied = jax.device_put(variables, data_parallel.everywhere(mesh))
  np.testing.assert_allclose(predictor.logits(copied, signal), expected, atol=1e-4)
"""
  several_devices.run(program, 4)
