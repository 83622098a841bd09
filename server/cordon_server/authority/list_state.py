"""What a deployment's list is at one moment: what its authority is given for, what was reviewed
(R5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cordon_server.authority.records import Actor


@dataclass(frozen=True, slots=True)
class ListState:
    """A list, counted and hashed; nothing of any person."""

    digest: bytes
    """SHA-256 over every entry and reference: another list has another one. What was removed under
    an authority goes on counting, so that it stays the digest that was authorised."""
    entries: int
    references: int
    by_category: Mapping[str, int]
    """Entries of each category that has some."""
    reviewed_at: datetime | None = None
    """When a second person last went through it; None where none did."""
    reviewed_digest: bytes = b""
    """What the list was then."""
    reviewed_by: Actor | None = None
    waiting: int = 0
    """Entries of which something waits for a second person."""

    @property
    def is_reviewed(self) -> bool:
        """Whether a second person went through exactly this list."""
        return self.reviewed_digest == self.digest
