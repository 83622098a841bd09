"""Deployments stop: when somebody says so, when their time is over, when what is on record is not
what was signed; whatever else is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from cordon_server.acts import Act
from cordon_server.authority.records import DEPLOYMENTS, State
from cordon_server.authority.terms import HaltCause
from cordon_server.domain import CordonError, NotReady, NotRecorded, StorageFull
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.sessions.camera import Halted, HaltReason
from cordon_server.store.environment import Environment
from tests.unit.server.authority_rooms import APPROVER, OPERATOR
from tests.unit.server.live_rooms import MADE_OF, LiveSite, heard
from tests.unit.server.rooms import NOON, OFFICER, a_frame, facing


@pytest.mark.serves("R13")
async def test_a_halt_empties_the_mailbox_and_no_match_comes_after_it(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    mailbox = live_site.scheduler.mailboxes["north"]
    session.offer(a_frame(1), NOON)

    halted = await live_site.halt()

    assert halted.state is State.HALTED
    assert mailbox.is_closed
    told = await heard(session)
    assert isinstance(told, Halted)
    assert told.reason is HaltReason.DEPLOYMENT_HALTED
    live_site.answered("north", "s-1")
    late = await heard(session)
    assert isinstance(late, Outcome)
    assert (late.fate, late.result) == (FrameFate.REJECTED, None)
    assert opened.log.head == 0
    with pytest.raises(NotReady):
        await live_site.connect("north")


@pytest.mark.serves("R13")
async def test_what_is_being_logged_is_through_when_a_halt_returns(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)
    live_site.answered("north", "s-1")

    await asyncio.gather(live_site.halt(), asyncio.sleep(0))
    head = opened.log.head
    await asyncio.sleep(0.05)

    assert opened.log.head == head


@pytest.mark.serves("R13")
async def test_halting_twice_says_the_same_and_only_what_is_armed_can_be(
    live_site: LiveSite,
) -> None:
    await live_site.draft("market", "north")
    with pytest.raises(NotReady) as refused:
        await live_site.halt()
    assert refused.value.reason == "WRONG_STATE"
    await live_site.arm()

    trial = await live_site.stops.halt("market", OPERATOR, HaltCause.PERSON, dry_run=True)
    armed = (await live_site.live.opened("market")).record
    first, second = await live_site.halt(), await live_site.halt()

    assert (trial.state, armed.state) == (State.HALTED, State.ARMED)
    assert first == second


@pytest.mark.serves("R13")
async def test_a_move_under_way_does_not_let_cameras_in_again_while_it_is_halted(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await live_site.armed()
    asked, let_go, record = asyncio.Event(), asyncio.Event(), live_site.acts.record

    async def slowly(act: Act) -> int:
        if act.action == "deployment.assigned":
            asked.set()
            await let_go.wait()
        return await record(act)

    monkeypatch.setattr(live_site.acts, "record", slowly)
    assigned = asyncio.create_task(
        live_site.moves.assign("market", add=["opal"], remove=(), actor=OFFICER, dry_run=False)
    )
    sessions = []
    async with asyncio.timeout(30):
        await asked.wait()
        halted = asyncio.create_task(live_site.halt())
        while opened.record.state is State.ARMED:
            await asyncio.sleep(0)
        let_go.set()
        while not halted.done():
            with suppress(CordonError):
                sessions.append(await live_site.connect())
            await asyncio.sleep(0)
        await asyncio.gather(assigned, halted)

    assert all(session.is_halted for session in sessions)
    record_now = await live_site.deployments.get("market")
    assert (record_now.state, record_now.assignees) == (State.HALTED, opened.record.assignees)
    assert opened.record.state is State.HALTED


@pytest.mark.serves("R13")
async def test_a_halt_that_the_disk_had_no_room_for_is_written_when_it_is_asked_for_again(
    live_site: LiveSite, registry: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await live_site.armed()

    async def is_full(act: object) -> None:
        raise StorageFull("there is no room left")

    with monkeypatch.context() as full:
        full.setattr(registry, "write", is_full)
        with pytest.raises(StorageFull):
            await live_site.halt()
    assert opened.record.state is State.HALTED
    assert (await live_site.deployments.get("market")).state is State.ARMED

    await live_site.halt()

    assert (await live_site.deployments.get("market")).state is State.HALTED


@pytest.mark.serves("R13")
async def test_a_full_record_does_not_keep_recognition_going(live_site: LiveSite) -> None:
    await live_site.armed()
    await live_site.connect()
    live_site.acts.full.add("deployment.halted")

    with pytest.raises(NotRecorded):
        await live_site.halt()

    opened = await live_site.live.opened("market")
    assert opened.record.state is State.HALTED
    assert (await live_site.deployments.get("market")).state is State.HALTED


@pytest.mark.serves("R13")
async def test_cameras_come_back_when_the_authoriser_resumes(live_site: LiveSite) -> None:
    await live_site.armed()
    session = await live_site.connect()
    await live_site.halt()
    session.close()

    with pytest.raises(CordonError) as refused:
        await live_site.moves.resume("market", OFFICER, dry_run=False)
    await live_site.moves.resume("market", APPROVER, dry_run=False)

    assert refused.value.reason == "NOT_THE_AUTHORISER"
    assert (await live_site.connect()).deployment_id == "market"


@pytest.mark.serves("R12", "R30")
async def test_what_recognises_is_on_record_when_it_is_armed_and_when_it_resumes(
    live_site: LiveSite,
) -> None:
    await live_site.armed()
    await live_site.halt()
    await live_site.moves.resume("market", APPROVER, dry_run=False)

    told = {act.action: act.facts for act in live_site.acts.acts}
    for action in ("deployment.armed", "deployment.resumed"):
        assert MADE_OF.items() <= told[action].items()
    assert told["deployment.armed"].keys() >= {"entries", "threshold"}
    assert told["deployment.resumed"].keys() >= {"until", "threshold"}


MOVES: dict[str, Callable[[LiveSite], Awaitable[Any]]] = {
    "deployment.submitted": lambda site: site.moves.submit("market", OFFICER, "", dry_run=False),
    "deployment.authorised": LiveSite.authorise,
    "deployment.armed": LiveSite.arm,
    "deployment.ended": LiveSite.end,
}


@pytest.mark.serves("R12")
@pytest.mark.parametrize("action", MOVES)
async def test_what_cannot_be_recorded_does_not_move(live_site: LiveSite, action: str) -> None:
    await live_site.draft("market", "north")
    live_site.acts.full.add(action)
    before = (await live_site.live.opened("market")).record

    with pytest.raises(NotRecorded):
        await MOVES[action](live_site)

    after = (await live_site.live.opened("market")).record
    assert after == await live_site.deployments.get("market")
    assert action not in {act.action for act in live_site.acts.acts}
    if action in ("deployment.submitted", "deployment.ended"):
        assert after == before


@pytest.mark.serves("R20")
async def test_what_cameras_showed_since_the_last_minute_is_counted_before_the_end(
    live_site: LiveSite,
) -> None:
    await live_site.armed()
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)
    live_site.answered("north", "s-1")
    assert isinstance(await heard(session), Outcome)

    await live_site.end()

    (counts,) = [act for act in live_site.acts.acts if act.action == "deployment.counts"]
    assert (counts.facts["frames"], counts.facts["searched"]) == (1, 1)


@pytest.mark.serves("R12", "R20")
async def test_the_record_tells_a_deployments_life_and_names_nobody(live_site: LiveSite) -> None:
    await live_site.armed()
    await live_site.halt()
    await live_site.moves.resume("market", APPROVER, dry_run=False)
    await live_site.end()

    acts = [act for act in live_site.acts.acts if act.action.startswith("deployment.")]
    assert [act.action.partition(".")[2] for act in acts] == [
        *("created", "submitted", "authorised", "armed", "counts", "halted", "resumed"),
        *("counts", "ended", "erased"),
    ]
    armed = acts[3].facts
    assert (armed["entries.wanted"], armed["references"], armed["policy"]) == (1, 1, "demo")
    assert len(str(armed["authority"])) == 64
    for act in acts:
        said = " ".join(map(str, act.facts.values()))
        assert not [user for user in ("olga", "otto", "opal") if user in said]
    moved = [act for act in acts if act.action != "deployment.counts"]
    assert [act.personal.get("person") for act in moved[:5]] == [
        *("olga", "olga", "otto", "otto", "opal")
    ]


@pytest.mark.serves("R2", "R9")
async def test_what_is_over_ends_and_is_erased_by_itself(live_site: LiveSite) -> None:
    await live_site.armed("market", "north")
    await live_site.draft("draft", "south")
    await live_site.stops.look()
    assert (await live_site.deployments.get("market")).state is State.ARMED

    live_site.clock.advance(hours=24)
    await live_site.stops.look()

    for name in ("market", "draft"):
        assert (await live_site.deployments.get(name)).state is State.ERASED
    assert live_site.opener.kept() == set()


@pytest.mark.serves("R2")
async def test_an_end_goes_through_although_whoever_asked_for_it_leaves(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live_site.armed()
    session = await live_site.connect()
    asked, let_go, record = asyncio.Event(), asyncio.Event(), live_site.acts.record

    async def slowly(act: Act) -> int:
        if act.action == "deployment.ended":
            asked.set()
            await let_go.wait()
        return await record(act)

    monkeypatch.setattr(live_site.acts, "record", slowly)
    ending = asyncio.create_task(live_site.end())
    async with asyncio.timeout(30):
        await asked.wait()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        let_go.set()
        while (await live_site.deployments.get("market")).state is not State.ERASED:
            await asyncio.sleep(0)

    assert session.is_halted
    assert live_site.opener.kept() == set()


@pytest.mark.serves("R2", "R9")
async def test_what_ended_while_the_server_was_down_is_erased_at_its_start(
    live_site: LiveSite,
) -> None:
    await live_site.armed()
    await live_site.live.close()
    live_site.clock.advance(hours=30)

    await live_site.stops.settle()

    assert (await live_site.deployments.get("market")).state is State.ERASED
    assert live_site.opener.kept() == set()


@pytest.mark.serves("R2")
async def test_a_full_record_does_not_keep_what_is_over(live_site: LiveSite) -> None:
    await live_site.armed()
    live_site.acts.full |= {"deployment.ended", "deployment.erased"}
    live_site.clock.advance(hours=24)

    await live_site.stops.look()

    assert live_site.opener.kept() == set()
    assert (await live_site.deployments.get("market")).state is State.ENDED
    live_site.acts.full.clear()
    await live_site.stops.settle()
    assert (await live_site.deployments.get("market")).state is State.ERASED


@pytest.mark.serves("R8")
async def test_what_was_changed_on_the_disk_is_halted_at_a_start(
    live_site: LiveSite, registry: Environment
) -> None:
    await live_site.armed()
    await live_site.live.close()

    def act(txn: Any) -> None:
        record = txn.get(DEPLOYMENTS, b"market")
        later = msgspec.structs.replace(record, end_time=record.end_time + timedelta(hours=1))
        txn.put(DEPLOYMENTS, b"market", later)

    await registry.write(act)
    await live_site.stops.settle()

    record = await live_site.deployments.get("market")
    assert record.state is State.HALTED
    assert record.halting is not None
    assert record.halting.cause is HaltCause.AUTHORITY
    with pytest.raises(CordonError) as refused:
        await live_site.moves.resume("market", APPROVER, dry_run=False)
    assert refused.value.reason == "AUTHORITY_VOID"


@pytest.mark.serves("R8")
async def test_what_is_armed_comes_back_armed_with_its_list_at_a_start(live_site: LiveSite) -> None:
    await live_site.armed()
    await live_site.live.close()

    await live_site.stops.settle()

    session = await live_site.connect()
    assert session.deployment_id == "market"
    (candidate,) = live_site.scheduler.mailboxes["north"].gallery.search(facing(10).vector[None])
    assert candidate is not None


@pytest.mark.serves("R8", "R12")
async def test_what_a_change_voids_is_on_record_also_where_nobody_has_opened_it_since_a_start(
    live_site: LiveSite,
) -> None:
    await live_site.draft("market", "north")
    await live_site.authorise()
    await live_site.live.close()

    await live_site.moves.update("market", {"location": "Mill Lane"}, OFFICER, dry_run=False)

    assert live_site.acts.actions[-2:] == ["deployment.voided", "deployment.updated"]


@pytest.mark.serves("R5", "R8")
async def test_a_change_of_the_list_voids_before_it_is_armed_and_is_refused_after(
    live_site: LiveSite,
) -> None:
    opened = await live_site.draft("market", "north")
    await live_site.authorise()

    await live_site.enrol(opened, "s-2", 100)
    assert opened.record.state is State.DRAFT
    assert opened.record.authority is None
    await live_site.arm()
    with pytest.raises(NotReady) as refused:
        await live_site.enrol(opened, "s-3", 200)
    assert refused.value.reason == "LIST_FROZEN"
    await opened.watchlist.remove("s-2", dry_run=False)
    await live_site.live.close()
    await live_site.stops.settle()
    assert (await live_site.deployments.get("market")).state is State.ARMED
