"""Imports of many pictures as proposals: tried row by row, reviewed, applied by a second person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import islice

import msgspec

from cordon_server.authority import watchlist_tables as tables
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_approval import check_second
from cordon_server.authority.watchlist_draft import Draft, check_unchanged
from cordon_server.authority.watchlist_proposal_records import (
    PROPOSAL_IMAGES,
    PROPOSAL_ROWS,
    PROPOSALS,
    ProposalRecord,
    ProposalState,
    RowFate,
    RowRecord,
    row_key,
    rows_digest,
)
from cordon_server.authority.watchlist_records import ENTRIES
from cordon_server.domain import LimitReached, NotFound, NotReady
from cordon_server.store.environment import Environment, Transaction

PROPOSALS_MAX = 20
"""Of one deployment, applied ones too."""
ROWS_AT_ONCE = 200
"""Rows that go onto the list in one commit."""


class Proposals:
    """The proposals for one deployment's list. Used from the event loop."""

    def __init__(
        self,
        environment: Environment,
        watchlist: Watchlist,
        record: ListRecord,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._environment = environment
        self._watchlist = watchlist
        self._record = record
        self._clock = clock

    async def draw_up(self, proposal_id: str, proposer: Actor) -> Draft:
        """A proposal to add rows to: a new one, or one whose stream broke.

        One that was complete is not any more, and an older stream of it is over. Raises `NotReady`
        for one that is applied or another's, `LimitReached`.
        """
        base = (await self._watchlist.state()).digest
        fresh = ProposalRecord(proposal_id, proposer, self._clock(), base)

        def act(txn: Transaction) -> ProposalRecord:
            there = txn.get(PROPOSALS, proposal_id.encode())
            if there is not None:
                _check_drawn_up_by(there, proposer)
                again = msgspec.structs.replace(
                    there, state=ProposalState.DRAWN_UP, streams=there.streams + 1
                )
                txn.put(PROPOSALS, proposal_id.encode(), again)
                return again
            if txn.count(PROPOSALS) >= PROPOSALS_MAX:
                raise LimitReached(
                    f"there are {PROPOSALS_MAX} proposals for this list; discard some: cordon "
                    "admin watchlist proposal list",
                    reason="PROPOSALS_FULL",
                )
            txn.put(PROPOSALS, proposal_id.encode(), fresh)
            return fresh

        record = await self._environment.write(act)
        rows, listed = await self._environment.read(
            lambda txn: (_rows(txn, proposal_id), {e.entry_id for _, e in txn.scan(ENTRIES)})
        )
        return Draft(self._environment, self._watchlist, record, rows, listed, self._clock)

    async def complete(self, record: ProposalRecord) -> ProposalRecord:
        """No more rows: it waits for a second person now. Raises `NotReady` when another stream
        goes on with it."""
        rows = await self._environment.read(lambda txn: _rows(txn, record.proposal_id))
        fates = Counter(row.fate for row in rows)
        complete = msgspec.structs.replace(
            record,
            state=ProposalState.OPEN,
            digest=rows_digest(rows),
            accepted=fates[RowFate.ACCEPTED],
            known=fates[RowFate.KNOWN],
            rejected=fates[RowFate.REJECTED],
        )
        await self._record.proposed(complete)
        await self._replace(record, complete)
        return complete

    async def get(self, proposal_id: str) -> ProposalRecord:
        """A proposal; raises `NotFound`."""
        record = await self._environment.read(lambda txn: txn.get(PROPOSALS, proposal_id.encode()))
        if record is None:
            raise NotFound(
                f"there is no proposal {proposal_id} for this list; see: cordon admin watchlist "
                "proposal list"
            )
        return record

    async def all(self) -> list[ProposalRecord]:
        """Every proposal, the oldest first."""
        found = await self._environment.read(
            lambda txn: [record for _, record in txn.scan(PROPOSALS)]
        )
        return sorted(found, key=lambda record: record.create_time)

    async def rows(self, proposal_id: str, after: int | None, count: int) -> list[RowRecord]:
        """Up to `count` rows, after the one of a number, from the first with None."""
        await self.get(proposal_id)

        def act(txn: Transaction) -> list[RowRecord]:
            scan = txn.scan(
                PROPOSAL_ROWS,
                prefix=f"{proposal_id}/".encode(),
                after=b"" if after is None else row_key(proposal_id, after),
            )
            return [row for (_, row), _ in zip(scan, range(count), strict=False)]

        return await self._environment.read(act)

    async def apply(
        self, proposal_id: str, digest: bytes, applier: Actor, *, dry_run: bool
    ) -> ProposalRecord:
        """Puts the rows on the list that were found good.

        Raises `NotReady` when it is not complete, not the one that was looked at, applied already,
        or the list is not the one that it was tried on; `NotPermitted` when who applies it drew it
        up. What a broken server left half applied goes on.
        """
        record = await self.get(proposal_id)
        await self._check_applicable(record, digest, applier)
        if dry_run:
            return record

        async def act() -> None:
            record = await self.get(proposal_id)
            await self._check_applicable(record, digest, applier)
            applying = msgspec.structs.replace(
                record, state=ProposalState.APPLYING, applier=applier, apply_time=self._clock()
            )
            await self._record.applied(applying, applier)
            await self._replace(record, applying)
            moved = f"{proposal_id}/".encode()
            while moved:
                moved = await self._environment.write(partial(_move_some, after=moved))
            applied = msgspec.structs.replace(applying, state=ProposalState.APPLIED)
            await self._replace(applying, applied)

        await self._watchlist.grow(act)
        return await self.get(proposal_id)

    async def discard(self, proposal_id: str, by: Actor, *, dry_run: bool) -> None:
        """Throws a proposal away with its pictures; raises `NotFound`, `NotReady` for one that is
        going onto the list."""
        record = await self.get(proposal_id)
        if record.state is ProposalState.APPLYING:
            raise NotReady(
                f"proposal {proposal_id} is half applied; apply it again, then remove entries",
                reason="PROPOSAL_APPLYING",
            )
        if dry_run:
            return
        await self._record.discarded(record, by)

        def act(txn: Transaction) -> None:
            check_unchanged(txn, record)
            for row in _rows(txn, proposal_id):
                txn.delete(PROPOSAL_ROWS, row_key(proposal_id, row.row))
                txn.delete(PROPOSAL_IMAGES, row_key(proposal_id, row.row))
            txn.delete(PROPOSALS, proposal_id.encode())

        await self._environment.write(act)

    async def _check_applicable(
        self, record: ProposalRecord, digest: bytes, applier: Actor
    ) -> None:
        if record.state not in (ProposalState.OPEN, ProposalState.APPLYING):
            raise NotReady(
                f"proposal {record.proposal_id} is {record.state.replace('_', ' ')}; only one that "
                "is complete and not applied yet can be applied",
                reason="PROPOSAL_NOT_OPEN",
            )
        if record.digest != digest:
            raise NotReady(
                "this is not the proposal that was looked at; look again, then apply its digest "
                f"{record.digest.hex()}",
                reason="PROPOSAL_CHANGED",
            )
        check_second([record.proposer], applier, "apply this proposal")
        is_fresh = record.state is ProposalState.OPEN
        if is_fresh and (await self._watchlist.state()).digest != record.base:
            raise NotReady(
                "the list has changed since the proposal was tried on it, so its report may not "
                "hold; propose again",
                reason="LIST_CHANGED",
            )

    async def _replace(self, record: ProposalRecord, by: ProposalRecord) -> None:
        def act(txn: Transaction) -> None:
            check_unchanged(txn, record)
            txn.put(PROPOSALS, by.proposal_id.encode(), by)

        await self._environment.write(act)


def _rows(txn: Transaction, proposal_id: str) -> list[RowRecord]:
    return [row for _, row in txn.scan(PROPOSAL_ROWS, prefix=f"{proposal_id}/".encode())]


def _move_some(txn: Transaction, *, after: bytes) -> bytes:
    """Moves the rows after a key onto the list, some at once, leaving their reports; the last key,
    empty when there are no more."""
    scan = txn.scan(PROPOSAL_ROWS, prefix=after.partition(b"/")[0] + b"/", after=after)
    some = list(islice(scan, ROWS_AT_ONCE))
    for key, row in some:
        if row.entry is None or row.reference is None:
            continue
        image = txn.get(PROPOSAL_IMAGES, key)
        assert image is not None
        tables.put(txn, row.entry, row.reference, image)
        txn.put(PROPOSAL_ROWS, key, msgspec.structs.replace(row, entry=None, reference=None))
        txn.delete(PROPOSAL_IMAGES, key)
    return some[-1][0] if len(some) == ROWS_AT_ONCE else b""


def _check_drawn_up_by(record: ProposalRecord, proposer: Actor) -> None:
    is_open = record.state in (ProposalState.DRAWN_UP, ProposalState.OPEN)
    if not is_open or record.proposer != proposer:
        raise NotReady(
            f"proposal {record.proposal_id} is applied or somebody else's; make another",
            reason="PROPOSAL_NOT_OPEN",
        )
