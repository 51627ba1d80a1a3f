"""Cymbals, hats and sticks synthesised after real ones, beside the electronic sounds of `drum_voices`.

A struck cymbal is dense, inharmonic and soon sounds like noise whose highs and lows die at rates of their
own; a ride keeps some clear partials. So a stroke is noise in three bands, each with its own rise and decay,
plus partials, plus the click of the stick. It starts in its first sample.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from softloc_jax.data.drum_voices import shaped_noise

VOICES = ("closed_hat", "pedal_hat", "open_hat", "crash", "ride", "ride_bell", "sidestick")

# Bands in Hz, and how long each takes to build up after the stroke, in seconds.
_BANDS_HZ = ((250, 1500), (1500, 5000), (5000, np.inf))
_RISE_S = {"crash": (0.001, 0.012, 0.03), "open_hat": (0.0005, 0.002, 0.003)}
_LENGTH_S = {
  "closed_hat": 0.3,
  "pedal_hat": 0.25,
  "open_hat": 1.2,
  "crash": 2.0,
  "ride": 1.6,
  "ride_bell": 1.6,
}


def draw_cymbal(rng: np.random.Generator, voice: str) -> dict[str, float | np.ndarray]:
  """Draws the parameters of one cymbal (or of one snare's rim).

  Args:
    rng: source of randomness.
    voice: one of `VOICES`.

  Raises:
    ValueError: an unknown voice.
  """
  if voice not in VOICES:
    raise ValueError(f"unknown voice {voice!r}; expected one of {', '.join(VOICES)}")
  if voice == "sidestick":
    modes_hz = np.array([rng.uniform(320, 620), rng.uniform(900, 1500), rng.uniform(1700, 3200)])
    return {"modes_hz": modes_hz, "decay_s": rng.uniform(0.006, 0.02), "click": rng.uniform(0.2, 0.8)}
  low_s, high_s = {
    "closed_hat": (0.012, 0.06),
    "pedal_hat": (0.01, 0.04),
    "open_hat": (0.12, 0.45),
    "crash": (0.25, 0.9),
    "ride": (0.2, 0.9),
    "ride_bell": (0.15, 0.6),
  }[voice]
  num_partials = {"ride": 24, "ride_bell": 14}.get(voice, 8)
  # The bell's partials are few and low, the bow's many: their density grows with frequency.
  low_hz, high_hz = (500, 5500) if voice == "ride_bell" else (350, 7500)
  return {
    "decay_s": rng.uniform(low_s, high_s),
    "band_decay": np.array([rng.uniform(0.3, 0.9), 1.0, rng.uniform(0.5, 1.3)]),
    "band_db": np.array([rng.uniform(-14, 2), rng.uniform(-6, 2), rng.uniform(-4, 6)]),
    "partials_hz": low_hz * (high_hz / low_hz) ** np.sqrt(rng.random(num_partials)),
    "partials": rng.uniform(0.6, 1.6) if voice == "ride_bell" else rng.uniform(0.05, 0.5),
    "stick": rng.uniform(0.1, 1.0),
    "tilt": rng.uniform(-0.6, 0.2),
  }


def render_cymbal(
  rng: np.random.Generator, cymbal: Mapping, voice: str, sample_rate_hz: float, *, hardness: float = 1.0
) -> np.ndarray:
  """One stroke, float32 `[num_samples]`, with peak 1.

  Args:
    rng: source of the noise: no two strokes are the same.
    cymbal: what `draw_cymbal` returned for this voice.
    voice: one of `VOICES`.
    sample_rate_hz: samples per second.
    hardness: how hard the stroke is, in [0, 1]: a soft one has fewer highs.

  >>> rng = np.random.default_rng(0)
  >>> stroke = render_cymbal(rng, draw_cymbal(rng, "ride"), "ride", 16_000)
  >>> stroke.dtype, float(abs(stroke).max())
  (dtype('float32'), 1.0)
  """
  if voice == "sidestick":
    sound = _sidestick(rng, cymbal, sample_rate_hz)
  else:
    sound = _cymbal(rng, cymbal, voice, sample_rate_hz, hardness)
  attack = 1 - np.exp(-np.arange(1, len(sound) + 1, dtype=np.float32) / np.float32(0.0002 * sample_rate_hz))
  fade = int(0.02 * sample_rate_hz)
  sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
  sound = (sound * attack).astype(np.float32)
  return sound / np.max(np.abs(sound))


def _sidestick(rng, stick, sample_rate_hz):
  """A stick laid on the rim: wood, shell and hardly any wires."""
  t = np.arange(int(0.15 * sample_rate_hz), dtype=np.float32) / np.float32(sample_rate_hz)
  decays_s = stick["decay_s"] * np.array([1.6, 1.0, 0.6])[:, None]
  modes = np.sin(2 * np.pi * stick["modes_hz"][:, None] * t + rng.uniform(0, 0.5, (3, 1))) * np.exp(
    -t / decays_s
  )
  click = shaped_noise(rng, len(t), sample_rate_hz, 1200, 6000) * np.exp(-t / 0.004)
  return np.array([0.6, 1.0, 0.7]) @ modes + stick["click"] * click


def _cymbal(rng, cymbal, voice, sample_rate_hz, hardness):
  t = np.arange(int(_LENGTH_S[voice] * sample_rate_hz), dtype=np.float32) / np.float32(sample_rate_hz)
  sound = np.zeros(len(t), np.float32)
  tilt_db = np.array([4, 0, -8]) * (1 - hardness)
  rises_s = _RISE_S.get(voice, (0.0003, 0.0003, 0.0003))
  for (low_hz, high_hz), rise_s, db, relative in zip(
    _BANDS_HZ, rises_s, cymbal["band_db"] + tilt_db, cymbal["band_decay"], strict=True
  ):
    noise = shaped_noise(rng, len(t), sample_rate_hz, low_hz, high_hz, cymbal["tilt"])
    # Part of the stroke is there at once; the wash builds up behind it.
    envelope = (1 - 0.6 * np.exp(-t / rise_s)) * np.exp(-t / np.float32(cymbal["decay_s"] * relative))
    sound += np.float32(10 ** (db / 20)) * noise * envelope
  partials_hz = cymbal["partials_hz"][cymbal["partials_hz"] < 0.47 * sample_rate_hz]
  phases = rng.uniform(0, 2 * np.pi, len(partials_hz))
  decays_s = cymbal["decay_s"] * rng.uniform(0.5, 2, len(partials_hz))
  amplitude = 2 * cymbal["partials"] / np.sqrt(len(partials_hz))
  for hz, phase, decay_s in zip(partials_hz, phases, decays_s, strict=True):
    sound += (
      np.float32(amplitude)
      * np.exp(-t / np.float32(decay_s))
      * np.sin(np.float32(2 * np.pi * hz) * t + phase)
    )
  click = shaped_noise(rng, len(t), sample_rate_hz, 1500, 7000) * np.exp(-t / np.float32(0.004))
  return sound + np.float32(3 * cymbal["stick"] * (0.3 + 0.7 * hardness)) * click
