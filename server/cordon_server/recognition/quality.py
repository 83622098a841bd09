"""What can be measured of one face: size, pose, sharpness, light. Judges nothing: see gates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2

from cordon_server.domain import (
    Face,
    Quality,
)

if TYPE_CHECKING:
    from cordon_server.domain import Image


# How far the tip of the nose stands out before the line between the eyes, in eye distances.
_NOSE_DEPTH = 0.6


def geometry(face: Face) -> Quality:
    """What the landmarks alone tell; sharpness and luminance are left at zero."""
    right_eye, left_eye, nose = face.landmarks[:3].tolist()
    across = (left_eye[0] - right_eye[0], left_eye[1] - right_eye[1])
    middle = ((left_eye[0] + right_eye[0]) / 2, (left_eye[1] + right_eye[1]) / 2)
    return Quality(
        detection_score=face.detection_score,
        inter_eye_px=math.hypot(*across),
        sharpness=0.0,
        luminance=0.0,
        yaw_degrees=_yaw(across, (nose[0] - middle[0], nose[1] - middle[1])),
        roll_degrees=math.degrees(math.atan2(across[1], across[0])),
    )


def measure(face: Face, crop: Image) -> Quality:
    """All measures of a face and its aligned crop."""
    where = geometry(face)
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))
    return Quality(
        detection_score=where.detection_score,
        inter_eye_px=where.inter_eye_px,
        sharpness=float(deviation[0, 0]) ** 2,
        luminance=cv2.mean(grey)[0],
        yaw_degrees=where.yaw_degrees,
        roll_degrees=where.roll_degrees,
    )


def _yaw(across: tuple[float, float], nose: tuple[float, float]) -> float:
    """Turn to the side, positive towards the subject's left.

    `across` leads from eye to eye, `nose` from between them to its tip. Turning by t shortens the
    eye distance to cos(t) of itself and moves the nose aside by its depth times sin(t), so their
    ratio is depth * tan(t).
    """
    distance = math.hypot(*across)
    if distance < 1e-6:
        return 90.0
    aside = (nose[0] * across[0] + nose[1] * across[1]) / distance
    return math.degrees(math.atan2(aside, _NOSE_DEPTH * distance))
