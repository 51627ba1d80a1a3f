"""`data.load` of the distributions of music, from small files in their layout to the splits of a config."""

import numpy as np
import pytest
import small_groove
import soundfile

from configs.weak import drums, piano
from softloc_jax import data

TABLE = "OnsetTime\tOffsetTime\tMidiPitch\n0.25\t0.5\t60\n1.5\t1.75\t64\n"


def write_maps(root):
  """Two software pianos and the Disklavier; one piece of the first is tested music."""
  for piece, instrument in (
    ("mond_1", "AkPnBcht"),
    ("mond_2", "AkPnBsdf"),
    ("chpn-p4", "AkPnBcht"),
    ("chpn-p4", "ENSTDkAm"),
  ):
    folder = root / instrument / "MUS"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"MAPS_MUS-{piece}_{instrument}"
    soundfile.write(folder / f"{name}.flac", np.full((8820, 2), 0.25), 4410)
    (folder / f"{name}.txt").write_text(TABLE)
  return root


def test_maps_in_configuration_2(tmp_path):
  config = piano.get_config(f"cpu,data_dir={write_maps(tmp_path / 'MAPS')},prepared_dir={tmp_path / 'tfds'}")
  with config.unlocked():
    config.data.validation_excerpt_s = 1.0
  found = data.load(config.data)
  assert {split: [one.id for one in some] for split, some in found.items()} == {
    "train": ["MAPS_MUS-mond_1_AkPnBcht"],
    "validation": ["MAPS_MUS-mond_2_AkPnBsdf"],
    "test": ["MAPS_MUS-chpn-p4_ENSTDkAm"],
  }
  (test,), (validation,) = found["test"], found["validation"]
  assert (test.sample_rate_hz, len(test.signal)) == (16000, 32000)
  assert test.times_s("60").tolist() == [0.25] and test.times_s("64").tolist() == [1.5]
  assert len(validation.signal) == 16000 and not len(validation.times_s("64"))  # an excerpt of one second


def test_a_folder_that_is_not_maps(tmp_path):
  (tmp_path / "MAPS_ISOL").mkdir()
  with pytest.raises(FileNotFoundError, match=r"no piece in .*; expected MAPS, .*; found MAPS_ISOL"):
    data.load(piano.get_config(f"cpu,data_dir={tmp_path}").data)


def test_rendered_groove(tmp_path):
  config = drums.get_config(f"groove,groove_dir={small_groove.write_groove(tmp_path)}")
  with config.unlocked():
    config.data.update({"num_train": 2, "num_validation": 1, "num_test": 1, "duration_s": 2.0})
  found = data.load(config.data)
  assert {split: len(some) for split, some in found.items()} == {"train": 2, "validation": 1, "test": 1}
  one = found["test"][0]
  assert (one.sample_rate_hz, len(one.signal)) == (16000, 32000) and set(one.events) <= {"KD", "SD", "HH"}
  again = data.load(config.data)
  np.testing.assert_array_equal(found["train"][1].signal, again["train"][1].signal)
