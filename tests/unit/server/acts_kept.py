"""A record in memory, for tests of what comes after it; and a real one in a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cordon_server.acts import Act, AuditClass
from cordon_server.audit.log import AuditLog
from cordon_server.audit.notes import Signer, key_pem
from cordon_server.audit.room import KEY_FILE, AuditPlaces, begin, make_signer, open_audit
from cordon_server.domain import NotRecorded
from tests.unit.server.rooms import Clock, open_keyring

SITE = "north.example"


@dataclass
class ActsKept:
    """Keeps what is recorded, for as long as there is room."""

    acts: list[Act] = field(default_factory=list)
    room: int | None = None
    """For so many; without, for all."""

    async def record(self, act: Act) -> int:
        if self.room is not None and len(self.acts) >= self.room:
            raise NotRecorded("there is no room for the audit record")
        self.acts.append(act)
        return len(self.acts) - 1

    @property
    def actions(self) -> list[str]:
        return [act.action for act in self.acts]


def an_act(
    number: int = 0,
    *,
    deployment_id: str = "",
    action: str = "watchlist.enrolled",
    **personal: str,
) -> Act:
    return Act(
        AuditClass.ALTERATION,
        action,
        deployment_id,
        f"deployments/{deployment_id}" if deployment_id else "",
        "spiffe://north.example/admin/first",
        {"number": number, "share": 0.25, "trial": False},
        personal,
    )


def a_begun_record(
    folder: Path, now: datetime, size_bytes_max: int = 64 * 2**20
) -> tuple[AuditPlaces, Signer]:
    """A record with its first leaf, as `server init` leaves it."""
    signer = make_signer(SITE)
    certificates = folder / "certs"
    certificates.mkdir(parents=True)
    (certificates / KEY_FILE).write_bytes(key_pem(signer.key))
    places = AuditPlaces(SITE, folder / "data", certificates, folder / "kept", size_bytes_max)
    begin(places, signer, now)
    return places, signer


@asynccontextmanager
async def an_audit_log(
    folder: Path, clock: Callable[[], datetime] | None = None, size_bytes_max: int = 64 * 2**20
) -> AsyncIterator[AuditLog]:
    """An open record with its first leaf in it."""
    clock = clock or Clock()
    places, _ = a_begun_record(folder, clock(), size_bytes_max)
    async with open_audit(places, open_keyring(folder), clock=clock) as audit:
        yield audit


async def exported(audit: AuditLog) -> list[bytes]:
    """The lines of the whole record."""
    return [line async for line in audit.export()]
