from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from datetime import timedelta
from pathlib import Path

import pytest

from cordon_server.acts import AuditClass
from cordon_server.authority.manifest import MANIFEST, Manifest
from cordon_server.domain import (
    AlreadyExists,
    NotFound,
    NotReady,
    NotRecorded,
    StorageDamaged,
    StorageFull,
)
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.holds import HOLDS, Holds
from cordon_server.sessions.receipt_holds import hold_for_receipt
from cordon_server.store.environment import Environment
from cordon_server.store.keyring import Keyring, Label
from cordon_server.store.sealed_files import SealedFiles
from tests.unit.server.acts_kept import ActsKept
from tests.unit.server.live_rooms import LiveSite
from tests.unit.server.rooms import (
    OFFICER,
    Clock,
    a_frame,
    a_sighting,
    open_environment,
    open_keyring,
)

WHY = "complaint 2026-14"


@pytest.fixture
async def held_registry(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "held", (HOLDS, MANIFEST), writer)
    yield environment
    await environment.close()


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return open_keyring(tmp_path / "ring")


@pytest.fixture
def files(tmp_path: Path, ring: Keyring) -> SealedFiles:
    return SealedFiles(tmp_path / "holds", ring, Label.HOLD)


@pytest.fixture
def acts() -> ActsKept:
    return ActsKept()


@pytest.fixture
def holds(held_registry: Environment, files: SealedFiles, acts: ActsKept, clock: Clock) -> Holds:
    return Holds(held_registry, files, acts, clock=clock)


@pytest.fixture
async def matched(live_site: LiveSite) -> OpenDeployment:
    """A deployment with one match."""
    opened = await live_site.armed()
    await opened.log.append(a_frame(1), [a_sighting()])
    return opened


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def place(holds: Holds, matched: OpenDeployment, name: str = "case-14") -> None:
    await holds.place(name, matched, 1, WHY, OFFICER, dry_run=False)


@pytest.mark.serves("R4")
async def test_a_held_match_outlives_its_deployment_without_anything_of_the_list(
    live_site: LiveSite, matched: OpenDeployment, holds: Holds, tmp_path: Path
) -> None:
    await place(holds, matched)

    await matched.close()
    live_site.opener.erase("market")

    held = await holds.held("case-14")
    assert held.reason == WHY
    assert held.record["match"]["entry_id"] == "s-1"
    assert held.pictures == (b"probe of s-1",)
    assert b"face of" not in repr(held).encode()  # the reference picture
    on_disk = b"".join(path.read_bytes() for path in (tmp_path / "holds").iterdir())
    assert b"probe of" not in on_disk
    assert WHY.encode() not in on_disk


@pytest.mark.serves("R4")
async def test_a_lifted_hold_keeps_nothing_and_its_name_stays_taken(
    matched: OpenDeployment, holds: Holds, ring: Keyring, tmp_path: Path, clock: Clock
) -> None:
    await place(holds, matched)
    clock.advance(days=3)

    lifted = await holds.lift("case-14", "settled", OFFICER, dry_run=False)

    assert lifted.lift_time == clock.now
    assert ring.names(Label.HOLD) == []
    assert not list((tmp_path / "holds").iterdir())
    with pytest.raises(NotFound, match="not here any more"):
        await holds.held("case-14")
    with pytest.raises(NotReady, match="lifted before"):
        await holds.lift("case-14", "again", OFFICER, dry_run=False)
    with pytest.raises(AlreadyExists, match="choose another name"):
        await place(holds, matched)


async def test_holds_go_on_the_record_with_their_reason_sealed(
    matched: OpenDeployment, holds: Holds, acts: ActsKept
) -> None:
    await place(holds, matched)
    await holds.lift("case-14", "settled", OFFICER, dry_run=False)

    assert [(act.action, act.kind) for act in acts.acts] == [
        ("hold.placed", AuditClass.ALTERATION),
        ("hold.lifted", AuditClass.ERASURE),
    ]
    for act, why in zip(acts.acts, (WHY, "settled"), strict=True):
        assert act.facts == {"hold": "case-14", "match": 1}
        assert act.personal == {"person": OFFICER.user_id, "justification": why}


async def test_what_cannot_be_recorded_is_neither_held_nor_lifted(
    matched: OpenDeployment, holds: Holds, acts: ActsKept
) -> None:
    await place(holds, matched)
    acts.room = 0

    with pytest.raises(NotRecorded):
        await place(holds, matched, "second")
    with pytest.raises(NotRecorded):
        await holds.lift("case-14", "settled", OFFICER, dry_run=False)

    assert [hold.hold_id for hold in await holds.page("", 9)] == ["case-14"]
    assert (await holds.held("case-14")).reason == WHY


async def test_a_trial_holds_and_lifts_nothing(matched: OpenDeployment, holds: Holds) -> None:
    await holds.place("trial", matched, 1, WHY, OFFICER, dry_run=True)
    with pytest.raises(NotFound, match="there is no hold trial"):
        await holds.get("trial")

    await place(holds, matched)
    assert (await holds.lift("case-14", "", OFFICER, dry_run=True)).lift_time is not None
    assert (await holds.get("case-14")).lift_time is None


async def test_a_match_that_is_not_there_cannot_be_held(
    matched: OpenDeployment, holds: Holds, acts: ActsKept
) -> None:
    with pytest.raises(NotFound, match="no match 7"):
        await holds.place("case-7", matched, 7, WHY, OFFICER, dry_run=False)
    assert not acts.acts


async def test_one_name_holds_one_match_however_often_it_is_asked_for_at_once(
    matched: OpenDeployment, holds: Holds
) -> None:
    outcomes = await asyncio.gather(
        *(place(holds, matched) for _ in range(4)), return_exceptions=True
    )

    assert sum(isinstance(each, AlreadyExists) for each in outcomes) == 3


async def test_at_the_end_what_is_held_takes_the_newest_state(
    matched: OpenDeployment, holds: Holds
) -> None:
    await place(holds, matched)
    await matched.log.append(a_frame(2), [a_sighting(score=0.9)], [1])

    await holds.refresh(matched)

    held = await holds.held("case-14")
    assert (held.record["match"]["score"], held.reason) == (0.9, WHY)


@pytest.mark.serves("R4")
async def test_what_is_lifted_while_its_deployment_ends_is_not_written_once_more(
    matched: OpenDeployment, holds: Holds, files: SealedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place(holds, matched)
    reading, go_on, get = threading.Event(), threading.Event(), SealedFiles.get

    def held_up(self: SealedFiles, name: str) -> bytes:
        content = get(self, name)
        reading.set()
        assert go_on.wait(30)
        return content

    monkeypatch.setattr(SealedFiles, "get", held_up)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(holds.refresh(matched))
        assert await asyncio.to_thread(reading.wait, 30)
        lifting = tasks.create_task(holds.lift("case-14", "settled", OFFICER, dry_run=False))
        await asyncio.wait({lifting}, timeout=0.1)  # as far as it comes
        go_on.set()

    assert files.kept() == set()


@pytest.mark.serves("R2")
async def test_what_no_standing_hold_keeps_is_removed_at_a_start(
    matched: OpenDeployment, holds: Holds, files: SealedFiles, tmp_path: Path
) -> None:
    await place(holds, matched)
    await place(holds, matched, "lifted")
    backup = (tmp_path / "holds" / "lifted").read_bytes()
    await holds.lift("lifted", "settled", OFFICER, dry_run=False)
    (tmp_path / "holds" / "lifted").write_bytes(backup)  # brought back
    files.put("stray", b"by a kill between two steps")

    assert await holds.remove_strays() == ["lifted", "stray"]

    assert files.kept() == {"case-14"}
    assert (await holds.held("case-14")).reason == WHY


def test_a_sealed_file_opens_by_its_own_name_alone(files: SealedFiles, tmp_path: Path) -> None:
    files.put("one", b"content of one")
    files.put("two", b"content of two")
    assert (files.get("one"), files.get("two")) == (b"content of one", b"content of two")

    (tmp_path / "holds" / "one").write_bytes((tmp_path / "holds" / "two").read_bytes())

    with pytest.raises(StorageDamaged):
        files.get("one")


def test_with_a_sealed_file_goes_what_a_broken_write_of_it_left(
    files: SealedFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.put("one", b"content of one")
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", _full)
        with pytest.raises(StorageFull):
            files.put("one", b"and more")
    assert (files.kept(), files.get("one")) == ({"one"}, b"content of one")

    files.remove("one")

    assert files.kept() == set()
    assert not list((tmp_path / "holds").iterdir())


@pytest.mark.serves("R3")
async def test_who_was_listed_is_told_for_as_long_as_is_stated(
    live_site: LiveSite, held_registry: Environment, clock: Clock
) -> None:
    manifest = Manifest(held_registry, kept_for=timedelta(days=31), clock=clock)
    opened = await live_site.draft("market", "north")
    entries = [entry for entry, _ in await opened.watchlist.page("", 9)]

    assert await manifest.keep("market", entries) == 1

    listed = await manifest.find("market", "s-1")
    assert listed is not None
    assert (listed.category, listed.keep_time) == ("wanted", clock.now)
    assert await manifest.find("market", "s-2") is None
    assert await manifest.find("harbour", "s-1") is None
    clock.advance(days=30)
    assert await manifest.forget_old() == 0
    clock.advance(days=1)
    assert await manifest.forget_old() == 1
    assert await manifest.find("market", "s-1") is None


@pytest.mark.serves("R29")
async def test_who_asks_with_a_receipt_has_the_match_held_as_long_as_nobody_lifts_it(
    live_site: LiveSite, matched: OpenDeployment, holds: Holds, acts: ActsKept
) -> None:
    async def asked(match_id: int = 1, *, dry_run: bool = False) -> bool:
        return await hold_for_receipt(
            live_site.live, holds, "market", match_id, OFFICER, dry_run=dry_run
        )

    assert not await asked(dry_run=True)
    assert not await asked(7), "there is no such match"
    assert acts.actions == []
    assert await asked()
    assert await asked()
    assert acts.actions == ["hold.placed"]
    await matched.log.purge(1)
    assert await asked(), "what is held stays"
    (hold,) = await holds.page("", 9)
    await holds.lift(hold.hold_id, WHY, OFFICER, dry_run=False)

    assert not await asked()
