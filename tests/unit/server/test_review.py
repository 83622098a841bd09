"""People's decisions: who may judge, on what, and what they are told before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from cordon_server.domain import (
    CordonError,
    InvalidInput,
    NotFound,
    NotPermitted,
    NotReady,
    NotRecorded,
)
from cordon_server.matches.places import LEASE, Verdict
from cordon_server.matches.records import (
    GROUNDS,
    TABLES,
    Decision,
    Ground,
    Outcome,
    Reviewer,
    SeedRecord,
)
from cordon_server.matches.room import Matches, open_matches
from cordon_server.matches.views import ReviewRule, View, picture_id
from cordon_server.store.environment import Environment
from tests.unit.server.matching import ANNA, BEN, CARL, DEPLOYMENT, SUE, reviewer
from tests.unit.server.rooms import (
    MODEL,
    Clock,
    KeptActs,
    a_frame,
    a_sighting,
    facing,
    open_environment,
)

T, F, U = Decision.TRUE, Decision.FALSE, Decision.UNDECIDED
WHY = {T: Ground.FEATURES_AGREE, F: Ground.FEATURES_DIFFER, U: Ground.PICTURE_POOR}
REFERENCES = [b"reference one", b"reference two"]


@dataclass
class Desk:
    """The matches of a deployment and the people who judge them."""

    environment: Environment
    clock: Clock
    acts: KeptActs

    def open(self, reviewers: int = 1, *, is_blind: bool = False) -> Matches:
        self.matches = open_matches(
            self.environment,
            deployment_id=DEPLOYMENT,
            model_id=MODEL,
            rule=ReviewRule(reviewers, is_blind),
            recorder=self.acts,
            clock=self.clock,
        )
        return self.matches

    async def raise_match(self, *, seed: SeedRecord | None = None) -> int:
        sighting = replace(a_sighting("s-1"), vector=None if seed else facing(10).vector)
        (match,) = await self.matches.log.append(a_frame(1), (sighting,), seed=seed)
        return match

    async def look(self, who: Reviewer, match: int = 1) -> frozenset[str]:
        probes = await self.matches.review.show(match, who, REFERENCES)
        return frozenset(map(picture_id, (*probes, *REFERENCES)))

    async def judge(
        self,
        who: Reviewer,
        decision: Decision,
        match: int = 1,
        *,
        pictures: frozenset[str] | None = None,
        reasons: Iterable[Ground] | None = None,
        dry_run: bool = False,
    ) -> View:
        if pictures is None:
            pictures = await self.look(who, match)
        verdict = Verdict(decision, tuple(reasons or (WHY[decision],)), pictures)
        return await self.matches.review.judge(match, verdict, who, REFERENCES, dry_run=dry_run)

    async def view(self, who: Reviewer, match: int = 1) -> View:
        records = [await self.matches.log.get(match)]
        return (await self.matches.review.views(records, who))[0]

    async def decision(self, match: int = 1) -> Decision | None:
        made = (await self.matches.log.get(match)).adjudication
        return None if made is None else made.decision


@pytest.fixture
async def desk(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[Desk]:
    environment = open_environment(tmp_path / "matches", TABLES, writer)
    desk = Desk(environment, clock, KeptActs())
    desk.open()
    await desk.raise_match()
    yield desk
    await environment.close()


async def refused(reason: str, act: object, kind: type[CordonError] = NotReady) -> str:
    """That it is refused for this reason; in which words."""
    with pytest.raises(kind) as error:
        await act  # type: ignore[misc]  # a coroutine of any answer
    assert error.value.reason == reason
    return error.value.message


@pytest.mark.serves("R10")
async def test_one_reviewers_judgement_is_the_decision_and_it_stands(desk: Desk) -> None:
    decided = await desk.judge(ANNA, F)
    made_at = desk.clock.now
    desk.clock.advance(minutes=1)

    again = await desk.judge(ANNA, F)

    assert decided.record.adjudication is not None
    assert decided.record.adjudication.decision is F
    assert decided.record.adjudication.adjudicator == ANNA.machine
    assert decided.record.adjudication.create_time == made_at
    assert again == decided
    assert [each.reviewer for each in again.judgements] == [ANNA]
    await refused("ALREADY_JUDGED", desk.judge(ANNA, T))
    assert "stands" in await refused("DECIDED", desk.judge(BEN, F))
    assert await desk.decision() is F


async def test_of_two_who_judge_at_once_one_is_refused(desk: Desk) -> None:
    answers = await asyncio.gather(desk.judge(ANNA, T), desk.judge(BEN, F), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["NotReady", "View"]


@pytest.mark.serves("R10")
async def test_a_trial_changes_nothing_and_tells_nothing(desk: Desk) -> None:
    desk.open(is_blind=True)

    trial = await desk.judge(ANNA, T, dry_run=True)

    assert trial.is_withheld
    assert await desk.decision() is None
    assert "match.adjudicated" not in desk.acts.actions
    assert await desk.matches.review.claim(1, ANNA, dry_run=True) == desk.clock.now + LEASE
    await desk.judge(BEN, T)


@pytest.mark.serves("R11")
async def test_two_reviewers_decide_by_the_rule_and_neither_alone(desk: Desk) -> None:
    for match, (first, second, fused) in enumerate(
        [(T, T, T), (F, F, F), (T, F, U), (F, T, U), (T, U, U), (U, U, U)], 1
    ):
        desk.open(2, is_blind=True)
        if match > 1:
            await desk.raise_match()

        await desk.judge(ANNA, first, match)
        assert await desk.decision(match) is None
        await desk.judge(BEN, second, match)

        assert await desk.decision(match) is fused, (first, second)
        await refused("DECIDED", desk.judge(CARL, T, match))


@pytest.mark.serves("R11")
@pytest.mark.parametrize(
    ("second", "reason", "kind"),
    [
        (reviewer("anna", "another-desk"), "ALREADY_JUDGED", NotReady),
        (reviewer("ben", "desk-anna"), "NOT_THIS_DESK", NotPermitted),
        (Reviewer("ben", ANNA.session_id, "x", "y"), "NOT_THIS_DESK", NotPermitted),
        (Reviewer("ben", "b", ANNA.machine, "a renewed one"), "NOT_THIS_DESK", NotPermitted),
        (Reviewer("ben", "b", "renamed", ANNA.certificate), "NOT_THIS_DESK", NotPermitted),
    ],
    ids=["user", "desk", "session", "workstation", "certificate"],
)
async def test_the_second_reviewer_differs_in_everything(
    desk: Desk, second: Reviewer, reason: str, kind: type[CordonError]
) -> None:
    desk.open(2)
    await desk.judge(ANNA, T)

    await refused(reason, desk.judge(second, F), kind)
    await refused(reason, desk.matches.review.claim(1, second, dry_run=False), kind)

    assert await desk.decision() is None
    await desk.judge(BEN, T)
    assert await desk.decision() is T


async def test_what_two_leave_undecided_a_supervisor_settles_once(desk: Desk) -> None:
    desk.open(2)
    await desk.judge(ANNA, T)
    await desk.judge(BEN, F)
    assert "supervisor" in await refused("DECIDED", desk.judge(CARL, T))

    ruled = await desk.judge(SUE, F)

    assert await desk.decision() is F
    assert [each.number for each in ruled.judgements] == [1, 2, 3]
    await refused("DECIDED", desk.judge(reviewer("tim", is_supervisor=True), T))


async def test_a_supervisor_who_judged_does_not_settle_his_own_case(desk: Desk) -> None:
    desk.open(2)
    await desk.judge(SUE, T)
    await desk.judge(BEN, F)

    await refused("ALREADY_JUDGED", desk.judge(SUE, F))


@pytest.mark.serves("R10")
async def test_what_is_told_of_a_match_before_and_after_ones_own_judgement(desk: Desk) -> None:
    desk.open(2, is_blind=True)
    before = await desk.view(BEN)
    await desk.judge(ANNA, T)

    assert before == await desk.view(BEN), "that somebody has judged shows nowhere"
    assert before.is_withheld
    own = await desk.view(ANNA)
    assert not own.is_withheld
    assert [each.reviewer for each in own.judgements] == [ANNA]
    assert own.record.adjudication is None

    await desk.judge(BEN, T)

    for who in (ANNA, BEN, CARL):
        told = await desk.view(who)
        assert not told.is_withheld
        assert [each.reviewer for each in told.judgements] == [ANNA, BEN]
        assert told.record.adjudication is not None


@pytest.mark.serves("R11")
async def test_where_two_judge_openly_neither_sees_the_others_judgement_first(desk: Desk) -> None:
    desk.open(2)
    await desk.judge(ANNA, T)

    told = await desk.view(BEN)

    assert (told.is_withheld, told.judgements, told.record.adjudication) == (False, (), None)


async def test_a_claim_keeps_a_place_for_a_while(desk: Desk) -> None:
    claim = desk.matches.review.claim
    until = await claim(1, ANNA, dry_run=False)

    assert until == desk.clock.now + LEASE
    await refused("MATCH_CLAIMED", claim(1, BEN, dry_run=False))
    await refused("MATCH_CLAIMED", desk.judge(BEN, T))
    desk.clock.advance(seconds=30)
    assert await claim(1, ANNA, dry_run=False) == until + timedelta(seconds=30)
    desk.clock.advance(seconds=LEASE.seconds)
    await claim(1, BEN, dry_run=False)
    await refused("MATCH_CLAIMED", desk.judge(ANNA, T))
    await desk.judge(BEN, T)
    assert desk.acts.actions == ["match.raised", *["match.claimed"] * 3, "match.adjudicated"]


@pytest.mark.serves("R11")
async def test_two_places_are_refused_alike_whether_they_are_claimed_or_judged(desk: Desk) -> None:
    desk.open(2)
    claim = desk.matches.review.claim
    await claim(1, ANNA, dry_run=False)
    await claim(1, BEN, dry_run=False)
    claimed = await refused("MATCH_CLAIMED", claim(1, CARL, dry_run=False))
    await desk.judge(ANNA, T)

    judged = await refused("MATCH_CLAIMED", claim(1, CARL, dry_run=False))

    assert judged == claimed


@pytest.mark.serves("R12")
async def test_a_judgement_names_the_pictures_that_were_sent_and_still_are_the_matchs(
    desk: Desk,
) -> None:
    seen = await desk.look(BEN)
    await refused("PICTURES_NOT_SHOWN", desk.judge(ANNA, T, pictures=seen))
    await refused("PICTURES_NOT_SHOWN", desk.judge(BEN, T, pictures=frozenset()))
    await refused("PICTURES_NOT_SHOWN", desk.judge(BEN, T, pictures=seen | {"0" * 64}))
    better = replace(a_sighting("s-1", 0.9), probe_jpeg=b"better")
    await desk.matches.log.append(a_frame(2), (better,), (1,))
    await refused("PICTURES_CHANGED", desk.judge(BEN, T, pictures=seen))

    decided = await desk.judge(BEN, T)

    assert set(decided.judgements[0].picture_ids) == await desk.look(BEN) != seen
    assert decided.record.revision == 1
    assert desk.acts.acts[-1].personal["pictures"].split() == list(
        decided.judgements[0].picture_ids
    )


async def test_a_reference_that_is_gone_is_a_changed_picture(desk: Desk) -> None:
    verdict = Verdict(T, (WHY[T],), await desk.look(ANNA))
    gone = desk.matches.review.judge(1, verdict, ANNA, REFERENCES[:1], dry_run=False)

    await refused("PICTURES_CHANGED", gone)


async def test_reasons_go_with_the_decision(desk: Desk) -> None:
    for decision in Decision:
        for ground in set(Ground) - GROUNDS[decision]:
            words = await refused(
                "REASON_DOES_NOT_FIT", desk.judge(ANNA, decision, reasons=[ground]), InvalidInput
            )
            assert ground.replace("_", "-") in words
    assert set().union(*GROUNDS.values()) == set(Ground)


async def test_of_a_match_that_is_not_there_nothing_can_be_done(desk: Desk) -> None:
    for act in (
        desk.matches.review.claim(7, ANNA, dry_run=False),
        desk.judge(ANNA, T, 7, pictures=frozenset()),
        desk.matches.review.show(7, ANNA, REFERENCES),
        desk.matches.outcomes.record(7, Outcome.LOST, ANNA, dry_run=False),
    ):
        with pytest.raises(NotFound, match="no match 7"):
            await act


@pytest.mark.serves("R12")
async def test_what_people_do_is_on_record_before_it_holds(desk: Desk) -> None:
    desk.open(2)
    await desk.judge(ANNA, T)
    pictures = await desk.look(BEN)
    desk.acts.full |= {"match.claimed", "match.adjudicated"}
    for act in (
        desk.judge(BEN, T, pictures=pictures),
        desk.matches.review.claim(1, BEN, dry_run=False),
    ):
        with pytest.raises(NotRecorded):
            await act
    assert await desk.decision() is None
    desk.acts.full.clear()

    await desk.judge(BEN, T)

    first, second = [act for act in desk.acts.acts if act.action == "match.adjudicated"]
    assert first.facts == {
        "match": 1,
        "judgement": "true",
        "reasons": "features_agree",
        "reviewer": 1,
        "decision": "",
    }
    assert (second.facts["reviewer"], second.facts["decision"]) == (2, "true")
    assert (second.machine, second.personal["person"]) == (BEN.machine, "ben")
    assert second.resource == "deployments/market/matches/1"


@pytest.mark.serves("R10")
async def test_an_outcome_needs_a_decision_and_may_be_replaced(desk: Desk) -> None:
    desk.open(2)
    record = desk.matches.outcomes.record
    await desk.judge(ANNA, T)
    await refused("NOT_DECIDED", record(1, Outcome.ARRESTED, ANNA, dry_run=False))
    await desk.judge(BEN, T)

    await record(1, Outcome.LOST, ANNA, dry_run=True)
    assert (await desk.view(ANNA)).outcome is None
    await record(1, Outcome.STOPPED_CONFIRMED, ANNA, dry_run=False)
    await record(1, Outcome.ARRESTED, BEN, dry_run=False)

    came = (await desk.view(CARL)).outcome
    assert came is not None
    assert came.outcome is Outcome.ARRESTED
    outcomes = [act.facts["outcome"] for act in desk.acts.acts if act.action == "match.outcome"]
    assert outcomes == ["stopped_confirmed", "arrested"]


async def test_a_corrected_outcome_silences_nobody_and_a_false_match_stays_silenced(
    desk: Desk,
) -> None:
    record = desk.matches.outcomes.record
    await desk.judge(ANNA, T)
    await desk.judge(ANNA, F, await desk.raise_match())

    silenced = []
    for outcome in (Outcome.STOPPED_WRONG, Outcome.ARRESTED, Outcome.STOPPED_WRONG, Outcome.LOST):
        for match in (1, 2):
            await record(match, outcome, ANNA, dry_run=False)
        silenced.append(len(desk.matches.silenced))

    assert silenced == [2, 1, 2, 1]
    assert len(desk.open().silenced) == 1


async def test_decisions_stand_after_reopening(desk: Desk) -> None:
    await desk.judge(ANNA, F)

    desk.open()

    assert await desk.decision() is F
    assert len(desk.matches.silenced) == 1


@pytest.mark.serves("R27")
async def test_known_cases_go_on_record_as_such_and_silence_nobody(desk: Desk) -> None:
    case = await desk.raise_match(seed=SeedRecord(is_true=True, user_id="sue"))
    await desk.judge(ANNA, F, case)
    await desk.matches.outcomes.record(case, Outcome.STOPPED_WRONG, ANNA, dry_run=False)

    assert desk.acts.actions == [
        "match.raised",
        "match.raised",
        "match.adjudicated",
        "match.outcome",
    ]
    assert [act.facts.get("seeded") for act in desk.acts.acts] == [None, "true", "true", "true"]
    assert len(desk.matches.silenced) == 0
