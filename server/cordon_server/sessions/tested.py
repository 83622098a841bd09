"""What a deployment's cameras made of known pictures: the newest test of each (R28)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cordon_server.authority.checks import Recognised
from cordon_server.store.environment import Environment, Table, Transaction


class PreflightRecord(msgspec.Struct, frozen=True):
    """One test."""

    authority: bytes
    """Digest of the authority under which it was: of this list, this threshold, these zones."""
    recognised: int
    pictures: int
    create_time: datetime


PREFLIGHTS = Table("preflights", PreflightRecord)
"""By camera."""


async def keep(environment: Environment, camera_id: str, test: PreflightRecord) -> None:
    """Keeps a camera's test in place of the one before."""
    await environment.write(lambda txn: txn.put(PREFLIGHTS, camera_id.encode(), test))


async def tested_under(environment: Environment, authority: bytes) -> dict[str, Recognised]:
    """The cameras that were tested under an authority, and how they did."""

    def act(txn: Transaction) -> dict[str, Recognised]:
        return {
            key.decode(): Recognised(test.recognised, test.pictures)
            for key, test in txn.scan(PREFLIGHTS)
            if test.authority == authority
        }

    return await environment.read(act)
