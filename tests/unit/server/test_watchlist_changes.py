"""How a list changes: what it takes no more, what has expired, and what is never left half way."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta

import pytest

from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_rules import (
    Application,
    CategoryRule,
    EntryRules,
    Particulars,
)
from cordon_server.domain import (
    LimitReached,
    NotListable,
    NotReady,
)
from cordon_server.store.environment import Environment
from tests.unit.server.lists import CHILD, RULES, a_watchlist, enrol, finds
from tests.unit.server.rooms import (
    NOON,
    SECOND,
    Clock,
    picture,
)


@pytest.mark.serves("R5")
async def test_an_entry_matches_no_more_when_it_is_over_nor_after_a_restart(
    watchlist: Watchlist, environment: Environment, writer: Executor, clock: Clock
) -> None:
    await enrol(watchlist, "a", picture(0), Particulars(expire_time=NOON + timedelta(hours=1)))
    await enrol(watchlist, "b", picture(90))
    digest = (await watchlist.state()).digest

    clock.advance(minutes=59)
    watchlist.drop_expired()
    assert finds(watchlist, 0) == "a"
    clock.advance(minutes=1)
    watchlist.drop_expired()

    assert (finds(watchlist, 0), finds(watchlist, 90)) == (None, "b")
    again = a_watchlist(environment, writer, clock)
    await again.load()
    assert (finds(again, 0), finds(again, 90)) == (None, "b")
    assert (await again.state()).digest == digest


@pytest.mark.serves("R17")
async def test_a_category_takes_so_many_and_no_more(
    environment: Environment, writer: Executor, clock: Clock
) -> None:
    entry = EntryRules({"wanted": CategoryRule(entries_max=2), "missing": CategoryRule()})
    watchlist = a_watchlist(environment, writer, clock, replace(RULES, entry=entry))
    for number in range(2):
        await enrol(watchlist, f"w-{number}", picture(number * 90), category="wanted")

    with pytest.raises(LimitReached) as refused:
        await enrol(watchlist, "w-3", picture(180), category="wanted")
    await enrol(watchlist, "m-1", picture(180))
    await enrol(watchlist, "w-1", picture(95), category="wanted")
    await watchlist.load()
    with pytest.raises(LimitReached):
        await enrol(watchlist, "w-3", picture(270), category="wanted")
    await watchlist.remove("w-0", dry_run=False)
    await enrol(watchlist, "w-3", picture(270), category="wanted")

    assert refused.value.reason == "CATEGORY_FULL"
    assert (await watchlist.state()).by_category == {"missing": 1, "wanted": 2}


async def test_what_the_rules_refuse_is_refused_before_its_picture_is_looked_at(
    watchlist: Watchlist,
) -> None:
    with pytest.raises(NotListable):
        await watchlist.known(Application("a", "other", None, b"no picture", None))


async def test_changes_at_once_follow_one_another(watchlist: Watchlist) -> None:
    await asyncio.gather(*(enrol(watchlist, f"s-{n}", picture(n * 45)) for n in range(8)))

    state = await watchlist.state()
    assert (state.entries, state.references, state.by_category) == (8, 8, {"missing": 8})


async def test_a_change_that_is_not_allowed_changes_nothing(watchlist: Watchlist) -> None:
    async def refused(narrows: bool) -> bool:
        raise NotReady("armed")

    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "c", picture(45), CHILD)
    before = await watchlist.state()
    watchlist.on_change = refused

    for change in (
        enrol(watchlist, "b", picture(90)),
        watchlist.remove("a", dry_run=False),
        watchlist.approve("c", SECOND, dry_run=False),
    ):
        with pytest.raises(NotReady):
            await change
    assert await watchlist.state() == before
    assert finds(watchlist, 0) == "a"
