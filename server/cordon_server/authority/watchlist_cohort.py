"""A site's cohort: templates of strangers that every list is compared with, as one file.

The faces are of people who consented or of a public set, and nobody's name is kept with them.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np

from cordon_server.authority.watchlist_likeness import Vectors
from cordon_server.domain import ConfigInvalid, InvalidInput, Template
from cordon_server.gallery import check_templates

COHORT_MAX = 100_000
"""Faces; more would take longer than they tell."""


class CohortFile(msgspec.Struct, frozen=True):
    """What the file holds; `vectors` are little-endian float32, one template after the other."""

    model_id: str
    dimension: int
    vectors: bytes


def write_cohort(path: Path, vectors: Vectors, model_id: str) -> None:
    """Writes the file, for its owner alone; raises `ConfigInvalid` where it is there already."""
    held = CohortFile(model_id, vectors.shape[1], vectors.astype("<f4").tobytes())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written ({error.strerror}); name another") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.msgpack.encode(held))


def read_cohort(path: Path, model_id: str, dimension: int) -> Vectors:
    """(faces, dimension), unit rows; raises `ConfigInvalid` for what is no cohort of this model."""
    try:
        held = msgspec.msgpack.decode(path.read_bytes(), type=CohortFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigInvalid(
            f"watchlist.cohort: {path} cannot be read ({error}); make one with: cordon server "
            "cohort make FOLDER"
        ) from error
    if (held.model_id, held.dimension) != (model_id, dimension):
        raise ConfigInvalid(
            f"watchlist.cohort: {path} was made by model {held.model_id}, the server runs "
            f"{model_id}; make it again: cordon server cohort make FOLDER"
        )
    return _rows(path, held)


def _rows(path: Path, held: CohortFile) -> Vectors:
    try:
        flat = np.frombuffer(held.vectors, "<f4").astype(np.float32)
        rows: Vectors = flat.reshape(-1, held.dimension)
        check_templates(
            [Template(row, held.model_id) for row in rows], held.model_id, held.dimension
        )
    except (ValueError, InvalidInput) as error:
        raise ConfigInvalid(f"watchlist.cohort: {path} is damaged ({error})") from error
    if not 0 < len(rows) <= COHORT_MAX:
        raise ConfigInvalid(f"watchlist.cohort: {path} must hold 1 to {COHORT_MAX} faces")
    return rows
