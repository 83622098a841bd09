"""The digest of a watchlist: what is reviewed, authorised and armed is exactly one list (R5, R8).

SHA-256 throughout; `|` is concatenation, digests are raw, counts are 8 bytes, big-endian:

    reference = H("cordon-reference-v1\\n" | JSON of its record)
    entry     = H("cordon-entry-v1\\n"     | H(JSON of its record) | references, sorted)
    list      = H("cordon-watchlist-v1\\n" | number of entries | entries, sorted)

JSON is compact, keys sorted, and holds every field: templates, pictures' digests, dates, who
enrolled, who approved. An entry that was removed under an authority goes on counting by the digest
it had, so that the authorised list can be told from any other; nothing else of it is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from cordon_server.authority.watchlist_records import EntryRecord, ReferenceRecord

_COUNT_BYTES = 8


def entry_digest(entry: EntryRecord, references: Iterable[ReferenceRecord]) -> bytes:
    """The digest of an entry with its references, in whatever order they come."""
    parts = sorted(reference_digest(each) for each in references)
    own = hashlib.sha256(_canonical(entry)).digest()
    return _hashed(b"cordon-entry-v1\n", own, *parts)


def reference_digest(reference: ReferenceRecord) -> bytes:
    """The digest of one reference."""
    return _hashed(b"cordon-reference-v1\n", _canonical(reference))


def list_digest(entries: Iterable[bytes]) -> bytes:
    """The digest of a list from those of its entries, in whatever order they come."""
    parts = sorted(entries)
    count = len(parts).to_bytes(_COUNT_BYTES, "big")
    return _hashed(b"cordon-watchlist-v1\n", count, *parts)


def _canonical(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record, order="deterministic")


def _hashed(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
