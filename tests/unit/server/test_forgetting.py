from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon.v1 import retention_pb2
from cordon_server.api.retention import RetentionServicer
from cordon_server.authority.clock import CLOCK
from cordon_server.authority.manifest import MANIFEST, Manifest
from cordon_server.authority.records import CAMERAS, DEPLOYMENTS, State
from cordon_server.domain import NotReady, StorageDamaged, StorageFull
from cordon_server.matches.records import (
    MATCHES,
    AdjudicationRecord,
    Decision,
    found_match,
    match_key,
)
from cordon_server.sessions.deployment import TABLES, DeploymentOpener, OpenDeployment
from cordon_server.sessions.forgetting import Forgetting
from cordon_server.sessions.holds import HOLDS, Holds
from cordon_server.sessions.match_classes import MatchClasses
from cordon_server.sessions.stops import LOOK_AT_ALL_EVERY_S, LOOK_EVERY_S
from cordon_server.store import keyring as keyring_module
from cordon_server.store.durable import write_whole
from cordon_server.store.environment import Transaction
from cordon_server.store.keyring import Label
from cordon_server.store.remains import Opened, open_values
from cordon_server.store.sealed_files import SealedFiles
from tests.unit.server.acts_kept import ActsKept
from tests.unit.server.live_rooms import LiveSite, a_live_site
from tests.unit.server.rooms import (
    MODEL,
    OFFICER,
    Clock,
    a_frame,
    a_sighting,
    open_environment,
    open_keyring,
)

CLASSES = MatchClasses(
    undecided_max=timedelta(hours=6), true_max=timedelta(hours=20), false_max=timedelta(hours=1)
)


@dataclass
class Room:
    """What forgetting needs, over real files."""

    site: LiveSite
    forgetting: Forgetting
    manifest: Manifest
    holds: Holds
    acts: ActsKept
    folder: Path

    async def matched(self, count: int = 1) -> OpenDeployment:
        """An armed deployment with so many matches."""
        opened = await self.site.armed()
        for number in range(count):
            await opened.log.append(a_frame(number + 1), [a_sighting()])
        return opened

    async def kept(self, opened: OpenDeployment) -> list[int]:
        return [each.match_id for each in await opened.log.page(0, 99)]


async def a_room(folder: Path, writer: Executor, clock: Clock) -> AsyncIterator[Room]:
    tables = (CAMERAS, DEPLOYMENTS, CLOCK, MANIFEST, HOLDS)
    registry = open_environment(folder / "registry", tables, writer)
    async with a_live_site(folder, registry, writer, clock) as site:
        acts = ActsKept()
        manifest = Manifest(registry, kept_for=timedelta(days=31), clock=clock)
        files = SealedFiles(folder / "holds", site.opener.keyring, Label.HOLD)
        holds = Holds(registry, files, acts, clock=clock)
        forgetting = Forgetting(
            site.deployments, site.live, site.opener, manifest, holds, CLASSES, acts, clock=clock
        )
        site.live.before_end = forgetting.before_end
        yield Room(site, forgetting, manifest, holds, acts, folder)
    await registry.close()


@pytest.fixture
async def room(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[Room]:
    async for made in a_room(tmp_path, writer, clock):
        yield made


async def decide(opened: OpenDeployment, match_id: int, decision: Decision, clock: Clock) -> None:
    def act(txn: Transaction) -> None:
        decided = AdjudicationRecord(decision, "spiffe://site/control/one", clock.now)
        record = msgspec.structs.replace(found_match(txn, match_id), adjudication=decided)
        txn.put(MATCHES, match_key(match_id), record)

    await opened.environment.write(act)


@pytest.mark.serves("R4")
async def test_each_class_of_matches_goes_when_its_time_is_over(room: Room, clock: Clock) -> None:
    opened = await room.matched(3)
    await decide(opened, 2, Decision.TRUE, clock)
    await decide(opened, 3, Decision.FALSE, clock)

    seen = []
    for hours in (0.99, 0.01, 4.99, 0.01, 13.99, 0.01):
        clock.advance(hours=hours)
        await room.forgetting.look()
        seen.append(await room.kept(opened))

    assert seen == [[1, 2, 3], [1, 2], [1, 2], [2], [2], []]
    forgotten = [act for act in room.acts.acts if act.action == "retention.match"]
    assert [dict(act.facts) for act in forgotten] == [
        {"match": 3, "class": "false"},
        {"match": 1, "class": "undecided"},
        {"match": 2, "class": "true"},
    ]


@pytest.mark.serves("R4")
async def test_what_cannot_go_on_record_is_forgotten_later(room: Room, clock: Clock) -> None:
    opened = await room.matched()
    clock.advance(hours=6)
    room.acts.room = 0
    await room.forgetting.look()
    assert await room.kept(opened) == [1]

    room.acts.room = None
    await room.forgetting.look()

    assert await room.kept(opened) == []


@pytest.mark.serves("R4")
async def test_a_hold_keeps_a_match_in_its_newest_state_and_nothing_else(
    room: Room, clock: Clock
) -> None:
    opened = await room.matched(2)
    await room.holds.place("case-1", opened, 1, "a complaint", OFFICER, dry_run=False)
    await decide(opened, 1, Decision.FALSE, clock)

    clock.advance(days=1)
    await room.forgetting.look()

    assert await room.kept(opened) == []
    held = await room.holds.held("case-1")
    assert held.record["match"]["adjudication"]["decision"] == "false"
    assert held.pictures == (b"probe of s-1",)


@pytest.mark.serves("R3", "R4")
async def test_what_cannot_be_written_of_lists_keeps_nothing_else_from_its_time(
    room: Room, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> int:
        raise StorageFull("there is no room left for registry")

    opened = await room.matched(2)
    await room.holds.place("case-2", opened, 2, "a complaint", OFFICER, dry_run=False)
    monkeypatch.setattr(Manifest, "forget_old", full)
    monkeypatch.setattr(Manifest, "keep", full)
    await decide(opened, 2, Decision.TRUE, clock)

    clock.advance(hours=6)
    await room.forgetting.look()
    assert await room.kept(opened) == [2]
    await room.site.end()

    held = await room.holds.held("case-2")
    assert held.record["match"]["adjudication"]["decision"] == "true"


HOURS = st.floats(-30, 30, allow_nan=False)
JUDGEMENTS = st.sampled_from([None, *Decision])


@pytest.mark.serves("R4")
@settings(max_examples=40, deadline=None)
@given(
    judged=st.lists(JUDGEMENTS, min_size=1, max_size=4),
    jumps=st.lists(HOURS, min_size=1, max_size=6),
    held=st.booleans(),
)
async def test_no_jump_of_the_clock_lets_a_match_outlive_its_class_or_brings_one_back(
    judged: list[Decision | None], jumps: list[float], held: bool
) -> None:
    clock = Clock()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as writer:
        async for room in a_room(Path(folder), writer, clock):
            opened = await room.matched(len(judged))
            for number, decision in enumerate(judged, 1):
                if decision is not None:
                    await decide(opened, number, decision, clock)
            if held:
                await room.holds.place("held", opened, 1, "a case", OFFICER, dry_run=False)
            gone: set[int] = set()
            for hours in jumps:
                clock.advance(hours=hours)
                await room.forgetting.look()
                kept = await opened.log.page(0, 99)
                assert all(CLASSES.kept_until(each) > clock.now for each in kept)
                assert not gone & {each.match_id for each in kept}
                gone |= set(range(1, len(judged) + 1)) - {each.match_id for each in kept}
            if held:
                assert (await room.holds.held("held")).record["match"]["match_id"] == 1


@pytest.mark.serves("R3")
async def test_a_list_is_written_down_when_it_is_armed_and_stays_told_after_its_end(
    room: Room,
) -> None:
    await room.matched()
    await room.forgetting.look()
    armed = await room.manifest.find("market", "s-1")

    await room.site.end()

    assert armed is not None
    listed = await room.manifest.find("market", "s-1")
    assert listed is not None
    assert listed.category == "wanted"
    assert not (room.folder / "deployments" / "market").exists()


@pytest.mark.serves("R3")
async def test_who_asks_hears_of_the_destruction_once_it_has_taken_place(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    none: Any = None
    servicer = RetentionServicer(
        room.site.deployments, room.site.live, room.manifest, room.holds, none, none
    )

    async def told() -> retention_pb2.CheckListedResponse:
        request = retention_pb2.CheckListedRequest(parent="deployments/market", external_ref="s-1")
        return await servicer.CheckListed(request, none)

    def broken(*_: object) -> None:
        raise StorageDamaged("it could not be erased")

    await room.matched()
    with monkeypatch.context() as patched:
        patched.setattr(DeploymentOpener, "erase", broken)
        with pytest.raises(StorageDamaged):
            await room.site.end()
    before = await told()
    await room.site.stops.settle()
    after = await told()

    assert before.was_listed
    assert not before.HasField("erase_time")
    assert after.HasField("erase_time")


@pytest.mark.serves("R2")
async def test_a_restored_backup_of_what_ended_is_removed_at_the_next_start(room: Room) -> None:
    await room.matched()
    environment = room.folder / "deployments" / "market"
    shutil.copytree(environment, room.folder / "backup")
    await room.site.end()
    shutil.copytree(room.folder / "backup", environment)
    shutil.copytree(room.folder / "backup", environment.with_name("unheard-of"))
    room.site.opener.keyring.get_or_make(Label.DEPLOYMENT, "no-folder")

    await room.forgetting.clear_up()

    assert room.site.opener.kept() == set()
    assert not list((room.folder / "deployments").iterdir())
    cleared = [act for act in room.acts.acts if act.action == "erasure.deployment"]
    causes = {act.deployment_id: act.facts["cause"] for act in cleared}
    assert causes == {"market": "ended", "unheard-of": "unknown", "no-folder": "unknown"}


@pytest.mark.serves("R2")
async def test_a_full_record_does_not_keep_what_a_start_removes(room: Room) -> None:
    room.site.opener.keyring.get_or_make(Label.DEPLOYMENT, "unheard-of")
    room.acts.room = 0

    await room.forgetting.clear_up()

    assert room.site.opener.kept() == set()


@pytest.mark.serves("R2")
async def test_what_nobody_can_read_any_more_is_removed_and_said(room: Room) -> None:
    await room.site.draft("market", "north")
    await room.site.live.close()
    room.site.opener.keyring.destroy(Label.DEPLOYMENT, ["market"])
    with pytest.raises(StorageDamaged, match="nobody can read"):
        await room.site.live.opened("market")

    await room.forgetting.clear_up()

    opened = await room.site.live.opened("market")
    assert await opened.watchlist.counts() == (0, 0)
    assert [act.facts["cause"] for act in room.acts.acts if act.action == "erasure.deployment"] == [
        "key_lost"
    ]


@pytest.mark.serves("R2")
async def test_what_may_be_here_stays_here_at_a_start(room: Room) -> None:
    await room.matched()
    await room.holds.place(
        "case-1", await room.site.live.opened("market"), 1, "x", OFFICER, dry_run=False
    )
    await room.site.live.close()

    await room.forgetting.clear_up()

    assert await (await room.site.live.opened("market")).watchlist.counts() == (1, 1)
    assert (await room.holds.held("case-1")).reason == "x"
    await room.site.end()
    with pytest.raises(NotReady):
        await room.site.live.opened("market")


@pytest.mark.serves("R2")
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "not opened by anybody"])
async def test_a_minute_after_its_time_a_deployments_key_is_gone_and_its_backup_opens_nothing(
    room: Room, clock: Clock, is_open: bool
) -> None:
    opened = await room.matched()
    backup = _backed_up(room)
    assert len(_opened(room, backup).opened) == _opened(room, backup).values > 3
    if not is_open:
        await room.site.live.close()

    clock.now = opened.record.until
    await room.site.stops.look()

    assert LOOK_EVERY_S + LOOK_AT_ALL_EVERY_S < 60
    await _assert_gone(room, backup)


@pytest.mark.serves("R2")
async def test_what_ran_out_while_the_server_was_down_is_gone_before_it_serves(
    room: Room, clock: Clock
) -> None:
    await room.matched()
    await room.site.live.close()
    backup = _backed_up(room)
    clock.advance(days=3)

    await room.forgetting.clear_up()
    await room.site.stops.settle()

    await _assert_gone(room, backup)
    listed = await room.manifest.find("market", "s-1")
    assert listed is not None


@pytest.mark.serves("R2")
async def test_a_full_disk_keeps_neither_the_database_nor_the_key(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.matched()
    backup = _backed_up(room)
    database = room.folder / "deployments" / "market"

    def fits_without_the_database(file: Path, content: bytes) -> None:
        if database.exists():
            raise OSError(28, "No space left on device")
        write_whole(file, content)

    monkeypatch.setattr(keyring_module, "write_whole", fits_without_the_database)
    await room.site.end()

    await _assert_gone(room, backup)


async def test_a_full_disk_ends_nothing_that_forgets(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    async def full(manifest: Manifest) -> int:
        nonlocal tried
        tried += 1
        raise StorageFull("there is no room left")

    monkeypatch.setattr(Manifest, "forget_old", full)

    await room.forgetting.look()
    await room.forgetting.look()

    assert tried == 2


def _backed_up(room: Room) -> Path:
    """A copy of what a backup takes: databases and keyring, not the wrapping secret."""
    backup = room.folder / "backup"
    shutil.copytree(room.folder / "deployments" / "market", backup / "market")
    shutil.copy(room.folder / "keyring", backup / "keyring")
    return backup


def _opened(room: Room, backup: Path) -> Opened:
    """What every key that there is now opens of a backup."""
    ring = room.site.opener.keyring
    keys = [ring.get(label, name) for label in Label for name in ring.names(label)]
    return open_values(
        backup / "market",
        TABLES,
        [key for key in keys if key is not None],
        model_id=MODEL,
        size_bytes_max=16 * 2**20,
    )


async def _assert_gone(room: Room, backup: Path) -> None:
    assert (await room.site.deployments.get("market")).state is State.ERASED
    assert room.site.opener.kept() == set()
    assert _opened(room, backup).opened == ()
    shutil.copy(backup / "keyring", room.folder / "keyring")
    assert open_keyring(room.folder).names(Label.DEPLOYMENT) == []
