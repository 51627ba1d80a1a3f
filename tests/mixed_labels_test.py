"""What follows from counts of windows for others, by enumeration; and training on all kinds of labels."""

import functools
import itertools
import shutil
import types

from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_pulses import RATE_HZ, counted, pulses, write

from softloc_jax import (
  corrections,
  cross_fitting,
  features,
  input_pipeline,
  losses,
  metrics,
  mixed_labels,
  objective,
  recipes,
  refine,
  refine_report,
)
from softloc_jax.commands import refine_folder, train_folder
from softloc_jax.corrections import STATUSES
from softloc_jax.data import event_files
from softloc_jax.data.recording import CountedWindow, Recording
from softloc_jax.mixed_labels import COUNTED, EXACT, JITTERED, UNBOUNDED, UNLABELLED

NUM_FRAMES = 6


@st.composite
def spans(draw):
  """Windows on 6 frames, not overlapping, with intervals of counts that events can meet."""
  borders = sorted(draw(st.sets(st.integers(0, NUM_FRAMES), min_size=2, max_size=5)))
  windows = []
  for start, stop in itertools.pairwise(borders):
    if draw(st.booleans()):
      low = draw(st.integers(0, stop - start))
      high = draw(st.one_of(st.none(), st.integers(low, stop - start)))
      windows.append((start, stop, low, high))
  return windows


@settings(max_examples=60, deadline=None)
@given(spans(), st.integers(0, NUM_FRAMES - 1), st.integers(1, NUM_FRAMES))
def test_bounds_are_true_and_of_a_window_itself_its_own(windows, start, length):
  """Of all ways to place at most one event in a frame that meet the counts, none is out of bounds."""
  stop = min(start + length, NUM_FRAMES)
  known = mixed_labels.CountedFrames([], NUM_FRAMES, 1.0)
  known.spans = np.array([one[:2] for one in windows], np.int64).reshape(
    -1, 2
  )  # borders as if they had been drawn so
  known.low = np.array([one[2] for one in windows], np.int64)
  known.high = np.array([UNBOUNDED if one[3] is None else one[3] for one in windows], np.int64)
  low, high = known.bounds(start, stop)
  possible = [
    sum(frames[start:stop])
    for frames in itertools.product([0, 1], repeat=NUM_FRAMES)
    if all(
      low_ <= sum(frames[first:last]) <= (NUM_FRAMES if high_ is None else high_)
      for first, last, low_, high_ in windows
    )
  ]
  assert low <= min(possible) and max(possible) <= high
  same = [one for one in windows if one[:2] == (start, stop)]
  if same:
    assert (low, high) == (same[0][2], UNBOUNDED if same[0][3] is None else same[0][3])


@pytest.mark.parametrize("grid_s", [0.0, 0.1])
def test_windows_neither_hasten_nor_delay_events(grid_s):
  """Detectors that put events earlier agree no better with the windows than those that put them later."""
  rng = np.random.default_rng(0)
  events_s = np.sort(rng.uniform(0, 2000, 20_000))
  borders_s = np.cumsum(rng.uniform(0.3, 0.8, 4000))
  borders_s = np.concatenate([[0.0], np.round(borders_s / grid_s) * grid_s if grid_s else borders_s])
  borders_s = np.append(borders_s[borders_s < 1999], 2000.0)
  counts = np.histogram(events_s, borders_s)[0].tolist()
  ends_s = itertools.pairwise(borders_s)
  windows = [CountedWindow(*ends, count, count) for ends, count in zip(ends_s, counts, strict=True)]
  known = mixed_labels.CountedFrames(windows, 100_000, 50.0)
  assert (known.spans[1:, 0] == known.spans[:-1, 1]).all()
  assert known.spans[0, 0] == 0 and known.spans[-1, 1] == 100_000
  mismatch = {}
  for shift in (-1.0, -0.5, 0.0, 0.5, 1.0):
    frames = np.floor(events_s * 50 + 0.5 + shift)
    found = np.diff(np.searchsorted(frames, known.spans), axis=1)[:, 0]
    mismatch[shift] = np.abs(found - known.low).sum()
  for shift in (0.5, 1.0):
    assert mismatch[shift] == pytest.approx(mismatch[-shift], rel=0.1), mismatch
    assert mismatch[0.0] < 1.15 * mismatch[shift], mismatch


def test_windows_without_events_are_learned_from_in_pieces():
  one = mixed_recording().replace(counted={"counted": [CountedWindow(0.0, 10.0, 0, 0)]})
  crops = crops_of(one)  # of 100 frames at most
  for index in range(20):
    crop = crops(index)
    assert crop["supervision"][2] == COUNTED and crop["count_interval"][2].tolist() == [0, 0]
  config = recipes.for_recordings([one], kind="sensor", classes=CLASSES, sample_rate_hz=RATE_HZ)
  assert config.window.max_s == 2.0 and config.batch_size == 16 and config.loss.max_count == 10


def test_largest_count_is_that_of_crops():
  windows = [CountedWindow(0.25 * k, 0.25 * (k + 1), 4, 4) for k in range(20)]
  one = mixed_recording().replace(counted={"counted": windows})
  config = recipes.for_recordings([one], kind="sensor", classes=CLASSES, sample_rate_hz=RATE_HZ)
  assert config.loss.max_count >= 4 * 8  # in two seconds
  roughly = one.replace(counted={"counted": [CountedWindow(0.0, 1.0, 0, 10**12)]})
  config = recipes.for_recordings([roughly], kind="sensor", classes=CLASSES, sample_rate_hz=RATE_HZ)
  assert config.loss.max_count < 100


def mixed_recording():
  # Borders in the middle between two frames, of which none is cut: frames 0 to 100 and 100 to 200.
  windows = [CountedWindow(0.0, 1.99, 3, 3), CountedWindow(1.99, 3.99, 1, None)]
  return Recording(
    "take",
    np.zeros((500, 1), np.float32),
    RATE_HZ,
    {"exact": np.array([0.5]), "rough": np.array([1.5]), "counted": np.zeros(0), "unknown": np.zeros(0)},
    labelled={"counted": False, "unknown": False},
    counted={"counted": windows},
    exact=frozenset({"exact"}),
  )


CLASSES = ("exact", "rough", "counted", "unknown")


def test_what_a_loss_is_told():
  known = mixed_labels.MixedLabels(mixed_recording(), CLASSES, 500, RATE_HZ, longest=200).known(0, 100)
  assert known["supervision"].tolist() == [EXACT, JITTERED, COUNTED, UNLABELLED]
  assert known["count_interval"][2].tolist() == [3, 3]
  assert known["labelled"].tolist() == [True, True, True, False]
  elsewhere = mixed_labels.MixedLabels(mixed_recording(), CLASSES, 500, RATE_HZ, longest=200).known(250, 300)
  assert elsewhere["supervision"].tolist() == [EXACT, JITTERED, UNLABELLED, UNLABELLED]


def crops_of(recording, mixed=True, **changes):
  extractor = features.from_config(recipes.own("sensor", classes=CLASSES, sample_rate_hz=RATE_HZ).features)
  frames = {"min_frames": 20, "max_frames": 100, "context_frames": 5, "segments": False} | changes
  return input_pipeline.Crops([recording], CLASSES, extractor, input_pipeline.Windows(**frames), 0, mixed)


def test_half_the_crops_hold_a_window_that_was_counted():
  crops = crops_of(mixed_recording())
  drawn = [crops(index) for index in range(60)]
  counted = [one for one in drawn if one["where"].sum() == 100]
  assert 15 <= len(counted) <= 45
  assert {tuple(one["count_interval"][2]) for one in counted} >= {(3, 3), (1, UNBOUNDED)}
  only_counts = mixed_recording().replace(labelled=dict.fromkeys(CLASSES, False), exact=frozenset())
  assert all(crops_of(only_counts)(index)["where"].sum() == 100 for index in range(10))


def test_crops_refuse_what_they_cannot_hold():
  with pytest.raises(
    ValueError, match=r"a window of 2\.0\d0 s was counted; expected at most window\.counted_s"
  ):
    crops_of(mixed_recording(), max_frames=50)
  with pytest.raises(
    ValueError, match="'take' has counts of 'counted' instead of times; expected the loss 'mixed'"
  ):
    crops_of(mixed_recording(), mixed=False)
  with pytest.raises(ValueError, match=r"window\.segments is True"):
    crops_of(mixed_recording(), segments=True)
  with pytest.raises(ValueError, match="no label to train on"):
    crops_of(mixed_recording().replace(labelled=dict.fromkeys(CLASSES, False), counted={}))
  many = mixed_recording().replace(counted={"counted": [CountedWindow(0.0, 1.0, 70, 70)]})
  with pytest.raises(ValueError, match=r"from 0\.000 to 1\.000 s has 5\d frames for 70 events"):
    crops_of(many)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.05, 3.0), min_size=1, max_size=8), st.floats(0, 0.02))
def test_settings_hold_every_window_that_was_counted(lengths_s, start_s):
  borders_s = start_s + np.concatenate([[0.0], np.cumsum(lengths_s)])
  windows = [CountedWindow(*ends_s, 1, 1) for ends_s in itertools.pairwise(borders_s.tolist())]
  signal = np.zeros(int(50 * borders_s[-1]) + 2, np.float32)
  one = Recording("one", signal, RATE_HZ, {"hit": np.zeros(0)}, {"hit": False}, {"hit": windows})
  config = recipes.for_recordings([one], kind="sensor", sample_rate_hz=RATE_HZ)
  extractor = features.from_config(config.features)
  frames = input_pipeline.Windows.from_config(config.window, extractor.frame_rate_hz)
  crops = input_pipeline.Crops([one], ["hit"], extractor, frames, 0, mixed=True)
  assert all(crops(index)["supervision"][0] == COUNTED for index in range(5))


def mixed_loss(batch, logits):
  config = recipes.own("sensor", classes=CLASSES, softness_s=0.1, loss="mixed").loss
  return objective.from_config(config, frame_rate_hz=RATE_HZ, num_steps=100)(logits, batch, 80)


def test_the_loss_is_that_of_each_kind_of_label():
  crop = crops_of(mixed_recording())
  batch = {key: np.stack([crop(0)[key], crop(3)[key]]) for key in crop(0)}
  logits = np.random.default_rng(0).normal(-3, 1, (*batch["where"].shape, 4)).astype(np.float32)
  found = mixed_loss(batch, logits)
  shared = {"where": batch["where"], "reduce_fn": None}
  exact = losses.cross_entropy(logits, batch["labels"], **shared)
  np.testing.assert_allclose(found[:, 0], exact[:, 0], rtol=1e-5)
  rough = losses.softloc(
    logits, batch["labels"], softness=5.0, alpha=0.75, max_count=31, smoothing_weight=5.0, **shared
  )
  np.testing.assert_allclose(found[:, 1], rough[:, 1], rtol=1e-4)
  np.testing.assert_array_equal(found[:, 3], 0)
  for row in range(2):
    if batch["supervision"][row, 2] == COUNTED:
      interval = losses.count_interval_nll(logits, batch["count_interval"], max_count=31, **shared)
      np.testing.assert_allclose(found[row, 2], interval[row, 2], rtol=1e-5)


@pytest.mark.slow
def test_gradients_are_finite_whatever_is_known():
  crop = crops_of(mixed_recording())(1)
  batch = {key: value[None] for key, value in crop.items()}
  for scale in (1.0, 1e4):
    logits = scale * jax.random.normal(jax.random.key(0), (*batch["where"].shape, 4))
    gradient = jax.grad(lambda x: jnp.sum(mixed_loss(batch, x)))(logits)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.asarray(gradient)[..., 3], 0)


def _exact(one, truth):
  return one.replace(events=truth, exact=frozenset({"pulse"}))


def _unlabelled(one, truth):
  return one.replace(events={"pulse": np.zeros(0)}, labelled={"pulse": False})


@pytest.fixture(scope="module")
def counted_folder(tmp_path_factory):
  """Six recordings of which only counts are known, and their true events."""
  folder, truth = tmp_path_factory.mktemp("counts") / "takes", {}
  for number in range(6):
    one, events = pulses(number)
    truth[one.id] = events["pulse"]
    write(folder, counted(one, events))
  return folder, truth


@pytest.mark.slow
def test_train_learns_from_a_folder_of_counts(counted_folder, tmp_path):
  folder, _ = counted_folder
  results = train_folder.train_folder(folder, tmp_path / "run", steps=200, rate_hz=RATE_HZ)
  assert results["f1"] is None or np.isnan(results["f1"])  # of counts alone no time can be scored
  assert results["window_count_error"] < 0.2


@pytest.mark.slow
def test_refine_places_what_was_counted(counted_folder, tmp_path):
  folder, truth = counted_folder
  out = tmp_path / "refined"
  report = refine_folder.refine_folder(folder, out, folds=3, steps=240)
  assert report.summary.startswith("120 windows with counts of 6 recordings: ")
  found = {path.stem: event_files.read_events(path)["pulse"] for path in (out / "labels").glob("*.csv")}
  scores = [metrics.onset_scores(truth[id_], times_s)["f1"] for id_, times_s in found.items()]
  assert len(scores) == 6 and np.mean(scores) > 0.95
  for id_, times_s in found.items():  # as many in each window as were counted
    borders_s = np.arange(0.0, 41.0, 2.0)
    off = np.histogram(times_s, borders_s)[0] - np.histogram(truth[id_], borders_s)[0]
    assert np.abs(off).sum() <= 2  # an event at a border may fall on its other side
  html = report.path.read_text()
  assert "120 windows with counts of 6 recordings" in html and "How far labels were moved" not in html
  statuses = {one.status for one in report.refined.corrections}
  assert statuses <= {"placed", "doubtful"} and all(np.isnan(one.old_s) for one in report.refined.corrections)


def test_more_events_than_frames_are_refused_by_networks_of_others_too():
  network = types.SimpleNamespace(classes=("hit",), extractor=types.SimpleNamespace(frame_rate_hz=RATE_HZ))
  held_out = cross_fitting.HeldOut(network, {"one": np.full((100, 1), 0.1)})
  counted = {"hit": [CountedWindow(0.0, 0.1, 20, 20)]}
  one = Recording("one", np.zeros(100, np.float32), RATE_HZ, {}, counted=counted)
  with pytest.raises(
    ValueError, match=r"'one', class 'hit': the window from 0\.000 to 0\.100 s has . frames for 20"
  ):
    corrections.placed(recipes.base("one"), held_out, [one])


@pytest.mark.slow
def test_refine_of_all_kinds_of_labels(tmp_path):
  """Rough times are moved, counts placed, exact times kept, and unlabelled recordings left alone."""
  made = [pulses(number, noise_s=0.08) for number in range(6)]
  roughly = functools.partial(counted, spread=1)
  kinds = [lambda one, truth: one, lambda one, truth: one, counted, roughly, _exact, _unlabelled]
  given = [kind(one, truth) for kind, (one, truth) in zip(kinds, made, strict=True)]
  config = recipes.for_recordings(given, kind="sensor", sample_rate_hz=RATE_HZ, softness_s=0.1)
  recipes.set_steps(config, 240)
  config.progress = False
  refined = refine.refine(given, workdir=tmp_path, config=config, num_folds=3)
  for (one, truth), kind in zip(made, kinds, strict=True):
    times_s = refined.events(one.id)[0].get("pulse", np.zeros(0))
    statuses = {correction.status for correction in refined.by_recording[one.id]}
    if kind is _unlabelled:
      assert not len(times_s) and not statuses
      continue
    assert metrics.onset_scores(truth["pulse"], times_s)["f1"] > 0.95
    if kind is _exact:
      np.testing.assert_array_equal(times_s, truth["pulse"])
    assert statuses <= ({"confirmed"} if kind is _exact else {"placed"} if kind is counted else set(STATUSES))
  html = refine_report.html(refined)
  assert "labels and 40 windows with counts of 6 recordings" in html


def test_learning_from_counts_alone_refuses_times_beside_them(counted_folder, tmp_path):
  folder = tmp_path / "mixed"
  shutil.copytree(counted_folder[0], folder)
  write(folder, pulses(9)[0])
  with pytest.raises(ValueError, match="labels are mixed, and take9 have times; expected learn='times'"):
    train_folder.train_folder(folder, tmp_path / "run", learn="counts")
