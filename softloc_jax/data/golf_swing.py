"""How a golfer moves: from the frames of a swing's events to joints and club in space, frame by frame.

The events are defined by angles, so that they are where they are said to be: at toe-up and in the middle of
the follow-through the shaft is level, in the middle of back- and downswing the lead arm is, at impact the
club is back at the ball. Between events, angles follow monotone cubic curves.

Directions: x to the target, -y from the golfer to the ball, z up; in metres. Golfers are right-handed; the
mirror image of a frame has a left-handed one.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses

import numpy as np

# Address, toe-up, mid-backswing, top, mid-downswing, impact, mid-follow-through, finish.
NUM_EVENTS = 8
UPPER_LEG = LOWER_LEG = 0.46
UPPER_ARM, FOREARM = 0.32, 0.34
TORSO, SHOULDERS, HIPS = 0.50, 0.38, 0.26

Joints = Mapping[str, np.ndarray]  # joint -> [T, 3]


@dataclasses.dataclass(frozen=True)
class Style:
  """One golfer's way to swing; angles in degrees.

  Attributes:
    height: factor on all lengths.
    bend: of the spine at address, forwards.
    stance: between the feet, in metres.
    reach: from the golfer to the ball, in metres.
    wrist_early: of the arm when the shaft is level in the backswing.
    top: angles of arm and wrist at the top.
    lag: angle of the wrist in the middle of the downswing.
    release: of the arm when the shaft is level in the follow-through.
    finish: angles of arm and wrist at the end.
    hips: how far they turn in the backswing.
    waggle: how far the club moves before the swing.
    relax: how far the arms sink after it.
  """

  height: float
  bend: float
  stance: float
  reach: float
  wrist_early: float
  top: tuple[float, float]
  lag: float
  release: float
  finish: tuple[float, float]
  hips: float
  waggle: float
  relax: float


def draw_style(rng: np.random.Generator, club: str) -> Style:
  """A golfer at random, with what depends on the club ("driver", "fairway", "hybrid", "iron", "wedge")."""
  length = {"driver": 1.0, "fairway": 0.8, "hybrid": 0.6, "iron": 0.4, "wedge": 0.1}.get(club, 0.5)
  return Style(
    height=rng.uniform(0.92, 1.08),
    bend=rng.uniform(28, 40) - 4 * length,
    stance=0.3 + 0.2 * length + rng.uniform(-0.03, 0.05),
    reach=0.72 + 0.22 * length + rng.uniform(-0.05, 0.05),
    wrist_early=rng.uniform(42, 58),
    top=(rng.uniform(122, 158) - 12 * (1 - length), rng.uniform(85, 118)),
    lag=rng.uniform(85, 112),
    release=rng.uniform(-62, -45),
    finish=(rng.uniform(-158, -125), rng.uniform(-125, -95)),
    hips=rng.uniform(30, 50),
    waggle=rng.uniform(0, 3),
    relax=rng.uniform(5, 30),
  )


def motion(rng: np.random.Generator, events: np.ndarray, num_frames: int, style: Style) -> Joints:
  """Joints and club of each frame.

  Args:
    rng: of the small movements before and after the swing.
    events: frames of the eight events, `[8]`, each after the one before.
    num_frames: T.
    style: the golfer.

  Returns:
    `[T, 3]` of "head", "neck", and, of both sides (`left_`, `right_`), "shoulder", "elbow", "hip", "knee" and
    "foot"; of "hands", "club" (its head) and "ball".

  Raises:
    ValueError: other than eight events, or not in order.
  """
  events = np.asarray(events, dtype=np.float64)
  if events.shape != (NUM_EVENTS,) or (np.diff(events) <= 0).any():
    raise ValueError(f"events are {events.tolist()}; expected {NUM_EVENTS} frames, each after the one before")
  frames = np.arange(num_frames)
  arm, shaft, hips, shoulders, shift = _angles(rng, events, frames, style)
  zero, one = np.zeros(num_frames), np.ones(num_frames)
  ball = np.stack([zero + 0.02, zero - style.reach, zero], axis=1)
  right_foot, left_foot = (
    np.stack([zero + side * style.stance / 2, zero, zero + 0.05], axis=1) for side in (-1, 1)
  )
  hip = np.stack([0.12 * shift, 0.08 * one, 0.83 * one + 0.04 * np.maximum(shift, 0)], axis=1)
  # The spine leans to the ball, and rises into the finish.
  bend = np.radians(style.bend) * (1 - 0.75 * np.clip(shift - 0.6, 0, 1) / 0.4)
  spine = np.stack([-0.08 * np.clip(shift, -1, 0.6), -np.sin(bend), np.cos(bend)], axis=1)
  spine /= np.linalg.norm(spine, axis=1, keepdims=True)
  neck = hip + TORSO * spine
  head = neck + 0.21 * _unit(spine + np.array([0, 0.2, 0.6]))
  across_shoulders, across_hips = _turned(spine, shoulders), _turned(spine, hips)
  # The swing plane holds the ball, the neck at address, and the line to the target.
  down = _unit((ball - neck)[:1])
  reach = np.linalg.norm((ball - neck)[0])
  arm_length = min(0.86 * (UPPER_ARM + FOREARM), 0.45 * reach)
  hands = neck + arm_length * _in_plane(down, arm)
  club = hands + (reach - arm_length) * _in_plane(down, shaft)
  joints = {
    "head": head,
    "neck": neck,
    "hands": hands,
    "club": club,
    "ball": _struck(ball, events[5], frames),
  }
  for name, side, foot in (("left", 1, left_foot), ("right", -1, right_foot)):
    shoulder = neck + side * SHOULDERS / 2 * across_shoulders
    hip_joint = hip + side * HIPS / 2 * across_hips
    joints[f"{name}_shoulder"], joints[f"{name}_hip"] = shoulder, hip_joint
    elbow_to = np.array([0.3 * side, 0.2, -1.0])
    joints[f"{name}_elbow"] = _between(shoulder, hands, UPPER_ARM, FOREARM, elbow_to)
    if side < 0:  # the trailing heel comes up
      foot = foot + np.stack([0.08 * np.maximum(shift, 0), zero, 0.08 * np.clip(shift - 0.5, 0, 1)], axis=1)
    joints[f"{name}_foot"] = foot
    joints[f"{name}_knee"] = _between(hip_joint, foot, UPPER_LEG, LOWER_LEG, np.array([0.1 * side, -1.0, 0]))
  return {name: style.height * place for name, place in joints.items()}


def _angles(rng, events, frames, style):
  """Angles in radians of arm and shaft in the swing plane, of hips and shoulders; and the shift of weight."""
  arm = [0, style.wrist_early, 90, style.top[0], 90, -2, style.release, style.finish[0]]
  shaft = [0, 90, 90 + rng.uniform(65, 85), sum(style.top), 90 + style.lag, 0, -90, sum(style.finish)]
  turn = [0, 30, 62, 92, 55, -18, -55, -105]
  hips = [0, 0.2 * style.hips, 0.6 * style.hips, style.hips, 0.2 * style.hips, -38, -60, -92]
  shift = [0, -0.3, -0.6, -0.7, 0.2, 0.6, 0.75, 1.0]
  # Before the swing the club is never quite still; after it the arms sink.
  before = style.waggle * _wandering(rng, frames) * np.clip((events[0] - frames) / 6, 0, 1)
  after = style.relax * np.clip((frames - events[7] - 4) / 40, 0, 1)
  curves = [
    _through(events, np.array(values, np.float64), frames) for values in (arm, shaft, hips, turn, shift)
  ]
  curves[0] = curves[0] + 0.5 * before + 0.5 * after
  curves[1] = curves[1] + before + after
  return *map(np.radians, curves[:4]), curves[4]


def _through(events: np.ndarray, values: np.ndarray, frames: np.ndarray) -> np.ndarray:
  """A curve that is monotone between events and still outside them."""
  from scipy.interpolate import PchipInterpolator

  return PchipInterpolator(events, values)(np.clip(frames, events[0], events[-1]))


def _wandering(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
  """Slow oscillations of about unit size."""
  periods, phases = rng.uniform(15, 60, 3), rng.uniform(0, 2 * np.pi, 3)
  return np.sin(2 * np.pi * frames[:, None] / periods + phases).sum(axis=1) / 2


def _struck(ball: np.ndarray, impact: float, frames: np.ndarray) -> np.ndarray:
  """The ball flies off after impact, out of sight within a few frames."""
  flown = np.maximum(frames - impact, 0.0)[:, None]
  return ball + flown * np.array([1.2, 0.0, 0.4])


def _in_plane(down: np.ndarray, angle: np.ndarray) -> np.ndarray:
  """Directions at an angle from `down`, backwards; towards the target if negative."""
  return np.cos(angle)[:, None] * down - np.sin(angle)[:, None] * np.array([1.0, 0.0, 0.0])


def _turned(spine: np.ndarray, angle: np.ndarray) -> np.ndarray:
  """The direction from right to left shoulder, turned about the spine; backwards if positive."""
  across = _unit(np.array([1.0, 0.0, 0.0]) - spine * spine[:, :1])
  forward = np.cross(across, spine)
  return np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * forward


def _between(
  start: np.ndarray, end: np.ndarray, upper: float, lower: float, towards: np.ndarray
) -> np.ndarray:
  """The joint between two bones; it bends to one side. Bones that are too short are stretched."""
  line = end - start
  length = np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-6)
  along = (upper**2 - lower**2 + length**2) / (2 * length)
  off = np.sqrt(np.maximum(upper**2 - along**2, 0))
  direction = line / length
  side = towards - direction * (direction @ towards)[:, None]
  return start + np.clip(along, 0, length) * direction + off * _unit(side)


def _unit(vectors: np.ndarray) -> np.ndarray:
  return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
