"""What the theory figure draws, and that it is drawn."""

import os
import pathlib
import subprocess
import sys

from matplotlib import image
import numpy as np
import pytest
from scipy import stats

from softloc_jax import theory_plots

REPO = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def probs():
  return np.random.default_rng(0).beta(0.5, 2.0, 12)


def test_the_distribution_grows_to_that_of_the_count(probs):
  growing = theory_plots.growing_distributions(probs)
  assert growing.shape == (13, 13)
  for stop in (1, 5, 12):
    expected = stats.poisson_binom(probs[:stop]).pmf(np.arange(13))
    np.testing.assert_allclose(growing[stop], expected, atol=1e-6)


def test_the_bounds_are_bounds(probs):
  most_probable = theory_plots.growing_distributions(probs)[1:].max(1)
  for bound in (theory_plots.undecided_bound(probs), theory_plots.le_cam_bound(probs)):
    assert bound.shape == (12,)
    assert (most_probable <= bound + 1e-6).all()
    assert (bound <= 1).all()
  np.testing.assert_allclose(theory_plots.le_cam_bound(np.full(100, 0.01))[-1], 1 / np.e + 0.02)


def test_what_the_loss_panels_say():
  parts = [1, 3, 9]
  split = theory_plots.relative_losses(theory_plots.split_predictions(parts), ["counting", "SLL", "oSS"])
  np.testing.assert_allclose(theory_plots.split_predictions(parts)[:, 20:40].sum(1), 0.98, atol=0.02)
  # Counting minds a split, soft localization hardly; one-sided smoothing asks for it.
  assert split["counting"][1] > 0.2 and split["SLL"][1] < 0.01
  assert split["oSS"][0] > 1 > split["oSS"][2]

  names = ["CE", "shift-tolerant CE", "SLL", "counting"]
  moved = theory_plots.relative_losses(theory_plots.moved_predictions([0, 2, -2, 14]), names)
  np.testing.assert_allclose(moved["counting"], moved["counting"][0], rtol=1e-4)  # it does not know when
  np.testing.assert_allclose(moved["SLL"][1], moved["SLL"][2], rtol=1e-4)
  assert moved["CE"][1] > 1 > moved["SLL"][1] > moved["SLL"][0]
  np.testing.assert_allclose(moved["shift-tolerant CE"][1], moved["shift-tolerant CE"][0], rtol=1e-4)
  heat_map = theory_plots.relative_losses(theory_plots.moved_heat_maps([0, 2, 14]), ["oSS"])["oSS"]
  assert heat_map[0] < 1e-4 < heat_map[1] < 1 < heat_map[2]


@pytest.mark.slow
def test_the_command_draws_the_figure(tmp_path):
  command = [sys.executable, "-m", "experiments.figures", "--figure=theory", f"--out={tmp_path / 'new'}"]
  environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
  done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=True)
  path = tmp_path / "new" / "theory.png"
  assert str(path) in done.stdout
  assert list(path.parent.iterdir()) == [path]  # no temporary file stays
  pixels = image.imread(path)[..., :3]
  assert pixels.shape[0] > 800 and pixels.shape[1] > 1400
  assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200
  # Every one of the six panels has something in it.
  for rows in np.array_split(pixels, 2, axis=0):
    for panel in np.array_split(rows, 3, axis=1):
      assert (panel.min(axis=-1) < 0.5).mean() > 0.005
