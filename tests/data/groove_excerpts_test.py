"""What clips play: excerpts that fill them, strokes left out of audio and labels together, flams as one."""

import dataclasses

import numpy as np
import pytest
from small_groove import write_groove, write_midi

from softloc_jax.data import groove, groove_excerpts
from softloc_jax.data.groove import VOICES, Strokes
from softloc_jax.data.groove_excerpts import ScoreVariation, draw_excerpt, events_of

PLAIN = ScoreVariation(
  tempo=(1.0, 1.0), jitter_s=0.0, other_hats=0, ride_on_hat=0, hat_on_ride=0, open_hats=0, drop={}, rest={}
)


@pytest.fixture(scope="module")
def performances(tmp_path_factory):
  found = groove.find(write_groove(tmp_path_factory.mktemp("data"), num_per_split=3))
  return groove.official_split(found)["train"]


def draw(performances, seed=0, duration_s=15.0, **changes):
  variation = dataclasses.replace(PLAIN, **changes)
  return draw_excerpt(np.random.default_rng(seed), performances, duration_s, variation)


def same(one, other):
  return all(
    np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(Strokes)
  )


def of(strokes, name):
  return strokes.select(strokes.is_any(name))


def test_excerpts_fill_the_clip(performances):
  strokes, steps_s = draw(performances)
  gaps_s = np.diff(np.concatenate([[0], strokes.times_s, [15]]))
  assert gaps_s.max() < 0.8 and gaps_s.min() >= 0  # performances have a stroke every quarter of a second
  assert steps_s.min() >= 0 and steps_s.max() < 15
  np.testing.assert_allclose(np.median(np.diff(steps_s)), 0.15)  # sixteenths at 100 beats a minute


def test_draws_depend_on_the_seed_alone(performances):
  default = ScoreVariation()
  one, other, different = (
    draw_excerpt(np.random.default_rng(seed), performances, 15.0, default)[0] for seed in (1, 1, 2)
  )
  assert same(one, other) and not same(one, different)


def test_tempo(performances):
  for tempo in (0.5, 2.0):
    strokes, steps_s = draw(performances, tempo=(tempo, tempo))
    assert np.median(np.diff(strokes.times_s)) == pytest.approx(0.25 / tempo, abs=0.002)
    assert np.median(np.diff(steps_s)) == pytest.approx(0.15 / tempo)


def test_jitter(performances):
  strokes, still = draw(performances, jitter_s=0.01)[0], draw(performances)[0]
  inside = still.times_s[(still.times_s > 0.1) & (still.times_s < 14.9)]
  moved_s = np.array([strokes.times_s[np.argmin(np.abs(strokes.times_s - t))] - t for t in inside])
  assert 0.005 < moved_s.std() < 0.015
  assert (np.diff(strokes.times_s) >= 0).all()


def test_drops_and_rests_leave_out_one_class_only(performances):
  whole = draw(performances)[0]
  shares = []
  for seed in range(40):
    strokes, whole = (draw(performances, seed, drop=drop)[0] for drop in ({"HH": 1.0}, {}))
    assert same(of(strokes, "kick"), of(whole, "kick")) and same(of(strokes, "ride"), of(whole, "ride"))
    shares.append(strokes.is_any(*groove_excerpts.HATS).sum() / whole.is_any(*groove_excerpts.HATS).sum())
  assert 0.25 < np.mean(np.equal(shares, 1)) < 0.75  # half of all clips are whole
  assert min(shares) < 0.4
  rest = draw(performances, rest={"KD": 1.0})[0]
  assert len(of(rest, "kick")) < len(of(draw(performances)[0], "kick"))


def test_hats_and_rides_change_places(performances):
  whole = draw(performances)[0]
  on_hat = draw(performances, ride_on_hat=1.0)[0]
  assert len(of(on_hat, "ride")) == 0
  assert len(of(on_hat, "closed_hat")) == len(of(whole, "ride")) + len(of(whole, "closed_hat"))
  on_ride = draw(performances, hat_on_ride=1.0)[0]
  assert on_ride.is_any("closed_hat", "open_hat").sum() == 0
  assert len(of(on_ride, "pedal_hat")) == len(of(whole, "pedal_hat"))


def test_lone_hats_are_never_struck_with_a_drum(tmp_path):
  root = write_groove(tmp_path, num_per_split=1) / "groove"
  times_s = np.arange(0, 7.8, 0.25)
  hats = [(t, 42, 90) for t in times_s]
  drums = [(t + 0.01 * (-1) ** i, (36, 38)[i % 2], 100) for i, t in enumerate(times_s[::2])]
  write_midi(next((root / "drummer1" / "train").glob("*.mid")), sorted(hats + drums))
  played = groove.official_split(groove.find(tmp_path))["train"]
  whole, lone = (draw(played, 3, lone_hats=share)[0] for share in (0.0, 1.0))
  assert len(of(lone, "kick")) == len(of(whole, "kick")) and len(of(lone, "snare")) == len(of(whole, "snare"))
  assert len(of(whole, "closed_hat")) - len(of(lone, "closed_hat")) == len(of(whole, "kick")) + len(
    of(whole, "snare")
  )
  drums_s = lone.times_s[lone.is_any("kick", "snare")]
  assert np.abs(of(lone, "closed_hat").times_s[:, None] - drums_s).min() > 0.2


def test_opened_hats(performances):
  opened = [len(of(draw(performances, seed, open_hats=1.0)[0], "open_hat")) for seed in range(20)]
  usual = [len(of(draw(performances, seed)[0], "open_hat")) for seed in range(20)]
  assert sum(opened) > sum(usual) and any(one == other for one, other in zip(opened, usual, strict=True))


def test_hats_of_another_performance(performances):
  changed = 0
  for seed in range(5):
    strokes, whole = (draw(performances, seed, other_hats=chance)[0] for chance in (1.0, 0.0))
    assert same(of(strokes, "snare"), of(whole, "snare"))
    changed += not same(of(strokes, "closed_hat"), of(whole, "closed_hat"))
  assert changed >= 3


@pytest.mark.parametrize(
  ("sidestick", "num_sticks", "is_snare"), (("clutter", 1, 0), ("drop", 0, 0), ("snare", 0, 1))
)
def test_sidesticks(performances, sidestick, num_sticks, is_snare):
  whole, strokes = draw(performances)[0], draw(performances, sidestick=sidestick)[0]
  sticks = len(of(whole, "sidestick"))
  assert sticks and len(of(strokes, "sidestick")) == num_sticks * sticks
  assert len(events_of(strokes)["SD"]) == len(of(whole, "snare")) + is_snare * sticks


def strokes_of(*pairs):
  times_s, names = zip(*pairs, strict=True)
  voices = np.array([VOICES.index(name) for name in names])
  return Strokes(np.array(times_s), voices, np.ones(len(pairs)), np.ones(len(pairs)))


def test_events():
  strokes = strokes_of(
    *((0.5, "snare"), (0.5, "kick"), (0.52, "snare"), (0.545, "snare"), (0.6, "closed_hat")),
    *(
      (0.61, "pedal_hat"),
      (0.7, "open_hat"),
      (0.8, "sidestick"),
      (0.9, "tom_low"),
      (1.0, "ride"),
      (1.1, "crash"),
    ),
  )
  events = events_of(strokes)
  # The third stroke is 45 ms after the event that the second is part of.
  assert {label: times_s.tolist() for label, times_s in events.items()} == {
    "KD": [0.5],
    "SD": [0.5, 0.545],
    "HH": [0.6, 0.7],
  }
  assert events_of(strokes, merge_s=0.0)["SD"].tolist() == [0.5, 0.52, 0.545]


@pytest.mark.parametrize(
  ("changes", "message"),
  (
    ({"tempo": (1.2, 0.8)}, "tempo is .*the smaller first"),
    ({"jitter_s": -1}, "jitter_s is -1"),
    ({"open_hats": 2}, "open_hats is 2; expected a number from 0 to 1"),
    ({"drop": {"HH": -0.1}}, r"drop\['HH'\] is -0.1"),
    ({"rest": {"CY": 0.1}}, "rest has the class 'CY'; expected KD, SD, HH"),
    ({"ride_on_hat": 0.6, "hat_on_ride": 0.6}, "expected at most 1 together"),
    ({"sidestick": "keep"}, "sidestick is 'keep'; expected 'clutter', 'drop' or 'snare'"),
  ),
)
def test_bad_variations(changes, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(PLAIN, **changes)
