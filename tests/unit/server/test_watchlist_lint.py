"""What a check of a list finds, each thing planted alone; and how two lists differ."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import msgspec
import numpy as np
import pytest

from cordon_server.authority.watchlist_difference import (
    Difference,
    DifferenceKind,
    differences,
    differences_since,
)
from cordon_server.authority.watchlist_likeness import NO_COHORT
from cordon_server.authority.watchlist_lint import SEVERITY, FindingKind, Listed, findings
from cordon_server.authority.watchlist_records import (
    AgeGroup,
    Approval,
    EntryRecord,
    Override,
    ReferenceRecord,
)
from cordon_server.authority.watchlist_rules import (
    CategoryRule,
    EntryRules,
    ListRules,
    Needed,
)
from cordon_server.domain import ReasonCode
from tests.unit.server.rooms import MODEL, NOON, QUALITY, SECOND, facing

RULES = ListRules(
    threshold=0.5,
    duplicate_score=0.8,
    entries_max=99,
    references_per_entry_max=9,
    entry=EntryRules({"wanted": CategoryRule(minors=True)}, image_age_max=timedelta(days=100)),
)
"""In degrees: below 37 one face, below 57 one person, below 63 a look-alike, above 69 odd."""


def an_entry(
    name: str, *degrees: float, **said: object
) -> tuple[EntryRecord, list[ReferenceRecord]]:
    entry = EntryRecord(name, "wanted", NOON)
    references = [
        ReferenceRecord(
            name, f"{at:g}", f"{at:g}", QUALITY, NOON, MODEL, facing(at).vector.tobytes()
        )
        for at in degrees
    ]
    return msgspec.structs.replace(entry, **said), references


def a_list(*entries: tuple[EntryRecord, list[ReferenceRecord]]) -> Listed:
    return {entry.entry_id: (entry, references) for entry, references in entries}


def found(listed: Listed, rules: ListRules = RULES) -> list[tuple[str, str, str]]:
    """Kind, entry and the other entry, or the code."""
    return [
        (one.kind.name, one.entry_id, one.other_entry_id or (one.code.name if one.code else ""))
        for one in findings(listed, NO_COHORT, rules, NOON)
    ]


def test_a_list_with_nothing_to_look_at_finds_nothing() -> None:
    assert found(a_list(an_entry("a", 0, 5), an_entry("b", 90), an_entry("c", 180))) == []
    assert found({}) == []


@pytest.mark.serves("R5", "R6")
@pytest.mark.parametrize(
    ("degrees", "kind"), [(30, "SAME_FACE"), (50, "SAME_PERSON"), (60, "LOOK_ALIKE")]
)
def test_two_entries_that_are_near_each_other_are_told(degrees: float, kind: str) -> None:
    listed = a_list(an_entry("a", 0, 350), an_entry("b", degrees, degrees + 10))

    assert found(listed) == [(kind, "a", "b")]


def test_a_picture_of_somebody_else_in_an_entry_is_odd() -> None:
    (one,) = findings(a_list(an_entry("a", 0, 5, 100)), NO_COHORT, RULES, NOON)

    assert (one.kind, one.reference_id) == (FindingKind.ODD_REFERENCE, "100")


@pytest.mark.serves("R17")
def test_who_is_near_strangers_is_a_hub() -> None:
    listed = a_list(*(an_entry(f"e{n}", n * 90) for n in range(4)))
    cohort = np.stack([facing(at).vector for at in (-62, -64, 62, 64, 300)])

    hubs = [
        (one.entry_id, one.score)
        for one in findings(listed, cohort, RULES, NOON)
        if one.kind is FindingKind.HUB
    ]

    assert hubs == []  # Each of the four has strangers near: none has more than the others.
    near_one = np.stack([facing(at).vector for at in (-44, -43, -42)] * 3)
    lonely = a_list(an_entry("e0", 0), *(an_entry(f"e{n}", 180 + n / 9) for n in range(1, 9)))
    (hub,) = [one for one in findings(lonely, near_one, RULES, NOON) if one.kind is FindingKind.HUB]
    assert (hub.entry_id, hub.score) == ("e0", 9.0)


OVERRIDDEN = Override((ReasonCode.BLURRED,), "the only one", Approval(SECOND, NOON))
OF_ENTRIES = {
    "EXPIRED": an_entry("a", 0, expire_time=NOON),
    "WAITING": an_entry("a", 0, age_group=AgeGroup.MINOR, rationale="why"),
    "MINOR": an_entry(
        "a", 0, age_group=AgeGroup.MINOR, rationale="why", approval=Approval(SECOND, NOON)
    ),
}


@pytest.mark.serves("R5", "R18")
@pytest.mark.parametrize("kind", OF_ENTRIES)
def test_what_is_the_matter_with_an_entry_is_told(kind: str) -> None:
    kinds = [one for one, _, _ in found(a_list(OF_ENTRIES[kind]))]

    assert kind in kinds
    assert set(kinds) <= {kind, "MINOR"}


@pytest.mark.serves("R23")
def test_an_override_is_told_and_waits_until_it_is_approved() -> None:
    entry, (reference,) = an_entry("a", 0)
    approved = msgspec.structs.replace(reference, override=OVERRIDDEN)
    asked = msgspec.structs.replace(
        reference, override=msgspec.structs.replace(OVERRIDDEN, approval=None)
    )

    assert found(a_list((entry, [approved]))) == [("OVERRIDDEN", "a", "")]
    assert found(a_list((entry, [asked]))) == [("WAITING", "a", "")]


@pytest.mark.serves("R5", "R18", "R26")
def test_what_the_policy_of_today_would_refuse_is_told_by_its_code() -> None:
    entry, (reference,) = an_entry("a", 0)
    stale = msgspec.structs.replace(reference, captured_on=NOON.date() - timedelta(days=101))
    strict = replace(RULES, entry=replace(RULES.entry, needed=frozenset(Needed)))

    assert found(a_list((entry, [stale]))) == [("RULE_BROKEN", "a", "IMAGE_STALE")]
    assert {code for _, _, code in found(a_list((entry, [reference])), strict)} == {
        "SOURCE_MISSING",
        "REQUESTER_MISSING",
        "BIRTH_MISSING",
        "RATIONALE_MISSING",
        "IMAGE_DATE_MISSING",
    }


def test_what_matters_most_comes_first() -> None:
    listed = a_list(
        an_entry("x", 0, age_group=AgeGroup.MINOR, rationale="why"),
        an_entry("y", 10),
        an_entry("z", 130, 250),
    )

    kinds = [one.kind for one in findings(listed, NO_COHORT, RULES, NOON)]

    ranks = [list(reversed(list(type(SEVERITY[kind])))).index(SEVERITY[kind]) for kind in kinds]
    assert ranks == sorted(ranks)
    assert kinds[0] is FindingKind.SAME_FACE


# Differences.


@pytest.mark.serves("R5")
def test_a_difference_names_who_came_who_went_and_what_changed() -> None:
    before = a_list(an_entry("a", 0), an_entry("b", 90), an_entry("c", 180), an_entry("d", 270))
    after = a_list(
        an_entry("a", 0, create_time=NOON + timedelta(days=1)),
        an_entry("c", 180, 185, rationale="another", birth_date=date(1990, 1, 1)),
        an_entry("d", 270, category="missing"),
        an_entry("e", 45),
    )

    assert list(differences(after, before)) == [
        Difference(DifferenceKind.REMOVED, "b", "wanted"),
        Difference(DifferenceKind.CHANGED, "c", "wanted", ("rationale", "birth_date", "pictures")),
        Difference(DifferenceKind.CHANGED, "d", "missing", ("category",)),
        Difference(DifferenceKind.ADDED, "e", "wanted"),
    ]
    assert list(differences(before, before)) == []


@pytest.mark.serves("R3", "R5")
def test_since_a_list_that_is_gone_the_categories_on_record_are_compared() -> None:
    before = {"a": "wanted", "b": "wanted", "d": "missing"}
    after = a_list(an_entry("a", 0), an_entry("d", 90), an_entry("e", 180))

    assert list(differences_since(after, before)) == [
        Difference(DifferenceKind.REMOVED, "b", "wanted"),
        Difference(DifferenceKind.CHANGED, "d", "wanted", ("category",)),
        Difference(DifferenceKind.ADDED, "e", "wanted"),
    ]
