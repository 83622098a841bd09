"""Who was on which list, without anything biometric: what answers a person when the list is gone
(R3). An external reference says nothing to who has not the file that it refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from cordon_server.authority.watchlist_records import EntryRecord
from cordon_server.store.environment import Environment, Table, Transaction


class ListedRecord(msgspec.Struct, frozen=True):
    """That somebody was listed."""

    deployment_id: str
    external_ref: str
    category: str
    enrol_time: datetime
    keep_time: datetime
    """When this was last written down: when the list was armed, or ended."""


MANIFEST = Table("manifest", ListedRecord)
"""By deployment and external reference, with a slash between."""


class Manifest:
    """Writes down lists and answers who was on them, for as long as that is kept."""

    def __init__(
        self, registry: Environment, *, kept_for: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self.kept_for = kept_for

    async def keep(self, deployment_id: str, entries: Iterable[EntryRecord]) -> int:
        """Writes these entries down; how many. Who was written down before stays."""
        now = self._clock()
        records = [
            ListedRecord(deployment_id, entry.entry_id, entry.category, entry.create_time, now)
            for entry in entries
        ]

        def act(txn: Transaction) -> int:
            for record in records:
                txn.put(MANIFEST, _key(deployment_id, record.external_ref), record)
            return len(records)

        return await self._registry.write(act)

    async def find(self, deployment_id: str, external_ref: str) -> ListedRecord | None:
        """What is written of somebody, or None."""
        key = _key(deployment_id, external_ref)
        return await self._registry.read(lambda txn: txn.get(MANIFEST, key))

    async def categories(self, deployment_id: str) -> dict[str, str]:
        """Who was on a deployment's list and in which category, by external reference; empty where
        nothing is written down, or no more."""
        prefix = _key(deployment_id, "")
        found = await self._registry.read(
            lambda txn: [record for _, record in txn.scan(MANIFEST, prefix=prefix)]
        )
        return {record.external_ref: record.category for record in found}

    async def forget_old(self) -> int:
        """Removes what was kept for long enough; how many."""
        before = self._clock() - self.kept_for

        def act(txn: Transaction) -> int:
            old = [key for key, record in txn.scan(MANIFEST) if record.keep_time <= before]
            for key in old:
                txn.delete(MANIFEST, key)
            return len(old)

        return await self._registry.write(act)


def _key(deployment_id: str, external_ref: str) -> bytes:
    return f"{deployment_id}/{external_ref}".encode()
