"""Who may judge a match, on what, and what they are told before: human decisions (R10, R11).

A reviewer claims a match, is sent its pictures, and judges. What he is told before, and what of the
other's judgement, is decided here alone (`views`); nothing of a match goes out another way. A match
has as many places as the policy wants reviewers; a claim keeps one, for a while. What binds a
judgement are the pictures that it names: they are the ones that the server sent to this person
last, and still the match's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cordon_server.acts import Act, AuditClass, Fact, Recorder
from cordon_server.domain import InvalidInput, NotPermitted, NotReady
from cordon_server.matches.fusion import fuse
from cordon_server.matches.log import MatchLog
from cordon_server.matches.records import (
    CLAIMS,
    GROUNDS,
    JUDGEMENTS,
    MATCHES,
    OUTCOMES,
    SEED_RESULTS,
    SEEDS,
    SHOWN,
    AdjudicationRecord,
    ClaimRecord,
    Decision,
    Ground,
    JudgementRecord,
    MatchRecord,
    OutcomeRecord,
    Reviewer,
    SeedRecord,
    SeedResultRecord,
    found_match,
    judgements_of,
    match_key,
    person_key,
    probes_of,
)
from cordon_server.matches.silencing import Silencing
from cordon_server.store.environment import Environment, Transaction

LEASE = timedelta(minutes=2)
"""How long a claim keeps a reviewer's place."""
SUPERVISOR = 3
"""The number of a supervisor's judgement on what the reviewers left undecided."""


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says of a match."""

    decision: Decision
    reasons: tuple[Ground, ...]
    picture_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a verdict makes of a match."""

    record: MatchRecord
    judgement: JudgementRecord
    is_new: bool
    seed: SeedRecord | None


class Review:
    """People's decisions on one deployment's matches."""

    def __init__(
        self,
        log: MatchLog,
        environment: Environment,
        silencing: Silencing,
        rule: ReviewRule,
        *,
        deployment_id: str,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._environment = environment
        self._silencing = silencing
        self._rule = rule
        self._deployment_id = deployment_id
        self._recorder = recorder
        self._clock = clock

    async def views(self, records: Iterable[MatchRecord], reviewer: Reviewer) -> list[View]:
        """What this person may know of each, which may be any of its revisions."""
        rule = self._rule
        return await self._environment.read(
            lambda txn: [_view(txn, record, reviewer, rule) for record in records]
        )

    async def claim(self, match_id: int, reviewer: Reviewer, *, dry_run: bool) -> datetime:
        """Takes a match for a while; until when. Raises `NotFound`, or `NotReady` or `NotPermitted`
        where this person cannot judge it now."""

        def look(txn: Transaction) -> ClaimRecord:
            self._check_may_judge(txn, found_match(txn, match_id), reviewer)
            return ClaimRecord(reviewer, self._clock() + LEASE)

        async with self._log.changing:
            claim = await self._environment.read(look)
            if not dry_run:
                await self._recorder.record(
                    self._act(AuditClass.CONSULTATION, "match.claimed", match_id, reviewer)
                )
                key = person_key(match_id, reviewer.user_id)
                await self._environment.write(lambda txn: txn.put(CLAIMS, key, claim))
        return claim.expire_time

    async def show(
        self, match_id: int, reviewer: Reviewer, references: Sequence[bytes]
    ) -> list[bytes]:
        """The match's views for this person, who is sent them and these references: kept, so that
        a judgement can name them. Raises `NotFound`."""

        def act(txn: Transaction) -> list[bytes]:
            found_match(txn, match_id)
            probes = probes_of(txn, match_id)
            shown = tuple(picture_id(jpeg) for jpeg in (*probes, *references))
            txn.put(SHOWN, person_key(match_id, reviewer.user_id), shown)
            return probes

        return await self._environment.write(act)

    async def judge(
        self,
        match_id: int,
        verdict: Verdict,
        reviewer: Reviewer,
        references: Sequence[bytes],
        *,
        dry_run: bool,
    ) -> View:
        """Records a judgement, and the decision where it is the last one; what may be known then.

        `references` are the entry's pictures as they are now. The same person judging the same
        again changes nothing. Raises `NotFound`; `InvalidInput` for reasons that do not go with the
        decision; `NotReady` where it was judged or decided before, is claimed, or the pictures are
        not the ones that were sent; `NotPermitted` where the other reviewer judged.
        """
        _check_reasons(verdict)
        async with self._log.changing:
            judged = await self._environment.read(
                lambda txn: self._weigh(txn, match_id, verdict, reviewer, references)
            )
            if judged.is_new and not dry_run:
                await self._recorder.record(self._judged(judged))
                await self._environment.write(lambda txn: self._keep(txn, judged))
                self._silencing.decided(judged.record)
        (view,) = await self.views([await self._log.get(match_id)], reviewer)
        return view

    def _weigh(
        self,
        txn: Transaction,
        match_id: int,
        verdict: Verdict,
        reviewer: Reviewer,
        references: Sequence[bytes],
    ) -> _Judged:
        record = found_match(txn, match_id)
        seed = txn.get(SEEDS, match_key(match_id))
        for own in judgements_of(txn, match_id):
            said = (own.reviewer.user_id, own.decision, set(own.reasons))
            if said == (reviewer.user_id, verdict.decision, set(verdict.reasons)):
                return _Judged(record, own, is_new=False, seed=seed)
        earlier = self._check_may_judge(txn, record, reviewer)
        self._check_pictures(txn, match_id, verdict, reviewer, references)
        is_ruling = record.adjudication is not None
        judgement = JudgementRecord(
            SUPERVISOR if is_ruling else len(earlier) + 1,
            verdict.decision,
            verdict.reasons,
            reviewer,
            tuple(sorted(verdict.picture_ids)),
            self._clock(),
        )
        decision: Decision | None = verdict.decision
        if not is_ruling:
            votes = [*(each.decision for each in earlier), verdict.decision]
            decision = fuse(votes, self._rule.reviewers)
        if decision is not None:
            made = AdjudicationRecord(decision, reviewer.machine, self._clock())
            record = msgspec.structs.replace(record, adjudication=made)
        return _Judged(record, judgement, is_new=True, seed=seed)

    def _check_may_judge(
        self, txn: Transaction, record: MatchRecord, reviewer: Reviewer
    ) -> tuple[JudgementRecord, ...]:
        """The judgements before this person's; raises where he cannot judge now."""
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
        self._check_place(txn, record, reviewer, earlier)
        return earlier

    def _check_place(
        self,
        txn: Transaction,
        record: MatchRecord,
        reviewer: Reviewer,
        earlier: Sequence[JudgementRecord],
    ) -> None:
        """Raises `NotReady` where others take every place. Who has judged and who is about to
        count alike: nobody learns which it is."""
        others = {
            claim.reviewer.user_id
            for _, claim in txn.scan(CLAIMS, prefix=match_key(record.match_id))
            if claim.expire_time > self._clock()
        } - {reviewer.user_id}
        places = 1
        if record.adjudication is None:
            others |= {each.reviewer.user_id for each in earlier}
            places = self._rule.reviewers
        if len(others) >= places:
            raise NotReady(
                f"somebody else is looking at match {record.match_id}; take another, or try again "
                f"in {LEASE.seconds} s",
                reason="MATCH_CLAIMED",
            )

    def _check_pictures(
        self,
        txn: Transaction,
        match_id: int,
        verdict: Verdict,
        reviewer: Reviewer,
        references: Sequence[bytes],
    ) -> None:
        shown = txn.get(SHOWN, person_key(match_id, reviewer.user_id))
        if shown is None or verdict.picture_ids != set(shown):
            raise NotReady(
                f"these are not the pictures of match {match_id} that you were sent; look at it "
                f"first: cordon control claim {self._deployment_id}/{match_id}",
                reason="PICTURES_NOT_SHOWN",
            )
        now = {picture_id(jpeg) for jpeg in (*probes_of(txn, match_id), *references)}
        if verdict.picture_ids != now:
            raise NotReady(
                f"the pictures of match {match_id} have changed since you were sent them; look "
                f"again: cordon control claim {self._deployment_id}/{match_id}",
                reason="PICTURES_CHANGED",
            )

    def _keep(self, txn: Transaction, judged: _Judged) -> None:
        record, judgement = judged.record, judged.judgement
        key = match_key(record.match_id)
        txn.put(JUDGEMENTS, key + bytes([judgement.number]), judgement)
        txn.delete(CLAIMS, person_key(record.match_id, judgement.reviewer.user_id))
        txn.put(MATCHES, key, record)
        if judged.seed is None:
            self._silencing.keep_decided(txn, record)
        elif judged.seed.user_id != judgement.reviewer.user_id:
            user_id = judgement.reviewer.user_id
            result = SeedResultRecord(
                user_id, judged.seed.is_true, judgement.decision, judgement.create_time
            )
            txn.put(SEED_RESULTS, person_key(record.match_id, user_id), result)

    def _judged(self, judged: _Judged) -> Act:
        judgement, made = judged.judgement, judged.record.adjudication
        facts: dict[str, Fact] = {
            "judgement": str(judgement.decision),
            "reasons": " ".join(judgement.reasons),
            "reviewer": judgement.number,
            "decision": "" if made is None else str(made.decision),
        }
        if judged.seed is not None:
            facts["seeded"] = judged.seed.truth
        return self._act(
            AuditClass.ALTERATION,
            "match.adjudicated",
            judged.record.match_id,
            judgement.reviewer,
            facts,
            {"pictures": " ".join(judgement.picture_ids)},
        )

    def _act(
        self,
        kind: AuditClass,
        action: str,
        match_id: int,
        reviewer: Reviewer,
        facts: dict[str, Fact] | None = None,
        personal: dict[str, str] | None = None,
    ) -> Act:
        return act_of(self._deployment_id, kind, action, match_id, reviewer, facts, personal)


def act_of(
    deployment_id: str,
    kind: AuditClass,
    action: str,
    match_id: int,
    reviewer: Reviewer,
    facts: dict[str, Fact] | None = None,
    personal: dict[str, str] | None = None,
) -> Act:
    """What the record keeps of something that a person did with a match."""
    return Act(
        kind,
        action,
        deployment_id=deployment_id,
        resource=f"deployments/{deployment_id}/matches/{match_id}",
        machine=reviewer.machine,
        facts={"match": match_id, **(facts or {})},
        personal={"person": reviewer.user_id, **(personal or {})},
    )


def picture_id(jpeg: bytes) -> str:
    """What names a picture: SHA-256, hexadecimal."""
    return hashlib.sha256(jpeg).hexdigest()


def _view(txn: Transaction, record: MatchRecord, reviewer: Reviewer, rule: ReviewRule) -> View:
    """The one place that says what goes out of a match."""
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


def _check_reasons(verdict: Verdict) -> None:
    fitting = GROUNDS[verdict.decision]
    if wrong := sorted(set(verdict.reasons) - fitting):
        raise InvalidInput(
            f"{wrong[0].replace('_', '-')} is no reason for {verdict.decision}; these are: "
            + ", ".join(sorted(ground.replace("_", "-") for ground in fitting)),
            reason="REASON_DOES_NOT_FIT",
            field="reasons",
        )
