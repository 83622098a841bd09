"""What a deployment's watchlist holds, read."""

from __future__ import annotations

from random import SystemRandom

from cordon_server.authority import watchlist_tables as tables
from cordon_server.authority.list_state import ListState
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_lint import Listed
from cordon_server.authority.watchlist_records import (
    ENTRIES,
    REFERENCE_IMAGES,
    REFERENCES,
    EntryRecord,
    ReferenceRecord,
    reference_key,
)
from cordon_server.domain import NotFound
from cordon_server.store.environment import Environment, Transaction


class ListReader:
    """Reads one list. Used from the event loop."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._state: tuple[int, ListState] | None = None

    async def state(self) -> ListState:
        """The digest of the list as it is, its counts and its newest review."""
        commit = self._environment.last_commit  # Read first: what comes meanwhile is read again.
        if self._state is None or self._state[0] != commit:
            self._state = commit, await self._environment.read(tables.state)
        return self._state[1]

    async def get(self, entry_id: str) -> tuple[EntryRecord, list[ReferenceRecord]]:
        """A subject and its references; raises `NotFound`."""
        return await self._environment.read(
            lambda txn: (tables.found(txn, entry_id), tables.references_of(txn, entry_id))
        )

    async def page(self, after: str, count: int) -> list[tuple[EntryRecord, list[ReferenceRecord]]]:
        """Up to `count` subjects by external reference, after the one named."""

        def act(txn: Transaction) -> list[tuple[EntryRecord, list[ReferenceRecord]]]:
            scan = txn.scan(ENTRIES, after=after.encode())
            page = [record for (_, record), _ in zip(scan, range(count), strict=False)]
            return [(record, tables.references_of(txn, record.entry_id)) for record in page]

        return await self._environment.read(act)

    async def image(self, entry_id: str, reference_id: str) -> bytes:
        """JPEG of a reference's face; raises `NotFound`."""
        key = reference_key(entry_id, reference_id)
        image = await self._environment.read(lambda txn: txn.get(REFERENCE_IMAGES, key))
        if image is None:
            raise NotFound(f"the picture of {entry_id} was removed from the list")
        return image

    async def counts(self) -> tuple[int, int]:
        """How many entries and references there are."""
        return await self._environment.read(lambda txn: (txn.count(ENTRIES), txn.count(REFERENCES)))

    async def whole(self) -> Listed:
        """Every entry with its references, by name."""
        return await self._environment.read(tables.whole_list)

    async def sample(self, count: int) -> list[tuple[EntryRecord, list[ReferenceRecord]]]:
        """So many entries, each with the same chance, in the order they were drawn (R26)."""
        names = await self._environment.read(
            lambda txn: [entry.entry_id for _, entry in txn.scan(ENTRIES)]
        )
        drawn = SystemRandom().sample(names, min(count, len(names)))
        return [await self.get(name) for name in drawn]

    async def enrolled_by(self) -> set[Actor]:
        """Everybody who enrolled anything of the list, with where it was done."""
        return await self._environment.read(tables.enrolled_by)
