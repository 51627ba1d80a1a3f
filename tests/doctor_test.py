"""The doctor: each kind of wrong folder, and clean ones with one recording that is off."""

from click.testing import CliRunner
import numpy as np
import pytest
from small_pulses import counted, pulses, write
import soundfile

from softloc_jax import cli, doctor


@pytest.fixture
def folder(tmp_path):
  """Five clean recordings."""
  for number in range(5):
    write(tmp_path, pulses(number, duration_s=60.0)[0])
  return tmp_path


def run(*arguments):
  return CliRunner().invoke(cli.cli, ["doctor", *map(str, arguments)])


def messages(found, level):
  return [f"{one.where}: {one.message}" for one in found.findings if one.level == level]


def test_a_clean_folder_is_usable(folder):
  found = doctor.examine(folder)
  assert found.is_usable and not messages(found, "error") and not messages(found, "warning")
  assert found.num_recordings == 5 and found.counts["pulse"] > 200
  assert all(one.matched > 0.95 for one in found.timings.values())
  result = run(folder)
  assert result.exit_code == 0 and result.output.splitlines()[-1] == "usable"


def signal_of(values):
  """Replaces the signal of the first recording."""
  return lambda d: np.savez(d / "take0.npz", signal=values, sample_rate=50.0)


def bare_array(folder):
  with open(folder / "take0.npz", "wb") as file:
    np.save(file, np.zeros(3000))


def text_of(name, text):
  return lambda d: (d / name).write_text(text)


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda d: (d / "take0.csv").unlink(), "take0.npz: has no labels"),
    (text_of("take0.csv", "time,label\n1.0,pulse\nsoon,pulse\n"), "take0.csv: row 3"),
    (text_of("take0.csv", "time,label\n99.0,pulse\n"), "1 of 1 events 'pulse' lie outside"),
    (text_of("take0.csv", "start,end,label,count\n0,0.05,pulse,9\n"), "has 5 frames for 9 events"),
    (text_of("take0.npz", "no"), "take0.npz: cannot read as npz"),
    (bare_array, "take0.npz: cannot read as npz: holds one bare array"),
    (lambda d: (d / "take0.npz").unlink(), "take0.csv: event file without a signal"),
    (signal_of(np.zeros(3000)), "take0.npz: is silent"),
    (signal_of(np.full(3000, np.nan)), "3000 samples are NaN"),
    (signal_of(np.random.default_rng(0).normal(size=(3000, 2))), "channels differ"),
    (text_of("split.csv", "id,split\ntake0,train\n"), "4 recordings are in no split"),
    (text_of("split.csv", "id,split\ntake*,train\n"), "no recording in validation, test"),
    (text_of("take0.tsv", "time\tlabel\n"), "has 2 event files"),
  ],
)
def test_each_error_is_named_and_the_rest_is_examined(folder, damage, message):
  damage(folder)
  found = doctor.examine(folder)
  assert not found.is_usable
  assert any(message in one for one in messages(found, "error")), found.findings
  assert found.counts["pulse"] > 150  # the other recordings were read all the same
  result = run(folder)
  assert result.exit_code == 1 and message in result.output and "Traceback" not in result.output


def test_what_refine_accepts_is_usable_for_it(folder):
  for number in (2, 3, 4):
    (folder / f"take{number}.csv").unlink()
  (folder / "take4.npz").unlink()
  (folder / "split.csv").write_text("id,split\ntake0,train\n")  # which refine does not read
  result = run(folder, "--for", "refine")
  assert result.exit_code == 0 and "note: take2.npz: has no labels" in result.output
  (folder / "split.csv").unlink()
  told = run(folder).output
  assert "error: take2.npz: has no labels; expected an event file of the same stem, or missing=" in told
  assert run(folder, "--missing", "unlabelled").exit_code == 0
  assert "take2.npz: has no labels: taken to have no event" in run(folder, "--missing", "empty").output
  (folder / "take2.npz").unlink()
  (folder / "take3.npz").unlink()
  assert run(folder, "--for", "refine").exit_code == 0
  result = run(folder)
  assert result.exit_code == 1 and "(refine takes fewer: --for refine)" in result.output


def test_what_refine_refuses_is_no_good_for_it(folder):
  for number in (1, 2, 3, 4):
    (folder / f"take{number}.csv").unlink()
  result = run(folder, "--for", "refine")
  assert result.exit_code == 1 and "error: only take0 has labels; expected two recordings" in result.output
  assert run(folder, "--for", "refine", "--model", "drums", "--no-timing").exit_code == 2
  assert "missing is 'empty', to refine" in run(folder, "--for", "refine", "--missing", "empty").output
  with pytest.raises(ValueError, match="purpose is 'play'; expected one of train, refine"):
    doctor.examine(folder, purpose="play")


def test_labels_are_examined_as_they_will_be_read(folder):
  (folder / "take0.tsv").write_text("time\tlabel\n")
  assert "expected one (--labels-from chooses)" in run(folder).output
  result = run(folder, "--labels-from", "csv", "--map", "pulse=hit")
  assert result.exit_code == 0 and " hit\n" in result.output
  result = run(folder, "--labels-from", "csv", "--map", "bang=hit")
  assert result.exit_code == 1 and "take1.csv: label 'pulse' is not in class_map (--map)" in result.output


def test_counted_windows_are_told_as_events(tmp_path):
  least = 0
  for number in range(3):
    recording = counted(*pulses(number), spread=number)
    least += sum(window.low for window in recording.counted["pulse"])
    write(tmp_path, recording)
  found = doctor.examine(tmp_path)
  assert found.counts == {"pulse": least} and least > 50 and found.at_least == {"pulse"}
  assert not messages(found, "warning") and found.is_usable
  assert doctor.as_text(found).startswith(f"3 recordings: {found.counts['pulse']}+ pulse\n")
  for number in range(3):
    (tmp_path / f"take{number}.csv").write_text("start,end,label,count\n,,pulse,0\n0,10,hit,4\n")
  found = doctor.examine(tmp_path)
  assert found.counts == {"hit": 12, "pulse": 0} and not found.at_least and found.is_usable
  assert ": class 'pulse' has 0 events only, in 3 recordings" in messages(found, "warning")


def test_a_few_labels_prove_no_offset(folder):
  """Some shift puts one or two of them on onsets by chance."""
  for number in range(5):
    (folder / f"take{number}.csv").write_text("time,label\n3.25,pulse\n20.4,pulse\n")
  found = doctor.examine(folder)
  assert not any("late" in one or "early" in one or "drift" in one for one in messages(found, "warning"))
  assert any("fewer than 8: their timing was not judged" in one for one in messages(found, "note"))


def test_a_rule_for_a_class_that_the_recording_has_no_label_of(folder):
  (folder / "take1.csv").write_text("time,label\n5.0,rare\n")
  (folder / "supervision.csv").write_text(
    "id,label,supervision\ntake0,rare,unlabelled\ntake1,pulse,unlabelled\n"
  )
  found = doctor.examine(folder, timing=False)
  assert found.is_usable and found.counts["rare"] == 1
  (folder / "supervision.csv").write_text("id,label,supervision\ntake9,rare,unlabelled\n")
  assert not doctor.examine(folder, timing=False).is_usable


def test_rules_are_read_as_training_reads_them(folder):
  (folder / "labels").mkdir()
  rules = folder / "labels" / "supervision.csv"
  text = (folder / "take1.csv").read_text()
  (folder / "take1.csv").write_text(f"{text}1.0,rare\n")
  # Of a class that this recording has no event of, and of one that cannot be read.
  rules.write_text("id,label,supervision\ntake0,rare,unlabelled\ntake2,pulse,exact\ntake3,*,unlabelled\n")
  (folder / "take2.npz").write_text("no")
  found = doctor.examine(folder, timing=False)
  assert [one for one in messages(found, "error") if "take2.npz" not in one] == []
  assert found.counts["pulse"] < 250  # without those of take2 and take3
  rules.write_text("id,label,supervision\ntake9,rare,unlabelled\n")
  assert any(
    one.startswith("supervision.csv: 'take9,rare,unlabelled' decides for no recording")
    for one in messages(doctor.examine(folder, timing=False), "error")
  )
  rules.write_text("id,label,supervision\ntake0,rare,maybe\n")
  (message,) = [
    one for one in messages(doctor.examine(folder, timing=False), "error") if "supervision" in one
  ]
  assert message.startswith("labels/supervision.csv: row 2: supervision is 'maybe'")


def test_warnings_do_not_make_it_unusable(folder):
  text = (folder / "take1.csv").read_text()
  time_s = text.splitlines()[1].split(",")[0]
  (folder / "take1.csv").write_text(
    text + f"{time_s},pulse\n" + f"{float(time_s) + 0.004},pulse\n" + "5.0,rare\n"
  )
  signal = np.load(folder / "take0.npz")["signal"]
  np.savez(folder / "copy.npz", signal=signal, sample_rate=50.0)
  (folder / "copy.csv").write_text((folder / "take0.csv").read_text())
  found = doctor.examine(folder)
  text = "\n".join(messages(found, "warning"))
  for part in ("there twice", "within 10 ms", "class 'rare' has 1 events", "the same signal as take0"):
    assert part in text
  assert found.is_usable


def test_clipped_sound_and_other_rates(tmp_path):
  rng = np.random.default_rng(0)
  for number, rate in enumerate((8000, 8000, 16000)):
    samples = np.clip(rng.normal(0, 2 if number == 0 else 0.1, 4 * rate), -1, 1)
    soundfile.write(tmp_path / f"{number}.wav", samples, rate)
    (tmp_path / f"{number}.csv").write_text("time,label\n1.0,hit\n")
  found = doctor.examine(tmp_path)
  assert any("clipped" in one for one in messages(found, "warning"))
  assert any("2 at 8000 Hz, 1 at 16000 Hz" in one for one in messages(found, "note"))


def test_unknown_labels_and_empty_classes(folder):
  found = doctor.examine(folder, classes=["pulse", "kick"])
  assert any("class 'kick' has no label" in one for one in messages(found, "error"))
  found = doctor.examine(folder, classes=["kick"])
  assert any("unknown label 'pulse'; expected one of kick" in one for one in messages(found, "error"))


def test_a_recording_that_is_late_and_one_that_drifts_stand_out(folder):
  late = pulses(5, duration_s=60.0, offset_s=0.409)[0]
  slow = pulses(6, duration_s=200.0)[0]
  slow = slow.replace(events={"pulse": np.minimum(slow.times_s("pulse") * 1.001, slow.duration_s)})
  write(folder, late)
  write(folder, slow)
  found = doctor.examine(folder)
  off_s = found.timings["take5"].offset_s - found.common_offset_s
  assert off_s == pytest.approx(0.409, abs=0.02)
  assert found.timings["take6"].drift == pytest.approx(0.001, abs=1e-4)
  text = "\n".join(messages(found, "warning"))
  assert "take5: labels are 4" in text and "take6: labels drift by +0.10 %" in text
  assert next(iter(found.timings)) == "take5"
  assert not any(f"take{number}: labels" in text for number in range(5))
  shown = run(folder).output
  assert "take5" in shown and "take0" not in shown and "take0" in run(folder, "--all").output


def test_folders_without_anything(tmp_path):
  with pytest.raises(FileNotFoundError, match="no such folder"):
    doctor.examine(tmp_path / "none")
  found = doctor.examine(tmp_path)
  assert not found.is_usable and "no recording" in found.findings[0].message
  assert run(tmp_path / "none").exit_code == 1


def test_labels_that_are_all_late_are_not_taken_for_the_detectors_delay(tmp_path):
  for number in range(4):
    write(tmp_path, pulses(number, duration_s=60.0, offset_s=0.2)[0])
  found = doctor.examine(tmp_path)
  assert found.common_offset_s == pytest.approx(0.2, abs=0.02)
  assert any("the labels of all recordings are 20" in one for one in messages(found, "warning"))


def test_what_loading_would_refuse_is_no_good(folder):
  (folder / "a").mkdir()
  for path in (folder / "a" / "b.npz", folder / "a__b.npz"):
    path.write_bytes((folder / "take0.npz").read_bytes())
    path.with_suffix(".csv").write_text((folder / "take0.csv").read_text())
  found = doctor.examine(folder, timing=False)
  assert any("a__b: is the id of a/b.npz, a__b.npz" in one for one in messages(found, "error"))


def test_small_units_are_not_silence(folder):
  signal = np.load(folder / "take0.npz")["signal"]
  np.savez(folder / "take0.npz", signal=1e-7 * signal, sample_rate=50.0)
  assert doctor.examine(folder, timing=False).is_usable


def test_a_dozen_labels_prove_no_drift(tmp_path):
  for number in range(8):
    write(tmp_path, pulses(number, noise_s=0.03, duration_s=13.0, seed=5)[0])
  found = doctor.examine(tmp_path)
  assert all(8 <= one.num_labels < 20 for one in found.timings.values())
  assert not any("drift" in one for one in messages(found, "warning"))
