"""Search in two steps, for lists that are too long to compare with whole.

The references of a subject form a group, known by its mean. The first step proposes the groups
whose means are nearest; the second compares their references exactly. A stranger's best subject is
found more often by means than by single pictures, and there are a tenth as many. What is proposed
is looked up in the snapshot by serial, so that a removed reference is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cordon_server.gallery.exact import ExactTier, Hits, joined
from cordon_server.gallery.rows import Rows

GROUPS_PROPOSED = 128
"""So many that two subjects are among them, and a stranger's best as a rule; with half as many,
by the graph, twice as many decisions differ from the exact tier's."""
GROUP_MAX = 16
"""References in a group; who has more is in several."""
_STRAND = 16
PROBES_AT_ONCE = 16
"""With groups of ten the references compared are 10 MB."""


class Proposer(Protocol):
    """Finds groups by their means; may miss some."""

    def nearest(self, probes: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """(n, count) numbers of groups in any order; -1 where there are fewer."""
        ...

    @property
    def memory_bytes(self) -> int: ...


BuildProposer = Callable[[NDArray[np.float32], Callable[[], bool]], Proposer | None]
"""From (groups, dimension) means; None when the second argument says it is not wanted any more."""


class ProductProposer:
    """The nearest means by a matrix product: none is missed."""

    def __init__(self, means: NDArray[np.float32]) -> None:
        self._means = means

    @property
    def memory_bytes(self) -> int:
        return self._means.nbytes

    def nearest(self, probes: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        # This way round: the library is twice as slow the other way.
        scores = self._means @ probes.T
        if len(scores) <= count:
            found = np.full((len(probes), count), -1, np.int64)
            found[:, : len(scores)] = np.arange(len(scores))
            return found
        return _highest(scores, count)


def _highest(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """(n, count) rows of the highest of (rows, n) scores, of which there are more than `count`.

    The `count` highest lie in the `count` strands with the highest maxima; to look only there takes
    a quarter of the time.
    """
    length = len(scores) // _STRAND
    if length <= count:
        return np.argpartition(scores.T, -count, axis=1)[:, -count:]
    even = scores[: length * _STRAND].reshape(_STRAND, length, -1)
    maxima = even.max(axis=0).T
    strands = np.argpartition(maxima, -count, axis=1)[:, -count:]
    rows = (strands[:, None, :] + (np.arange(_STRAND) * length)[:, None]).reshape(len(strands), -1)
    rest = np.arange(length * _STRAND, len(scores))
    rows = np.concatenate([rows, np.broadcast_to(rest, (len(rows), len(rest)))], axis=1)
    probe = np.arange(len(rows))[:, None]
    best = np.argpartition(scores[rows, probe], -count, axis=1)[:, -count:]
    highest: NDArray[np.int64] = rows[probe, best]
    return highest


class GroupTier:
    """Knows the references of one snapshot by serial; compares exactly with any younger ones.

    Never changed. Any number of threads may search it, with any later snapshot.
    """

    def __init__(
        self, proposer: Proposer, members: NDArray[np.int64], serial_end: int, exact: ExactTier
    ) -> None:
        self._proposer = proposer
        self._members = members
        """(groups, references of the largest) serials; -1 where a group is smaller."""
        self._exact = exact
        self._count = int((members >= 0).sum())
        self._located: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self.serial_end = serial_end
        """Younger references have this serial or a higher one."""

    def __len__(self) -> int:
        """How many references it knows, removed ones among them."""
        return self._count

    @property
    def memory_bytes(self) -> int:
        """What it takes beside the rows themselves."""
        return self._proposer.memory_bytes + 2 * self._members.nbytes

    def search(self, rows: Rows, probes: NDArray[np.float32]) -> Hits:
        """The best of `rows` for (n, dimension) probes; exact where the proposals cannot tell who
        comes second."""
        blocks = range(0, max(1, len(probes)), PROBES_AT_ONCE)
        return joined([self._search(rows, probes[at : at + PROBES_AT_ONCE]) for at in blocks])

    def _search(self, rows: Rows, probes: NDArray[np.float32]) -> Hits:
        hits = self._compare(rows, probes)
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

    def _compare(self, rows: Rows, probes: NDArray[np.float32]) -> Hits:
        """The best among the references of the proposed groups."""
        groups = np.full((len(probes), GROUPS_PROPOSED), -1, np.int64)
        is_number = np.isfinite(probes).all(axis=1)
        if is_number.any():
            groups[is_number] = self._proposer.nearest(probes[is_number], GROUPS_PROPOSED)
        at = self._locate(rows)[groups]
        at[groups < 0] = -1
        scores = np.matmul(rows.matrix[at.reshape(len(probes), -1)], probes[:, :, None])
        scores = np.where(at >= 0, scores.reshape(at.shape), np.float32(-np.inf))
        slots, heights = scores.argmax(axis=2), scores.max(axis=2)
        probe, best = np.arange(len(probes)), heights.argmax(axis=1)
        # A subject leaves with all references, so the first speaks for its group.
        subjects = rows.subject_of[at[:, :, 0]]
        is_same = subjects == subjects[probe, best][:, None]
        others = np.where(is_same, np.float32(-np.inf), heights).max(axis=1)
        return Hits(at[probe, best, slots[probe, best]], heights[probe, best], others)

    def _locate(self, rows: Rows) -> NDArray[np.int64]:
        """The members' rows in this snapshot, -1 for the removed; reckoned once a snapshot.

        Keeps the snapshot's serials to know it by, not the snapshot: that holds templates which
        the next one may no longer hold.
        """
        located = self._located
        if located is None or located[0] is not rows.serials:
            at, is_here = rows.rows_of(self._members)
            located = self._located = (rows.serials, np.where(is_here, at, -1))
        return located[1]


def build_groups(
    rows: Rows, exact: ExactTier, build: BuildProposer, is_wanted: Callable[[], bool]
) -> GroupTier | None:
    """Groups a snapshot; None as soon as it is not wanted any more."""
    groups = _groups(rows.subject_of)
    proposer = build(_means(rows.matrix, groups), is_wanted)
    if proposer is None:
        return None
    members = np.where(groups >= 0, rows.serials[groups], -1)
    return GroupTier(proposer, members, int(rows.serials[-1]) + 1, exact)


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
    """(groups, dimension), of unit length."""
    sums = np.zeros((len(groups), matrix.shape[1]), np.float32)
    for slot in groups.T:
        sums += np.where((slot >= 0)[:, None], matrix[slot], np.float32(0))
    # Opposite references may cancel out; their group is near nothing.
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-6))
    means: NDArray[np.float32] = sums / lengths
    return means


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
