"""A reference photograph to a template, or coded reasons why it cannot be used (R23)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cordon_server.domain import (
    Box,
    Face,
    Quality,
    Reason,
    ReasonCode,
    Template,
    UnusablePicture,
)
from cordon_server.recognition.align import align
from cordon_server.recognition.decode import decode_picture
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.gates import COMPONENTS, ENROLMENT_GATE, Gate, reasons
from cordon_server.recognition.models.prepare import CROP_SIZE
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.probe import probe_jpeg
from cordon_server.recognition.quality import measure

if TYPE_CHECKING:
    from cordon_server.domain import Image


# Photographs come in any shape, and a small face in a large one must still be found.
DETECT_SIDE = 640

# A face stands out if no other's prominence reaches this share of its own.
RIVAL_SHARE = 0.6
# What a face loses of its prominence at the very edge of the picture. With these two, of 1,100 LFW
# pictures (228 with several faces) 1,093 give the central, labelled face, 7 none, and none a wrong
# one; by width alone it would be 990.
_EDGE_LOSS = 0.8


@dataclass(frozen=True, slots=True)
class Examined:
    """What a reference photograph gives."""

    template: Template
    quality: Quality
    box: Box
    face_jpeg: bytes = field(repr=False)
    """The face with a margin, at most 320 pixels; other faces in it are blurred."""
    crop: Image = field(repr=False)
    """The face as it was embedded."""
    shortcomings: tuple[Reason, ...] = ()
    """Limits of the gate that it breaks, where that was to be overridden."""


class Enroller:
    """Examines reference photographs. Any number of threads may call it at once."""

    def __init__(self, models: Models, *, gate: Gate = ENROLMENT_GATE) -> None:
        self._models = models
        self._gate = gate
        self._own = threading.local()

    def examine(
        self,
        image: bytes,
        point: tuple[float, float] | None = None,
        *,
        overridden: bool = False,
    ) -> Examined:
        """The template of the one face that stands out, or of the face at `point` (pixels).

        Raises UnusablePicture with every reason that counts; with `overridden` the limits of the
        gate do not, and are told with the template.
        """
        picture = decode_picture(image)
        detector, embedder = self._tools()
        faces = detector.find(picture)
        face = pick(faces, picture.shape[1], picture.shape[0], point)
        crop: Image = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
        align(picture, face.landmarks, crop)
        quality = measure(face, crop)
        wrong = reasons(quality, self._gate)
        if wrong and not overridden:
            raise UnusablePicture(" ".join(reason.message for reason in wrong), wrong)
        vector = embedder.embed([crop])[0]
        if vector is None:
            raise _unusable(ReasonCode.NO_FACE, "What was found is no face; give another picture.")
        return Examined(
            template=Template(vector, self._models.pack.model_id),
            quality=quality,
            box=face.box,
            face_jpeg=probe_jpeg(picture, face, faces),
            crop=crop,
            shortcomings=wrong,
        )

    def _tools(self) -> tuple[FaceDetector, Embedder]:
        """This thread's own detector and embedder: they own buffers."""
        tools: tuple[FaceDetector, Embedder] | None = getattr(self._own, "tools", None)
        if tools is None:
            detector = FaceDetector(self._models, width=DETECT_SIDE, height=DETECT_SIDE)
            tools = self._own.tools = (detector, Embedder(self._models))
        return tools


def pick(faces: Sequence[Face], width: int, height: int, point: tuple[float, float] | None) -> Face:
    """The face meant: the one at `point`, else the one that stands out; UnusablePicture if none."""
    if not faces:
        raise _unusable(
            ReasonCode.NO_FACE, "No face was found; give a picture in which the face looks forward."
        )
    if point is not None:
        return _at(faces, point)
    ranked = sorted(faces, key=lambda face: prominence(face, width, height), reverse=True)
    first = prominence(ranked[0], width, height)
    rivals = [face for face in ranked[1:] if prominence(face, width, height) > RIVAL_SHARE * first]
    if rivals:
        raise _unusable(
            ReasonCode.SEVERAL_FACES,
            f"{len(rivals) + 1} faces are in the picture and none stands out; cut it to the one "
            "meant, or give a point on it.",
        )
    return ranked[0]


def prominence(face: Face, width: int, height: int) -> float:
    """How much a face is the picture's subject: its width, less towards the picture's edge."""
    box = face.box
    aside = abs(box.x + box.width / 2 - width / 2) / (width / 2)
    below = abs(box.y + box.height / 2 - height / 2) / (height / 2)
    return box.width * (1.0 - _EDGE_LOSS * min(1.0, max(aside, below)))


def _at(faces: Sequence[Face], point: tuple[float, float]) -> Face:
    x, y = point
    holding = [
        face
        for face in faces
        if face.box.x <= x <= face.box.x + face.box.width
        and face.box.y <= y <= face.box.y + face.box.height
    ]
    if not holding:
        raise _unusable(
            ReasonCode.NO_FACE,
            f"No face was found at ({x:.0f}, {y:.0f}); give a point inside the face, in pixels "
            "from the picture's top left.",
        )
    return min(holding, key=lambda face: face.box.width * face.box.height)


def _unusable(code: ReasonCode, message: str) -> UnusablePicture:
    return UnusablePicture(message, (Reason(code, message, component=COMPONENTS[code]),))
