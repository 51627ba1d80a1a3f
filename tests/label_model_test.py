"""The label model: against brute force over all pairings, and on labels made from known parameters."""

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from softloc_jax import label_model

MODEL = label_model.LabelModel(
  noise_s=0.1,
  spread_scale=2.0,
  offset_s=np.array([0.02]),
  kind_offset_s=np.zeros(1),
  stray_hz=0.3,
  knots=np.array([0.0, 1.0]),
  reliability=np.array([0.05, 0.9]),
)


def make_track(labels_s, detections_s, confidence=None, *, duration_s=None, **fields):
  labels_s, detections_s = (np.asarray(x, np.float64) for x in (labels_s, detections_s))
  end_s = max([0.0, *labels_s, *detections_s])
  return label_model.Track(
    labels_s=labels_s,
    detections_s=detections_s,
    confidence=np.ones(len(detections_s)) if confidence is None else np.asarray(confidence, np.float64),
    **{"spread_s": np.zeros(len(detections_s))} | fields,
    duration_s=end_s if duration_s is None else duration_s,
  )


def brute_force(model, track):
  """Probability of each pair `[N, M]`, and the weight of every pairing that keeps the order."""
  num_labels, num_detections = len(track.labels_s), len(track.detections_s)
  labelled = model.labelled(track.confidence)
  total, pairs, weights = 0.0, np.zeros((num_labels, num_detections)), {}
  for size in range(min(num_labels, num_detections) + 1):
    for chosen in itertools.combinations(range(num_labels), size):
      for partners in itertools.combinations(range(num_detections), size):
        weight = model.stray_hz ** (num_labels - size)
        weight *= math.prod(1 - labelled[j] for j in range(num_detections) if j not in partners)
        for i, j in zip(chosen, partners, strict=True):
          std = math.hypot(model.noise_s, model.spread_scale * track.spread_s[j])
          z = (track.labels_s[i] - model.expected_s(track)[j]) / std
          weight *= labelled[j] * math.exp(-0.5 * z * z) / (std * math.sqrt(2 * math.pi))
        total += weight
        pairs[list(chosen), list(partners)] += weight
        weights[tuple(zip(chosen, partners, strict=True))] = weight
  return pairs / total, weights


def dense(pairing, num_detections):
  result = np.zeros((len(pairing.first), num_detections + pairing.probability.shape[1]))
  for i, (first, chance) in enumerate(zip(pairing.first, pairing.probability, strict=True)):
    result[i, first : first + len(chance)] = chance
  return result[:, :num_detections]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pairs_are_as_probable_as_all_pairings_say(seed):
  rng = np.random.default_rng(seed)
  tracks = [
    make_track(
      np.sort(rng.uniform(0, 2, rng.integers(0, 6))),
      np.sort(rng.uniform(0, 2, num_detections)),
      rng.uniform(0, 1, num_detections),
      spread_s=rng.uniform(0, 0.05, num_detections),
    )
    for num_detections in rng.integers(0, 6, 3)
  ]
  for track, pairing in zip(tracks, label_model.pair(MODEL, tracks), strict=True):
    expected, weights = brute_force(MODEL, track)
    found = dense(pairing, len(track.detections_s))
    np.testing.assert_allclose(found, expected, atol=1e-3)  # pairs beyond five sigmas are left out
    np.testing.assert_allclose(pairing.labelled(len(track.detections_s)), expected.sum(0), atol=1e-3)
    found = tuple((i, int(j)) for i, j in enumerate(pairing.detection) if j >= 0)
    assert weights[found] >= (1 - 1e-3) * max(weights.values())  # ties are broken by a hair


def test_a_detection_is_paired_once():
  track = make_track([1.0, 1.01, 1.02], [1.0])
  (pairing,) = label_model.pair(MODEL, [track])
  assert sorted(pairing.detection.tolist()) == [-1, -1, 0]
  assert pairing.probability.sum() <= 1 + 1e-5


@pytest.mark.parametrize("times", [([1.0, 1.0], [1.0]), ([1.0], [1.0, 1.0]), ([1.0, 1.0, 1.0], [1.0, 1.0])])
def test_equal_times_are_paired_all_the_same(times):
  labels_s, detections_s = times
  (pairing,) = label_model.pair(MODEL, [make_track(labels_s, detections_s)])
  paired = pairing.detection[pairing.detection >= 0]
  assert len(set(paired.tolist())) == len(paired) == min(len(labels_s), len(detections_s))


def made_up(rng, *, noise_s, num_recordings=6, num_events=300, offsets_s=None, jitter=0.0):
  """Events of several recordings with labels, some missing, some stray; detections, some false, some late."""
  offsets_s = np.zeros(num_recordings) if offsets_s is None else offsets_s
  tracks, truth = [], []
  for number in range(num_recordings):
    events_s = 5 + np.cumsum(rng.uniform(0.25, 1.0, num_events))
    end_s = events_s[-1] + 5
    labels_s = events_s[rng.random(num_events) < 0.95]
    labels_s = labels_s + offsets_s[number] + rng.normal(0, noise_s, len(labels_s))
    labels_s = np.sort(np.append(labels_s, rng.uniform(5, end_s - 5, 6)))
    # Of confidence c, a share c of the detections is real.
    heard = rng.random(num_events) < 0.9
    real_s, spread_s = events_s[heard], rng.uniform(0.0, 0.03, heard.sum())
    real_s = real_s + jitter * spread_s * rng.normal(size=len(real_s))
    false_s = rng.uniform(5, end_s - 5, len(real_s) // 3)
    times_s = np.append(real_s, false_s)
    confidence = np.append(rng.beta(5, 1, len(real_s)), rng.beta(1, 3, len(false_s)))
    order = np.argsort(times_s)
    spread_s = np.append(spread_s, rng.uniform(0, 0.03, len(false_s)))
    tracks.append(
      make_track(
        labels_s,
        times_s[order],
        confidence[order],
        spread_s=spread_s[order],
        recording=number,
        duration_s=end_s,
      )
    )
    truth.append(np.append(np.ones(len(real_s)), np.zeros(len(false_s)))[order])
  return tracks, truth


@pytest.mark.parametrize("noise_s", [0.02, 0.1])
def test_noise_and_offsets_are_found(noise_s):
  rng = np.random.default_rng(0)
  offsets_s = rng.normal(0.03, 0.04, 6)
  tracks, _ = made_up(rng, noise_s=noise_s, offsets_s=offsets_s)
  model = label_model.fit(tracks, noise_s=0.25)
  assert model.noise_s == pytest.approx(noise_s, rel=0.1)
  np.testing.assert_allclose(model.offset_s, offsets_s, atol=4 * noise_s / np.sqrt(250))


def test_detections_that_reach_far_in_time_are_trusted_less():
  tracks, _ = made_up(np.random.default_rng(1), noise_s=0.03, num_events=1500, jitter=2.0)
  model = label_model.fit(tracks, noise_s=0.2)
  assert model.spread_scale == pytest.approx(2, rel=0.1)
  assert model.noise_s == pytest.approx(0.03, rel=0.1)
  steady, _ = made_up(np.random.default_rng(1), noise_s=0.03, num_events=1500)
  assert label_model.fit(steady, noise_s=0.2).spread_scale < 0.5


def test_reliability_is_how_often_detections_are_real():
  tracks, truth = made_up(np.random.default_rng(2), noise_s=0.05, num_events=2000)
  model = label_model.fit(tracks, noise_s=0.2)
  confidence, real = np.concatenate([one.confidence for one in tracks]), np.concatenate(truth)
  for low in (0.1, 0.3, 0.5, 0.7, 0.9):
    some = (confidence >= low) & (confidence < low + 0.1)
    # Labels of 5 % are missing.
    assert model.labelled(confidence[some]).mean() == pytest.approx(0.95 * real[some].mean(), abs=0.06)
  assert (np.diff(model.reliability) >= 0).all()
  assert model.real(1.0) == 1


def test_recordings_with_few_labels_lean_on_the_others():
  rng = np.random.default_rng(3)
  tracks, _ = made_up(rng, noise_s=0.1, offsets_s=np.full(6, 0.05))
  lone = make_track([2.0], [2.3], recording=6, duration_s=4.0)
  model = label_model.fit([*tracks, lone], noise_s=0.25)
  assert model.offset_s[6] == pytest.approx(0.05, abs=0.02)
  common = label_model.fit([*tracks, lone], noise_s=0.25, common_offset=True)
  assert np.ptp(common.offset_s) == 0


def test_classes_have_offsets_of_their_own():
  rng = np.random.default_rng(4)
  tracks, _ = made_up(rng, noise_s=0.05, offsets_s=np.array([0.0, 0.0, 0.0, 0.06, 0.06, 0.06]))
  tracks = [one._replace(recording=number % 3, kind=number // 3) for number, one in enumerate(tracks)]
  model = label_model.fit(tracks, noise_s=0.2)
  found = [np.mean(model.expected_s(one) - one.detections_s) for one in tracks]
  np.testing.assert_allclose(found, [0, 0, 0, 0.06, 0.06, 0.06], atol=0.012)


def test_labels_that_are_right_stay_right():
  tracks, _ = made_up(np.random.default_rng(5), noise_s=0.0)
  model = label_model.fit(tracks, noise_s=0.2)
  assert model.noise_s < 0.003 and np.abs(model.offset_s).max() < 0.003


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"labels_s": np.array([2.0, 1.0])}, "labels_s"),
    ({"detections_s": np.array([np.nan])}, "detections_s"),
    ({"confidence": np.array([1.5])}, "between 0 and 1"),
    ({"confidence": np.array([0.5, 0.5])}, "expected 1 numbers"),
    ({"spread_s": np.array([-1.0])}, "spread_s"),
  ],
)
def test_bad_tracks_are_refused(changes, message):
  track = make_track([1.0], [1.0])._replace(**changes)
  with pytest.raises(ValueError, match=message):
    label_model.fit([track], noise_s=0.1)
  with pytest.raises(ValueError, match=message):
    label_model.pair(MODEL, [track])


def test_nothing_to_learn_from_is_refused():
  with pytest.raises(ValueError, match="1 labels and 0 detections"):
    label_model.fit([make_track([1.0], [])], noise_s=0.1)
  with pytest.raises(ValueError, match="noise_s is 0"):
    label_model.fit([make_track([1.0], [1.0])], noise_s=0)


@pytest.mark.parametrize("start_s", [0.1, 0.2, 0.4])
def test_a_recording_that_is_late_by_a_gap_between_events(start_s):
  """Its labels lie on their neighbours' events, where expectation and maximisation alone stay."""
  rng = np.random.default_rng(4)
  offsets_s = np.array([0, 0, 0, 0.409, -0.35])
  tracks = []
  for recording, offset_s in enumerate(offsets_s):
    events_s = 1 + np.cumsum(rng.uniform(0.3, 1.0, 100))
    labels_s = np.sort(events_s + offset_s + rng.normal(0, 0.02, 100))
    tracks.append(make_track(labels_s, events_s, rng.beta(20, 1.2, 100), recording=recording))
  model = label_model.fit(tracks, noise_s=start_s)
  np.testing.assert_allclose(model.offset_s, offsets_s, atol=0.01)
  assert model.noise_s == pytest.approx(0.02, abs=0.005) and model.stray_hz < 0.02
  for pairing in label_model.pair(model, tracks):
    assert (pairing.detection == np.arange(100)).mean() > 0.95
  common = [one._replace(labels_s=one.labels_s + 0.4 - offsets_s[one.recording]) for one in tracks]
  model = label_model.fit(common, noise_s=start_s, common_offset=True)
  np.testing.assert_allclose(model.offset_s, 0.4, atol=0.01)


def few_labels(rng, num_labels, offset_s, recording=0):
  events_s = 5 + np.cumsum(rng.uniform(3, 5, num_labels))
  labels_s = events_s + offset_s + rng.normal(0, 0.1, num_labels)
  return make_track(labels_s, events_s, np.full(num_labels, 0.95), recording=recording)


@pytest.mark.parametrize("num_labels", [2, 4, 6])
def test_noise_of_a_few_labels_is_the_unbiased_variance(num_labels):
  for seed in range(5):
    track = few_labels(np.random.default_rng(seed), num_labels, 0.1)
    expected = np.var(track.labels_s - track.detections_s, ddof=1)
    assert label_model.fit([track], noise_s=0.4).noise_s ** 2 == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("num_labels", "apart_s"), [(2, 0.3), (3, 0.0)])
def test_a_few_labels_of_each_recording_do_not_make_the_noise_small(num_labels, apart_s):
  squares = []
  for seed in range(12):
    rng = np.random.default_rng(seed)
    offsets_s = rng.normal(0, apart_s, 20)
    tracks = [few_labels(rng, num_labels, offset_s, number) for number, offset_s in enumerate(offsets_s)]
    squares.append(label_model.fit(tracks, noise_s=0.4).noise_s ** 2)
  assert np.sqrt(np.mean(squares)) == pytest.approx(0.1, rel=0.12)


@pytest.mark.parametrize(
  ("gap_s", "noise_s", "crowded"),
  [((0.3, 1.0), 0.05, False), ((0.3, 1.0), 0.2, False), ((0.1, 0.2), 0.1, True), ((0.15, 0.4), 0.2, True)],
)
def test_noise_as_large_as_the_gaps_is_told(gap_s, noise_s, crowded):
  rng = np.random.default_rng(2)
  events_s = 1 + np.cumsum(rng.uniform(*gap_s, 400))
  track = make_track(np.sort(events_s + rng.normal(0, noise_s, 400)), events_s, rng.beta(20, 1.2, 400))
  model = label_model.fit([track], noise_s=2 * noise_s)
  assert label_model.is_crowded(model, [track]) == crowded
  assert crowded or model.noise_s == pytest.approx(noise_s, rel=0.1)
