"""A drawn street in perspective: house fronts, paving, lamps. Nobody walks in it.

House fronts and paving are drawn flat, in metres, and laid into the picture by perspective.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from cordon_demo.houses import HOUSE_HEIGHT_M, draw_fronts, make_posters, texture
from cordon_demo.scene import HEIGHT_PX, WIDTH_PX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cordon_demo.drawn import Colour
    from cordon_demo.heads import Sprite
    from cordon_demo.houses import Texture
    from cordon_demo.scene import View

    Image = NDArray[np.uint8]
    """(height, width, 3) uint8, BGR."""

_LEFT_M, _RIGHT_M = -2.7, 3.1
_NEAR_M, _MIDDLE_M, _FAR_M = 4.2, 24.0, 110.0
_PX_PER_M = {"near": 100, "far": 28}


def draw_street(seed: int, view: View, faces: Sequence[Sprite]) -> Image:
    """The empty street of one camera. The faces hang on its walls as posters, beside a cat."""
    chance = np.random.default_rng(seed)
    brick, gravel, posters = texture("brick"), texture("gravel"), make_posters(faces)
    street = _sky(chance)
    _lay_paving(street, view, gravel, chance)
    for x_m in (_LEFT_M, _RIGHT_M):
        _lay_houses(street, view, x_m, brick, posters, chance)
    for depth_m in np.arange(38.0, 6.0, -6.5):
        _draw_lamp(street, view, -2.25 if round(depth_m) % 2 else 2.65, float(depth_m))
    _draw_lights(street, view)
    return _in_its_light(street, chance)


def _sky(chance: np.random.Generator) -> Image:
    blue = float(chance.uniform(0.9, 1.05))
    down = np.linspace(0, 1, HEIGHT_PX, dtype=np.float32)[:, None]
    top, low = np.array([214, 186, 158]) * blue, np.array([232, 226, 220])
    column = top * (1 - np.minimum(down * 4, 1)) + low * np.minimum(down * 4, 1)
    row = np.broadcast_to(column[:, None, :], (HEIGHT_PX, WIDTH_PX, 3))
    sky: Image = np.clip(row, 0, 255).astype(np.uint8)
    return sky


def _lay_paving(street: Image, view: View, gravel: Texture, chance: np.random.Generator) -> None:
    for part, begin_m, end_m in (("far", _MIDDLE_M, _FAR_M), ("near", _NEAR_M, _MIDDLE_M)):
        px = _PX_PER_M[part]
        flat = _paving(px, end_m - begin_m, gravel, chance)
        corners = [
            view.project(x, 0.0, depth)
            for x, depth in (
                (_LEFT_M, end_m), (_RIGHT_M, end_m), (_RIGHT_M, begin_m), (_LEFT_M, begin_m),
            )
        ]  # fmt: skip
        _lay(street, flat, corners)


def _paving(px: int, length_m: float, gravel: Texture, chance: np.random.Generator) -> Image:
    """Slabs of 60 cm, each a little different, with a darker gutter on both sides."""
    wide, long = round((_RIGHT_M - _LEFT_M) * px), round(length_m * px)
    slab = round(0.6 * px)
    tones = chance.normal(1, 0.035, (long // slab + 1, wide // slab + 1)).astype(np.float32)
    tone = np.kron(tones, np.ones((slab, slab), np.float32))[:long, :wide]
    rows, columns = gravel.shape
    stone = np.tile(gravel, (long // rows + 1, wide // columns + 1))[:long, :wide]
    joint = max(1, px // 50)
    for start in range(joint):
        tone[start::slab] *= 0.72
        tone[:, start::slab] *= 0.72
    gutter = round(0.35 * px)
    tone[:, :gutter] *= 0.7
    tone[:, -gutter:] *= 0.7
    colour = np.array([150, 156, 160], np.float32)
    return np.clip((tone * (0.78 + 0.22 * stone))[..., None] * colour, 0, 255).astype(np.uint8)


def _lay_houses(
    street: Image,
    view: View,
    x_m: float,
    brick: Texture,
    posters: Sequence[Image],
    chance: np.random.Generator,
) -> None:
    is_left = x_m < 0
    for part, begin_m, end_m in (("far", _MIDDLE_M, _FAR_M), ("near", _NEAR_M, _MIDDLE_M)):
        front = draw_fronts(_PX_PER_M[part], end_m - begin_m, brick, posters, chance)
        at = (end_m, begin_m) if not is_left else (begin_m, end_m)
        corners = [
            view.project(x_m, height, depth)
            for height, depth in (
                (HOUSE_HEIGHT_M, at[0]), (HOUSE_HEIGHT_M, at[1]), (0.0, at[1]), (0.0, at[0]),
            )
        ]  # fmt: skip
        shade = 0.8 if is_left else 0.96
        _lay(street, np.asarray(cv2.convertScaleAbs(front, alpha=shade), np.uint8), corners)


def _draw_lamp(street: Image, view: View, x_m: float, depth_m: float) -> None:
    scale = view.scale(depth_m)
    iron = (46, 52, 50)
    foot, top = view.project(x_m, 0, depth_m), view.project(x_m, 3.6, depth_m)
    width = max(1, round(0.09 * scale))
    _line(street, foot, top, iron, width)
    _line(street, foot, view.project(x_m, 0.7, depth_m), iron, width * 2)
    x, y = top
    lantern = [(-0.16, 0.0), (0.16, 0.0), (0.22, -0.42), (-0.22, -0.42)]
    points = np.array([[(x + a * scale) * 16, (y + b * scale) * 16] for a, b in lantern])
    cv2.fillPoly(street, [points.astype(np.int32)], (186, 226, 240), cv2.LINE_AA, shift=4)
    cv2.polylines(street, [points.astype(np.int32)], True, iron, max(1, width // 2), cv2.LINE_AA, 4)


def _draw_lights(street: Image, view: View) -> None:
    """Strings of lamps across the street."""
    for depth_m in (34.0, 26.0, 19.0, 14.0):
        across = np.linspace(_LEFT_M, _RIGHT_M, 25)
        sag = 3.55 + 0.35 * ((across - 0.2) / 2.9) ** 2
        cord = [view.project(x, y, depth_m) for x, y in zip(across, sag, strict=True)]
        points = (np.array(cord) * 16).astype(np.int32)
        cv2.polylines(street, [points], False, (60, 64, 70), 1, cv2.LINE_AA, 4)
        for x, y in cord[1::2]:
            radius = max(2, round(0.05 * view.scale(depth_m)))
            cv2.circle(street, (round(x), round(y) + radius), radius, (170, 226, 250), -1,
                       cv2.LINE_AA)  # fmt: skip


def _in_its_light(street: Image, chance: np.random.Generator) -> Image:
    """Haze in the distance is soft already; this adds the camera's vignette and white balance."""
    across = np.linspace(-1, 1, WIDTH_PX, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, HEIGHT_PX, dtype=np.float32)[:, None]
    vignette = 1 - 0.16 * (across**2 + down**2) / 2
    warmth = 1 + chance.uniform(-0.05, 0.05) * np.array([1, 0, -1], np.float32)
    return np.clip(street * vignette[..., None] * warmth, 0, 255).astype(np.uint8)


def _lay(street: Image, flat: Image, corners: Sequence[tuple[float, float]]) -> None:
    """Lays a flat picture into the street; corners from its top left, clockwise."""
    high, wide = flat.shape[:2]
    source = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], np.float32)
    transform = cv2.getPerspectiveTransform(source, np.array(corners, np.float32))
    size = (WIDTH_PX, HEIGHT_PX)
    cv2.warpPerspective(
        flat, transform, size, dst=street, flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )  # fmt: skip


def _line(
    street: Image, begin: tuple[float, float], end: tuple[float, float], colour: Colour, width: int
) -> None:
    at, to = ((round(x), round(y)) for x, y in (begin, end))
    cv2.line(street, at, to, colour, width, cv2.LINE_AA)
