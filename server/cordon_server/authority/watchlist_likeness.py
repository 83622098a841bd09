"""Who on a list looks like whom, and who comes near strangers: every face against every other.

What follows from it was measured on LFW with the built-in models (`python -m
tests.bench.look_alikes`): 1,172 people listed with one picture each at a threshold of 0.45, probed
with 1,044 other pictures, and with the same ones made small and blurred:

                                              good probes       poor probes
                                             right   wrong     right   wrong
    nobody knows of look-alikes              95.3 %      1     80.6 %      7
    entries with one: margin 0.08            92.8 %      1     77.0 %      5
    entries with one: threshold + 0.03       93.2 %      1     77.0 %      6
    entries with one: threshold + 0.05       92.8 %      1     73.0 %      6

Right: of the probes of people with a look-alike. The numbers of wrong matches are small and say no
more than which way it goes. Against an unlisted double no margin helps, for nobody else is near: of
361 probes of people who score 0.40 or more with somebody, and were left off the list, 20 match him,
with a threshold 0.03 higher 6, 0.05 higher 3. So a look-alike on the list raises the margin, and an
entry that strangers come near raises the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cordon_server.gallery import Reference

LOOK_ALIKE_BELOW = 0.05
"""Two entries look alike from so far below the threshold on. 27 % of 1,172 people have one."""
LOOK_ALIKE_MARGIN = 0.08
"""Least lead over the next subject of an entry with a look-alike."""
LOOK_ALIKES_MAX = 5
"""Of one entry, the nearest; more than a person will look at."""
SAME_PERSON_ABOVE = 0.05
"""Two entries are most probably one person from so far above the threshold on: at 0.50 95 % of
pictures of one person are, and 5 of 690,900 pairs of two (twins, sisters and one person with two
spellings among them)."""
ODD_BELOW = 0.15
"""A picture is odd whose best score with the entry's others is so far below the threshold: 1 % of
pictures of one person are, 99 % of pictures of two."""
NEAR_BELOW = 0.09
"""A stranger comes near an entry from so far below the threshold on."""
HUB_TIMES = 3.0
HUB_COUNT_MIN = 2
"""A hub has so many times as many strangers near as the entries have on average, and so many at
least. On LFW 7 % of entries with 300 strangers; others match them 1.7 times as often."""
HUB_RAISE = 0.03
"""By this a hub's threshold is raised."""

PAIRS_MAX = 200_000
"""Pairs that are remembered, the first; a list with more is one face many times."""
_ROWS_AT_ONCE = 512

Vectors = NDArray[np.float32]
"""(faces, dimension), rows of unit norm."""
NO_COHORT: Vectors = np.empty((0, 0), np.float32)
"""The site gives no strangers to compare with."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two references of different entries and their score."""

    first: Reference
    second: Reference
    score: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """What faces say of one entry."""

    look_alikes: tuple[str, ...] = ()
    """Entries that look like it, the nearest first."""
    near: int = 0
    """Strangers that come near it."""
    is_hub: bool = False


class Faces:
    """The references of a list, to be compared with each other."""

    def __init__(self, references: Iterable[Reference]) -> None:
        self.references = sorted(references, key=lambda each: each.entry_id)
        self.entries = list(dict.fromkeys(each.entry_id for each in self.references))
        position = {entry_id: number for number, entry_id in enumerate(self.entries)}
        self.matrix: Vectors = _stacked([each.template.vector for each in self.references])
        self.entry_of = np.array([position[each.entry_id] for each in self.references], np.intp)
        self._starts = np.searchsorted(self.entry_of, np.arange(len(self.entries)))
        """The first row of each entry; its rows follow each other."""

    def close_pairs(self, score_min: float) -> list[Pair]:
        """For any two entries the nearest two references, where their score is high enough; the
        highest first."""
        best: dict[tuple[int, int], tuple[float, int, int]] = {}
        for row, column, score in self._at_least(score_min):
            a, b = int(self.entry_of[row]), int(self.entry_of[column])
            pair = (a, b) if a < b else (b, a)
            if pair not in best or score > best[pair][0]:
                best[pair] = score, row, column
        found = sorted(best.values(), key=lambda each: -each[0])
        return [Pair(self.references[a], self.references[b], score) for score, a, b in found]

    def near_counts(self, strangers: Vectors, score_min: float) -> NDArray[np.intp]:
        """How many of the strangers, (m, dimension), come near each entry."""
        counts = np.zeros(len(self.entries), np.intp)
        for start in range(0, len(strangers) if len(self.matrix) else 0, _ROWS_AT_ONCE):
            scores = strangers[start : start + _ROWS_AT_ONCE] @ self.matrix.T
            # Few are near: their places are faster than the best of every entry.
            rows, columns = np.divmod(np.flatnonzero(scores >= score_min), len(self.matrix))
            once = np.unique(rows * len(counts) + self.entry_of[columns])
            counts += np.bincount(once % len(counts), minlength=len(counts))
        return counts

    def near_each_other(self, score_min: float) -> NDArray[np.intp]:
        """How many faces of other entries come near each entry."""
        own = np.bincount(self.entry_of, minlength=len(self.entries))
        return self.near_counts(self.matrix, score_min) - own

    def odd(self, score_max: float) -> Iterator[tuple[Reference, float]]:
        """References whose best score with the others of their entry stays below."""
        for rows in np.split(np.arange(len(self.matrix)), self._starts[1:]):
            if len(rows) < 2:
                continue
            scores = self.matrix[rows] @ self.matrix[rows].T
            np.fill_diagonal(scores, -np.inf)
            for row, score in zip(rows, scores.max(axis=1), strict=True):
                if score < score_max:
                    yield self.references[int(row)], float(score)

    def _at_least(self, score_min: float) -> Iterator[tuple[int, int, float]]:
        """Rows of different entries, each pair once, by blocks of the upper triangle."""
        told = 0
        for start in range(0, len(self.matrix), _ROWS_AT_ONCE):
            block = self.matrix[start : start + _ROWS_AT_ONCE] @ self.matrix[start:].T
            rows, columns = np.divmod(np.flatnonzero(block >= score_min), block.shape[1])
            is_pair = columns > rows
            rows, columns = rows[is_pair], columns[is_pair]
            is_other = self.entry_of[rows + start] != self.entry_of[columns + start]
            for row, column in zip(rows[is_other], columns[is_other], strict=True):
                yield int(row) + start, int(column) + start, float(block[row, column])
                told += 1
                if told >= PAIRS_MAX:
                    return


def likenesses(faces: Faces, cohort: Vectors, threshold: float) -> dict[str, Likeness]:
    """What faces say of each entry of which they say anything.

    Without a cohort the list itself serves: its entries are strangers to each
    other.
    """
    alike: dict[str, list[str]] = {}
    for pair in faces.close_pairs(threshold - LOOK_ALIKE_BELOW):
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            alike.setdefault(one.entry_id, []).append(other.entry_id)
    found = {
        entry_id: Likeness(tuple(alike.get(entry_id, ())[:LOOK_ALIKES_MAX]), count, is_hub)
        for entry_id, count, is_hub in strangers_near(faces, cohort, threshold)
    }
    return {name: each for name, each in found.items() if each.look_alikes or each.near}


def strangers_near(
    faces: Faces, cohort: Vectors, threshold: float
) -> Iterator[tuple[str, int, bool]]:
    """Each entry with how many strangers come near it, and whether that makes it a hub."""
    near = _near(faces, cohort, threshold - NEAR_BELOW)
    hubs = near >= max(HUB_COUNT_MIN, HUB_TIMES * float(near.mean()) if len(near) else 0.0)
    for entry_id, count, is_hub in zip(faces.entries, near, hubs, strict=True):
        yield entry_id, int(count), bool(is_hub)


def known_apart(
    references: Sequence[Reference], cohort: Vectors, threshold: float
) -> list[Reference]:
    """The references with what they ask of a match: look-alikes a greater margin, hubs a higher
    threshold. `threshold` is the deployment's."""
    found = likenesses(Faces(references), cohort, threshold)
    return [
        _apart(each, found[each.entry_id], threshold) if each.entry_id in found else each
        for each in references
    ]


def _apart(reference: Reference, likeness: Likeness, threshold: float) -> Reference:
    own = reference.threshold
    if likeness.is_hub:
        own = max(own if own is not None else threshold, threshold) + HUB_RAISE
    return replace(
        reference,
        threshold=own,
        margin_min=LOOK_ALIKE_MARGIN if likeness.look_alikes else 0.0,
        look_alikes=likeness.look_alikes,
    )


def _near(faces: Faces, cohort: Vectors, score_min: float) -> NDArray[np.intp]:
    if len(cohort):
        return faces.near_counts(cohort, score_min)
    return faces.near_each_other(score_min)


def _stacked(vectors: Iterable[NDArray[np.float32]]) -> Vectors:
    rows = list(vectors)
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)
