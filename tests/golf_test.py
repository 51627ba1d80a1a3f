"""Golf swings from a folder in GolfDB's layout to scores, tables and contact sheets."""

import pathlib
import shutil

from click.testing import CliRunner
from flax import nnx
import jax
import jax.numpy as jnp
import keras_mobilenet
import numpy as np
import pytest
import small_golf

from configs.misaligned import golf
from experiments import cells, golf_pce, golf_table, golf_tuning
from softloc_jax import cli, data, evaluation, metrics, network, train, video_plots
from softloc_jax.data import builders, golf_rendered, golfdb, video_files
from softloc_jax.data.recording import Recording

SMALL = {
  **{"num_steps": 6, "eval_every": 3, "log_every": 3, "batch_size": 2, "progress": False},
  **{"optimizer.warmup_steps": 1, "model.conv_layers": ((8, 8, 4), (2, 2, 4)), "model.conv_units": 6},
  **{"model.recurrent_units": 4, "window.min_s": 16.0, "window.max_s": 16.0, "predict.chunk_s": 16.0},
}


@pytest.fixture(scope="module", autouse=True)
def prepared(tmp_path_factory):
  """Prepared copies go to a folder of their own."""
  folder = tmp_path_factory.mktemp("prepared")
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("TFDS_DATA_DIR", str(folder))
    yield folder


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
  folder = tmp_path_factory.mktemp("annotated")
  small_golf.write_mat(folder)
  return folder


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
  """The true layout: real fields, drawn clips."""
  folder = tmp_path_factory.mktemp("layout")
  small_golf.write_mat(folder)
  golf_rendered.write(folder, golf_rendered.find(folder, side=160))
  return folder


def small(arg, prepared, **changes):
  config = golf.get_config(arg).unlock()
  config.update_from_flattened_dict(SMALL | {"data.prepared_dir": str(prepared)} | changes)
  return config


@pytest.fixture(scope="module")
def trained(annotated, prepared, tmp_path_factory):
  """A small network that has seen drawn swings, and what it scored."""
  workdir = tmp_path_factory.mktemp("trained")
  config = small(f"rendered,loss=softloc,noise_frames=2,split=2,data_dir={annotated}", prepared)
  return workdir, train.train_and_evaluate(config, workdir)


def test_training_ends_with_the_score_of_golf_swings(trained):
  workdir, results = trained
  assert 0 <= results["pce"] <= 1 and f"pce/{metrics.GOLF_EVENTS[5]}" in results
  assert sorted(results["replicas"][0]["recordings"]) == ["0002", "0005"]
  rows = (workdir / "predictions" / "0002.csv").read_text().splitlines()
  assert len(rows) == 9 and {row.split(",")[1] for row in rows[1:]} == set(metrics.GOLF_EVENTS)


@pytest.mark.slow
def test_a_folder_in_the_true_layout_trains_by_the_same_command(layout, prepared, tmp_path):
  config = small(f"golfdb,loss=softmax_cross_entropy,split=2,data_dir={layout}", prepared)
  results = train.train_and_evaluate(config, tmp_path)
  assert 0 <= results["pce"] <= 1 and sorted(results["replicas"][0]["recordings"]) == ["0002", "0005"]


def predict(clip, workdir, out):
  found = CliRunner().invoke(cli.cli, ["predict", str(clip), f"--checkpoint={workdir}", f"--out={out}"])
  assert found.exit_code == 0, found.output
  assert (out / f"{clip.stem}.png").stat().st_size > 10_000
  return [line.split(",") for line in (out / f"{clip.stem}.csv").read_text().splitlines()[1:]]


def test_a_contact_sheet_of_a_drawn_clip(layout, trained, tmp_path):
  rows = predict(layout / "videos_160" / "4.mp4", trained[0], tmp_path)
  assert len(rows) == 8 and all(0 <= float(time) <= 69 for time, *_ in rows)


def test_a_contact_sheet_of_the_real_clip(shared_data, trained, tmp_path):
  rows = predict(shared_data("golfdb") / "test_video.mp4", trained[0], tmp_path)
  assert len(rows) == 8 and all(0 <= float(time) <= 263 for time, *_ in rows)


@pytest.mark.slow
def test_swingnet_starts_from_weights_of_a_file(layout, prepared, tmp_path):
  arrays = keras_mobilenet.random_arrays()
  weights = keras_mobilenet.write(tmp_path / "imagenet.h5", arrays)
  config = golf.get_config(f"golfdb,size=paper,split=2,data_dir={layout},weights={weights}").unlock()
  config.update_from_flattened_dict(
    {"data.prepared_dir": str(prepared), "model.width": keras_mobilenet.WIDTH, "batch_size": 2}
  )
  assert config.model.frozen_stages == 10 and config.model.convention == "keras"
  run = train._Run(config, tmp_path, network.Network.from_config(config), data.load_replicas(config))
  params = dict(nnx.to_flat_state(run.initial_state().variables.params))
  kernel = params[("encoder", "stages", 12, "expand", "conv", "kernel")].get_value()[0]
  np.testing.assert_array_equal(kernel, arrays["block_11_expand/kernel"])


def test_prepared_clips_are_bytes_and_read_when_asked_for(annotated, prepared):
  arguments = {"prepared_dir": prepared, "options": {"side": 16}, "show_progress": False}
  here = builders.load("golf_rendered", annotated, **arguments)
  stored = builders.load("golf_rendered", annotated, in_memory=False, **arguments)
  assert len(here) == 6 and here[0].signal.dtype == np.uint8
  for a, b, item in zip(here, stored, golf_rendered.find(annotated, side=16), strict=True):
    assert isinstance(b.signal, builders.StoredSignal) and len(b.signal) == len(a.signal)
    assert (b.signal.shape, b.signal.ndim, b.signal.dtype) == (a.signal.shape, 2, np.uint8)
    np.testing.assert_array_equal(b.signal[3:9], a.signal[3:9])
    np.testing.assert_array_equal(np.asarray(b.signal), golf_rendered.read(item).signal)
  names = builders.prepare("golf_rendered", annotated, **arguments).info.splits
  assert {name: split.num_examples for name, split in names.items()} == {
    "split_1": 2,
    "split_2": 2,
    "split_3": 1,
    "split_4": 1,
  }


def test_other_annotations_make_another_copy(prepared, tmp_path):
  arguments = {"prepared_dir": prepared, "options": {"side": 16}, "show_progress": False}
  table = small_golf.rows()
  small_golf.write_mat(tmp_path, table)
  first = builders.prepare("golf_rendered", tmp_path, **arguments)
  table[2]["events"] = table[2]["events"] + np.array([0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
  small_golf.write_mat(tmp_path, table)
  assert builders.prepare("golf_rendered", tmp_path, **arguments).data_dir != first.data_dir


def test_preparing_lists_clips_that_do_not_fit(layout, prepared, tmp_path):
  small_golf.write_mat(tmp_path)
  clips = tmp_path / golfdb.CLIPS_FOLDER
  clips.mkdir()
  for number in (0, 2):
    frames = video_files.read(layout / golfdb.CLIPS_FOLDER / f"{number}.mp4")
    video_files.write(clips / f"{number}.mp4", frames[: -1 - number], rate_hz=30)
  with pytest.raises(ValueError, match="2 clips do not fit their annotations") as raised:
    builders.load("golfdb", tmp_path, prepared_dir=prepared, show_progress=False)
  assert "0.mp4: 69 frames; expected 70" in str(raised.value) and "2.mp4: 67 frames" in str(raised.value)


def test_folds_of_a_config(annotated, prepared):
  config = small(f"rendered,split=3,data_dir={annotated}", prepared)
  splits = data.load(config.data)
  assert [one.id for one in splits["test"]] == ["0003"]
  assert len(splits["train"]) + len(splits["validation"]) == 5


@pytest.mark.slow
def test_exclusive_classes_share_their_probability(annotated, prepared):
  config = small(f"rendered,loss=softmax_cross_entropy,data_dir={annotated}", prepared)
  net = network.Network.from_config(config)
  variables = net.init(jax.random.key(0))
  signal = np.random.default_rng(0).integers(0, 256, (2, 16, 64 * 64 * 3)).astype(np.uint8)
  logits, _ = net.apply_in_training(variables, signal, jax.random.key(1))
  assert logits.shape == (2, 16, 9)
  softmax = jax.nn.softmax(net.model(variables)(net.extractor(signal)))[..., :8]
  np.testing.assert_allclose(jax.nn.sigmoid(net.apply(variables, signal)), softmax, rtol=1e-4, atol=1e-7)
  extreme = network._against_the_rest(jnp.array([90.0, 0.0, -90.0]))
  np.testing.assert_allclose(extreme, [90.0, -90.0])


def test_pce_of_a_trained_swingnet(shared_data):
  # Outputs of the authors' kind of network on 257 real clips.
  pce = golf_pce.score(shared_data("golfdb") / "swingnet_split1_probs.npz")
  assert pce["pce"] == pytest.approx(0.795, abs=0.005)
  assert pce["pce/impact"] > 0.99 and pce["pce/finish"] < 0.3


def test_outputs_that_are_not_such_a_file(tmp_path):
  np.savez(tmp_path / "a.npz", probs=np.zeros((5, 9)), lengths=np.array([3]), events=np.zeros((1, 8)))
  with pytest.raises(ValueError, match=r"a.npz: probs of 5 frames; expected 3, as the lengths say"):
    golf_pce.score(tmp_path / "a.npz")
  np.savez(tmp_path / "b.npz", probs=np.zeros((5, 9)))
  with pytest.raises(ValueError, match=r"b.npz: no array lengths, events, but probs; expected an npz file"):
    golf_pce.score(tmp_path / "b.npz")
  np.savez(tmp_path / "c.npz", probs=np.zeros((5, 9)), lengths=np.array([5, 0]), events=np.zeros((2, 8)))
  with pytest.raises(ValueError, match=r"c.npz: clip 1 has 0 frames; expected 1 or more"):
    golf_pce.score(tmp_path / "c.npz")
  np.save(tmp_path / "d.npy", np.zeros(3))
  with pytest.raises(ValueError, match=r"d.npy: a single array; expected an npz file with probs"):
    golf_pce.score(tmp_path / "d.npy")
  (tmp_path / "half.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
  with pytest.raises(ValueError, match=r"half.npz: .*; expected an npz file with probs"):
    golf_pce.score(tmp_path / "half.npz")


def test_protocols():
  recording = Recording("a", np.zeros((90, 3), np.uint8), 1.0, {})
  frames = dict(zip(metrics.GOLF_EVENTS, (10.0, 20, 24, 32, 36, 40, 43, 55), strict=True))
  recording = recording.replace(events={name: np.array([at]) for name, at in frames.items()})
  found = {name: np.array([at + (name == "top") * 5]) for name, at in frames.items()} | {
    "finish": np.zeros(0)
  }
  assert evaluation.protocol_scores("golf_pce", [found], [recording])["pce"] == 6 / 8
  assert evaluation.protocol_scores("", [found], [recording]) == {}
  with pytest.raises(ValueError, match="protocol is 'darts'; expected 'golf_pce' or ''"):
    evaluation.protocol_scores("darts", [], [])


def test_moments_and_curves_are_drawn(tmp_path):
  frames = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)
  video_plots.save_moments(
    tmp_path / "a.png", frames, {"top": np.array([3.0, 9.0])}, {"top": np.array([0.5, 1.0])}
  )
  video_plots.save_moments(tmp_path / "none.png", frames, {"top": np.zeros(0)})
  assert all((tmp_path / name).stat().st_size > 1000 for name in ("a.png", "none.png"))


def scored(pce):
  return {"pce": pce} | {f"pce/{name}": pce for name in metrics.GOLF_EVENTS}


def test_the_table_has_every_mean_in_its_place():
  results = {
    (loss, level, split, seed): scored(0.8 - 0.1 * number - 0.02 * level + 0.01 * seed + 0.04 * (split - 1))
    for number, loss in enumerate(golf_table.ROWS)
    for level in golf_table.NOISE_FRAMES
    for split in (1, 2)
    for seed in (0, 1)
  }
  text = golf_table.markdown(results, "rendered", 2.5)
  assert "mean over 2 test splits, ± over 2 seeds" in text and "2.5 min" in text
  assert "| CE | 82.5 ± 0.7 (68.1) | 80.5 ± 0.7 (60.4) |" in text
  assert "| SoftLoc | 62.5 ± 0.7 (67.2) |" in text
  assert text.count("PCE of each event") == 2
  assert "| over oSS | -10.0 ± 0.0 | -10.0 ± 0.0 |" in text  # the others were given less
  assert "| over CE | -20.0 ± 0.0 |" in text
  assert "| test split | 1, 0 frames | 2, 0 frames | 1, 4 frames | 2, 4 frames |" in text
  assert "| CE | 80.5 ± 0.7 | 84.5 ± 0.7 | 72.5 ± 0.7 | 76.5 ± 0.7 |" in text
  one_split = {cell: one for cell, one in results.items() if cell[2] == 1}
  assert "test split |" not in golf_table.markdown(one_split, "rendered", 2.5)
  with pytest.raises(ValueError, match="noise_frames has 6; expected some of 0, 1, 2, 3, 4"):
    golf_table.make("nowhere", pathlib.Path("nowhere"), 1, 1, None, noise_frames=(0, 6))
  figure = golf_table.noise_figure(results)
  assert len(figure.axes) == 1


def test_the_table_command(annotated, trained, tmp_path, monkeypatch):
  prepared_configs = {}

  def run(configs, workdir, jobs):
    prepared_configs.update(configs)
    for name in configs:
      if name.endswith("_4_split2_seed0"):  # whose curves are drawn
        shutil.copytree(trained[0], workdir / name)
    return {name: scored(0.5) for name in configs}

  monkeypatch.setattr(cells, "run", run)
  monkeypatch.setattr(golf_table.run_log, "training_seconds", lambda workdir: 90.0)
  text = golf_table.make(str(annotated), tmp_path, 2, 1, 4, splits=(2,), noise_frames=(0, 4))
  assert (tmp_path / "golf.md").read_text() == text and "1.5 min" in text
  for picture in ("golf.png", "golf_curves.png"):
    assert (tmp_path / picture).stat().st_size > 10_000
  config = prepared_configs[golf_table.cell_name("softloc", 4, 2, 1)]
  assert len(prepared_configs) == 12 and config.num_steps == 4 and config.seed == 1
  assert config.label_noise.scale_s == 4.0 and config.data.test_split == 2 and config.loss.name == "softloc"


def test_settings_are_compared_on_other_swings(tmp_path, monkeypatch):
  found = {}

  def run(configs, workdir, jobs):
    found.update(configs)
    return {name: scored(0.5 + 0.1 * name.startswith("SoftLoc")) for name in configs}

  monkeypatch.setattr(cells, "run", run)
  monkeypatch.setattr(golf_tuning.data, "load", lambda config: None)
  rows = ("oSS", "SoftLoc softness 5 half both")
  text = golf_tuning.make("PATH", tmp_path, 2, 1, None, splits=(1, 2), rows=rows)
  assert (tmp_path / "golf_tuning.md").read_text() == text
  assert "| oSS | 50.0 ± 0.0 |" in text and "| SoftLoc softness 5 half both | 60.0 ± 0.0 |" in text
  assert len(found) == 8
  config = found["SoftLoc_softness_5_half_both_4_split2_seed1"]
  plain = golf.get_config("rendered,loss=softloc,noise_frames=4,split=2,seed=1")
  assert config.loss.softness_s == 5.0 != plain.loss.softness_s and 2 * config.num_steps == plain.num_steps
  assert config.data.skip_per_split == plain.data.per_split and plain.data.skip_per_split == 0
  with pytest.raises(ValueError, match="--rows: 'SLL'; expected some of CE, oSS"):
    golf_tuning.make("PATH", tmp_path, 1, 1, None, rows=("SLL",))
