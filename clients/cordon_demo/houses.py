"""House fronts with shops and posters, drawn flat, in metres. Knows no perspective."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from cordon_demo.heads import FACE_AT, FACE_PX
from cordon_demo.portraits import asset_path, read_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cordon_demo.drawn import Colour
    from cordon_demo.heads import Sprite

    Image = NDArray[np.uint8]
    """(height, width, 3) uint8, BGR."""
    Texture = NDArray[np.float32]
    """(height, width) float32, mean 1."""
    Box = tuple[tuple[int, int], tuple[int, int]]
    """Top left and bottom right corner, pixels."""

HOUSE_HEIGHT_M = 7.0

_NAMES = ("BAKERY", "BOOKS", "FLOWERS", "CAFE", "TAILOR", "RECORDS", "PHARMACY", "CLOCKS")
_WALLS: tuple[Colour, ...] = (
    (118, 136, 172), (150, 168, 190), (176, 190, 202), (120, 150, 160), (150, 130, 120),
)  # fmt: skip
_PAINTS: tuple[Colour, ...] = (
    (70, 84, 40), (60, 48, 108), (96, 60, 32), (44, 96, 150), (60, 62, 66), (88, 40, 62),
)  # fmt: skip


def texture(name: str) -> Texture:
    picture = cv2.cvtColor(read_picture(asset_path(name)), cv2.COLOR_BGR2GRAY)
    grey = picture.astype(np.float32)
    if name == "brick":  # Its courses stand upright in the picture.
        grey = np.ascontiguousarray(np.rot90(grey))
    else:  # At half its size the stones are as small as street stones are.
        grey = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5), np.float32)
    return np.asarray(grey / grey.mean(), np.float32)


def make_posters(faces: Sequence[Sprite]) -> tuple[Image, ...]:
    cat = cv2.resize(read_picture(asset_path("cat"))[:, 60:300], (240, 300))
    return (np.asarray(cat, np.uint8), *(_poster(face, i) for i, face in enumerate(faces)))


def _poster(face: Sprite, which: int) -> Image:
    """A framed advertisement that shows a head."""
    reach = round(FACE_PX * 1.05)
    x, y = FACE_AT
    head = face[y - reach : y + reach + 24, x - reach : x + reach].astype(np.float32)
    alpha = head[..., 3:] / 255
    ground = np.array(((190, 160, 90), (90, 150, 220), (150, 200, 170))[which % 3], np.float32)
    paper = (head[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)
    paper = np.asarray(cv2.resize(paper, (240, 270)), np.uint8)
    words = np.full((30, 240, 3), 245, np.uint8)
    title = ("THE PLAY", "TONIGHT", "IN CONCERT")[which % 3]
    cv2.putText(words, title, (24, 23), cv2.FONT_HERSHEY_DUPLEX, 0.8, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([paper, words])


def draw_fronts(
    px: int,
    length_m: float,
    brick: Texture,
    posters: Sequence[Image],
    chance: np.random.Generator,
) -> Image:
    """A row of houses with shops, as wide as the row is long."""
    front = np.zeros((round(HOUSE_HEIGHT_M * px), round(length_m * px), 3), np.uint8)
    begin = 0
    while begin < front.shape[1]:
        end = min(front.shape[1], begin + round(chance.uniform(4.6, 6.4) * px))
        _draw_house(front[:, begin:end], px, brick, posters, chance)
        begin = end
    return front


def _draw_house(
    house: Image, px: int, brick: Texture, posters: Sequence[Image], chance: np.random.Generator
) -> None:
    high, wide = house.shape[:2]
    scale = px / 100  # The brick texture shows 5 m at its own size.
    tile = cv2.resize(brick, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rows, columns = tile.shape
    wall = np.tile(tile, (high // rows + 1, wide // columns + 1))[:high, :wide]
    colour = np.array(_WALLS[int(chance.integers(len(_WALLS)))], np.float32)
    house[:] = np.clip((0.55 + 0.45 * wall)[..., None] * colour, 0, 255).astype(np.uint8)
    cv2.rectangle(house, (0, 0), (max(1, px // 20), high), (90, 96, 104), -1)
    paint = _PAINTS[int(chance.integers(len(_PAINTS)))]
    _draw_upstairs(house, px, chance)
    _draw_shop(house, px, paint, posters, chance)


def _draw_upstairs(house: Image, px: int, chance: np.random.Generator) -> None:
    high, wide = house.shape[:2]
    count = max(1, int(wide / px // 1.9))
    for i in range(count):
        middle = round((i + 0.5) * wide / count)
        box = _box(middle / px - 0.5, HOUSE_HEIGHT_M - 5.9, 1.0, 1.9, px)
        frame = (228, 232, 234) if chance.random() < 0.7 else (70, 72, 76)
        cv2.rectangle(house, *_grown(box, px // 12), frame, -1)
        _draw_glass(house, box, int(chance.integers(60, 130)))
        (left, top), (right, bottom) = box
        cv2.line(house, (middle, top), (middle, bottom), frame, max(1, px // 20))
        cv2.line(house, (left, (top + bottom) // 2), (right, (top + bottom) // 2), frame,
                 max(1, px // 20))  # fmt: skip
        sill = ((left - px // 6, bottom + px // 14), (right + px // 6, bottom + px // 6))
        cv2.rectangle(house, *sill, (196, 200, 204), -1)
    cv2.rectangle(house, (0, high - round(3.5 * px)), (wide, high - round(3.38 * px)),
                  (206, 210, 214), -1)  # fmt: skip


def _draw_shop(
    house: Image, px: int, paint: Colour, posters: Sequence[Image], chance: np.random.Generator
) -> None:
    """The ground floor: a painted front with a sign, a window, a door, an awning, a poster."""
    high, wide = house.shape[:2]
    metres = wide / px
    cv2.rectangle(house, *_box(0.2, HOUSE_HEIGHT_M - 3.3, metres - 0.4, 3.3, px), paint, -1)
    window = _box(0.45, HOUSE_HEIGHT_M - 2.5, metres * 0.48, 1.8, px)
    cv2.rectangle(house, *_grown(window, px // 16), (222, 226, 228), -1)
    _draw_glass(house, window, int(chance.integers(70, 120)))
    _draw_goods(house, window, px, chance)
    door = _box(metres * 0.48 + 0.65, HOUSE_HEIGHT_M - 2.4, 0.95, 2.4, px)
    cv2.rectangle(house, *_grown(door, px // 16), (222, 226, 228), -1)
    cv2.rectangle(house, *door, tuple(int(c * 0.7) for c in paint), -1)
    _draw_glass(house, _box(metres * 0.48 + 0.78, HOUSE_HEIGHT_M - 2.25, 0.69, 1.2, px), 90)
    _hang_poster(house, px, metres * 0.48 + 1.8, posters, chance)
    name = _NAMES[int(chance.integers(len(_NAMES)))]
    size = px / 100
    cv2.putText(house, name, (round(0.6 * px), high - round(2.86 * px)), cv2.FONT_HERSHEY_TRIPLEX,
                1.25 * size, (226, 236, 240), max(1, round(2 * size)), cv2.LINE_AA)  # fmt: skip
    if chance.random() < 0.6:
        _draw_awning(house, px, metres * 0.48 + 0.4, paint)


def _draw_awning(house: Image, px: int, length_m: float, paint: Colour) -> None:
    stripe = 0.28
    for i in range(int(length_m / stripe)):
        colour = (232, 236, 238) if i % 2 else paint
        lit = tuple(min(255, int(c * 1.25)) for c in colour)
        cv2.rectangle(
            house, *_box(0.25 + i * stripe, HOUSE_HEIGHT_M - 2.72, stripe, 0.5, px), lit, -1
        )


def _draw_goods(
    house: Image, window: Box, px: int,
    chance: np.random.Generator,
) -> None:  # fmt: skip
    (left, _), (right, bottom) = window
    for x in range(left + px // 6, right - px // 8, max(2, px // 5)):
        top = bottom - round(chance.uniform(0.15, 0.55) * px)
        colour = tuple(int(c) for c in 70 + 0.5 * chance.integers(0, 220, 3))
        cv2.rectangle(house, (x, top), (x + px // 8, bottom - px // 20), colour, -1)


def _hang_poster(
    house: Image, px: int, at_m: float, posters: Sequence[Image], chance: np.random.Generator
) -> None:
    box = _box(at_m, HOUSE_HEIGHT_M - 2.35, 0.88, 1.1, px)
    (left, top), (right, bottom) = box
    if right + px // 16 >= house.shape[1]:
        return
    poster = posters[int(chance.integers(len(posters)))]
    cv2.rectangle(house, *_grown(box, px // 20), (60, 62, 66), -1)
    house[top:bottom, left:right] = cv2.resize(
        poster, (right - left, bottom - top), interpolation=cv2.INTER_AREA
    )


def _draw_glass(house: Image, box: Box, tone: int) -> None:
    """A pane that mirrors the sky aslant."""
    (left, top), (right, bottom) = box
    pane = house[top:bottom, left:right]
    high, wide = pane.shape[:2]
    slant = np.add.outer(np.arange(high), np.arange(wide)) / max(1, high + wide)
    shine = np.clip(1 - np.abs(slant - 0.42) * 6, 0, 1)[..., None]
    dark = np.array([tone + 22, tone + 10, tone], np.float32)
    pane[:] = np.clip(dark * (1 - 0.25 * slant[..., None]) + 70 * shine, 0, 255).astype(np.uint8)


def _box(left_m: float, top_m: float, wide_m: float, high_m: float, px: int) -> Box:
    left, top = round(left_m * px), round(top_m * px)
    return (left, top), (left + round(wide_m * px), top + round(high_m * px))


def _grown(box: Box, by: int) -> Box:
    (left, top), (right, bottom) = box
    return (left - by, top - by), (right + by, bottom + by)
