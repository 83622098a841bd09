"""What takes a second person: a list's review, a minor on it, a picture below the gate."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cordon_server.authority.list_state import ListState
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_records import (
    Approval,
    EntryRecord,
    ReferenceRecord,
)
from cordon_server.domain import NotPermitted, NotReady


def check_second(first: Iterable[Actor | None], second: Actor, what: str) -> None:
    """Raises `NotPermitted` when the second person is one of the first, or sits where one of them
    did: one person with two names is not two."""
    for one in first:
        if one is None:
            continue
        if one.user_id == second.user_id:
            raise NotPermitted(
                f"{second.user_id} cannot {what}, having enrolled or asked for it; it takes "
                "another person",
                reason="FOUR_EYES",
            )
        if one.machine == second.machine:
            raise NotPermitted(
                f"on {second.machine} somebody enrolled or asked for it, so nobody can {what} "
                "there; use another workstation (--identity DIR)",
                reason="FOUR_EYES",
            )


def check_reviewable(state: ListState, digest: bytes) -> None:
    """Raises `NotReady` when there is nothing to review, another list than the one that was looked
    at, or something on it that waits for a second person."""
    if not state.entries:
        raise NotReady("the watchlist is empty; enrol first", reason="LIST_EMPTY")
    if state.digest != digest:
        raise NotReady(
            "the watchlist has changed since it was looked at; look again, then review its digest "
            f"{state.digest.hex()}",
            reason="LIST_CHANGED",
        )
    if state.waiting:
        raise NotReady(
            f"{state.waiting} entries wait for a second person; approve or remove them first: "
            "cordon admin watchlist list",
            reason="APPROVAL_WAITING",
        )


def waiting_for_second(entry: EntryRecord, references: list[ReferenceRecord]) -> tuple[Actor, ...]:
    """Who enrolled what of an entry waits for a second person."""
    first = [each.enrolled_by for each in references if each.is_waiting]
    if entry.is_waiting:
        first.append(entry.enrolled_by)
    return tuple(each for each in first if each is not None)


def approve(
    entry: EntryRecord, references: list[ReferenceRecord], approval: Approval
) -> tuple[EntryRecord, list[ReferenceRecord]]:
    """An entry and its references with what waited approved (R18, R23).

    Raises `NotReady` when nothing waits, `NotPermitted` when who approves enrolled it.
    """
    if not entry.is_waiting and not any(each.is_waiting for each in references):
        raise NotReady(
            f"nothing of {entry.entry_id} waits for a second person", reason="NOTHING_WAITING"
        )
    check_second(waiting_for_second(entry, references), approval.by, f"approve {entry.entry_id}")
    if entry.is_waiting:
        entry = msgspec.structs.replace(entry, approval=approval)
    return entry, [_approved(each, approval) for each in references]


def _approved(record: ReferenceRecord, approval: Approval) -> ReferenceRecord:
    override = record.override
    if override is None or override.approval is not None:
        return record
    approved = msgspec.structs.replace(override, approval=approval)
    return msgspec.structs.replace(record, override=approved)
