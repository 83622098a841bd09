"""Face crops of one geometry: five landmarks onto fixed points of a 112x112 picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cordon_server.recognition.models.pack import Normalisation
from cordon_server.recognition.models.prepare import CROP_SIZE

if TYPE_CHECKING:
    from cordon_server.domain import Image


ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
"""Where the landmarks (in `domain.Face` order) lie in a crop: the reference points of ArcFace (Deng
and others, CVPR 2019) as its authors publish them in insightface's `face_align.py`. The embedder
was trained on crops made with them."""

# A face this many times larger than its crop is none.
_SHRINKING_MAX = 100

_TARGET = ARCFACE_POINTS[:, 0].astype(np.complex128) + 1j * ARCFACE_POINTS[:, 1]
_TARGET_MEAN = _TARGET.mean()
_TARGET_CENTRED = _TARGET - _TARGET_MEAN


def similarity(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) matrix that turns, scales and shifts `landmarks` onto ARCFACE_POINTS.

    Closed-form least squares. With points as complex numbers such a transform is w = a*z + b, and
    a = sum(conj(z) w) / sum(|z|^2) about the means; a reflection cannot come out.
    """
    points = landmarks[:, 0].astype(np.complex128) + 1j * landmarks[:, 1]
    mean = points.mean()
    centred = points - mean
    spread = float(np.vdot(centred, centred).real)
    a = np.vdot(centred, _TARGET_CENTRED) / max(spread, 1e-9)
    b = _TARGET_MEAN - a * mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], np.float64)


def align(image: Image, landmarks: NDArray[np.float32], crop: Image) -> None:
    """Writes the aligned face into `crop`, (112, 112, 3); outside the picture it is black."""
    matrix = similarity(landmarks)
    factor = _shrinking(matrix)
    if factor >= 2:
        image, landmarks = _shrunk(image, landmarks, matrix, factor)
        matrix = similarity(landmarks)
    cv2.warpAffine(image, matrix, (CROP_SIZE, CROP_SIZE), dst=crop, flags=cv2.INTER_LINEAR)


def _shrinking(matrix: NDArray[np.float64]) -> int:
    """How many picture pixels make one crop pixel; linear sampling would skip most."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return int(1 / scale) if scale > 1 / _SHRINKING_MAX else 1


def _shrunk(
    image: Image, landmarks: NDArray[np.float32], matrix: NDArray[np.float64], factor: int
) -> tuple[Image, NDArray[np.float32]]:
    """The part of the picture that the crop shows, averaged over factor x factor pixels."""
    square = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * CROP_SIZE
    corners = cv2.transform(square[None].astype(np.float64), cv2.invertAffineTransform(matrix))[0]
    limit = (image.shape[1], image.shape[0])
    left, top = (int(v) for v in np.clip(np.floor(corners.min(0)), 0, limit))
    right, bottom = (int(v) for v in np.clip(np.ceil(corners.max(0)), 0, limit))
    size = ((right - left) // factor, (bottom - top) // factor)
    if min(size) < 1:
        return image, landmarks
    part = image[top : top + size[1] * factor, left : left + size[0] * factor]
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, shrunk(landmarks - np.array([left, top], np.float32), factor)


def shrunk(points: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Where points of a picture lie in one that is `factor` times smaller.

    Pixel centres lie at halves, so half a pixel is shifted by less than one step.
    """
    return ((points + np.float32(0.5)) / np.float32(factor) - np.float32(0.5)).astype(np.float32)


def to_planes(
    image: Image,
    planes: NDArray[np.float32],
    normalisation: Normalisation,
    channels: Sequence[NDArray[np.uint8]] | None = None,
) -> None:
    """Writes a BGR picture (h, w, 3) as network input (3, h, w), normalised as the pack says.

    `channels` are three (h, w) buffers to work in. Bytes are parted by channel before they become
    floats: a third of the time of doing both at once.
    """
    parted = cv2.split(image, channels)
    order = parted if normalisation.colour_order == "BGR" else parted[::-1]
    for plane, channel in zip(planes, order, strict=True):
        np.copyto(plane, channel)
    if not normalisation.is_identity:
        planes -= np.array(normalisation.mean, np.float32).reshape(3, 1, 1)
        planes *= np.float32(normalisation.scale)
