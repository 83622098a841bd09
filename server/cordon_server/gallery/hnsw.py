"""Search by a graph of near neighbours (HNSW), for lists that are too long to compare with whole.

The graph only proposes: what it names is looked up in the snapshot by serial, so that a removed
reference is none, and compared again exactly. It is built from a snapshot, never changed after,
and only ever in memory: a damaged index file can crash the process that loads it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from cordon_server.gallery.exact import ExactTier, Hits
from cordon_server.gallery.rows import Rows

if TYPE_CHECKING:
    from usearch.index import Index, Matches

DTYPE = "f16"
CONNECTIVITY = 16
EXPANSION_ADD = 128
EXPANSION_SEARCH = 64

FETCHED = 32
"""References asked for. More than any one subject has, so that a second is among them."""
ADDED_AT_ONCE = 16
"""References a single call adds; the library holds the interpreter for so long, 3 ms."""


class HnswTier:
    """Knows the references of one snapshot by serial; compares exactly with any younger ones.

    Any number of threads may search it with any later snapshot.
    """

    def __init__(self, index: Index, serial_end: int, exact: ExactTier) -> None:
        self._index = index
        self._exact = exact
        self._one_at_a_time = threading.Lock()
        """Searches of one index share its scratch space: the library binds the first caller and
        the second to the same one."""
        self.serial_end = serial_end
        """Younger references have this serial or a higher one."""

    def __len__(self) -> int:
        """How many references it knows, removed ones among them."""
        return len(self._index)

    def search(self, rows: Rows, probes: NDArray[np.float32]) -> Hits:
        """The best of `rows` for (n, dimension) probes; exact where the graph cannot tell who
        comes second."""
        hits = self._propose(rows, probes)
        # A probe that is no number, or a subject alone among all that was proposed.
        unsure = ~np.isfinite(hits.scores) | np.isneginf(hits.others)
        tail = rows.since(self.serial_end)
        if tail < len(rows):
            hits = _better(rows, hits, self._exact.search(rows, probes, tail))
        if unsure.any():
            again = self._exact.search(rows, probes[unsure])
            hits.rows[unsure], hits.scores[unsure] = again.rows, again.scores
            hits.others[unsure] = again.others
        return hits

    def _propose(self, rows: Rows, probes: NDArray[np.float32]) -> Hits:
        count = len(probes)
        serials = np.full((count, FETCHED), -1, np.int64)
        is_number = np.isfinite(probes).all(axis=1)
        if is_number.any():
            serials[is_number] = self._nearest(probes[is_number])
        at, is_here = rows.rows_of(serials)
        scores = np.einsum("nd,nkd->nk", probes, rows.matrix[at])
        scores[~is_here] = -np.inf
        best = scores.argmax(axis=1)
        probe = np.arange(count)
        row, score = at[probe, best], scores[probe, best]
        is_same = rows.subject_of[at] == rows.subject_of[row][:, None]
        others = np.where(is_same, np.float32(-np.inf), scores).max(axis=1)
        return Hits(row, score, others)

    def _nearest(self, probes: NDArray[np.float32]) -> NDArray[np.int64]:
        """(n, FETCHED) serials, -1 where the graph named fewer."""
        with self._one_at_a_time:
            found = self._index.search(np.ascontiguousarray(probes), FETCHED, threads=1)
        # The library unpacks a batch of one.
        batch = [found] if len(probes) == 1 else [found[i] for i in range(len(probes))]
        serials = np.full((len(probes), FETCHED), -1, np.int64)
        for row, matches in zip(serials, cast("list[Matches]", batch), strict=True):
            row[: len(matches)] = matches.keys
        return serials


def build_index(rows: Rows, exact: ExactTier, is_wanted: Callable[[], bool]) -> HnswTier | None:
    """Indexes a snapshot, some references at a time; None as soon as it is not wanted any more."""
    index = _empty_index(rows.matrix.shape[1])
    for start in range(0, len(rows), ADDED_AT_ONCE):
        if not is_wanted():
            return None
        some = slice(start, start + ADDED_AT_ONCE)
        index.add(rows.serials[some].astype(np.uint64), rows.matrix[some], threads=1)
    return HnswTier(index, int(rows.serials[-1]) + 1, exact)


def _empty_index(dimension: int) -> Index:
    # Here, not above: most lists never need it. And in this order: usearch 2.26 carries a C++
    # runtime of its own, and onnxruntime crashes the process when it is loaded after that.
    import onnxruntime  # noqa: F401  # for the order alone
    from usearch.index import Index

    return Index(
        ndim=dimension,
        metric="ip",
        dtype=DTYPE,
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
    )


def _better(rows: Rows, one: Hits, two: Hits) -> Hits:
    """The best of both, and the best other subject of both."""
    first = one.scores >= two.scores
    row = np.where(first, one.rows, two.rows)
    loser_row = np.where(first, two.rows, one.rows)
    loser = np.where(first, two.scores, one.scores)
    is_same = rows.subject_of[row] == rows.subject_of[loser_row]
    loser = np.where(is_same, np.float32(-np.inf), loser)
    others = np.maximum(np.maximum(one.others, two.others), loser)
    return Hits(row, np.maximum(one.scores, two.scores), others)
