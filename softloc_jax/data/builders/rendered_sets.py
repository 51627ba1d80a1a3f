"""Rendered data sets: performances and notes through folders of one-shots, kept as recordings are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import hashlib
import pathlib

from softloc_jax.data import (
  cymbal_voices,
  drum_machine,
  drum_mix,
  drum_score,
  drum_voices,
  groove,
  groove_excerpts,
  groove_rendered,
  maps,
  mastering,
  midi_files,
  one_shots,
  piano_notes,
  piano_rendered,
  rendered,
  sampled_kit,
  sampler,
)
from softloc_jax.data.builders.recordings_builder import RecordingsBuilder, RecordingsConfig


class RenderedBuilder(RecordingsBuilder, skip_registration=True):
  """Recordings that are made when the data set is prepared, as its options say; the splits are the clips'."""

  read = staticmethod(rendered.read)

  @classmethod
  def splits(cls, items: Sequence[rendered.Clip]) -> dict[str, list[rendered.Clip]]:
    return {split: [clip for clip in items if clip.group == split] for split in rendered.SPLITS}

  @classmethod
  def files(cls, item: rendered.Clip) -> Sequence[pathlib.Path]:
    return ()

  @classmethod
  def shared_files(cls, items: Iterable[rendered.Clip]) -> list[pathlib.Path]:
    return sorted({path for one in _sets(items) for path in one.files()})

  @classmethod
  def fingerprint(cls, items: Iterable[rendered.Clip], config: RecordingsConfig) -> str:
    """See `RecordingsBuilder`; tables beside the files say what they are, and who plays them."""
    items = list(items)
    content = repr([(one.split, one.content()) for one in _sets(items)])
    return hashlib.sha256((super().fingerprint(items, config) + content).encode()).hexdigest()[:16]


def _sets(items: Iterable[rendered.Clip]) -> list[rendered.Rendered]:
  """The sets that clips are of, each once."""
  return list({id(clip.of): clip.of for clip in items}.values())


class GrooveRendered(RenderedBuilder):
  """Groove MIDI performances played through recorded and synthesised drum kits.

  Options: those of `groove_rendered.find`, such as `one_shots_dir` and `num_train`.
  """

  HOMEPAGE = "https://magenta.tensorflow.org/datasets/groove"
  LICENSE = "Groove MIDI: CC BY 4.0; that of the one-shots"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "Groove MIDI, unzipped or not: info.csv and drummer1/ ..., or groove*.zip"
  CLASSES = groove_rendered.CLASSES
  CODE = (
    *(rendered, groove_excerpts, sampled_kit, sampler, mastering, drum_mix, cymbal_voices, drum_voices),
    *(drum_machine, drum_score, groove, midi_files, one_shots),
  )
  find = staticmethod(groove_rendered.find)


class PianoRendered(RenderedBuilder):
  """Notes played through sampled pianos.

  Options: those of `piano_rendered.find`, such as `test_dir`, `maps_dir` and `num_train`.
  """

  HOMEPAGE = ""
  LICENSE = "that of the one-shots"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "a sampled piano: one recording of each note, named as F#1vH.flac"
  CLASSES = piano_rendered.CLASSES
  CODE = (rendered, sampler, mastering, drum_voices, maps, midi_files, one_shots, piano_notes)
  find = staticmethod(piano_rendered.find)
