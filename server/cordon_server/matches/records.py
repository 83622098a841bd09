"""What a deployment keeps of its matches and of what people decided: record types and tables.

The listed person of a match, its pictures and its template are sealed with the deployment's other
values. Of whoever was taken for somebody listed and is not, the template alone stays, so that it
happens once.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from cordon_server.domain import Box, NotFound, Quality
from cordon_server.store.environment import Table, Transaction


class Decision(StrEnum):
    """What a person may hold of a match."""

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"


class Ground(StrEnum):
    """Why a person holds it."""

    FEATURES_AGREE = "features_agree"
    MARKS_AGREE = "marks_agree"
    FEATURES_DIFFER = "features_differ"
    MARKS_DIFFER = "marks_differ"
    AGE_DIFFERS = "age_differs"
    LOOK_ALIKE = "look_alike"
    PICTURE_POOR = "picture_poor"
    FACE_HIDDEN = "face_hidden"


GROUNDS: dict[Decision, frozenset[Ground]] = {
    Decision.TRUE: frozenset({Ground.FEATURES_AGREE, Ground.MARKS_AGREE}),
    Decision.FALSE: frozenset(
        {Ground.FEATURES_DIFFER, Ground.MARKS_DIFFER, Ground.AGE_DIFFERS, Ground.LOOK_ALIKE}
    ),
    Decision.UNDECIDED: frozenset({Ground.LOOK_ALIKE, Ground.PICTURE_POOR, Ground.FACE_HIDDEN}),
}
"""Which reasons go with which judgement."""


class Outcome(StrEnum):
    """What came of a decided match on the street."""

    NO_ACTION = "no_action"
    LOST = "lost"
    STOPPED_WRONG = "stopped_wrong"
    STOPPED_CONFIRMED = "stopped_confirmed"
    ARRESTED = "arrested"
    SAFEGUARDED = "safeguarded"


class Reviewer(msgspec.Struct, frozen=True):
    """Who judges, and where: two reviewers differ in all of it (R11)."""

    user_id: str
    session_id: str
    machine: str
    """The workstation's identity."""
    certificate: str
    """SHA-256 of the certificate that it showed."""
    is_supervisor: bool = False

    def shares_with(self, other: Reviewer) -> bool:
        """Whether the two could be one: a person, a session, or a place."""
        return (
            self.user_id == other.user_id
            or self.session_id == other.session_id
            or self.machine == other.machine
            or self.certificate == other.certificate
        )


class AdjudicationRecord(msgspec.Struct, frozen=True):
    """The decision on a match (R10)."""

    decision: Decision
    adjudicator: str
    """The workstation of the judgement that made it final."""
    create_time: datetime


class JudgementRecord(msgspec.Struct, frozen=True):
    """One person's judgement, and what it was made on (R12)."""

    number: int
    """1 or 2; 3 is a supervisor's on what the two left undecided."""
    decision: Decision
    reasons: tuple[Ground, ...]
    reviewer: Reviewer
    picture_ids: tuple[str, ...]
    create_time: datetime


class ClaimRecord(msgspec.Struct, frozen=True):
    """Who is judging a match, and until when the place is his."""

    reviewer: Reviewer
    expire_time: datetime


class OutcomeRecord(msgspec.Struct, frozen=True):
    """What came of a match."""

    outcome: Outcome
    reviewer: Reviewer
    create_time: datetime


class SeedRecord(msgspec.Struct, frozen=True):
    """Marks a match as a case whose truth is known: never an alert, and told to nobody who judges
    it."""

    is_true: bool
    user_id: str
    """Who made it: its truth is known to him."""

    @property
    def truth(self) -> str:
        """What the record of acts says of it, as it says of decisions."""
        return str(Decision.TRUE if self.is_true else Decision.FALSE)


class SeedResultRecord(msgspec.Struct, frozen=True):
    """What a person judged on a case whose truth is known."""

    user_id: str
    is_true: bool
    decision: Decision
    create_time: datetime


class SuppressedRecord(msgspec.Struct, frozen=True):
    """A face that is not the listed person's it was taken for: its template, little-endian
    float32."""

    entry_id: str
    vector: bytes


class MatchRecord(msgspec.Struct, frozen=True):
    """A candidate that passed the decision rule, as it was when this revision was written."""

    match_id: int
    """The sequence of its first revision."""
    sequence: int
    revision: int
    observations: int
    camera_id: str
    frame_sequence: int
    captured_at: datetime
    create_time: datetime
    entry_id: str
    category: str
    reference_id: str
    score: float
    margin: float
    threshold: float
    box: Box
    quality: Quality
    model_id: str
    adjudication: AdjudicationRecord | None = None
    look_alikes: tuple[str, ...] = ()
    """Listed entries that look like this one: it takes care to tell them apart."""


class RevisionRecord(msgspec.Struct, frozen=True):
    """One place in the log. Its sequence stays taken when what stood there is deleted."""

    match: MatchRecord | None


class VolunteerRecord(msgspec.Struct, frozen=True):
    """That a volunteer passed a camera: as somebody says who was there, or as it was recognised."""

    entry_id: str
    camera_id: str
    time: datetime
    """When; of a visit that was recognised, when it began."""
    user_id: str = ""
    """Who says so."""
    last: datetime | None = None
    """When the visit was recognised last; None for once, and for what somebody says."""

    @property
    def end(self) -> datetime:
        """Until when, as far as is known."""
        return self.last or self.time


SEQUENCE_MAX = 2**64 - 1
"""Keys hold a sequence in eight bytes."""
PROBES_MAX = 4
"""Pictures kept of one match, the newest, which are the best."""

REVISIONS = Table("revisions", RevisionRecord)
"""Every state of every match by sequence: what subscribers follow."""
MATCHES = Table("matches", MatchRecord)
"""The newest state of each match by its id, with its decision."""
MATCH_IMAGES = Table("match_images", bytes)
"""JPEG of the probe's face by match and revision; every other face in it is blurred (R21)."""
MATCH_TEMPLATES = Table("match_templates", bytes)
"""The template that a match was raised by, by match: little-endian float32."""
JUDGEMENTS = Table("judgements", JudgementRecord)
"""By match and number."""
CLAIMS = Table("claims", ClaimRecord)
"""By match and user."""
SHOWN = Table("shown", tuple[str, ...])
"""The ids of the pictures that a person was sent last, by match and user."""
OUTCOMES = Table("outcomes", OutcomeRecord)
"""By match."""
SUPPRESSED = Table("suppressed", SuppressedRecord)
"""By the match that was false."""
SEEDS = Table("seeds", SeedRecord)
"""By match."""
SEED_RESULTS = Table("seed_results", SeedResultRecord)
"""By match and user."""
PASSES = Table("passes", VolunteerRecord)
"""Volunteers' passes as people declare them, in order."""
RECOGNITIONS = Table("recognitions", VolunteerRecord)
"""Volunteers' visits as they were recognised, in order."""

TABLES = (
    REVISIONS,
    MATCHES,
    MATCH_IMAGES,
    MATCH_TEMPLATES,
    JUDGEMENTS,
    CLAIMS,
    SHOWN,
    OUTCOMES,
    SUPPRESSED,
    SEEDS,
    SEED_RESULTS,
    PASSES,
    RECOGNITIONS,
)


def match_key(sequence: int) -> bytes:
    """The key of a match or revision; what belongs to a match begins with it."""
    return sequence.to_bytes(8, "big")


def revision_key(match_id: int, revision: int) -> bytes:
    """The key of a revision's picture."""
    return match_key(match_id) + revision.to_bytes(4, "big")


def person_key(match_id: int, user_id: str) -> bytes:
    """The key of what a match keeps of a person who judges it."""
    return match_key(match_id) + user_id.encode()


def match_of(key: bytes) -> bytes:
    """The key of the match that something belongs to."""
    return key[:8]


def head_of(txn: Transaction) -> int:
    """The newest sequence; 0 when there is none."""
    return int.from_bytes(txn.last_key(REVISIONS) or b"", "big")


def found_match(txn: Transaction, match_id: int) -> MatchRecord:
    """A match in its newest state; raises `NotFound`."""
    record = txn.get(MATCHES, match_key(match_id))
    if record is None:
        raise NotFound(
            f"there is no match {match_id} in this deployment's log, which ends at {head_of(txn)}; "
            "see: cordon control matches DEPLOYMENT"
        )
    return record


def judgements_of(txn: Transaction, match_id: int) -> tuple[JudgementRecord, ...]:
    """The judgements on a match, in their order."""
    return tuple(record for _, record in txn.scan(JUDGEMENTS, prefix=match_key(match_id)))


def probes_of(txn: Transaction, match_id: int) -> list[bytes]:
    """The pictures of a match, the best first."""
    return [jpeg for _, jpeg in txn.scan(MATCH_IMAGES, prefix=match_key(match_id))][::-1]
