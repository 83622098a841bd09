"""The digest of a list: any change of anything on it gives it another."""

from __future__ import annotations

import random
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_digest import entry_digest, list_digest
from cordon_server.authority.watchlist_records import (
    AgeGroup,
    Approval,
    EntryRecord,
    LawfulSource,
    Override,
    ReferenceRecord,
)
from cordon_server.domain import (
    ReasonCode,
)
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.environment import Environment
from tests.unit.server.lists import CHILD, a_watchlist, enrol, finds
from tests.unit.server.rooms import (
    MODEL,
    NOON,
    OFFICER,
    QUALITY,
    SECOND,
    Clock,
    picture,
)

ENTRY = EntryRecord(
    "a",
    "wanted",
    NOON,
    0.6,
    LawfulSource.COURT,
    "why",
    "who",
    NOON.date(),
    AgeGroup.ADULT,
    NOON,
    OFFICER,
    Approval(SECOND, NOON),
)
REFERENCE = ReferenceRecord(
    "a",
    "r",
    "0" * 64,
    QUALITY,
    NOON,
    MODEL,
    b"\0" * 16,
    "1" * 64,
    NOON.date(),
    OFFICER,
    Override((ReasonCode.BLURRED,), "no better one", Approval(SECOND, NOON)),
)


def changed(value: object) -> object:
    """Another value of the same kind; a test of the types' every field."""
    match value:
        case bool():
            return not value
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
        case LawfulSource() | AgeGroup():
            return next(each for each in type(value) if each is not value)
        case str():
            return value + "x"
        case float():
            return value + 0.001
        case tuple():
            return (*value, ReasonCode.POSE)
        case msgspec.Struct():
            first = value.__struct_fields__[0]
            return msgspec.structs.replace(value, **{first: changed(getattr(value, first))})
        case _ if hasattr(value, "year"):
            return value + timedelta(days=1)  # type: ignore[operator]  # a date
    return replace(value, sharpness=1.0)  # type: ignore[type-var]  # the quality


@pytest.mark.serves("R8")
@pytest.mark.parametrize("record", [ENTRY, REFERENCE], ids=["entry", "reference"])
def test_any_change_of_any_field_changes_the_digest(record: msgspec.Struct) -> None:
    def digest_with(one: msgspec.Struct) -> bytes:
        if isinstance(one, EntryRecord):
            return entry_digest(one, [REFERENCE])
        assert isinstance(one, ReferenceRecord)
        return entry_digest(ENTRY, [one])

    before = digest_with(record)

    for field in record.__struct_fields__:
        for other in (changed(getattr(record, field)), None):
            one = msgspec.structs.replace(record, **{field: other})
            assert digest_with(one) != before, field


@pytest.mark.serves("R8")
@given(st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=8), st.randoms())
def test_order_is_nothing_to_a_digest_and_every_member_is(
    digests: list[bytes], chance: random.Random
) -> None:
    shuffled = chance.sample(digests, len(digests))

    assert list_digest(shuffled) == list_digest(digests)
    for one in digests:
        assert list_digest([each for each in digests if each != one]) != list_digest(digests)


@given(st.permutations(["r1", "r2", "r3"]))
def test_an_entrys_references_may_come_in_any_order(names: list[str]) -> None:
    references = [msgspec.structs.replace(REFERENCE, reference_id=name) for name in names]

    assert entry_digest(ENTRY, references) == entry_digest(ENTRY, reversed(references))


@pytest.mark.serves("R8")
async def test_every_act_on_the_list_gives_it_another_digest(
    watchlist: Watchlist, environment: Environment, writer: Executor, clock: Clock
) -> None:
    seen = [(await watchlist.state()).digest]
    await enrol(watchlist, "a", picture(0))
    seen.append((await watchlist.state()).digest)
    await enrol(watchlist, "a", picture(5))
    seen.append((await watchlist.state()).digest)
    await enrol(watchlist, "b", picture(90), CHILD)
    seen.append((await watchlist.state()).digest)
    await watchlist.approve("b", SECOND, dry_run=False)
    seen.append((await watchlist.state()).digest)
    await watchlist.remove("a", dry_run=False)
    seen.append((await watchlist.state()).digest)

    assert len(set(seen)) == len(seen)
    again = a_watchlist(environment, writer, clock)
    assert await again.state() == await watchlist.state()


@pytest.mark.serves("R8")
async def test_what_is_removed_under_an_authority_keeps_the_digest_and_leaves_no_template(
    watchlist: Watchlist, environment: Environment
) -> None:
    async def under_authority(narrows: bool) -> bool:
        assert narrows
        return True

    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "b", picture(90))
    authorised = await watchlist.state()
    watchlist.on_change = under_authority

    await watchlist.remove("a", dry_run=False)

    state = await watchlist.state()
    assert (state.digest, state.entries, state.references) == (authorised.digest, 1, 1)
    assert finds(watchlist, 0) is None
    kept = await environment.read(
        lambda txn: [str(record) for table in TABLES for _, record in txn.scan(table)]  # type: ignore[misc]  # any record
    )
    assert not [text for text in kept if "face of 0" in text]
