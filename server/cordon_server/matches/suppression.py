"""'Not this person': a face that was judged not to be a listed person's is not taken for that
person's again while the deployment lasts.

A candidate is silenced when it looks like the face that was judged, and more like it than like the
listed person. The listed person himself looks more like his own references than like somebody who
was once taken for him; so he is found all the same.

Measured on LFW, 278 people, each listed by one picture (`python -m tests.bench.not_this_person`):

    threshold  judged false  the same face again  silenced  the listed person  silenced
    0.36                372                  158       158                712         0
    0.40                 82                   28        28                154         0
    0.44                 13                    2         2                 21         0
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cordon_server.matches.records import SuppressedRecord

if TYPE_CHECKING:
    from cordon_server.domain import Vector

SAME_FACE_MIN = 0.45
"""Cosine with the template that was judged from which on a face may be the same one."""


class Suppressions:
    """The faces that are not the listed person's they were taken for. Used from the event loop
    alone."""

    def __init__(self, records: Iterable[SuppressedRecord] = ()) -> None:
        self._faces: dict[str, list[Vector]] = {}
        for record in records:
            self.add(record)

    def __len__(self) -> int:
        return sum(map(len, self._faces.values()))

    def add(self, record: SuppressedRecord) -> None:
        """From now on this face is not that person."""
        self._faces.setdefault(record.entry_id, []).append(_vector(record))

    def remove(self, record: SuppressedRecord) -> None:
        """From now on this face may be that person again."""
        faces, vector = self._faces.get(record.entry_id, []), _vector(record)
        at = next((at for at, face in enumerate(faces) if np.array_equal(face, vector)), None)
        if at is not None:
            del faces[at]

    def silences(self, entry_id: str, vector: Vector | None, score: float) -> bool:
        """Whether a candidate for an entry is such a face; `score` is its with the entry."""
        faces = self._faces.get(entry_id)
        if not faces or vector is None:
            return False
        likeness = max(float(face @ vector) for face in faces)
        return likeness >= SAME_FACE_MIN and likeness > score


def _vector(record: SuppressedRecord) -> Vector:
    return np.frombuffer(record.vector, dtype="<f4").astype(np.float32)
