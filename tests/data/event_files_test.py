"""Sidecar events: every format read, every malformed row named."""

import sys

import numpy as np
import pytest

from softloc_jax.data import midi_files
from softloc_jax.data.event_files import read_events


def write(tmp_path, name, text):
  path = tmp_path / name
  path.write_bytes(text.encode() if isinstance(text, str) else text)
  return path


def as_lists(events):
  return {label: times.tolist() for label, times in events.items()}


TABLES = {
  "header": ("a.csv", "time,label\n0.5,SD\n0.25,KD\n1,SD\n"),
  "confidence": ("a.csv", "time,label,confidence\n0.5,SD,0.9\n0.25,KD,\n1,SD,1e-3\n"),
  "other order, case and blanks": ("a.csv", "Label, Time\r\nSD, 0.5\r\nKD ,0.25\r\n\r\nSD,1.0\r\n"),
  "other columns": ("a.csv", "time,label,velocity\n0.5,SD,a\n0.25,KD,b\n1,SD,c\n"),
  "tsv": ("a.tsv", "time\tlabel\n0.5\tSD\n0.25\tKD\n1\tSD\n"),
  "byte order mark": ("a.csv", "\ufefftime,label\n0.5,SD\n0.25,KD\n1,SD\n"),
  "MDB Drums": ("a.txt", "0.250000 \t KD \n0.500000 \t SD \n1.000000 \t SD \n"),
  "ENST-Drums": ("a.txt", "0.25 KD\n0.5 SD\n1. SD"),
  "no header, with confidence": ("a.txt", "0.25\tKD\t.9\n0.5\tSD\t.8\n1.0\tSD\t.7\n"),
}


@pytest.mark.parametrize("name, text", TABLES.values(), ids=TABLES)
def test_tables_that_say_the_same(tmp_path, name, text):
  events = read_events(write(tmp_path, name, text))
  assert as_lists(events) == {"KD": [0.25], "SD": [0.5, 1.0]}
  assert all(times.dtype == np.float64 for times in events.values())


@pytest.mark.parametrize("text", ["time\n2\n1\n", "2.0\n1.0\n", "time,confidence\n2,.5\n1,.5\n"])
def test_times_alone_are_events(tmp_path, text):
  assert as_lists(read_events(write(tmp_path, "a.csv", text))) == {"event": [1.0, 2.0]}


def test_maps_labels_are_pitches_at_onsets(tmp_path):
  text = "OnsetTime\tOffsetTime\tMidiPitch\r\n0.519987\t0.648988\t51\r\n0.519987\t1.5\t39\r\n0.2\t.3\t51\r\n"
  assert as_lists(read_events(write(tmp_path, "a.txt", text))) == {"39": [0.519987], "51": [0.2, 0.519987]}


@pytest.mark.parametrize(
  "text, events",
  [
    ("0.5\t0.6\tKD\n0.25\t0.25\topen hat\n", {"KD": [0.5], "open hat": [0.25]}),
    ("0\t1.5\tKD\n1.5\t2\tKD\n", {"KD": [0.0, 1.5]}),
    ("0.5\t0.6\t1\n0.7\t0.7\t2\n", {"1": [0.5], "2": [0.7]}),
  ],
)
def test_intervals_of_audacity_are_labels_at_their_start(tmp_path, text, events):
  assert as_lists(read_events(write(tmp_path, "a.txt", text))) == events


@pytest.mark.parametrize(
  "text",
  [
    "0.512,60\n1,62\n",
    "0.512\t60\n1\t62\n",
    "0.512 60\n1 62\n",
    "0.512\t60\t0.9\n1\t62\t0.8\n",
    "0.512\t60\t\n1\t62\t\n",
    "time,label\n0.512,60\n1,62\n",
    "time\tlabel\n0.512\t60\n1\t62\n",
  ],
)
def test_names_of_classes_may_be_numbers(tmp_path, text):
  assert as_lists(read_events(write(tmp_path, "a.txt", text))) == {"60": [0.512], "62": [1.0]}


def test_commas_that_separate_are_no_decimal_commas(tmp_path):
  for text in ("time,label\n0,512\n", "0,512\n0.5,512\n", "0,512,0.9\n", "0, 512\n"):
    assert read_events(write(tmp_path, "a.csv", text))["512"][0] == 0.0
  assert as_lists(read_events(write(tmp_path, "a.csv", "time,label\n0.5,0.25\n"))) == {"0.25": [0.5]}
  assert as_lists(read_events(write(tmp_path, "a.csv", "0.5,808 kick\n1,808 kick\n"))) == {
    "808 kick": [0.5, 1.0]
  }


def test_labels_may_hold_separators_and_quotes(tmp_path):
  path = write(tmp_path, "a.csv", 'time,label\n1,"hat, closed"\n2,"say ""k"""\n3,open hat\n')
  assert set(read_events(path)) == {"hat, closed", 'say "k"', "open hat"}


def test_two_events_at_one_time_are_two_events(tmp_path):
  assert as_lists(read_events(write(tmp_path, "a.csv", "time,label\n1,a\n1,a\n"))) == {"a": [1.0, 1.0]}


@pytest.mark.parametrize("text", ["time,label\n", "time\n", "OnsetTime\tOffsetTime\tMidiPitch\n"])
def test_header_alone_says_no_events(tmp_path, text):
  assert read_events(write(tmp_path, "a.txt", text)) == {}


@pytest.mark.parametrize(
  "text, message",
  [
    ("", r"the file is empty; expected a header `time,label`"),
    (" \n\n", r"the file is empty"),
    ("time,label\n0.5,a\nx,b\n", r"row 3: time is 'x'; expected seconds"),
    ("time,label\n\n0.5,a\n,b\n", r"row 4: time is ''; expected seconds"),
    ("time,label\n-0.5,a\n", r"row 2: time is '-0\.5'; expected seconds, a number >= 0"),
    ("time,label\nnan,a\n", r"row 2: time is 'nan'"),
    ("inf,a\n", r"row 1: time is 'inf'"),
    ("time,label\n0.5,a\n1_0,b\n", r"row 3: time is '1_0'; expected seconds"),
    ("time,label\n0.5\n", r"row 2 has 1 columns \(\['0\.5'\]\); expected 2"),
    ("time,label\n0,5,a\n", r"row 2 has 3 columns .*; expected 2"),
    ("time,label\n0.5,\n", r"row 2: the label is empty"),
    ("0.5,1.5,kick\n", r"row 1: confidence is 'kick'; expected a number"),
    ("time,label,confidence\n1,a,high\n", r"row 2: confidence is 'high'; expected a number"),
    ("0.5 1.5 2.5 kick\n", r"row 1 has 4 columns without a header"),
    ("time,class\n0.5,a\n", r"row 1 is 'time, class'; expected a time in seconds, or a header"),
    ("start,label\n0.5,a\n", r"row 1 is 'start, label'; expected a time in seconds, or a header"),
    ("time,label,label\n0.5,a,b\n", r"row 1 is 'time, label, label'"),
    ("OnsetTime\tOffsetTime\tMidiPitch\n0.5\t1\tC4\n", r"row 2: MidiPitch is 'C4'; expected a whole number"),
    ('time,label\n1,"a\n2,b\n', r"unexpected end of data; expected fields separated by ','"),
    (
      "0,512\n0,731\n",
      r"row 1 is '0,512', and every row may begin with a decimal comma; expected times with",
    ),
    ("\n0,512 KD\n", r"row 2 is '0,512 KD', and every row may begin with a decimal comma"),
    ("0,512\tKD\n", r"row 1 is '0,512\\tKD', and every row may begin with a decimal comma"),
    ("0,512,KD\n", r"row 1 is '0,512,KD', and every row may begin with a decimal comma"),
    ('"0,512",KD\n', r"row 1 is '\"0,512\",KD', and every row may begin with a decimal comma"),
    ("0,5;KD\n", r"row 1 is '0,5;KD', with a semicolon after the time; expected columns separated by tabs"),
    ("0.5,KD\n0.7;KD\n", r"row 2 is '0\.7;KD', with a semicolon after the time"),
    ("0.5;open hat\n", r"row 1 is '0\.5;open hat', with a semicolon after the time"),
    ("0.5\t0.5\t\n0.7\t0.7\t\n", r"row 1: the label is empty; expected a name"),
    ("0.5\t0.5\tKD\n0.7\t0.7\t\n", r"row 2: the label is empty; expected a name"),
    ("0.500000\t0.500000\n", r"row 1: the label is '0\.500000', and every row has such a number; expected a"),
    ("0.5,0.6,1\n0.7,0.8,1\n", r"row 1: the label is '0\.6', and every row has such a number"),
    ("0.5\t0.4\tKD\n", r"row 1: end is 0\.4; expected seconds, a number >= the start of 0\.5"),
    (b"time,label\n1,\xff\xfe\n", r"not a text file in UTF-8"),
  ],
)
def test_malformed_tables_are_refused_by_file_and_row(tmp_path, text, message):
  with pytest.raises(ValueError, match=r"bad\.txt: " + message):
    read_events(write(tmp_path, "bad.txt", text))


def test_missing_file_and_unknown_extension(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"no such file: .*gone\.csv"):
    read_events(tmp_path / "gone.csv")
  with pytest.raises(ValueError, match=r"cannot read events from '\.xml'; expected one of \.csv, \.tsv"):
    read_events(write(tmp_path, "a.xml", ""))


def test_real_annotations(shared_data):
  path = sorted((shared_data("MDBDrums") / "MDB Drums/annotations/class").glob("*Reggae_class.txt"))[0]
  events = read_events(path)
  num_lines = len(path.read_text().split("\n")) - 1
  assert {"KD", "SD", "HH"} <= set(events)
  assert sum(len(times) for times in events.values()) == num_lines


# --- JAMS and MIDI, written by the libraries themselves


def save_jams(path, annotations):
  jams = pytest.importorskip("jams")
  jam = jams.JAMS()
  jam.file_metadata.duration = 10.0
  for namespace, observations in annotations:
    annotation = jams.Annotation(namespace=namespace)
    for time_s, value in observations:
      annotation.append(time=time_s, duration=0.0, value=value)
    jam.annotations.append(annotation)
  jam.save(str(path), strict=False)
  return path


@pytest.mark.filterwarnings("ignore:None is not of type:UserWarning")  # a tempo without confidence
def test_jams_namespaces(tmp_path):
  path = save_jams(
    tmp_path / "a.jams",
    [
      ("onset", [(1.5, None), (0.5, None)]),
      ("beat", [(0.25, 1), (0.75, 2)]),
      ("tag_open", [(2.0, "KD"), (3.0, "SD")]),
      ("segment_open", [(4.0, "KD")]),
      ("note_midi", [(5.0, 60.2)]),
      ("tempo", [(0.0, 120.0)]),
    ],
  )
  assert as_lists(read_events(path)) == {
    "60": [5.0],
    "KD": [2.0, 4.0],
    "SD": [3.0],
    "beat": [0.25, 0.75],
    "onset": [0.5, 1.5],
  }


@pytest.mark.filterwarnings("ignore:None is not of type:UserWarning")
def test_jams_without_events_or_with_several_annotators(tmp_path):
  with pytest.raises(ValueError, match=r"a\.jams: holds annotations of \['tempo'\]; expected one of onset"):
    read_events(save_jams(tmp_path / "a.jams", [("tempo", [(0.0, 120.0)])]))
  with pytest.raises(ValueError, match=r"b\.jams: holds 2 beat annotations"):
    read_events(save_jams(tmp_path / "b.jams", [("beat", [(1.0, 1)]), ("beat", [(1.0, 1)])]))
  assert as_lists(read_events(save_jams(tmp_path / "c.jams", [("onset", [])]))) == {}


def test_jams_whose_values_do_not_fit_their_namespace(tmp_path):
  path = tmp_path / "a.jams"
  with pytest.warns(UserWarning):  # the library writes it under protest
    save_jams(path, [("note_midi", [(1.0, "C4")])])
  with pytest.raises(
    ValueError, match=r"a\.jams: cannot read as JAMS: SchemaError: 'C4' is not of type 'number'"
  ):
    read_events(path)


def test_midi_notes_of_every_instrument_drums_too(tmp_path):
  pretty_midi = pytest.importorskip("pretty_midi")
  midi = pretty_midi.PrettyMIDI()
  for is_drum, notes in ((True, [(36, 0.5), (38, 1.0)]), (False, [(36, 0.25), (60, 2.0)])):
    instrument = pretty_midi.Instrument(program=0, is_drum=is_drum)
    instrument.notes = [pretty_midi.Note(100, pitch, start, start + 0.1) for pitch, start in notes]
    midi.instruments.append(instrument)
  midi.write(str(tmp_path / "a.mid"))
  events = read_events(tmp_path / "a.mid")
  assert list(events) == ["36", "38", "60"]
  for label, expected in (("36", [0.25, 0.5]), ("38", [1.0]), ("60", [2.0])):
    np.testing.assert_allclose(events[label], expected, atol=1e-3)


def test_midi_notes_that_end_at_once_or_never(tmp_path):
  mido = pytest.importorskip("mido")

  def note(kind, pitch, after, velocity=64):
    return mido.Message(kind, channel=9, note=pitch, velocity=velocity, time=after)

  tempos = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000, time=480)])
  drums = [
    *(note("note_on", 36, 240), note("note_off", 36, 0)),  # at 0.25 s, of no length
    *(note("note_on", 38, 240), note("note_on", 38, 240)),  # at 0.5 and 1 s, and nothing ends the second ...
    *(note("note_off", 38, 0), note("note_on", 38, 240, 0)),  # ... but this, at 1.5 s
    *(note("note_off", 38, 0), note("note_on", 42, 0), mido.MetaMessage("end_of_track", time=480)),
  ]
  mido.MidiFile(ticks_per_beat=480, tracks=[tempos, mido.MidiTrack(drums)]).save(tmp_path / "a.mid")
  assert as_lists(read_events(tmp_path / "a.mid")) == {"36": [0.25], "38": [0.5, 1.0], "42": [1.5]}
  assert midi_files.read(tmp_path / "a.mid").notes == [
    *((0.25, 0.25, 36, 64), (0.5, 1.0, 38, 64), (1.0, 1.5, 38, 64)),
    (1.5, 2.5, 42, 64),  # to the end of its track
  ]
  write(tmp_path, "b.mid", b"MThd\0\0\0\6\0\1\0\0\1\xe0")
  with pytest.raises(ValueError, match=r"b\.mid: cannot read as MIDI: .*no track"):
    read_events(tmp_path / "b.mid")


@pytest.mark.parametrize("name, kind", [("a.jams", "JAMS"), ("a.mid", "MIDI"), ("a.midi", "MIDI")])
def test_damaged_jams_and_midi(tmp_path, name, kind):
  pytest.importorskip("jams" if kind == "JAMS" else "mido")
  with pytest.raises(ValueError, match=rf"{name}: cannot read as {kind}"):
    read_events(write(tmp_path, name, "not at all"))


@pytest.mark.parametrize("name, module", [("a.jams", "jams"), ("a.mid", "mido")])
def test_missing_extra_says_what_to_install(tmp_path, monkeypatch, name, module):
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(ImportError, match=r"pip install softloc-jax\[formats\]"):
    read_events(write(tmp_path, name, ""))


# --- writing
