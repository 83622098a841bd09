"""A proposal while its rows come: each is tried on the list as it would be after those before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from datetime import datetime

import msgspec

from cordon_server.authority import watchlist_enrolment as enrolment
from cordon_server.authority import watchlist_tables as tables
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_enrolment import Enrolment, Examined, Joining, Standing
from cordon_server.authority.watchlist_faces import duplicate, neighbours
from cordon_server.authority.watchlist_proposal_records import (
    PROPOSAL_IMAGES,
    PROPOSAL_ROWS,
    PROPOSALS,
    ProposalRecord,
    RowFate,
    RowRecord,
    row_key,
)
from cordon_server.authority.watchlist_records import ENTRIES, EntryRecord
from cordon_server.authority.watchlist_rules import Application
from cordon_server.domain import InvalidInput, NotReady, Reason
from cordon_server.store.environment import Environment, Transaction


class Draft:
    """One proposal that is being drawn up; used by one stream. Rows come in the order in which they
    are to be applied, one at a time."""

    def __init__(
        self,
        environment: Environment,
        watchlist: Watchlist,
        record: ProposalRecord,
        rows: Iterable[RowRecord],
        listed: Container[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._environment = environment
        self._watchlist = watchlist
        self._clock = clock
        self._turn = asyncio.Lock()
        self._rows: dict[int, RowRecord] = {}
        self._pictures: dict[str, tuple[str, str]] = {}
        self._entries: dict[str, EntryRecord] = {}
        self._new_by_category: Counter[str] = Counter()
        self._references: Counter[str] = Counter()
        self._faces = watchlist.new_gallery()
        self.record = record
        for row in rows:
            self._note(row, is_listed=row.entry is not None and row.entry.entry_id in listed)

    async def add(self, number: int, application: Application, examined: Examined) -> Enrolment:
        """Tries a row and keeps it; what applying would make of it.

        Raises as `Watchlist.enrol` does, `InvalidInput` for a number that another row has, or
        `NotReady` when the proposal is complete or gone, or another stream goes on with it.
        """
        async with self._turn:
            if (earlier := self._answered(number, application)) is not None:
                return earlier
            known = await self._known(application)
            if known is not None:
                await self._keep(RowRecord(number, application.entry_id, RowFate.KNOWN))
                return known
            made, warnings = await self._tried(application, examined)
            row = RowRecord(
                number,
                application.entry_id,
                RowFate.ACCEPTED,
                warnings,
                made.entry,
                made.reference,
            )
            await self._keep(row, examined.face_jpeg)
            return Enrolment(made.entry, made.reference.reference_id, True, warnings)

    async def refuse(self, number: int, external_ref: str, reasons: tuple[Reason, ...]) -> None:
        """Keeps the report of a row that is refused; a number that another row has is passed
        over."""
        async with self._turn:
            if number not in self._rows:
                await self._keep(RowRecord(number, external_ref, RowFate.REJECTED, reasons))

    def _answered(self, number: int, application: Application) -> Enrolment | None:
        """What a row was answered that comes again after a lost connection."""
        row = self._rows.get(number)
        if row is None or row.fate is RowFate.REJECTED:
            return None
        there = self._pictures.get(application.image_sha256)
        if row.external_ref != application.entry_id or (
            row.reference is not None and (row.external_ref, row.reference.reference_id) != there
        ):
            raise InvalidInput(f"two rows have the number {number}; number them apart", field="row")
        if row.entry is None or row.reference is None:
            return None
        return Enrolment(row.entry, row.reference.reference_id, True, row.reasons)

    async def _known(self, application: Application) -> Enrolment | None:
        digest = application.image_sha256
        known = await self._environment.read(lambda txn: enrolment.known(txn, application, digest))
        there = self._pictures.get(digest)
        if known is not None or there is None:
            return known
        entry_id, reference_id = there
        if entry_id != application.entry_id:
            raise duplicate(
                f"this very picture is proposed as {entry_id}; one picture shows one subject",
                f"{entry_id}/{reference_id}",
                1.0,
            )
        return Enrolment(self._entries[entry_id], reference_id, is_new=False)

    async def _tried(
        self, application: Application, examined: Examined
    ) -> tuple[Joining, tuple[Reason, ...]]:
        rules = self._watchlist.rules
        looks = tuple(
            warning
            for similar in (self._watchlist.gallery.similar, self._faces.similar)
            for warning in neighbours(
                similar,
                application.entry_id,
                examined.template,
                threshold=rules.threshold,
                duplicate_score=rules.duplicate_score,
                own_max=rules.references_per_entry_max,
            )
        )

        def act(txn: Transaction) -> tuple[Standing, str]:
            there = self._watchlist.standing(txn, application)
            return there, enrolment.reference_id_of(txn, application.image_sha256)

        there, reference_id = await self._environment.read(act)
        made = enrolment.joining(
            application,
            examined,
            reference_id,
            rules,
            self._after(there, application),
            self._clock(),
        )
        proposed = msgspec.structs.replace(made.reference, is_proposed=True)
        return replace(made, reference=proposed), looks + made.warnings

    def _after(self, there: Standing, application: Application) -> Standing:
        """The list as it would be after the rows before."""
        entry_id = application.entry_id
        return Standing(
            there.entry or self._entries.get(entry_id),
            there.references + self._references[entry_id],
            there.entries + sum(self._new_by_category.values()),
            there.in_category + self._new_by_category[application.category],
        )

    async def _keep(self, row: RowRecord, face_jpeg: bytes = b"") -> None:
        key = row_key(self.record.proposal_id, row.row)

        def act(txn: Transaction) -> bool:
            check_unchanged(txn, self.record)
            txn.put(PROPOSAL_ROWS, key, row)
            if face_jpeg:
                txn.put(PROPOSAL_IMAGES, key, face_jpeg)
            entry = row.entry
            return entry is not None and txn.get(ENTRIES, entry.entry_id.encode()) is not None

        is_listed = await self._environment.write(act)
        self._note(row, is_listed=is_listed)

    def _note(self, row: RowRecord, *, is_listed: bool = False) -> None:
        self._rows[row.row] = row
        entry, reference = row.entry, row.reference
        if entry is None or reference is None:
            return
        if entry.entry_id not in self._entries and not is_listed:
            self._new_by_category[entry.category] += 1
        self._entries[entry.entry_id] = entry
        self._references[entry.entry_id] += 1
        self._pictures[reference.image_sha256] = (entry.entry_id, reference.reference_id)
        self._faces.add([tables.as_reference(entry, reference)])


def check_unchanged(txn: Transaction, record: ProposalRecord) -> None:
    """Raises `NotReady` when a proposal is not what it was when it was read: what was looked at is
    what becomes of it."""
    if txn.get(PROPOSALS, record.proposal_id.encode()) != record:
        raise NotReady(
            f"proposal {record.proposal_id} has changed meanwhile or is gone; look again",
            reason="PROPOSAL_CHANGED",
        )
