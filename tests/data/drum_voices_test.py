"""Kits and rooms: what test holds out, sharp attacks, and a direct path that comes first."""

import numpy as np
import pytest

from softloc_jax.data import drum_voices

SPLITS = ("train", "validation", "test")


def overlaps(one, other):
  return one[0] < other[1] and other[0] < one[1]


@pytest.mark.parametrize("ranges", [drum_voices.KIT_RANGES, drum_voices.ROOM_RANGES])
def test_ranges_of_test_are_disjoint_from_training(ranges):
  for name, (train, test) in ranges.items():
    assert all(low < high for low, high in train + test), name
    assert not any(overlaps(one, other) for one in train for other in test), name


@pytest.mark.parametrize("draw", [drum_voices.draw_kit, drum_voices.draw_room])
def test_drawn_values_lie_in_the_ranges_of_their_split(draw):
  ranges = drum_voices.KIT_RANGES if draw is drum_voices.draw_kit else drum_voices.ROOM_RANGES
  rng = np.random.default_rng(0)
  for split in SPLITS:
    drawn = [draw(rng, split) for _ in range(100)]
    for name, intervals in ranges.items():
      hits = [
        sum(low <= values[name] <= high for values in drawn) for low, high in intervals[split == "test"]
      ]
      assert sum(hits) == 100 and min(hits) > 0, (split, name)


def test_hats_of_test_are_of_another_family():
  assert not set(drum_voices.HAT_FAMILIES["train"]) & set(drum_voices.HAT_FAMILIES["test"])
  rng = np.random.default_rng(0)
  for split, families in (("train", "train"), ("validation", "train"), ("test", "test")):
    drawn = {drum_voices.draw_kit(rng, split)["hat_family"] for _ in range(50)}
    assert drawn == set(drum_voices.HAT_FAMILIES[families])


@pytest.mark.parametrize("sample_rate_hz", (8_000, 16_000, 44_100))
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("voice", drum_voices.VOICES)
def test_strokes_start_in_their_first_millisecond_and_rise_at_once(voice, split, sample_rate_hz):
  rng = np.random.default_rng(1)
  for hardness in (0.2, 0.6, 1.0):
    sound = drum_voices.render_voice(
      rng, drum_voices.draw_kit(rng, split), voice, sample_rate_hz, hardness=hardness
    )
    assert sound.dtype == np.float32 and np.isfinite(sound).all()
    onset_sample = np.argmax(np.abs(sound) > 0.02)
    assert onset_sample <= 0.001 * sample_rate_hz
    early = np.abs(sound[: int(0.006 * sample_rate_hz)]).max()
    assert early > 0.5, "the attack takes a few milliseconds at most"
    assert np.abs(sound[-5:]).max() < 0.01, "nothing is cut off audibly"


def test_room_keeps_the_direct_path_first_and_decays():
  for split in ("train", "test"):
    for seed in range(10):
      rng = np.random.default_rng(seed)
      room = drum_voices.draw_room(rng, split)
      response = drum_voices.room_response(rng, room, 16_000)
      first = int(room["first_reflection_s"] * 16_000)
      assert response[0] == 1 and not np.any(response[1:first]) and response[first] != 0
      assert np.abs(response[1:]).max() < 0.5, "the direct path is by far the loudest"
      np.testing.assert_allclose(np.sum(response[1:] ** 2), room["wet"] ** 2, rtol=1e-4)
      # 60 dB of decay over the reverberation time: 30 dB, roughly, between its quarter and three quarters.
      quarter = int(room["reverberation_s"] * 4_000)
      levels = [np.mean(response[k * quarter - 200 : k * quarter + 200] ** 2) for k in (1, 3)]
      assert 22 < 10 * np.log10(levels[0] / levels[1]) < 45


def test_unknown_voices_are_refused():
  rng = np.random.default_rng(0)
  with pytest.raises(ValueError, match="unknown voice 'cowbell'; expected one of kick"):
    drum_voices.render_voice(rng, drum_voices.draw_kit(rng, "train"), "cowbell", 16_000)
  with pytest.raises(ValueError, match="unknown clutter 'cowbell'"):
    drum_voices.render_clutter(rng, "cowbell", 16_000)
