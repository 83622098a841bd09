"""Search in steps, for lists that are too long to compare with whole.

The references of a subject form a group, known by its mean. The first step proposes the groups
whose means are nearest; of those the second keeps the ones with the nearest references, in bytes;
the third compares the references of these exactly. A stranger's best subject is found more often by
means than by single pictures, and there are a tenth as many. What is proposed is looked up in the
snapshot by serial, so that a removed reference is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cordon_server.gallery.coarse import LOWEST, coarse_scores, to_bytes
from cordon_server.gallery.exact import ExactTier, Hits
from cordon_server.gallery.rows import Rows

GROUPS_PROPOSED = 256
"""Of 20,000 subjects with ten pictures each, the means of so many miss 0.4 in a thousand decisions
of an exact search; of half as many 1.1, however well they are found."""
GROUPS_KEPT = 24
"""So many that two subjects are among them, and whatever bytes rank too low."""
GROUP_MAX = 16
"""References in a group; who has more is in several."""
_STRANDS = 8
PROBES_AT_ONCE = 8
"""With 20,000 groups less than 1 MB of scores."""


class Proposer(Protocol):
    """Finds groups by their means; may miss some."""

    def nearest(self, probes: NDArray[np.float32], count: int) -> list[NDArray[np.int64]]:
        """For each probe about `count` numbers of groups, in any order."""
        ...

    @property
    def memory_bytes(self) -> int: ...


BuildProposer = Callable[[NDArray[np.float32], Callable[[], bool]], Proposer | None]
"""From (groups, dimension) means; None when the second argument says it is not wanted any more."""


class ProductProposer:
    """The nearest means by a product in bytes: none is missed but what bytes rank too low."""

    def __init__(self, means: NDArray[np.float32]) -> None:
        self._means = to_bytes(means)

    @property
    def memory_bytes(self) -> int:
        return self._means.nbytes

    def nearest(self, probes: NDArray[np.float32], count: int) -> list[NDArray[np.int64]]:
        return [_highest(scores, count) for scores in coarse_scores(self._means, probes)]


def _highest(scores: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Where the `count` highest are, and a few more.

    The level that `count` of many strands reach is found in a fifth of the time that it takes to
    choose the highest.
    """
    length = len(scores) // _STRANDS
    if length <= count:
        return np.argsort(scores)[-count:]
    tops = scores[: length * _STRANDS].reshape(_STRANDS, length).max(axis=0)
    return np.flatnonzero(scores >= np.partition(tops, -count)[-count])


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
        """The best among the references of the proposed groups; NaN for what is no number."""
        count = len(probes)
        hits = Hits(
            np.zeros(count, np.intp),
            np.full(count, np.nan, np.float32),
            np.full(count, -np.inf, np.float32),
        )
        located = self._locate(rows)
        numbers = np.flatnonzero(np.isfinite(probes).all(axis=1))
        for start in range(0, len(numbers), PROBES_AT_ONCE):
            some = numbers[start : start + PROBES_AT_ONCE]
            proposed = self._proposer.nearest(probes[some], GROUPS_PROPOSED)
            for i, groups in zip(some, proposed, strict=True):
                best = _best(rows, probes[i], located[groups])
                hits.rows[i], hits.scores[i], hits.others[i] = best
        return hits

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


def _best(
    rows: Rows, probe: NDArray[np.float32], at: NDArray[np.int64]
) -> tuple[int, float, float]:
    """The best row, its score and that of the best other subject, among (groups, members) rows."""
    # Taken by row, not by group, and -1 as 0: an index of two dimensions takes twice as long.
    if len(at) > GROUPS_KEPT:
        (coarse,) = coarse_scores(rows.coarse.take(at.ravel(), axis=0, mode="clip"), probe[None])
        heights = np.where(at >= 0, coarse.reshape(at.shape), LOWEST).max(axis=1)
        at = at[np.argpartition(heights, -GROUPS_KEPT)[-GROUPS_KEPT:]]
    scores = rows.matrix.take(at.ravel(), axis=0, mode="clip") @ probe
    scores = np.where(at >= 0, scores.reshape(at.shape), np.float32(-np.inf))
    group, slot = np.unravel_index(scores.argmax(), scores.shape)
    # A subject leaves with all references, so the first speaks for its group.
    subjects = rows.subject_of[at[:, 0]]
    others = scores[subjects != subjects[group]].max(initial=-np.inf)
    return int(at[group, slot]), float(scores[group, slot]), float(others)


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
