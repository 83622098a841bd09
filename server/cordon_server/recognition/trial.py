"""A frame's stages on a frame made for it, to be timed by whoever calibrates; knows no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cordon_server.recognition.align import align
from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.models.pack import ModelPack
from cordon_server.recognition.models.prepare import CROP_SIZE

_WIDTH, _HEIGHT, _QUALITY = 1920, 1080, 85
_LANDMARKS = ((820, 480), (900, 480), (860, 525), (828, 570), (892, 570))


class TriedModels(Protocol):
    """What is asked of the loaded models."""

    @property
    def pack(self) -> ModelPack: ...

    @property
    def batches(self) -> tuple[int, ...]: ...

    def detect(self, planes: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]: ...

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]: ...


class Trial:
    """One worker's stages; belongs to one thread."""

    def __init__(
        self, models: TriedModels, decoder: Decoder, jpeg: bytes, *, width: int, height: int
    ) -> None:
        self._decoder = decoder
        self._detector = FaceDetector(models, width=width, height=height)
        self._embedder = Embedder(models)
        self._jpeg = jpeg
        self._image = decoder.decode(jpeg)
        self._crop = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
        self._landmarks = np.asarray(_LANDMARKS, np.float32)

    def look(self) -> None:
        """Decodes the frame and looks for faces."""
        self._image = self._decoder.decode(self._jpeg)
        self._detector.find(self._image)

    def embed(self, faces: int = 1) -> None:
        """Aligns and embeds so many faces, together."""
        crops: Sequence[NDArray[np.uint8]] = [self._crop] * faces
        for crop in crops:
            align(self._image, self._landmarks, crop)
        self._embedder.embed(crops)


def street() -> bytes:
    """A 1080p frame with as much detail as a street has; nobody is in it."""
    chance = np.random.default_rng(0)
    coarse = chance.integers(0, 256, (_HEIGHT // 8, _WIDTH // 8, 3), np.uint8)
    blocks = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1).astype(np.int16)
    noise = chance.integers(-6, 7, blocks.shape, np.int16)
    picture = np.clip(blocks // 2 + 64 + noise, 0, 255).astype(np.uint8)
    jpeg: bytes = simplejpeg.encode_jpeg(picture, quality=_QUALITY, colorspace="BGR")
    return jpeg
