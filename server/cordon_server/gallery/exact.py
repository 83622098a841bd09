"""Exact search: every probe against every reference, by matrix products of bounded size.

What is found is what brute force finds. The cost grows with the list: see `CROSSOVER` in
`gallery.py` for what it is and when something else takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cordon_server.gallery.rows import Rows

ROWS_AT_ONCE = 8192
PROBES_AT_ONCE = 64
"""Together: no more than 2 MB of scores at a time, whatever the list and the batch."""


@dataclass(frozen=True, slots=True)
class Hits:
    """The best reference for each of n probes."""

    rows: NDArray[np.intp]
    """(n,) in the snapshot that was searched."""
    scores: NDArray[np.float32]
    """(n,)"""
    others: NDArray[np.float32]
    """(n,) score of the best reference of any other subject; -inf where there is none."""


class ExactTier:
    """Compares with every row of a snapshot; of a snapshot from row `start` on, with those."""

    def search(self, rows: Rows, probes: NDArray[np.float32], start: int = 0) -> Hits:
        """The best of `rows`, of which there is at least one, for (n, dimension) probes."""
        blocks = range(0, max(1, len(probes)), PROBES_AT_ONCE)
        parts = [_search(rows, probes[at : at + PROBES_AT_ONCE], start) for at in blocks]
        return joined(parts)


def joined(parts: list[Hits]) -> Hits:
    """One after the other."""
    return Hits(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.others for part in parts]),
    )


def _search(rows: Rows, probes: NDArray[np.float32], start: int) -> Hits:
    """One batch. Of every chunk of rows only the winner is kept: the best other subject of a chunk
    is its winner, unless that is the best subject itself; only then is the chunk looked at again.
    """
    count = len(probes)
    chunks = range(start, len(rows), ROWS_AT_ONCE)
    winners = np.empty((len(chunks), count), np.intp)
    heights = np.empty((len(chunks), count), np.float32)
    scores = np.empty((min(ROWS_AT_ONCE, len(rows) - start), count), np.float32)
    for i, first in enumerate(chunks):
        chunk = rows.matrix[first : first + ROWS_AT_ONCE]
        here = np.matmul(chunk, probes.T, out=scores[: len(chunk)])
        won = here.argmax(axis=0)
        winners[i], heights[i] = won + first, here[won, np.arange(count)]
    probe = np.arange(count)
    chosen = heights.argmax(axis=0)
    best, height = winners[chosen, probe], heights[chosen, probe]
    subjects = rows.subject_of[best]
    for i, j in np.argwhere(rows.subject_of[winners] == subjects):
        first = chunks[i]
        heights[i, j] = _best_but(rows, first, probes[j], int(subjects[j]))
    return Hits(best, height, heights.max(axis=0))


def _best_but(rows: Rows, first: int, probe: NDArray[np.float32], subject: int) -> float:
    """The best score of a chunk without one subject's rows."""
    chunk = slice(first, first + ROWS_AT_ONCE)
    scores = (rows.matrix[chunk] @ probe)[rows.subject_of[chunk] != subject]
    return float(scores.max()) if scores.size else -np.inf
