"""Rendered data sets through their builders: what is kept is what is rendered, and nothing stale is read."""

import sys
import types

import numpy as np
import pytest
from small_groove import write_groove, write_kit, write_piano

from softloc_jax.data import builders, groove_rendered, one_shots, piano_rendered, rendered
from softloc_jax.data.builders import recordings_builder

SHORT = {"num_train": 3, "num_validation": 1, "num_test": 2, "duration_s": 2.0}


@pytest.fixture
def drums(tmp_path):
  """Arguments of `builders.load` for a few rendered clips of small files."""
  options = {"one_shots_dir": str(write_kit(tmp_path / "kit")), **SHORT}
  folder = write_groove(tmp_path / "midi")
  return {"data_dir": folder, "prepared_dir": tmp_path / "tfds", "options": options, "show_progress": False}


def prepared_copies(drums):
  return sorted(path.name for path in (drums["prepared_dir"] / "groove_rendered").iterdir())


def test_what_is_kept_is_what_is_rendered(drums):
  found = builders.load("groove_rendered", **drums)
  clips = groove_rendered.find(drums["data_dir"], **drums["options"])
  expected = {clip.id: rendered.read(clip) for clip in clips}
  assert [one.id for one in found] == list(expected)
  assert [clip.group for clip in clips] == [*3 * ["train"], "validation", *2 * ["test"]]
  for one in found:
    np.testing.assert_array_equal(one.signal, expected[one.id].signal)
    for name in groove_rendered.CLASSES:
      np.testing.assert_array_equal(one.times_s(name), expected[one.id].times_s(name))
  builder = builders.prepare("groove_rendered", **drums)
  assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
    "train": 3,
    "validation": 1,
    "test": 2,
  }


def test_other_options_or_files_are_rendered_anew(drums, tmp_path):
  builders.load("groove_rendered", **drums)
  builders.load("groove_rendered", **drums)
  assert len(prepared_copies(drums)) == 1
  builders.load("groove_rendered", **{**drums, "options": {**drums["options"], "variation": {"room": 0.0}}})
  assert len(prepared_copies(drums)) == 2
  write_kit(tmp_path / "kit", rate_hz=16_000)  # other strokes in the same place
  builders.load("groove_rendered", **drums)
  assert len(prepared_copies(drums)) == 3
  write_groove(tmp_path / "midi", duration_s=6.0)
  builders.load("groove_rendered", **drums)
  assert len(prepared_copies(drums)) == 4


def test_what_tables_say_is_rendered_anew(drums, tmp_path):
  def fingerprint():
    clips = groove_rendered.find(drums["data_dir"], **drums["options"])
    config = recordings_builder.RecordingsConfig(name="")
    return builders.BUILDERS["groove_rendered"].fingerprint(clips, config)

  def mapped(layers):
    rows = [f"{n}-Snare.wav,snare,{layer}" for n, layer in zip((1, 2), layers, strict=True)]
    (tmp_path / "kit" / "mapping.csv").write_text("\n".join(["file,voice,layer", *rows]))
    return fingerprint()

  table = tmp_path / "midi" / "groove" / "info.csv"
  found = [fingerprint(), fingerprint(), mapped((1, 2)), mapped((2, 1))]
  text = table.read_text()
  for old, new in ((",train\n", ",test\n"), ("rock,100", "rock,99")):
    table.write_text(text.replace("\r\n", "\n").replace(old, new, 1))
    found.append(fingerprint())
  assert found[0] == found[1] and len(set(found)) == len(found) - 1


def test_other_notes_of_pieces_are_rendered_anew(tmp_path):
  first, music = write_piano(tmp_path / "first"), write_maps(tmp_path / "MAPS")

  def fingerprint():
    clips = piano_rendered.find(first, maps_dir=music, **SHORT)
    config = recordings_builder.RecordingsConfig(name="")
    return builders.BUILDERS["piano_rendered"].fingerprint(clips, config)

  before = fingerprint()
  table = next(music.glob("AkPnBcht/MUS/*.txt"))
  assert fingerprint() == before
  table.write_text(table.read_text().replace("0.2", "0.21", 1))
  assert fingerprint() != before


def test_a_split_without_clips(drums):
  found = builders.load("groove_rendered", **{**drums, "options": {**drums["options"], "num_test": 0}})
  assert {one.id.split("-")[0] for one in found} == {"train", "validation"}


def test_several_folders_of_one_shots(drums, tmp_path):
  write_kit(tmp_path / "other")
  both = f"{tmp_path / 'kit'}:{tmp_path / 'other'}"
  clip = groove_rendered.find(drums["data_dir"], one_shots_dir=both, **SHORT)[0]
  assert {path.parent.name for path in clip.of.files()} == {"train", "kit", "other"}
  assert one_shots.find_all([tmp_path / "kit"]) == one_shots.find(tmp_path / "kit")
  assert one_shots.find_all("") == []


def write_maps(folder):
  """Two pieces of a software piano and one of the Disklavier: of G5, A5 and C4 only."""
  for piece, instrument, pitch in (("a", "AkPnBcht", 79), ("c", "AkPnBcht", 81), ("b", "ENSTDkAm", 60)):
    music = folder / instrument / "MUS"
    music.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{0.2 * n:.1f}\t{0.2 * n + 0.1:.1f}\t{pitch}\n" for n in range(12))
    (music / f"MAPS_MUS-{piece}_{instrument}.txt").write_text(f"OnsetTime\tOffsetTime\tMidiPitch\n{rows}")
    (music / f"MAPS_MUS-{piece}_{instrument}.wav").touch()
  return folder


def test_pianos_play_the_music_of_their_split(tmp_path):
  options = {
    "test_dir": str(write_piano(tmp_path / "second")),
    "maps_dir": str(write_maps(tmp_path / "MAPS")),
    **SHORT,
  }
  first = write_piano(tmp_path / "first")
  found = builders.load(
    "piano_rendered", first, prepared_dir=tmp_path / "tfds", options=options, show_progress=False
  )
  played = {split: set() for split in rendered.SPLITS}
  for one in found:
    played[one.id.split("-")[0]] |= {name for name, times_s in one.events.items() if len(times_s)}
  assert played["test"] == {"60"} and all(len(pitches) == 1 for pitches in played.values())
  assert played["train"] | played["validation"] == {"79", "81"}
  clips = {clip.id: clip for clip in piano_rendered.find(first, **options)}
  assert {path.parent.name for path in clips["train-00000"].of.files()} == {"first"}
  assert {path.parent.name for path in clips["test-00000"].of.files()} == {"second"}


def test_every_split_needs_a_piece(tmp_path):
  options = {"maps_dir": write_maps(tmp_path / "MAPS"), **SHORT}
  first = write_piano(tmp_path / "first")
  next(options["maps_dir"].glob("AkPnBcht/MUS/*-a_*.txt")).unlink()
  next(options["maps_dir"].glob("AkPnBcht/MUS/*-a_*.wav")).unlink()
  with pytest.raises(ValueError, match=r"MAPS: no piece for the split 'validation'; expected two or more"):
    piano_rendered.find(first, **options)
  assert len(piano_rendered.find(first, **{**options, "num_validation": 0})) == 5


def test_random_music_if_there_is_no_other(tmp_path):
  clips = piano_rendered.find(write_piano(tmp_path), num_train=1, num_validation=0, num_test=0)
  assert [clip.id for clip in clips] == ["train-00000"]
  assert rendered.read(clips[0]).events


def _reached(module, found):
  """Modules of this package that a module uses, directly or not."""
  for value in vars(module).values():
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    if isinstance(name, str) and name.startswith("softloc_jax.data.") and name not in found:
      found.add(name)
      _reached(sys.modules[name], found)
  return found


@pytest.mark.parametrize("name", sorted(builders.BUILDERS))
def test_a_copy_is_made_anew_when_any_code_behind_it_changes(name):
  cls = builders.BUILDERS[name]
  known = {module.__name__ for module in (*cls.CODE, *recordings_builder._CODE)}
  # What an item or a recording is, and where files are, shows in the fingerprint by itself.
  known |= {f"softloc_jax.data.{name}" for name in ("item", "item_splits", "layout", "recording", "splits")}
  start = sys.modules[cls.find.__module__]
  assert _reached(start, {start.__name__}) - known == {start.__name__}


@pytest.mark.parametrize(
  "changed, message",
  [
    ({"num_train": -1}, "num_recordings is -1; expected at least 1"),
    ({"duration_s": 0.1}, "duration_s is 0.1; expected at least 0.5 seconds"),
    ({"sample_rate_hz": 100}, "sample_rate_hz is 100; expected at least 8000"),
    ({"seed": -1}, "seed is -1; expected a non-negative integer"),
    ({"variation": {"gated": 2.0}}, "gated is 2.0"),
  ],
)
def test_bad_options(drums, changed, message):
  with pytest.raises(ValueError, match=message):
    builders.load("groove_rendered", **{**drums, "options": {**drums["options"], **changed}})
  assert not drums["prepared_dir"].exists()
