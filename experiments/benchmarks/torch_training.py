"""The main job's network, features, loss and update in torch, as one writes them there, to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from softloc_jax.network import Network, Variables


def make_step(
  network: Network, variables: Variables, batch: Mapping[str, np.ndarray], *, config: Any
) -> Callable[[], tuple[float, float]] | None:
  """An update on one batch that returns its loss and the norm of its gradient; None without torch.

  Args:
    network: a `crnn` over log-mel frames whose bins are merged, with a GRU both ways and no other layers.
    variables: what it begins with.
    batch: `signal` `[B, N, 1]`, `counts` `[B, C]` and `where` `[B, T]`.
    config: of the experiment, for the loss and the optimiser.
  """
  try:
    import torch
  except ImportError:
    return None
  parts = {key: torch.from_numpy(np.array(batch[key])) for key in ("signal", "counts", "where")}
  frames_of = _log_mel(network.extractor)
  model, parameters = _model(network, variables)
  optimizer = torch.optim.Adam(parameters, lr=config.optimizer.learning_rate)

  def step() -> tuple[float, float]:
    with torch.no_grad():
      frames = frames_of(parts["signal"][..., 0])
    probs = torch.sigmoid(model(frames)) * parts["where"][..., None]
    pmf = count_pmf(probs.permute(1, 0, 2), config.loss.max_count)  # [B, C, K]
    counts = parts["counts"].clamp(max=config.loss.max_count).long()
    loss = -torch.log(pmf.gather(2, counts[..., None]) + 1e-30).mean()
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.optimizer.clip_norm)
    optimizer.step()
    return loss.item(), norm.item()

  return step


def count_pmf(probs, max_count: int):
  """The recursion L9 on probabilities with mass thresholding L14: `[T, ...] -> [..., max_count + 1]`."""
  import torch

  pmf = torch.zeros(*probs.shape[1:], max_count + 1)
  pmf[..., 0] = 1
  stays = torch.ones(max_count + 1)
  stays[-1] = 0  # the last bin absorbs
  for p in probs[..., None]:
    moved = torch.nn.functional.pad(pmf[..., :-1] * p, (1, 0))
    pmf = pmf * (1 - stays * p) + moved
  return pmf


def _log_mel(extractor) -> Callable:
  """`features.LogMel`: `[B, N] -> [B, T, 2 * num_mels]`, level and difference of a bin side by side."""
  import librosa
  import torch

  size, hop = extractor.window_samples, extractor.hop_samples
  window = torch.hann_window(size)
  filters = torch.from_numpy(
    librosa.filters.mel(
      sr=extractor.sample_rate_hz, n_fft=size, n_mels=extractor.num_mels, fmin=extractor.low_hz
    )
  )

  def frames_of(signal):
    spectrum = torch.stft(signal, size, hop, window=window, center=False, return_complex=True)
    power = filters @ spectrum.abs().square()  # [B, mels, T + 2]
    level = 10 * torch.log10(power.clamp(min=1e-10))
    level = (level / -extractor.floor_db + 1).clamp(min=0).transpose(1, 2)
    both = torch.stack([level[:, 1:-1], 2 * (level[:, 2:] - level[:, :-2])], dim=-1)
    return both.flatten(2)

  return frames_of


def _model(network: Network, variables: Variables):
  """Frames to logits, and what is trained, with the network's numbers."""
  import torch
  from torch import nn

  ours = network.model(variables)
  convs = nn.ModuleList(_conv(layer) for layer in ours.convs)
  cells = (ours.recurrent.forward_rnn.cell, ours.recurrent.backward_rnn.cell)
  features, units = cells[0].dense_i.kernel.shape[0], cells[0].hidden_features
  gru = nn.GRU(features, units, batch_first=True, bidirectional=True)
  for cell, suffix in zip(cells, ("", "_reverse"), strict=True):
    _copy(getattr(gru, f"weight_ih_l0{suffix}"), cell.dense_i.kernel[...].T)
    _copy(getattr(gru, f"weight_hh_l0{suffix}"), cell.dense_h.kernel[...].T)
    _copy(getattr(gru, f"bias_ih_l0{suffix}"), cell.dense_i.bias[...])
    # The biases of the state before are torch's alone.
    nn.init.zeros_(getattr(gru, f"bias_hh_l0{suffix}")).requires_grad_(False)
  head = nn.Linear(2 * units, len(network.classes))
  _copy(head.weight, ours.logits.kernel[...].T)
  _copy(head.bias, ours.logits.bias[...])

  def model(frames):
    x = frames.transpose(1, 2)  # [B, features, T]
    for conv in convs:
      y = torch.relu(conv(x))
      x = x + y if x.shape == y.shape else y
    return head(gru(x.transpose(1, 2))[0])

  layers = nn.ModuleList([*convs, gru, head])
  return model, [parameter for parameter in layers.parameters() if parameter.requires_grad]


def _conv(layer):
  """A convolution over time `[frames, 1, inputs, outputs]`."""
  from torch import nn

  kernel = np.asarray(layer.kernel[...])[:, 0]
  conv = nn.Conv1d(kernel.shape[1], kernel.shape[2], len(kernel), padding=len(kernel) // 2)
  _copy(conv.weight, kernel.transpose(2, 1, 0))
  _copy(conv.bias, layer.bias[...])
  return conv


def _copy(parameter, values) -> None:
  import torch

  with torch.no_grad():
    parameter.copy_(torch.from_numpy(np.array(values)))
