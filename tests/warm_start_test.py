"""Networks that are trained further: what is taken over, class by class, and what is refused."""

import json

from flax import nnx
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import pytest
from small_config import small
from small_pulses import pulses, write

from configs.misaligned import golf
from configs.weak import drums
from softloc_jax import checkpoints, pretrained, recipes, train, warm_start
from softloc_jax.commands.train_folder import train_folder
from softloc_jax.network import Network


def network_of(config, seeds, **changes):
  config = ConfigDict(json.loads(config.to_json())).unlock()
  for key, value in changes.items():
    *path, leaf = key.split(".")
    part = config
    for name in path:
      part = part[name]
    part[leaf] = value
  network = Network.from_config(config)
  variables = jax.jit(jax.vmap(network.init))(jnp.stack([jax.random.key(seed) for seed in seeds]))
  # Biases begin alike in all networks; here they differ.
  return network, jax.tree.map(lambda leaf: leaf + 0.01 * seeds[0], variables)


def logits(network, variables, replica=0, num_frames=32):
  lead, samples = network.extractor.sample_range(0, num_frames)
  del lead
  channels = network.extractor.shape[1]
  signal = jax.random.normal(jax.random.key(9), (1, samples, channels))
  own = jax.tree.map(lambda leaf: leaf[replica], variables)
  return np.asarray(network.apply(own, signal[..., 0] if channels == 1 else signal))[0]


@pytest.fixture(scope="module")
def drum_network():
  return network_of(small(drums.get_config("synthetic")), [11, 12])


def test_the_same_classes_take_everything(drum_network):
  network, given = drum_network
  _, fresh = network_of(small(drums.get_config("synthetic")), [1, 2, 3])
  found = warm_start.adapt(fresh, network, given, network)
  for seed, of in enumerate((0, 1, 0)):
    np.testing.assert_array_equal(logits(network, found, seed), logits(network, given, of))


@pytest.mark.parametrize(
  "changes",
  [
    {"model.time_stride": 2},
    {"model.local_logits": True, "model.merge_bins": True},
    {"model.dense_units": 8},
  ],
  ids=str,
)
def test_classes_are_taken_by_name(changes):
  config = small(drums.get_config("synthetic"))
  before, given = network_of(config, [11], **changes)
  after, fresh = network_of(config, [1], **changes, **{"data.classes": ("HH", "clap", "KD")})
  found = logits(after, warm_start.adapt(fresh, after, given, before))
  learned = logits(before, given)
  np.testing.assert_allclose(found[:, [0, 2]], learned[:, [2, 0]], atol=1e-5)
  # The clap has the layers of the drums below it, and random weights of its own.
  assert np.abs(found[:, 1:2] - learned).max(axis=0).min() > 1e-3


@pytest.mark.slow
def test_no_event_is_taken_too_where_classes_exclude_each_other():
  config = golf.get_config("rendered,loss=softmax_cross_entropy,data_dir=nowhere")
  assert config.model.exclusive
  before, given = network_of(config, [11])
  names = config.data.classes
  after, fresh = network_of(config, [1], **{"data.classes": (names[1], names[0], *names[2:])})
  found = dict(nnx.to_flat_state(warm_start.adapt(fresh, after, given, before).params))
  learned = dict(nnx.to_flat_state(given.params))["logits", "bias"][...]
  order = [1, 0, *range(2, len(names) + 1)]
  np.testing.assert_array_equal(found["logits", "bias"][...], learned[:, jnp.array(order)])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"features.num_mels": 30}, r"has features LogMel\(.*num_mels=16.*; expected LogMel\(.*num_mels=30"),
    ({"model.recurrent_units": 5}, r"has logits\.kernel of shape \(16, 3\); expected \(10, 3\)"),
    (
      {"model.dense_units": 4},
      r"only one of the two networks has dense\.0\.bias; expected a model of the same",
    ),
    ({"model.time_stride": 2}, r"has model\.time_stride 1; expected 2"),
  ],
)
def test_other_networks_are_refused(drum_network, changes, message):
  network, fresh = network_of(small(drums.get_config("synthetic")), [1], **changes)
  with pytest.raises(ValueError, match=message):
    warm_start.adapt(fresh, network, *reversed(drum_network))


@pytest.mark.slow
def test_bands_need_their_classes_in_order():
  config = small(drums.get_config("synthetic"))
  classes = tuple(str(pitch) for pitch in range(8))
  banded = {"model.band_size": 4}
  before, given = network_of(config, [11], **{"data.classes": classes}, **banded)
  after, fresh = network_of(config, [1], **{"data.classes": classes[::-1]}, **banded)
  np.testing.assert_array_equal(
    logits(before, warm_start.adapt(fresh, before, given, before)), logits(before, given)
  )
  with pytest.raises(ValueError, match=r"has classes 0, 1, 2, 3, 4, 5, \.\.\.; expected 7, 6"):
    warm_start.adapt(fresh, after, given, before)


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
  folder = tmp_path_factory.mktemp("takes")
  for number in range(4):
    write(folder, pulses(number, duration_s=20.0)[0])
  return folder


@pytest.fixture(scope="module")
def learned(takes, tmp_path_factory):
  out = tmp_path_factory.mktemp("learned") / "run"
  train_folder(takes, out, steps=4)
  return out


def test_a_training_goes_on_from_another_and_needs_it_no_more(takes, learned, tmp_path):
  config = ConfigDict(checkpoints.read_config(learned))
  config.init_from, config.num_steps, config.eval_every = str(learned), 1, 1
  config.optimizer.update({"learning_rate": 1e-30, "warmup_steps": 0})
  train.train_and_evaluate(config, tmp_path / "further")
  before, after = (train.read_learned(path)[2] for path in (learned, tmp_path / "further"))
  jax.tree.map(lambda old, new: np.testing.assert_allclose(new, old, atol=1e-25), before, after)
  # Where training has begun, what it began with is not read again.
  with config.unlocked():
    config.init_from = str(tmp_path / "gone")
  settings = json.loads((tmp_path / "further" / "config.json").read_text())
  (tmp_path / "further" / "config.json").write_text(json.dumps(settings | {"init_from": config.init_from}))
  train.train_and_evaluate(config, tmp_path / "further")
  with pytest.raises(FileNotFoundError, match="gone"):
    train.train_and_evaluate(config, tmp_path / "new")


def test_a_folder_is_learned_with_the_networks_own_settings(takes, learned, tmp_path):
  results = train_folder(takes, tmp_path / "further", checkpoint=learned, steps=4, learn="counts")
  config = checkpoints.read_config(tmp_path / "further")
  before = checkpoints.read_config(learned)
  assert config["model"] == before["model"] and config["features"] == before["features"]
  assert config["init_from"] == str(learned.resolve()) and config["loss"]["name"] == "count_nll"
  assert config["optimizer"]["learning_rate"] < before["optimizer"]["learning_rate"]
  assert 0 <= results["f1"] <= 1


def test_every_member_of_an_ensemble_is_trained_further():
  like = pretrained.load(pretrained.folder("drums")).config
  config = recipes.own("audio", classes=("KD", "cowbell"), like=like)
  assert config.num_replicas == like.num_replicas == 3 and config.predict.ensemble
  assert config.features == like.features and config.data.conditioning == like.data.conditioning
  assert config.data.classes == ("KD", "cowbell")


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"model": "flute"}, "no pretrained network 'flute'"),
    ({"model": "drums"}, "hears log_mel features, of audio; expected one for sensor"),
    ({"model": "drums", "checkpoint": "runs/one"}, "expected only one of them"),
    (
      {"checkpoint": True, "rate_hz": 50.0},
      r"sample_rate_hz is 50; expected 100, which the network is made for",
    ),
    ({"checkpoint": True, "kind": "audio"}, "hears signal features, of sensor; expected one for audio"),
  ],
  ids=str,
)
def test_networks_that_do_not_fit_leave_no_trace(takes, learned, tmp_path, settings, message):
  if settings.get("checkpoint") is True:
    settings = settings | {"checkpoint": learned}
  with pytest.raises(ValueError, match=message):
    train_folder(takes, tmp_path / "other", steps=4, **settings)
  assert not (tmp_path / "other").exists()


def test_one_source_of_weights(tmp_path):
  config = golf.get_config("rendered,data_dir=nowhere")
  with config.unlocked():
    config.init_from, config.encoder_weights = "drums", "mobilenet.pth"
  with pytest.raises(ValueError, match=r"init_from is .drums. and encoder_weights is .mobilenet\.pth."):
    train.train_and_evaluate(config, tmp_path)
