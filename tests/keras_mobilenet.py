"""MobileNetV2 as Keras' applications have it, at a width of .35: weight files, and all layers in NumPy."""

import numpy as np
import pytest

WIDTH = 0.35
# Filters of the first convolution, of the 17 blocks, and of the last convolution, as Keras has them.
FIRST, LAST = 16, 1280
BLOCKS = (8, *(8, 8), *(16,) * 3, *(24,) * 4, *(32,) * 3, *(56,) * 3, 112)
STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)


def names(block):
  """Layers of a block, without what normalises them."""
  stem = f"block_{block}_" if block else "expanded_conv_"
  return [stem + part for part in (("expand", "depthwise", "project") if block else ("depthwise", "project"))]


def norm_of(layer):
  return {"Conv1": "bn_Conv1", "Conv_1": "Conv_1_bn"}.get(layer, f"{layer}_BN")


def random_arrays():
  """Random values for all layers: `layer/variable` -> array."""
  rng, shapes, channels = np.random.default_rng(0), {"Conv1": (3, 3, 3, FIRST)}, FIRST
  for block, filters in enumerate(BLOCKS):
    wide = channels * (6 if block else 1)
    sizes = [(1, 1, channels, wide), (3, 3, wide, 1), (1, 1, wide, filters)]
    layers = names(block)
    shapes |= dict(zip(layers, sizes[-len(layers) :], strict=True))
    channels = filters
  shapes["Conv_1"] = (1, 1, channels, LAST)
  arrays = {}
  for layer, shape in shapes.items():
    depthwise = layer.endswith("depthwise")
    fan_in = shape[0] * shape[1] * (1 if depthwise else shape[2])
    kernel = rng.normal(0, (2 / fan_in) ** 0.5, shape)
    arrays[f"{layer}/{'depthwise_kernel' if depthwise else 'kernel'}"] = kernel
    features = shape[2] if depthwise else shape[3]
    for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
      centre = 0 if kind in ("beta", "moving_mean") else 1
      arrays[f"{norm_of(layer)}/{kind}"] = centre + rng.uniform(-0.3, 0.3, features)
  return {name: array.astype(np.float32) for name, array in arrays.items()}


def write(path, arrays):
  """The layout that Keras' applications come in: a group for each layer, in it one of the same name."""
  h5py = pytest.importorskip("h5py")
  with h5py.File(path, "w") as file:
    for name, array in arrays.items():
      layer, kind = name.split("/")
      file[f"{layer}/{layer}/{kind}:0"] = array
    file["predictions/predictions/kernel:0"] = np.zeros((4, 3), np.float32)  # a classifier, of no use here
  return path


def stages(arrays, x):
  """What comes out of each of the 19 stages: `[B, H, W, 3] -> list of [B, H, W, C]`."""
  outputs = [_layer(arrays, "Conv1", x, stride=2)]
  for block, stride in enumerate(STRIDES):
    y = before = outputs[-1]
    for layer in names(block):
      depthwise = layer.endswith("depthwise")
      y = _layer(arrays, layer, y, stride=stride if depthwise else 1, bounded=not layer.endswith("project"))
    outputs.append(y + before if y.shape == before.shape else y)
  return [*outputs, _layer(arrays, "Conv_1", outputs[-1])]


def _layer(arrays, layer, x, *, stride=1, bounded=True):
  norm, depthwise = norm_of(layer), layer.endswith("depthwise")
  kernel = arrays[f"{layer}/{'depthwise_kernel' if depthwise else 'kernel'}"].astype(np.float64)
  y = _convolved(x, kernel, stride, depthwise)
  scale = arrays[f"{norm}/gamma"] / np.sqrt(arrays[f"{norm}/moving_variance"] + 1e-3)
  y = (y - arrays[f"{norm}/moving_mean"]) * scale + arrays[f"{norm}/beta"]
  return np.clip(y, 0, 6) if bounded else y


def _convolved(x, kernel, stride, depthwise):
  size = kernel.shape[0]
  # Before a stride of 2 Keras leaves out the padding above and to the left of an even image.
  half = size // 2
  pads = [(half - 1 if half and stride == 2 and side % 2 == 0 else half, half) for side in x.shape[1:3]]
  padded = np.pad(x, [(0, 0), *pads, (0, 0)])
  rows, columns = (-(-side // stride) for side in x.shape[1:3])
  total = 0.0
  for row, column in np.ndindex(size, size):
    seen = padded[:, row : row + stride * rows : stride, column : column + stride * columns : stride]
    seen = seen[:, :rows, :columns]
    total = total + (seen * kernel[row, column, :, 0] if depthwise else seen @ kernel[row, column])
  return total
