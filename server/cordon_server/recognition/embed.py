"""Aligned crops to templates: unit vectors, or nothing where the network gives no sane answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import ModelFailed
from cordon_server.recognition.align import to_planes
from cordon_server.recognition.models.pack import ModelPack
from cordon_server.recognition.models.prepare import CROP_SIZE

if TYPE_CHECKING:
    from cordon_server.domain import Image, Vector


# Lengths of a raw feature between which it is believed. Real faces lie far inside.
FEATURE_NORM_MIN = 1e-3
FEATURE_NORM_MAX = 1e4


class EmbedderModel(Protocol):
    """What embedding asks of the loaded models."""

    @property
    def pack(self) -> ModelPack: ...

    @property
    def batches(self) -> tuple[int, ...]: ...

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]: ...


class Embedder:
    """Embeds crops, in the batches that the provider is best at; belongs to one thread."""

    def __init__(self, models: EmbedderModel) -> None:
        self._models = models
        self._normalisation = models.pack.embedder.normalisation
        self._planes: NDArray[np.float32] = np.zeros(
            (models.batches[-1], 3, CROP_SIZE, CROP_SIZE), np.float32
        )

    def embed(self, crops: Sequence[Image]) -> list[Vector | None]:
        """One unit vector a crop, in order; None where the network's answer is no template.

        Raises ModelFailed where it is no number: that is the network's fault and not the face's.
        """
        vectors: list[Vector | None] = []
        largest = self._models.batches[-1]
        for start in range(0, len(crops), largest):
            vectors += self._embed_batch(crops[start : start + largest])
        return vectors

    def _embed_batch(self, crops: Sequence[Image]) -> list[Vector | None]:
        for crop, planes in zip(crops, self._planes, strict=False):
            to_planes(crop, planes, self._normalisation)
        size = next(batch for batch in self._models.batches if batch >= len(crops))
        features = self._models.embed(self._planes[:size])
        if np.isnan(features).any():
            raise ModelFailed("the embedder's features are no numbers")
        return [unit(feature) for feature in features[: len(crops)]]


def unit(feature: NDArray[np.float32]) -> Vector | None:
    """The feature at length one; None unless it is finite and of a believable length."""
    norm = float(np.linalg.norm(feature.astype(np.float64)))
    if not FEATURE_NORM_MIN <= norm <= FEATURE_NORM_MAX:  # NaN fails this too.
        return None
    return (feature / np.float32(norm)).astype(np.float32, copy=False)
