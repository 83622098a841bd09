"""How like the list strangers are: the best scores of people who are somebody else.

Every entry is compared with all the others, as if it walked past, and so is every template of a
cohort where there is one. Pure; compares what is in memory and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cordon_server.gallery import Rows

PROBES_MAX = 2000
"""Entries compared with all the others: beyond that more say little more, and take minutes."""
NO_MATCH = -1.0
"""The score of who can be no match at any threshold, for another subject came too close."""
_SCORES_AT_ONCE = 2**23


@dataclass(frozen=True, slots=True)
class NonMated:
    """What a list makes of probes of people who are not who they are compared with."""

    scores: NDArray[np.float64]
    """(probes,) of the best candidate, less what its own threshold is above the deployment's; or
    NO_MATCH."""
    groups: NDArray[np.int64]
    """(probes,) probes of one number are not independent: two entries that are each other's best
    candidate have one score between them."""

    def __len__(self) -> int:
        return len(self.scores)


def non_mated(
    rows: Rows,
    *,
    threshold: float,
    margin_min: float,
    cohort: NDArray[np.float32] | None = None,
) -> NonMated:
    """The list against itself and against a cohort, (people, dimension) unit vectors of strangers.

    Empty where fewer than two are listed and no cohort is given.
    """
    subjects, at = _one_of_each(rows)
    if len(subjects) < 2:  # There is nobody else.
        subjects, at = subjects[:0], at[:0]
    probes = rows.matrix[at]
    if cohort is not None and len(rows):
        probes = np.concatenate([probes, cohort])
        subjects = np.concatenate([subjects, np.full(len(cohort), -1, subjects.dtype)])
    above, leads = _above(rows, threshold), _leads(rows, margin_min)
    scores = np.empty(len(probes))
    best = np.empty(len(probes), np.int64)
    step = max(1, _SCORES_AT_ONCE // max(1, len(rows)))
    for start in range(0, len(probes), step):
        some = slice(start, start + step)
        best[some], scores[some] = _best(rows, probes[some], subjects[some], leads)
        scores[some] -= above[best[some]]
    return NonMated(np.maximum(scores, NO_MATCH), _groups(subjects, best))


def _one_of_each(rows: Rows) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """(subject, row of its first reference) of up to PROBES_MAX subjects, spread over the list."""
    subjects, first = np.unique(rows.subject_of, return_index=True)
    if len(subjects) > PROBES_MAX:
        chosen = np.linspace(0, len(subjects) - 1, PROBES_MAX).round().astype(np.intp)
        subjects, first = subjects[chosen], first[chosen]
    return subjects, first


def _above(rows: Rows, threshold: float) -> NDArray[np.float64]:
    """(subjects,) what each one's own threshold is above the deployment's."""
    return np.array(
        [
            0.0 if each is None or each.threshold is None else each.threshold - threshold
            for each in rows.subjects
        ]
    )


def _leads(rows: Rows, margin_min: float) -> NDArray[np.float64]:
    """(subjects,) the least lead of a match on each one, by the rule and by its own."""
    return np.array(
        [margin_min if each is None else max(margin_min, each.margin_min) for each in rows.subjects]
    )


def _best(
    rows: Rows,
    probes: NDArray[np.float32],
    subjects: NDArray[np.int32],
    leads: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The subject of the best reference of anybody else, and its score; -inf without the lead."""
    scores = probes @ rows.matrix.T
    scores[subjects[:, None] == rows.subject_of[None, :]] = -np.inf
    top = scores.argmax(axis=1)
    best, found = rows.subject_of[top], scores[np.arange(len(probes)), top]
    scores[best[:, None] == rows.subject_of[None, :]] = -np.inf
    return best, np.where(found - scores.max(axis=1) >= leads[best], found, -np.inf)


def _groups(subjects: NDArray[np.int32], best: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each probe, shared by two entries that are each other's best candidate."""
    at = {int(subject): position for position, subject in enumerate(subjects) if subject >= 0}
    return np.array(
        [
            min(position, other)
            if subject >= 0
            and (other := at.get(int(found), position)) != position
            and best[other] == subject
            else position
            for position, (subject, found) in enumerate(zip(subjects, best, strict=True))
        ],
        np.int64,
    )
