"""Receipts: what a person who was stopped takes away, and where it leads."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import InvalidInput, NotFound, NotReady, NotRecorded
from cordon_server.matches.codes import ALPHABET, LENGTH, make_code, read_code
from cordon_server.matches.receipts import RECEIPT_TABLES, Receipts
from cordon_server.matches.records import (
    AdjudicationRecord,
    Decision,
    MatchRecord,
    Outcome,
)
from cordon_server.store.environment import Environment
from tests.unit.server.matching import ANNA, BEN
from tests.unit.server.rooms import (
    MODEL,
    NOON,
    QUALITY,
    Clock,
    KeptActs,
    a_sighting,
    open_environment,
)

ONCE = "0a1b2c3d-0000-4000-8000-00000000000a"
SIGHTING = a_sighting("s-1")
UNDECIDED = MatchRecord(
    match_id=7,
    sequence=9,
    revision=1,
    observations=3,
    camera_id="north",
    frame_sequence=5,
    captured_at=NOON,
    create_time=NOON,
    entry_id="s-1",
    category="wanted",
    reference_id="0" * 16,
    score=0.7,
    margin=0.3,
    threshold=0.5,
    box=SIGHTING.box,
    quality=QUALITY,
    model_id=MODEL,
)
DECIDED = msgspec.structs.replace(
    UNDECIDED, adjudication=AdjudicationRecord(Decision.TRUE, ANNA.machine, NOON)
)


@pytest.fixture
async def registry(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "registry", RECEIPT_TABLES, writer)
    yield environment
    await environment.close()


@pytest.fixture
def acts() -> KeptActs:
    return KeptActs()


@pytest.fixture
def receipts(registry: Environment, acts: KeptActs, clock: Clock) -> Receipts:
    return Receipts(registry, site="site.local", recorder=acts, clock=clock)


async def issue(receipts: Receipts, request_id: str = ONCE, *, dry_run: bool = False) -> str:
    return await receipts.issue("market", DECIDED, None, ANNA, request_id, dry_run=dry_run)


def wrong_codes(code: str) -> Iterator[str]:
    """Every code with one character wrong, and every one with two that changed places."""
    for at, character in enumerate(code):
        for other in ALPHABET:
            if other != character:
                yield code[:at] + other + code[at + 1 :]
        for to in range(at + 1, LENGTH):
            if code[to] != character:
                swapped = list(code)
                swapped[at], swapped[to] = swapped[to], swapped[at]
                yield "".join(swapped)


@pytest.mark.serves("R29")
@given(st.binary(min_size=16, max_size=16))
def test_a_code_is_read_as_people_write_it(seed: bytes) -> None:
    code = make_code(seed, "market/7")

    bare = read_code(code)
    assert code == "-".join((bare[:4], bare[4:8], bare[8:]))
    assert set(bare) <= set(ALPHABET)
    assert read_code(f" {code.lower().replace('-', ' ')} ") == bare
    assert make_code(seed, "market/8") != code


@pytest.mark.serves("R29")
def test_one_wrong_character_and_two_that_changed_places_are_always_found() -> None:
    chance = random.Random(29)
    tried = 0
    for _ in range(20):
        for wrong in wrong_codes(read_code(make_code(chance.randbytes(16), "market/7"))):
            tried += 1
            with pytest.raises(InvalidInput, match="wrong, or two have changed places"):
                read_code(wrong)
    assert tried > 8000


@pytest.mark.parametrize(
    "typed", ["", "2222", "2222-2222-22220", "O222-2222-2222", "2222-2222-222é"]
)
def test_what_cannot_be_a_code_is_said(typed: str) -> None:
    with pytest.raises(InvalidInput, match="12 characters"):
        read_code(typed)


@pytest.mark.serves("R29")
async def test_a_code_leads_to_what_when_and_what_came_of_it(
    receipts: Receipts, acts: KeptActs, clock: Clock
) -> None:
    code = await issue(receipts)
    before = await receipts.look_up(code.lower(), BEN)
    await receipts.note("market", DECIDED, Outcome.STOPPED_WRONG)
    after = await receipts.look_up(code, BEN)

    assert (before.deployment_id, before.match_id, before.camera_id) == ("market", 7, "north")
    assert (before.captured_at, before.issue_time) == (NOON, clock.now)
    assert (before.decision, before.outcome) == (Decision.TRUE, None)
    assert after.outcome is Outcome.STOPPED_WRONG
    assert acts.actions == ["match.receipt", "match.receipt_read", "match.receipt_read"]
    assert acts.acts[0].facts == {"match": 7}
    assert acts.acts[1].personal == {"person": "ben"}


@pytest.mark.serves("R29")
async def test_nothing_stored_or_recorded_holds_a_code_or_who_was_listed(
    receipts: Receipts, acts: KeptActs, registry: Environment
) -> None:
    code = await issue(receipts)

    files = b"".join(path.read_bytes() for path in registry.folder.iterdir())
    spoken = repr(acts.acts).encode()
    for written in (files, spoken):
        for kept in (code, read_code(code), "s-1", "wanted"):
            assert kept.encode() not in written
    assert b"north" in files


async def test_the_same_request_gives_the_same_code_and_another_makes_it_void(
    receipts: Receipts,
) -> None:
    first = await issue(receipts)
    again = await issue(receipts)
    other = await issue(receipts, "")

    assert first == again != other
    with pytest.raises(NotFound):
        await receipts.look_up(first, BEN)
    assert (await receipts.look_up(other, BEN)).match_id == 7


@pytest.mark.serves("R10")
async def test_there_is_no_receipt_before_a_decision(receipts: Receipts) -> None:
    with pytest.raises(NotReady) as refused:
        await receipts.issue("market", UNDECIDED, None, ANNA, ONCE, dry_run=False)

    assert refused.value.reason == "NOT_DECIDED"


async def test_a_trial_makes_no_code_and_what_cannot_be_recorded_none_either(
    receipts: Receipts, acts: KeptActs
) -> None:
    assert await issue(receipts, dry_run=True) == ""
    acts.full.add("match.receipt")
    with pytest.raises(NotRecorded):
        await issue(receipts)
    acts.full.clear()

    with pytest.raises(NotFound):
        await receipts.look_up(make_code(b"\x00" * 16, "market/7"), BEN)
    assert acts.actions == []
