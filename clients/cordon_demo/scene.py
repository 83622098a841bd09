"""Who walks where in a rendered street, and so what a camera ought to have seen.

Knows geometry and time, no pixels. Lengths are metres, times are seconds of the footage, which
repeats for ever after `PERIOD_S`. The world's x axis points to the right of the camera, depth
points away from it, heights are above the ground.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

WIDTH_PX, HEIGHT_PX = 1280, 720
FPS = 10
PERIOD_S = 12.0
FRAMES = round(FPS * PERIOD_S)

FACE_WIDTH_M = 0.16
FACE_HEIGHT_M = 0.205
_START_DEPTH_M = 13.5
_END_DEPTH_M = 0.85
_RECOGNISABLE_PX = (42.0, 165.0)
"""Width of a face, from where it can surely be compared until it leaves through the lower edge."""

_APPROACH_S = 6.2
"""About how long a walker is in sight before the face can be compared."""


@dataclass(frozen=True, slots=True)
class View:
    """A pinhole camera that looks level down the street; the horizon is moved up instead."""

    vanishing_x_px: float
    horizon_y_px: float = 150.0
    focal_px: float = 1400.0
    height_m: float = 2.0

    def scale(self, depth_m: float) -> float:
        """Pixels per metre at a depth."""
        return self.focal_px / depth_m

    def project(self, x_m: float, height_m: float, depth_m: float) -> tuple[float, float]:
        scale = self.scale(depth_m)
        return (
            self.vanishing_x_px + x_m * scale,
            self.horizon_y_px + (self.height_m - height_m) * scale,
        )


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A face in a frame, in pixels from the top left."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Rectangle) -> float:
        """Shared area over united area, 0 to 1."""
        wide = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        high = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        if wide <= 0 or high <= 0:
            return 0.0
        shared = wide * high
        return shared / (self.width * self.height + other.width * other.height - shared)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a walker is at one moment."""

    depth_m: float
    x_m: float
    face_height_m: float
    tilt_degrees: float
    turn: float
    """Head turned to the side, -1 to 1; 1 is about 12 degrees."""
    stride: float
    """Phase of the gait, 0 to 1 for two steps."""


@dataclass(frozen=True, slots=True)
class Walker:
    """Someone who walks towards the camera once in every repetition of the footage."""

    head: int
    """Which head of the cast; the listed come first."""
    is_listed: bool
    starts_s: float
    lane_m: float
    speed_m_s: float
    face_height_m: float
    seed: int

    @property
    def lasts_s(self) -> float:
        return (_START_DEPTH_M - _END_DEPTH_M) / self.speed_m_s

    def pose(self, time_s: float) -> Pose | None:
        """Where the walker is at a time of the footage; None when out of sight."""
        since_s = (time_s - self.starts_s) % PERIOD_S
        if since_s >= self.lasts_s:
            return None
        offset = random.Random(self.seed).random()
        stride = (since_s * 0.95 + offset) % 1.0
        swing = math.sin(2 * math.pi * stride)
        return Pose(
            depth_m=_START_DEPTH_M - self.speed_m_s * since_s,
            x_m=self.lane_m + 0.025 * swing,
            face_height_m=self.face_height_m + 0.018 * math.cos(4 * math.pi * stride),
            tilt_degrees=3.0 * swing,
            turn=math.sin(2 * math.pi * (since_s * 0.37 + offset)),
            stride=stride,
        )

    def face(self, view: View, time_s: float) -> Rectangle | None:
        """The face's box at a time of the footage; None when out of sight."""
        pose = self.pose(time_s)
        if pose is None:
            return None
        x, y = view.project(pose.x_m, pose.face_height_m, pose.depth_m)
        width, height = (m * view.scale(pose.depth_m) for m in (FACE_WIDTH_M, FACE_HEIGHT_M))
        return Rectangle(x - width / 2, y - height / 2, width, height)

    def recognisable(self, view: View) -> tuple[float, float]:
        """From when to when the face is large enough and whole, counted from `starts_s`."""
        depths = [view.focal_px * FACE_WIDTH_M / px for px in _RECOGNISABLE_PX]
        begin, end = ((_START_DEPTH_M - depth) / self.speed_m_s for depth in depths)
        return max(0.0, begin), min(self.lasts_s, end)


@dataclass(frozen=True, slots=True)
class Scene:
    """A camera's street and everyone who walks down it."""

    camera: str
    seed: int
    view: View
    walkers: tuple[Walker, ...]

    @property
    def listed(self) -> tuple[Walker, ...]:
        return tuple(walker for walker in self.walkers if walker.is_listed)


def make_scene(camera: str, seed: int, listed: int, strangers: int, first_s: float = 1.5) -> Scene:
    """A scene with every listed head once and every stranger once, spread over the repetition.

    The listed keep to the middle, where they stay in sight until they are close; the first of them
    can be recognised from `first_s` of the footage on.
    """
    chance = random.Random(seed)
    heads = [(head, True) for head in range(listed)]
    heads += [(listed + head, False) for head in range(strangers)]
    lanes = _lanes(chance, [is_listed for _, is_listed in heads])
    starts = _starts(chance, listed, strangers, first_s - _APPROACH_S)
    walkers = tuple(
        Walker(
            head=head,
            is_listed=is_listed,
            starts_s=start,
            lane_m=lane,
            speed_m_s=chance.uniform(1.25, 1.4),
            face_height_m=chance.uniform(1.54, 1.64),
            seed=chance.randrange(1 << 30),
        )
        for (head, is_listed), lane, start in zip(heads, lanes, starts, strict=True)
    )
    view = View(vanishing_x_px=WIDTH_PX / 2 + chance.uniform(-70, 70))
    return Scene(camera, seed, view, walkers)


def _lanes(chance: random.Random, listed: list[bool]) -> list[float]:
    """The listed within 0.3 m of the middle, strangers to both sides of them in turn."""
    sides = iter([-0.95, 0.75, -0.5, 1.15, -1.35, 0.45, -0.75, 0.95] * len(listed))
    return [
        chance.uniform(-0.2, 0.2) if is_listed else next(sides) + chance.uniform(-0.08, 0.08)
        for is_listed in listed
    ]


def _starts(chance: random.Random, listed: int, strangers: int, offset: float) -> list[float]:
    """Evenly spread over the repetition, the listed apart from each other."""
    listed_at = [offset + i * PERIOD_S / max(1, listed) for i in range(listed)]
    strangers_at = [
        offset + 0.8 + (i + chance.uniform(-0.2, 0.2)) * PERIOD_S / max(1, strangers)
        for i in range(strangers)
    ]
    return [at % PERIOD_S for at in (*listed_at, *strangers_at)]
