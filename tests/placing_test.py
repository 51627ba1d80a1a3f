"""Events of counted windows: where they are put, how sure that is, and networks that are too sure."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logit

from softloc_jax import decode, placing, poisson_binomial
from softloc_jax.data.recording import CountedWindow

RATE_HZ = 100.0
SETTINGS = {"frame_rate_hz": RATE_HZ, "suppression_s": 0.03, "tolerance_s": 0.03}


def window(start, stop, low, high="low"):
  return CountedWindow(start / RATE_HZ, stop / RATE_HZ, low, low if high == "low" else high)


def bumps(frames, height=0.5, num_frames=400, floor=1e-4):
  """Probabilities with events that are split over three frames."""
  probs = np.full(num_frames, floor)
  for frame in frames:
    probs[frame - 1 : frame + 2] = height / 2, height, height / 2
  return probs


def test_as_many_events_as_were_counted():
  rng = np.random.default_rng(0)
  probs = expit(rng.normal(-4, 2, 500))
  windows = [window(0, 90, 4), window(90, 300, 0), window(300, 330, 30), window(400, 500, 7)]
  times_s = placing.place(probs, windows, **SETTINGS).times_s
  for one in windows:
    found = (times_s >= one.start_s - 0.005) & (times_s < one.end_s - 0.005)
    assert found.sum() == one.low
  assert len(times_s) == 41 and (np.diff(times_s) >= 0).all()


def test_events_are_the_ones_that_from_counts_takes():
  probs = bumps([50, 120, 180])
  for count in (1, 2, 3):
    found = placing.place(probs, [window(0, 200, count)], **SETTINGS).times_s * RATE_HZ
    expected = decode.from_counts(logit(probs[:200]), count, suppression=3.0).frames
    np.testing.assert_allclose(found, expected, atol=0.6)


def test_an_event_is_at_the_centre_of_its_mass():
  probs = np.full(100, 1e-6)
  probs[40:42] = 0.3, 0.31
  found = placing.place(probs, [window(0, 100, 1)], **SETTINGS)
  assert found.times_s[0] == pytest.approx(0.405, abs=1e-3)
  assert found.confidence[0] > 0.99


def test_of_two_places_for_one_event_neither_is_sure():
  probs = bumps([50, 120], height=0.3)
  one, two = (placing.place(probs, [window(0, 200, count)], **SETTINGS) for count in (1, 2))
  assert one.confidence[0] == pytest.approx(0.5, abs=0.02)
  assert (two.confidence > 0.8).all()
  posterior = np.asarray(poisson_binomial.posterior(logit(probs[:200]), 1))
  assert one.confidence[0] == pytest.approx(posterior[47:54].sum(), abs=1e-3)


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 5, 3), (4, 6, 4), (0, 2, 2), (1, None, 3)])
def test_of_an_interval_the_most_probable_count(low, high, expected):
  probs = bumps([50, 100, 150], height=0.9, floor=1e-5)
  probs[[49, 51, 99, 101, 149, 151]] = 1e-5
  assert len(placing.place(probs, [window(0, 200, low, high)], **SETTINGS).times_s) == expected


def test_windows_are_computed_as_if_alone():
  rng = np.random.default_rng(1)
  probs = expit(rng.normal(-3, 2, 3000))
  borders = np.cumsum(rng.integers(20, 200, 20))
  windows = [window(a, b, int(rng.integers(0, 6))) for a, b in itertools.pairwise(borders)]
  together = placing.place(probs, windows, **SETTINGS)
  alone = [placing.place(probs, [one], **SETTINGS) for one in windows]
  np.testing.assert_allclose(together.times_s, np.sort(np.concatenate([one.times_s for one in alone])))
  np.testing.assert_allclose(
    np.sort(together.confidence), np.sort(np.concatenate([one.confidence for one in alone])), atol=1e-5
  )


@pytest.mark.parametrize(("weight", "bias"), [(0.5, -1.0), (1.0, 0.0), (2.0, 0.5)])
def test_counts_tell_how_sure_a_network_may_be(weight, bias):
  """Events drawn from known logits, of which the network gives others: the fit finds the way back."""
  rng = np.random.default_rng(2)
  tracks = []
  for _ in range(6):
    true_logits = rng.normal(-3.5, 2.0, 4000)
    events = rng.random(4000) < expit(true_logits)
    borders = np.arange(0, 4001, 50)
    counts = [int(events[a:b].sum()) for a, b in itertools.pairwise(borders)]
    spreads = np.arange(len(counts)) % 2  # every other window was counted roughly
    windows = [
      window(a, b, max(count - spread, 0), count + spread)
      for (a, b), count, spread in zip(itertools.pairwise(borders), counts, spreads, strict=True)
    ]
    tracks.append((expit((true_logits - bias) / weight), windows))
  scale = placing.fit_scale(tracks, RATE_HZ)
  assert scale.weight == pytest.approx(weight, rel=0.15)
  assert scale.bias == pytest.approx(bias, abs=0.3)


def test_few_windows_leave_the_scale():
  scale = placing.fit_scale([(bumps([50]), [window(0, 100, 1)])], RATE_HZ)
  assert 0.7 < scale.weight < 1.5 and abs(scale.bias) < 0.7
