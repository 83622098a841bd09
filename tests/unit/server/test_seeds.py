"""Known cases: matches to everyone, counted nowhere, and what they show of who judges them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cordon_server.domain import Box, Candidate
from cordon_server.matches.places import Verdict
from cordon_server.matches.records import (
    Decision,
    MatchRecord,
    Reviewer,
)
from cordon_server.matches.room import TABLES, Matches, open_matches
from cordon_server.matches.seeds import Case, SeededCases
from cordon_server.matches.views import ReviewRule, picture_id
from cordon_server.store.environment import Environment
from tests.unit.server.matching import ANNA, BEN, DEPLOYMENT, SUE, WHY, F, T, U
from tests.unit.server.rooms import (
    MODEL,
    NOON,
    QUALITY,
    Clock,
    KeptActs,
    a_frame,
    a_sighting,
    open_environment,
)

TAKEN_AT = NOON - timedelta(milliseconds=170)
ENTRY = Candidate("s-1", "0123456789abcdef", 1.0, 1.0, 0.5, "wanted")
CASE = Case(ENTRY, "north", 41, TAKEN_AT, b"a face", QUALITY, True)


@pytest.fixture
async def environment(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "matches", TABLES, writer)
    yield environment
    await environment.close()


@pytest.fixture
def matches(environment: Environment, clock: Clock) -> Matches:
    return open_matches(
        environment,
        deployment_id=DEPLOYMENT,
        model_id=MODEL,
        rule=ReviewRule(2, is_blind=True),
        recorder=KeptActs(),
        clock=clock,
    )


def cases(matches: Matches, environment: Environment, seed: int = 1) -> SeededCases:
    return SeededCases(matches.log, environment, chance=random.Random(seed))


async def judge(matches: Matches, match: int, who: Reviewer, decision: Decision) -> None:
    shown = await matches.review.show(match, who, [])
    verdict = Verdict(decision, (WHY[decision],), frozenset(map(picture_id, shown)))
    await matches.review.judge(match, verdict, who, [], dry_run=False)


@pytest.mark.serves("R27")
async def test_a_case_is_a_match_in_every_field_and_among_the_real_ones_in_every_figure(
    matches: Matches, environment: Environment
) -> None:
    real = [0.61, 0.66, 0.72, 0.81]
    await matches.log.append(a_frame(40), [a_sighting(f"s-{n}", n) for n in real])
    placed = cases(matches, environment)

    for _ in range(20):
        case = await matches.log.get(await placed.place(CASE, "sue"))

        assert set(case.__struct_fields__) == set(MatchRecord.__struct_fields__)
        assert (case.entry_id, case.category, case.camera_id) == ("s-1", "wanted", "north")
        assert (case.revision, case.model_id) == (0, MODEL)
        assert (case.frame_sequence, case.captured_at) == (41, TAKEN_AT)
        assert min(abs(case.score - score) for score in real) <= 0.01
        assert case.score not in real
        assert case.score >= 0.5
        assert 0 < case.margin <= case.score
        assert timedelta(0) < case.create_time - case.captured_at < timedelta(seconds=1)
    assert await matches.log.probes(case.match_id) == [b"a face"]
    assert (await matches.log.count(), await matches.log.count_alerts()) == (24, 4)


async def test_a_case_begins_as_the_matches_of_its_camera_do(
    matches: Matches, environment: Environment
) -> None:
    seen = replace(a_sighting("s-2"), box=Box(2000.0, 900.0, 60.0, 80.0), observations=1)
    await matches.log.append(a_frame(40), [seen])
    await matches.log.append(a_frame(42), [replace(seen, observations=9)], (1,))
    await matches.log.append(a_frame(40, camera_id="south"), [a_sighting("s-3")])
    placed = cases(matches, environment)

    for _ in range(20):
        case = await matches.log.get(await placed.place(CASE, "sue"))

        assert case.observations == 1
        assert abs(case.box.x + case.box.width / 2 - 2030) <= 20
        assert abs(case.box.y + case.box.height / 2 - 940) <= 20


async def test_a_case_is_what_recognition_would_say_of_its_entry(
    matches: Matches, environment: Environment
) -> None:
    await matches.log.append(a_frame(40), [a_sighting("s-2")])  # With a margin of 0.25.
    entry = replace(ENTRY, margin_min=0.3, look_alikes=("s-7", "s-8"))
    placed = cases(matches, environment)

    case = await matches.log.get(await placed.place(replace(CASE, candidate=entry), "sue"))

    assert 0.3 <= case.margin <= case.score
    assert case.look_alikes == ("s-7", "s-8")


async def test_where_there_is_no_match_yet_a_case_lies_above_the_threshold(
    matches: Matches, environment: Environment
) -> None:
    for threshold in (0.3, 0.5, 0.9):
        placed = cases(matches, environment, seed=int(threshold * 10))
        entry = replace(ENTRY, threshold=threshold)
        case = await matches.log.get(await placed.place(replace(CASE, candidate=entry), "sue"))
        assert case.score >= threshold + 0.01


@pytest.mark.serves("R27")
async def test_the_report_measures_each_person_on_what_he_judged_of_others_cases(
    matches: Matches, environment: Environment, clock: Clock
) -> None:
    placed = cases(matches, environment)
    truths = [True, True, False, False]
    ids = [await placed.place(replace(CASE, is_true=is_true), "sue") for is_true in truths]
    (real,) = await matches.log.append(a_frame(50), (a_sighting("s-2"),))
    for match, first, second in zip(ids, (T, F, T, F), (T, U, F, F), strict=True):
        await judge(matches, match, ANNA, first)
        await judge(matches, match, BEN, second)
    await judge(matches, real, ANNA, F)
    clock.advance(hours=1)
    late = await placed.place(CASE, "sue")
    await judge(matches, late, ANNA, T)
    await judge(matches, late, SUE, T)

    anna, ben = await placed.report(None)

    assert (anna.user_id, ben.user_id) == ("anna", "ben"), "who made a case is not measured on it"
    assert (anna.missed.count, anna.missed.of) == (1, 3)
    assert (anna.accepted.count, anna.accepted.of) == (1, 2)
    assert (anna.errors.count, anna.errors.of) == (2, 5)
    assert (ben.missed.count, ben.accepted.count, ben.undecided.count) == (0, 0, 1)
    assert anna.errors.low < 0.4 < anna.errors.high
    (later,) = await placed.report(clock.now - timedelta(minutes=1))
    assert (later.user_id, later.errors.of) == ("anna", 1)
    for match in ids:
        await matches.log.purge(match)
    assert await placed.report(None) == [anna, ben]


@pytest.mark.serves("R11")
async def test_the_report_tells_nothing_of_a_case_that_another_has_to_judge(
    matches: Matches, environment: Environment
) -> None:
    placed = cases(matches, environment)
    case = await placed.place(CASE, "ed")
    await judge(matches, case, ANNA, F)

    assert await placed.report(None) == []

    await judge(matches, case, SUE, T)
    assert [(each.user_id, each.missed.count) for each in await placed.report(None)] == [
        ("anna", 1),
        ("sue", 0),
    ]
