"""Scores: variety that keeps counts from being guessed, order, tempo and swing."""

import numpy as np

from softloc_jax.data import drum_score


def test_hats_do_not_follow_from_the_beat():
  per_beat = []
  for seed in range(60):
    score = drum_score.draw_score(np.random.default_rng(seed), 10.0)
    beat_s = np.median(np.diff(score.step_times_s[:, 0])) / 4
    hats_s = np.concatenate([score.strokes["closed_hat"][:, 0], score.strokes["open_hat"][:, 0]])
    per_beat.append(np.sum((hats_s > 0) & (hats_s < 10)) * beat_s / 10)
  low, high = np.percentile(per_beat, (10, 90))
  assert high > 2 * low
  assert len(np.unique(np.round(per_beat, 2))) > 30


def test_tempo_velocities_and_order_of_scores():
  low_bpm, high_bpm = drum_score.TEMPO_BPM
  for seed in range(60):
    score = drum_score.draw_score(np.random.default_rng(seed), 6.0)
    tempo_bpm = 240 / np.diff(score.step_times_s[:, 0])
    assert np.all((tempo_bpm > 0.96 * low_bpm) & (tempo_bpm < 1.04 * high_bpm))
    assert score.step_times_s[0, 0] <= 0 and score.step_times_s[-1, -1] >= 6.0
    assert np.all(np.diff(score.step_times_s.ravel()) > 0)
    for strokes in score.strokes.values():
      assert np.all(np.diff(strokes[:, 0]) >= 0)
      assert np.all((strokes[:, 1] > 0) & (strokes[:, 1] <= 1))


def test_swing_moves_only_the_second_note_of_a_pair():
  rng = np.random.default_rng(0)
  for swing, swung_steps in ((0.5, 1), (0.6, 1), (2 / 3, 2)):
    times_s = drum_score._step_times(rng, 3, 0.1, swing, swung_steps)
    in_pairs = (times_s - times_s[:, :1]).reshape(3, -1, 2 * swung_steps)
    pairs_s = np.diff(times_s[:, 0])[:, np.newaxis] * swung_steps / 8
    np.testing.assert_allclose(np.diff(in_pairs[:2, :, 0]), np.tile(pairs_s, in_pairs.shape[1] - 1))
    share = (in_pairs[:2, :, swung_steps] - in_pairs[:2, :, 0]) / pairs_s
    np.testing.assert_allclose(share, swing)
