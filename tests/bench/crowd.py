"""Watchlists as large as the limits allow: real templates, and synthetic ones that behave alike.

There are not 20,000 real people to enrol. Synthetic identities are drawn from the normal
distribution fitted to real templates, so that two strangers score as two real strangers do; the
pictures of one identity lie around it at scores drawn from real pairs of one person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import Template
from cordon_server.gallery import Reference
from cordon_server.recognition.align import align
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.enrol import prominence
from cordon_server.recognition.models.prepare import CROP_SIZE
from tests.bench.accuracy import shipped_models
from tests.data import shared_data

Vectors = NDArray[np.float32]

_DETECT_SIDE = 320
"""All these pictures show one large face."""
_TIGHT_CROP_BORDER = 40


@dataclass(frozen=True, slots=True)
class RealFaces:
    """Templates of photographs, each with the name of its person."""

    names: tuple[str, ...]
    vectors: Vectors

    def by_person(self) -> dict[str, Vectors]:
        rows = defaultdict(list)
        for row, name in enumerate(self.names):
            rows[name].append(row)
        return {name: self.vectors[chosen] for name, chosen in rows.items()}


def real_faces(one_in: int = 1) -> tuple[RealFaces, RealFaces]:
    """(LFW, several pictures a person; UTKFace and AAF, one each), by the shipped model.

    Of the people one in `one_in`: a third of the statistics' sharpness for a ninth of the time.
    """
    lfw = sorted(shared_data("lfw", "deepfunneled").glob("*/*.jpg"))
    tight = sorted(shared_data("utkface", "images").glob("*.jpg"))
    loose = sorted(shared_data("aaf", "original_images").rglob("*.jpg"))
    reader = _Reader()
    people = set(sorted({path.parent.name for path in lfw})[::one_in])
    known = [(path.parent.name, path, 0) for path in lfw if path.parent.name in people]
    others = [(path.stem, path, _TIGHT_CROP_BORDER) for path in tight[::one_in]]
    others += [(path.stem, path, 0) for path in loose[::one_in]]
    return reader.read(known), reader.read(others)


class _Reader:
    """Pictures to templates, no gate in between: a poor picture is a hard probe."""

    def __init__(self) -> None:
        models = shipped_models()
        self._detector = FaceDetector(models, width=_DETECT_SIDE, height=_DETECT_SIDE)
        self._embedder = Embedder(models)
        self._crop: NDArray[np.uint8] = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)

    def read(self, pictures: list[tuple[str, Path, int]]) -> RealFaces:
        found = [
            (name, vector)
            for name, path, border in pictures
            if (vector := self._template(path, border)) is not None
        ]
        return RealFaces(tuple(name for name, _ in found), np.stack([v for _, v in found]))

    def _template(self, path: Path, border: int) -> Vectors | None:
        picture = cv2.imread(str(path))
        assert picture is not None
        image = cv2.copyMakeBorder(picture, *(border,) * 4, cv2.BORDER_CONSTANT).astype(np.uint8)
        faces = self._detector.find(image)
        if not faces:
            return None
        height, width = image.shape[:2]
        face = max(faces, key=lambda face: prominence(face, width, height))
        align(image, face.landmarks, self._crop)
        return self._embedder.embed([self._crop])[0]


class Crowd:
    """Draws synthetic people; the same people for the same seed."""

    def __init__(self, known: RealFaces, others: RealFaces, seed: int) -> None:
        people = known.by_person()
        one_each = np.concatenate([others.vectors, *(v[:1] for v in people.values())])
        self.genuine = np.array(
            [a @ b for v in people.values() for a, b in combinations(v[:5], 2)], np.float32
        )
        """Scores of real pairs of one person."""
        self.impostor = (one_each @ one_each.T)[np.triu_indices(len(one_each), 1)]
        """Scores of real pairs of two people."""
        self._mean = one_each.mean(axis=0)
        self._factor = np.linalg.cholesky(
            np.cov(one_each.T).astype(np.float64) + 1e-9 * np.eye(one_each.shape[1])
        ).astype(np.float32)
        self._chance = np.random.default_rng(seed)

    def people(self, count: int) -> Vectors:
        """The centres of so many identities."""
        return _units(self._mean + self._noise(count))

    def pictures(self, centres: Vectors) -> Vectors:
        """A picture of each: two pictures of one centre score as real pairs of one person do."""
        scores = self._chance.choice(self.genuine, len(centres)).clip(0.0, 1.0)[:, None]
        aside = self._noise(len(centres))
        aside -= (aside * centres).sum(axis=1, keepdims=True) * centres
        return _units(np.sqrt(scores) * centres + np.sqrt(1 - scores) * _units(aside))

    def shuffled(self, count: int) -> NDArray[np.int64]:
        """So many row numbers in the order in which pictures come: any."""
        return self._chance.permutation(count)

    def _noise(self, count: int) -> Vectors:
        drawn = self._chance.standard_normal((count, len(self._mean)), dtype=np.float32)
        noise: Vectors = drawn @ self._factor.T
        return noise


def references(names: Sequence[str], vectors: Vectors, model_id: str) -> Iterator[Reference]:
    """Entries of a list: each picture with the name of its person."""
    for number, (name, vector) in enumerate(zip(names, vectors, strict=True)):
        yield Reference(name, str(number), Template(vector, model_id))


def _units(rows: Vectors) -> Vectors:
    units: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units
