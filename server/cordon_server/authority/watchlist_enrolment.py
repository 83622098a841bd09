"""From an application and what was found in its picture to the records of an entry and a reference.

Works within the caller's transaction and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cordon_server.authority import watchlist_tables as tables
from cordon_server.authority.watchlist_faces import duplicate
from cordon_server.authority.watchlist_records import (
    ENTRIES,
    REFERENCE_BY_IMAGE,
    EntryRecord,
    Override,
    ReferenceRecord,
)
from cordon_server.authority.watchlist_rules import (
    Application,
    ListRules,
    check_application,
    sha256,
)
from cordon_server.domain import LimitReached, Quality, Reason, ReasonCode, Template
from cordon_server.store.environment import Transaction

REFERENCE_ID_CHARACTERS = 16


class Examined(Protocol):
    """What is kept of a reference picture."""

    @property
    def template(self) -> Template: ...
    @property
    def quality(self) -> Quality: ...
    @property
    def face_jpeg(self) -> bytes: ...
    @property
    def shortcomings(self) -> tuple[Reason, ...]:
        """Limits of the gate that it breaks; none but for a picture that is to be overridden."""
        ...


class Examiner(Protocol):
    """Finds the one face of a picture; raises `UnusablePicture`."""

    def examine(
        self, image: bytes, point: tuple[float, float] | None, *, overridden: bool = False
    ) -> Examined:
        """With `overridden`, limits that a person may set aside are told and not raised."""
        ...


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of an application; `is_new` is False when this very picture was there."""

    entry: EntryRecord
    reference_id: str
    is_new: bool
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Joining:
    """What an application would write."""

    entry: EntryRecord
    makes_entry: bool
    reference: ReferenceRecord

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """That a second person has to agree before the picture is searched, where one has to."""
        whys = ["a minor is listed (R18)"] * self.entry.is_waiting
        whys += ["the picture is below the gate (R23)"] * self.reference.is_waiting
        if not whys:
            return ()
        message = (
            f"is searched only when another person has approved it, for {' and '.join(whys)}: "
            f"cordon admin watchlist approve DEPLOYMENT {self.entry.entry_id}"
        )
        return (Reason(ReasonCode.WAITING, message),)


def found_picture(txn: Transaction, digest: str) -> tuple[str, str] | None:
    """Entry and reference of this very picture, if it is there."""
    key = txn.get(REFERENCE_BY_IMAGE, tables.picture_key(txn, digest))
    if key is None:
        return None
    entry_id, reference_id = key.decode().split("/")
    return entry_id, reference_id


def known(txn: Transaction, application: Application, digest: str) -> Enrolment | None:
    """The enrolment of this very picture if it is there.

    Raises `UnusablePicture` (DUPLICATE) when it is there under another entry.
    """
    there = found_picture(txn, digest)
    if there is None:
        return None
    entry_id, reference_id = there
    if entry_id != application.entry_id:
        raise duplicate(
            f"this very picture is enrolled as {entry_id}; one picture shows one subject",
            f"{entry_id}/{reference_id}",
            1.0,
        )
    return Enrolment(tables.found(txn, entry_id), reference_id, is_new=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the list holds where an application would join it."""

    entry: EntryRecord | None
    """The entry that it joins; None for a new one."""
    references: int
    """Of that entry."""
    entries: int
    in_category: int


def standing(
    txn: Transaction, application: Application, by_category: Mapping[str, int]
) -> Standing:
    """The same, of the list on disk; `by_category` counts its entries."""
    return Standing(
        txn.get(ENTRIES, application.entry_id.encode()),
        len(tables.references_of(txn, application.entry_id)),
        txn.count(ENTRIES),
        by_category.get(application.category, 0),
    )


def joining(
    application: Application,
    examined: Examined,
    reference_id: str,
    rules: ListRules,
    there: Standing,
    now: datetime,
) -> Joining:
    """What a picture that is not there yet would write; raises `NotListable`, `LimitReached`."""
    check_application(application, rules, now, is_new=there.entry is None)
    reference = _reference_record(application, reference_id, examined, now)
    if there.entry is None:
        _check_list_room(rules, there, application.category)
        return Joining(_entry_record(application, now), True, reference)
    _check_entry_room(rules, there.references, application.entry_id)
    return Joining(there.entry, False, reference)


def reference_id_of(txn: Transaction, digest: str) -> str:
    """What a picture's reference is called in this deployment."""
    return tables.picture_key(txn, digest).decode()[:REFERENCE_ID_CHARACTERS]


def _check_list_room(rules: ListRules, there: Standing, category: str) -> None:
    if there.entries >= rules.entries_max:
        raise LimitReached(
            f"the list holds {rules.entries_max} entries, as many as limits.entries_max and the "
            "policy allow; remove entries first (R17)",
            reason="LIST_FULL",
        )
    most = rules.entry.categories[category].entries_max
    if most is not None and there.in_category >= most:
        raise LimitReached(
            f"the list holds {most} entries in category {category}, as many as the policy allows; "
            "remove entries of it first (R17)",
            reason="CATEGORY_FULL",
        )


def _check_entry_room(rules: ListRules, references: int, entry_id: str) -> None:
    if references >= rules.references_per_entry_max:
        raise LimitReached(
            f"{entry_id} has {rules.references_per_entry_max} pictures, as many as "
            "limits.references_per_entry_max allows; send the best ones only",
            reason="ENTRY_FULL",
        )


def _entry_record(application: Application, now: datetime) -> EntryRecord:
    given = application.particulars
    return EntryRecord(
        entry_id=application.entry_id,
        category=application.category,
        create_time=now,
        threshold=application.threshold,
        lawful_source=given.lawful_source,
        rationale=given.rationale.strip(),
        requester=given.requester.strip(),
        birth_date=given.birth_date,
        age_group=application.age_group(now.date()),
        expire_time=given.expire_time,
        enrolled_by=application.applicant,
    )


def _reference_record(
    application: Application, reference_id: str, examined: Examined, now: datetime
) -> ReferenceRecord:
    given, codes = application.particulars, tuple(each.code for each in examined.shortcomings)
    return ReferenceRecord(
        entry_id=application.entry_id,
        reference_id=reference_id,
        image_sha256=application.image_sha256,
        quality=examined.quality,
        create_time=now,
        model_id=examined.template.model_id,
        vector=examined.template.vector.astype("<f4").tobytes(),
        face_sha256=sha256(examined.face_jpeg),
        captured_on=given.captured_on,
        enrolled_by=application.applicant,
        override=Override(codes, given.override_reason) if codes else None,
    )
