"""Decoding piece by piece against decoding the whole."""

from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import decode, evaluation, online_decode

THRESHOLDS, SUPPRESSIONS = st.sampled_from([0.05, 0.3, 0.7]), st.sampled_from([0.0, 1.0, 2.5, 6.0, 15.0])


def probabilities(kind, num_frames, rng):
  p = rng.random(num_frames)
  if kind == "rounded":  # ties, and runs of one value
    return np.round(p**3 * 4) / 4
  if kind == "bumps":
    bumps = np.convolve((p < 0.06) * rng.random(num_frames), [0.2, 0.6, 1.0, 0.5, 0.1])
    return np.minimum(bumps[:num_frames], 1)
  return p


def piecewise(picker, values, rng):
  """What a picker finds in pieces of random length, some of them empty."""
  found, at = [], 0
  while at < len(values):
    stop = min(at + int(rng.integers(0, 9)), len(values))
    found += picker.push(values[at:stop], last=stop == len(values))
    at = stop
  return sorted(found)


@settings(deadline=None, max_examples=50)
@given(
  seed=st.integers(0, 10**6),
  kind=st.sampled_from(["uniform", "rounded", "bumps"]),
  num_frames=st.integers(1, 250),
  threshold=THRESHOLDS,
  suppression=SUPPRESSIONS,
)
def test_threshold_finds_what_is_in_the_whole(seed, kind, num_frames, threshold, suppression):
  rng = np.random.default_rng(seed)
  p = probabilities(kind, num_frames, rng)
  chosen = {"threshold": threshold, "suppression": suppression}
  found = piecewise(online_decode.Threshold(**chosen), p, rng)
  whole = decode.threshold(p, **chosen)
  assert found == list(zip(whole.frames, whole.confidence, strict=True))


@settings(deadline=None, max_examples=50)
@given(
  seed=st.integers(0, 10**6),
  kind=st.sampled_from(["uniform", "bumps"]),
  num_frames=st.integers(1, 250),
  threshold=THRESHOLDS,
  suppression=SUPPRESSIONS,
  share=st.sampled_from([0.0, 0.2, 0.5]),
)
def test_mass_finds_what_is_in_the_whole(seed, kind, num_frames, threshold, suppression, share):
  rng = np.random.default_rng(seed)
  p = probabilities(kind, num_frames, rng)
  chosen = {"threshold": threshold, "suppression": suppression, "window": share * suppression}
  found = piecewise(online_decode.Mass(**chosen), p, rng)
  whole = decode.mass_pick(p, **chosen)
  expected = np.stack([whole.frames, whole.confidence], axis=1)
  np.testing.assert_allclose(np.reshape(found, (-1, 2)), expected, atol=1e-9)


@pytest.mark.parametrize("softness", [1.0, 5.0])
def test_peaks_are_those_of_the_whole(softness):
  rng = np.random.default_rng(0)
  bump = np.exp(-0.5 * (np.arange(-40, 41) / softness) ** 2) / (softness * np.sqrt(2 * np.pi))
  heatmap = np.convolve(rng.random(6_000) < 0.05, bump, mode="same")
  heatmap += 0.02 / softness * rng.standard_normal(6_000)
  found = piecewise(online_decode.PeakPick(threshold=0.3, softness=softness), heatmap, rng)
  whole = decode.peak_pick(heatmap, threshold=0.3, softness=softness)
  assert len(found) > 200
  np.testing.assert_allclose(found, np.stack([whole.frames, whole.confidence], axis=1), atol=1e-6)


PICKERS = {
  "threshold": lambda: online_decode.Threshold(threshold=0.3, suppression=5),
  "mass": lambda: online_decode.Mass(threshold=0.3, suppression=5, window=2.5),
  "peak_pick": lambda: online_decode.PeakPick(threshold=0.3, softness=2),
}


@pytest.mark.parametrize("name", PICKERS)
def test_a_lone_event_comes_when_it_is_said_to(name):
  values = np.zeros(400)
  values[100:103] = [0.02, 0.2, 0.05] if name == "peak_pick" else [0.1, 0.7, 0.2]
  picker = PICKERS[name]()
  told = [(frame, one[0]) for frame, value in enumerate(values) for one in picker.push(np.array([value]))]
  ((frame, position),) = told
  assert frame <= position + picker.wait_frames + (name == "mass")
  assert frame > 102  # not before the next frame could have been more probable


@pytest.mark.parametrize("name", PICKERS)
@pytest.mark.parametrize("kind", ["noise", "ones", "rising"])
def test_memory_does_not_grow(name, kind):
  rng = np.random.default_rng(0)
  picker, sizes, found = PICKERS[name](), [], []
  for number in range(500):
    values = {
      "noise": rng.random(10),
      "ones": np.ones(10),
      "rising": np.linspace(number, number + 1, 10, endpoint=False) / 500,  # each is stronger than the last
    }[kind]
    found += picker.push(values)
    sizes.append(picker.size)
  assert max(sizes) <= 200
  if name != "mass" or kind == "noise":  # a slope without end has no centre
    assert len(found) > 50


def test_two_events_are_never_closer_than_the_suppression_even_where_memory_ends():
  picker = PICKERS["threshold"]()
  found = [event for p in np.linspace(0.31, 1, 3_000) for event in picker.push(np.array([p]))]
  assert np.diff([position for position, _ in found]).min() > 5


def decode_config(**changes):
  return ConfigDict(
    {
      "method": "mass",
      "suppression_s": 0.05,
      "window_s": 0.02,
      "softness_s": 0.03,
      "count_window_s": 1.0,
      "align_softness_s": 0.0,
      "align_max_s": 0.0,
      "shared": False,
    }
    | changes
  )


@pytest.mark.parametrize("method", ["threshold", "mass", "peak_pick"])
@pytest.mark.parametrize("offset_s", [0.3, -0.3, 0.0])
def test_classes_and_their_offsets_as_of_the_whole(method, offset_s):
  rng = np.random.default_rng(1)
  probs = rng.random((500, 2)) ** 3
  calibration = evaluation.Calibration([0.4, 0.6], [offset_s, 0.004])
  config = decode_config(method=method)
  online = online_decode.OnlineDecoder(config, calibration, ("a", "b"), 100.0)
  found = [event for at in range(0, 500, 7) for event in online.push(probs[at : at + 7])]
  assert all(0 <= event.time_s <= 4.99 for event in found)
  found += online.push(probs[:0], last=True)
  times_s, confidence = evaluation.Decoder(config, ("a", "b"), 100.0)(probs, calibration)
  expected = [
    (time, name, c) for name in "ab" for time, c in zip(times_s[name], confidence[name], strict=True)
  ]
  assert len(expected) > 30
  for one, other in zip(sorted(found), sorted(expected), strict=True):
    assert one.label == other[1]
    np.testing.assert_allclose((one.time_s, one.confidence), (other[0], other[2]), atol=1e-9)


@pytest.mark.parametrize("method", ["one_each", "count_posterior"])
def test_methods_for_whole_recordings_are_refused(method):
  config = decode_config(method=method)
  with pytest.raises(ValueError, match=f"decode.method is '{method}', which looks at the whole recording"):
    online_decode.OnlineDecoder(config, evaluation.Calibration([0.5], [0.0]), ("a",), 100.0)


@pytest.mark.parametrize(("suppression", "length"), [(0.0, 27), (2.0, 40), (6.0, 300), (10.0, 131)])
@pytest.mark.parametrize("after", [0.0, 0.25, 1.0], ids="{} after".format)
@pytest.mark.parametrize("at_once", [False, True])
def test_mass_of_a_long_run_of_one_value(suppression, length, after, at_once):
  """A run is one event in its middle, however long, unless more comes right after it."""
  p = np.concatenate([np.zeros(30), np.full(length, 0.75), np.full(60, after), np.zeros(30)])
  chosen = {"threshold": 0.5, "suppression": suppression, "window": suppression / 2}
  picker = online_decode.Mass(**chosen)
  if at_once:
    found = [*picker.push(p[: 30 + length]), *picker.push(p[30 + length :]), *picker.push(p[:0], last=True)]
  else:
    found = piecewise(picker, p, np.random.default_rng(0))
  whole = decode.mass_pick(p, **chosen)
  assert len(whole.frames) == 1
  np.testing.assert_allclose(found, np.stack([whole.frames, whole.confidence], axis=1), atol=1e-9)


def test_memory_does_not_grow_along_a_run():
  picker = online_decode.Mass(threshold=0.5, suppression=6.0, window=3.0)
  sizes = []
  for _ in range(50):
    picker.push(np.ones(100))
    sizes.append(picker.size)
  assert max(sizes[2:]) < 30
