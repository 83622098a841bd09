"""Unit vectors in bytes: a quarter of the memory, and what is compared first.

A coarse score ranks; it decides nothing. Scores of one probe are comparable with each other, those
of two probes are not.
"""

from __future__ import annotations

import numkong
import numpy as np
from numpy.typing import NDArray

LOWEST = np.iinfo(np.int32).min
"""Below every coarse score."""

_REACH = 5.5
"""Standard deviations of a component that a byte spans; what lies beyond is cut."""
_COLUMNS = 4
"""The product works on so many probes at once; with fewer it takes longer."""


def to_bytes(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """The same shape. Unit vectors, all on one scale."""
    largest = min(1.0, _REACH / vectors.shape[-1] ** 0.5)
    rounded = np.rint(vectors * np.float32(127 / largest))
    bytes_: NDArray[np.int8] = np.clip(rounded, -127, 127, out=rounded).astype(np.int8)
    return bytes_


def coarse_scores(rows: NDArray[np.int8], probes: NDArray[np.float32]) -> NDArray[np.int32]:
    """(probes, rows), of (rows, dimension) bytes and finite (probes, dimension) vectors."""
    columns = np.zeros((-(-len(probes) // _COLUMNS) * _COLUMNS, probes.shape[1]), np.int8)
    lengths = np.abs(probes).max(axis=1, keepdims=True).clip(np.finfo(np.float32).tiny)
    columns[: len(probes)] = np.rint(probes / lengths * np.float32(127))
    scores = np.empty((len(rows), len(columns)), np.int32)
    packed = numkong.dots_pack(columns, dtype="int8")
    numkong.dots_packed(rows, packed, out=numkong.from_dlpack(scores))
    return np.ascontiguousarray(scores.T[: len(probes)])
