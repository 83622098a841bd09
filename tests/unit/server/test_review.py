"""People's decisions: what they come to, what is told before, and what is recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from cordon_server.domain import NotFound, NotRecorded
from cordon_server.matches.places import LEASE
from cordon_server.matches.records import Outcome, SeedRecord
from tests.unit.server.matching import (
    ANNA,
    BEN,
    CARL,
    REFERENCES,
    F,
    ReviewDesk,
    T,
    U,
    a_desk,
    refused,
)
from tests.unit.server.rooms import Clock


@pytest.fixture
async def desk(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[ReviewDesk]:
    async with a_desk(tmp_path, writer, clock) as desk:
        yield desk


@pytest.mark.serves("R10")
async def test_one_reviewers_judgement_is_the_decision_and_it_stands(desk: ReviewDesk) -> None:
    decided = await desk.judge(ANNA, F)
    made_at, acts = desk.clock.now, list(desk.acts.actions)
    desk.clock.advance(minutes=1)

    again = await desk.judge(ANNA, F)

    assert desk.acts.actions == acts, "nothing was done"
    assert decided.record.adjudication is not None
    assert decided.record.adjudication.decision is F
    assert decided.record.adjudication.adjudicator == ANNA.machine
    assert decided.record.adjudication.create_time == made_at
    assert again == decided
    assert [each.reviewer for each in again.judgements] == [ANNA]
    await refused("ALREADY_JUDGED", desk.judge(ANNA, T))
    assert "stands" in await refused("DECIDED", desk.judge(BEN, F))
    assert await desk.decision() is F


@pytest.mark.serves("R10")
async def test_a_trial_changes_nothing_and_tells_nothing(desk: ReviewDesk) -> None:
    desk.open(is_blind=True)

    trial = await desk.judge(ANNA, T, dry_run=True)

    assert trial.is_withheld
    assert await desk.decision() is None
    assert "match.adjudicated" not in desk.acts.actions
    assert await desk.matches.review.claim(1, ANNA, dry_run=True) == desk.clock.now + LEASE
    await desk.judge(BEN, T)


@pytest.mark.serves("R11")
async def test_two_reviewers_decide_by_the_rule_and_neither_alone(desk: ReviewDesk) -> None:
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


@pytest.mark.serves("R10")
async def test_what_is_told_of_a_match_before_and_after_ones_own_judgement(
    desk: ReviewDesk,
) -> None:
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
async def test_where_two_judge_openly_neither_sees_the_others_judgement_first(
    desk: ReviewDesk,
) -> None:
    desk.open(2)
    await desk.judge(ANNA, T)

    told = await desk.view(BEN)

    assert (told.is_withheld, told.judgements, told.record.adjudication) == (False, (), None)


async def test_of_a_match_that_is_not_there_nothing_can_be_done(desk: ReviewDesk) -> None:
    for act in (
        desk.matches.review.claim(7, ANNA, dry_run=False),
        desk.judge(ANNA, T, 7, pictures=frozenset()),
        desk.matches.review.show(7, ANNA, REFERENCES),
        desk.matches.outcomes.record(7, Outcome.LOST, ANNA, dry_run=False),
    ):
        with pytest.raises(NotFound, match="no match 7"):
            await act


@pytest.mark.serves("R12")
async def test_what_people_do_is_on_record_before_it_holds(desk: ReviewDesk) -> None:
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
async def test_an_outcome_needs_a_decision_and_may_be_replaced(desk: ReviewDesk) -> None:
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
    desk: ReviewDesk,
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


async def test_decisions_stand_after_reopening(desk: ReviewDesk) -> None:
    await desk.judge(ANNA, F)

    desk.open()

    assert await desk.decision() is F
    assert len(desk.matches.silenced) == 1


@pytest.mark.serves("R27")
async def test_known_cases_go_on_record_as_such_and_silence_nobody(desk: ReviewDesk) -> None:
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
