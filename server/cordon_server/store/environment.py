"""One LMDB environment with typed tables; knows keys and records, not what they mean.

Durability: `write` returns after a synced commit, so what it acknowledged survives a kill at any
moment. Measured on LMDB 0.9 by killing the process in a loop; hence the engine is pinned and
`writemap` stays off (with it a full disk ends the process with SIGBUS).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import lmdb
import msgspec

from cordon_server.domain import NotNow, StorageDamaged, StorageFull
from cordon_server.store.sealing import Sealer, joined

ENGINE = 0
"""LMDB 0.9; the wheel's 1.0 engine writes files that 0.9 cannot read."""

ROOM_BYTES_MIN = 2**20
"""With less than this free, a write that failed half way failed for want of room."""

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """A named table and the record type of its values (`bytes` are stored as they are)."""

    name: str
    record: type[R]
    version: int = 1
    """Of the record type: one more where an older record could be read as something it is not."""

    def place(self, key: bytes) -> bytes:
        """Where a value is, in the words that it is sealed with."""
        return joined(self.name.encode(), self.version.to_bytes(2, "big"), key)

    def encode(self, value: R) -> bytes:
        return value if isinstance(value, bytes) else msgspec.msgpack.encode(value)

    def decode(self, stored: bytes) -> R:
        if self.record is bytes:
            return stored  # type: ignore[return-value]  # R is bytes here
        try:
            return msgspec.msgpack.decode(stored, type=self.record)
        except msgspec.MsgspecError as error:
            raise StorageDamaged(
                f"a record of table {self.name} cannot be read; restore the data directory from "
                "a backup"
            ) from error


class Transaction:
    """Reads, and in `Environment.write` also writes, of one consistent state."""

    def __init__(
        self, raw: lmdb.Transaction, handles: dict[str, lmdb._Database], sealer: Sealer
    ) -> None:
        self._raw = raw
        self._handles = handles
        self._sealer = sealer

    def get(self, table: Table[R], key: bytes) -> R | None:
        """The record under the key, or None."""
        stored = self._raw.get(key, db=self._handles[table.name])
        if stored is None:
            return None
        return table.decode(self._sealer.unseal(table.place(key), bytes(stored)))

    def put(self, table: Table[R], key: bytes, value: R) -> None:
        """Writes the record, replacing what was there."""
        sealed = self._sealer.seal(table.place(key), table.encode(value))
        self._raw.put(key, sealed, db=self._handles[table.name])

    def delete(self, table: Table[R], key: bytes) -> bool:
        """Removes the record; whether there was one."""
        return bool(self._raw.delete(key, db=self._handles[table.name]))

    def scan(
        self, table: Table[R], *, prefix: bytes = b"", after: bytes = b""
    ) -> Iterator[tuple[bytes, R]]:
        """Records whose key starts with the prefix and is greater than `after`, by key."""
        with self._raw.cursor(db=self._handles[table.name]) as cursor:
            found = cursor.set_range(max(prefix, after)) if prefix or after else cursor.first()
            while found:
                key = bytes(cursor.key())
                if not key.startswith(prefix):
                    return
                if key > after:
                    stored = bytes(cursor.value())
                    yield key, table.decode(self._sealer.unseal(table.place(key), stored))
                found = cursor.next()

    def digest(self, value: bytes) -> bytes:
        """What stands for a value in a key: says nothing to who has not the environment's key."""
        return self._sealer.digest(value)

    def count(self, table: Table[R]) -> int:
        """How many records the table holds."""
        return int(self._raw.stat(self._handles[table.name])["entries"])

    def last_key(self, table: Table[R]) -> bytes | None:
        """The greatest key, or None when the table is empty."""
        with self._raw.cursor(db=self._handles[table.name]) as cursor:
            return bytes(cursor.key()) if cursor.last() else None


class Environment:
    """An open LMDB environment. Writes queue for the writer's one thread, reads run beside them."""

    def __init__(
        self,
        folder: Path,
        tables: Sequence[Table[Any]],
        *,
        size_bytes_max: int,
        sealer: Sealer,
        writer: Executor,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._sealer = sealer
        self._writer = writer
        self._under_way = 0
        self._is_closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        try:
            self._raw = lmdb.open(
                os.fspath(folder),
                map_size=size_bytes_max,
                max_dbs=len(tables),
                mode=0o600,
                lib_version=ENGINE,
                readahead=False,
            )
            self._handles = {table.name: self._raw.open_db(table.name.encode()) for table in tables}
        except lmdb.Error as error:
            raise _translated(error, folder) from error

    async def read(self, act: Callable[[Transaction], T]) -> T:
        """What `act` makes of one consistent state; it must not keep the transaction."""
        return await self._run(None, self.read_now, act)

    def read_now(self, act: Callable[[Transaction], T]) -> T:
        """The same, in the calling thread."""
        try:
            with self._raw.begin(buffers=False) as raw:
                return act(Transaction(raw, self._handles, self._sealer))
        except lmdb.Error as error:
            raise _translated(error, self.folder) from error

    async def write(self, act: Callable[[Transaction], T]) -> T:
        """Runs `act` and commits, synced, or changes nothing; returns what `act` returned.

        Raises `StorageFull` when disk or map are full; earlier commits are not touched. A caller
        that is cancelled meanwhile does not undo the write.
        """
        return await self._run(self._writer, self.write_now, act)

    def write_now(self, act: Callable[[Transaction], T]) -> T:
        """The same, in the calling thread; start-up and the writer's own."""
        try:
            with self._raw.begin(write=True) as raw:
                return act(Transaction(raw, self._handles, self._sealer))
        except lmdb.Error as error:
            raise _translated(error, self.folder) from error

    @property
    def last_commit(self) -> int:
        """The number of the newest commit: while it stays, nothing has changed."""
        return int(self._raw.info()["last_txnid"])

    def used(self) -> float:
        """The share of its largest size that the database has taken, 0 to 1; at 1 nothing more can
        be written. From any thread."""
        try:
            page_bytes, state = self._raw.stat()["psize"], self._raw.info()
        except lmdb.Error as error:
            raise _translated(error, self.folder) from error
        return float((state["last_pgno"] + 1) * page_bytes / state["map_size"])

    async def close(self) -> None:
        """Closes the files when the last read and write are through; refuses new ones at once."""
        self._is_closing = True
        await self._idle.wait()
        self._raw.close()

    def close_now(self) -> None:
        """The same for one that was used in the calling thread alone."""
        assert not self._under_way
        self._raw.close()

    async def _run(
        self,
        executor: Executor | None,
        run: Callable[[Callable[[Transaction], T]], T],
        act: Callable[[Transaction], T],
    ) -> T:
        # A transaction must not outlive its environment, whatever becomes of the caller: hence the
        # count is kept by the work and not by who waits for it.
        if self._is_closing:
            raise NotNow("this is being closed; try again in a moment")
        work = asyncio.get_running_loop().run_in_executor(executor, run, act)
        self._under_way += 1
        self._idle.clear()
        work.add_done_callback(self._done)
        return await asyncio.shield(work)

    def _done(self, work: asyncio.Future[T]) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()
        if not work.cancelled():
            work.exception()  # seen, also where nobody waits any more


def _translated(error: lmdb.Error, folder: Path) -> StorageFull | StorageDamaged:
    if isinstance(error, lmdb.MapFullError) or _is_disk_full(error, folder):
        return StorageFull(
            f"there is no room left for {folder.name}: free disk space or raise "
            "storage.size_bytes_max, then try again; what was acknowledged before is safe"
        )
    return StorageDamaged(f"the database {folder.name} cannot be used: {error}")


def _is_disk_full(error: lmdb.Error, folder: Path) -> bool:
    """LMDB says ENOSPC when nothing fits, but EIO when a part of a write still did."""
    if "No space left" in str(error):
        return True
    return "Input/output" in str(error) and shutil.disk_usage(folder).free < ROOM_BYTES_MIN
