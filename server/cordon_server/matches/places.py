"""Who may judge a match now, and on which pictures (R11, R12).

A match has as many places as the policy wants reviewers. A claim keeps one for a while, a judgement
for good; whoever is refused is not told which of the two it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cordon_server.domain import InvalidInput, NotPermitted, NotReady
from cordon_server.matches.records import (
    CLAIMS,
    GROUNDS,
    SHOWN,
    Decision,
    Ground,
    JudgementRecord,
    MatchRecord,
    Reviewer,
    judgements_of,
    match_key,
    person_key,
    probes_of,
)
from cordon_server.matches.views import picture_id
from cordon_server.store.environment import Transaction

LEASE = timedelta(minutes=2)
"""How long a claim keeps a reviewer's place."""
SUPERVISOR = 3
"""The number of a supervisor's judgement on what the reviewers left undecided."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says of a match."""

    decision: Decision
    reasons: tuple[Ground, ...]
    picture_ids: frozenset[str]


def check_may_judge(
    txn: Transaction, record: MatchRecord, reviewer: Reviewer, *, reviewers: int, now: datetime
) -> tuple[JudgementRecord, ...]:
    """The judgements before this person's.

    Raises `NotReady` or `NotPermitted` where he cannot judge now; `reviewers` is how many judge.
    """
    match_id = record.match_id
    earlier = judgements_of(txn, match_id)
    if any(each.reviewer.user_id == reviewer.user_id for each in earlier):
        raise NotReady(
            f"you have judged match {match_id} before and a judgement stands",
            reason="ALREADY_JUDGED",
        )
    if record.adjudication is not None:
        is_open = record.adjudication.decision is Decision.UNDECIDED
        if not (is_open and reviewer.is_supervisor and earlier[-1].number != SUPERVISOR):
            raise NotReady(
                f"match {match_id} was decided before and a decision stands"
                + ("; a supervisor who has not judged it may settle it" if is_open else ""),
                reason="DECIDED",
            )
    if any(each.reviewer.shares_with(reviewer) for each in earlier):
        # Says no more than it must: whoever works here learns nothing of a judgement.
        raise NotPermitted(
            f"match {match_id} is not for this workstation; judge it at another one",
            reason="NOT_THIS_DESK",
        )
    _check_place(txn, record, reviewer, earlier, reviewers, now)
    return earlier


def check_pictures(
    txn: Transaction,
    match_id: int,
    verdict: Verdict,
    reviewer: Reviewer,
    references: Sequence[bytes],
    *,
    deployment_id: str,
) -> None:
    """Raises `NotReady` unless the verdict names the pictures that this person was sent last and
    that are still the match's, with these references."""
    shown = txn.get(SHOWN, person_key(match_id, reviewer.user_id))
    if shown is None or verdict.picture_ids != set(shown):
        raise NotReady(
            f"these are not the pictures of match {match_id} that you were sent; look at it "
            f"first: cordon control claim {deployment_id}/{match_id}",
            reason="PICTURES_NOT_SHOWN",
        )
    now = {picture_id(jpeg) for jpeg in (*probes_of(txn, match_id), *references)}
    if verdict.picture_ids != now:
        raise NotReady(
            f"the pictures of match {match_id} have changed since you were sent them; look "
            f"again: cordon control claim {deployment_id}/{match_id}",
            reason="PICTURES_CHANGED",
        )


def check_reasons(verdict: Verdict) -> None:
    """Raises `InvalidInput` for a reason that does not go with the decision."""
    fitting = GROUNDS[verdict.decision]
    if wrong := sorted(set(verdict.reasons) - fitting):
        raise InvalidInput(
            f"{wrong[0].replace('_', '-')} is no reason for {verdict.decision}; these are: "
            + ", ".join(sorted(ground.replace("_", "-") for ground in fitting)),
            reason="REASON_DOES_NOT_FIT",
            field="reasons",
        )


def _check_place(
    txn: Transaction,
    record: MatchRecord,
    reviewer: Reviewer,
    earlier: Sequence[JudgementRecord],
    reviewers: int,
    now: datetime,
) -> None:
    """Raises `NotReady` where others take every place. Who has judged and who is about to
    count alike: nobody learns which it is."""
    others = {
        claim.reviewer.user_id
        for _, claim in txn.scan(CLAIMS, prefix=match_key(record.match_id))
        if claim.expire_time > now
    } - {reviewer.user_id}
    places = 1
    if record.adjudication is None:
        others |= {each.reviewer.user_id for each in earlier}
        places = reviewers
    if len(others) >= places:
        raise NotReady(
            f"somebody else is looking at match {record.match_id}; take another, or try again "
            f"in {LEASE.seconds} s",
            reason="MATCH_CLAIMED",
        )
