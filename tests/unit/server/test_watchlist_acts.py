"""What is done with a list is on record before it has any effect."""

from __future__ import annotations

from collections.abc import Awaitable
from concurrent.futures import Executor

import pytest

from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_rules import (
    Application,
    Particulars,
)
from cordon_server.domain import (
    NotRecorded,
)
from cordon_server.store.environment import Environment
from tests.unit.server.lists import CHILD, a_watchlist, enrol
from tests.unit.server.rooms import (
    OFFICER,
    SECOND,
    Clock,
    KeptActs,
    picture,
    poor_picture,
)

POOR_ONE = Particulars(override_reason="the only one")


async def work_through(watchlist: Watchlist) -> None:
    """Every act on a list."""
    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "b", picture(90), CHILD)
    await enrol(watchlist, "b", poor_picture(95), POOR_ONE)
    await watchlist.approve("b", SECOND, dry_run=False)
    await watchlist.review((await watchlist.state()).digest, SECOND, OFFICER, dry_run=False)
    await watchlist.remove("a", by=OFFICER, dry_run=False)


@pytest.mark.serves("R12")
async def test_every_act_is_recorded_with_no_name_in_its_facts(
    environment: Environment, writer: Executor, clock: Clock
) -> None:
    kept = KeptActs()
    watchlist = a_watchlist(environment, writer, clock, acts=kept)

    await work_through(watchlist)

    assert [(act.action, act.personal.get("person")) for act in kept.acts] == [
        ("watchlist.enrolled", "olga"),
        ("watchlist.enrolled", "olga"),
        ("watchlist.enrolled", "olga"),
        ("watchlist.approved", "otto"),
        ("watchlist.overridden", "otto"),
        ("watchlist.reviewed", "otto"),
        ("watchlist.removed", "olga"),
    ]
    assert kept.acts[4].facts == {"category": "missing", "references": 1, "limits": "blurred"}
    assert kept.acts[5].facts["entries"] == 2
    for act in kept.acts:
        assert act.deployment_id == "market"
        assert not {"a", "b", "olga", "otto"} & {str(fact) for fact in act.facts.values()}


@pytest.mark.serves("R12")
@pytest.mark.parametrize("verb", ["enrolled", "approved", "overridden", "reviewed", "removed"])
async def test_what_cannot_be_recorded_does_not_happen(
    environment: Environment, writer: Executor, clock: Clock, verb: str
) -> None:
    kept = KeptActs()
    kept.full = {f"watchlist.{verb}"}
    watchlist = a_watchlist(environment, writer, clock, acts=kept)
    before = (await watchlist.state(), 0)

    async def step(change: Awaitable[object]) -> None:
        nonlocal before
        before = await watchlist.state(), len(watchlist.gallery)
        await change

    async def every_step() -> None:
        await step(enrol(watchlist, "a", picture(0)))
        await step(enrol(watchlist, "b", picture(90), CHILD))
        await step(enrol(watchlist, "b", poor_picture(95), POOR_ONE))
        await step(watchlist.approve("b", SECOND, dry_run=False))
        digest = (await watchlist.state()).digest
        await step(watchlist.review(digest, SECOND, OFFICER, dry_run=False))
        await step(watchlist.remove("a", dry_run=False))

    with pytest.raises(NotRecorded):
        await every_step()

    assert (await watchlist.state(), len(watchlist.gallery)) == before


async def test_a_trial_is_no_act(environment: Environment, writer: Executor, clock: Clock) -> None:
    kept = KeptActs()
    watchlist = a_watchlist(environment, writer, clock, acts=kept)
    await enrol(watchlist, "b", picture(90), CHILD)
    before = len(kept.acts), await watchlist.state()

    application = Application("a", "wanted", None, picture(0), None)
    examined = await watchlist.examine(picture(0), None)
    await watchlist.enrol(application, examined, dry_run=True)
    await watchlist.approve("b", SECOND, dry_run=True)
    await watchlist.remove("b", dry_run=True)

    assert (len(kept.acts), await watchlist.state()) == before
