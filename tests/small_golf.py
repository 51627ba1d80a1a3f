"""Small folders in the layout of GolfDB."""

import pathlib

import numpy as np

# Ten frames each: the first of the clip, eight events, the last.
SWINGS = (
  {"id": 0, "youtube_id": "aaa", "view": "face-on", "slow": 0, "split": 1, "club": "driver"},
  {"id": 1, "youtube_id": "aaa", "view": "face-on", "slow": 1, "split": 1, "club": "driver"},
  {"id": 2, "youtube_id": "bbb", "view": "down-the-line", "slow": 0, "split": 2, "club": "iron"},
  {"id": 3, "youtube_id": "ccc", "view": "other", "slow": 0, "split": 3, "club": "wedge"},
  {"id": 4, "youtube_id": "ddd", "view": "face-on", "slow": 0, "split": 4, "club": "hybrid"},
  {"id": 5, "youtube_id": "eee", "view": "down-the-line", "slow": 0, "split": 2, "club": "fairway"},
)
EVENTS = np.array([11, 20, 31, 35, 43, 47, 50, 53, 66, 80])
BBOX = np.array([0.25, 0.0, 0.5, 1.0])


def rows() -> list[dict]:
  """Annotations as the real table has them; slow motion takes twice as long."""
  return [
    {
      **swing,
      "player": "A PLAYER",
      "sex": "f",
      "events": 11 + (EVENTS - 11) * (1 + swing["slow"]) + 2 * swing["id"],
      "bbox": BBOX,
    }
    for swing in SWINGS
  ]


def write_mat(folder: pathlib.Path, table: list[dict] | None = None) -> pathlib.Path:
  """`golfDB.mat`: a struct array of one row, each field in an array of its own."""
  import scipy.io

  fields = ("id", "youtube_id", "player", "sex", "club", "view", "slow", "events", "bbox", "split")
  table = rows() if table is None else table
  struct = np.empty((1, len(table)), dtype=[(name, "O") for name in fields])
  for number, row in enumerate(table):
    for name in fields:
      value = row[name]
      struct[name][0, number] = np.array([[value]]) if isinstance(value, int) else value
  scipy.io.savemat(folder / "golfDB.mat", {"golfDB": struct})
  return folder / "golfDB.mat"


def write_pickle(folder: pathlib.Path) -> pathlib.Path:
  """`golfDB.pkl`: a DataFrame."""
  import pandas

  pandas.DataFrame(rows()).to_pickle(folder / "golfDB.pkl")
  return folder / "golfDB.pkl"
