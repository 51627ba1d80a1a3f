"""Convolving an image once against every window by itself, and the way from blocks to logits."""

import itertools

from flax import nnx
import jax
import numpy as np
import pytest

from softloc_jax import hilbert
from softloc_jax.data import digit_scenes
from softloc_jax.hilbert import WindowPath
from softloc_jax.models.scene import VGG13, ConvStack, SceneNet


def apply(model, x):
  graphdef, state = nnx.split(model)
  return np.asarray(jax.jit(lambda state, x: nnx.merge(graphdef, state, copy=True)(x))(state, x))


def image(height=40, width=48, seed=0):
  return np.random.default_rng(seed).standard_normal((1, height, width, 1)).astype(np.float32)


@pytest.mark.parametrize(
  ("conv_layers", "stride", "window"),  # a window of which one position is left at the end
  [
    (((5, 2, 4), (3, 2, 5), 6), 4, 17),
    ((4, "pool", 5, "pool"), 4, 12),
    ((4, "pool", 5, "pool", 6, "pool"), 2, 22),  # dilated after the first maximum
    ((4, (3, 2, 5), "pool", 6), 1, 15),  # no stride at all: dilated all along
    (("pool", (3, 3, 5), "pool", 6), 4, 36),  # a maximum that halves once more, on a dilated grid
  ],
)
def test_the_image_once_is_every_window_by_itself(conv_layers, stride, window):
  stack = ConvStack(1, conv_layers, stride=stride, padding="VALID", rngs=nnx.Rngs(0))
  whole = apply(stack, image())
  alone = ConvStack(1, conv_layers, stride=_full_stride(conv_layers), padding="VALID", rngs=nnx.Rngs(0))
  path = WindowPath((40, 48), (window, window), stride)
  found = apply(alone, path.windows(image()[0]))
  assert found.shape[1:3] == (1, 1)
  rows, columns = path.cells.T
  np.testing.assert_allclose(found[:, 0, 0], whole[0, rows, columns], rtol=1e-4, atol=1e-5)


def _full_stride(conv_layers):
  return int(
    np.prod([2 if one == "pool" else one[1] if isinstance(one, tuple) else 1 for one in conv_layers])
  )


def test_with_padding_only_windows_by_themselves_end_in_zeros():
  # As the module says: inside, the image goes on where a window by itself is padded.
  stack = ConvStack(1, (4, 4), stride=1, rngs=nnx.Rngs(0))
  whole, window = apply(stack, image()), apply(stack, image()[:, 10:20, 10:20])
  np.testing.assert_allclose(window[:, 2:-2, 2:-2], whole[:, 12:18, 12:18], rtol=1e-5, atol=1e-6)
  assert np.abs(window[:, 0] - whole[:, 10, 10:20]).max() > 0.01


@pytest.mark.slow
def test_vgg13_is_ten_convolutions_that_reach_their_stride():
  stack = ConvStack(1, VGG13, stride=8, rngs=nnx.Rngs(0))
  assert [conv.out_features for conv in stack.convs] == [64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
  # Without biases 9 for each pair of channels.
  sizes = [1, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
  kernels = sum(9 * a * b for a, b in itertools.pairwise(sizes))
  params = sum(x.size for x in jax.tree.leaves(nnx.split(stack, nnx.Param, ...)[1]))
  assert params == kernels + sum(sizes[1:])
  assert jax.eval_shape(stack, image(96, 96)).shape == (1, 12, 12, 512)


def test_patches_that_do_not_overlap_are_one_product():
  plain = ConvStack(3, ((4, 4, 5),), stride=4, rngs=nnx.Rngs(0))
  x = np.random.default_rng(0).standard_normal((2, 16, 24, 3)).astype(np.float32)
  conv = plain.convs[0]
  expected = jax.lax.conv_general_dilated(
    x, conv.kernel[...], (4, 4), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  np.testing.assert_allclose(plain(x), jax.nn.relu(expected + conv.bias[...]), rtol=1e-4, atol=1e-5)
  # What does not divide goes the usual way.
  assert apply(plain, x[:, :15]).shape == (2, 4, 6, 5)


def make(**changes):
  settings = {
    "frame_shape": (64, 1),
    "num_classes": 3,
    "initial_bias": -4.0,
    "canvas_size": (32, 48),
    "conv_layers": ((5, 2, 4), (3, 2, 4), "pool"),
    "recurrent_units": 5,
    "dense_units": 6,
  }
  return SceneNet(**(settings | changes), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("curve", ["hilbert", "boustrophedon"])
def test_blocks_become_the_image_again(curve):
  model, canvas = make(curve=curve), image(32, 48)[0, ..., 0]
  path = hilbert.block_path((32, 48), 8, curve)
  frames = digit_scenes.along(path, canvas).reshape(1, -1, 64, 1)
  np.testing.assert_array_equal(model.image(frames)[0, ..., 0], canvas)
  grid = model.convs(image(32, 48))
  features = model.features(image(32, 48))
  for step, (row, column) in enumerate(path.cells):
    np.testing.assert_array_equal(features[0, step], grid[0, row, column])


@pytest.mark.parametrize(
  ("changes", "ahead"), [({"recurrent": None}, False), ({}, False), ({"bidirectional": True}, True)]
)
def test_logits_along_the_curve(changes, ahead):
  model, frames = make(**changes), np.zeros((2, 24, 64, 1), np.float32)
  before = apply(model, frames)
  assert before.shape == (2, 24, 3) and before.dtype == np.float32
  # The last place of the curve: what looks back only, sees it at its own and at neighbouring places.
  frames[0, -1] = np.random.default_rng(0).standard_normal((64, 1))
  change = np.abs(apply(model, frames) - before).max(axis=-1)
  assert change[0, -1] > 1e-4 and not change[1].any()
  assert (change[0, 0] > 0) == ahead


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"frame_shape": (60, 1)}, "frames have 60 pixels; expected square blocks"),
    ({"canvas_size": (30, 48)}, r"canvas_size is \(30, 48\); expected whole numbers of strides, 8 pixels"),
    ({"conv_layers": (4, "pool")}, "stride is 8; the layers reach 2, expected layers that reach it exactly"),
    ({"conv_layers": ("max",)}, "conv_layers has 'max'; expected a number, 'pool' or"),
    ({"conv_norm": "layer"}, "conv_norm is 'layer'; expected 'batch' or None"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes)


def test_another_number_of_blocks_is_refused():
  with pytest.raises(ValueError, match="23 frames; expected 24, all blocks of the canvas"):
    make()(np.zeros((1, 23, 64, 1), np.float32))
