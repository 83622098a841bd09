"""Drawn people: mannequin heads that no watchlist lists, and bodies for everyone.

Shapes are polygons with rounded corners, drawn at twice their size and shaded by the distance
from their edge, which makes flat shapes look round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cordon_demo.heads import FACE_AT, HEAD_HEIGHT_PX, HEAD_WIDTH_PX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Sprite = NDArray[np.uint8]
    """(height, width, 4) uint8, BGR and alpha."""

Colour = tuple[int, int, int]
"""Blue, green, red."""

BODY_PX_PER_M = 380
BODY_WIDTH_M = 0.96
BODY_TOP_M, BODY_BOTTOM_M = 0.05, 1.66
"""Below the middle of the face."""
GAIT_PHASES = 8

_SKINS: tuple[Colour, ...] = (
    (185, 205, 235), (120, 160, 205), (150, 182, 222), (62, 92, 140), (40, 60, 96), (92, 128, 178),
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = (
    (30, 34, 44), (38, 58, 92), (70, 120, 168), (150, 150, 155), (36, 48, 120), (22, 24, 30),
)  # fmt: skip
_COATS: tuple[Colour, ...] = (
    (96, 62, 40), (52, 58, 62), (60, 50, 120), (70, 96, 60), (150, 142, 130), (48, 96, 150),
    (110, 90, 140), (40, 40, 44),
)  # fmt: skip
_SHIRTS: tuple[Colour, ...] = ((235, 235, 232), (210, 196, 170), (90, 80, 70), (160, 180, 220))
_LEGS: tuple[Colour, ...] = ((72, 54, 40), (40, 40, 42), (90, 104, 116), (60, 62, 70))

Points = list[tuple[float, float]]


@dataclass(slots=True)
class _Canvas:
    """An RGBA picture at twice its size; points are in units of `unit_px` from `origin`."""

    pixels: Sprite
    unit_px: float
    origin: tuple[float, float]

    def shape(self, points: Points, colour: Colour, smooth: int = 3) -> None:
        """A filled shape whose corners are rounded off `smooth` times."""
        corners = np.asarray(points, np.float32)
        for _ in range(smooth):
            following = np.roll(corners, -1, axis=0)
            corners = np.stack(
                [0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following], axis=1
            ).reshape(-1, 2)
        at = (corners * self.unit_px + np.asarray(self.origin)) * 16
        cv2.fillPoly(
            self.pixels, [at.round().astype(np.int32)], (*colour, 255), cv2.LINE_AA, shift=4
        )

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        around = [i * math.pi / 8 for i in range(16)]
        self.shape([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in around], colour, 2)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        at = (np.asarray(points) * self.unit_px + np.asarray(self.origin)).round().astype(np.int32)
        width_px = max(1, round(width * self.unit_px))
        cv2.polylines(self.pixels, [at], False, (*colour, 255), width_px, cv2.LINE_AA)

    def finish(self, round_px: float, depth: float) -> Sprite:
        """At its own size, darker towards the edges."""
        size = (self.pixels.shape[1] // 2, self.pixels.shape[0] // 2)
        small = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
        inside = np.where(small[..., 3] > 127, 255, 0).astype(np.uint8)
        edge = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
        light = (1 - depth) + depth * np.sin(np.minimum(edge / round_px, 1) * (math.pi / 2))
        shaded = small[..., :3] * light[..., None]
        return np.dstack([shaded.astype(np.uint8), small[..., 3]])


def draw_head(seed: int) -> Sprite:
    """A mannequin's head: the geometry of a face, the identity of nobody."""
    chance = np.random.default_rng(seed)
    skin = _SKINS[seed % len(_SKINS)]
    hair = _HAIRS[int(chance.integers(len(_HAIRS)))]
    pixels = np.zeros((HEAD_HEIGHT_PX * 2, HEAD_WIDTH_PX * 2, 4), np.uint8)
    canvas = _Canvas(pixels, 2.0, (FACE_AT[0] * 2.0, FACE_AT[1] * 2.0))
    wide, long = chance.uniform(62, 71), chance.uniform(88, 98)
    style = int(chance.integers(4))
    if style == 1:  # Long hair falls behind the neck.
        canvas.shape([(-84, -40), (-60, -118), (60, -118), (84, -40), (80, 110), (-80, 110)], hair)
    canvas.shape([(-38, 40), (38, 40), (44, 140), (-44, 140)], _darker(skin, 0.82), 2)
    for side in (-1, 1):
        canvas.oval(side * (wide + 3), 4, 9, 18, _darker(skin, 0.88))
    canvas.shape(_face_outline(wide, long), skin)
    _draw_features(canvas, chance, skin, hair)
    _draw_hair(canvas, style, wide, long, hair)
    head = canvas.finish(26, 0.38)
    return _grain(head, chance)


def _face_outline(wide: float, long: float) -> Points:
    right = [(0.0, -long), (wide * 0.8, -long), (wide * 1.04, -20.0), (wide * 0.98, 40.0)]
    right += [(wide * 0.62, long), (wide * 0.2, long * 1.06)]
    return right + [(-x, y) for x, y in reversed(right)]


def _draw_features(
    canvas: _Canvas, chance: np.random.Generator, skin: Colour, hair: Colour
) -> None:
    apart, eyes_y = chance.uniform(28, 32), chance.uniform(-16, -8)
    iris: Colour = ((70, 50, 30), (110, 90, 50), (40, 60, 80))[int(chance.integers(3))]
    mouth_y, mouth = chance.uniform(48, 55), chance.uniform(20, 27)
    shade, lips = _darker(skin, 0.78), _mixed(skin, (70, 60, 170), 0.45)
    for side in (-1, 1):
        x = side * apart
        canvas.oval(x, eyes_y + 1, 19, 13, _darker(skin, 0.86))
        canvas.oval(x, eyes_y, 13, 7, (236, 238, 240))
        canvas.oval(x, eyes_y, 6.2, 6.6, iris)
        canvas.oval(x, eyes_y, 3, 3.2, (12, 12, 14))
        canvas.oval(x - 2, eyes_y - 2, 1.4, 1.4, (250, 250, 250))
        canvas.line([(x - 14, eyes_y - 2), (x - 5, eyes_y - 8), (x + 6, eyes_y - 8),
                     (x + 14, eyes_y - 2)], _darker(hair, 0.6), 2.6)  # fmt: skip
        brow = [(x - 17, eyes_y - 18 + side), (x, eyes_y - 25), (x + 17, eyes_y - 18 - side)]
        canvas.line(brow, hair, 5)
        canvas.oval(side * 40, 34, 15, 11, _mixed(skin, (110, 110, 210), 0.12))
    canvas.shape([(-5, eyes_y), (5, eyes_y), (12, 26), (14, 32), (-14, 32), (-12, 26)],
                 _mixed(skin, (255, 255, 255), 0.07))  # fmt: skip
    canvas.line([(-14, 30), (-8, 35), (0, 33), (8, 35), (14, 30)], shade, 3)
    canvas.shape([(-mouth, mouth_y), (-6, mouth_y - 7), (0, mouth_y - 5), (6, mouth_y - 7),
                  (mouth, mouth_y), (0, mouth_y + 11)], lips)  # fmt: skip
    canvas.line([(-mouth, mouth_y), (0, mouth_y + 2), (mouth, mouth_y)], _darker(lips, 0.55), 2)
    canvas.line([(-10, mouth_y + 17), (10, mouth_y + 17)], shade, 2)
    if chance.random() < 0.35:
        _draw_glasses(canvas, apart, eyes_y)
    if chance.random() < 0.35:
        canvas.shape([(-52, 40), (-30, 44), (0, 66), (30, 44), (52, 40), (40, 92), (0, 104),
                      (-40, 92)], _mixed(hair, skin, 0.25), 2)  # fmt: skip
        canvas.oval(0, mouth_y + 2, mouth * 0.8, 6, lips)


def _draw_glasses(canvas: _Canvas, apart: float, eyes_y: float) -> None:
    around = [i * math.pi / 12 for i in range(25)]
    for side in (-1, 1):
        rim = [(side * apart + 20 * math.cos(a), eyes_y + 15 * math.sin(a)) for a in around]
        canvas.line(rim, (30, 28, 34), 3)
    canvas.line([(-apart + 20, eyes_y - 2), (apart - 20, eyes_y - 2)], (30, 28, 34), 3)


def _draw_hair(canvas: _Canvas, style: int, wide: float, long: float, hair: Colour) -> None:
    top = -long - 14
    if style == 3:  # A woollen hat.
        canvas.shape([(-wide - 8, -42), (-wide - 4, top), (0, top - 26), (wide + 4, top),
                      (wide + 8, -42), (0, -54)], hair)  # fmt: skip
        canvas.shape([(-wide - 8, -36), (-wide - 8, -62), (wide + 8, -62), (wide + 8, -36)],
                     _mixed(hair, (255, 255, 255), 0.25), 1)  # fmt: skip
        return
    parting = (-14, 18, 0)[style]
    canvas.shape([(-wide - 9, 12), (-wide - 10, top + 26), (-wide * 0.5, top - 8),
                  (wide * 0.5, top - 8), (wide + 10, top + 26), (wide + 9, 12),
                  (wide - 4, -34), (wide * 0.5, -56), (parting, -66), (-wide * 0.5, -52),
                  (-wide + 4, -34)], hair)  # fmt: skip


def _grain(head: Sprite, chance: np.random.Generator) -> Sprite:
    """Skin is never one colour: mottled softly, lit from one side."""
    coarse = chance.normal(0, 1, (HEAD_HEIGHT_PX // 8, HEAD_WIDTH_PX // 8)).astype(np.float32)
    mottled = 1 + 0.035 * cv2.resize(coarse, (HEAD_WIDTH_PX, HEAD_HEIGHT_PX))[..., None]
    soft = cv2.GaussianBlur(head, (0, 0), 1.6)
    return np.dstack([np.clip(soft[..., :3] * mottled, 0, 255).astype(np.uint8), soft[..., 3]])


def draw_bodies(seed: int) -> list[Sprite]:
    """One body in every phase of its gait, seen from the front, without a head."""
    chance = np.random.default_rng(seed + 977)
    coat, shirt, legs = (
        colours[int(chance.integers(len(colours)))] for colours in (_COATS, _SHIRTS, _LEGS)
    )
    skin = _SKINS[seed % len(_SKINS)]
    is_open = bool(chance.random() < 0.6)
    return [
        _draw_body(math.sin(2 * math.pi * phase / GAIT_PHASES), coat, shirt, legs, skin, is_open)
        for phase in range(GAIT_PHASES)
    ]


def _draw_body(
    swing: float, coat: Colour, shirt: Colour, legs: Colour, skin: Colour, is_open: bool
) -> Sprite:
    px = BODY_PX_PER_M * 2
    size = (round((BODY_BOTTOM_M - BODY_TOP_M) * px), round(BODY_WIDTH_M * px), 4)
    canvas = _Canvas(np.zeros(size, np.uint8), px, (BODY_WIDTH_M * px / 2, -BODY_TOP_M * px))
    for side in (-1, 1):
        lift = 0.1 * max(0.0, side * swing)  # The foot behind is lifted, so it looks shorter.
        _draw_leg(canvas, side, lift, _darker(legs, 1 - 1.6 * lift))
    for side in (-1, 1):
        _draw_arm(canvas, side, -0.05 * side * swing, _darker(coat, 0.86), skin)
    torso = [(-0.065, 0.15), (-0.15, 0.18), (-0.21, 0.225), (-0.19, 0.5), (-0.19, 0.86),
             (-0.185, 0.88)]  # fmt: skip
    canvas.shape(torso + [(-x, y) for x, y in reversed(torso)], coat, 2)
    canvas.shape([(-0.075, 0.14), (0.075, 0.14), (0.0, 0.36 if is_open else 0.24)], shirt, 1)
    if is_open:
        canvas.shape([(-0.05, 0.2), (0.05, 0.2), (0.06, 0.86), (-0.06, 0.86)], shirt, 1)
        for side in (-1, 1):
            lapel = [(side * 0.085, 0.135), (side * 0.15, 0.25), (side * 0.035, 0.5)]
            canvas.shape(lapel, _darker(coat, 1.18), 1)
    else:
        canvas.line([(0, 0.26), (0, 0.85)], _darker(coat, 0.6), 0.008)
    return canvas.finish(30, 0.45)


def _draw_leg(canvas: _Canvas, side: int, lift: float, legs: Colour) -> None:
    inner, outer = side * 0.012, side * 0.185
    foot = 1.57 - lift
    canvas.shape([(inner, 0.8), (outer, 0.8), (side * 0.15, foot), (side * 0.045, foot)], legs, 1)
    canvas.shape(
        [(side * 0.03, foot - 0.03), (side * 0.16, foot - 0.03), (side * 0.17, foot + 0.06),
         (side * 0.025, foot + 0.06)], (34, 32, 34), 2,
    )  # fmt: skip


def _draw_arm(canvas: _Canvas, side: int, swing: float, coat: Colour, skin: Colour) -> None:
    hand = 0.82 + swing
    canvas.oval(side * 0.285, hand + 0.02, 0.035, 0.05, skin)
    across = [(0.15, 0.2), (0.22, 0.25), (0.28, 0.5), (0.325, hand), (0.24, hand), (0.18, 0.5)]
    canvas.shape([(side * x, y) for x, y in across], coat, 2)


def _darker(colour: Colour, factor: float) -> Colour:
    return _mixed((0, 0, 0), colour, factor)


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour; more than 1 goes beyond it."""
    mixed: Iterable[int] = (
        max(0, min(255, round(a + (b - a) * share))) for a, b in zip(colour, other, strict=True)
    )
    blue, green, red = mixed
    return blue, green, red
