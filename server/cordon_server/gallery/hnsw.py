"""Search by a graph of near neighbours (HNSW), for lists that are too long to compare with whole.

A node of the graph is a group of one subject's references, at their mean: a tenth of the nodes
where subjects have ten pictures, and strangers' best subject is found more often than by single
pictures. The graph only proposes: the references of the groups it names are looked up in the
snapshot by serial, so that a removed one is none, and compared again exactly. It is built from a
snapshot, never changed after, and only ever in memory: a damaged index file can crash the process
that loads it.
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
"""Half of float32's memory and time for the same decisions; int8 decides worse."""
CONNECTIVITY = 32
EXPANSION_ADD = 128
EXPANSION_SEARCH = 192
"""With 128, 1.6 in a thousand decisions at 200,000 references differ from the exact tier's, with
192, 0.5 in a thousand."""

GROUPS_FETCHED = 64
"""Groups asked for: so many that two subjects are among them."""
GROUP_MAX = 16
"""References in a group; who has more is in several."""
_ADDED_AT_ONCE = 16
"""Groups a single call adds; the library holds the interpreter for so long, 3 ms."""


class HnswTier:
    """Knows the references of one snapshot by serial; compares exactly with any younger ones.

    Any number of threads may search it with any later snapshot.
    """

    def __init__(
        self, index: Index, members: NDArray[np.int64], serial_end: int, exact: ExactTier
    ) -> None:
        self._index = index
        self._members = members
        """(groups, references of the largest) serials by node; -1 where a group is smaller."""
        self._count = int((members >= 0).sum())
        self._exact = exact
        self._one_at_a_time = threading.Lock()
        """Searches of one index share its scratch space: the library binds the first caller and
        the second to the same one."""
        self.serial_end = serial_end
        """Younger references have this serial or a higher one."""

    def __len__(self) -> int:
        """How many references it knows, removed ones among them."""
        return self._count

    @property
    def memory_bytes(self) -> int:
        """What the index takes beside the rows themselves."""
        return int(self._index.memory_usage) + self._members.nbytes

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
        serials = np.full((count, GROUPS_FETCHED * self._members.shape[1]), -1, np.int64)
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
        """Serials of the nearest groups' references, a line for each probe; -1 for none."""
        with self._one_at_a_time:
            found = self._index.search(np.ascontiguousarray(probes), GROUPS_FETCHED, threads=1)
        # The library unpacks a batch of one.
        batch = [found] if len(probes) == 1 else [found[i] for i in range(len(probes))]
        serials = np.full((len(probes), GROUPS_FETCHED, self._members.shape[1]), -1, np.int64)
        for line, matches in zip(serials, cast("list[Matches]", batch), strict=True):
            line[: len(matches)] = self._members[matches.keys.astype(np.int64)]
        return serials.reshape(len(probes), -1)


def build_index(rows: Rows, exact: ExactTier, is_wanted: Callable[[], bool]) -> HnswTier | None:
    """Indexes a snapshot, some groups at a time; None as soon as it is not wanted any more."""
    index, groups = _empty_index(rows.matrix.shape[1]), _groups(rows.subject_of)
    for start in range(0, len(groups), _ADDED_AT_ONCE):
        if not is_wanted():
            return None
        some = groups[start : start + _ADDED_AT_ONCE]
        nodes = np.arange(start, start + len(some), dtype=np.uint64)
        index.add(nodes, _means(rows.matrix, some), threads=1)
    members = np.where(groups >= 0, rows.serials[groups], -1)
    return HnswTier(index, members, int(rows.serials[-1]) + 1, exact)


def _groups(subject_of: NDArray[np.int32]) -> NDArray[np.int64]:
    """(groups, references of the largest) rows, each of one subject; -1 where fewer."""
    order = np.argsort(subject_of, kind="stable")
    subjects = subject_of[order]
    place = np.arange(len(order))
    is_first = np.concatenate([[True], subjects[1:] != subjects[:-1]])
    nth = place - np.maximum.accumulate(np.where(is_first, place, 0))
    slot = nth % GROUP_MAX
    group = np.cumsum(slot == 0) - 1
    rows = np.full((int(group[-1]) + 1, int(slot.max()) + 1), -1, np.int64)
    rows[group, slot] = order
    return rows


def _means(matrix: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float32]:
    sums = (matrix[groups] * (groups >= 0)[:, :, None]).sum(axis=1)
    # Opposite references may cancel out; they are found near nothing, and compared exactly.
    means: NDArray[np.float32] = sums / np.maximum(
        np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-6)
    )
    return means


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
