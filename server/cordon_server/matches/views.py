"""What goes out of a match, to whom and when (R10, R11): the one place that says so.

Until a person has judged, the policy may have him told no more than pictures, camera and time; and
of what others have judged nobody is told before there is a decision.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from cordon_server.matches.records import (
    MATCHES,
    OUTCOMES,
    JudgementRecord,
    MatchRecord,
    OutcomeRecord,
    Reviewer,
    judgements_of,
    match_key,
)
from cordon_server.store.environment import Transaction


@dataclass(frozen=True, slots=True)
class ReviewRule:
    """How the policy wants matches decided."""

    reviewers: int = 1
    """How many judge each match, 1 or 2, independently of each other."""
    is_blind: bool = False
    """Whether a match is told by its pictures alone until its reviewer has judged."""


@dataclass(frozen=True, slots=True)
class View:
    """What one caller may know of a match."""

    record: MatchRecord
    is_withheld: bool
    """Whether only pictures, camera and time may be told."""
    judgements: tuple[JudgementRecord, ...] = ()
    outcome: OutcomeRecord | None = None


def view_of(txn: Transaction, record: MatchRecord, reviewer: Reviewer, rule: ReviewRule) -> View:
    """What this person may know of a match, which may be any of its revisions."""
    match_id = record.match_id
    newest = txn.get(MATCHES, match_key(match_id))
    decided = None if newest is None else newest.adjudication
    record = msgspec.structs.replace(record, adjudication=decided)
    judgements = judgements_of(txn, match_id)
    if decided is not None:
        outcome = txn.get(OUTCOMES, match_key(match_id))
        return View(record, is_withheld=False, judgements=judgements, outcome=outcome)
    own = tuple(each for each in judgements if each.reviewer.user_id == reviewer.user_id)
    return View(record, is_withheld=rule.is_blind and not own, judgements=own)


def picture_id(jpeg: bytes) -> str:
    """What names a picture: SHA-256, hexadecimal."""
    return hashlib.sha256(jpeg).hexdigest()
