"""What refinements say and write, by a network that hears every event: nothing is trained."""

import types

import numpy as np
import pytest
from small_pulses import RATE_HZ, counted, pulses

from softloc_jax import cross_fitting, recipes, refine, refine_report

NAMES = ("a", "b")


def hearing(truths, classes=NAMES):
  """A trained network that hears the events that are there."""

  def detect(one):
    probs = np.full((len(one.signal), len(classes)), 0.001, np.float32)
    for column, name in enumerate(classes):
      probs[np.round(truths[one.id].get(name, np.zeros(0)) * RATE_HZ).astype(int), column] = 0.99
    return types.SimpleNamespace(recording=one, probs=probs)

  network = types.SimpleNamespace(classes=classes, extractor=types.SimpleNamespace(frame_rate_hz=RATE_HZ))
  config = recipes.own("sensor", classes=classes, sample_rate_hz=RATE_HZ, softness_s=0.1)
  return types.SimpleNamespace(config=config, network=network, detect=detect)


@pytest.fixture
def takes():
  """Three recordings of two classes with rough times, and a network that hears their events."""
  made = [pulses(number, noise_s=0.05, classes=NAMES) for number in range(3)]
  return [one for one, _ in made], hearing({one.id: truth for one, truth in made})


def test_files_without_events_beside_counts_alone_give_no_model(takes):
  recordings, trained = takes
  nothing = recordings[0].replace(events={name: np.zeros(0) for name in NAMES})
  given = [nothing, *(counted(one, one.events) for one in recordings[1:])]
  refined = refine.refine(given, workdir="unused", trained=trained)
  assert not refined.models and not refined.by_recording["take0"]
  assert {one.recording for one in refined.corrections} == {"take1", "take2"}
  assert "80 windows with counts of 3 recordings" in refine_report.html(refined)


def test_files_without_events_beside_exact_times_alone_give_no_model(takes):
  recordings, trained = takes
  nothing = recordings[0].replace(events={name: np.zeros(0) for name in NAMES})
  given = [nothing, *(one.replace(exact=frozenset(NAMES)) for one in recordings[1:])]
  refined = refine.refine(given, workdir="unused", trained=trained)
  assert not refined.models and {one.status for one in refined.corrections} == {"confirmed"}


def test_more_folds_than_recordings_are_said_to_be_fewer(takes, monkeypatch, caplog):
  recordings, trained = takes
  used = []

  def held_out(config, parts, workdir):
    used.extend(parts)
    return cross_fitting.HeldOut(trained.network, {one.id: trained.detect(one).probs for one in recordings})

  monkeypatch.setattr(cross_fitting, "held_out_probabilities", held_out)
  options = {"workdir": "unused", "config": trained.config, "softness_s": 0.1}
  refined = refine.refine(recordings, num_folds=10, **options)
  assert len(used) == 3 and "with 3 networks" in refined.how
  assert "10 folds of 3 recordings: one for each, 3" in caplog.text
  caplog.clear()
  refine.refine(recordings, num_folds=3, **options)
  assert "folds" not in caplog.text
  with pytest.raises(ValueError, match="1 folds of 3 recordings; expected 2 or more"):
    refine.refine(recordings, num_folds=1, **options)
