"""Rendered clips: labels on the attacks, reproducible items, splits apart, no label that is not heard."""

import dataclasses
import pickle

import numpy as np
import pytest
from small_groove import write_groove, write_kit

from softloc_jax.data import drum_mix, groove, groove_rendered, one_shots, sampled_kit, sampler
from softloc_jax.data.groove import VOICES, Strokes
from softloc_jax.data.groove_rendered import CLASSES, GrooveRendered, Variation
from softloc_jax.data.recording import validate

CLEAN = Variation(
  synthesized=0.0,
  layered=0.0,
  room=0.0,
  clutter=0.0,
  compression=0.0,
  saturation=0.0,
  low_pass=0.0,
  noise_db=(-120.0, -120.0),
)


@pytest.fixture(scope="module")
def performances(tmp_path_factory):
  return groove.find(write_groove(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
  return one_shots.find(write_kit(tmp_path_factory.mktemp("kit")))


@pytest.fixture(scope="module")
def rendered(performances, shots):
  def make(split="train", num_recordings=3, duration_s=4.0, **options):
    return GrooveRendered(
      split, performances, shots, num_recordings=num_recordings, duration_s=duration_s, **options
    )

  return make


def same(one, other):
  return (
    one.id == other.id
    and np.array_equal(one.signal, other.signal)
    and all(np.array_equal(one.times_s(label), other.times_s(label)) for label in CLASSES)
  )


def strokes_of(*rows):
  times_s, names, velocities = zip(*rows, strict=True)
  voices = np.array([VOICES.index(name) for name in names])
  return Strokes(np.array(times_s), voices, np.array(velocities), np.ones(len(rows)))


def spaced(gap_s=1.0):
  """One stroke on each voice, far apart."""
  return strokes_of(*(((i + 0.5) * gap_s + 0.0123, name, 0.9) for i, name in enumerate(VOICES)))


def attacks_s(signal, strokes, rate_hz):
  """Where attacks are found from 50 ms before each stroke on."""
  found = []
  for time_s in strokes.times_s:
    start = round((time_s - 0.05) * rate_hz)
    found.append((start + sampler.attack_sample(signal[start : start + rate_hz // 5], rate_hz)) / rate_hz)
  return np.array(found)


# Labels


@pytest.mark.parametrize("rate_hz", (16_000, 44_100))
@pytest.mark.parametrize("split", groove.SPLITS)
def test_clicks_sound_where_they_are_labelled(shots, split, rate_hz):
  strokes, voices = spaced(), sampled_kit.playable(shots)
  signal, events = groove_rendered.render(
    np.random.default_rng(0),
    strokes,
    voices,
    split=split,
    duration_s=13,
    sample_rate_hz=rate_hz,
    variation=CLEAN,
  )
  # Those without recordings, as the sidestick, are synthesised and rise within 2 ms.
  late_s = attacks_s(signal, strokes, rate_hz) - strokes.times_s
  limits_s = np.where(strokes.is_any("sidestick"), 0.002, 0.001)
  assert (np.abs(late_s) <= limits_s).all()
  labelled = np.sort(np.concatenate(list(events.values())))
  np.testing.assert_array_equal(labelled, strokes.times_s[strokes.is_any("kick", "snare", *sampled_kit.HATS)])


def test_everything_in_the_mix_keeps_attacks_in_place(shots):
  strokes, voices = spaced(), sampled_kit.playable(shots)
  for seed in range(4):
    variation = Variation(room=1.0, compression=1.0, saturation=1.0, low_pass=1.0, noise_db=(-90, -90))
    signal, _ = groove_rendered.render(
      np.random.default_rng(seed), strokes, voices, duration_s=13, variation=variation
    )
    assert np.median(np.abs(attacks_s(signal, strokes, 16_000) - strokes.times_s)) <= 0.001


@pytest.mark.parametrize("split", groove.SPLITS)
def test_recordings_are_valid(rendered, split):
  for recording in rendered(split):
    validate(recording, CLASSES)
    assert recording.signal.dtype == np.float32 and recording.signal.shape == (64_000,)
    assert 0.099 < np.abs(recording.signal).max() <= 1
    for label in CLASSES:
      times_s = recording.times_s(label)
      assert (times_s >= groove_rendered.EDGE_S).all() and (times_s < 4 - groove_rendered.EDGE_S).all()
      assert (np.diff(times_s) >= 0.03).all()


def test_a_clip_in_which_nothing_is_played():
  signal, events = groove_rendered.render(
    np.random.default_rng(0),
    strokes_of((0.01, "kick", 1.0)),
    {},
    duration_s=1.0,  # too near to the edge
  )
  assert np.isfinite(signal).all() and not any(len(times_s) for times_s in events.values())


# What is not heard


def mix(strokes, **options):
  kit = sampled_kit.Kit(np.random.default_rng(0), {}, "train", 16_000)
  options = {"audible_db": {"KD": -15, "SD": -10, "HH": -25}, **options}
  return drum_mix.mix_strokes(np.random.default_rng(0), strokes, kit, 32_000, **options)


def test_a_ghost_note_under_a_crash_is_not_heard():
  ghost = ((1.0, "snare", 0.02),)
  crash = ((1.0, "crash", 1.0), (1.0, "kick", 1.0), (1.0, "tom_low", 1.0))
  assert mix(strokes_of(*ghost))[1].tolist() == [True]
  buses, heard = mix(strokes_of(*ghost, *crash))
  assert heard.tolist() == [False, True, True, True]
  assert mix(strokes_of(*ghost, *crash), audible_db={"KD": -80, "SD": -80, "HH": -80})[1].all()
  with_it, _ = mix(strokes_of(*ghost, *crash), drop_faint=False)
  assert np.abs(with_it - buses).max() > 0


@pytest.mark.parametrize(
  ("other", "limit_db"), (("ride", 0), ("closed_hat", 0), ("snare", 15), ("tom_low", 15))
)
def test_hats_are_hidden_by_cymbals_rather_than_by_drums(other, limit_db):
  # Both sound the same, so that only what they are called makes the difference.
  sound = sampler.Sound(np.random.default_rng(0).standard_normal(800).astype(np.float32), 16_000, 0)
  hits = [drum_mix._Hit(voice, 8000, sound, 1.0, np.inf) for voice in ("closed_hat", other)]
  for audible_db in (limit_db - 1, limit_db + 1):
    levels_db = dict.fromkeys(CLASSES, audible_db)
    heard = drum_mix._is_heard(hits, np.zeros(16_000, np.float32), 16_000, levels_db, -120)
    assert heard[0] == (audible_db < limit_db)


def test_noise_hides_faint_strokes():
  strokes = strokes_of((0.5, "kick", 1.0), (1.0, "closed_hat", 0.02))
  assert mix(strokes, noise_db=-100)[1].all()
  assert mix(strokes, noise_db=-20)[1].tolist() == [True, False]


def test_other_instruments_hide_faint_strokes():
  strokes = strokes_of((0.5, "snare", 0.05), (1.5, "snare", 1.0))
  hum = 3 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
  buses, heard = mix(strokes, background=hum)
  assert heard.tolist() == [False, True] and mix(strokes)[1].all()
  assert not buses[:, :16_000].any()  # what is only in the background is not mixed in


@pytest.mark.parametrize("faint", ("drop", "unlabelled", "labelled"))
def test_faint_strokes(shots, faint):
  strokes = strokes_of(
    (1.0, "crash", 1.0), (1.0, "tom_low", 1.0), (1.001, "snare", 0.01), (1.5, "snare", 1.0)
  )
  variation = dataclasses.replace(CLEAN, faint=faint, audible_db={"KD": -15.0, "SD": 0.0, "HH": -25.0})
  voices = sampled_kit.playable(shots)
  _, events = groove_rendered.render(
    np.random.default_rng(0), strokes, voices, duration_s=3, variation=variation
  )
  assert events["SD"].tolist() == ([1.001, 1.5] if faint == "labelled" else [1.5])


def test_the_next_stroke_on_the_hat_ends_an_open_one():
  rows = ((0.5, "open_hat", 1.0), (0.7, "pedal_hat", 0.05))
  (alone, _), (choked, _) = mix(strokes_of(rows[0])), mix(strokes_of(*rows))
  after = slice(int(0.85 * 16_000), None)
  assert np.square(choked[2, after]).sum() < 0.05 * np.square(alone[2, after]).sum()
  np.testing.assert_array_equal(choked[2, : int(0.69 * 16_000)], alone[2, : int(0.69 * 16_000)])


# What an item depends on


def test_items_depend_on_seed_split_and_index_alone(rendered):
  few, many = rendered(num_recordings=2), rendered(num_recordings=4)
  backwards = [many[i] for i in (3, 2, 1, 0)][::-1]
  assert all(same(few[i], backwards[i]) for i in range(2)) and same(many[-1], backwards[3])
  assert [recording.id for recording in backwards] == [f"train-0000{i}" for i in range(4)]
  others = [backwards[0], backwards[1], rendered(seed=1)[0], rendered("validation")[0], rendered("test")[0]]
  for i, one in enumerate(others):
    assert not any(np.array_equal(one.signal, other.signal) for other in others[:i])


def test_items_survive_pickling_to_a_worker(rendered):
  recordings = rendered("test", seed=5)
  assert same(pickle.loads(pickle.dumps(recordings))[2], recordings[2])


def test_each_split_plays_its_own_performances(rendered, performances):
  split_of = {one.id: one.split for one in performances}
  for split in groove.SPLITS:
    assert {split_of[one.id] for one in rendered(split).performances} == {split}


def test_without_one_shots(performances):
  recording = GrooveRendered("train", performances, num_recordings=1, duration_s=4.0)[0]
  validate(recording, CLASSES)
  assert sum(len(times_s) for times_s in recording.events.values()) > 3


# Failures


@pytest.mark.parametrize(
  ("options", "message"),
  (
    ({"split": "dev"}, "split is 'dev'; expected one of train, validation, test"),
    ({"num_recordings": 0}, "num_recordings is 0; expected at least 1"),
    ({"seed": -1}, "seed is -1"),
    ({"duration_s": 0.1}, "duration_s is 0.1; expected at least 0.5"),
    ({"sample_rate_hz": 4000}, "sample_rate_hz is 4000; expected at least 8000"),
  ),
)
def test_bad_arguments(rendered, options, message):
  with pytest.raises(ValueError, match=message):
    rendered(**options)


def test_a_split_without_performances(performances, rendered):
  with pytest.raises(ValueError, match="none of the 2 performances is of the split 'test'"):
    GrooveRendered("test", performances[:2], num_recordings=1)
  with pytest.raises(IndexError, match="recording 3 of 3"):
    rendered()[3]


@pytest.mark.parametrize(
  ("changes", "message"),
  (
    ({"room": 1.5}, "room is 1.5; expected a number from 0 to 1"),
    ({"noise_db": (-40, -50)}, "noise_db is .*the lower first"),
    ({"peak_db": (-3, 3)}, "peak_db is .*at most 0 dB"),
    ({"audible_db": {"KD": 0.0}}, "audible_db has the classes .*'KD'.*; expected"),
    ({"faint": "hide"}, "faint is 'hide'; expected 'drop', 'unlabelled' or 'labelled'"),
    ({"sidestick": "hide"}, "sidestick is 'hide'"),
  ),
)
def test_bad_variations(changes, message):
  with pytest.raises(ValueError, match=message):
    Variation(**changes)


# Real performances and one-shots


def test_real_strokes_sound_where_they_are_labelled(shared_data):
  found = one_shots.find(shared_data("oneshots") / "muldjord_drums_ccby")
  strokes, voices = spaced(gap_s=2.5), sampled_kit.playable(found)  # a crash rings for two seconds
  late_s = []
  for seed in range(6):
    signal, _ = groove_rendered.render(
      np.random.default_rng(seed), strokes, voices, duration_s=31, variation=CLEAN
    )
    late_s.append(attacks_s(signal, strokes, 16_000) - strokes.times_s)
  # Where an equaliser takes most of the beater's click away, a kick's attack is found up to 2 ms later.
  assert np.median(np.abs(late_s)) < 0.0005 and np.abs(late_s).max() < 0.003


def test_real_clips(shared_data):
  performances = groove.find(shared_data("groove"))
  found = one_shots.find(shared_data("oneshots") / "muldjord_drums_ccby")
  recordings = GrooveRendered("validation", performances, found, num_recordings=6, duration_s=10.0)
  totals = dict.fromkeys(CLASSES, 0)
  for recording in recordings:
    validate(recording, CLASSES)
    for label in CLASSES:
      totals[label] += len(recording.times_s(label))
  assert all(0.5 < total / 60 < 8 for total in totals.values())  # strokes per second
