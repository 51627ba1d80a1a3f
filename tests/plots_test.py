"""Figures: what is drawn where, and files that are whole."""

import types

from matplotlib.text import Text
import numpy as np
import pytest

from softloc_jax import features, plots, refine_plots, scene_plots, video_plots
from softloc_jax.corrections import Correction
from softloc_jax.data.recording import Recording
from softloc_jax.scene_scores import Objects

LOG_MEL = features.LogMel(sample_rate_hz=8_000, hop_samples=80, window_samples=256, num_mels=20)
SIGNAL = features.SignalFrames(100.0)
CLASSES = ("KD", "SD")


def make_recording(extractor, *, channels=None, **changes):
  """Four seconds with a click at 1 and 3 s."""
  num_samples = int(4 * extractor.sample_rate_hz)
  signal = 1e-3 * np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
  signal[[num_samples // 4, 3 * num_samples // 4]] = 1.0
  if channels:
    signal = np.repeat(signal[:, None], channels, axis=1)
  events = {"KD": np.array([1.0]), "SD": np.array([3.0])}
  return Recording("take 1", signal, float(extractor.sample_rate_hz), events).replace(**changes)


def make_probs():
  probs = np.zeros((400, 2))
  probs[100, 0] = probs[300, 1] = 0.9
  return probs


def draw(extractor, recording, **kwargs):
  return plots.recording_figure(recording, extractor, make_probs(), {"KD": [1.02]}, CLASSES, **kwargs)


def marks(axis, label):
  """Times of the markers with this label."""
  return [x for line in axis.get_lines() if line.get_label() == label for x in line.get_xdata()]


@pytest.mark.parametrize(
  ("extractor", "channels"), [(LOG_MEL, None), (LOG_MEL, 1), (SIGNAL, None), (SIGNAL, 1), (SIGNAL, 3)]
)
def test_a_png_and_nothing_else(tmp_path, extractor, channels):
  path = tmp_path / "new" / "take.png"
  recording = make_recording(extractor, channels=channels)
  for _ in range(2):
    plots.save_recording(path, recording, extractor, make_probs(), {"KD": [1.02]}, CLASSES)
  assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
  assert path.stat().st_size > 5_000
  assert [one.name for one in path.parent.iterdir()] == ["take.png"]


@pytest.mark.parametrize("extractor", [LOG_MEL, SIGNAL])
def test_events_and_probabilities_are_at_their_times(extractor):
  figure = draw(extractor, make_recording(extractor))
  top, kick, snare = figure.axes
  assert (kick.get_ylabel(), snare.get_ylabel(), snare.get_xlabel()) == ("KD", "SD", "time [s]")
  assert top.get_title(loc="left") == "take 1"
  assert marks(kick, "reference") == [1.0] and marks(kick, "estimate") == [1.02]
  assert marks(snare, "reference") == [3.0] and marks(snare, "estimate") == []
  for axis, time_s in ((kick, 1.0), (snare, 3.0)):
    outline = axis.collections[-1].get_paths()[0].vertices
    assert outline[outline[:, 1] > 0.8][:, 0] == pytest.approx(
      time_s, abs=0.5 / extractor.frame_rate_hz + 1e-9
    )
  assert kick.get_xlim() == (0.0, 4.0)


@pytest.mark.parametrize("start_s", [0.0, 0.4567])
def test_the_spectrogram_shows_a_click_where_it_is(start_s):
  (image,) = draw(LOG_MEL, make_recording(LOG_MEL), start_s=start_s, length_s=2.0).axes[0].get_images()
  left, right, _, _ = image.get_extent()
  level = np.asarray(image.get_array()).sum(axis=0)
  centres_s = left + (np.arange(len(level)) + 0.5) * (right - left) / len(level)
  assert (right - left) / len(level) == pytest.approx(0.01)
  assert centres_s[level.argmax()] == pytest.approx(1.0, abs=1e-9)
  assert left <= start_s and right >= start_s + 2.0


def test_a_stretch_ends_with_the_recording():
  figure = draw(SIGNAL, make_recording(SIGNAL), start_s=2.5, length_s=10.0)
  assert figure.axes[0].get_xlim() == (2.5, 4.0)
  assert figure.axes[0].get_lines()[0].get_xdata()[[0, -1]].tolist() == [2.5, 3.99]


def legend_of(figure):
  return {text.get_text() for text in figure.legends[0].get_texts()}


def test_the_legend_names_what_is_there():
  assert legend_of(draw(SIGNAL, make_recording(SIGNAL))) == {"reference", "estimate", "probability"}
  # Nothing is known of a recording without events, nor of a class that was not annotated.
  unknown = make_recording(SIGNAL, events={})
  assert legend_of(draw(SIGNAL, unknown)) == {"estimate", "probability"}
  figure = draw(SIGNAL, make_recording(SIGNAL, labelled={"KD": False}))
  assert marks(figure.axes[1], "reference") == [] and marks(figure.axes[2], "reference") == [3.0]


@pytest.mark.parametrize("stretch", [{"start_s": 4.0}, {"start_s": -1.0}, {"length_s": 0.0}])
def test_a_stretch_outside_the_recording_is_refused(stretch):
  with pytest.raises(
    ValueError, match=r"recording 'take 1': start_s is .*expected a stretch of its 4\.000 s"
  ):
    draw(SIGNAL, make_recording(SIGNAL), **stretch)


def test_many_classes_share_a_roll():
  classes = [str(pitch) for pitch in range(21, 109)]
  events = {"60": np.array([1.0, 3.0]), "64": np.array([2.0])}
  probs = np.zeros((400, 88))
  probs[200, classes.index("64")] = 0.9
  figure = plots.recording_figure(
    make_recording(LOG_MEL).replace(events=events),
    LOG_MEL,
    probs,
    {"64": np.array([2.01]), "65": np.array([3.5])},
    classes,
    length_s=3.2,
  )
  roll = figure.axes[1]
  drawn = {line.get_label(): line.get_xydata() for line in roll.lines}
  np.testing.assert_array_equal(drawn["reference"], [[1.0, 39], [3.0, 39], [2.0, 43]])
  np.testing.assert_array_equal(drawn["estimate"], [[2.01, 43]])  # 3.5 s is not shown
  shown = np.asarray(roll.images[0].get_array())
  rows, columns = np.nonzero(shown)
  left, right, *_ = roll.images[0].get_extent()
  assert rows.tolist() == [43]
  assert abs(left + (columns[0] + 0.5) * (right - left) / shown.shape[1] - 2.0) < 1e-6


# Where names are taken for formulas, the first raises, the second is garbled and the third is not one.
DOLLARS = (r"$\bad$", "$5 and $6", "a$b")


@pytest.mark.parametrize("num_classes", [2, 14])
def test_dollars_in_names_begin_no_formula(tmp_path, num_classes):
  classes = [f"{DOLLARS[0]}{number}" for number in range(num_classes)]
  recording = make_recording(SIGNAL, id=DOLLARS[1], events={classes[0]: np.array([1.0])})
  probs = np.zeros((400, num_classes))
  figure = plots.recording_figure(recording, SIGNAL, probs, {}, classes)
  plots.save(figure, tmp_path / "take.png")
  assert figure.axes[0].get_title(loc="left") == DOLLARS[1]
  texts = [text for text in figure.findobj(Text) if "$" in text.get_text()]
  assert {classes[0], classes[12 if num_classes > 12 else 1]} <= {text.get_text() for text in texts}
  assert not any(text.get_parse_math() for text in texts)


def test_dollars_in_names_begin_no_formula_beside_legends_and_pictures(tmp_path):
  models = {name: types.SimpleNamespace(knots=[0, 1], reliability=[0, 1]) for name in DOLLARS}
  figure = refine_plots.reliability_figure(types.SimpleNamespace(models=models))
  plots.save(figure, tmp_path / "legend.png")
  assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == list(DOLLARS)
  video_plots.save_moments(tmp_path / "v.png", np.zeros((3, 8, 8, 3), np.uint8), {DOLLARS[0]: np.array([1])})
  places = np.random.default_rng(0).standard_normal((3, 2))
  scene_plots.save_embeddings(tmp_path / "e.png", {DOLLARS[0]: (places, np.array(DOLLARS))})
  things = Objects(np.full((1, 2), 4.0), np.array(DOLLARS[:1]))
  scene_plots.save_scenes(tmp_path / "s.png", [np.zeros((8, 8))], [things], [things], side=2)
  assert len(list(tmp_path.glob("*.png"))) == 4


def test_dollars_in_names_begin_no_formula_before_and_after(tmp_path):
  recording = make_recording(SIGNAL, id=DOLLARS[0], events={DOLLARS[0]: np.array([1.0])})
  moved = Correction(DOLLARS[0], DOLLARS[0], 1.0, 1.1, 0.9, "moved")
  network = types.SimpleNamespace(classes=DOLLARS, extractor=SIGNAL)
  refined = types.SimpleNamespace(
    recordings=[recording],
    by_recording={DOLLARS[0]: [moved]},
    held_out=types.SimpleNamespace(network=network, probs={DOLLARS[0]: np.zeros((400, 3))}),
  )
  figure = refine_plots.before_after_figure(refined, DOLLARS[0])
  plots.save(figure, tmp_path / "after.png")
  assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == [DOLLARS[0]]
