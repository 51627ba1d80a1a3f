"""Kits: held-out recordings and ranges, strokes that follow velocity and pedal, and stand-ins."""

import numpy as np
import pytest
from small_groove import write_kit, write_piano

from softloc_jax.data import one_shots, sampled_kit, sampler
from softloc_jax.data.groove import VOICES


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
  return sampled_kit.playable(one_shots.find(write_kit(tmp_path_factory.mktemp("kit"))))


def kit(voices, split="train", seed=0, **options):
  options = {"synthesized": 0.0, "layered": 0.0, **options}
  return sampled_kit.Kit(np.random.default_rng(seed), voices, split, 16_000, **options)


def paths(instruments):
  return {shot.path for shots in instruments for shot in shots}


def played(kit):
  return {shot.path for drum in kit._drums.values() for shot in drum.shots}


def test_recordings_of_training_and_test_kits_do_not_meet(voices):
  for voice, instruments in voices.items():
    train, test = (paths(sampled_kit.recordings_of(instruments, split)) for split in ("train", "test"))
    assert train and test and not train & test, voice
    assert paths(sampled_kit.recordings_of(instruments, "validation")) == train
  kicks = [sampled_kit.recordings_of(voices["kick"], split) for split in ("train", "test")]
  assert [{shot.instrument for shot in some[0]} for some in kicks] == [{"KdrumL"}, {"KdrumR"}]
  by_split = {
    split: set().union(*(played(kit(voices, split, seed)) for seed in range(20)))
    for split in ("train", "test")
  }
  assert not by_split["train"] & by_split["test"]


def test_a_voice_with_few_recordings_is_shared():
  shots = tuple(range(3))
  assert [sampled_kit.recordings_of([shots], split) for split in ("train", "test")] == [[shots], [shots]]


def test_ranges_of_training_and_test_kits_do_not_meet(voices):
  pitches = {
    split: np.array([np.log2(kit(voices, split, seed)._drums["snare"].pitch) for seed in range(60)])
    for split in ("train", "test")
  }
  low, high = pitches["test"].min(), pitches["test"].max()
  assert not ((pitches["train"] >= low) & (pitches["train"] <= high)).any()
  assert (pitches["train"] < low).any() and (pitches["train"] > high).any()
  for one in sampled_kit.TRAIN_UNITS:
    for other in sampled_kit.TEST_UNITS:
      assert one[1] < other[0] or other[1] < one[0]


def test_without_holding_out_every_split_plays_everything(voices):
  both = [
    set().union(*(played(kit(voices, s, i, hold_out=False)) for i in range(20))) for s in ("train", "test")
  ]
  assert both[0] == both[1] == paths(shots for shots in voices.values() for shots in shots)


@pytest.mark.parametrize("options", ({}, {"synthesized": 1.0}, {"layered": 1.0}))
def test_strokes_start_where_they_say(voices, options):
  one = kit(voices, **options)
  rng = np.random.default_rng(0)
  for voice in VOICES:
    sound, gain = one.stroke(rng, voice, 0.9)
    assert gain > 0 and sampler.attack_level(sound) == pytest.approx(1, rel=1e-3)
    found = sampler.attack_sample(sound.samples, 16_000)
    assert abs(found - sound.attack_samples) <= 0.002 * 16_000, voice


def test_no_recordings_at_all():
  one = kit({})
  rng = np.random.default_rng(0)
  sounds = [one.stroke(rng, voice, 0.5)[0].samples for voice in VOICES]
  assert all(np.isfinite(sound).all() and len(sound) > 100 for sound in sounds)


def test_gain_follows_velocity(voices):
  one, rng = kit(voices), np.random.default_rng(0)
  gains = [np.median([one.stroke(rng, "snare", v)[1] for _ in range(9)]) for v in (0.02, 0.2, 0.5, 1.0)]
  assert (np.diff(gains) > 0).all() and gains[0] > 0.01 * gains[-1]
  layers = [one_shots.pick(rng, one._drums["snare"].shots, v).layer for v in (0.1, 0.9)]
  assert layers[0] < layers[1]


def test_an_open_hat_rings_as_long_as_it_is_open(voices):
  energies = []
  for openness in (0.0, 0.5, 1.0):
    total = 0.0
    for seed in range(10):
      one = kit({}, seed=seed)
      total += np.square(one.stroke(np.random.default_rng(seed), "open_hat", 0.8, openness)[0].samples).sum()
    energies.append(total)
  assert energies[0] < energies[1] < energies[2]


def test_stand_ins(voices):
  assert "tom_mid" not in voices and "pedal_hat" not in voices
  one = kit(voices)
  assert {shot.voice for shot in one._drums["tom_mid"].shots} <= {"tom_high", "tom_low"}
  assert {shot.voice for shot in one._drums["pedal_hat"].shots} == {"closed_hat"}
  assert not one._drums["sidestick"].shots


def test_what_a_kit_does_not_have(voices, tmp_path):
  with pytest.raises(ValueError, match="unknown voice 'gong'; expected one of kick, snare"):
    kit(voices).stroke(np.random.default_rng(0), "gong", 1.0)
  write_kit(tmp_path)
  mapping = {"pattern": r"\d+-(?P<name>[A-Za-z]+).*", "voices": {"Snare": "cajon"}}
  with pytest.raises(ValueError, match=r"voices \['cajon'\]; a drum kit has kick, snare"):
    sampled_kit.playable(one_shots.find(tmp_path, mapping))
  with pytest.raises(ValueError, match="a drum kit has kick"):
    sampled_kit.playable(one_shots.find(write_piano(tmp_path / "piano")))
