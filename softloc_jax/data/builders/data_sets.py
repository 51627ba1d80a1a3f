"""One builder for each data set: where its recordings come from, and its official splits."""

from __future__ import annotations

from collections.abc import Sequence

from softloc_jax.data import enst_drums, idmt_smt_drums, maps, mdb_drums
from softloc_jax.data.builders.recordings_builder import RecordingsBuilder
from softloc_jax.data.item import Item


class Maps(RecordingsBuilder):
  """Piano pieces played by software and by a Disklavier, with the onset of every note.

  The splits are those of configuration 2; `overlap` has the pieces of the software pianos whose music is
  tested.
  """

  HOMEPAGE = "https://adasp.telecom-paris.fr/resources/2010-07-08-maps-database/"
  LICENSE = "CC BY-NC-SA 2.0 FR"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "MAPS, unzipped: <instrument>/MUS/MAPS_MUS-<piece>_<instrument>.wav and .txt"
  CLASSES = maps.CLASSES
  find = staticmethod(maps.find)
  read = staticmethod(maps.read)

  @classmethod
  def splits(cls, items: Sequence[Item]) -> dict[str, list[Item]]:
    split = maps.configuration_2(items)
    used = {item.id for name in ("train", "test") for item in split[name]}
    overlap = [item for item in items if item.id not in used]
    return {"train": split["train"], "test": split["test"], "overlap": overlap}


class IdmtSmtDrums(RecordingsBuilder):
  """Drum loops with every hit of kick drum, snare drum and hi-hat; the group is the subset."""

  HOMEPAGE = "https://www.idmt.fraunhofer.de/en/publications/datasets/drums.html"
  LICENSE = "CC BY-NC-ND 4.0"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "IDMT-SMT-Drums V2, unzipped: audio/ and annotation_xml/"
  CLASSES = idmt_smt_drums.CLASSES
  find = staticmethod(idmt_smt_drums.find)
  read = staticmethod(idmt_smt_drums.read)


class EnstDrums(RecordingsBuilder):
  """Three drummers' phrases and play-along tracks; the group is the drummer.

  Options: `mix`, the folder of the audio ("wet_mix").
  """

  HOMEPAGE = "https://perso.telecom-paristech.fr/grichard/ENST-drums/"
  LICENSE = "for research, on request from the authors"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "ENST-Drums, unzipped: drummer_1/, drummer_2/ and drummer_3/"
  CLASSES = enst_drums.CLASSES
  find = staticmethod(enst_drums.find)
  read = staticmethod(enst_drums.read)


class MdbDrums(RecordingsBuilder):
  """Pieces of many styles with every hit of kick drum, snare drum and hi-hat; the splits are MIREX 2017's.

  Options: `mix`, "drum_only" or "full_mix".
  """

  HOMEPAGE = "https://github.com/CarlSouthall/MDBDrums"
  LICENSE = "CC BY-NC-SA 4.0"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "MDB Drums, unzipped: MDB Drums/audio/ and MDB Drums/annotations/"
  CLASSES = mdb_drums.CLASSES
  find = staticmethod(mdb_drums.find)
  read = staticmethod(mdb_drums.read)

  @classmethod
  def splits(cls, items: Sequence[Item]) -> dict[str, list[Item]]:
    return mdb_drums.mirex_split(items)
