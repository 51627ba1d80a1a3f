"""The benchmark on small sizes: every way to compute the same gives the same, and the figures are written."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark, huge_pages
from experiments.benchmarks import count_loss, features, pages, piano, roofline, timing, training
from softloc_jax import data
from softloc_jax.network import Network


def test_all_ways_to_the_count_loss_agree():
  shape = (6, 20, 5)
  logits, counts = count_loss.batch(shape)
  methods = count_loss.jax_methods(shape[2])
  del methods["cross entropy"]
  if by_torch := count_loss.torch_method(shape):
    methods["torch"] = by_torch
  expected_value, expected = methods["scan"](logits, counts)
  for name, method in methods.items():
    value, gradient = method(logits, counts)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(gradient, expected, atol=1e-5, err_msg=name)


def test_all_that_is_timed_on_accelerators_is_checked_before():
  count_loss.check((16, 20, 5), interpret=True)


def test_losses_of_clips_agree():
  logits = 3 * jax.random.normal(jax.random.key(0), (2, 20, 3)) - 2
  counts = jnp.array([[0, 2, 5], [1, 5, 3]])
  methods = count_loss.clip_methods(5, interpret=True)
  expected_value, expected = methods["count_nll"](logits, counts)
  value, gradient = methods["contour in one kernel"](logits, counts)
  np.testing.assert_allclose(value, expected_value, rtol=1e-6)
  np.testing.assert_allclose(gradient, expected, atol=5e-6)


def test_calls_in_one_program_follow_each_other():
  found = timing.repeated(jax.value_and_grad(lambda x, scale: jnp.sum(scale * x * x)), 3)
  value, x = found(jnp.ones(4), 2.0)
  expected, total = np.ones(4), 0.0
  for _ in range(3):
    total, expected = total + 2 * np.sum(expected**2), expected - 4e-6 * expected
  np.testing.assert_allclose([value, *x], [total, *expected], rtol=1e-6)


def test_both_ways_to_the_distribution_agree():
  logits = count_loss.batch((1, 30, 0))[0][0]
  by_us, by_scipy = (method(logits) for method in count_loss.distribution_methods(30).values())
  np.testing.assert_allclose(jnp.exp(by_us), by_scipy, rtol=1e-4, atol=1e-12)


def test_functions_are_timed_in_turns():
  order = []
  functions = {name: lambda x, name=name: order.append(name) for name in ("a", "b")}
  found = timing.compare(functions, 0, repeats=3, least_s=0)
  assert list(found) == ["a", "b"] and all(len(one.seconds) == 3 for one in found.values())
  assert order[-12:] == ["a", "a", "b", "b"] * 3  # each after a call that warms up
  assert found["a"].memory_bytes is None


def test_memory_of_a_jitted_function():
  found = timing.compare({"sum": jax.jit(lambda x: jnp.sum(jnp.sin(x)))}, jnp.ones(100), repeats=1)
  assert found["sum"].memory_bytes >= 0 and found["sum"].median_s > 0 and found["sum"].spread_s == 0


def test_the_step_in_torch_is_ours():
  pytest.importorskip("torch")
  config = training.small_drums()
  config.data.num_train, config.batch_size = 4, 4
  network = Network.from_config(config)
  step, state = training.trainer(config, network)
  batches = training.batches_of(config, network, data.load(config.data)["train"])
  batch = next(batches)
  batches.close()
  theirs = training.in_torch(config, network, state, batch)
  _, scalars = step(state, batch)
  np.testing.assert_allclose(theirs(), [scalars["loss"][0], scalars["grad_norm"][0]], rtol=1e-4)


def test_the_papers_size_is_left_to_accelerators():
  assert piano.measure(repeats=1) == {}


@pytest.mark.slow
def test_a_piano_step_is_measured_beside_its_loss():
  (timings,) = piano.measure(repeats=1, size="cpu").values()
  assert list(timings) == ["step", "SoftLoc, value and gradient"]
  assert all(one.operations > 0 and one.moved_bytes > 0 for one in timings.values())
  assert timings["SoftLoc, value and gradient"].median_s < timings["step"].median_s


@pytest.mark.slow
def test_features_are_measured_beside_librosa():
  groups = features.measure(repeats=1, minutes=1 / 3)
  (timings,) = groups.values()
  ours, theirs = "on the device", "librosa"
  assert list(timings) == [f"{who}{how}" for who in (ours, theirs) for how in ("", ", one chunk at a time")]


@pytest.mark.slow
@pytest.mark.skipif(not huge_pages.available(), reason="the C library has one kind of pages")
def test_steps_are_measured_in_processes_with_either_kind_of_pages(monkeypatch):
  (timings,) = pages.measure(repeats=1, tasks={"golf": pages.golf_batch}).values()
  assert list(timings) == ["huge pages", "small pages"]
  assert all(one.median_s > 0 for one in timings.values())
  monkeypatch.setattr(huge_pages, "available", lambda: False)
  assert pages.measure(repeats=1) == {}


@pytest.fixture
def sections():
  one = timing.Timing((0.002, 0.004, 0.003), 2_000_000, moved_bytes=10_000_000, operations=1e6)
  return {"count_loss": {"2 x 3 x 1": {"contour": one, "scan": timing.Timing((0.03, 0.03), None)}}}


ROOF = roofline.Roof(bytes_per_s=1e10, operations_per_s=1e11)  # 10 MB take a millisecond


def test_ratios_are_of_medians(sections):
  text = benchmark.markdown({**sections, "piano": {}}, {"device": "cpu"}, ROOF)
  assert "| 2 x 3 x 1 | contour | 3.00 ± 0.50 ms | 1.00 | 3.0 | 2.0 MB |" in text
  assert "| 2 x 3 x 1 | scan | 30.00 ± 0.00 ms | 10.00 | - | - |" in text
  assert text.startswith("device cpu\nIt copies 10.0 GB and multiplies 100 GFLOP") and "piano" not in text


def test_the_roofline_is_that_of_what_takes_longer():
  by_bytes = timing.Timing((1.0,), moved_bytes=20_000_000_000, operations=1e11)
  by_operations = timing.Timing((1.0,), moved_bytes=0, operations=5e11)
  assert (ROOF.floor_s(by_bytes), ROOF.floor_s(by_operations)) == (2.0, 5.0)
  assert ROOF.floor_s(timing.Timing((1.0,))) is None
  measured = roofline.measure(repeats=1, size=128)
  assert measured.bytes_per_s > 0 and measured.operations_per_s > 0


def test_what_a_function_moves_and_computes_is_counted():
  found = timing.counted(jax.jit(lambda x, y: x @ y), (jnp.ones((8, 16)), jnp.ones((16, 4))))
  assert found["operations"] == 2 * 8 * 16 * 4
  assert found["moved_bytes"] == 4 * (8 * 16 + 16 * 4 + 8 * 4)
  assert timing.counted(sum, ([1],)) == {}


def test_a_section_that_fails_loses_none_before_it(tmp_path, sections, monkeypatch):
  def fail(repeats):
    raise RuntimeError("out of memory")

  monkeypatch.setattr(benchmark, "SECTIONS", {"a": lambda _: sections["count_loss"], "b": fail})
  monkeypatch.setattr(benchmark.roofline, "measure", lambda: ROOF)
  for flag, value in (("_ONLY", ["a", "b"]), ("_OUT", str(tmp_path)), ("_REPEATS", 1)):
    monkeypatch.setattr(benchmark, flag, types.SimpleNamespace(value=value))
  with pytest.raises(RuntimeError, match="out of memory"):
    benchmark.main(["benchmark"])
  assert "contour" in json.loads((tmp_path / "benchmark.json").read_text())["sections"]["a"]["2 x 3 x 1"]
  assert "### a" in (tmp_path / "benchmark.md").read_text()


def test_json_holds_every_measurement(sections):
  found = json.loads(benchmark.to_json(sections, timing.machine(), ROOF))
  assert found["sections"]["count_loss"]["2 x 3 x 1"]["contour"]["seconds"] == [0.002, 0.004, 0.003]
  assert found["machine"]["platform"] == jax.default_backend() and found["machine"]["cores"] >= 1
