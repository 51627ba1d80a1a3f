"""Features: against librosa, on clicks at known times, and the same for a crop as for a whole recording."""

import jax
from ml_collections import ConfigDict
import numpy as np
import pytest

from softloc_jax import features, input_pipeline

# Rate, hop, window, mel bands.
SETTINGS = [
  (16_000, 160, 512, 40),
  (44_100, 220, 1_102, 72),
  (8_000, 40, 200, 16),
  (22_050, 441, 1_024, 32),
]


def make_extractor(rate_hz, hop, window_samples, num_mels, **kwargs):
  return features.LogMel(
    sample_rate_hz=rate_hz, hop_samples=hop, window_samples=window_samples, num_mels=num_mels, **kwargs
  )


def whole(extractor, signal):
  """Features of every frame of a recording, `[T, bins, channels]`."""
  num_frames = extractor.num_frames(len(signal))
  return np.asarray(extractor(input_pipeline.cut_signal(signal, *extractor.sample_range(0, num_frames))))


def test_silence_is_at_the_floor():
  extractor = make_extractor(*SETTINGS[0])
  np.testing.assert_allclose(extractor.decibels(np.zeros(2_000, np.float32)), -100.0, atol=1e-4)
  assert not whole(extractor, np.zeros(2_000, np.float32)).any()


def test_level_is_linear_in_decibels_between_floor_and_full_scale():
  rng = np.random.default_rng(0)
  signal = rng.standard_normal(4_000).astype(np.float32)
  extractor = make_extractor(*SETTINGS[0], floor_db=-60.0)
  loud, soft = (whole(extractor, gain * signal)[5:20, :, 0] for gain in (0.1, 0.01))
  assert soft.min() > 0  # nothing is floored here
  np.testing.assert_allclose(loud - soft, 20 / 60, atol=1e-4)
  assert whole(extractor, 1e-6 * signal).max() == 0


# What could move an event: another window, zeros after it, pre-emphasis, another scale, fine and coarse hops.
EXTRACTORS = [
  *[make_extractor(*settings) for settings in SETTINGS],
  make_extractor(16_000, 160, 2_048, 229),
  make_extractor(48_000, 480, 1_200, 64, window="hamming", fft_samples=2_048, pre_emphasis=0.97),
  make_extractor(22_050, 100, 552, 40, fft_samples=1_024, mel_scale="htk", bank_mels=80),
  features.ReferenceLogMel(44_100, 220, 1_102, 72, fft_samples=4_096),
  features.ReferenceLogMel(11_025, 55, 276, 60, fft_samples=1_024, bank_mels=90),
]


def clicks(extractor, samples, length):
  """Level of a click at each of these samples, summed over bands, `[clicks, T]`; and the difference."""
  first, num_samples = extractor.sample_range(0, length // extractor.hop_samples)
  signals = np.zeros((len(samples), num_samples, 1), np.float32)
  signals[np.arange(len(samples)), np.asarray(samples) - first] = 1.0
  found = np.asarray(jax.jit(extractor)(signals))
  level = found[..., 0].sum(-1)
  return level - level.min(1, keepdims=True), found[..., 1].sum(-1)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_clicks_are_where_they_were_made(extractor):
  hop, window = extractor.hop_samples, extractor.window_samples
  length = 8 * window // hop * hop
  rng = np.random.default_rng(0)
  samples = rng.integers(2 * window, length - 2 * window, size=100)
  true_frames = samples / hop
  frames = np.arange(length // hop)
  level, difference = clicks(extractor, samples, length)
  # A click through pre-emphasis is two samples, whose sum is loudest a sample or two aside at low pitch.
  assert (np.abs(level.argmax(1) - true_frames) <= 0.5 + 2 * bool(extractor.pre_emphasis) / hop + 1e-6).all()
  # Rises before and falls after it are where the click is, too.
  for weight in (level, np.abs(difference)):
    centroid = weight @ frames / weight.sum(1)
    assert (np.abs(centroid - true_frames) < 0.5).all()
    assert abs((centroid - true_frames).mean()) < 0.05


@pytest.mark.parametrize("settings", SETTINGS)
def test_difference_rises_before_a_click_and_falls_after_it_by_as_much(settings):
  hop, window = settings[1:3]
  centre, extractor = 3 * window // hop, make_extractor(*settings)
  level, difference = (x[0] for x in clicks(extractor, [centre * hop], 8 * window // hop * hop))
  reach = window // hop + 1
  before, after = difference[centre - reach : centre][::-1], difference[centre + 1 : centre + reach + 1]
  np.testing.assert_allclose(before, -after, atol=1e-3 * np.abs(difference).max())
  assert difference[centre] == pytest.approx(0, abs=1e-3 * float(np.abs(difference).max()))
  assert (before >= 0).all() and before.max() > 0.1 * level.max()


@pytest.mark.parametrize(
  "extractor",
  [
    make_extractor(*SETTINGS[2]),
    make_extractor(*SETTINGS[2], pre_emphasis=0.9, window="hamming", fft_samples=256),
    features.SignalFrames(sample_rate_hz=8_000.0, num_channels=2),
  ],
)
def test_a_stretch_has_the_features_of_the_whole_recording(extractor):
  rng = np.random.default_rng(0)
  signal = rng.standard_normal((1_234, extractor.num_channels)).astype(np.float32)
  expected = whole(extractor, signal)
  num_frames = extractor.num_frames(len(signal))
  assert len(expected) == num_frames
  for start, length in ((0, 3), (7, 1), (5, 12), (num_frames - 4, 4)):
    found = extractor(input_pipeline.cut_signal(signal, *extractor.sample_range(start, length)))
    np.testing.assert_allclose(found, expected[start : start + length], atol=1e-5)


@pytest.mark.parametrize(
  ("num_samples", "expected"), [(1, 1), (40, 1), (41, 2), (80, 2), (4_000, 100), (4_001, 101)]
)
def test_frames_of_a_recording_are_those_centred_in_it(num_samples, expected):
  extractor = make_extractor(8_000, 40, 200, 16)
  assert extractor.num_frames(num_samples) == expected
  assert (expected - 1) * 40 <= num_samples - 1 < expected * 40
  assert extractor.frame_rate_hz == 200


def test_signal_frames():
  extractor = features.SignalFrames(sample_rate_hz=100.0, num_channels=3)
  signal = np.arange(12).reshape(4, 3)
  found = extractor(signal)
  assert found.shape == (4, *extractor.shape) == (4, 1, 3)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found[:, 0], signal)
  assert extractor.sample_range(-5, 9) == (-5, 9)
  assert extractor.num_frames(17) == 17
  assert extractor.frame_rate_hz == 100.0


@pytest.mark.parametrize("extractor", [make_extractor(*SETTINGS[2]), features.SignalFrames(8_000.0)])
def test_jit_and_batches_change_nothing(extractor):
  rng = np.random.default_rng(0)
  batch = rng.standard_normal((2, 3, 600, 1)).astype(np.float32)
  found = jax.jit(extractor)(batch)
  assert found.shape[2:] == (found.shape[2], *extractor.shape)
  for i in range(2):
    for j in range(3):
      np.testing.assert_allclose(found[i, j], extractor(batch[i, j]), atol=1e-5)


def test_from_config_builds_what_it_names():
  assert features.from_config(
    ConfigDict({"kind": "signal", "sample_rate_hz": 100.0})
  ) == features.SignalFrames(100.0)
  mel = {"sample_rate_hz": 16_000, "hop_samples": 160, "window_samples": 512, "num_mels": 40}
  assert features.from_config({"kind": "log_mel", **mel}) == features.LogMel(**mel)
  reference = features.from_config({"kind": "reference_log_mel", **mel, "fft_samples": 1_024})
  assert reference == features.ReferenceLogMel(16_000, 160, 512, 40, fft_samples=1_024)


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ({"kind": "mfcc"}, "features.kind is 'mfcc'; expected one of signal, blocks, video, log_mel"),
    ({"sample_rate_hz": 1.0}, "features.kind is None"),
    (
      {"kind": "signal", "sample_rate_hz": 1.0, "num_mels": 3},
      r"'signal': .*'num_mels'; expected sample_rate_hz",
    ),
    ({"kind": "log_mel", "sample_rate_hz": 1.0}, r"'log_mel': .*'hop_samples'"),
  ],
)
def test_from_config_refuses_what_it_does_not_know(config, message):
  with pytest.raises(ValueError, match=message):
    features.from_config(config)


def test_a_floor_above_full_scale_is_refused():
  with pytest.raises(ValueError, match=r"floor_db is 0.0; expected a negative number"):
    make_extractor(*SETTINGS[0], floor_db=0.0)


@pytest.mark.parametrize("difference", ["centred", "forward", "forward_positive"])
def test_difference_is_that_of_the_levels(difference):
  rng = np.random.default_rng(0)
  signal = rng.standard_normal(3_000).astype(np.float32) * np.linspace(0.01, 1, 3_000, dtype=np.float32)
  found = whole(make_extractor(*SETTINGS[2], difference=difference), signal)
  level = found[..., 0]
  expected = {
    "centred": 2 * (level[2:] - level[:-2]),
    "forward": 4 * (level[1:-1] - level[:-2]),
    "forward_positive": 4 * np.maximum(level[1:-1] - level[:-2], 0),
  }[difference]
  np.testing.assert_allclose(found[1:-1, :, 1], expected, atol=1e-5)
