from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cordon_server.domain import NotFound, NotRecorded, StorageFull
from cordon_server.matches.log import MatchLog
from cordon_server.matches.records import (
    PROBES_MAX,
    TABLES,
    MatchRecord,
    SeedRecord,
)
from cordon_server.store.environment import Environment, Table, Transaction
from tests.unit.server.matching import ANNA, DEPLOYMENT, judged
from tests.unit.server.rooms import (
    MODEL,
    Clock,
    KeptActs,
    a_frame,
    a_sighting,
    facing,
    open_environment,
)


@pytest.fixture
async def environment(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "log", TABLES, writer)
    yield environment
    await environment.close()


@pytest.fixture
def acts() -> KeptActs:
    return KeptActs()


@pytest.fixture
def log(environment: Environment, acts: KeptActs, clock: Clock) -> MatchLog:
    return opened(environment, clock, acts)


def opened(environment: Environment, clock: Clock, acts: KeptActs | None = None) -> MatchLog:
    return MatchLog(
        environment,
        deployment_id=DEPLOYMENT,
        model_id=MODEL,
        recorder=KeptActs() if acts is None else acts,
        clock=clock,
    )


async def after(log: MatchLog, sequence: int, count: int = 1000) -> list[MatchRecord]:
    """What stands after a sequence; nothing of it was deleted."""
    return [match for _, match in await log.after(sequence, count) if match]


async def append(log: MatchLog, count: int, frame: int = 1) -> None:
    await log.append(a_frame(frame), tuple(a_sighting(f"s-{n}") for n in range(count)))


async def test_a_match_says_what_was_seen_where_when_and_by_which_rule(
    log: MatchLog, clock: Clock
) -> None:
    clock.advance(seconds=2)
    sighting = a_sighting("s-1", 0.71)
    frame = a_frame(9, camera_id="south")

    await log.append(frame, (sighting,))

    match = await log.get(1)
    assert (match.camera_id, match.frame_sequence) == ("south", 9)
    assert (match.captured_at, match.create_time) == (frame.captured_at, clock.now)
    assert (match.entry_id, match.category, match.score) == ("s-1", "wanted", 0.71)
    assert (match.margin, match.threshold, match.model_id) == (0.25, 0.5, MODEL)
    assert (match.box, match.quality) == (sighting.box, sighting.quality)
    assert match.adjudication is None
    assert await log.probes(1) == [b"probe of s-1"]


async def test_sequences_have_no_gap_however_many_append_at_once(log: MatchLog) -> None:
    counts = [1, 3, 0, 2, 1, 5, 0, 1, 4, 2]
    await asyncio.gather(*(append(log, count, frame) for frame, count in enumerate(counts, 1)))

    matches = await after(log, 0, 1000)
    assert [match.sequence for match in matches] == list(range(1, sum(counts) + 1))
    assert log.head == sum(counts)
    for frame, count in enumerate(counts, 1):
        own = [match.sequence for match in matches if match.frame_sequence == frame]
        assert own == list(range(own[0], own[0] + count)) if count else own == []


async def test_the_log_goes_on_where_it_stood_after_reopening(
    tmp_path: Path, writer: Executor, clock: Clock
) -> None:
    first = open_environment(tmp_path / "again", TABLES, writer)
    log = opened(first, clock)
    await append(log, 3)
    second_match = await log.get(2)
    await first.close()

    second = open_environment(tmp_path / "again", TABLES, writer)
    reopened = opened(second, clock)
    assert reopened.head == 3
    await append(reopened, 1)

    assert [match.sequence for match in await after(reopened, 0, 9)] == [1, 2, 3, 4]
    assert await reopened.get(2) == second_match
    await second.close()


async def test_reading_goes_on_after_a_sequence_in_order_and_in_portions(log: MatchLog) -> None:
    await append(log, 7)

    assert [match.sequence for match in await after(log, 0, 3)] == [1, 2, 3]
    assert [match.sequence for match in await after(log, 3, 3)] == [4, 5, 6]
    assert [match.sequence for match in await after(log, 6, 3)] == [7]
    assert await after(log, 7, 3) == []
    assert await after(log, 2**64 - 1, 3) == []


async def test_order_holds_past_the_first_byte_of_the_key(log: MatchLog) -> None:
    await append(log, 300)

    assert [match.sequence for match in await after(log, 250, 50)] == list(range(251, 301))


async def test_a_wait_ends_when_the_log_has_grown(log: MatchLog) -> None:
    waiting = asyncio.create_task(log.wait_beyond(1, 30))
    await append(log, 1)
    assert not waiting.done()
    await append(log, 1)

    await asyncio.wait_for(waiting, 5)


async def test_a_wait_for_what_is_there_is_none(log: MatchLog) -> None:
    await append(log, 1)

    await asyncio.wait_for(log.wait_beyond(0, 30), 5)


async def test_a_wait_ends_with_its_time_and_with_the_log(log: MatchLog) -> None:
    await asyncio.wait_for(log.wait_beyond(0, 0.01), 5)
    waiting = asyncio.create_task(log.wait_beyond(0, 30))
    await asyncio.sleep(0)

    await log.close()

    await asyncio.wait_for(waiting, 5)
    assert log.is_closed
    await asyncio.wait_for(log.wait_beyond(99, 30), 5)


async def test_a_match_that_is_not_there_is_said_with_where_the_log_ends(log: MatchLog) -> None:
    await append(log, 2)

    for asked in (
        log.get(3),
        log.probes(3),
    ):
        with pytest.raises(NotFound, match=r"no match 3 .* ends at 2"):
            await asked


async def test_a_full_disk_costs_no_sequence_and_nothing_acknowledged(
    tmp_path: Path, writer: Executor, clock: Clock
) -> None:
    environment = open_environment(tmp_path / "full", TABLES, writer, size_bytes_max=2**20)
    log = opened(environment, clock)

    async def fill() -> None:
        while True:
            await append(log, 100)

    with pytest.raises(StorageFull):
        await fill()

    head = log.head
    assert head >= 100
    assert [m.sequence for m in await after(log, 0, 100_000)] == list(range(1, head + 1))
    await environment.close()


async def test_a_better_view_is_a_revision_of_the_same_match_with_a_sequence_of_its_own(
    log: MatchLog, clock: Clock
) -> None:
    (first,) = await log.append(a_frame(1), (a_sighting("s-1", 0.6),))
    (other,) = await log.append(a_frame(2), (a_sighting("s-2", 0.7),))
    clock.advance(seconds=3)
    sighting = replace(a_sighting("s-1", 0.8), probe_jpeg=b"better", observations=3)

    again = await log.append(a_frame(3, camera_id="south"), (sighting,), (first,))

    assert (first, other, again) == (1, 2, [1])
    steps = [(m.sequence, m.match_id, m.revision, m.score) for m in await after(log, 0, 9)]
    assert steps == [(1, 1, 0, 0.6), (2, 2, 0, 0.7), (3, 1, 1, 0.8)]
    assert log.head == 3
    newest = await log.get(1)
    assert (newest.sequence, newest.revision, newest.observations) == (3, 1, 3)
    assert (newest.frame_sequence, newest.camera_id) == (3, "south")
    assert newest.create_time == clock.now
    assert await log.probes(1) == [b"better", b"probe of s-1"]
    with pytest.raises(NotFound):
        await log.get(3)


async def test_pages_and_the_count_are_of_matches_in_their_newest_state(log: MatchLog) -> None:
    await append(log, 3)
    await log.append(a_frame(2), (a_sighting("s-0", 0.9), a_sighting("s-9")), (1, None))

    assert await log.count() == 4
    page = await log.page(0, 9)
    assert [(m.match_id, m.sequence, m.revision) for m in page] == [
        (1, 4, 1),
        (2, 2, 0),
        (3, 3, 0),
        (5, 5, 0),
    ]
    assert [m.match_id for m in await log.page(2, 1)] == [3]
    assert await log.page(5, 9) == []


async def test_sequences_have_no_gap_when_new_matches_and_revisions_are_mixed_at_once(
    log: MatchLog,
) -> None:
    await append(log, 2)

    await asyncio.gather(
        *(
            log.append(a_frame(n), (a_sighting("s-0"), a_sighting(f"new-{n}")), (1, None))
            for n in range(20)
        )
    )

    steps = await after(log, 0, 100)
    assert [m.sequence for m in steps] == list(range(1, 43))
    assert [m.revision for m in steps if m.match_id == 1] == list(range(21))
    assert await log.count() == 22
    assert log.head == 42


async def test_a_match_that_somebody_has_judged_keeps_what_was_judged(
    log: MatchLog, environment: Environment
) -> None:
    await append(log, 1)
    before = await log.get(1)
    await judged(environment, 1, ANNA)
    better = replace(a_sighting("s-0", 0.99), probe_jpeg=b"somebody else")

    matches = await log.append(a_frame(2), (better, a_sighting("s-5")), (1, None))

    assert matches == [1, 2]
    assert await log.get(1) == before
    assert await log.probes(1) == [b"probe of s-0"]
    assert [(m.sequence, m.match_id) for m in await after(log, 0, 9)] == [(1, 1), (2, 2)]


async def test_a_revision_wakes_who_waits(log: MatchLog) -> None:
    await append(log, 1)
    waiting = asyncio.create_task(log.wait_beyond(1, 30))
    await log.append(a_frame(2), (a_sighting("s-0", 0.9),), (1,))

    await asyncio.wait_for(waiting, 5)
    assert [m.revision for m in await after(log, 1, 9)] == [1]


async def test_revisions_go_on_after_reopening(
    tmp_path: Path, writer: Executor, clock: Clock
) -> None:
    first = open_environment(tmp_path / "revised", TABLES, writer)
    log = opened(first, clock)
    await append(log, 1)
    await log.append(a_frame(2), (a_sighting("s-0", 0.8),), (1,))
    await first.close()

    second = open_environment(tmp_path / "revised", TABLES, writer)
    reopened = opened(second, clock)
    await append(reopened, 1, frame=3)

    assert [(m.sequence, m.match_id) for m in await after(reopened, 0, 9)] == [
        (1, 1),
        (2, 1),
        (3, 3),
    ]
    await second.close()


async def test_a_match_keeps_its_newest_views_the_best_first(log: MatchLog) -> None:
    await append(log, 1)
    for number in range(1, PROBES_MAX + 2):
        better = replace(a_sighting("s-0", 0.7 + number / 100), probe_jpeg=b"%d" % number)
        await log.append(a_frame(1 + number), (better,), (1,))

    assert await log.probes(1) == [b"5", b"4", b"3", b"2"]


@pytest.mark.serves("R12")
async def test_a_match_is_on_record_before_anyone_can_see_it(log: MatchLog, acts: KeptActs) -> None:
    await append(log, 2)
    await log.append(a_frame(2), (a_sighting("s-0", 0.9),), (1,))

    assert acts.actions == ["match.raised"] * 2
    assert acts.acts[1].facts == {"match": 2, "camera": "north", "category": "wanted"}
    assert (acts.acts[1].deployment_id, acts.acts[1].personal) == (DEPLOYMENT, {"entry": "s-1"})


@pytest.mark.serves("R12")
async def test_what_cannot_be_recorded_is_not_raised(log: MatchLog, acts: KeptActs) -> None:
    acts.full.add("match.raised")
    with pytest.raises(NotRecorded):
        await append(log, 1)
    assert (log.head, await log.count()) == (0, 0)

    acts.full.clear()
    await append(log, 1)

    assert [match.sequence for match in await after(log, 0)] == [1]


@pytest.mark.serves("R4")
async def test_a_purged_match_leaves_its_places_and_nothing_else(
    log: MatchLog, environment: Environment, clock: Clock
) -> None:
    sighting = replace(a_sighting("s-0"), vector=facing(10).vector)
    await log.append(a_frame(1), (sighting, a_sighting("s-1")))
    await log.append(a_frame(2), (replace(sighting, probe_jpeg=b"better"),), (1,))
    await judged(environment, 1, ANNA)

    await log.purge(1)
    await log.purge(1)

    assert [(sequence, match and match.match_id) for sequence, match in await log.after(0, 9)] == [
        (1, None),
        (2, 2),
        (3, None),
    ]

    def keys(txn: Transaction) -> dict[str, list[bytes]]:
        tables: tuple[Table[Any], ...] = TABLES
        return {each.name: [key for key, _ in txn.scan(each)] for each in tables if txn.count(each)}

    left = environment.read_now(keys)
    assert set(left) == {"revisions", "matches", "match_images"}
    assert len(left["matches"]) == len(left["match_images"]) == 1
    with pytest.raises(NotFound):
        await log.get(1)
    assert opened(environment, clock).head == 3


async def test_known_cases_are_matches_to_everyone_and_no_alerts(log: MatchLog) -> None:
    await append(log, 2)
    await log.append(a_frame(2), (a_sighting("s-9"),), seed=SeedRecord(True, "sue"))

    assert (await log.count(), await log.count_alerts()) == (3, 2)

    await log.purge(1)
    await log.purge(3)

    assert (await log.count(), await log.count_alerts()) == (1, 1)
