"""Folders of one-shots: what names and mappings mean, attacks behind silence, and which stroke is picked."""

import collections
import json
import logging

import numpy as np
import pytest
from small_groove import strike, write_kit
import soundfile

from softloc_jax.data import one_shots, sampler

REAL_PIANOS = {"piano_kw_cc0": 66, "piano_fb_cc0": 78}


def write(folder, *names, rate_hz=8_000):
  folder.mkdir(exist_ok=True)
  for name in names:
    soundfile.write(folder / name, strike(rate_hz, 0.01), rate_hz)
  return folder


def test_drum_names(tmp_path):
  found = one_shots.find(write(tmp_path, "2-Snare.flac", "10-Snare.flac", "1-KdrumL.wav"))
  assert [(shot.voice, shot.instrument, shot.layer) for shot in found] == [
    ("kick", "KdrumL", 1),
    ("snare", "Snare", 2),
    ("snare", "Snare", 10),
  ]


def test_note_names(tmp_path):
  found = one_shots.find(write(tmp_path, "C4vH.flac", "C4vL.flac", "F#1.flac", "Bb-1v3.flac"))
  assert [(shot.pitch, shot.voice) for shot in found] == [(10, ""), (30, ""), (60, ""), (60, "")]
  assert [shot.path.name for shot in found[2:]] == ["C4vL.flac", "C4vH.flac"]  # softest first


def test_names_that_fit_nothing_are_reported(tmp_path, caplog):
  with caplog.at_level(logging.WARNING):
    found = one_shots.find(write(tmp_path, "1-Snare.wav", "1-Cowbell.wav", "room.wav", "._1-Snare.wav"))
  assert len(found) == 1 and "2 audio files fit no voice: 1-Cowbell.wav, room.wav" in caplog.text


def test_a_regular_expression(tmp_path):
  mapping = {
    "pattern": "(?P<name>[a-z]+)_v(?P<layer>[0-9]+)(_rr[0-9])?",
    "voices": {"bd": "kick", "sn": "snare"},
  }
  folder = write(tmp_path, "bd_v1_rr1.wav", "bd_v1_rr2.wav", "sn_v2.wav")
  (tmp_path / "mapping.json").write_text(json.dumps(mapping))
  for found in (one_shots.find(folder, mapping), one_shots.find(folder)):
    assert [(shot.voice, shot.layer) for shot in found] == [("kick", 1), ("kick", 1), ("snare", 2)]


def test_a_table(tmp_path):
  folder = write(tmp_path, "soft.wav", "hard.wav", "low.wav", "other.wav")
  rows = [
    "file,voice,pitch,layer,instrument",
    "hard.wav,kick,,2,deep",
    "soft.wav,kick,,1,deep",
    "low.wav,,F#1,,",
  ]
  (tmp_path / "mapping.csv").write_text("\n".join(rows))
  low, soft, hard = one_shots.find(folder)
  assert (low.pitch, low.layer, low.voice) == (30, 0, "")
  assert (soft.path.name, hard.path.name, hard.instrument) == ("soft.wav", "hard.wav", "deep")


@pytest.mark.parametrize(
  ("table", "error", "message"),
  (
    ("file,drum\na.wav,kick", ValueError, "the header is 'file,drum'; expected file,voice or file,pitch"),
    ("file,voice\nb.wav,kick", FileNotFoundError, "row 2 names 'b.wav'; no such file"),
    ("file,voice\na.wav,", ValueError, "row 2 is .*expected a voice or a pitch"),
    ("file,voice,layer\na.wav,kick,loud", ValueError, "layer 'loud'; expected a number or one of ppp"),
    ("file,pitch\na.wav,H2", ValueError, "pitch 'H2'; expected a MIDI number or a name"),
    ("file,pitch\na.wav,6_0", ValueError, r"mapping\.csv: row 2: pitch '6_0'"),
    ("file,voice\na.wav,b\udce9", ValueError, r"mapping\.csv: not a text file in UTF-8"),
  ),
)
def test_bad_tables(tmp_path, table, error, message):
  write(tmp_path, "a.wav")
  (tmp_path / "mapping.csv").write_text(table, errors="surrogateescape")
  with pytest.raises(error, match=message):
    one_shots.find(tmp_path)


def test_numbers_in_json(tmp_path):
  write(tmp_path, "a.wav")
  (tmp_path / "mapping.json").write_text('{"files": [{"file": "a.wav", "pitch": 60, "layer": 2}]}')
  (shot,) = one_shots.find(tmp_path)
  assert (shot.pitch, shot.layer, shot.instrument) == (60, 2, "60")


@pytest.mark.parametrize(
  ("mapping", "message"),
  (
    ({"files": ["a.wav"]}, "row 1 is 'a.wav'; expected an object with file, and voice or pitch"),
    ({"files": "a.wav"}, "files is 'a.wav'; expected a list of objects"),
    ({"files": [{"file": "a.wav", "voice": ["kick"]}]}, r"row 1: voice is \['kick'\]; expected a text or"),
    ({"files": [{"file": "a.wav", "pitch": float("nan")}]}, "row 1: pitch 'nan'; expected a MIDI number"),
    ({"files": [{"file": "a.wav"}]}, "row 1 is .*expected a voice or a pitch"),
    ({"pattern": "(?P<name>"}, r"pattern is '\(\?P<name>'; expected a regular expression \(missing"),
    ({"pattern": 3}, "pattern is 3; expected a regular expression"),
    ({"pattern": "(?P<name>a)", "voices": ["kick"]}, r"voices is \['kick'\]; expected an object of names"),
  ),
)
def test_bad_json(tmp_path, mapping, message):
  write(tmp_path, "a.wav")
  (tmp_path / "mapping.json").write_text(json.dumps(mapping))
  with pytest.raises(ValueError, match=rf"mapping\.json: {message}"):
    one_shots.find(tmp_path)


def test_bad_mappings(tmp_path):
  write(tmp_path, "1-Snare.wav")
  with pytest.raises(ValueError, match=r"no group \(\?P<name>"):
    one_shots.find(tmp_path, {"pattern": ".*"})
  with pytest.raises(ValueError, match=r"keys .*'regex'.*; expected pattern and voices, or files"):
    one_shots.find(tmp_path, {"regex": ".*"})
  with pytest.raises(ValueError, match=r"no file name fits; .* found 1-Snare\.wav"):
    one_shots.find(tmp_path, {"pattern": "(?P<name>x)"})
  (tmp_path / "mapping.json").write_text("{")
  with pytest.raises(ValueError, match=r"mapping\.json: not json"):
    one_shots.find(tmp_path)
  (tmp_path / "mapping.json").write_text("[]")
  with pytest.raises(ValueError, match="holds a list; expected an object"):
    one_shots.find(tmp_path)


def test_bad_folders(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such folder: .*12-Snare\.flac"):
    one_shots.find(tmp_path / "missing")
  (tmp_path / "readme.txt").write_text("")
  with pytest.raises(FileNotFoundError, match=r"no audio in .*found readme\.txt"):
    one_shots.find(tmp_path)


def test_attacks_lie_behind_the_silence(tmp_path):
  for shot in one_shots.find(write_kit(tmp_path)):
    number = (
      "KdrumL",
      "KdrumR",
      "Snare",
      "HihatClosed",
      "HihatOpen",
      "Tom1",
      "Tom3",
      "CrashR",
      "RideR",
    ).index(shot.instrument)
    silence_s = 0.003 * shot.layer + 0.001 * number
    assert one_shots.read(shot).attack_samples == round(silence_s * 22_050)


@pytest.mark.parametrize(("value", "message"), ((0.0, "silent"), (np.nan, "NaN or infinite")))
def test_bad_sounds(tmp_path, value, message):
  soundfile.write(tmp_path / "1-Snare.wav", np.full(100, value), 8_000, subtype="FLOAT")
  (shot,) = one_shots.find(tmp_path)
  with pytest.raises(ValueError, match=rf"1-Snare\.wav: .*{message}"):
    one_shots.read(shot)


def test_instruments_and_picks(tmp_path):
  voices = one_shots.by_voice(one_shots.find(write_kit(tmp_path)))
  assert [len(shots) for shots in voices["kick"]] == [8, 8]
  (snare,) = voices["snare"]
  rng = np.random.default_rng(0)
  assert {one_shots.pick(rng, snare, 0.0).layer for _ in range(9)} == {1}
  assert {one_shots.pick(rng, snare, 1.0).layer for _ in range(9)} == {8}
  previous, picked = None, []
  for _ in range(20):
    shot = one_shots.pick(rng, snare, 0.5, previous)
    assert shot != previous
    previous = shot
    picked.append(shot.layer)
  assert set(picked) == {4, 5}
  assert one_shots.pick(rng, snare[:1], 0.9, snare[0]) == snare[0]  # no other is there


def test_instruments_are_in_the_order_of_their_folders_wherever_those_lie(tmp_path):
  def instruments(*names):
    folders = [write(tmp_path / name, f"1-{drum}.wav") for name, drum in names]
    found = one_shots.by_voice(one_shots.find_all(folders))
    return [shots[0].instrument for shots in found["kick"]]

  assert instruments(("z", "KdrumR"), ("a", "KdrumL")) == ["KdrumR", "KdrumL"]
  assert instruments(("b", "KdrumR"), ("y", "KdrumL")) == ["KdrumR", "KdrumL"]


# Real folders


def test_the_drum_kit(shared_data):
  found = one_shots.find(shared_data("oneshots") / "muldjord_drums_ccby")
  voices = collections.Counter(shot.voice for shot in found)
  assert len(found) == 213 and voices["kick"] == 51 and voices["snare"] == 56
  assert set(voices) == {"kick", "snare", "closed_hat", "open_hat", "tom_high", "tom_low", "crash", "ride"}
  snare = one_shots.by_voice(found)["snare"][0]
  sounds = [one_shots.read(shot) for shot in snare]
  levels = [sampler.attack_level(sound) for sound in sounds]
  assert np.corrcoef(np.arange(56), levels)[0, 1] > 0.95  # numbers do count upwards from the softest
  # These were cut at their attacks.
  assert max(sound.attack_samples / sound.sample_rate_hz for sound in sounds) < 0.003


@pytest.mark.parametrize("name", sorted(REAL_PIANOS))
def test_the_pianos(shared_data, name):
  found = one_shots.find(shared_data("oneshots") / name)
  assert len(found) == REAL_PIANOS[name]
  for shot in found:
    if not 55 <= shot.pitch <= 85:  # where the fundamental is the strongest partial, or its second
      continue
    sound = one_shots.read(shot)
    assert sound.attack_samples < 0.02 * sound.sample_rate_hz
    hz = 440 * 2 ** ((shot.pitch - 69) / 12)
    spectrum = np.abs(np.fft.rfft(sound.samples * np.hanning(len(sound.samples))))
    peak_hz = np.fft.rfftfreq(len(sound.samples), 1 / sound.sample_rate_hz)[np.argmax(spectrum)]
    assert min(abs(1200 * np.log2(peak_hz / (k * hz))) for k in (1, 2, 3)) < 30
