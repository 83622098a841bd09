"""Which cameras are let in, and when they are sent away."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cordon_server.domain import AlreadyExists, LimitReached, NotFound, NotReady
from cordon_server.sessions.camera import Halted, HaltReason
from tests.unit.server.live_rooms import LiveSite, heard
from tests.unit.server.rooms import NOON


async def test_a_camera_connects_with_the_credit_of_its_kind(live_site: LiveSite) -> None:
    await live_site.armed("market", "north", "south")

    video = await live_site.connect("north")
    stills = await live_site.connect("south", stills=True)

    assert (video.credit, stills.credit) == (2, 6)
    assert live_site.scheduler.mailboxes["south"].waiting_max >= 6
    assert live_site.live.session("north") is video
    video.close()
    assert live_site.live.session("north") is None
    assert live_site.scheduler.mailboxes["north"].is_closed


async def test_who_may_not_stream_is_told_why(live_site: LiveSite) -> None:
    await live_site.armed("market", "north", "west")
    await live_site.connect("north")

    with pytest.raises(NotFound):
        await live_site.connect("nowhere")
    with pytest.raises(NotReady) as not_armed:
        await live_site.connect("south")
    with pytest.raises(AlreadyExists) as second:
        await live_site.connect("north")
    with pytest.raises(NotReady) as clock_off:
        await live_site.live.connect("west", sent_at=NOON - timedelta(minutes=5), stills=False)
    await live_site.cameras.revoke("west", dry_run=False)
    with pytest.raises(NotReady) as revoked:
        await live_site.connect("west")
    live_site.clock.advance(hours=24)
    with pytest.raises(NotReady, match="the window of deployment market closed"):
        await live_site.connect("north")

    reasons = [raised.value.reason for raised in (not_armed, second, clock_off, revoked)]
    assert reasons == ["NOT_ARMED", "SECOND_STREAM", "CLOCK_OFF", "CAMERA_REVOKED"]


async def test_no_more_cameras_than_the_limit_are_connected(live_site: LiveSite) -> None:
    await live_site.armed("market", "north", "south", "west")
    await live_site.connect("north")
    second = await live_site.connect("south")

    with pytest.raises(LimitReached, match=r"limits\.cameras_connected_max"):
        await live_site.connect("west")
    second.close()
    await live_site.connect("west")


async def test_a_revoked_camera_is_halted_and_one_on_its_way_in_is_not_let_in(
    live_site: LiveSite,
) -> None:
    await live_site.armed()
    session = await live_site.connect()

    live_site.live.revoke("north")
    live_site.live.revoke("south")

    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.CAMERA_REVOKED
    session.close()
    with pytest.raises(NotReady, match="revoked"):
        await live_site.connect("north")


async def test_cameras_are_halted_when_the_window_is_over(live_site: LiveSite) -> None:
    await live_site.armed()
    live_site.live.start()
    session = await live_site.connect()

    live_site.clock.advance(hours=24)

    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.WINDOW_CLOSED


async def test_a_camera_that_would_not_fit_is_told_when_to_come_back(live_site: LiveSite) -> None:
    live_site.load.typical_s = 0.4  # two frames a second of it fill one worker nearly
    await live_site.armed("market", "north", "south")
    first = await live_site.connect("north")

    with pytest.raises(LimitReached) as refused:
        await live_site.connect("south")
    first.close()
    await live_site.connect("south")

    assert refused.value.reason == "NO_CAPACITY"
    assert refused.value.retry_after_s > 0
