"""Heads to put on walkers: cut out of a photo, or drawn. Knows no scene.

Every head is an RGBA picture (BGR order with alpha last) of `HEAD_WIDTH_PX` x `HEAD_HEIGHT_PX`
whose face is `FACE_PX` wide and centred on `FACE_AT`, so that any head fits any body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cordon_demo.portraits import FaceIn

    Image = NDArray[np.uint8]
    """(height, width, 3) uint8, BGR."""
    Sprite = NDArray[np.uint8]
    """(height, width, 4) uint8, BGR and alpha."""

HEAD_WIDTH_PX, HEAD_HEIGHT_PX = 420, 520
FACE_AT = (210, 210)
FACE_PX = 128
_STEP = 2  # Segmentation runs on every second pixel: four times as fast, and as good.


def head_from_photo(face: FaceIn) -> Sprite:
    """The head of a photographed person without the background and without the shoulders."""
    x, y, width, height = face.box
    scale = FACE_PX / width
    shift = [FACE_AT[0] - scale * (x + width / 2), FACE_AT[1] - scale * (y + height / 2)]
    move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    size = (HEAD_WIDTH_PX, HEAD_HEIGHT_PX)
    how = cv2.INTER_AREA if scale < 0.6 else cv2.INTER_CUBIC
    picture = cv2.warpAffine(face.image, move, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.full(face.image.shape[:2], 255, np.uint8), move, size)
    alpha = _cut_out(np.asarray(picture, np.uint8), np.asarray(inside, np.uint8))
    return np.dstack([picture, alpha])


def _cut_out(picture: Image, inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alpha of hair, face and neck by GrabCut from the shape that heads have."""
    x, y = FACE_AT[0] // _STEP, FACE_AT[1] // _STEP
    small = cv2.resize(picture, None, fx=1 / _STEP, fy=1 / _STEP, interpolation=cv2.INTER_AREA)
    guess = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.ellipse(guess, (x, y - 8 // _STEP), _axes(115, 150), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.ellipse(guess, (x, y - 14 // _STEP), _axes(85, 122), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(guess, (x, y), _axes(52, 72), 0, 0, 360, cv2.GC_FGD, -1)
    neck = ((x - 44 // _STEP, y + 60 // _STEP), (x + 44 // _STEP, y + 120 // _STEP))
    cv2.rectangle(guess, *neck, cv2.GC_PR_FGD, -1)
    guess[inside[::_STEP, ::_STEP] == 0] = cv2.GC_BGD
    cv2.setRNGSeed(1)
    cv2.grabCut(
        small, guess, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK
    )
    found = np.where((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (23, 23))
    found = np.asarray(cv2.morphologyEx(found, cv2.MORPH_CLOSE, disc), np.uint8)
    found = np.asarray(cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((5, 5))), np.uint8)
    _, parts = cv2.connectedComponents(found)
    found = np.where(parts == parts[y, x], 255, 0).astype(np.uint8)
    full = cv2.resize(cv2.erode(found, np.ones((3, 3))), picture.shape[1::-1])
    return np.asarray(cv2.GaussianBlur(full, (0, 0), 2.5), np.uint8)


def _axes(wide_px: int, high_px: int) -> tuple[int, int]:
    return wide_px // _STEP, high_px // _STEP


def relight(head: Sprite, seed: int) -> Sprite:
    """The head in other light: darker to one side, another exposure and colour temperature."""
    chance = np.random.default_rng(seed)
    across = np.linspace(-1, 1, head.shape[1], dtype=np.float32)[None, :, None]
    down = np.linspace(-1, 1, head.shape[0], dtype=np.float32)[:, None, None]
    slope = chance.uniform(0.12, 0.3) * chance.choice([-1, 1])
    light = chance.uniform(0.84, 0.98) * (1 + slope * across - 0.12 * down)
    warmth = 1 + chance.uniform(-0.07, 0.07) * np.array([-1, 0, 1], np.float32)
    lit = np.clip(head[..., :3] * light * warmth, 0, 255).astype(np.uint8)
    return np.dstack([lit, head[..., 3]])
