"""Small files in the layout of Groove MIDI and of folders of one-shots, for the tests that render them."""

import csv
import pathlib

import numpy as np
import pretty_midi
import soundfile

from softloc_jax.data import groove

COLUMNS = (
  *("drummer", "session", "id", "style", "bpm", "beat_type", "time_signature"),
  *("midi_filename", "audio_filename", "duration", "split"),
)
# One stroke on every kind of drum, (note, velocity), half a second apart.
ROUND = (
  (36, 127),
  (38, 100),
  (42, 90),
  (46, 80),
  (44, 70),
  (37, 60),
  (48, 110),
  (43, 110),
  (49, 100),
  (51, 90),
)


def write_midi(path: pathlib.Path, notes, pedal=()) -> None:
  """Notes (time_s, note, velocity) and hi-hat pedal positions (time_s, value)."""
  midi = pretty_midi.PrettyMIDI(initial_tempo=100)
  part = pretty_midi.Instrument(program=0, is_drum=True)
  part.notes = [pretty_midi.Note(velocity, note, time_s, time_s + 0.1) for time_s, note, velocity in notes]
  part.control_changes = [pretty_midi.ControlChange(4, value, time_s) for time_s, value in pedal]
  midi.instruments.append(part)
  path.parent.mkdir(parents=True, exist_ok=True)
  midi.write(str(path))


def write_groove(folder: pathlib.Path, num_per_split: int = 2, duration_s: float = 8.0) -> pathlib.Path:
  """A `groove` folder with a few performances per split; returns the folder that holds it."""
  root = folder / "groove"
  rows = []
  for split in groove.SPLITS:
    for index in range(num_per_split):
      name = f"drummer1/{split}/{index}_rock_100_beat_4-4.mid"
      times_s = np.arange(0, duration_s - 0.2, 0.25)
      notes = [(t, *ROUND[(i + index) % len(ROUND)]) for i, t in enumerate(times_s)]
      write_midi(root / name, notes, pedal=[(0.0, 90), (1.0, 0)])
      about = ("drummer1", f"drummer1/{split}", f"drummer1/{split}/{index}", "rock", "100", "beat", "4-4")
      rows.append((*about, name, name.replace(".mid", ".wav"), str(duration_s), split))
  with open(root / "info.csv", "w", newline="") as file:
    csv.writer(file).writerows([COLUMNS, *rows])
  return folder


def strike(rate_hz: float, silence_s: float, decay_s: float = 0.03, seed: int = 0) -> np.ndarray:
  """Silence, then noise that starts at once and dies away."""
  rng = np.random.default_rng(seed)
  num_samples = round(8 * decay_s * rate_hz)
  noise = rng.uniform(0.5, 1, num_samples) * rng.choice([-1, 1], num_samples)
  sound = noise * np.exp(-np.arange(num_samples) / (decay_s * rate_hz))
  return np.concatenate([np.zeros(round(silence_s * rate_hz)), sound])


def write_kit(folder: pathlib.Path, rate_hz: int = 22_050) -> pathlib.Path:
  """Eight strokes on each of a few drums, each after a silence of its own, the later ones louder."""
  folder.mkdir(parents=True, exist_ok=True)
  names = ("KdrumL", "KdrumR", "Snare", "HihatClosed", "HihatOpen", "Tom1", "Tom3", "CrashR", "RideR")
  for number, name in enumerate(names):
    for layer in range(1, 9):
      sound = strike(rate_hz, 0.003 * layer + 0.001 * number, seed=10 * number + layer)
      soundfile.write(folder / f"{layer}-{name}.wav", 0.1 * layer * sound, rate_hz, subtype="FLOAT")
  return folder


def write_piano(folder: pathlib.Path, rate_hz: int = 16_000) -> pathlib.Path:
  """Pure tones for every C and F#, two layers, 5 ms of silence before each."""
  folder.mkdir(parents=True, exist_ok=True)
  t = np.arange(2 * rate_hz) / rate_hz
  for octave in range(1, 8):
    for name, step in (("C", 0), ("F#", 6)):
      hz = 440 * 2 ** ((12 * (octave + 1) + step - 69) / 12)
      for layer, level in (("L", 0.3), ("H", 0.9)):
        tone = np.concatenate([np.zeros(80), level * np.cos(2 * np.pi * hz * t) * np.exp(-t)])
        soundfile.write(folder / f"{name}{octave}v{layer}.wav", tone, rate_hz, subtype="FLOAT")
  return folder
