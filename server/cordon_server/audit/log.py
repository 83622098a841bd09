"""The audit log: acts in, durable leaves out, and what proves that none was changed since.

Acts that come while others are being written are written together, with one sync: a record costs
one sync at least and few more than one at most, however many come at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from cordon_server.acts import Act
from cordon_server.audit import newest, record
from cordon_server.audit.leaves import Leaf, canonical, decode
from cordon_server.audit.notes import Checkpoint, Signer
from cordon_server.audit.personal import is_due, unseal
from cordon_server.domain import NotRecorded, StorageDamaged, StorageFull
from cordon_server.store.environment import Environment, Transaction
from cordon_server.store.keyring import Keyring, Label

log = structlog.get_logger()

CHECKPOINT_S = 60.0
"""A record that has grown is signed at least this often."""
BATCH_MAX = 1000
"""Acts written with one sync."""
FORMAT = "cordon-audit-1"
"""Of an export: one JSON object a line, each in canonical form."""
PAGE = 500
"""Leaves that an export reads at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """An act that is to be written, and who waits for it."""

    act: Act
    now: datetime
    written: asyncio.Future[int]


Written = tuple[list[int], str | None]
"""What became of several acts: their indices, and the note where the record was signed."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that a leaf, or an older record, is in the record of a checkpoint."""

    hashes: list[bytes]
    checkpoint: str
    """The signed note."""


class AuditLog:
    """Keeps the record (R12). Used from the event loop, but where a method says otherwise; writes
    in the writer's one thread."""

    def __init__(
        self,
        environment: Environment,
        keyring: Keyring,
        signer: Signer,
        *,
        newest_file: Path,
        writer: Executor,
        kept_for: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._environment = environment
        self._keyring = keyring
        self._signer = signer
        self._newest_file = newest_file
        self._writer = writer
        self._kept_for = kept_for
        self._clock = clock
        self._waiting: list[Waiting] = []
        self._writing = asyncio.Lock()
        self._last_work: asyncio.Future[Written] | None = None
        self._kept = 0  # the number of the newest checkpoint that was kept; the writer's own

    def sign(self, text: str) -> str:
        """A signed note of other text than a checkpoint; it ends in a newline."""
        return self._signer.sign(text)

    @property
    def vkey(self) -> str:
        """The public key that checkpoints are verified with."""
        return self._signer.vkey

    async def record(self, act: Act) -> int:
        """The act's index in the record; it is durable when this returns.

        Raises `NotRecorded` when it could not be written: the act must not take place. Who is
        cancelled while he waits may find it recorded or not.
        """
        canonical(dict(act.facts))  # what is no JSON is its writer's error, and no one else's
        mine = Waiting(act, self._clock(), asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        try:
            async with self._writing:
                while mine in self._waiting:  # else whoever came before has taken it along
                    await self._write_waiting()
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
        return await mine.written

    async def note(self, act: Act) -> None:
        """Records what takes place also where it cannot be recorded: that is logged then."""
        try:
            await self.record(act)
        except NotRecorded as error:
            log.error("audit.not_recorded", action=act.action, why=error.message)

    async def checkpoint(self) -> str:
        """The newest signed note, of the record as it is now; raises `NotRecorded`."""
        try:
            note = await self._environment.write(
                lambda txn: record.sign(txn, self._signer, self._clock())
            )
        except (StorageFull, StorageDamaged) as error:
            raise not_recorded(error) from error
        await asyncio.get_running_loop().run_in_executor(self._writer, self._keep, note)
        return note

    async def page(self, start: int, count: int, deployment_id: str = "") -> list[Leaf]:
        """Up to so many leaves from an index on, in order; a deployment's alone where one is
        named."""

        def act(txn: Transaction) -> list[Leaf]:
            if deployment_id:
                found = record.leaves_of(txn, deployment_id, start)
                return [leaf for leaf, _ in zip(found, range(count), strict=False)]
            return [decode(content) for content in record.leaves(txn, start, start + count)]

        return await self._environment.read(act)

    async def size(self) -> int:
        """How many leaves there are."""
        return await self._environment.read(record.size_of)

    def size_now(self) -> int:
        """The same in the calling thread, whichever it is."""
        return self._environment.read_now(record.size_of)

    def used(self) -> float:
        """How full its database is, 0 to 1: a full one refuses acts. From any thread."""
        return self._environment.used()

    def personal(self, leaf: Leaf) -> dict[str, str] | None:
        """The personal parts of a leaf; None when their key has been erased. Not for the event
        loop: it waits for the keyring."""
        return unseal(leaf, self._keyring)

    async def inclusion(self, index: int) -> Proof:
        """That a leaf is in the record as it is now; raises `InvalidInput`."""
        note = await self.checkpoint()
        size = record.read_note(note).size
        hashes = await self._environment.read(lambda txn: record.inclusion(txn, index, size))
        return Proof(hashes, note)

    async def consistency(self, size: int) -> Proof:
        """That the record of a size is the beginning of the record as it is now; raises
        `InvalidInput`."""
        note = await self.checkpoint()
        now = record.read_note(note).size
        hashes = await self._environment.read(lambda txn: record.consistency(txn, size, now))
        return Proof(hashes, note)

    async def export(self) -> AsyncIterator[bytes]:
        """The lines of the whole record as one file: who signs, then leaves, and after the last
        leaf that each covers the checkpoints. The last line is a checkpoint over all of it.

        Raises `StorageDamaged` where a checkpoint does not stand where it belongs.
        """
        end = record.read_note(await self.checkpoint())
        yield canonical({"format": FORMAT, "vkey": self.vkey}) + b"\n"
        start = number = 0
        while number < end.number:
            lines, start, number = await self._environment.read(
                partial(_export_page, start=start, number=number, end=end)
            )
            if not lines:  # each page holds a leaf or the last checkpoints
                raise StorageDamaged(
                    "a checkpoint of the audit record is missing or was changed; restore a backup"
                )
            for line in lines:
                yield line

    async def run(self) -> None:
        """Signs the record every minute in which it has grown and erases the keys of personal
        parts that are due, until cancelled."""
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            try:
                await self.checkpoint()
                await self.forget()
            except (NotRecorded, StorageFull) as error:
                log.error("audit.upkeep_failed", why=error.message)  # until the next minute

    async def forget(self) -> list[str]:
        """Erases the keys whose time is over; their names. The record stays whole. Raises
        `StorageFull` where the keyring cannot be written without them."""
        now = self._clock()
        loop = asyncio.get_running_loop()
        names = await loop.run_in_executor(self._writer, self._keyring.names, Label.AUDIT)
        due = [name for name in names if is_due(name, now, self._kept_for)]
        if due:
            await loop.run_in_executor(self._writer, self._keyring.destroy, Label.AUDIT, due)
            log.info("audit.personal_erased", keys=due)
        return due

    async def close(self) -> None:
        """Signs what there is, and closes the files; no act comes any more."""
        if self._last_work is not None:
            await asyncio.wait([self._last_work])
        try:
            await self.checkpoint()
        except NotRecorded as error:
            log.error("audit.checkpoint_failed", why=error.message)
        await self._environment.close()

    async def _write_waiting(self) -> None:
        """Writes what waits; who leads and is cancelled does not take the others with him."""
        batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        work = asyncio.ensure_future(self._environment.write(lambda txn: self._append(txn, batch)))
        work.add_done_callback(partial(self._answer, batch))
        self._last_work = work
        await asyncio.wait([work])

    def _append(self, txn: Transaction, batch: Sequence[Waiting]) -> Written:
        indices, note = [], None
        for each in batch:
            index = record.append(txn, each.act, each.now, self._keyring)
            if record.is_checkpoint_due(each.act, index):
                note = record.sign(txn, self._signer, each.now)
            indices.append(index)
        return indices, note

    def _answer(self, batch: Sequence[Waiting], done: asyncio.Future[Written]) -> None:
        error = done.exception()
        if error is not None:
            log.error("audit.not_written", acts=len(batch), why=str(error))
            for each in batch:
                _fail(each.written, not_recorded(error))
            return
        indices, note = done.result()
        for each, index in zip(batch, indices, strict=True):
            if not each.written.done():
                each.written.set_result(index)
        if note is not None:
            asyncio.get_running_loop().run_in_executor(self._writer, self._keep, note)

    def _keep(self, note: str) -> None:
        """Keeps the note outside the database too, unless a newer one came before it; the record is
        durable without."""
        number = record.read_note(note).number
        if number < self._kept:
            return
        try:
            newest.keep(self._newest_file, note)
            self._kept = number
        except OSError as error:
            log.error("audit.newest_not_kept", file=str(self._newest_file), why=str(error))


def _export_page(
    txn: Transaction, *, start: int, number: int, end: Checkpoint
) -> tuple[list[bytes], int, int]:
    """The next lines of an export, from the leaf `start` on and the checkpoint after `number`; and
    from where to go on."""
    leaves = record.leaves(txn, start, min(start + PAGE, end.size))
    notes = record.checkpoints(txn, number, PAGE + 1)
    lines = []
    for size in range(start, start + len(leaves) + 1):
        if size > start:
            lines.append(b'{"leaf":' + leaves[size - start - 1] + b"}\n")
        while notes and notes[0][0].size == size and number < end.number:
            number += 1
            lines.append(canonical({"checkpoint": notes.pop(0)[1]}) + b"\n")
    return lines, start + len(leaves), number


def not_recorded(error: BaseException) -> BaseException:
    """What the caller of an act hears; anything but the record's own trouble stays as it is."""
    if isinstance(error, StorageFull):
        return NotRecorded(
            "this was not done, for it could not be recorded: there is no room for the audit "
            "record; free disk space or raise storage.size_bytes_max, then try again"
        )
    if isinstance(error, StorageDamaged):
        return NotRecorded(
            "this was not done, for it could not be recorded: the audit record cannot be written; "
            "the server's log says why"
        )
    return error


def _fail(future: asyncio.Future[int], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen, also where nobody waits any more
