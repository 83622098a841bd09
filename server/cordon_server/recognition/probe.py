"""Pictures of one face for a person to look at; everybody else in them is blurred (R21)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cordon_server.domain import (
    Box,
    Face,
)
from cordon_server.recognition.limits import CROP_JPEG_QUALITY, CROP_SIDE_MAX

if TYPE_CHECKING:
    from cordon_server.domain import Image


# On each side of the box, in box sizes: hair, ears and collar help the person who compares.
MARGIN = 0.4
# A blurred face keeps this many blocks across: fewer than any feature of it spans.
BLUR_BLOCKS = 3
# The blurred ellipse, in box half-sizes: detectors' boxes end at the forehead and the ears.
BLUR_REACH = 1.5
# Up to this share of the shown face's width another face is a much smaller one.
SMALL_SHARE = 0.5


def probe_jpeg(image: Image, face: Face, others: Sequence[Face]) -> bytes:
    """JPEG of `face` with a margin, at most CROP_SIDE_MAX long; `others` are blurred in it."""
    area = crop_area(face.box, image.shape[1], image.shape[0])
    left, top, right, bottom = area
    cut = image[top:bottom, left:right].copy()
    for other in others:
        if other is not face:
            blur_other(cut, _shifted(face.box, left, top), _shifted(other.box, left, top))
    return encode(shrink(cut, CROP_SIDE_MAX))


def crop_area(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box with its margin, within the picture, never empty."""
    across, down = box.width * MARGIN, box.height * MARGIN
    left = int(np.clip(box.x - across, 0, width - 1))
    top = int(np.clip(box.y - down, 0, height - 1))
    right = int(np.clip(np.ceil(box.x + box.width + across), left + 1, width))
    bottom = int(np.clip(np.ceil(box.y + box.height + down), top + 1, height))
    return left, top, right, bottom


def blur_other(image: Image, face: Box, other: Box) -> None:
    """Makes `other` unrecognisable, in place, but for the pixels that lie nearer to `face`.

    Nearness is counted in sizes of each face. A much smaller one is blurred whole wherever it is:
    a child held up, a badge, a printed shirt.
    """
    height, width = image.shape[:2]
    x0, x1 = _span(other.x, other.width, width)
    y0, y1 = _span(other.y, other.height, height)
    if x0 >= x1 or y0 >= y1:
        return
    part = image[y0:y1, x0:x1]
    reach = _distance(other, x0, y0, x1, y1)
    theirs = reach <= BLUR_REACH
    if other.width > face.width * SMALL_SHARE:
        theirs &= reach < _distance(face, x0, y0, x1, y1)
    part[theirs] = _mosaic(part, other)[theirs]


def shrink(image: Image, side_max: int) -> Image:
    """The picture, scaled down where its longest side is above `side_max`."""
    height, width = image.shape[:2]
    scale = side_max / max(height, width)
    if scale >= 1.0:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def encode(image: Image) -> bytes:
    """The picture as baseline JPEG without any metadata."""
    jpeg: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=CROP_JPEG_QUALITY, colorspace="BGR"
    )
    return jpeg


def _shifted(box: Box, left: int, top: int) -> Box:
    return Box(box.x - left, box.y - top, box.width, box.height)


def _span(start: float, size: float, limit: int) -> tuple[int, int]:
    """The pixels that the blurred ellipse can touch along one axis."""
    centre, reach = start + size / 2, size / 2 * BLUR_REACH
    return (
        int(np.clip(np.floor(centre - reach), 0, limit)),
        int(np.clip(np.ceil(centre + reach), 0, limit)),
    )


def _distance(box: Box, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.float32]:
    """How far each pixel of an area is from a box's centre: 1 on the ellipse within the box."""
    across = (np.arange(x0, x1, dtype=np.float32) + 0.5 - (box.x + box.width / 2)) / (box.width / 2)
    down = (np.arange(y0, y1, dtype=np.float32) + 0.5 - (box.y + box.height / 2)) / (box.height / 2)
    return np.asarray(np.hypot(across[None, :], down[:, None]), np.float32)


def _mosaic(part: Image, other: Box) -> Image:
    """The area in blocks so large that a face of that size is no more than BLUR_BLOCKS across."""
    height, width = part.shape[:2]
    block = max(other.width, other.height) / BLUR_BLOCKS
    size = (max(1, round(width / block)), max(1, round(height / block)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
