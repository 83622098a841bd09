"""Legal holds: one match's record, kept beyond its deployment for a reason that has a name (R4).

What is held is a copy, sealed under a key of its own, of the match, its judgements, its outcome and
its pictures: never an entry of the watchlist, a reference picture or a template.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from cordon_server.acts import Act, AuditClass, Recorder
from cordon_server.authority.records import Actor
from cordon_server.domain import AlreadyExists, NotFound, NotReady
from cordon_server.matches.records import (
    OUTCOMES,
    found_match,
    judgements_of,
    match_key,
    probes_of,
)
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.store.environment import Environment, Table, Transaction
from cordon_server.store.sealed_files import SealedFiles


class HoldRecord(msgspec.Struct, frozen=True):
    """That a match's record is or was held; why stands with what is held."""

    hold_id: str
    deployment_id: str
    match_id: int
    place_time: datetime
    lift_time: datetime | None = None


class Held(msgspec.Struct, frozen=True):
    """What is held."""

    reason: str
    record: dict[str, Any]
    """JSON types alone."""
    pictures: tuple[bytes, ...]
    """JPEG, the best first."""


HOLDS = Table("holds", HoldRecord)
"""By hold id."""


class Holds:
    """Places, shows and lifts holds. Used from the event loop alone."""

    def __init__(
        self,
        registry: Environment,
        files: SealedFiles,
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._files = files
        self._recorder = recorder
        self._clock = clock
        self._changing = asyncio.Lock()

    async def place(
        self,
        hold_id: str,
        deployment: OpenDeployment,
        match_id: int,
        reason: str,
        actor: Actor,
        *,
        dry_run: bool,
    ) -> HoldRecord:
        """Holds a match; raises `AlreadyExists`, or `NotFound` for a match that is not there."""
        name = deployment.record.deployment_id
        record = HoldRecord(hold_id, name, match_id, self._clock())
        async with self._changing:
            if await self._find(hold_id) is not None:
                raise AlreadyExists(
                    f"there is a hold {hold_id} already, lifted or not; choose another name"
                )
            held = await _copy(deployment, match_id, reason)
            if dry_run:
                return record
            await self._record("hold.placed", AuditClass.ALTERATION, record, actor, reason)
            await asyncio.to_thread(self._files.put, hold_id, msgspec.msgpack.encode(held))
            await self._registry.write(lambda txn: txn.put(HOLDS, hold_id.encode(), record))
        return record

    async def lift(self, hold_id: str, reason: str, actor: Actor, *, dry_run: bool) -> HoldRecord:
        """Destroys what is held; raises `NotFound`, or `NotReady` where it was lifted before."""
        async with self._changing:
            record = await self.get(hold_id)
            if record.lift_time is not None:
                raise NotReady(f"hold {hold_id} was lifted before; nothing is left to do")
            lifted = msgspec.structs.replace(record, lift_time=self._clock())
            if dry_run:
                return lifted
            await self._record("hold.lifted", AuditClass.ERASURE, record, actor, reason)
            # Noted first: what a kill leaves behind is removed at the next start.
            await self._registry.write(lambda txn: txn.put(HOLDS, hold_id.encode(), lifted))
            await asyncio.to_thread(self._files.remove, hold_id)
        return lifted

    async def get(self, hold_id: str) -> HoldRecord:
        """A hold, lifted or not; raises `NotFound`."""
        record = await self._find(hold_id)
        if record is None:
            raise NotFound(f"there is no hold {hold_id}; see: cordon admin hold list")
        return record

    async def held(self, hold_id: str) -> Held:
        """What is held; raises `NotFound`, also where it was lifted."""
        await self.get(hold_id)
        content = await asyncio.to_thread(self._files.get, hold_id)
        return msgspec.msgpack.decode(content, type=Held)

    async def page(self, after: str, count: int) -> list[HoldRecord]:
        """Up to `count` holds by name, after the one named."""

        def act(txn: Transaction) -> list[HoldRecord]:
            scan = txn.scan(HOLDS, after=after.encode())
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._registry.read(act)

    async def refresh(self, deployment: OpenDeployment, match_id: int | None = None) -> None:
        """Brings what is held of a deployment's matches, or of one, to their newest state: they are
        about to go, and what was decided since would go with them."""
        async with self._changing:  # Else what is lifted meanwhile would be written once more.
            for record in await self._standing():
                if record.deployment_id != deployment.record.deployment_id:
                    continue
                if match_id in (None, record.match_id):
                    await self._renew(record, deployment)

    async def remove_strays(self) -> list[str]:
        """Removes what is held by no standing hold: what a kill or a restored backup left."""
        standing = {record.hold_id for record in await self._standing()}
        strays = sorted(self._files.kept() - standing)
        for hold_id in strays:
            await asyncio.to_thread(self._files.remove, hold_id)
        return strays

    async def _renew(self, record: HoldRecord, deployment: OpenDeployment) -> None:
        try:
            before = await self.held(record.hold_id)
            held = await _copy(deployment, record.match_id, before.reason)
        except NotFound:
            return  # The match is gone by its retention; what is held of it stays.
        await asyncio.to_thread(self._files.put, record.hold_id, msgspec.msgpack.encode(held))

    async def _find(self, hold_id: str) -> HoldRecord | None:
        return await self._registry.read(lambda txn: txn.get(HOLDS, hold_id.encode()))

    async def _standing(self) -> list[HoldRecord]:
        records = await self._registry.read(lambda txn: [each for _, each in txn.scan(HOLDS)])
        return [record for record in records if record.lift_time is None]

    async def _record(
        self, action: str, kind: AuditClass, record: HoldRecord, actor: Actor, reason: str
    ) -> None:
        await self._recorder.record(
            Act(
                kind,
                action,
                deployment_id=record.deployment_id,
                resource=f"deployments/{record.deployment_id}/matches/{record.match_id}",
                machine=actor.machine,
                facts={"hold": record.hold_id, "match": record.match_id},
                personal={"person": actor.user_id, "justification": reason},
            )
        )


async def _copy(deployment: OpenDeployment, match_id: int, reason: str) -> Held:
    def act(txn: Transaction) -> Held:
        record = {
            "match": found_match(txn, match_id),
            "judgements": judgements_of(txn, match_id),
            "outcome": txn.get(OUTCOMES, match_key(match_id)),
        }
        return Held(reason, msgspec.to_builtins(record), tuple(probes_of(txn, match_id)))

    return await deployment.environment.read(act)
