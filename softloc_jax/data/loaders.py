"""From a config's `data` to the recordings of each split: one function for each data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools
import pathlib
from typing import Any

from softloc_jax.data.item import Item
from softloc_jax.data.recording import Recording
from softloc_jax.data.splits import SPLITS

BySplit = Mapping[str, Sequence[Recording]]


def drum_machine(config: Any) -> BySplit:
  """The embedded drum machine."""
  from softloc_jax.data.drum_machine import DrumMachine

  sizes = {"train": config.num_train, "validation": config.num_validation, "test": config.num_test}
  return {
    split: list(
      DrumMachine(
        split,
        num_recordings=size,
        seed=config.seed,
        duration_s=config.duration_s,
        sample_rate_hz=config.sample_rate_hz,
        clutter=config.clutter,
      )
    )
    for split, size in sizes.items()
  }


def digit_scenes(config: Any) -> BySplit:
  """Scenes of digits, made when they are asked for; no digit of the test scenes is in the others."""
  from softloc_jax.data import digits
  from softloc_jax.data.digit_scenes import DigitScenes

  sources = {
    "mnist": functools.partial(digits.mnist, config.data_dir),
    "tfds": functools.partial(digits.from_tfds, config.data_dir or None),
    "embedded": digits.embedded,
  }
  if config.source not in sources:
    raise ValueError(f"data.source is {config.source!r}; expected one of {', '.join(sources)}")
  known, sizes = sources[config.source]("train"), {split: config[f"num_{split}"] for split in SPLITS}
  # The last digits of the training set are for the thresholds.
  learned = len(known.labels) - min(len(known.labels) // 6, 10_000)
  parts = {
    "train": digits.Digits(known.images[:learned], known.labels[:learned]),
    "validation": digits.Digits(known.images[learned:], known.labels[learned:]),
    "test": sources[config.source]("test"),
  }
  names = ("canvas_size", "stride", "curve", "min_digits", "max_digits", "seed")
  settings = {name: config[name] for name in names}
  only = {"train": {"distortion": config.get("distortion", 0.0)}}  # workdirs of before have none
  return {
    split: DigitScenes(split, parts[split], num_recordings=size, **settings, **only.get(split, {}))
    for split, size in sizes.items()
  }


def groove_rendered(config: Any) -> BySplit:
  """Groove MIDI through one-shots; tested on MDB Drums where `mdb_dir` says where it is."""
  from softloc_jax.data import mdb_drums

  num_test = 0 if config.mdb_dir else config.num_test
  options = {"one_shots_dir": config.one_shots_dir, "num_test": num_test}
  by_split = _rendered(config, config.groove_dir, options)
  if config.mdb_dir:
    by_split["test"] = [mdb_drums.read(item) for item in mdb_drums.find(config.mdb_dir, mix=config.mdb_mix)]
  return by_split


def piano_rendered(config: Any) -> BySplit:
  """Notes through sampled pianos; tested on MAPS' real ones where `maps_dir` says where it is."""
  from softloc_jax.data import builders
  from softloc_jax.data import maps as pieces

  num_test = 0 if config.maps_dir else config.num_test
  options = {"test_dir": config.test_one_shots_dir, "maps_dir": config.maps_dir, "num_test": num_test}
  by_split = _rendered(config, config.one_shots_dir, options)
  if config.maps_dir:
    test = pieces.configuration_2(pieces.find(config.maps_dir))["test"]
    by_split["test"] = builders.load(
      "maps",
      config.maps_dir,
      prepared_dir=config.prepared_dir or None,
      sample_rate_hz=config.conditioning.sample_rate_hz,
      ids=[item.id for item in test],
    )
  return by_split


def mitdb(config: Any) -> BySplit:
  """MIT-BIH, split by record as the config says."""
  from softloc_jax.data import mitdb as records

  names = {split: tuple(config[split]) for split in SPLITS}
  wanted = sorted(name for some in names.values() for name in some)  # load refuses repeated ones
  by_id = {record.id: record for record in records.load(config.data_dir, wanted)}
  return {split: [by_id[name] for name in names[split]] for split in SPLITS}


def maps(config: Any) -> BySplit:
  """MAPS in configuration 2."""
  from softloc_jax.data import maps as pieces

  items = pieces.find(config.data_dir)
  by_split = _prepared(
    config, pieces.configuration_2(items, validation_instruments=config.validation_instruments)
  )
  validation = [one.first_seconds(config.validation_excerpt_s) for one in by_split["validation"]]
  return {**by_split, "validation": validation}


def idmt_smt_drums(config: Any) -> BySplit:
  """IDMT-SMT-Drums, Eval Random or, with `test_group`, Eval Subset."""
  from softloc_jax.data import idmt_smt_drums as tracks

  items = tracks.find(config.data_dir)
  if config.test_group:
    return _prepared(config, tracks.subset_split(items, config.test_group, seed=config.seed))
  return _prepared(config, tracks.random_split(items, config.seed))


def enst_drums(config: Any) -> BySplit:
  """The minus-one tracks of ENST-Drums, drums alone, Eval Random or, with `test_group`, by drummer."""
  from softloc_jax.data import enst_drums as tracks

  items = tracks.minus_one(tracks.find(config.data_dir, mix=config.mix))
  options = {"mix": config.mix}
  if config.test_group:
    return _prepared(config, tracks.drummer_split(items, config.test_group, seed=config.seed), options)
  return _prepared(config, tracks.random_split(items, config.seed), options)


def golfdb(config: Any) -> BySplit:
  """GolfDB's clips; `test_split` is the fold."""
  return _golf(config, {})


def golf_rendered(config: Any) -> BySplit:
  """Drawn golf swings with the timing of GolfDB's; `test_split` is the fold."""
  keys = ("side", "seed", "most_frames", "per_split", "skip_per_split")
  return _golf(config, {key: config[key] for key in keys})


def folder(config: Any) -> BySplit:
  """One's own recordings; splits as the folder's split.csv says, or else at random by recording.

  `class_map`, as a mapping or pairs, `missing` and `sidecar_extension` are those of `data.folder.load`.
  """
  from softloc_jax.data import folder as files
  from softloc_jax.data import splits

  class_map = config.get("class_map")
  given = {
    "classes": tuple(config.classes),
    "class_map": None if class_map is None else dict(class_map),
    "missing": config.get("missing", "error"),  # workdirs of before have neither
    "sidecar_extension": config.get("sidecar_extension"),
  }
  if (pathlib.Path(config.data_dir) / files.SPLIT_FILE).exists():
    return {split: files.load(config.data_dir, split=split, **given) for split in SPLITS}
  return splits.split_by_recording(
    files.load(config.data_dir, **given),
    fractions={split: config.fractions[split] for split in SPLITS},
    seed=config.seed,
  )


LOADERS = {
  function.__name__: function
  for function in (
    drum_machine,
    digit_scenes,
    groove_rendered,
    piano_rendered,
    mitdb,
    maps,
    idmt_smt_drums,
    enst_drums,
    golfdb,
    golf_rendered,
    folder,
  )
}


def _prepared(
  config: Any, items: Mapping[str, Sequence[Item]], options: Mapping[str, Any] | None = None
) -> BySplit:
  """Recordings of a distribution, resampled once and kept by tensorflow-datasets (`config.prepared_dir`)."""
  from softloc_jax.data import builders

  return {
    split: builders.load(
      config.name,
      config.data_dir,
      prepared_dir=config.prepared_dir or None,
      sample_rate_hz=config.conditioning.sample_rate_hz,
      ids=[item.id for item in members],
      options=options,
    )
    for split, members in items.items()
  }


def _golf(config: Any, options: Mapping[str, Any]) -> BySplit:
  """Clips of a fold of GolfDB, real or drawn."""
  from softloc_jax.data import builders
  from softloc_jax.data import golfdb as swings

  # Prepared first: it refuses what does not fit its annotation.
  recordings = builders.load(
    config.name,
    config.data_dir,
    prepared_dir=config.prepared_dir or None,
    options=options,
    in_memory=config.in_memory,
  )
  by_id = {one.id: one for one in recordings}
  known = [one for one in swings.annotations(config.data_dir) if one.id in by_id]
  by_split = swings.folds(known, config.test_split, held_out=config.held_out)
  for split, members in by_split.items():
    if not members:
      raise ValueError(
        f"{config.data_dir}: no clip of the {split} swings of test_split {config.test_split}; expected some"
      )
  return {split: [by_id[one.id] for one in members] for split, members in by_split.items()}


def _rendered(config: Any, data_dir: str, options: Mapping[str, Any]) -> dict[str, Sequence[Recording]]:
  """The clips of a rendered data set, kept by tensorflow-datasets (`config.prepared_dir`)."""
  from softloc_jax.data import builders

  shared = ("num_train", "num_validation", "seed", "duration_s", "sample_rate_hz")
  variation = {key: _plain(value) for key, value in config.variation.items()}
  options = {**options, **{key: config[key] for key in shared}, "variation": variation}
  recordings = builders.load(config.name, data_dir, prepared_dir=config.prepared_dir or None, options=options)
  return {split: [one for one in recordings if one.id.startswith(f"{split}-")] for split in SPLITS}


def _plain(value: Any) -> Any:
  """A config's value as what it stands for: mappings as dicts."""
  return dict(value) if isinstance(value, Mapping) or hasattr(value, "to_dict") else value
