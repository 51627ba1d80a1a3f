"""Weights of MobileNetV2 from files of torch and Keras."""

from flax import nnx
import jax
import jax.numpy as jnp
import keras_mobilenet
from mobilenet_files import WIDTH, random_arrays, torch_names
import numpy as np
import pytest
import torch_mobilenet

from softloc_jax import encoder_weights
from softloc_jax.models.mobilenet import NUM_STAGES, MobileNetV2
from softloc_jax.models.swingnet import SwingNet
from softloc_jax.network import Variables


@pytest.fixture(scope="module")
def arrays():
  return random_arrays()


@pytest.mark.parametrize("nested", [False, True])
def test_names_of_torch(arrays, nested):
  found = encoder_weights._from_torch(torch_names(arrays, nested))
  assert set(found) == set(arrays)
  for path, array in arrays.items():
    np.testing.assert_array_equal(found[path], array)


def with_weights(path, **settings):
  """An encoder with the weights of a file."""
  graphdef, state = nnx.split(nnx.eval_shape(lambda: MobileNetV2(width=WIDTH, rngs=nnx.Rngs(0), **settings)))
  flat = dict(nnx.to_flat_state(state))
  for key, array in encoder_weights.read(path).items():
    assert flat[key].shape == array.shape, key
    flat[key] = flat[key].replace(jnp.asarray(array))
  encoder = nnx.merge(graphdef, nnx.from_flat_state(flat.items()))
  encoder.eval()
  return encoder


@nnx.jit
def stages(encoder, y):
  """What comes out of each stage."""
  outputs = []
  for number, stage in enumerate(encoder.stages):
    y = stage(y)
    y = jax.nn.relu6(y) if number in (0, NUM_STAGES - 1) else y
    outputs.append(y)
  return outputs


@pytest.mark.slow
def test_files_of_keras_layer_by_layer(tmp_path):
  theirs = keras_mobilenet.random_arrays()
  ours = with_weights(keras_mobilenet.write(tmp_path / "weights.h5", theirs), convention="keras")
  # Sides of 44, 22, 11, 6, 3 and 2: even and odd ones are padded in other ways.
  x = np.random.default_rng(0).standard_normal((2, 44, 44, 3)).astype(np.float32)
  for number, (y, z) in enumerate(zip(stages(ours, x), keras_mobilenet.stages(theirs, x), strict=True)):
    np.testing.assert_allclose(y, z, rtol=1e-3, atol=1e-4, err_msg=f"stage {number}")


def test_files_of_torch_layer_by_layer(tmp_path):
  torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")

  torch.manual_seed(0)
  theirs = torch_mobilenet.make(WIDTH)
  for module in theirs.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      module.running_mean.normal_(0, 0.1)
      module.running_var.uniform_(0.5, 1.5)
  theirs.eval()
  torch.save({"state_dict": theirs.state_dict()}, tmp_path / "weights.pth.tar")
  ours = with_weights(tmp_path / "weights.pth.tar")
  x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
  z = torch.tensor(x.transpose(0, 3, 1, 2))
  for number, y in enumerate(stages(ours, x)):
    with torch.no_grad():
      z = theirs.features[number](z)
    np.testing.assert_allclose(y, z.numpy().transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-5)


def variables(num_replicas=2, **changes):
  settings = {"conv_layers": "mobilenet_v2", "width": WIDTH, "convention": "keras", "dropout": 0.0} | changes

  def init(key):
    model = SwingNet(
      frame_shape=(1024, 3),
      num_classes=8,
      initial_bias=-3.0,
      frame_size=(32, 32),
      recurrent_units=4,
      rngs=nnx.Rngs(key),
      **settings,
    )
    return Variables(*nnx.split(model, nnx.Param, nnx.BatchStat, ...)[1:3])

  shapes = jax.eval_shape(jax.vmap(init), jax.random.split(jax.random.key(0), num_replicas))
  return jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.25, leaf.dtype), shapes)


@pytest.fixture
def keras_file(tmp_path):
  return keras_mobilenet.write(tmp_path / "weights.h5", keras_mobilenet.random_arrays())


@pytest.mark.slow
def test_loads_into_every_replica(keras_file):
  before, arrays = variables(), encoder_weights.read(keras_file)
  after = encoder_weights.load(before, keras_file)
  for old, new in zip(before, after, strict=True):
    old, new = dict(nnx.to_flat_state(old)), dict(nnx.to_flat_state(new))
    assert set(old) == set(new)
    for path, leaf in new.items():
      if path[0] == "encoder":
        np.testing.assert_array_equal(leaf.get_value(), np.stack([arrays[path[1:]]] * 2))
      else:
        np.testing.assert_array_equal(leaf.get_value(), old[path].get_value())


def test_weights_that_do_not_fit(tmp_path, keras_file):
  for changes in ({"width": 0.5}, {"convention": "torch"}):
    with pytest.raises(ValueError, match=r"has shape .*; the network expects"):
      encoder_weights.load(variables(**changes), keras_file)
  with pytest.raises(ValueError, match="is in either the file or the network"):
    encoder_weights.load(variables(conv_layers=((4, 4, 6), (4, 4, 6))), keras_file)
  with pytest.raises(ValueError, match=r"has stages \[\]; expected 0 to 18 of MobileNetV2"):
    encoder_weights.read(_empty(tmp_path / "none.h5"))
  with pytest.raises(FileNotFoundError, match=r"gone.pth: no such file"):
    encoder_weights.read(tmp_path / "gone.pth")
  (tmp_path / "broken.h5").write_bytes(b"not this")
  with pytest.raises(ValueError, match=r"broken.h5: .*; expected a file of HDF5"):
    encoder_weights.read(tmp_path / "broken.h5")
  (tmp_path / "weights.txt").write_text("")
  with pytest.raises(ValueError, match=r"weights.txt: expected a file of torch"):
    encoder_weights.read(tmp_path / "weights.txt")


@pytest.mark.parametrize("name", ["conv", "Conv1/Conv1/bias:0"])
def test_files_of_keras_with_something_else(tmp_path, keras_file, name):
  import h5py

  with h5py.File(keras_file, "a") as file:
    file[name] = np.zeros(16, np.float32)
  if name == "conv":  # no layer of the network
    assert ("stages", 0, "conv", "kernel") in encoder_weights.read(keras_file)
    return
  with pytest.raises(ValueError, match=r"weights.h5: has an array Conv1/bias; expected gamma, beta"):
    encoder_weights.read(keras_file)


def _empty(path):
  import h5py

  with h5py.File(path, "w"):
    return path


@pytest.mark.parametrize(
  ("saved", "message"),
  [
    ([1.0], r"w.pth: holds list; expected arrays by name, or a state_dict of them"),
    ({"epoch": 3}, r"w.pth: holds a mapping of epoch; expected arrays by name"),
    ({"model_state_dict": {"other.0.weight": 1}}, r"holds a mapping of model_state_dict; expected"),
  ],
)
def test_files_of_torch_without_weights(tmp_path, saved, message):
  torch = pytest.importorskip("torch")
  torch.save(saved, tmp_path / "w.pth")
  with pytest.raises(ValueError, match=message):
    encoder_weights.read(tmp_path / "w.pth")
  (tmp_path / "w.pth").write_bytes(b"not this")
  with pytest.raises(ValueError, match=r"w.pth: torch cannot read it, \w+; expected its weights"):
    encoder_weights.read(tmp_path / "w.pth")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", None])
def test_checkpoints_of_torch_under_either_name(tmp_path, key):
  torch = pytest.importorskip("torch")
  model = torch_mobilenet.make(WIDTH)
  saved = model.state_dict() if key is None else {key: model.state_dict(), "epoch": 3}
  torch.save(saved, tmp_path / "w.pth")
  assert ("stages", 0, "conv", "kernel") in encoder_weights.read(tmp_path / "w.pth")
