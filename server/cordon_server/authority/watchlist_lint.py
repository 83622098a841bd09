"""What a person should look at before a list is used: doubles, look-alikes, hubs, broken rules.

Pure: works on a list that was read, and judges it by the rules as they are today.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cordon_server.authority import watchlist_tables as tables
from cordon_server.authority.watchlist_likeness import (
    LOOK_ALIKE_BELOW,
    LOOK_ALIKE_MARGIN,
    ODD_BELOW,
    SAME_PERSON_ABOVE,
    Faces,
    Pair,
    Vectors,
    strangers_near,
)
from cordon_server.authority.watchlist_records import AgeGroup, EntryRecord, ReferenceRecord
from cordon_server.authority.watchlist_rules import (
    Application,
    ListRules,
    Particulars,
    check_application,
)
from cordon_server.domain import NotListable, ReasonCode

Listed = Mapping[str, tuple[EntryRecord, list[ReferenceRecord]]]
"""Every entry with its references, by name."""


class FindingKind(StrEnum):
    """What was found."""

    SAME_FACE = "same_face"
    SAME_PERSON = "same_person"
    LOOK_ALIKE = "look_alike"
    ODD_REFERENCE = "odd_reference"
    HUB = "hub"
    RULE_BROKEN = "rule_broken"
    EXPIRED = "expired"
    WAITING = "waiting"
    MINOR = "minor"
    OVERRIDDEN = "overridden"


class Severity(StrEnum):
    """How much it matters."""

    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"


SEVERITY: dict[FindingKind, Severity] = {
    FindingKind.SAME_FACE: Severity.ERROR,
    FindingKind.SAME_PERSON: Severity.WARNING,
    FindingKind.LOOK_ALIKE: Severity.NOTICE,
    FindingKind.ODD_REFERENCE: Severity.WARNING,
    FindingKind.HUB: Severity.WARNING,
    FindingKind.RULE_BROKEN: Severity.ERROR,
    FindingKind.EXPIRED: Severity.NOTICE,
    FindingKind.WAITING: Severity.WARNING,
    FindingKind.MINOR: Severity.NOTICE,
    FindingKind.OVERRIDDEN: Severity.NOTICE,
}
_RANK = list(reversed(Severity))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at."""

    kind: FindingKind
    entry_id: str
    message: str
    reference_id: str = ""
    other_entry_id: str = ""
    other_reference_id: str = ""
    score: float = 0.0
    code: ReasonCode | None = None

    @property
    def severity(self) -> Severity:
        return SEVERITY[self.kind]


def findings(listed: Listed, cohort: Vectors, rules: ListRules, now: datetime) -> list[Finding]:
    """What there is to look at, what matters most first."""
    current = {name: each for name, each in listed.items() if not each[0].is_over(now)}
    faces = Faces(
        tables.as_reference(entry, record)
        for entry, records in current.values()
        for record in records
    )
    found = [
        *_pairs(faces, rules),
        *_hubs(faces, cohort, rules),
        *_odd(faces, rules),
        *(
            one
            for entry, records in listed.values()
            for one in _of_entry(entry, records, rules, now)
        ),
    ]
    order = list(FindingKind)
    return sorted(
        found,
        key=lambda one: (
            _RANK.index(one.severity),
            order.index(one.kind),
            -one.score,
            one.entry_id,
        ),
    )


def _pairs(faces: Faces, rules: ListRules) -> Iterator[Finding]:
    for pair in faces.close_pairs(rules.threshold - LOOK_ALIKE_BELOW):
        if pair.score >= rules.duplicate_score:
            yield _pair(
                FindingKind.SAME_FACE, pair, "show one face: keep one entry and remove the other"
            )
        elif pair.score >= rules.threshold + SAME_PERSON_ABOVE:
            yield _pair(
                FindingKind.SAME_PERSON,
                pair,
                "are most probably one person, or very much alike: compare them, and keep one "
                "entry if they are",
            )
        else:
            yield _pair(
                FindingKind.LOOK_ALIKE,
                pair,
                f"look alike: a match on either needs a lead of {LOOK_ALIKE_MARGIN:g} and names "
                "the other",
            )


def _pair(kind: FindingKind, pair: Pair, words: str) -> Finding:
    first, second = pair.first, pair.second
    return Finding(
        kind,
        first.entry_id,
        f"{first.entry_id} and {second.entry_id} {words}",
        first.reference_id,
        second.entry_id,
        second.reference_id,
        pair.score,
    )


def _hubs(faces: Faces, cohort: Vectors, rules: ListRules) -> Iterator[Finding]:
    for entry_id, near, is_hub in strangers_near(faces, cohort, rules.threshold):
        if is_hub:
            yield Finding(
                FindingKind.HUB,
                entry_id,
                f"{near} strangers come near, far more than near others: the threshold "
                "is raised; a better picture may mend it",
                score=float(near),
            )


def _odd(faces: Faces, rules: ListRules) -> Iterator[Finding]:
    for reference, score in faces.odd(rules.threshold - ODD_BELOW):
        yield Finding(
            FindingKind.ODD_REFERENCE,
            reference.entry_id,
            "does not look like the entry's other pictures: make sure that it shows the same "
            "person",
            reference.reference_id,
            score=score,
        )


def _of_entry(
    entry: EntryRecord, records: list[ReferenceRecord], rules: ListRules, now: datetime
) -> Iterator[Finding]:
    if entry.is_over(now):
        yield Finding(FindingKind.EXPIRED, entry.entry_id, "is over and matches nobody")
        return
    yield from _rules(entry, records, rules, now)
    if tables.is_waiting(entry, records):
        yield Finding(
            FindingKind.WAITING,
            entry.entry_id,
            "waits for a second person and matches nobody until then: cordon admin watchlist "
            f"approve DEPLOYMENT {entry.entry_id}",
        )
    if entry.age_group is AgeGroup.MINOR:
        yield Finding(FindingKind.MINOR, entry.entry_id, "is under 18 (R18)")
    for record in records:
        if record.override is not None and record.override.approval is not None:
            yield Finding(
                FindingKind.OVERRIDDEN,
                entry.entry_id,
                f"is below the gate ({', '.join(record.override.codes)}), approved by "
                f"{record.override.approval.by.user_id}",
                record.reference_id,
            )


def _rules(
    entry: EntryRecord, records: list[ReferenceRecord], rules: ListRules, now: datetime
) -> Iterator[Finding]:
    """What the policy as it is today would refuse."""
    for number, record in enumerate(records):
        asked = _application(entry, record)
        try:
            check_application(asked, rules, now, is_new=number == 0)
        except NotListable as refused:
            for reason in refused.reasons:
                yield Finding(
                    FindingKind.RULE_BROKEN,
                    entry.entry_id,
                    reason.message,
                    record.reference_id,
                    code=reason.code,
                )


def _application(entry: EntryRecord, record: ReferenceRecord) -> Application:
    return Application(
        entry.entry_id,
        entry.category,
        entry.threshold,
        b"",
        None,
        Particulars(
            lawful_source=entry.lawful_source,
            rationale=entry.rationale,
            requester=entry.requester,
            birth_date=entry.birth_date,
            age_group=None if entry.birth_date else entry.age_group,
            expire_time=entry.expire_time,
            captured_on=record.captured_on,
        ),
    )
