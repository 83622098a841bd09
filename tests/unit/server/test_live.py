"""Deployments are opened, armed and ended, whatever happens beside that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cordon_server.authority import steps
from cordon_server.authority.records import State
from cordon_server.domain import NotNow, NotReady, StorageDamaged
from cordon_server.sessions.camera import Halted, HaltReason
from tests.unit.server.authority_rooms import APPROVER, COUNTS
from tests.unit.server.live_rooms import LiveSite, heard
from tests.unit.server.rooms import a_frame, a_sighting, facing


@pytest.mark.serves("R2")
async def test_start_erases_what_a_crash_left_of_an_ended_deployment_and_loads_the_armed(
    live_site: LiveSite,
) -> None:
    await live_site.draft("ended", "south")
    await live_site.armed("armed", "north")
    await live_site.draft("draft", "west")
    await live_site.live.close()
    # The crash: ended in the registry, its database still there.
    await live_site.deployments.take(
        "ended", lambda record: steps.ended(record, COUNTS, live_site.clock.now), dry_run=False
    )

    await live_site.stops.settle()

    left = {folder.name for folder in live_site.opener.folder.iterdir()}
    assert left == {"armed", "draft"}
    assert (await live_site.deployments.get("ended")).state is State.ERASED
    session = await live_site.connect("north")
    assert session.deployment_id == "armed"
    assert "s-1" in live_site.scheduler.mailboxes["north"].gallery


@pytest.mark.serves("R2")
async def test_an_ended_deployment_leaves_no_file_but_its_record(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    await opened.log.append(a_frame(1), (a_sighting(),))

    ended = await live_site.end()

    assert (ended.state, ended.entry_count, ended.match_count) == (State.ERASED, 1, 1)
    assert list(live_site.opener.folder.iterdir()) == []
    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.DEPLOYMENT_ENDED
    assert opened.log.is_closed
    with pytest.raises(NotReady, match="has ended"):
        await live_site.live.opened("market")
    with pytest.raises(NotReady):
        live_site.live.check_open(opened)
    with pytest.raises(NotReady, match="has ended"):
        live_site.live.check_following(opened)
    with pytest.raises(NotReady):
        await live_site.end()


async def test_of_two_who_end_it_at_once_one_is_told_that_it_has_ended(live_site: LiveSite) -> None:
    await live_site.armed()

    answers = await asyncio.gather(*(live_site.end() for _ in range(2)), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["DeploymentRecord", "NotReady"]


@pytest.mark.serves("R2")
async def test_what_cannot_be_erased_is_said_and_not_passed_over(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    live_site.opener.erase("never there")
    monkeypatch.setattr("cordon_server.store.durable.shutil.rmtree", refuse)

    with pytest.raises(StorageDamaged, match="by hand"):
        live_site.opener.erase("market")


async def test_people_on_silent_cameras_are_looked_after_for_as_long_as_the_server_runs(
    live_site: LiveSite,
) -> None:
    live_site.live.start()

    for _ in range(3):
        live_site.scheduler.forgotten.clear()
        await asyncio.wait_for(live_site.scheduler.forgotten.wait(), 5)


async def test_a_dry_run_ends_and_arms_nothing(live_site: LiveSite) -> None:
    opened = await live_site.draft("market", "north")
    await live_site.authorise()
    gallery = opened.gallery
    acts = list(live_site.acts.acts)

    armed = await live_site.moves.arm("market", APPROVER, dry_run=True)
    ended = await live_site.stops.end("market", APPROVER, dry_run=True)

    assert (armed.state, ended.state) == (State.ARMED, State.ENDED)
    assert opened.record.state is State.AUTHORISED
    assert live_site.acts.acts == acts
    assert opened.gallery is gallery
    assert (await live_site.live.opened("market")) is opened


async def test_arming_what_is_armed_leaves_cameras_the_gallery_they_search(
    live_site: LiveSite,
) -> None:
    opened = await live_site.armed()
    await live_site.connect()

    with pytest.raises(NotReady):
        await live_site.moves.arm("market", APPROVER, dry_run=False)
    await opened.watchlist.remove("s-1", dry_run=False)

    searched = live_site.scheduler.mailboxes["north"].gallery
    assert searched is opened.gallery
    assert searched.search(facing(10).vector[None]) == [None]


async def test_a_deployment_is_opened_once_however_many_ask_at_once(live_site: LiveSite) -> None:
    await live_site.draft("market", "north")
    await live_site.live.close()

    opened = await asyncio.gather(*(live_site.live.opened("market") for _ in range(5)))

    assert len({id(each) for each in opened}) == 1


async def test_a_stopping_server_sends_cameras_and_followers_away_for_now(
    live_site: LiveSite,
) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()

    await live_site.live.stop()

    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.SERVER_STOPPING
    assert opened.log.is_closed
    with pytest.raises(NotNow, match="subscribe again"):
        live_site.live.check_following(opened)
    with pytest.raises(NotReady, match="going down"):
        await live_site.connect("north")
