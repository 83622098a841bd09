"""Who may judge a match, when, and on which pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cordon_server.domain import CordonError, InvalidInput, NotPermitted, NotReady
from cordon_server.matches.places import LEASE, SUPERVISOR, Verdict
from cordon_server.matches.records import GROUNDS, Decision, Ground, Reviewer
from tests.unit.server.matching import (
    ANNA,
    BEN,
    CARL,
    REFERENCES,
    SUE,
    WHY,
    F,
    ReviewDesk,
    T,
    U,
    a_desk,
    refused,
    reviewer,
)
from tests.unit.server.rooms import Clock, a_frame, a_sighting


@pytest.fixture
async def desk(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[ReviewDesk]:
    async with a_desk(tmp_path, writer, clock) as desk:
        yield desk


async def test_of_two_who_judge_at_once_one_is_refused(desk: ReviewDesk) -> None:
    answers = await asyncio.gather(desk.judge(ANNA, T), desk.judge(BEN, F), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["NotReady", "View"]


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
    desk: ReviewDesk, second: Reviewer, reason: str, kind: type[CordonError]
) -> None:
    desk.open(2)
    await desk.judge(ANNA, T)

    await refused(reason, desk.judge(second, F), kind)
    await refused(reason, desk.matches.review.claim(1, second, dry_run=False), kind)

    assert await desk.decision() is None
    await desk.judge(BEN, T)
    assert await desk.decision() is T


async def test_what_two_leave_undecided_a_supervisor_settles_once(desk: ReviewDesk) -> None:
    desk.open(2)
    await desk.judge(ANNA, T)
    await desk.judge(BEN, F)
    assert "supervisor" in await refused("DECIDED", desk.judge(CARL, T))

    ruled = await desk.judge(SUE, F)

    assert await desk.decision() is F
    assert [each.number for each in ruled.judgements] == [1, 2, 3]
    await refused("DECIDED", desk.judge(reviewer("tim", is_supervisor=True), T))


async def test_what_one_leaves_undecided_a_supervisor_settles_by_the_same_number(
    desk: ReviewDesk,
) -> None:
    await desk.judge(ANNA, U)

    ruled = await desk.judge(SUE, F)

    assert [each.number for each in ruled.judgements] == [1, SUPERVISOR]


async def test_a_supervisor_who_judged_does_not_settle_his_own_case(desk: ReviewDesk) -> None:
    desk.open(2)
    await desk.judge(SUE, T)
    await desk.judge(BEN, F)

    await refused("ALREADY_JUDGED", desk.judge(SUE, F))


async def test_a_claim_keeps_a_place_for_a_while(desk: ReviewDesk) -> None:
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
async def test_two_places_are_refused_alike_whether_they_are_claimed_or_judged(
    desk: ReviewDesk,
) -> None:
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
    desk: ReviewDesk,
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


async def test_a_reference_that_is_gone_is_a_changed_picture(desk: ReviewDesk) -> None:
    verdict = Verdict(T, (WHY[T],), await desk.look(ANNA))
    gone = desk.matches.review.judge(1, verdict, ANNA, REFERENCES[:1], dry_run=False)

    await refused("PICTURES_CHANGED", gone)


async def test_reasons_go_with_the_decision(desk: ReviewDesk) -> None:
    for decision in Decision:
        for ground in set(Ground) - GROUNDS[decision]:
            words = await refused(
                "REASON_DOES_NOT_FIT", desk.judge(ANNA, decision, reasons=[ground]), InvalidInput
            )
            assert ground.replace("_", "-") in words
    assert set().union(*GROUNDS.values()) == set(Ground)
