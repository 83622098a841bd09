"""What a deployment's list is at one moment: what its authority is given for, what was reviewed
(R5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ListState:
    """A list, counted and hashed; nothing of any person."""

    digest: bytes
    """SHA-256 over every entry and reference: another list has another one."""
    entries: int
    references: int
    by_category: Mapping[str, int]
    """Entries of each category that has some."""
    reviewed_at: datetime | None = None
    """When an authorising officer last went through it; None where none did."""
    reviewed_digest: bytes = b""
    """What the list was then."""
