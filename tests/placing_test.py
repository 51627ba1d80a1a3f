"""Events of counted windows: where they are put, how sure that is, and networks that are too sure."""

import itertools

import numpy as np
import pytest
from scipy.special import expit

from softloc_jax import decode, placing
from softloc_jax.data.recording import CountedWindow

RATE_HZ = 100.0


def window(start, stop, low, high="low"):
  return CountedWindow(start / RATE_HZ, stop / RATE_HZ, low, low if high == "low" else high)


def place(probs, windows):
  return placing.place(placing.candidates(probs, windows, frame_rate_hz=RATE_HZ, suppression_s=0.06))


def bumps(frames, mass=0.5, num_frames=400):
  """Probabilities with events that are spread over three frames."""
  probs = np.full(num_frames, 1e-5)
  for frame in frames:
    probs[frame - 1 : frame + 2] = mass / 4, mass / 2, mass / 4
  return probs


def test_as_many_events_as_were_counted():
  rng = np.random.default_rng(0)
  probs = expit(rng.normal(-4, 2, 500))
  windows = [window(0, 90, 4), window(90, 300, 0), window(300, 330, 30), window(400, 500, 7)]
  found = place(probs, windows)
  for one in windows:
    inside = (found.times_s >= one.start_s - 0.005) & (found.times_s < one.end_s)
    assert inside.sum() == one.low
  assert len(found.times_s) == 41 and (np.diff(found.times_s) >= 0).all()
  assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_nothing_counted_is_nothing_placed():
  assert not len(place(bumps([50]), []).times_s)
  assert not len(place(bumps([50]), [window(0, 200, 0), window(200, 400, 0)]).times_s)


def test_events_are_the_most_probable_ones():
  probs = bumps([50]) + bumps([120], mass=0.7) + bumps([180], mass=0.3)
  for count, expected in ((1, [120]), (2, [50, 120]), (3, [50, 120, 180])):
    np.testing.assert_allclose(RATE_HZ * place(probs, [window(0, 200, count)]).times_s, expected, atol=0.05)


def test_an_event_is_at_the_centre_of_its_mass_and_is_one_event():
  probs = np.full(100, 1e-6)
  probs[40:42] = 0.5, 0.5
  found = place(probs, [window(0, 100, 1)])
  assert found.times_s[0] == pytest.approx(0.405, abs=1e-3)
  assert found.confidence[0] > 0.99


def test_more_events_than_candidates_take_the_most_probable_frames():
  probs = bumps([50], num_frames=100)
  probs[[20, 80]] = 9e-4
  found = place(probs, [window(0, 100, 3)])
  np.testing.assert_allclose(found.times_s, [0.2, 0.5, 0.8], atol=1e-3)


def test_windows_of_a_frame_or_less_have_the_event_that_was_counted():
  probs = bumps([7], num_frames=40)
  for start_s, end_s in ((0.07, 0.078), (0.071, 0.079), (0.062, 0.069)):
    found = place(probs, [CountedWindow(start_s, end_s, 1, 1)])
    assert len(found.times_s) == 1 and abs(found.times_s[0] - 0.07) <= 0.01
  # 0.07 * 100 is a little more than 7: the first frame is in the window all the same.
  found = place(bumps([7, 30], num_frames=50), [CountedWindow(0.07, 0.4, 2, 2)])
  np.testing.assert_allclose(found.times_s, [0.07, 0.3], atol=1e-3)


def test_confidence_is_the_posterior_of_bernoulli_events():
  """Against enumeration of all ways in which candidates may be events."""
  mass = [0.2, 0.5, 0.9, 0.6]
  probs = sum(bumps([frame], one) for frame, one in zip((50, 120, 180, 260), mass, strict=True))
  mass = decode.mass_pick(probs, threshold=0.01, suppression=6.0).confidence
  ways = np.array(list(itertools.product([0, 1], repeat=4)))
  weight = np.prod(np.where(ways, mass, 1 - mass), axis=1)
  for count in (1, 2, 3):
    possible = ways.sum(1) == count
    posterior = weight[possible] @ ways[possible] / weight[possible].sum()
    found = place(probs, [window(0, 400, count)])
    np.testing.assert_allclose(np.sort(found.confidence), np.sort(posterior)[4 - count :], atol=1e-3)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, None), (1, 3), (2, 2), (0, 4)])
def test_confidence_of_an_interval_is_the_posterior_of_the_interval(low, high):
  mass = np.array([0.2, 0.5, 0.9, 0.6])
  probs = sum(bumps([frame], one) for frame, one in zip((50, 120, 180, 260), mass, strict=True))
  mass = decode.mass_pick(probs, threshold=0.01, suppression=6.0).confidence
  ways = np.array(list(itertools.product([0, 1], repeat=4)))
  chance = np.prod(np.where(ways, mass, 1 - mass), axis=1)
  possible = (ways.sum(1) >= low) & (ways.sum(1) <= (4 if high is None else high))
  posterior = chance[possible] @ ways[possible] / chance[possible].sum()
  found = place(probs, [window(0, 400, low, high)])
  counts = np.bincount(ways.sum(1), chance * possible)
  assert len(found.times_s) == counts.argmax()
  np.testing.assert_allclose(
    np.sort(found.confidence), np.sort(posterior)[4 - len(found.times_s) :], atol=1e-3
  )


@pytest.mark.parametrize("count", [15, 16, 17, 31, 32, 33])
def test_no_count_is_taken_for_or_more(count):
  probs = np.full(4000, 1e-6)
  probs[np.arange(40) * 100 + 50] = 0.4
  found = placing.candidates(probs, [window(0, 4000, count)] * 3, frame_rate_hz=RATE_HZ, suppression_s=0.06)
  scales = placing.fit_scales([found])
  logit = scales.weight * np.log(0.4 / 0.6) + scales.biases[0]
  assert 40 / (1 + np.exp(-logit)) == pytest.approx(count, rel=0.15)


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 5, 3), (4, 6, 4), (0, 2, 2), (1, None, 3)])
def test_of_an_interval_the_most_probable_count(low, high, expected):
  found = place(bumps([50, 100, 150], mass=0.95), [window(0, 200, low, high)])
  assert len(found.times_s) == expected


def test_windows_are_computed_as_if_alone():
  rng = np.random.default_rng(1)
  probs = expit(rng.normal(-3, 2, 3000))
  borders = np.cumsum(rng.integers(20, 200, 20))
  windows = [window(a, b, int(rng.integers(0, 6))) for a, b in itertools.pairwise(borders)]
  together = place(probs, windows)
  alone = [place(probs, [one]) for one in windows]
  np.testing.assert_allclose(together.times_s, np.sort(np.concatenate([one.times_s for one in alone])))
  of_alone = np.concatenate([one.confidence for one in alone])
  np.testing.assert_allclose(np.sort(together.confidence), np.sort(of_alone), atol=1e-5)


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("bias", [-1.0, 0.5])
def test_counts_tell_how_sure_a_network_may_be(weight, bias):
  """Events drawn from known logits, of which the network gives others: the fit finds the way back."""
  rng = np.random.default_rng(2)
  found = []
  for _ in range(6):
    true_logits = np.clip(rng.normal(-0.5, 2.0, (150, 8)), -5, 5)
    counts = (rng.random(true_logits.shape) < expit(true_logits)).sum(1)
    spreads = np.arange(len(counts)) % 2  # every other window was counted roughly
    windows = [
      CountedWindow(float(start), start + 1.0, max(int(count) - spread, 0), int(count) + spread)
      for start, (count, spread) in enumerate(zip(counts, spreads, strict=True))
    ]
    given = (true_logits - bias) / weight
    times_s = [start + np.linspace(0.1, 0.9, 8) for start in range(len(counts))]
    found.append(placing.Candidates(times_s, list(given), windows))
  scales = placing.fit_scales(found)
  assert scales.weight == pytest.approx(weight, rel=0.15)
  np.testing.assert_allclose(scales.biases, bias, atol=0.4)


def test_few_windows_leave_the_weight():
  found = placing.candidates(bumps([50]), [window(0, 100, 1)], frame_rate_hz=RATE_HZ, suppression_s=0.06)
  assert 0.7 < placing.fit_scales([found]).weight < 1.4
