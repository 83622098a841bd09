"""What a check of a list of real faces finds: people planted twice, and nobody else's business."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cordon_server.authority.watchlist_likeness import NO_COHORT
from cordon_server.authority.watchlist_lint import Finding, FindingKind, findings
from cordon_server.authority.watchlist_records import EntryRecord, ReferenceRecord
from cordon_server.authority.watchlist_rules import ListRules
from tests.bench.accuracy import shipped_models
from tests.bench.look_alikes import Vectors, pictures_of_lfw, templates
from tests.unit.server.rooms import ENTRY_RULES, NOON, QUALITY

TWICE, ONCE = 40, 60
"""People listed under two references, and under one."""
TWINS = ("Ann_Landers", "Pauline_Phillips")
"""Two who are."""


@cache
def faces() -> tuple[list[str], Vectors]:
    """Entry names and a template each: `name` and `name-again` are one person."""
    people = pictures_of_lfw()
    twins = [pictures for pictures in people if pictures[0].parent.name in TWINS]
    twice = [pictures for pictures in people if len(pictures) > 1][:TWICE]
    once = [pictures for pictures in people if len(pictures) == 1][:ONCE]
    chosen = [*([first] for first, *_ in twice), *([second] for _, second, *_ in twice), *once]
    names = [pictures[0].parent.name for pictures in twice]
    names += [f"{name}-again" for name in names]
    names += [pictures[0].parent.name for pictures in once]
    for pictures in twins:
        if pictures[0].parent.name not in names:
            chosen.append(pictures[:1])
            names.append(pictures[0].parent.name)
    found = templates(chosen, slice(0, 1))
    return [names[subject] for subject in found.subjects], found.vectors


@cache
def found() -> tuple[Finding, ...]:
    names, vectors = faces()
    rules = ListRules(
        threshold=shipped_models().pack.score_threshold,
        duplicate_score=0.8,
        entries_max=999,
        references_per_entry_max=9,
        entry=ENTRY_RULES,
    )
    listed = {
        name: (
            EntryRecord(name, "wanted", NOON),
            [ReferenceRecord(name, "r", name, QUALITY, NOON, "m", vector.tobytes())],
        )
        for name, vector in zip(names, vectors, strict=True)
    }
    return tuple(findings(listed, NO_COHORT, rules, NOON))


def person(entry_id: str) -> str:
    return entry_id.removesuffix("-again")


@pytest.mark.slow
@pytest.mark.serves("R5", "R6")
def test_people_listed_twice_are_found_and_few_others_are() -> None:
    names, _ = faces()
    planted = sum(f"{name}-again" in names for name in names)
    told = [one for one in found() if one.kind in (FindingKind.SAME_FACE, FindingKind.SAME_PERSON)]

    right = sum(person(one.entry_id) == person(one.other_entry_id) for one in told)

    recall, precision = right / planted, right / len(told)
    pairs = len(names) * (len(names) - 1) // 2
    print(f"{planted} listed twice among {pairs} pairs: recall {recall:.1%}, {precision=:.1%}")
    assert recall >= 0.88
    assert precision >= 0.9


@pytest.mark.slow
@pytest.mark.serves("R6")
def test_twins_are_told_and_no_two_are_told_twice() -> None:
    pairs = [frozenset((one.entry_id, one.other_entry_id)) for one in found() if one.other_entry_id]

    assert frozenset(TWINS) in pairs
    assert len(pairs) == len(set(pairs))
    assert np.isfinite([one.score for one in found()]).all()
