"""How a list changes: what it takes no more, what has expired, and what is never left half way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cordon_server.authority import watchlist_tables as tables
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
    UnusablePicture,
)
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.environment import Environment
from tests.unit.server.lists import CHILD, RULES, a_watchlist, enrol, finds
from tests.unit.server.rooms import (
    NOON,
    OFFICER,
    SECOND,
    Clock,
    KeptActs,
    open_environment,
    picture,
)

PATIENCE_S = 20.0


@pytest.mark.serves("R6")
async def test_pictures_without_a_proposal_count_until_somebody_has_reviewed_the_list(
    environment: Environment, writer: Executor, clock: Clock
) -> None:
    rules = replace(RULES, entry=replace(RULES.entry, proposal_rows_min=3))
    watchlist = a_watchlist(environment, writer, clock, rules)
    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "b", picture(90))
    await enrol(watchlist, "b", picture(90))  # is there

    with pytest.raises(NotListable, match="2 were enrolled without") as refused:
        await enrol(watchlist, "c", picture(180))
    assert refused.value.reason == "PROPOSAL_NEEDED"
    await watchlist.review((await watchlist.state()).digest, SECOND, OFFICER, dry_run=False)
    await enrol(watchlist, "c", picture(180))
    await enrol(watchlist, "d", picture(270))


STEPS = {"enrol": 6, "restart": 1, "remove": 1, "review": 1, "clock back": 1}
"""What may happen to a list, and how often in proportion."""


@pytest.mark.serves("R6")
@given(
    rows_min=st.integers(1, 4),
    steps=st.lists(st.sampled_from([step for step, n in STEPS.items() for _ in range(n)])),
)
@example(rows_min=2, steps=["enrol", "review", "clock back", "enrol", "restart", "enrol"])
@example(rows_min=3, steps=["enrol", "enrol", "remove", "restart", "enrol", "enrol"])
@settings(max_examples=40, deadline=None)
def test_there_are_never_so_many_pictures_that_nobody_else_has_seen(
    rows_min: int, steps: list[str]
) -> None:
    """However they are split, between whatever else happens."""

    async def run(folder: Path, writer: Executor) -> None:
        environment, clock = open_environment(folder, TABLES, writer), Clock()
        rules = replace(RULES, entry=replace(RULES.entry, proposal_rows_min=rows_min))
        watchlist = a_watchlist(environment, writer, clock, rules)
        unseen: list[str] = []
        listed: list[str] = []
        free = [str(number) for number in range(9)]
        for step in steps:
            if step == "restart":
                watchlist = a_watchlist(environment, writer, clock, rules)
                await watchlist.load()
            elif step == "clock back":
                clock.advance(hours=-1)
            elif step == "review" and listed:
                digest = (await watchlist.state()).digest
                await watchlist.review(digest, SECOND, OFFICER, dry_run=False)
                unseen = []
            elif step == "remove" and listed:
                gone = listed.pop()
                await watchlist.remove(gone, dry_run=False)
                unseen = [each for each in unseen if each != gone]
                free.append(gone)
            elif step == "enrol" and free:
                face = picture(40 * int(free[-1]))
                if len(unseen) + 1 < rows_min:
                    await enrol(watchlist, free[-1], face)
                    unseen.append(free[-1])
                    listed.append(free.pop())
                else:
                    with pytest.raises(NotListable) as refused:
                        await enrol(watchlist, free[-1], face)
                    assert refused.value.reason == "PROPOSAL_NEEDED"
            assert (await watchlist.counts())[0] == len(listed)
        await environment.close()

    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as writer:
        asyncio.run(run(Path(folder) / "list", writer))


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


# What is never left half way.


@pytest.mark.serves("R5", "R12")
@pytest.mark.parametrize("change", ["enrol", "remove", "approve", "grow"])
async def test_who_is_cancelled_while_it_is_written_leaves_the_search_as_the_list_is(
    environment: Environment, writer: Executor, clock: Clock, change: str
) -> None:
    acts, may_write = KeptActs(), threading.Event()
    watchlist = a_watchlist(environment, writer, clock, acts=acts)
    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "b", picture(90), CHILD)
    examined = await watchlist.examine(picture(180), None)
    application = Application("c", "missing", None, picture(180), None)
    recorded = len(acts.acts)

    async def grown() -> None:
        await acts.record(acts.acts[0])
        await environment.write(lambda txn: tables.erase(txn, "a", leaves_trace=False))

    writer.submit(may_write.wait, PATIENCE_S)
    changes: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "enrol": lambda: watchlist.enrol(application, examined, dry_run=False),
        "remove": lambda: watchlist.remove("a", dry_run=False),
        "approve": lambda: watchlist.approve("b", SECOND, dry_run=False),
        "grow": lambda: watchlist.grow(grown),
    }
    changing = asyncio.ensure_future(changes[change]())
    async with asyncio.timeout(PATIENCE_S):
        while len(acts.acts) == recorded:
            await asyncio.sleep(0)
    for _ in range(2):
        changing.cancel()
        await asyncio.sleep(0)
    later = asyncio.ensure_future(enrol(watchlist, "d", picture(180, take=2)))
    may_write.set()

    with pytest.raises(asyncio.CancelledError):
        await changing
    found = [finds(watchlist, degrees) for degrees in (0, 90)]
    if change == "enrol":
        with pytest.raises(UnusablePicture, match="enrolled as c"):
            await later
    else:
        await later
    await watchlist.load()

    assert found == [
        None if change in ("remove", "grow") else "a",
        "b" if change == "approve" else None,
    ]
    assert [finds(watchlist, degrees) for degrees in (0, 90)] == found
    assert finds(watchlist, 180) == ("c" if change == "enrol" else "d")


async def test_what_joined_before_an_act_broke_off_is_searched(
    watchlist: Watchlist, environment: Environment
) -> None:
    await enrol(watchlist, "a", picture(0))

    async def breaks() -> None:
        await environment.write(lambda txn: tables.erase(txn, "a", leaves_trace=False))
        raise OSError("the power failed")

    with pytest.raises(OSError, match="power"):
        await watchlist.grow(breaks)

    assert finds(watchlist, 0) is None
