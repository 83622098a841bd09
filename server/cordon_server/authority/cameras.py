"""The cameras a server knows. A camera is not deleted but revoked: its name is never used again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from cordon_server.authority.records import CAMERAS, CameraRecord
from cordon_server.domain import AlreadyExists, LimitReached, NotFound, NotReady
from cordon_server.store.environment import Environment, Transaction


class Cameras:
    """Registers, finds and revokes cameras."""

    def __init__(self, registry: Environment, *, count_max: int, clock: Callable[[], datetime]):
        self._registry = registry
        self._count_max = count_max
        self._clock = clock

    async def create(self, camera_id: str, display_name: str, *, dry_run: bool) -> CameraRecord:
        """Registers a camera; raises `AlreadyExists` or `LimitReached`."""
        record = CameraRecord(camera_id, display_name, self._clock())

        def act(txn: Transaction) -> None:
            if txn.get(CAMERAS, camera_id.encode()) is not None:
                raise AlreadyExists(
                    f"camera {camera_id} is registered already; choose another name (a revoked "
                    "name stays taken)"
                )
            if txn.count(CAMERAS) >= self._count_max:
                raise LimitReached(
                    f"{self._count_max} cameras are registered and limits.cameras_max allows no "
                    "more; raise it in the server's settings"
                )
            if not dry_run:
                txn.put(CAMERAS, camera_id.encode(), record)

        await self._registry.write(act)
        return record

    async def get(self, camera_id: str) -> CameraRecord:
        """A camera, revoked or not; raises `NotFound`."""
        return await self._registry.read(lambda txn: _found(txn, camera_id))

    async def page(self, after: str, count: int) -> list[CameraRecord]:
        """Up to `count` cameras by name, after the one named."""

        def act(txn: Transaction) -> list[CameraRecord]:
            scan = txn.scan(CAMERAS, after=after.encode())
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._registry.read(act)

    async def revoke(self, camera_id: str, *, dry_run: bool) -> CameraRecord:
        """Shuts a camera out for good; raises `NotFound` or, the second time, `NotReady`."""

        def act(txn: Transaction) -> CameraRecord:
            record = _found(txn, camera_id)
            if record.revoke_time is not None:
                raise NotReady(f"camera {camera_id} is revoked already; nothing is left to do")
            revoked = msgspec.structs.replace(record, revoke_time=self._clock())
            if not dry_run:
                txn.put(CAMERAS, camera_id.encode(), revoked)
            return revoked

        return await self._registry.write(act)

    def check_usable(self, txn: Transaction, camera_id: str) -> None:
        """Raises `NotFound`, or `NotReady` for a camera that is shut out, as the transaction has
        it."""
        if _found(txn, camera_id).revoke_time is not None:
            raise NotReady(f"camera {camera_id} is revoked; register another name")


def _found(txn: Transaction, camera_id: str) -> CameraRecord:
    record = txn.get(CAMERAS, camera_id.encode())
    if record is None:
        raise NotFound(
            f"there is no camera {camera_id}; see: cordon admin camera list, or register it with: "
            f"cordon admin camera add {camera_id}"
        )
    return record
