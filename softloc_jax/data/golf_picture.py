"""What a camera sees of a golfer: joints to frames, with clothes, background and an unsteady hand."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import numpy as np
from PIL import Image, ImageDraw

from softloc_jax.data.golf_swing import Joints

# Frames are drawn larger and reduced, which smooths edges.
_OVERSAMPLING = 2
_DISTANCE = 6.0  # of the camera, in metres
# Azimuth in degrees: 0 sees the golfer from the front, 90 from behind along the line to the target.
AZIMUTHS = {"face-on": (-8.0, 8.0), "down-the-line": (82.0, 98.0), "other": (20.0, 70.0)}
_SKIN = ((240, 205, 180), (224, 172, 140), (190, 130, 95), (140, 90, 60), (100, 66, 45))


@dataclasses.dataclass(frozen=True)
class Look:
  """What a clip looks like.

  Attributes:
    azimuth, elevation: of the camera, in degrees and metres.
    scale: share of the picture's height that a metre takes.
    centre: where the golfer stands in the picture, shares of its width and height.
    shake: of the hand that holds the camera, in shares of the picture.
    colors: of "skin", "shirt", "trousers", "shoes", "hair", "shaft" and "head".
    girth: factor on the width of body and limbs.
    gain: brightness.
    noise: standard deviation of the sensor's noise, of 255.
    place: seed of the background.
  """

  azimuth: float
  elevation: float
  scale: float
  centre: tuple[float, float]
  shake: float
  colors: dict[str, tuple[int, int, int]]
  girth: float
  gain: float
  noise: float
  place: int


def draw_look(rng: np.random.Generator, view: str) -> Look:
  """A look at random for a view ("face-on", "down-the-line" or "other")."""

  def color(low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue

  bright = int(rng.integers(150, 250))
  return Look(
    azimuth=rng.uniform(*AZIMUTHS[view if view in AZIMUTHS else "other"]),
    elevation=rng.uniform(0.9, 1.6),
    scale=rng.uniform(0.30, 0.38),
    centre=(rng.uniform(0.46, 0.54), rng.uniform(0.80, 0.86)),
    shake=rng.choice([0.0, 0.004, 0.012]),
    colors={
      "skin": _SKIN[rng.integers(len(_SKIN))],
      "shirt": color(20, 250),
      "trousers": color(10, 220),
      "shoes": color(10, 250),
      "hair": color(10, 120),
      "shaft": (bright, bright, bright),
      "head": color(20, 120),
    },
    girth=rng.uniform(0.85, 1.25),
    gain=rng.uniform(0.75, 1.15),
    noise=rng.uniform(1.0, 6.0),
    place=int(rng.integers(2**31)),
  )


def render(rng: np.random.Generator, joints: Joints, look: Look, side: int) -> np.ndarray:
  """Frames of `side` x `side` pixels: uint8 `[T, side, side, 3]`."""
  size = side * _OVERSAMPLING
  num_frames = len(joints["head"])
  shake = look.shake * size * _drift(rng, num_frames)
  background, margin = _background(np.random.default_rng(look.place), size)
  places = {name: _project(place, look, size) for name, place in joints.items()}
  # The shaft of a fast club is seen where it was while the shutter was open.
  blur = {name: _project(_midway(joints[name]), look, size) for name in ("club", "hands")}
  noise = rng.normal(0, look.noise, (4 * side, side, 3)).astype(np.float32)
  frames = np.empty((num_frames, side, side, 3), np.uint8)
  for number in range(num_frames):
    dx, dy = shake[number]
    left, top = round(margin - dx), round(margin - dy)
    picture = background.crop((left, top, left + size, top + size))
    at = {name: (x[number, 0] + dx, x[number, 1] + dy, x[number, 2]) for name, x in places.items()}
    trail = [(blur[name][number, 0] + dx, blur[name][number, 1] + dy) for name in ("hands", "club")]
    _draw(ImageDraw.Draw(picture), at, trail, look, look.scale * size)
    small = np.asarray(picture.reduce(_OVERSAMPLING), np.float32) * look.gain
    start = int(rng.integers(3 * side))
    frames[number] = np.clip(small + noise[start : start + side], 0, 255)
  return frames


def _project(place: np.ndarray, look: Look, size: int) -> np.ndarray:
  """Column, row and distance of points in space, `[T, 3]`."""
  angle = np.radians(look.azimuth)
  # From the front the camera looks along y; it goes round to look along x.
  right = np.array([np.cos(angle), -np.sin(angle), 0.0])
  forward = np.array([np.sin(angle), np.cos(angle), 0.0])
  depth = _DISTANCE + place @ forward
  zoom = look.scale * size * _DISTANCE / depth
  x = look.centre[0] * size + (place @ right) * zoom
  y = look.centre[1] * size - (place[:, 2] - look.elevation) * zoom - look.elevation * look.scale * size
  return np.stack([x, y, depth], axis=1)


def _midway(places: np.ndarray) -> np.ndarray:
  """Where a point was a third of a frame earlier."""
  before = np.concatenate([places[:1], places[:-1]])
  return places + (before - places) / 3


def _drift(rng: np.random.Generator, num_frames: int) -> np.ndarray:
  """A slow random walk that stays near 0, `[T, 2]`."""
  from scipy.ndimage import gaussian_filter1d

  steps = gaussian_filter1d(rng.normal(size=(num_frames + 60, 2)), 4.0, axis=0)[60:]
  return steps / max(steps.std(), 1e-6)


def _background(rng: np.random.Generator, size: int) -> tuple[Image.Image, int]:
  """Sky, trees and grass, or a wall and a mat; larger than a frame by a margin on each side."""
  margin = size // 8
  full = size + 2 * margin
  horizon = int(full * rng.uniform(0.35, 0.75))
  indoors = rng.random() < 0.25
  sky, ground = (
    (rng.integers(60, 220, 3), rng.integers(40, 160, 3))
    if indoors
    else (
      np.array([150, 185, 225]) + rng.integers(-40, 30, 3),
      np.array([80, 130, 60]) + rng.integers(-40, 40, 3),
    )
  )
  rows = np.arange(full)[:, None, None]
  shade = 1 - 0.25 * rows / full
  pixels = np.where(rows < horizon, sky, ground) * shade + rng.normal(0, 5, (full, full, 3))
  picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
  draw = ImageDraw.Draw(picture)
  for _ in range(int(rng.integers(2, 12))):
    x, width, height = rng.uniform(0, full), rng.uniform(0.05, 0.3) * full, rng.uniform(0.05, 0.35) * full
    color = tuple(int(v) for v in np.clip(sky * 0.5 + rng.integers(-50, 30, 3), 0, 255))
    shape = draw.rectangle if indoors else draw.ellipse
    shape([x - width / 2, horizon - height, x + width / 2, horizon + 0.1 * height], fill=color)
  for _ in range(int(rng.integers(0, 4))):
    x, y = rng.uniform(0, full), rng.uniform(horizon, full)
    color = tuple(int(v) for v in np.clip(ground + rng.integers(-40, 40, 3), 0, 255))
    draw.ellipse([x - full / 4, y, x + full / 4, y + full / 16], fill=color)
  return picture, margin


def _draw(draw: ImageDraw.ImageDraw, at: dict, trail: Sequence, look: Look, metre: float) -> None:
  """The golfer with the club, parts that are further away first."""
  colors, girth = look.colors, look.girth
  parts = []

  def limb(names: Sequence[str], width: float, color: str) -> None:
    parts.append((max(at[name][2] for name in names), "limb", names, width * girth * metre, colors[color]))

  for side in ("left", "right"):
    limb([f"{side}_hip", f"{side}_knee", f"{side}_foot"], 0.16, "trousers")
    limb([f"{side}_foot"], 0.15, "shoes")
    limb([f"{side}_shoulder", f"{side}_elbow"], 0.12, "shirt")
    limb([f"{side}_elbow", "hands"], 0.085, "skin")
  torso = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
  parts.append(
    (np.mean([at[name][2] for name in torso]), "torso", torso, 0.2 * girth * metre, colors["shirt"])
  )
  parts.append((at["head"][2] - 0.05, "head", ("head",), 0.2 * metre, colors["skin"]))
  parts.append((0.5 * (at["hands"][2] + at["club"][2]) - 0.2, "club", ("hands", "club"), 0.02 * metre, None))
  x, y, _ = at["ball"]
  draw.ellipse(_disc(x, y, 0.045 * metre), fill=(250, 250, 250))
  for _, kind, names, width, color in sorted(parts, key=lambda part: -part[0]):
    points = [at[name][:2] for name in names]
    if kind == "club":
      _draw_club(draw, points, trail, look, metre)
    elif kind == "torso":
      draw.polygon(points, fill=color)
      draw.line([*points, points[0]], fill=color, width=max(round(width / 2), 1), joint="curve")
    elif kind == "head":
      x, y = points[0]
      draw.ellipse(_disc(x, y, width / 1.6), fill=color)
      draw.chord(_disc(x, y, width / 1.6), 180, 360, fill=colors["hair"])
    else:
      if len(points) > 1:
        draw.line(points, fill=color, width=max(round(width), 1), joint="curve")
      for x, y in points:
        draw.ellipse(_disc(x, y, width / 2), fill=color)


def _draw_club(
  draw: ImageDraw.ImageDraw, points: Sequence, trail: Sequence, look: Look, metre: float
) -> None:
  (hands, club), shaft = points, look.colors["shaft"]
  moved = np.hypot(club[0] - trail[1][0], club[1] - trail[1][1])
  if moved > 0.1 * metre:
    pale = tuple(int(0.8 * v) for v in shaft)
    draw.polygon([hands, club, trail[1], trail[0]], outline=pale)
    draw.line([trail[0], trail[1]], fill=pale)
  draw.line([hands, club], fill=shaft, width=max(round(0.025 * metre), 1))
  draw.ellipse(_disc(*club, 0.055 * metre), fill=look.colors["head"])


def _disc(x: float, y: float, radius: float) -> list[float]:
  return [x - radius, y - radius, x + radius, y + radius]
