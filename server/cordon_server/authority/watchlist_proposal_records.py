"""What is kept of a proposal: an import of many pictures that waits for a second person.

It lies in the deployment's own sealed database, beside the list that it is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_records import EntryRecord, ReferenceRecord
from cordon_server.domain import Reason
from cordon_server.store.environment import Table


class ProposalState(StrEnum):
    """Where in its life a proposal is."""

    DRAWN_UP = "drawn_up"
    """Rows are still coming."""
    OPEN = "open"
    """Complete; it waits for a second person."""
    APPLYING = "applying"
    """Its rows are going onto the list; applied again, it goes on where it stopped."""
    APPLIED = "applied"


class RowFate(StrEnum):
    """What applying makes of a row."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    """This very picture is there already, on the list or in an earlier row."""
    REJECTED = "rejected"


class RowRecord(msgspec.Struct, frozen=True):
    """One row of a proposal, and what would become of it."""

    row: int
    external_ref: str
    fate: RowFate
    reasons: tuple[Reason, ...] = ()
    entry: EntryRecord | None = None
    """As it would be written; so is the reference."""
    reference: ReferenceRecord | None = None


class ProposalRecord(msgspec.Struct, frozen=True):
    """One proposal."""

    proposal_id: str
    proposer: Actor
    create_time: datetime
    base: bytes
    """Digest of the list that the rows were tried on."""
    state: ProposalState = ProposalState.DRAWN_UP
    digest: bytes = b""
    """Of the rows; empty until it is complete."""
    accepted: int = 0
    known: int = 0
    rejected: int = 0
    applier: Actor | None = None
    apply_time: datetime | None = None
    streams: int = 1
    """How many have drawn it up, one after the other; only the newest may go on."""


PROPOSALS = Table("proposals", ProposalRecord)
PROPOSAL_ROWS = Table("proposal_rows", RowRecord)
PROPOSAL_IMAGES = Table("proposal_images", bytes)
"""JPEG of a row's face."""
PROPOSAL_TABLES = (PROPOSALS, PROPOSAL_ROWS, PROPOSAL_IMAGES)


def row_key(proposal_id: str, row: int) -> bytes:
    """The key of a row; rows of a proposal follow each other."""
    return f"{proposal_id}/{row:010d}".encode()


def rows_digest(rows: Iterable[RowRecord]) -> bytes:
    """SHA-256 over every row with its fate: another proposal has another one."""
    digest = hashlib.sha256(b"cordon-proposal-v1\n")
    for row in rows:
        encoded = msgspec.json.encode(row, order="deterministic")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()
