"""Face crops of one geometry: five landmarks onto fixed points of a 112x112 picture."""

from __future__ import annotations

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
    cv2.warpAffine(image, matrix, (CROP_SIZE, CROP_SIZE), dst=crop, flags=cv2.INTER_LINEAR)


def to_planes(image: Image, planes: NDArray[np.float32], normalisation: Normalisation) -> None:
    """Writes a BGR picture (h, w, 3) as network input (3, h, w), normalised as the pack says."""
    order = (0, 1, 2) if normalisation.colour_order == "BGR" else (2, 1, 0)
    for plane, channel in enumerate(order):
        np.copyto(planes[plane], image[:, :, channel])
    if not normalisation.is_identity:
        planes -= np.array(normalisation.mean, np.float32).reshape(3, 1, 1)
        planes *= np.float32(normalisation.scale)
