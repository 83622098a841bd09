"""The review of a list, and what on it waits for a second person."""

from __future__ import annotations

from concurrent.futures import Executor

import pytest

from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_approval import check_second, waiting_for_second
from cordon_server.authority.watchlist_records import (
    AgeGroup,
    Approval,
    EntryRecord,
    Override,
)
from cordon_server.authority.watchlist_rules import (
    Particulars,
)
from cordon_server.domain import (
    NotPermitted,
    NotReady,
    ReasonCode,
    UnusablePicture,
)
from cordon_server.store.environment import Environment
from tests.unit.server.lists import CHILD, a_watchlist, enrol, finds
from tests.unit.server.rooms import (
    NOON,
    OFFICER,
    SECOND,
    Clock,
    picture,
    poor_picture,
)


@pytest.mark.serves("R5", "R26")
async def test_a_review_is_of_exactly_one_list(watchlist: Watchlist, clock: Clock) -> None:
    await enrol(watchlist, "a", picture(0))
    state = await watchlist.state()
    clock.advance(hours=1)

    reviewed = await watchlist.review(state.digest, SECOND, OFFICER, dry_run=False)

    assert reviewed.is_reviewed
    assert (reviewed.reviewed_by, reviewed.reviewed_at) == (SECOND, clock.now)
    await enrol(watchlist, "b", picture(90))
    after = await watchlist.state()
    assert not after.is_reviewed
    assert after.reviewed_digest == state.digest


@pytest.mark.serves("R5")
async def test_another_list_than_the_one_looked_at_is_not_reviewed(watchlist: Watchlist) -> None:
    await enrol(watchlist, "a", picture(0))
    state = await watchlist.state()
    await enrol(watchlist, "b", picture(90))

    with pytest.raises(NotReady) as refused:
        await watchlist.review(state.digest, SECOND, OFFICER, dry_run=False)

    assert refused.value.reason == "LIST_CHANGED"


async def test_an_empty_list_is_not_reviewed(watchlist: Watchlist) -> None:
    with pytest.raises(NotReady) as refused:
        await watchlist.review((await watchlist.state()).digest, SECOND, OFFICER, dry_run=False)

    assert refused.value.reason == "LIST_EMPTY"


@pytest.mark.serves("R5")
@pytest.mark.parametrize(
    "reviewer",
    [
        Actor("otto", "spiffe://site.local/admin/third"),
        Actor("third", SECOND.machine),
        Actor("olga", "spiffe://site.local/admin/third"),
        Actor("third", OFFICER.machine),
    ],
    ids=["who enrolled", "where it was enrolled", "the requester", "where it was requested"],
)
async def test_who_asked_for_or_enrolled_anything_does_not_review_it(
    watchlist: Watchlist, reviewer: Actor
) -> None:
    await enrol(watchlist, "a", picture(0), by=SECOND)
    state = await watchlist.state()

    with pytest.raises(NotPermitted) as refused:
        await watchlist.review(state.digest, reviewer, OFFICER, dry_run=False)

    assert refused.value.reason == "FOUR_EYES"
    assert not (await watchlist.state()).is_reviewed


@pytest.mark.serves("R18")
async def test_a_minor_is_searched_when_a_second_person_has_approved(
    watchlist: Watchlist, environment: Environment, writer: Executor, clock: Clock
) -> None:
    assert await enrol(watchlist, "a", picture(0), CHILD) == [ReasonCode.WAITING]
    await watchlist.load()
    assert finds(watchlist, 0) is None
    assert (await watchlist.state()).waiting == 1
    with pytest.raises(NotReady) as refused:
        await watchlist.review((await watchlist.state()).digest, SECOND, OFFICER, dry_run=False)
    assert refused.value.reason == "APPROVAL_WAITING"

    entry, _ = await watchlist.approve("a", SECOND, dry_run=False)

    assert entry.approval == Approval(SECOND, NOON)
    assert finds(watchlist, 0) == "a"
    again = a_watchlist(environment, writer, clock)
    await again.load()
    assert finds(again, 0) == "a"
    with pytest.raises(NotReady) as done:
        await watchlist.approve("a", SECOND, dry_run=False)
    assert done.value.reason == "NOTHING_WAITING"


@pytest.mark.serves("R23")
async def test_a_picture_below_the_gate_needs_a_reason_and_a_second_person(
    watchlist: Watchlist,
) -> None:
    with pytest.raises(UnusablePicture):
        await enrol(watchlist, "a", poor_picture(0))
    wanted = Particulars(override_reason="the only picture there is")
    await enrol(watchlist, "a", picture(30))
    assert await enrol(watchlist, "a", poor_picture(0), wanted) == [ReasonCode.WAITING]
    assert finds(watchlist, 0) is None

    _, references = await watchlist.approve("a", SECOND, dry_run=False)

    assert finds(watchlist, 0) == "a"
    overridden = [each.override for each in references if each.override]
    assert overridden == [
        Override((ReasonCode.BLURRED,), "the only picture there is", Approval(SECOND, NOON))
    ]


async def test_a_reason_overrides_nothing_where_the_picture_is_good(watchlist: Watchlist) -> None:
    assert await enrol(watchlist, "a", picture(0), Particulars(override_reason="to be sure")) == []
    assert finds(watchlist, 0) == "a"


@pytest.mark.serves("R18", "R23")
@pytest.mark.parametrize(
    "approver", [OFFICER, Actor("third", OFFICER.machine), Actor("olga", SECOND.machine)]
)
@pytest.mark.parametrize("what", ["minor", "picture"])
async def test_who_enrolled_it_does_not_approve_it(
    watchlist: Watchlist, approver: Actor, what: str
) -> None:
    poor = Particulars(override_reason="the only one")
    image = picture(0) if what == "minor" else poor_picture(0)
    await enrol(watchlist, "a", image, CHILD if what == "minor" else poor)

    with pytest.raises(NotPermitted) as refused:
        await watchlist.approve("a", approver, dry_run=False)

    assert refused.value.reason == "FOUR_EYES"
    assert finds(watchlist, 0) is None


async def test_what_waits_hides_no_duplicate_once_it_is_approved(watchlist: Watchlist) -> None:
    await enrol(watchlist, "a", picture(0), CHILD)
    await enrol(watchlist, "b", picture(0, take=2), CHILD)
    await watchlist.approve("a", SECOND, dry_run=False)

    with pytest.raises(UnusablePicture, match="enrolled as a"):
        await watchlist.approve("b", SECOND, dry_run=False)


@pytest.mark.serves("R23")
async def test_a_yes_is_to_what_waits_and_to_nothing_else(watchlist: Watchlist) -> None:
    poor = Particulars(override_reason="the only one")
    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "a", poor_picture(0, take=2), poor, by=SECOND)
    await watchlist.approve("a", OFFICER, dry_run=False)
    await enrol(watchlist, "a", poor_picture(0, take=3), poor, by=OFFICER)

    entry, references = await watchlist.approve("a", SECOND, dry_run=False)

    assert entry.approval is None, "nobody asked for it"
    assert {each.override and each.override.approval for each in references} == {
        None,
        Approval(OFFICER, NOON),
        Approval(SECOND, NOON),
    }


@pytest.mark.serves("R8")
def test_what_nobody_enrolled_by_name_binds_nobody() -> None:
    check_second([None], SECOND, "review this watchlist")
    unnamed = EntryRecord("a", "missing", NOON, age_group=AgeGroup.MINOR)
    assert unnamed.is_waiting
    assert waiting_for_second(unnamed, []) == ()
    with pytest.raises(NotPermitted):
        check_second([None, SECOND], SECOND, "review this watchlist")
