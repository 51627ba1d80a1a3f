"""The sounds of the drum machine: random kits, rooms and clutter, synthesised from a few parameters.

Every sound starts in its first sample and rises within 2 ms (shakers and soft notes, which are
never labelled, excepted), so the instant at which it is put into a mix is its true onset.

What the test split holds out is written down once, in `KIT_RANGES`, `ROOM_RANGES` and
`HAT_FAMILIES`: no parameter of a test kit or test room lies in its training intervals. Where training
has two intervals, test lies between them; where it has one, test lies beyond it. Training hats add
up square waves or ring-modulate them; test hats are frequency modulated.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

VOICES = ("kick", "snare", "closed_hat", "open_hat")

# name: (intervals of training and validation, intervals of test)
KIT_RANGES = {
  "kick_hz": (((44, 54), (62, 80)), ((55, 61),)),
  "kick_sweep": (((2.0, 4.0),), ((4.2, 5.0),)),  # starting pitch over final pitch
  "kick_sweep_s": (((0.012, 0.030), (0.045, 0.060)), ((0.033, 0.042),)),
  "kick_decay_s": (((0.09, 0.18), (0.24, 0.32)), ((0.19, 0.23),)),
  "kick_click": (((0.12, 0.40),), ((0.42, 0.55),)),  # level of the beater
  "kick_click_hz": (((900, 2200), (3000, 4000)), ((2300, 2900),)),
  "kick_drive": (((0.3, 1.5),), ((1.6, 2.2),)),  # saturation
  "snare_hz": (((150, 185), (215, 260)), ((190, 210),)),
  "snare_mode": (((1.50, 1.70),), ((1.75, 1.90),)),  # second mode over the first
  "snare_tone_decay_s": (((0.04, 0.08), (0.11, 0.14)), ((0.085, 0.105),)),
  "snare_noise": (((0.7, 1.4),), ((1.45, 1.8),)),  # level of the wires
  "snare_noise_hz": (((900, 1500), (2100, 2800)), ((1600, 2000),)),
  "snare_noise_decay_s": (((0.06, 0.11), (0.16, 0.20)), ((0.12, 0.15),)),
  "snare_tilt": (((-1.4, -1.0), (-0.7, -0.4)), ((-0.95, -0.75),)),  # amplitude ~ frequency ** tilt
  "hat_hz": (((300, 390), (480, 600)), ((400, 470),)),
  "hat_cut_hz": (((4300, 5200), (6000, 6600)), ((5300, 5900),)),
  "hat_noise": (((0.25, 0.70),), ((0.75, 0.90),)),  # noise against partials
  "hat_tilt": (((-0.4, 0.0), (0.3, 0.6)), ((0.05, 0.25),)),
  "hat_closed_decay_s": (((0.014, 0.028), (0.040, 0.055)), ((0.030, 0.038),)),
  "hat_open_decay_s": (((0.10, 0.20), (0.28, 0.40)), ((0.21, 0.27),)),
}
ROOM_RANGES = {
  "reverberation_s": (((0.12, 0.30), (0.50, 0.80)), ((0.33, 0.47),)),  # time to fall by 60 dB
  "first_reflection_s": (((0.002, 0.007), (0.013, 0.020)), ((0.008, 0.012),)),  # room size
  "damping_hz": (((1800, 3000), (4500, 6000)), ((3200, 4300),)),  # highs above it die three times faster
}
HAT_FAMILIES = {"train": ("square", "ring"), "test": ("fm",)}
# Frequencies of a hat's six oscillators over `hat_hz`; inharmonic on purpose.
_HAT_RATIOS = np.array([1.0, 1.342, 1.5, 1.671, 1.933, 2.521])


def _draw(rng: np.random.Generator, ranges: Mapping[str, tuple], split: str) -> dict[str, float]:
  """One value per parameter, uniform over the intervals that belong to the split."""
  values = {}
  for name, intervals in ranges.items():
    low, high = np.transpose(intervals[split == "test"]).astype(np.float64)
    interval = rng.choice(len(low), p=(high - low) / (high - low).sum())
    values[name] = float(rng.uniform(low[interval], high[interval]))
  return values


def draw_kit(rng: np.random.Generator, split: str) -> dict[str, float | str]:
  """Draws the parameters of one drum kit.

  Args:
    rng: source of randomness.
    split: "train", "validation" (the same ranges as "train") or "test" (disjoint from them).

  Returns:
    The names of `KIT_RANGES` with their values, and "hat_family".

  >>> kit = draw_kit(np.random.default_rng(0), "test")
  >>> kit["hat_family"], 55 <= kit["kick_hz"] <= 61
  ('fm', True)
  """
  kit = _draw(rng, KIT_RANGES, split)
  kit["hat_family"] = str(rng.choice(HAT_FAMILIES["test" if split == "test" else "train"]))
  return kit


def shaped_noise(
  rng: np.random.Generator, num_samples: int, sample_rate_hz: float, low_hz: float, high_hz=np.inf, tilt=0.0
) -> np.ndarray:
  """Gaussian noise of unit power between two frequencies, float32 `[num_samples]`.

  It is drawn in the frequency domain and so is stationary from the first sample: the envelope that
  multiplies it later is the only thing that makes its attack.

  Args:
    rng: source of randomness.
    num_samples: length.
    sample_rate_hz: samples per second.
    low_hz: third-order high-pass corner.
    high_hz: third-order low-pass corner.
    tilt: amplitude grows as frequency to this power.
  """
  size = 1 << max(num_samples - 1, 63).bit_length()
  hz = np.fft.rfftfreq(size, 1 / sample_rate_hz).astype(np.float32)[1:]
  shape = (hz / 1000) ** tilt / np.sqrt((1 + (low_hz / hz) ** 6) * (1 + (hz / high_hz) ** 6))
  spectrum = np.zeros(len(hz) + 1, np.complex64)
  white = rng.standard_normal((2, len(hz)), dtype=np.float32)
  spectrum[1:] = shape * (white[0] + 1j * white[1])
  spectrum[-1] = 0  # the Nyquist bin of a real signal must be real
  noise = np.fft.irfft(spectrum, size)[:num_samples].astype(np.float32)
  return noise / np.sqrt(np.mean(noise**2))


def _times_s(length_s: float, sample_rate_hz: float) -> np.ndarray:
  return np.arange(1, int(length_s * sample_rate_hz) + 1, dtype=np.float32) / np.float32(sample_rate_hz)


def _turns(hz, num_samples: int, sample_rate_hz: float) -> np.ndarray:
  """Phases in units of 2**-32 turns, uint32 `[..., num_samples]`: integers wrap around exactly and fast."""
  step = np.asarray(np.asarray(hz) / sample_rate_hz * 2**32, np.uint64).astype(np.uint32)
  return step[..., np.newaxis] * np.arange(num_samples, dtype=np.uint32)


def _finish(sound: np.ndarray, sample_rate_hz: float, attack_s: float = 0.0003) -> np.ndarray:
  """Peak 1, a rounded start of `attack_s` and a faded end, so that nothing clicks where it stops."""
  fade = min(len(sound), int(0.02 * sample_rate_hz))
  sound[len(sound) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
  sound *= 1 - np.exp(-np.arange(1, len(sound) + 1, dtype=np.float32) / np.float32(attack_s * sample_rate_hz))
  return sound / np.max(np.abs(sound))


def _kick(rng, kit, sample_rate_hz, hardness):
  t = _times_s(5 * kit["kick_decay_s"], sample_rate_hz)
  # The pitch falls as f (1 + (sweep - 1) exp(-t / tau)); this is its integral.
  swept = (kit["kick_sweep"] - 1) * kit["kick_sweep_s"] * (1 - np.exp(-t / kit["kick_sweep_s"]))
  body = np.sin(2 * np.pi * kit["kick_hz"] * (t + swept)) * np.exp(-t / kit["kick_decay_s"])
  drive = kit["kick_drive"] * (0.3 + hardness)
  body = np.tanh(drive * body) / np.tanh(drive)
  click_hz = kit["kick_click_hz"]
  click = shaped_noise(rng, len(t), sample_rate_hz, 0.5 * click_hz, 1.5 * click_hz) * np.exp(-t / 0.004)
  return body + kit["kick_click"] * hardness * click


def _snare(rng, kit, sample_rate_hz, hardness):
  t = _times_s(5 * max(kit["snare_tone_decay_s"], kit["snare_noise_decay_s"]), sample_rate_hz)
  phase = 2 * np.pi * kit["snare_hz"] * (t + 0.006 * (1 - np.exp(-t / 0.02)))
  decay = kit["snare_tone_decay_s"]
  tone = np.sin(phase) * np.exp(-t / decay) + 0.6 * np.sin(kit["snare_mode"] * phase) * np.exp(-2 * t / decay)
  wires = shaped_noise(
    rng, len(t), sample_rate_hz, kit["snare_noise_hz"], 12_000, kit["snare_tilt"] + 0.4 * hardness - 0.4
  )
  # Wires rattle on for longer than the stroke that started them.
  envelope = 0.7 * np.exp(-4 * t / kit["snare_noise_decay_s"]) + 0.3 * np.exp(-t / kit["snare_noise_decay_s"])
  return tone + kit["snare_noise"] * (0.6 + 0.4 * hardness) * wires * envelope


def _hat(rng, kit, sample_rate_hz, hardness, decay_s):
  t = _times_s(min(5 * decay_s, 1.5), sample_rate_hz)
  turns = _turns(kit["hat_hz"] * _HAT_RATIOS, len(t), sample_rate_hz)
  turns += rng.integers(2**32, size=(len(turns), 1), dtype=np.uint32)
  if kit["hat_family"] == "fm":
    phase = turns.astype(np.float32) * np.float32(2 * np.pi / 2**32)
    partials = np.sin(9 * phase[:3] + 5 * np.sin(7 * phase[3:])).sum(0)
  elif kit["hat_family"] == "square":
    partials = (turns >> np.uint32(31)).sum(0, dtype=np.float32)
  else:  # a ring modulator multiplies squares in pairs: the exclusive or of their signs
    partials = ((turns[:3] ^ turns[3:]) >> np.uint32(31)).sum(0, dtype=np.float32)
  # Low sample rates must keep something of a hat: its corner stays well under the Nyquist frequency.
  cut_hz = min(kit["hat_cut_hz"], 0.35 * sample_rate_hz)
  size = 1 << (len(t) - 1).bit_length()
  bins_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz) + 1e-3
  partials = np.fft.irfft(np.fft.rfft(partials, size) / np.sqrt(1 + (cut_hz / bins_hz) ** 8), size)[: len(t)]
  partials = partials / np.sqrt(np.mean(partials**2))
  noise = shaped_noise(rng, len(t), sample_rate_hz, cut_hz, np.inf, kit["hat_tilt"] + 0.5 * hardness - 0.5)
  mixed = kit["hat_noise"] * noise + (1 - kit["hat_noise"]) * partials.astype(np.float32)
  stick = np.exp(-t / 0.006)  # the stick's bite before the ring, in open hats too
  return mixed * (0.6 * np.exp(-t / decay_s) + 0.4 * stick)


def render_voice(
  rng: np.random.Generator, kit: Mapping, voice: str, sample_rate_hz: float, *, hardness: float = 1.0
) -> np.ndarray:
  """One stroke on one drum of a kit, float32 `[num_samples]`, with peak 1.

  Args:
    rng: source of the noise: two strokes with the same arguments are never the same.
    kit: what `draw_kit` returned.
    voice: one of `VOICES`.
    sample_rate_hz: samples per second.
    hardness: how hard the stroke is, in [0, 1]: it changes the timbre, not the level.

  >>> rng = np.random.default_rng(0)
  >>> stroke = render_voice(rng, draw_kit(rng, "train"), "snare", 16_000)
  >>> stroke.dtype, float(abs(stroke).max())
  (dtype('float32'), 1.0)
  """
  if voice == "kick":
    sound = _kick(rng, kit, sample_rate_hz, hardness)
  elif voice == "snare":
    sound = _snare(rng, kit, sample_rate_hz, hardness)
  elif voice in VOICES:
    sound = _hat(rng, kit, sample_rate_hz, hardness, kit[f"hat_{voice.removesuffix('_hat')}_decay_s"])
  else:
    raise ValueError(f"unknown voice {voice!r}; expected one of {', '.join(VOICES)}")
  return _finish(sound.astype(np.float32), sample_rate_hz)


def render_clutter(rng: np.random.Generator, voice: str, sample_rate_hz: float) -> np.ndarray:
  """One stroke on a "tom", "clave", "shaker" or "crash", never labelled: float32 `[num_samples]`, peak 1.

  `rng` draws its parameters too; their ranges are the same in every split.
  """
  if voice == "tom":
    t = _times_s(0.5, sample_rate_hz)
    sound = np.sin(2 * np.pi * rng.uniform(95, 240) * (t + 0.012 * (1 - np.exp(-t / 0.04))))
    sound *= np.exp(-t / rng.uniform(0.08, 0.2))
    sound += 0.1 * shaped_noise(rng, len(t), sample_rate_hz, 400, 2500) * np.exp(-t / 0.008)
  elif voice == "clave":
    t = _times_s(0.12, sample_rate_hz)
    sound = np.sin(2 * np.pi * rng.uniform(1500, 2900) * t) * np.exp(-t / rng.uniform(0.012, 0.03))
  elif voice == "shaker":  # swells instead of striking, lower than a hat
    t = _times_s(0.12, sample_rate_hz)
    sound = shaped_noise(rng, len(t), sample_rate_hz, rng.uniform(2500, 3500), rng.uniform(4000, 5500))
    sound *= np.exp(-(((t - 0.04) / rng.uniform(0.012, 0.025)) ** 2))
  elif voice == "crash":
    t = _times_s(1.6, sample_rate_hz)
    sound = shaped_noise(rng, len(t), sample_rate_hz, rng.uniform(700, 1500), 9000, rng.uniform(-0.6, 0))
    sound *= np.exp(-t / rng.uniform(0.3, 0.6))
  else:
    raise ValueError(f"unknown clutter {voice!r}; expected tom, clave, shaker or crash")
  return _finish(sound.astype(np.float32), sample_rate_hz, 0.001)


def note_cycle(rolloff: float) -> np.ndarray:
  """One cycle of a tone with eight harmonics of amplitude `k ** -rolloff`, float32 `[4096]`, peak 1."""
  harmonics = np.arange(1, 9)
  cycle = harmonics**-rolloff @ np.sin(2 * np.pi * np.outer(harmonics, np.arange(4096) / 4096))
  return (cycle / np.abs(cycle).max()).astype(np.float32)


def render_note(
  cycle: np.ndarray, hz: float, length_s: float, sample_rate_hz: float, *, attack_s: float, decay_s: float
) -> np.ndarray:
  """A pitched note, float32 `[num_samples]`, with an attack, a decay and 30 ms of release.

  Args:
    cycle: what `note_cycle` returned.
    hz: fundamental; its eighth harmonic must stay under the Nyquist frequency.
    length_s: until it is released.
    sample_rate_hz: samples per second.
    attack_s: length of the raised-cosine attack: 3 ms is plucked, 100 ms soft.
    decay_s: time constant of the decay.
  """
  release_s = 0.03
  t = _times_s(length_s + release_s, sample_rate_hz)
  sound = cycle[_turns(hz, len(t), sample_rate_hz) >> np.uint32(20)] * np.exp(-t / np.float32(decay_s))
  attack = min(len(sound), int(attack_s * sample_rate_hz))
  sound[:attack] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(attack, dtype=np.float32) / attack)
  release = min(len(sound), int(release_s * sample_rate_hz))
  sound[len(sound) - release :] *= np.linspace(1, 0, release, dtype=np.float32)
  return sound


def draw_room(rng: np.random.Generator, split: str) -> dict[str, float]:
  """Draws the parameters of one room.

  Args:
    rng: source of randomness.
    split: "train", "validation" (the same ranges as "train") or "test" (disjoint from them).

  Returns:
    The names of `ROOM_RANGES` with their values, and "wet", the room's amplitude, from one range in all.
  """
  return _draw(rng, ROOM_RANGES, split) | {"wet": float(rng.uniform(0.05, 0.5))}


def room_response(rng: np.random.Generator, room: Mapping[str, float], sample_rate_hz: float) -> np.ndarray:
  """Impulse response of a room, float32 `[num_samples]`.

  The direct path is sample 0 with gain 1, so events stay where they are. Early reflections and a
  tail of noise that falls off exponentially follow; their energy together is `wet ** 2`.

  Args:
    rng: source of the noise and of the reflections.
    room: what `draw_room` returned.
    sample_rate_hz: samples per second.

  >>> rng = np.random.default_rng(0)
  >>> float(room_response(rng, draw_room(rng, "train"), 16_000)[0])
  1.0
  """
  t = _times_s(1.1 * room["reverberation_s"], sample_rate_hz)
  rate = np.log(1000) / room["reverberation_s"]  # 60 dB over the reverberation time
  lows = shaped_noise(rng, len(t), sample_rate_hz, 100, room["damping_hz"]) * np.exp(-rate * t)
  highs = shaped_noise(rng, len(t), sample_rate_hz, room["damping_hz"]) * np.exp(-3 * rate * t)
  tail = lows + 0.7 * highs
  first = int(room["first_reflection_s"] * sample_rate_hz)
  tail[: 2 * first] = 0  # diffuse sound needs several reflections first
  early = np.zeros_like(tail)
  taps = (first * np.append(1, rng.uniform(1.1, 4, size=7))).astype(int)
  early[taps] = rng.choice([-1, 1], len(taps)) * first / taps * rng.uniform(0.5, 1, len(taps))
  mixed = tail / np.sqrt(np.sum(tail**2)) + early / np.sqrt(np.sum(early**2))
  response = (room["wet"] / np.sqrt(np.sum(mixed**2))) * mixed
  response[0] = 1
  return response.astype(np.float32)
