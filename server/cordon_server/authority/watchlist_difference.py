"""How two lists differ, entry by entry (R5). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cordon_server.authority.watchlist_lint import Listed
from cordon_server.authority.watchlist_records import EntryRecord, ReferenceRecord

COMPARED = (
    "category",
    "threshold",
    "lawful_source",
    "rationale",
    "requester",
    "birth_date",
    "age_group",
    "expire_time",
)
"""Fields of an entry that people give; when and by whom it was enrolled is another's story."""
PICTURES = "pictures"


class DifferenceKind(StrEnum):
    """How an entry differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry that is not the same on both lists."""

    kind: DifferenceKind
    entry_id: str
    category: str
    fields: tuple[str, ...] = ()


def differences(this: Listed, other: Listed) -> Iterator[Difference]:
    """What became of the other list, by external reference."""
    for entry_id in sorted(this.keys() | other.keys()):
        if entry_id not in other:
            yield Difference(DifferenceKind.ADDED, entry_id, this[entry_id][0].category)
        elif entry_id not in this:
            yield Difference(DifferenceKind.REMOVED, entry_id, other[entry_id][0].category)
        elif fields := _changed(this[entry_id], other[entry_id]):
            category = this[entry_id][0].category
            yield Difference(DifferenceKind.CHANGED, entry_id, category, fields)


def differences_since(this: Listed, before: Mapping[str, str]) -> Iterator[Difference]:
    """The same since a list of which only the categories are on record, by external reference."""
    for entry_id in sorted(this.keys() | before.keys()):
        category = this[entry_id][0].category if entry_id in this else before[entry_id]
        if entry_id not in before:
            yield Difference(DifferenceKind.ADDED, entry_id, category)
        elif entry_id not in this:
            yield Difference(DifferenceKind.REMOVED, entry_id, category)
        elif category != before[entry_id]:
            yield Difference(DifferenceKind.CHANGED, entry_id, category, ("category",))


def _changed(
    this: tuple[EntryRecord, list[ReferenceRecord]],
    other: tuple[EntryRecord, list[ReferenceRecord]],
) -> tuple[str, ...]:
    fields = [name for name in COMPARED if getattr(this[0], name) != getattr(other[0], name)]
    if _pictures(this[1]) != _pictures(other[1]):
        fields.append(PICTURES)
    return tuple(fields)


def _pictures(records: list[ReferenceRecord]) -> set[tuple[str, object]]:
    return {(each.image_sha256, each.captured_on) for each in records}
