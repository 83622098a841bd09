"""Reads and writes of a watchlist within one transaction; the tables' own rules and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import numpy as np

from cordon_server.authority.list_state import ListState
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_digest import entry_digest, list_digest
from cordon_server.authority.watchlist_records import (
    BY_HAND,
    ENTRIES,
    REFERENCE_BY_IMAGE,
    REFERENCE_IMAGES,
    REFERENCES,
    REMOVED,
    REVIEW_KEY,
    REVIEWS,
    EntryRecord,
    ReferenceRecord,
    RemovedRecord,
    ReviewRecord,
    reference_key,
)
from cordon_server.domain import NotFound, Template
from cordon_server.gallery import Reference
from cordon_server.store.environment import Transaction


def found(txn: Transaction, entry_id: str) -> EntryRecord:
    """An entry; raises `NotFound`."""
    entry = txn.get(ENTRIES, entry_id.encode())
    if entry is None:
        raise NotFound(
            f"there is no entry {entry_id} on this watchlist; see: cordon admin watchlist list"
        )
    return entry


def references_of(txn: Transaction, entry_id: str) -> list[ReferenceRecord]:
    """An entry's references."""
    return [record for _, record in txn.scan(REFERENCES, prefix=f"{entry_id}/".encode())]


def whole_list(txn: Transaction) -> dict[str, tuple[EntryRecord, list[ReferenceRecord]]]:
    """Every entry with its references, by name."""
    listed: dict[str, tuple[EntryRecord, list[ReferenceRecord]]] = {
        record.entry_id: (record, []) for _, record in txn.scan(ENTRIES)
    }
    for _, record in txn.scan(REFERENCES):
        listed[record.entry_id][1].append(record)
    return listed


def picture_key(txn: Transaction, image_sha256: str) -> bytes:
    """What stands for a picture in keys, which are not sealed: nobody who has the picture can tell
    by it that the picture was enrolled."""
    return txn.digest(bytes.fromhex(image_sha256)).hex().encode()


def put(txn: Transaction, entry: EntryRecord, record: ReferenceRecord, face_jpeg: bytes) -> None:
    """Writes a reference with its entry."""
    key = reference_key(record.entry_id, record.reference_id)
    txn.put(ENTRIES, entry.entry_id.encode(), entry)
    txn.put(REFERENCES, key, record)
    txn.put(REFERENCE_IMAGES, key, face_jpeg)
    txn.put(REFERENCE_BY_IMAGE, picture_key(txn, record.image_sha256), key)
    if not record.is_proposed:
        txn.put(BY_HAND, key, b"")


def put_records(
    txn: Transaction, entry: EntryRecord, references: Iterable[ReferenceRecord]
) -> None:
    """Writes an entry and references that are there already."""
    txn.put(ENTRIES, entry.entry_id.encode(), entry)
    for record in references:
        txn.put(REFERENCES, reference_key(record.entry_id, record.reference_id), record)


def erase(txn: Transaction, entry_id: str, *, leaves_trace: bool) -> None:
    """Removes an entry; a trace of it keeps the digest of the authorised list what it was."""
    entry, records = found(txn, entry_id), references_of(txn, entry_id)
    if leaves_trace:
        txn.put(REMOVED, entry_id.encode(), RemovedRecord(entry_digest(entry, records)))
    txn.delete(ENTRIES, entry_id.encode())
    for record in records:
        key = reference_key(entry_id, record.reference_id)
        txn.delete(REFERENCES, key)
        txn.delete(REFERENCE_IMAGES, key)
        txn.delete(REFERENCE_BY_IMAGE, picture_key(txn, record.image_sha256))
        txn.delete(BY_HAND, key)


def state(txn: Transaction) -> ListState:
    """The list's digest and counts, and its newest review."""
    listed = whole_list(txn)
    digests = [entry_digest(entry, references) for entry, references in listed.values()]
    digests += [removed.digest for _, removed in txn.scan(REMOVED)]
    review = txn.get(REVIEWS, REVIEW_KEY)
    return ListState(
        digest=list_digest(digests),
        entries=len(listed),
        references=sum(len(references) for _, references in listed.values()),
        by_category=dict(sorted(Counter(e.category for e, _ in listed.values()).items())),
        waiting=sum(is_waiting(*each) for each in listed.values()),
        reviewed_digest=review.digest if review else b"",
        reviewed_at=review.review_time if review else None,
        reviewed_by=review.reviewer if review else None,
    )


def by_hand(txn: Transaction) -> Counter[str]:
    """How many pictures of each entry came without a proposal since somebody reviewed the list."""
    return Counter(key.decode().partition("/")[0] for key, _ in txn.scan(BY_HAND))


def review(txn: Transaction, record: ReviewRecord) -> None:
    """Keeps a review; what came by hand has been looked through with it."""
    txn.put(REVIEWS, REVIEW_KEY, record)
    for key in [key for key, _ in txn.scan(BY_HAND)]:
        txn.delete(BY_HAND, key)


def enrolled_by(txn: Transaction) -> set[Actor]:
    """Everybody who enrolled anything of the list, with where it was done."""
    of_entries = {record.enrolled_by for _, record in txn.scan(ENTRIES)}
    of_references = {record.enrolled_by for _, record in txn.scan(REFERENCES)}
    return {each for each in of_entries | of_references if each is not None}


def is_waiting(entry: EntryRecord, references: Iterable[ReferenceRecord]) -> bool:
    """Whether anything of an entry waits for a second person."""
    return entry.is_waiting or any(each.is_waiting for each in references)


def searched(
    entry: EntryRecord,
    records: Iterable[ReferenceRecord],
    now: datetime,
) -> list[Reference]:
    """What recognition may search of an entry: nothing when it is over or waits for a second
    person, and no picture that does."""
    if entry.is_over(now) or entry.is_waiting:
        return []
    return [as_reference(entry, record) for record in records if not record.is_waiting]


def as_reference(entry: EntryRecord, record: ReferenceRecord) -> Reference:
    """A reference as the gallery takes it."""
    vector = np.frombuffer(record.vector, dtype="<f4").astype(np.float32)
    template = Template(vector, record.model_id)
    return Reference(entry.entry_id, record.reference_id, template, entry.category, entry.threshold)
