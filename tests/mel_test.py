"""Mel bands against librosa; the spectrogram of the papers against its definition."""

import jax
import librosa
import numpy as np
import pytest
import several_devices

from softloc_jax import features, input_pipeline, mel


def make_signal(rate_hz, seconds=0.5):
  rng = np.random.default_rng(0)
  time_s = np.arange(int(seconds * rate_hz)) / rate_hz
  tone = 0.3 * np.sin(2 * np.pi * 440 * time_s) * np.exp(-4 * time_s)
  return (tone + 0.1 * rng.standard_normal(len(time_s))).astype(np.float32)


@pytest.mark.parametrize(
  ("settings", "changes"),
  [
    ((16_000, 160, 512, 40), {}),
    ((44_100, 220, 1_102, 72), {}),
    ((8_000, 40, 200, 16), {}),
    ((22_050, 441, 1_024, 32), {}),
    ((16_000, 160, 2_048, 229), {}),
    ((16_000, 160, 512, 40), {"low_hz": 0.0, "high_hz": 6_000.0}),
    ((44_100, 220, 1_102, 72), {"low_hz": 300.0, "high_hz": 11_025.0}),
    ((16_000, 160, 512, 40), {"mel_scale": "htk", "window": "hamming"}),
    ((48_000, 512, 2_048, 64), {"mel_scale": "htk", "mel_norm": None, "pre_emphasis": 0.97}),
    ((44_100, 220, 1_102, 72), {"fft_samples": 4_096, "window": "hamming", "low_hz": 0.0}),
    ((16_000, 80, 400, 60), {"fft_samples": 8_192, "bank_mels": 100, "mel_scale": "htk"}),
  ],
)
def test_decibels_equal_librosa(settings, changes):
  rate_hz, hop, window, num_mels = settings
  extractor = mel.MelBands(*settings, **changes)
  signal = make_signal(rate_hz)
  emphasized = librosa.effects.preemphasis(signal, coef=extractor.pre_emphasis, zi=np.zeros(1, np.float32))
  fft_samples = extractor.fft_samples or window
  power = librosa.feature.melspectrogram(
    y=np.pad(emphasized, (fft_samples - window) // 2),  # it centres the window within the transform
    sr=rate_hz,
    n_fft=fft_samples,
    win_length=window,
    hop_length=hop,
    window=extractor.window,
    center=False,
    power=2,
    n_mels=extractor.bank_mels or num_mels,
    fmin=extractor.low_hz,
    fmax=extractor.high_hz,
    htk=extractor.mel_scale == "htk",
    norm=extractor.mel_norm,
  )
  expected = librosa.power_to_db(power, ref=1, amin=1e-10, top_db=None).T[:, :num_mels]
  found = extractor.decibels(signal)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
  "changes", [{}, {"mel_scale": "htk", "bank_mels": 60, "low_hz": 0.0}, {"high_hz": 4_000.0}]
)
def test_a_tone_is_loudest_in_the_band_of_its_frequency(changes):
  extractor = mel.MelBands(16_000, 160, 2_048, 40, mel_norm=None, **changes)
  assert (np.diff(extractor.band_hz) > 0).all() and len(extractor.band_hz) == 40
  for band in (5, 20, 39):
    tone = np.sin(2 * np.pi * extractor.band_hz[band] * np.arange(4_000) / 16_000).astype(np.float32)
    assert (np.asarray(extractor.decibels(tone)).argmax(-1) == band).all()


def reference_spectrogram(signal, extractor):
  """The papers' spectrogram by its definition, of frames centred on multiples of the hop."""
  rate_hz, window, fft_samples = extractor.sample_rate_hz, extractor.window_samples, extractor.fft_samples
  padded = np.pad(signal.astype(np.float64), (window // 2, window))
  padded[1:] -= 0.97 * padded[:-1].copy()
  hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(window) / window)
  highest = 2595 * np.log10(1 + rate_hz / 2 / 700)
  bank = extractor.bank_mels or extractor.num_mels
  edges_hz = 700 * (10 ** (np.linspace(0, highest, bank + 2) / 2595) - 1)
  bins_hz = np.arange(fft_samples // 2 + 1) * rate_hz / fft_samples
  low, top, high = (edges_hz[i : i + extractor.num_mels, None] for i in range(3))
  triangles = np.clip(np.minimum((bins_hz - low) / (top - low), (high - bins_hz) / (high - top)), 0, None)
  result = np.zeros((extractor.num_frames(len(signal)), extractor.num_mels))
  for frame in range(len(result)):
    start = frame * extractor.hop_samples
    spectrum = np.fft.rfft(padded[start : start + window] * hamming, fft_samples)
    result[frame] = 20 * np.log10(np.maximum(triangles @ (np.abs(spectrum) ** 2 / fft_samples), 1e-10))
  return result - result.mean(0)


@pytest.mark.parametrize(
  "extractor",
  [
    features.ReferenceLogMel(44_100, 220, 1_102, 72, fft_samples=4_096),
    features.ReferenceLogMel(44_100, 220, 1_102, 384, fft_samples=8_192, bank_mels=550),
    features.ReferenceLogMel(16_000, 80, 400, 40, fft_samples=1_024),
  ],
)
def test_reference_log_mel_is_the_spectrogram_of_the_papers(extractor):
  signal = make_signal(extractor.sample_rate_hz, 0.12)
  expected = reference_spectrogram(signal, extractor)
  crop = input_pipeline.cut_signal(signal, *extractor.sample_range(0, len(expected)))
  found = np.asarray(extractor(crop))
  np.testing.assert_allclose(found[..., 0], expected, atol=5e-3)
  np.testing.assert_allclose(found[1:-1, :, 1], (expected[2:] - expected[:-2]) / 2, atol=5e-3)
  by_50 = features.ReferenceLogMel(**{**vars(extractor), "scale": 0.02})
  np.testing.assert_allclose(by_50(crop), found / 50, atol=1e-5)


def test_a_stretch_of_the_reference_differs_by_its_mean_alone():
  extractor = features.ReferenceLogMel(16_000, 80, 400, 40, fft_samples=512)
  signal = make_signal(16_000)
  total = extractor.num_frames(len(signal))
  whole, part = (
    np.asarray(extractor(input_pipeline.cut_signal(signal, *extractor.sample_range(start, length))))
    for start, length in ((0, total), (17, 40))
  )
  np.testing.assert_allclose(part[..., 1], whole[17:57, :, 1], atol=2e-3)
  offset = part[..., 0] - whole[17:57, :, 0]
  np.testing.assert_allclose(offset, np.broadcast_to(offset[:1], offset.shape), atol=2e-3)
  np.testing.assert_allclose(part[..., 0].mean(0), 0, atol=1e-3)


@pytest.mark.slow
def test_silence_beyond_a_recording_has_no_part_in_the_mean_of_the_reference():
  extractor = features.ReferenceLogMel(16_000, 160, 400, 40, fft_samples=512)
  signal = make_signal(16_000)[: 160 * 40]
  inside, beyond = (
    np.asarray(extractor(input_pipeline.cut_signal(signal, *extractor.sample_range(start, length))))[..., 0]
    for start, length in ((5, 30), (5, 90))
  )
  sounding = np.asarray(extractor(input_pipeline.cut_signal(signal, *extractor.sample_range(5, 37))))[..., 0]
  np.testing.assert_allclose(beyond[:37], sounding, atol=1e-3)
  assert np.abs(beyond[:30] - inside).max() < 15  # against more than 100 with silence in the mean
  assert np.isfinite(extractor(np.zeros((4_000, 1), np.float32))).all()


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"window_samples": 511}, "window_samples is 511; expected an even number"),
    ({"hop_samples": 600}, "hop_samples is 600; expected 1 to window_samples, 512"),
    ({"hop_samples": 0}, "hop_samples is 0"),
    ({"fft_samples": 500}, "fft_samples is 500; expected None or 512 or more"),
    ({"bank_mels": 39}, "bank_mels is 39; expected None or 40 or more"),
    ({"window": "kaiser"}, "window is 'kaiser'; expected one of 'hann', 'hamming'"),
    ({"mel_scale": "bark"}, "mel_scale is 'bark'; expected one of 'slaney', 'htk'"),
    ({"mel_norm": "l1"}, "mel_norm is 'l1'; expected one of 'slaney', None"),
    ({"difference": "second"}, "difference is 'second'; expected one of 'centred'"),
    ({"high_hz": 9000.0}, "low_hz is .* and high_hz 9000.0; expected 0 <= low_hz < high_hz, at most half"),
    ({"low_hz": 3000.0, "high_hz": 2000.0}, "low_hz is 3000.0 and high_hz 2000.0"),
    ({"pre_emphasis": 1.5}, "pre_emphasis is 1.5; expected 0 to 1"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
  settings = {"sample_rate_hz": 16_000, "hop_samples": 160, "window_samples": 512, "num_mels": 40}
  with pytest.raises(ValueError, match=message):
    mel.MelBands(**settings | changes)


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("numbers", [2_000, 9_000, 15_000])
def test_frames_in_pieces_are_those_at_once(monkeypatch, batch, numbers):
  bands = mel.MelBands(16_000, 100, 512, 20)
  signal = np.random.default_rng(0).standard_normal((*batch, 4_321)).astype(np.float32)
  at_once = bands.decibels(signal)
  assert at_once.shape == (*batch, 39, 20)
  monkeypatch.setattr(mel, "_NUMBERS_AT_A_TIME", numbers)
  assert "while" in jax.jit(bands.decibels).lower(signal).as_text()
  np.testing.assert_allclose(bands.decibels(signal), at_once, atol=1e-4)


def test_several_devices_take_all_frames_at_once():
  program = """
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from softloc_jax import mel

mel._NUMBERS_AT_A_TIME = 1000  # pieces, were there one device
bands = mel.MelBands(16_000, 100, 512, 20)
signal = np.random.default_rng(0).standard_normal((4, 4_321)).astype(np.float32)
mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
spread = jax.device_put(signal, NamedSharding(mesh, PartitionSpec("batch")))
compute = jax.jit(bands.decibels)
assert "while" not in compute.lower(spread).as_text()
np.testing.assert_allclose(compute(spread), compute(signal), atol=1e-4)
"""
  several_devices.run(program, 2)
