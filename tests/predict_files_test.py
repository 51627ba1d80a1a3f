"""Which files `softloc-jax predict` reads, and what it never writes to."""

import pytest

from softloc_jax.commands import predict_files, train_folder


@pytest.fixture
def takes(tmp_path):
  """A signal with true labels, and one without."""
  folder = tmp_path / "takes"
  (folder / "kit").mkdir(parents=True)
  for name in ("take1.wav", "take1.csv", "kit/take2.wav"):
    (folder / name).write_text("mine")
  return folder


def plan(files, out, extensions=(".csv",), **settings):
  return predict_files.plan(files, out, list(extensions), **settings)


@pytest.mark.parametrize("settings", [{"overwrite": True}, {"skip_existing": True}, {}])
def test_a_signal_is_not_its_own_result(tmp_path, settings):
  path = tmp_path / "x.csv"
  path.write_text("# sample_rate_hz: 100\n0\n")
  with pytest.raises(ValueError, match=r"x\.csv is a signal that is read, .* expected another --out"):
    plan([path], tmp_path, **settings)
  (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
  with pytest.raises(ValueError, match=r"linked/x\.csv is a signal that is read"):
    plan([path], tmp_path / "linked", **settings)
  assert plan([path], tmp_path / "found", **settings)[0].targets == [tmp_path / "found" / "x.csv"]


def test_a_signal_is_not_the_result_of_another(tmp_path):
  (tmp_path / "in").mkdir()
  for path in (tmp_path / "x.csv", tmp_path / "in" / "x.wav"):
    path.write_text("mine")
  with pytest.raises(ValueError, match=r"x\.csv is a signal that is read"):
    plan([tmp_path / "in" / "x.wav", tmp_path / "x.csv"], tmp_path, overwrite=True)


def test_labels_in_a_folder_that_is_read_are_not_replaced(takes, tmp_path):
  for settings in ({"overwrite": True}, {"overwrite": True, "skip_existing": True}, {}):
    with pytest.raises(
      FileExistsError, match=r"take1\.csv exists in a folder that is read, .* another --out"
    ):
      plan([takes], takes, (".csv", ".tsv"), **settings)
  (tmp_path / "linked").symlink_to(takes, target_is_directory=True)
  with pytest.raises(FileExistsError, match=r"take1\.csv exists in a folder that is read"):
    plan([tmp_path / "linked"], takes, overwrite=True)
  # What does no harm: to leave them, to write what is not there, and to replace results elsewhere.
  assert [one.source.name for one in plan([takes], takes, skip_existing=True)] == ["take2.wav"]
  assert len(plan([takes], takes, (".tsv",), overwrite=True)) == 2
  (tmp_path / "found").mkdir()
  (tmp_path / "found" / "take1.csv").write_text("old")
  assert len(plan([takes], tmp_path / "found", overwrite=True)) == 2


def test_links_are_followed_and_hidden_files_passed_over(takes, tmp_path):
  elsewhere = tmp_path / "elsewhere"
  (elsewhere / ".trash").mkdir(parents=True)
  for name in ("take3.wav", "._take3.wav", ".trash/take4.wav"):
    (elsewhere / name).write_text("mine")
  (takes / "more").symlink_to(elsewhere, target_is_directory=True)
  found = [str(one.source.relative_to(takes)) for one in plan([takes], tmp_path / "found")]
  assert found == ["kit/take2.wav", "more/take3.wav", "take1.wav"]
  (takes / "gone.wav").symlink_to("nowhere.wav")
  with pytest.raises(FileNotFoundError, match=r"gone\.wav is a link to nowhere\.wav, which does not exist"):
    plan([takes], tmp_path / "found")


def test_sound_behind_a_link_is_sound(tmp_path):
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "elsewhere" / "a.wav").write_text("mine")
  (tmp_path / "data").mkdir()
  assert train_folder.kind_of(tmp_path / "data") == "sensor"
  (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
  assert train_folder.kind_of(tmp_path / "data") == "audio"


def test_folders_are_searched_for_what_the_network_takes(takes, tmp_path):
  (takes / "film.mp4").write_text("mine")
  assert "film.mp4" not in [one.source.name for one in plan([takes], tmp_path / "found")]
  assert [one.source.name for one in plan([takes], tmp_path / "found", videos=True)] == ["film.mp4"]
  with pytest.raises(FileNotFoundError, match=r"no signal in .*kit: looked for \.mp4, "):
    plan([takes / "kit"], tmp_path / "found", videos=True)


def test_csv_files_of_folders_are_signals_if_they_begin_as_such(tmp_path, caplog):
  takes = tmp_path / "takes"
  texts = {
    "timed.csv": "time,x,y\n0,1,2\n0.01,1,2\n",
    "stated.csv": "\n# sample_rate_hz: 100\n1,2\n",
    "labels/stated.csv": "time,label\n0.5,KD\n",
    "found.csv": "time,label,confidence\n0.5,KD,0.9\n",
    "events.csv": "time,confidence\n0.5,1\n",
    "counts.csv": "start,end,label,count\n0,1,KD,2\n",
    "split.csv": "id,split\na,train\n",
    "song.wav": "mine",
    "song.csv": "time,pitch\n0,60\n",
    "bare.csv": "0.25,0.5\n0.5,0.75\n",
    "latin.csv": "time,é\n",
  }
  for name, text in texts.items():
    (takes / name).parent.mkdir(parents=True, exist_ok=True)
    (takes / name).write_text(text, encoding="latin-1")
  planned = plan([takes], tmp_path / "found")
  assert [one.source.name for one in planned] == ["song.wav", "stated.csv", "timed.csv"]
  (told,) = caplog.messages
  assert "left out 3 csv files" in told and ": bare.csv, latin.csv, song.csv; expected a header" in told
  caplog.clear()
  for name in ("timed.csv", "stated.csv", "song.wav"):
    (takes / name).unlink()
  with pytest.raises(FileNotFoundError, match=r"no signal in .*labels"):
    plan([takes / "labels"], tmp_path / "found")
  assert not caplog.messages


def test_a_format_is_given_once(takes, tmp_path):
  with pytest.raises(ValueError, match="format csv is given more than once; expected each once"):
    plan([takes], tmp_path / "found", (".csv", ".tsv", ".csv"))


class Found:
  """What a network found, as far as it is written."""

  def write(self, path, *, overwrite):
    raise OSError(28, "No space left on device", str(path))


class Detector:
  def detect_file(self, path):
    if path.name == "bad.wav":
      raise ValueError(f"{path}: cannot read as audio")
    return Found()


def test_a_full_disk_ends_it_and_so_does_the_only_file(tmp_path):
  names = ("bad.wav", "good.wav", "never.wav")
  planned = [predict_files.Planned(tmp_path / name, [tmp_path / f"{name}.csv"]) for name in names]
  with pytest.raises(OSError, match=r"No space left on device: .*good\.wav\.csv"):
    list(predict_files.predict(Detector(), planned))
  with pytest.raises(ValueError, match=r"^[^ ]*bad\.wav: cannot read as audio$"):
    list(predict_files.predict(Detector(), planned[:1]))
