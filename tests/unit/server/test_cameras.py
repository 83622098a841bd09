from __future__ import annotations

import pytest

from cordon_server.authority.cameras import Cameras
from cordon_server.domain import AlreadyExists, LimitReached, NotFound, NotReady
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import NOON, Clock


@pytest.fixture
def cameras(registry: Environment, clock: Clock) -> Cameras:
    return Cameras(registry, count_max=3, clock=clock)


async def test_a_registered_camera_is_found_again(cameras: Cameras) -> None:
    made = await cameras.create("north", "North gate, left", dry_run=False)

    assert await cameras.get("north") == made
    assert (made.display_name, made.create_time, made.revoke_time) == (
        "North gate, left",
        NOON,
        None,
    )


async def test_a_revoked_camera_stays_revoked_and_its_name_taken(
    cameras: Cameras, clock: Clock
) -> None:
    await cameras.create("north", "", dry_run=False)
    clock.advance(hours=1)

    revoked = await cameras.revoke("north", dry_run=False)

    assert revoked.revoke_time == clock.now
    assert await cameras.get("north") == revoked
    with pytest.raises(NotReady, match="revoked already"):
        await cameras.revoke("north", dry_run=False)
    with pytest.raises(AlreadyExists, match="stays taken"):
        await cameras.create("north", "", dry_run=False)


async def test_a_dry_run_says_the_same_and_changes_nothing(cameras: Cameras) -> None:
    trial = await cameras.create("north", "", dry_run=True)
    with pytest.raises(NotFound):
        await cameras.get("north")
    made = await cameras.create("north", "", dry_run=False)
    revoked = await cameras.revoke("north", dry_run=True)

    assert trial == made
    assert revoked.revoke_time is not None
    assert await cameras.get("north") == made


async def test_no_more_cameras_than_the_limit_revoked_ones_included(cameras: Cameras) -> None:
    for name in ("a", "b", "c"):
        await cameras.create(name, "", dry_run=False)
    await cameras.revoke("a", dry_run=False)

    with pytest.raises(LimitReached, match=r"limits\.cameras_max"):
        await cameras.create("d", "", dry_run=False)
    with pytest.raises(AlreadyExists):
        await cameras.create("a", "", dry_run=True)


async def test_pages_follow_each_other_by_name(cameras: Cameras) -> None:
    for name in ("b", "c", "a"):
        await cameras.create(name, "", dry_run=False)

    assert [record.camera_id for record in await cameras.page("", 2)] == ["a", "b"]
    assert [record.camera_id for record in await cameras.page("b", 2)] == ["c"]
    assert await cameras.page("c", 2) == []


async def test_an_unknown_camera_is_said_with_the_next_step(cameras: Cameras) -> None:
    for asked in (cameras.get("x"), cameras.revoke("x", dry_run=False)):
        with pytest.raises(NotFound, match="cordon admin camera add x"):
            await asked
