from __future__ import annotations

import asyncio
import stat
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.domain import NotFound, NotNow, StorageDamaged, StorageFull
from cordon_server.store.environment import Environment, Table, Transaction
from tests.unit.server.rooms import open_environment


class Place(msgspec.Struct, frozen=True):
    name: str
    floor: int = 0


PLACES = Table("places", Place)
BLOBS = Table("blobs", bytes)
TABLES = (PLACES, BLOBS)


@pytest.fixture
def environment(tmp_path: Path, writer: Executor) -> Environment:
    return open_environment(tmp_path / "env", TABLES, writer)


async def test_what_a_write_acknowledged_is_there_after_reopening(
    tmp_path: Path, writer: Executor
) -> None:
    first = open_environment(tmp_path / "env", TABLES, writer)
    await first.write(lambda txn: txn.put(PLACES, b"a", Place("gate", 2)))
    await first.close()

    second = open_environment(tmp_path / "env", TABLES, writer)

    assert await second.read(lambda txn: txn.get(PLACES, b"a")) == Place("gate", 2)
    await second.close()


def test_records_come_back_as_what_they_were(environment: Environment) -> None:
    def act(txn: Transaction) -> None:
        txn.put(PLACES, b"a", Place("gate"))
        txn.put(BLOBS, b"a", b"\x00\xff")

    environment.write_now(act)

    assert environment.read_now(lambda txn: txn.get(PLACES, b"a")) == Place("gate")
    assert environment.read_now(lambda txn: txn.get(BLOBS, b"a")) == b"\x00\xff"
    assert environment.read_now(lambda txn: txn.get(PLACES, b"b")) is None


def test_a_put_replaces_a_delete_says_whether_there_was_one(environment: Environment) -> None:
    def act(txn: Transaction) -> tuple[bool, bool, int]:
        txn.put(PLACES, b"a", Place("gate"))
        txn.put(PLACES, b"a", Place("door"))
        count = txn.count(PLACES)
        return txn.delete(PLACES, b"a"), txn.delete(PLACES, b"a"), count

    assert environment.write_now(act) == (True, False, 1)


def test_the_last_key_is_the_greatest(environment: Environment) -> None:
    assert environment.read_now(lambda txn: txn.last_key(BLOBS)) is None

    def act(txn: Transaction) -> bytes | None:
        for key in (b"b", b"\xff", b"a"):
            txn.put(BLOBS, key, b"")
        return txn.last_key(BLOBS)

    assert environment.write_now(act) == b"\xff"


KEYS = st.binary(min_size=1, max_size=3)


def test_a_scan_gives_the_keys_with_the_prefix_beyond_after_in_order(
    environment: Environment,
) -> None:
    class RolledBackError(Exception):
        pass

    @settings(max_examples=150, deadline=None)
    @given(st.sets(KEYS, max_size=12), st.binary(max_size=2), st.binary(max_size=3))
    def check(keys: set[bytes], prefix: bytes, after: bytes) -> None:
        def act(txn: Transaction) -> NoReturn:
            for key in keys:
                txn.put(BLOBS, key, key)
            found = list(txn.scan(BLOBS, prefix=prefix, after=after))
            wanted = sorted(key for key in keys if key.startswith(prefix) and key > after)
            assert found == [(key, key) for key in wanted]
            raise RolledBackError

        with pytest.raises(RolledBackError):
            environment.write_now(act)

    check()


@pytest.mark.parametrize(
    ("prefix", "after", "found"),
    [
        (b"", b"", [b"a/1", b"b/1", b"b/2", b"c/1"]),
        (b"b/", b"", [b"b/1", b"b/2"]),
        (b"b/", b"a/9", [b"b/1", b"b/2"]),
        (b"b/", b"b/1", [b"b/2"]),
        (b"b/", b"b/2", []),
        (b"b/", b"c/1", []),
        (b"", b"b/1", [b"b/2", b"c/1"]),
        (b"", b"c/1", []),
        (b"d", b"", []),
    ],
)
def test_the_edges_of_a_scan(
    environment: Environment, prefix: bytes, after: bytes, found: list[bytes]
) -> None:
    def act(txn: Transaction) -> list[bytes]:
        for key in (b"c/1", b"b/2", b"a/1", b"b/1"):
            txn.put(BLOBS, key, b"x")
        return [key for key, _ in txn.scan(BLOBS, prefix=prefix, after=after)]

    assert environment.write_now(act) == found


async def test_a_write_that_raises_changes_nothing(environment: Environment) -> None:
    def act(txn: Transaction) -> None:
        txn.put(PLACES, b"a", Place("gate"))
        txn.delete(PLACES, b"kept")
        raise NotFound("not this one")

    await environment.write(lambda txn: txn.put(PLACES, b"kept", Place("door")))
    with pytest.raises(NotFound, match="not this one"):
        await environment.write(act)

    found = await environment.read(lambda txn: [key for key, _ in txn.scan(PLACES)])
    assert found == [b"kept"]
    await environment.close()


async def test_writes_queue_so_that_each_sees_the_one_before(environment: Environment) -> None:
    def add_one(txn: Transaction) -> None:
        floor = (txn.get(PLACES, b"a") or Place("stairs")).floor
        txn.put(PLACES, b"a", Place("stairs", floor + 1))

    await asyncio.gather(*(environment.write(add_one) for _ in range(25)))

    assert await environment.read(lambda txn: txn.get(PLACES, b"a")) == Place("stairs", 25)
    await environment.close()


async def test_a_full_map_is_said_loses_nothing_and_leaves_the_rest_usable(
    tmp_path: Path, writer: Executor
) -> None:
    environment = open_environment(tmp_path / "env", TABLES, writer, size_bytes_max=2**20)
    blob = bytes(100_000)

    def add(txn: Transaction) -> None:
        txn.put(BLOBS, b"%03d" % txn.count(BLOBS), blob)

    async def fill() -> None:
        while True:
            await environment.write(add)

    with pytest.raises(StorageFull, match=r"storage\.size_bytes_max"):
        await fill()

    kept = await environment.read(lambda txn: txn.count(BLOBS))
    assert 3 < kept < 12
    assert await environment.read(lambda txn: txn.get(BLOBS, b"%03d" % (kept - 1))) == blob
    await environment.write(lambda txn: txn.delete(BLOBS, b"000"))
    await environment.write(lambda txn: txn.put(PLACES, b"a", Place("gate")))
    assert await environment.read(lambda txn: txn.get(PLACES, b"a")) == Place("gate")
    await environment.close()


async def test_a_closing_environment_finishes_what_runs_and_refuses_what_is_new(
    environment: Environment,
) -> None:
    may_end, has_begun = threading.Event(), threading.Event()

    def slow(txn: Transaction) -> str:
        has_begun.set()
        assert may_end.wait(10)
        txn.put(PLACES, b"a", Place("gate"))
        return "written"

    writing = asyncio.create_task(environment.write(slow))
    await asyncio.to_thread(has_begun.wait, 10)
    closing = asyncio.create_task(environment.close())
    await asyncio.sleep(0)

    with pytest.raises(NotNow, match="try again"):
        await environment.read(lambda txn: txn.count(PLACES))
    with pytest.raises(NotNow):
        await environment.write(lambda txn: txn.count(PLACES))
    assert not closing.done()
    may_end.set()
    assert await writing == "written"
    await asyncio.wait_for(closing, 10)


async def test_a_cancelled_caller_does_not_undo_the_write_and_close_still_waits_for_it(
    tmp_path: Path, writer: Executor
) -> None:
    environment = open_environment(tmp_path / "env", TABLES, writer)
    may_end, has_begun = threading.Event(), threading.Event()

    def slow(txn: Transaction) -> None:
        has_begun.set()
        assert may_end.wait(10)
        txn.put(PLACES, b"a", Place("gate"))

    writing = asyncio.create_task(environment.write(slow))
    await asyncio.to_thread(has_begun.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    closing = asyncio.create_task(environment.close())
    await asyncio.sleep(0)
    assert not closing.done()
    may_end.set()
    await asyncio.wait_for(closing, 10)

    again = open_environment(tmp_path / "env", TABLES, writer)
    assert again.read_now(lambda txn: txn.get(PLACES, b"a")) == Place("gate")
    await again.close()


async def test_work_that_could_not_be_handed_over_is_not_waited_for(tmp_path: Path) -> None:
    executor = ThreadPoolExecutor(1)
    environment = open_environment(tmp_path / "env", TABLES, executor)
    executor.shutdown()

    with pytest.raises(RuntimeError):
        await environment.write(lambda txn: txn.count(PLACES))

    await asyncio.wait_for(environment.close(), 10)


def test_only_the_owner_may_read_the_files(environment: Environment) -> None:
    folder = environment.folder

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("stored", [b"", b"\xc1", b"\x81\xa4name\x01", b"plain text"])
def test_a_damaged_record_is_named_and_not_guessed_at(
    environment: Environment, stored: bytes
) -> None:
    as_bytes = Table("places", bytes)
    environment.write_now(lambda txn: txn.put(as_bytes, b"a", stored))

    with pytest.raises(StorageDamaged, match=r"table places .* backup"):
        environment.read_now(lambda txn: txn.get(PLACES, b"a"))
    with pytest.raises(StorageDamaged):
        environment.read_now(lambda txn: list(txn.scan(PLACES)))


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path, writer: Executor) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "data.mdb").write_bytes(b"not a database" * 1000)

    with pytest.raises(StorageDamaged, match="the database env"):
        open_environment(tmp_path / "env", TABLES, writer)


def test_a_key_the_engine_cannot_take_is_an_error_of_ours(environment: Environment) -> None:
    with pytest.raises(StorageDamaged):
        environment.read_now(lambda txn: txn.get(PLACES, b""))
    with pytest.raises(StorageDamaged):
        environment.write_now(lambda txn: txn.put(PLACES, b"k" * 600, Place("gate")))
