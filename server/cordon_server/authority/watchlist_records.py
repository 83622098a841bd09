"""What a watchlist keeps on disk: entries, references, what was removed, who reviewed it.

All of it is biometric or personal, lies in the deployment's own sealed database and goes with it.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

import msgspec

from cordon_server.authority.records import Actor
from cordon_server.domain import Quality, ReasonCode
from cordon_server.store.environment import Table


class LawfulSource(StrEnum):
    """Where a reference picture may come from: a closed set (R6)."""

    CUSTODY = "custody"
    """Taken in police custody."""
    COURT = "court"
    """From a court, or made under its order."""
    AUTHORITY = "authority"
    """Handed over by another authority under a law."""
    FAMILY = "family"
    """Given by family or guardians, to find somebody."""
    OWN_RECORD = "own_record"
    """The lister's own record of an incident or a ban."""
    SUBJECT = "subject"
    """Given by the subject, who consents."""


class AgeGroup(StrEnum):
    """What the lister states of a subject's age; never inferred from a face (R18)."""

    ADULT = "adult"
    MINOR = "minor"


class Approval(msgspec.Struct, frozen=True):
    """A second person's yes."""

    by: Actor
    time: datetime


class Override(msgspec.Struct, frozen=True):
    """A picture below the gate, asked for with a reason (R23)."""

    codes: tuple[ReasonCode, ...]
    """The limits it breaks."""
    why: str
    approval: Approval | None = None
    """Without it the picture is searched for nobody."""


class EntryRecord(msgspec.Struct, frozen=True):
    """A subject on a watchlist."""

    entry_id: str
    category: str
    create_time: datetime
    threshold: float | None = None
    lawful_source: LawfulSource | None = None
    rationale: str = ""
    requester: str = ""
    """Who asked that the subject be listed, in the lister's own words."""
    birth_date: date | None = None
    age_group: AgeGroup | None = None
    """As stated, or as the date of birth had it on the day of enrolment."""
    expire_time: datetime | None = None
    """From then on the entry matches nobody."""
    enrolled_by: Actor | None = None
    approval: Approval | None = None
    """Of listing a minor."""

    @property
    def is_waiting(self) -> bool:
        """Whether a second person has to agree before anything of it is searched (R18)."""
        return self.age_group is AgeGroup.MINOR and self.approval is None

    def is_over(self, now: datetime) -> bool:
        """Whether it has expired."""
        return self.expire_time is not None and self.expire_time <= now


class ReferenceRecord(msgspec.Struct, frozen=True):
    """One enrolled picture of a subject; `vector` is its template as little-endian float32."""

    entry_id: str
    reference_id: str
    image_sha256: str
    quality: Quality
    create_time: datetime
    model_id: str
    vector: bytes
    face_sha256: str = ""
    """Of the picture of the face that people are shown."""
    captured_on: date | None = None
    enrolled_by: Actor | None = None
    override: Override | None = None
    is_proposed: bool = False
    """Whether it came by a proposal, which a second person has looked through (R6)."""

    @property
    def is_waiting(self) -> bool:
        """Whether a second person has to agree before it is searched (R23)."""
        return self.override is not None and self.override.approval is None


class RemovedRecord(msgspec.Struct, frozen=True):
    """What stays of an entry that was removed under an authority: its part of the digest."""

    digest: bytes


class ReviewRecord(msgspec.Struct, frozen=True):
    """That a person looked through exactly this list (R5)."""

    digest: bytes
    reviewer: Actor
    review_time: datetime


ENTRIES = Table("entries", EntryRecord)
REFERENCES = Table("references", ReferenceRecord)
REFERENCE_IMAGES = Table("reference_images", bytes)
"""JPEG of the face alone: what a person needs to compare, and no more (R26)."""
REFERENCE_BY_IMAGE = Table("reference_by_image", bytes)
"""The SHA-256 of the picture as given, digested under the deployment's key → key in REFERENCES."""
REMOVED = Table("removed_entries", RemovedRecord)
"""By entry id."""
BY_HAND = Table("references_by_hand", bytes)
"""By the keys of REFERENCES: what came without a proposal since the list was last reviewed; nothing
more is said. Kept and not told by times, for a clock may be set back (R6)."""
REVIEWS = Table("list_reviews", ReviewRecord)
"""The newest, under REVIEW_KEY."""
REVIEW_KEY = b"newest"

LIST_TABLES = (
    ENTRIES,
    REFERENCES,
    REFERENCE_IMAGES,
    REFERENCE_BY_IMAGE,
    BY_HAND,
    REMOVED,
    REVIEWS,
)


def reference_key(entry_id: str, reference_id: str) -> bytes:
    """The key of a reference; a slash cannot occur in either part."""
    return f"{entry_id}/{reference_id}".encode()
