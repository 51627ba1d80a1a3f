"""Features: against librosa, on clicks at known times, and the same for a crop as for a whole recording."""

import jax
import librosa
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


def make_extractor(rate_hz, hop, window, num_mels, **kwargs):
  return features.LogMel(
    sample_rate_hz=rate_hz, hop_samples=hop, window_samples=window, num_mels=num_mels, **kwargs
  )


def whole(extractor, signal):
  """Features of every frame of a recording, `[T, bins, channels]`."""
  num_frames = extractor.num_frames(len(signal))
  return np.asarray(extractor(input_pipeline.cut_signal(signal, *extractor.sample_range(0, num_frames))))


@pytest.mark.parametrize(
  ("settings", "low_hz", "high_hz"),
  [*[(s, 30.0, None) for s in SETTINGS], (SETTINGS[0], 0.0, 6_000.0), (SETTINGS[1], 300.0, 11_025.0)],
)
def test_decibels_equal_librosa(settings, low_hz, high_hz):
  rate_hz, hop, window, num_mels = settings
  rng = np.random.default_rng(0)
  time_s = np.arange(rate_hz // 2) / rate_hz
  signal = (0.3 * np.sin(2 * np.pi * 440 * time_s) + 0.1 * rng.standard_normal(len(time_s))).astype(
    np.float32
  )
  power = librosa.feature.melspectrogram(
    y=signal,
    sr=rate_hz,
    n_fft=window,
    hop_length=hop,
    window="hann",
    center=False,
    power=2,
    n_mels=num_mels,
    fmin=low_hz,
    fmax=high_hz,
  )
  expected = librosa.power_to_db(power, ref=1, amin=1e-10, top_db=None).T
  found = make_extractor(*settings, low_hz=low_hz, high_hz=high_hz).decibels(signal)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, atol=1e-3)


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


def clicks(settings, samples, length):
  """Level of a click at each of these samples, summed over bands, `[clicks, T]`; and the difference."""
  extractor = make_extractor(*settings)
  num_frames = length // settings[1]
  first, num_samples = extractor.sample_range(0, num_frames)
  signals = np.zeros((len(samples), num_samples, 1), np.float32)
  signals[np.arange(len(samples)), np.asarray(samples) - first] = 1.0
  found = np.asarray(jax.jit(extractor)(signals))
  return found[..., 0].sum(-1), found[..., 1].sum(-1)


@pytest.mark.parametrize("settings", SETTINGS)
def test_clicks_are_where_they_were_made(settings):
  hop, window = settings[1:3]
  length = 8 * window // hop * hop
  rng = np.random.default_rng(0)
  samples = rng.integers(2 * window, length - 2 * window, size=400)
  level, _ = clicks(settings, samples, length)
  true_frames = samples / hop
  frames = np.arange(level.shape[1])
  assert (np.abs(level.argmax(1) - true_frames) <= 0.5 + 1e-6).all()
  centroid = level @ frames / level.sum(1)
  assert (np.abs(centroid - true_frames) < 0.5).all()
  assert abs((centroid - true_frames).mean()) < 0.05


@pytest.mark.parametrize("settings", SETTINGS)
def test_difference_rises_before_a_click_and_falls_after_it_by_as_much(settings):
  hop, window = settings[1:3]
  centre = 3 * window // hop
  level, difference = (x[0] for x in clicks(settings, [centre * hop], 8 * window // hop * hop))
  reach = window // hop + 1
  before, after = difference[centre - reach : centre][::-1], difference[centre + 1 : centre + reach + 1]
  np.testing.assert_allclose(before, -after, atol=1e-3 * np.abs(difference).max())
  assert difference[centre] == pytest.approx(0, abs=1e-3 * float(np.abs(difference).max()))
  assert (before >= 0).all() and before.max() > 0.1 * level.max()


@pytest.mark.parametrize(
  "extractor", [make_extractor(*SETTINGS[2]), features.SignalFrames(sample_rate_hz=8_000.0, num_channels=2)]
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


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ({"kind": "mfcc"}, "features.kind is 'mfcc'; expected one of signal, log_mel"),
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


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"window_samples": 511}, "window_samples is 511; expected an even number"),
    ({"hop_samples": 600}, "hop_samples is 600; expected 1 to window_samples, 512"),
    ({"hop_samples": 0}, "hop_samples is 0"),
    ({"floor_db": 0.0}, "floor_db is 0.0; expected a negative number"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    features.LogMel(
      **{"sample_rate_hz": 16_000, "hop_samples": 160, "window_samples": 512, "num_mels": 40} | changes
    )
