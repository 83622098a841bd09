"""How far a camera's frames are shrunk as they are decoded: as long as nothing is lost and it pays.

The detector sees a small picture anyhow, and a crop has 35 pixels between the eyes: what is
larger in the frame is averaged away. Decoding shrunk skips that work; but where a face is to be
embedded that is too small in the shrunk picture, the frame is decoded again, larger.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cordon_server.domain import Face
from cordon_server.recognition.align import ARCFACE_POINTS
from cordon_server.recognition.decode import SHRINKS
from cordon_server.recognition.detect import LINEAR_SCALE_MIN

EYES_PX = float(np.linalg.norm(ARCFACE_POINTS[1] - ARCFACE_POINTS[0]))
"""Between the eyes of a crop. A picture that has as many loses nothing of the face."""
PAYS_NEAR = 0.2
"""Share of frames that are decoded twice up to which shrinking pays, where the detector's picture
would be sampled from the full one. Break-even was at 0.20 to 0.22 for 1920x1080 (a half), at 0.33
to 0.38 for 1280x720; less for colours at half size, more for colours at full size."""
PAYS_FAR = 0.6
"""The same where it would be averaged: 0.65 to 0.86 for 3840x2160 (a quarter), 0.58 to 0.76 for
2560x1440 (a half)."""
_STEP = 1 / 32
"""Of the running share, that one frame moves it."""


def furthest(scale: float) -> int:
    """The largest of SHRINKS that leaves at least the pixels which the detector sees.

    `scale` is the size of its picture over that of the frame.
    """
    return max(each for each in SHRINKS if each == 1 or scale * each <= 1)


def enough(faces: Sequence[Face]) -> int:
    """The largest of SHRINKS at which no face loses anything in its crop."""
    eyes = [np.linalg.norm(face.landmarks[1] - face.landmarks[0]) for face in faces]
    smallest = float(min(eyes, default=np.inf))
    return max(each for each in SHRINKS if each == 1 or smallest >= each * EYES_PX)


class Shrinking:
    """Of one camera: whether shrinking its frames pays. Decided by what its frames show alone."""

    def __init__(self) -> None:
        self._needs = 0.0
        """Running share of frames that are decoded twice, or would be."""

    def choose(self, scale: float) -> int:
        """The fraction to detect in: the furthest one while that pays, else 1."""
        pays_up_to = PAYS_FAR if scale < LINEAR_SCALE_MIN else PAYS_NEAR
        return furthest(scale) if self._needs <= pays_up_to else 1

    def note(self, faces: Sequence[Face], scale: float) -> None:
        """Takes in whether a frame's `faces`, those to embed, are too small in the furthest."""
        is_needed_larger = enough(faces) < furthest(scale)
        self._needs += (is_needed_larger - self._needs) * _STEP
