"""Every config file: all variants build, the docstring's command is one of them, mistakes are named."""

import importlib
import inspect
import json
import pathlib
import re
import sys

from absl import flags
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict, config_flags
import numpy as np
import pytest

from configs import common
from configs.misaligned import ecg as misaligned_ecg
from configs.misaligned import golf
from configs.weak import drums, ecg
from softloc_jax import (
  augment,
  evaluation,
  features,
  input_pipeline,
  losses,
  models,
  objective,
  predict,
  recipes,
  train_step,
)
from softloc_jax.network import Network

REPO = pathlib.Path(__file__).resolve().parents[1]
FILES = sorted(str(p.relative_to(REPO)) for p in REPO.glob("configs/*/*.py") if p.name != "__init__.py")
NEEDED = {"configs/weak/folder.py": ",data_dir=x", "configs/misaligned/folder.py": ",data_dir=x"}


def load(path):
  return importlib.import_module(path.removesuffix(".py").replace("/", "."))


def variants_of(path):
  """The variants that a config names when it is asked for another one."""
  with pytest.raises(ValueError, match=r"config argument 'none-such': expected a variant") as caught:
    load(path).get_config("none-such")
  return re.search(r"a variant \((.*)\)", str(caught.value)).group(1).split(", ")


# What variants alone do not reach.
MORE = (
  ("configs/weak/digits.py", "embedded,alone=True"),
  ("configs/weak/digits.py", "mnist,size=paper"),
  ("configs/weak/digits.py", "mnist,size=paper,alone=True"),
  ("configs/misaligned/golf.py", "rendered,loss=one_sided_smoothing"),
  ("configs/misaligned/golf.py", "golfdb,size=paper,loss=softmax_cross_entropy"),
  ("configs/misaligned/golf.py", "golfdb,size=paper_causal"),
  ("configs/weak/folder.py", "audio,rate_hz=22050"),
)
VARIANTS = [*((path, variant) for path in FILES for variant in variants_of(path)), *MORE]


def check_builds(config):
  """Builds every part of a training, and traces a batch through it without computing anything."""
  loss_fn = None

  def per_class(key):
    nonlocal loss_fn
    network = Network.from_config(config)
    rate_hz = network.extractor.frame_rate_hz
    windows = input_pipeline.Windows.from_config(config.window, rate_hz)
    frames, classes = windows.crop_frames, len(network.classes)
    num_samples = network.extractor.sample_range(0, frames)[1]
    variables, signal = network.init(key), jnp.zeros((2, num_samples, network.extractor.num_channels))
    assert jax.eval_shape(network.apply, variables, signal).shape == (2, frames, classes)
    logits, _ = network.apply_in_training(variables, signal, key)
    batch = {
      "labels": jnp.zeros((2, frames, classes)),
      "counts": jnp.zeros((2, classes), jnp.int32),
      "where": jnp.ones((2, frames), bool),
    }
    loss_fn = objective.from_config(config.loss, frame_rate_hz=rate_hz, num_steps=config.num_steps)
    predict.Predictor.from_config(network, config.predict)
    return loss_fn(logits, batch, jnp.zeros((), jnp.int32))

  found = jax.eval_shape(per_class, jax.random.key(0))
  assert found.shape == (2, len(config.data.classes))
  train_step.make_optimizer(config.optimizer, config.num_steps)
  network = Network.from_config(config)
  evaluation.Decoder(config.decode, network.classes, network.extractor.frame_rate_hz)
  check_augments(config)


def check_augments(config):
  """Traces the augmentation: what it needs of a crop, and that what it gives fits the network."""
  network = Network.from_config(config)
  windows = input_pipeline.Windows.from_config(config.window, network.extractor.frame_rate_hz)
  augmentation = augment.from_config(config.augment, network.extractor, windows, network.classes)
  frames = windows.crop_frames + 2 * augmentation.margin_frames
  num_samples = network.extractor.sample_range(0, frames)[1]
  classes = len(network.classes)
  batch = {
    "signal": jnp.zeros((2, num_samples, network.extractor.num_channels)),
    "labels": jnp.zeros((2, frames, classes)),
    "counts": jnp.zeros((2, classes), jnp.int32),
    "where": jnp.ones((2, frames), bool),
    "labelled": jnp.ones((2, classes), bool),
  }
  found = jax.eval_shape(augmentation, jax.random.key(0), batch)
  assert found["labels"].shape == (2, windows.crop_frames, classes)
  assert found["signal"].shape[1] == network.extractor.sample_range(0, windows.crop_frames)[1]


@pytest.mark.parametrize(("path", "variant"), VARIANTS)
def test_every_variant_builds(path, variant):
  config = load(path).get_config(variant + NEEDED.get(path, ""))
  assert config.is_locked
  check_builds(config)


@pytest.mark.parametrize(("path", "variant"), VARIANTS)
def test_precision_is_a_setting_wherever_there_is_a_choice(path, variant):
  model = load(path).get_config(variant + NEEDED.get(path, "")).model
  parameters = inspect.signature(models.MODELS[model.name].__init__).parameters
  assert "dtype" not in parameters or model.dtype == "float32"


@pytest.mark.parametrize("path", FILES)
def test_the_docstring_has_a_command_that_works(path):
  text = load(path).__doc__
  assert "python -m experiments.train" in text
  arguments = re.findall(rf"--config={path}:(\S+)", text)
  assert arguments and text.count("--workdir=") == text.count("python -m") == len(arguments)
  for argument in arguments:
    assert load(path).get_config(argument).is_locked


@pytest.mark.parametrize("path", FILES)
def test_without_an_argument_it_is_the_first_variant(path):
  if path in NEEDED:  # a folder has no default
    with pytest.raises(ValueError, match=r"data_dir=\.\.\. is missing"):
      load(path).get_config()
    return
  assert load(path).get_config() == load(path).get_config("") == load(path).get_config(variants_of(path)[0])


@pytest.mark.parametrize("path", FILES)
def test_unknown_keys_are_named(path):
  with pytest.raises(ValueError, match=r"config argument 'none_such=1': no such key; expected .*seed"):
    load(path).get_config("none_such=1")


def test_a_config_as_a_workdir_keeps_it_builds_too():
  config = misaligned_ecg.get_config("softloc,noise_ms=50")
  check_builds(ConfigDict(json.loads(config.to_json())))


def parse(arg):
  return common.parse_arg(arg, variants=("big", "small"), seed=0, rate=0.5, name="x", fast=False)


def test_arguments_have_the_type_of_their_default():
  assert parse(None).to_dict() == {"variant": "big", "seed": 0, "rate": 0.5, "name": "x", "fast": False}
  found = parse("small,seed=-3,rate=2,name=a=b/c.d,fast=True")
  assert found.to_dict() == {"variant": "small", "seed": -3, "rate": 2.0, "name": "a=b/c.d", "fast": True}
  assert isinstance(found.rate, float)


@pytest.mark.parametrize(
  ("arg", "message"),
  [
    ("huge", r"'huge': expected a variant \(big, small\) or key=value"),
    ("small,sed=1", r"'sed=1': no such key; expected fast, name, rate, seed"),
    ("seed=1.5", r"'seed=1.5': expected a value like 0"),
    ("seed=one", r"'seed=one': expected a value like 0"),
    ("seed=", r"'seed=': expected a value like 0"),
    ("seed=True", r"'seed=True': expected a value like 0"),
    ("fast=1", r"'fast=1': expected a value like False"),
    ("rate='a'", r".*expected a value like 0\.5"),
    ("seed=1,seed=2", r"'seed=2': given twice"),
    ("big,small", r"'small': given twice"),
  ],
)
def test_bad_arguments_are_named(arg, message):
  with pytest.raises(ValueError, match=f"config argument {message}"):
    parse(arg)


@pytest.fixture
def parse_flags(monkeypatch):
  """The config of a command line with these overrides."""

  def parse(*overrides, config="configs/weak/drums.py:synthetic"):
    config = f"--config={REPO / config}"
    monkeypatch.setattr(sys, "argv", ["train", config, *overrides])  # where config_flags looks
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "", flag_values=values)
    values(sys.argv)
    return values.config

  return parse


def test_overrides_on_the_command_line(parse_flags):
  config = parse_flags(
    "--config.num_steps=7", "--config.optimizer.learning_rate=1e-3", "--config.model.conv_features=(8,8)"
  )
  assert (config.num_steps, config.optimizer.learning_rate, config.model.conv_features) == (7, 1e-3, (8, 8))


def test_a_network_puts_scenes_together_as_they_were_cut(parse_flags):
  config = parse_flags(
    "--config.data.curve=moore",
    "--config.data.canvas_size=(64, 144)",
    config="configs/weak/digits.py:embedded,canvas=64",
  )
  assert config.model.curve == config.data.curve == "moore"
  assert config.model.canvas_size == config.data.canvas_size == (64, 144)
  assert config.predict.chunk_s == config.window.max_s == 64


@pytest.mark.parametrize("key", ["nonexistent", "model.nonexistent", "nonexistent.key"])
def test_an_override_of_nothing_is_refused(parse_flags, key):
  with pytest.raises((AttributeError, KeyError), match="nonexistent"):
    parse_flags(f"--config.{key}=1")


def flat(tree, prefix=""):
  """Dotted key -> value."""
  if not isinstance(tree, dict):
    return {prefix: tree}
  return {k: v for key, sub in tree.items() for k, v in flat(sub, f"{prefix}.{key}".strip(".")).items()}


@pytest.mark.parametrize("path", ["configs/misaligned/drums.py", "configs/misaligned/ecg.py"])
def test_compared_losses_share_everything_else(path):
  first, *others = (
    flat(load(path).get_config(f"{name},noise_ms=50").to_dict()) for name in recipes.MISALIGNED_LOSSES
  )
  for other in others:
    differing = {key for key in first | other if first.get(key) != other.get(key)}
    own = {key for key in differing if key.startswith("loss.")}
    assert own and differing - own <= {"name", "decode.method", "decode.softness_s"}
  assert first["label_noise.scale_s"] == 0.05 and first["window.segments"] is False


def test_golf_losses_share_everything_else():
  first, *others = (
    flat(golf.get_config(f"rendered,loss={name},noise_frames=3").to_dict()) for name in golf.LOSSES
  )
  for other in others:
    differing = {key for key in first | other if first.get(key) != other.get(key)}
    assert {key for key in differing if not key.startswith("loss.")} <= {"model.exclusive"}
  assert first["label_noise.scale_s"] == 3.0 and first["label_noise.kind"] == "rounded"
  with pytest.raises(ValueError, match=r"config argument loss=focal: expected one of softmax_cross_entropy"):
    golf.get_config("rendered,loss=focal")
  with pytest.raises(
    ValueError, match=r"config argument size=tiny: expected one of cpu, paper, paper_causal"
  ):
    golf.get_config("rendered,size=tiny")


def test_golf_of_the_papers_size_counts_when_the_authors_do():
  config = golf.get_config("golfdb,size=paper,noise_frames=4")
  loss = jax.jit(objective.from_config(config.loss, frame_rate_hz=1.0, num_steps=config.num_steps))
  shape = (2, 64, 8)
  batch = {"where": jnp.ones(shape[:2], bool), "counts": jnp.ones((2, 8), jnp.int32)}
  batch["labels"] = jnp.zeros(shape).at[:, 20].set(1)
  logits = jax.random.normal(jax.random.key(0), shape)
  parts = {
    "softness": config.loss.softness_s,
    "max_count": 3,
    "counts": batch["counts"],
    "where": batch["where"],
  }
  smoothing, counting = (
    float(losses.softloc(logits, batch["labels"], alpha=alpha, smoothing_weight=114.0, **parts))
    for alpha in (0.0, 1.0)
  )
  share = {}
  for step in (0, 7000, 8000, 9000, 10_000):
    alpha = np.clip((step - 7000) / 4000, 0, 0.5)
    found = float(loss(logits, batch, jnp.asarray(step)).mean())
    assert found == pytest.approx((1 - alpha) * smoothing + alpha * counting, rel=1e-5)
    share[step] = alpha / (1 - alpha)  # of counting, beside a smoothing of 1
  authors = {step: float(np.clip((step - 7000) / 2000, 0, 1)) for step in share}
  assert all(abs(share[step] - authors[step]) <= 0.2 for step in share) and share[9000] == authors[9000]


def test_golf_of_the_papers_size_sees_pixels_as_its_weights_do():
  for name, convention in (("w.h5", "keras"), ("w.hdf5", "keras"), ("w.pth.tar", "torch")):
    config = golf.get_config(f"golfdb,size=paper,weights={name}")
    assert config.model.convention == convention and config.model.frozen_stages == 10
    pixels = features.from_config(config.features)(np.full((1, 160 * 160 * 3), 255, np.uint8))
    assert (float(pixels.max()) == 1) == (convention == "keras")
  loss = config.loss  # 12.5 : .11, once counting has come in (S appendix A)
  assert loss.smoothing_weight * (1 - loss.alpha_high) / loss.alpha_high == 114 and loss.alpha_low == 0
  with pytest.raises(ValueError, match=r"w.npz: expected a file of torch"):
    golf.get_config("golfdb,size=paper,weights=w.npz")


def test_ecg_folds_test_each_record_once_and_keep_splits_apart():
  tested = []
  for fold in range(len(ecg.FOLDS)):
    data = ecg.get_config(f"fold={fold}").data
    splits = [set(data[split]) for split in ("train", "validation", "test")]
    assert all(splits) and sum(map(len, splits)) == len(set.union(*splits)) == len(ecg.RECORDS)
    tested += data.test
  assert sorted(tested) == sorted(ecg.RECORDS)
  for fold in (-1, len(ecg.FOLDS)):
    with pytest.raises(ValueError, match=rf"fold={fold}: expected 0 to {len(ecg.FOLDS) - 1}"):
      ecg.get_config(f"fold={fold}")


def test_runs_of_a_cross_validation_are_networks_of_their_own():
  config = drums.get_config("idmt,runs=6,seed=2,data_dir=x")
  assert (config.num_replicas, config.split_by, config.predict.ensemble) == (6, "seed", False)
  assert config.data.seed == 2
  with pytest.raises(ValueError, match="config argument runs=2: expected idmt or enst, groove has one split"):
    drums.get_config("groove,runs=2,groove_dir=x")


def test_a_wider_ensemble_for_real_drums():
  config = drums.get_config("groove,size=modern,groove_dir=x,one_shots_dir=x")
  default = drums.get_config("groove,groove_dir=x,one_shots_dir=x")
  assert config.num_replicas == default.num_replicas == 3
  assert config.model.conv_features[0] > default.model.conv_features[0]
  with pytest.raises(
    ValueError, match="size=modern: for real drums; expected another variant than synthetic"
  ):
    drums.get_config("synthetic,size=modern")
