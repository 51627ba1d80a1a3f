"""The losses as torch sees them, against the JAX functions and a recursion written in torch."""

import doctest
import importlib
import inspect
import pathlib
import re
import sys

import jax.numpy as jnp
from losses_test import CASES, LENGTHS, compiled, make_batch
import numpy as np
import pytest

from softloc_jax import losses

REPO = pathlib.Path(__file__).resolve().parents[1]


def test_a_missing_torch_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "torch", None)
  monkeypatch.delitem(sys.modules, "softloc_jax.torch", raising=False)
  with pytest.raises(ImportError, match=r"softloc_jax\.torch needs torch: pip install softloc-jax\[torch\]"):
    importlib.import_module("softloc_jax.torch")


torch = pytest.importorskip("torch", reason="torch is not installed: pip install softloc-jax[torch]")

from softloc_jax import torch as bridge  # noqa: E402


def tensors(batch):
  logits, target, where = (torch.tensor(np.asarray(part)) for part in batch)
  return logits.requires_grad_(), target, where


def test_every_loss_is_there():
  for name in {case.loss.__name__ for case in CASES.values()}:
    theirs, ours = (inspect.signature(getattr(module, name)) for module in (losses, bridge))
    assert list(ours.parameters) == list(theirs.parameters)
    assert ours.parameters["reduce_fn"].default is torch.mean
    assert getattr(bridge, name).__doc__ == getattr(losses, name).__doc__


def test_examples():
  assert doctest.testmod(bridge).failed == 0 and doctest.testmod(bridge).attempted > 5


@pytest.mark.parametrize(
  "name", ["count_nll", "softloc", "softmax_cross_entropy", "cross_entropy", "shift_tolerant"]
)
def test_values_and_gradients_of_jax(name):
  case, batch = CASES[name], make_batch(name)
  expected, gradient = compiled(name)(*batch)
  logits, target, where = tensors(batch)
  values = getattr(bridge, case.loss.__name__)(logits, target, where=where, reduce_fn=None, **case.arguments)
  assert values.dtype == torch.float32 and values.requires_grad
  values.sum().backward()
  np.testing.assert_allclose(values.detach(), expected, rtol=1e-5, atol=2e-7)
  np.testing.assert_allclose(logits.grad, gradient, rtol=1e-4, atol=1e-6)


def test_half_precision_is_computed_in_float32():
  batch = make_batch("count_nll")
  logits, counts, where = tensors(batch)
  logits = logits.detach().bfloat16().requires_grad_()
  values = bridge.count_nll(logits, counts.double(), max_count=11, where=where, reduce_fn=None)
  values.sum().backward()
  assert values.dtype == torch.float32 and logits.grad.dtype == torch.bfloat16
  expected, gradient = compiled("count_nll")(logits.detach().float().numpy(), *batch[1:])
  np.testing.assert_allclose(values.detach(), expected, rtol=2e-5)
  np.testing.assert_allclose(logits.grad.float(), gradient, rtol=2**-7, atol=1e-6)


def test_double_precision_is_kept():
  """Though JAX is set to float32."""
  case, batch = CASES["softloc"], make_batch("softloc")
  logits, labels, where = tensors(batch)
  found = bridge.softloc(logits.detach().double(), labels, where=where, reduce_fn=None, **case.arguments)
  assert found.dtype == torch.float64
  for values, x, y, length in zip(found, *batch[:2], LENGTHS, strict=True):
    exact = case.naive(x[:length].astype(np.float64), y[:length].astype(np.float64), **case.arguments)
    np.testing.assert_allclose(values, exact, rtol=1e-12)


def test_other_types_of_counts_and_masks():
  logits, counts, where = tensors(make_batch("count_nll"))
  expected = bridge.count_nll(logits, counts, max_count=4, where=where)
  for same in ((counts.long(), where.numpy()), (counts.tolist(), where.to(torch.uint8))):
    found = bridge.count_nll(logits, same[0], max_count=torch.tensor(4), where=same[1])
    torch.testing.assert_close(found, expected)


def count_nll_in_torch(logits, counts, max_count):
  """`[B, T, C], [B, C] -> [B, C]`: the recursion over frames, in log space, by torch alone."""
  batch_size, num_frames, num_classes = logits.shape
  never = torch.full((batch_size, num_classes, 1), -1e30, dtype=logits.dtype)
  log_pmf = torch.cat([torch.zeros_like(never)] + [never] * max_count, dim=-1)
  for t in range(num_frames):
    log_p, log_q = (torch.nn.functional.logsigmoid(sign * logits[:, t, :, None]) for sign in (1, -1))
    stays = torch.cat([log_pmf[..., :-1] + log_q, log_pmf[..., -1:]], dim=-1)
    moves = torch.cat([never, log_pmf[..., :-1] + log_p], dim=-1)
    log_pmf = torch.logaddexp(stays, moves)
  return -log_pmf.gather(-1, counts[..., None].clamp(max=max_count))[..., 0]


@pytest.mark.parametrize(
  ("shape", "dtype", "precision"),
  [((3, 40, 2), torch.float64, 1e-12), ((1, 5, 1), torch.float32, 1e-6), ((2, 200, 3), torch.float32, 1e-4)],
)
def test_count_loss_against_a_recursion_in_torch(shape, dtype, precision):
  generator = torch.Generator().manual_seed(0)
  logits = torch.randn(shape, generator=generator, dtype=dtype) * 2 - 1
  counts = torch.randint(0, 6, (shape[0], shape[2]), generator=generator)
  gradients, values = [], []
  for loss in (bridge.count_nll, count_nll_in_torch):
    x = logits.clone().requires_grad_()
    settings = {"reduce_fn": None} if loss is bridge.count_nll else {}
    value = loss(x, counts, max_count=4, **settings)
    (value * torch.arange(1, shape[2] + 1)).mean().backward()
    values.append(value.detach())
    gradients.append(x.grad)
  torch.testing.assert_close(*values, rtol=precision, atol=precision)
  torch.testing.assert_close(*gradients, rtol=precision, atol=precision)


def test_derivatives_of_first_and_second_order():
  """By torch's own finite differences; labels, alpha and softness have gradients too."""
  generator = torch.Generator().manual_seed(1)
  logits = torch.randn(1, 6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
  labels = (torch.rand(1, 6, 2, generator=generator) < 0.4).double().requires_grad_()
  weights = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.3, 1.5)]

  counts = labels.detach().sum(1)

  def loss(logits, labels, alpha, softness):
    return bridge.softloc(logits, labels, softness=softness, alpha=alpha, counts=counts, max_count=3)

  assert torch.autograd.gradcheck(loss, (logits, labels, *weights), fast_mode=True)

  def only_logits(logits):
    return loss(logits, labels.detach(), 0.3, 1.5)

  assert torch.autograd.gradgradcheck(only_logits, (logits,), fast_mode=True)


def test_functions_whose_arguments_have_no_names():
  x = torch.tensor([0.0, 1.0], requires_grad=True)
  y = bridge.wrap(jnp.exp)(x)
  y.sum().backward()
  torch.testing.assert_close(y, x.exp())
  torch.testing.assert_close(x.grad, x.detach().exp())


@pytest.mark.parametrize("kind", ["transposed", "every other", "expanded", "unaligned"])
def test_memory_of_any_layout(kind):
  plain = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(2))
  counts = torch.tensor([[1, 0, 2], [3, 9, 1]])
  if kind == "transposed":
    base = plain.transpose(1, 2).contiguous().requires_grad_()
    logits = base.transpose(1, 2)
  elif kind == "every other":
    base = plain.repeat_interleave(2, dim=1).requires_grad_()
    logits = base[:, ::2]
  elif kind == "expanded":
    base = plain[:, :1].clone().requires_grad_()
    logits, plain = base.expand(2, 9, 3), plain[:, :1].expand(2, 9, 3)
  else:
    base = torch.cat([torch.zeros(1), plain.ravel()]).requires_grad_()
    logits = base[1:].view(2, 9, 3)
  value = bridge.count_nll(logits, counts, max_count=9)
  value.backward()
  plain = plain.contiguous().requires_grad_()
  expected = bridge.count_nll(plain, counts, max_count=9)
  expected.backward()
  torch.testing.assert_close(value, expected)
  torch.testing.assert_close(base.grad.sum(), plain.grad.sum())
  assert base.grad.shape == base.shape


def test_contiguous_tensors_are_not_copied():
  tensor = torch.zeros(64, 64)
  assert bridge._to_jax(tensor).unsafe_buffer_pointer() == tensor.data_ptr()
  array = jnp.arange(4096.0) + 1
  assert bridge._to_torch(array, tensor.device).data_ptr() == array.unsafe_buffer_pointer()


def test_reductions():
  logits, counts, where = tensors(make_batch("count_nll"))
  arguments = {"max_count": 4, "where": where}
  each = bridge.count_nll(logits, counts, reduce_fn=None, **arguments)
  assert each.shape == (3, 2)
  assert bridge.count_nll(logits, counts, **arguments) == each.mean()
  for reduce_fn, expected in (("mean", each.mean()), ("sum", each.sum()), (torch.max, each.max())):
    assert bridge.count_nll(logits, counts, reduce_fn=reduce_fn, **arguments) == expected
  with pytest.raises(ValueError, match="reduce_fn is 'none'; expected 'mean', 'sum', a function of a tensor"):
    bridge.count_nll(logits, counts, reduce_fn="none", **arguments)


def test_an_impossible_count_teaches_nothing():
  logits = torch.zeros(2, 4, 1, requires_grad=True)
  loss = bridge.count_nll(logits, torch.tensor([[9.0], [1.0]]), max_count=9)
  assert loss.item() == np.inf
  loss.backward()
  assert (logits.grad[0] == 0).all() and torch.isfinite(logits.grad).all() and logits.grad[1].any()


def test_without_gradients():
  logits, counts, where = tensors(make_batch("count_nll"))
  expected = bridge.count_nll(logits, counts, max_count=4, where=where)
  with torch.no_grad():
    value = bridge.count_nll(logits, counts, max_count=4, where=where)
  assert not value.requires_grad and value.grad_fn is None
  torch.testing.assert_close(value, expected.detach())
  assert not bridge.count_nll(logits.detach(), counts, max_count=4).requires_grad


def test_a_graph_is_walked_twice_if_kept_and_not_after_a_change():
  logits = torch.zeros(1, 5, 1, requires_grad=True)
  values = logits * 1
  loss = bridge.cross_entropy(values, torch.eye(5)[None, :, :1])
  loss.backward(retain_graph=True)
  first = logits.grad.clone()
  loss.backward(retain_graph=True)
  torch.testing.assert_close(logits.grad, 2 * first)
  with torch.no_grad():
    values += 1
  with pytest.raises(RuntimeError, match="modified by an inplace operation"):
    loss.backward()


def test_what_changes_at_every_call_does_not_compile_again():
  traces = []

  def loss(logits, labels, *, alpha, max_count, where=None, reduce_fn=jnp.mean):
    traces.append(max_count)
    return losses.softloc(
      logits, labels, softness=1.0, alpha=alpha, max_count=max_count, where=where, reduce_fn=reduce_fn
    )

  wrapped = bridge.wrap(loss)
  labels = torch.zeros(1, 5, 1)

  def step(alpha, max_count=3, frames=5):
    logits = torch.randn(1, frames, 1, requires_grad=True)
    wrapped(logits, labels[:, :frames], alpha=alpha, max_count=max_count).backward()

  step(0.1)
  once = len(traces)
  for alpha in (0.2, 0.3, np.float32(0.4), torch.tensor(0.5)):
    step(alpha)
  assert len(traces) == once
  step(0.2, max_count=4)
  step(0.2, frames=4)
  assert len(traces) == 3 * once


def test_what_is_compiled_in_may_be_an_array_of_one_number():
  logits, counts, where = tensors(make_batch("count_nll"))
  expected = bridge.count_nll(logits, counts, max_count=4, where=where)
  for max_count in (np.int64(4), np.array(4), jnp.array(4)):
    assert bridge.count_nll(logits, counts, max_count=max_count, where=where) == expected
  labels = torch.zeros_like(logits)
  smooth = bridge.soft_localization(logits, labels, softness=1.5)
  assert bridge.soft_localization(logits, labels, softness=np.array(1.5)) == smooth


def test_a_constant_that_is_refused_spoils_no_other():
  """3.0 equals 3, and has its hash."""
  logits, labels = torch.zeros(1, 9, 1), torch.eye(9)[None, :, 3:4]
  with pytest.raises(TypeError):
    bridge.shift_tolerant(logits, labels, tolerance=3.0)
  expected = losses.shift_tolerant(logits.numpy(), labels.numpy(), tolerance=3)
  assert bridge.shift_tolerant(logits, labels, tolerance=3).item() == pytest.approx(float(expected))


def test_what_it_refuses():
  logits, counts = torch.zeros(2, 4, 1), torch.ones(2, 1)
  with pytest.raises(TypeError, match="found no tensor among logits, counts, max_count; expected one"):
    bridge.count_nll(logits.numpy(), counts.numpy(), max_count=3)
  with pytest.raises(ValueError, match="counts is on meta; expected cpu, as the first tensor"):
    bridge.count_nll(logits, counts.to("meta"), max_count=3)
  with pytest.raises(TypeError, match=r"a tensor of torch\.float32 cannot be given to JAX"):
    bridge.count_nll(logits.to_sparse(), counts, max_count=3)
  with pytest.raises(TypeError, match="missing a required argument: 'max_count'"):
    bridge.count_nll(logits, counts)
  with pytest.raises(ValueError, match="max_count is -1; expected 0 or more"):
    bridge.count_nll(logits, counts, max_count=-1)


def test_the_distribution_of_a_count():
  logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(3), requires_grad=True)
  count, where = torch.tensor([1, 2, 5]), torch.arange(7) < torch.tensor([[7], [6], [5]])
  log_pmf = bridge.log_pmf(logits, max_count=7, where=where)
  torch.testing.assert_close(log_pmf.exp().sum(-1), torch.ones(3))
  log_prob = bridge.log_prob(logits, count, where=where)
  torch.testing.assert_close(log_prob, log_pmf.gather(-1, count[:, None])[:, 0])
  up_to = bridge.log_interval_prob(logits, 0, count, max_count=7, where=where)
  expected = [pmf[: n + 1].exp().sum() for pmf, n in zip(log_pmf, count, strict=True)]
  torch.testing.assert_close(up_to.exp(), torch.stack(expected))
  posterior = bridge.posterior(logits, count, where=where)
  torch.testing.assert_close(posterior.sum(-1), count.float())
  log_prob.sum().backward()
  torch.testing.assert_close(logits.grad, (posterior - torch.sigmoid(logits)) * where, atol=1e-5, rtol=1e-4)


def test_training_from_counts_finds_the_events():
  """A convolution of torch that is told how many pulses there are, and finds where."""
  torch.manual_seed(0)
  events = (torch.rand(64, 60, generator=torch.Generator().manual_seed(4)) < 0.06).float()
  shape = torch.tensor([0.3, 1.0, 0.3])[None, None]
  signal = torch.nn.functional.conv1d(events[:, None], shape, padding=1)
  signal = signal + 0.05 * torch.randn(signal.shape)
  net = torch.nn.Conv1d(1, 1, kernel_size=5, padding=2)
  torch.nn.init.constant_(net.bias, -3.0)
  optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
  history = []
  for _ in range(150):
    logits = net(signal).transpose(1, 2)
    loss = bridge.count_nll(logits, events.sum(1, keepdim=True), max_count=12)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    history.append(loss.item())
  assert history[-1] < 0.2 * history[0], history[::20]
  found = logits[..., 0] > 0
  # Counts do not tell a constant shift within what the convolution sees.
  agreement = [(found.roll(shift, dims=1) == events.bool()).float().mean() for shift in range(-2, 3)]
  assert max(agreement) > 0.98 and found.float().mean() > 0.8 * events.mean()


def test_compiled_code_may_call_it():
  logits, counts, where = tensors(make_batch("count_nll"))

  @torch.compile(backend="eager")
  def step(x):
    return 2 * bridge.count_nll(torch.sin(x), counts, max_count=4, where=where)

  found = step(logits)
  found.backward()
  gradient, logits.grad = logits.grad, None
  expected = 2 * bridge.count_nll(torch.sin(logits), counts, max_count=4, where=where)
  expected.backward()
  torch.testing.assert_close(found, expected)
  torch.testing.assert_close(gradient, logits.grad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no GPU here")
def test_on_a_gpu():
  logits, counts, where = tensors(make_batch("count_nll"))
  expected = bridge.count_nll(logits, counts, max_count=4, where=where)
  expected.backward()
  there = logits.detach().cuda().requires_grad_()
  found = bridge.count_nll(there, counts.cuda(), max_count=4, where=where.cuda())
  found.backward()
  assert found.device == there.device == there.grad.device
  torch.testing.assert_close(found.cpu(), expected)
  torch.testing.assert_close(there.grad.cpu(), logits.grad)


def test_a_device_that_jax_does_not_have(monkeypatch):
  """The way through the host, here from the CPU to itself."""
  asked = []
  monkeypatch.setattr(bridge, "_is_shared", asked.append)  # None: it is not
  test_values_and_gradients_of_jax("count_nll")
  assert set(asked) == {"cpu"}


def test_the_readme_example():
  text = (REPO / "README.md").read_text(encoding="utf-8")
  [code] = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "softloc_jax.torch" in code]
  names = {}
  exec(code, names)
  assert names["net"].weight.grad.abs().sum() > 0
