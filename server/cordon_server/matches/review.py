"""People's decisions on matches, from the claim to the decision (R10, R11).

A reviewer claims a match, is sent its pictures, and judges. What he is told before is said in
`views`, who may judge and on which pictures in `places`, and what becomes of the judgements in
`fusion`; here they are put to work, and what they make is recorded and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from cordon_server.acts import Act, AuditClass, Fact, Recorder
from cordon_server.matches.acting import act_of
from cordon_server.matches.fusion import fuse
from cordon_server.matches.log import MatchLog
from cordon_server.matches.places import (
    LEASE,
    SUPERVISOR,
    Verdict,
    check_may_judge,
    check_pictures,
    check_reasons,
)
from cordon_server.matches.records import (
    CLAIMS,
    JUDGEMENTS,
    MATCHES,
    SEED_RESULTS,
    SEEDS,
    SHOWN,
    AdjudicationRecord,
    ClaimRecord,
    Decision,
    JudgementRecord,
    MatchRecord,
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
from cordon_server.matches.views import ReviewRule, View, picture_id, view_of
from cordon_server.store.environment import Environment, Transaction


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
            lambda txn: [view_of(txn, record, reviewer, rule) for record in records]
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
        check_reasons(verdict)
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
        check_pictures(
            txn, match_id, verdict, reviewer, references, deployment_id=self._deployment_id
        )
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
        return check_may_judge(
            txn, record, reviewer, reviewers=self._rule.reviewers, now=self._clock()
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
