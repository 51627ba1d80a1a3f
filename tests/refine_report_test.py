"""What refinements say and write, by a network that hears every event: nothing is trained."""

import shutil
import types

import numpy as np
import pytest
from small_pulses import RATE_HZ, counted, pulses, write

from softloc_jax import cross_fitting, detector, recipes, refine, refine_report
from softloc_jax.commands import refine_folder
from softloc_jax.data import event_files, folder, supervision

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


def test_labels_may_be_given_beside_the_recordings(takes):
  recordings, trained = takes
  labels = {one.id: {name: one.times_s(name)[::-1].tolist() for name in NAMES} for one in recordings}
  bare = [one.replace(events={}) for one in recordings]
  found = refine.refine(bare, labels, workdir="unused", trained=trained)
  assert found.corrections == refine.refine(recordings, workdir="unused", trained=trained).corrections
  # What a recording has, and labels do not, is no label.
  without_b = {id_: {"a": times["a"]} for id_, times in labels.items()}
  found = refine.refine(recordings, without_b, workdir="unused", trained=trained)
  assert {one.label for one in found.corrections if np.isfinite(one.old_s)} == {"a"}


@pytest.mark.parametrize(
  ("labels", "message"),
  [
    ({"take0": {"a": [1.0]}}, "take1, take2: in either recordings or labels"),
    (
      {f"take{n}": {"a": [1e6]} for n in range(3)},
      "recording 'take0': event 'a' at 1000000.000 s lies outside",
    ),
    ({f"take{n}": {"c": [1.0]} for n in range(3)}, "labels of c; expected classes among a, b"),
  ],
)
def test_labels_that_do_not_fit_the_recordings(takes, labels, message):
  recordings, trained = takes
  with pytest.raises(ValueError, match=message):
    refine.refine(recordings, labels, workdir="unused", trained=trained)


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


@pytest.fixture
def no_figures(monkeypatch):
  monkeypatch.setattr(refine_report, "html", lambda *_, **__: "")


def written_again(refined, out, **options):
  """What `data.folder` reads of the new labels, with the signals beside their folder."""
  refine_report.write(refined, out, **options)
  data = out.parent / "again"
  shutil.rmtree(data, ignore_errors=True)
  shutil.copytree(out / "labels", data / "labels")
  for one in refined.recordings:
    np.savez(data / f"{one.id}.npz", signal=one.signal, sample_rate=one.sample_rate_hz)
  return {one.id: one for one in folder.load(data)}


def without(recording, name):
  """The recording, of whose events of a class nobody knows."""
  return recording.replace(events={**recording.events, name: np.zeros(0)}, labelled={name: False})


def test_what_is_unknown_and_what_is_exact_is_so_in_new_labels(takes, tmp_path, no_figures):
  recordings, trained = takes
  first, second, third = recordings
  given = [without(first, "b"), second.replace(exact=frozenset("b")), third]
  found = written_again(refine.refine(given, workdir="unused", trained=trained), tmp_path / "out")
  assert not found["take0"].is_labelled("b") and found["take0"].is_labelled("a")
  assert found["take1"].is_labelled("b") and [sorted(one.exact) for one in found.values()] == [[], ["b"], []]
  np.testing.assert_allclose(found["take1"].times_s("b"), second.times_s("b"), atol=1e-6)


@pytest.fixture
def in_part(takes):
  """Counts of all of the first two recordings, but for the second half of `a` in the first."""
  recordings, trained = takes
  first, second = (counted(one, one.events) for one in recordings[:2])
  half = [one for one in first.counted["a"] if one.end_s <= 20.0]
  return [first.replace(counted={**first.counted, "a": half}), second, recordings[2]], trained


def test_a_class_that_was_counted_in_part_is_no_silence_in_new_labels(in_part, tmp_path, no_figures):
  recordings, trained = in_part
  refined = refine.refine(recordings, workdir="unused", trained=trained)
  found = written_again(refined, tmp_path / "out")
  assert (tmp_path / "out" / "labels" / "supervision.csv").read_text().splitlines()[1:] == [
    "take0,a,unlabelled"
  ]
  assert not found["take0"].is_labelled("a") and found["take0"].is_labelled("b")
  assert all(found["take1"].is_labelled(name) and len(found["take1"].times_s(name)) for name in NAMES)
  placed_s = event_files.read_events(tmp_path / "out" / "labels" / "take0.csv")["a"]
  assert len(placed_s) > 10 and placed_s.max() < 20.5  # they are there to look at


def test_what_was_counted_in_part_is_said(in_part, tmp_path, monkeypatch):
  recordings, trained = in_part
  for one in recordings:
    write(tmp_path / "takes", one)
  monkeypatch.setattr(detector, "chosen", lambda model, checkpoint: trained)
  report = refine_folder.refine_folder(tmp_path / "takes", tmp_path / "out", checkpoint="none")
  said = "; counted in part, and so unlabelled in labels/supervision.csv: take0 (a)"
  assert report.summary.endswith(said)
  assert "where there may be some: take0 (a)." in report.path.read_text()


def test_rules_of_classes_without_any_event_are_not_written(takes, tmp_path, no_figures):
  """They would be refused as rules that decide nothing: a network may know classes that no file has."""
  recordings, trained = takes
  given = [one.replace(events={"a": one.times_s("a")}) for one in recordings]
  found = written_again(refine.refine(given, workdir="unused", trained=trained), tmp_path / "out")
  assert not (tmp_path / "out" / "labels" / "supervision.csv").exists()
  assert {name for one in found.values() for name in one.events} == {"a"}


def test_rules_of_a_run_before_do_not_outlive_it(takes, tmp_path, no_figures):
  recordings, trained = takes
  out, path = tmp_path / "out", tmp_path / "out" / "labels" / "supervision.csv"
  before = refine.refine([without(recordings[0], "b"), *recordings[1:]], workdir="unused", trained=trained)
  written_again(before, out)
  assert path.exists()
  now = refine.refine(recordings, workdir="unused", trained=trained)
  found = written_again(now, out, overwrite=True)
  assert not path.exists() and found["take0"].is_labelled("b") and len(found["take0"].times_s("b"))


def test_a_table_of_rules_is_not_replaced_unasked(takes, tmp_path, no_figures, monkeypatch):
  recordings, trained = takes
  path = tmp_path / "out" / "labels" / "supervision.csv"
  path.parent.mkdir(parents=True)
  path.write_text("mine")
  with pytest.raises(FileExistsError, match=r"supervision\.csv exists; --overwrite replaces results"):
    refine_report.write(refine.refine(recordings, workdir="unused", trained=trained), tmp_path / "out")
  for one in recordings:
    write(tmp_path / "takes", one)
  with pytest.raises(FileExistsError, match=r"supervision\.csv exists"):  # before any work
    refine_folder.refine_folder(tmp_path / "takes", tmp_path / "out", checkpoint="none")
  assert path.read_text() == "mine"
  monkeypatch.setattr(detector, "chosen", lambda model, checkpoint: trained)
  refine_folder.refine_folder(tmp_path / "takes", tmp_path / "out", checkpoint="none", overwrite=True)
  assert not path.exists()


@pytest.mark.parametrize("id_", ["walks__take", "Hello, World", "t[1]", 'say "k"', "Café"])
def test_rules_of_new_labels_are_read_back_whatever_the_id(takes, tmp_path, no_figures, id_):
  recordings, trained = takes
  given = [without(recordings[0], "b"), recordings[1]]
  refined = refine.refine(given, workdir="unused", trained=trained)
  names = {"take0": id_.replace("__", "/"), "take1": "take1"}
  refine_report.write(refined, tmp_path, names=names)
  rules = supervision.read_rules(tmp_path / "labels" / "supervision.csv")
  assert rules == [(id_, "b", "unlabelled")]
  (ruled,) = supervision.apply(rules, [recordings[0].replace(id=id_)])
  assert not ruled.is_labelled("b")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_recording_must_not_have_the_name_of_the_table_of_rules(takes, tmp_path, overwrite):
  for one in takes[0]:
    write(tmp_path / "takes", one.replace(id={"take0": "supervision"}.get(one.id, one.id)))
  with pytest.raises(ValueError, match="is a recording's, and the name of the table of rules"):
    refine_folder.refine_folder(
      tmp_path / "takes", tmp_path / "out", checkpoint="none", formats=[".csv", ".tsv"], overwrite=overwrite
    )
  assert not (tmp_path / "out").exists()
