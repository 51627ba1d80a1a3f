"""What in a scene a logit comes from, for networks that are known to look somewhere."""

from flax import nnx
import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from configs.weak import digits
from experiments import scene_evaluation
from softloc_jax import attribution, data, hilbert
from softloc_jax.data import digit_scenes
from softloc_jax.network import Network

CANVAS = (32, 40)
PATH = hilbert.block_path(CANVAS, 8, "hilbert")


@pytest.fixture(scope="module")
def config():
  """Of a network whose places see the 9 x 9 pixels from the first of their block."""
  config = digits.get_config("embedded").unlock()
  config.data.update({"canvas_size": CANVAS, "max_digits": 1, "num_validation": 5})
  config.model.update(
    ConfigDict({"canvas_size": CANVAS, "conv_layers": ((9, 8, 1),), "conv_norm": None, "recurrent": None})
  )
  config.model.dense_units = 0
  return config


def looking_at(config, weights):
  """The network, and variables with which it adds these pixels up, `{(row, column): weight}`, for digit 7."""
  network = Network.from_config(config)
  variables = jax.tree.map(np.zeros_like, network.init(jax.random.key(0)))
  pure = nnx.to_pure_dict(variables.params)
  for pixel, weight in weights.items():
    pure["convs"]["convs"][0]["kernel"][pixel] = weight
  pure["logits"]["kernel"][0, 7] = 1.0
  nnx.replace_by_pure_dict(variables.params, pure)
  return network, variables


def signals(*canvases):
  return np.stack([digit_scenes.along(PATH, canvas) for canvas in canvases]).reshape(len(canvases), -1, 1)


def random_canvases(number):
  return np.random.default_rng(0).uniform(0.5, 1.0, (number, *CANVAS)).astype(np.float32)


def test_one_pixel(config):
  network, variables = looking_at(config, {(2, 7): 1.0})
  places = np.array([0, 3, 11])
  found = attribution.centres(network, variables, signals(*random_canvases(3)), places, [7, 7, 7])
  np.testing.assert_allclose(found, PATH.centres[places] - 3.5 + np.array([2, 7]), atol=1e-4)


def test_pixels_weigh_by_the_square_of_what_they_add(config):
  network, variables = looking_at(config, {(0, 1): 1.0, (6, 5): 0.5, (3, 3): 2.0})
  canvas = np.zeros(CANVAS, np.float32)
  row, column = np.round(PATH.centres[4] - 3.5).astype(int)
  canvas[row, column + 1], canvas[row + 6, column + 5] = 0.3, 1.2  # and nothing at (3, 3)
  found = attribution.centres(network, variables, signals(canvas), [4], [7])
  share = 0.6**2 / (0.3**2 + 0.6**2)
  np.testing.assert_allclose(found, [[row + share * 6, column + 1 + share * 4]], rtol=1e-5)


def test_nowhere(config):
  network, variables = looking_at(config, {(2, 2): 1.0})
  canvases = random_canvases(2)
  canvases[0] = 0
  found = attribution.centres(network, variables, signals(*canvases), [1, 1], [7, 8])
  assert np.isnan(found).all()  # an empty scene, and a digit that the network never finds


def test_how_far_off_its_places_a_network_sees(config):
  network, variables = looking_at(config, {(6, 1): 1.0})
  scenes = data.load(config.data)["validation"]
  found = scene_evaluation.sees_off_px(network, variables, scenes)
  np.testing.assert_allclose(found, [6 - 3.5, 1 - 3.5], atol=1e-4)
  with pytest.raises(ValueError, match="nothing in 5 scenes moves the network's logits"):
    scene_evaluation.sees_off_px(*looking_at(config, {}), scenes)
