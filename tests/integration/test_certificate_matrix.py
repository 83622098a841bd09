"""Certificates that are wrong in one way each, on the real server, with every method: whoever is
signed in there, and whatever else is right, no handler begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without stubs

from cordon.v1 import machine_pb2
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from cordon_server.api.enrolment import ENROL
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.permissions import PERMISSIONS, Work
from cordon_server.identity.tokens import Binding, thumbprint
from tests.helpers.callers import REASON, bearer, user_of
from tests.helpers.certificates import FORGED, Shown, a_certificate, channel
from tests.helpers.every_method import requests
from tests.helpers.intended import entered
from tests.helpers.matrix import Cell, Expected, Metadata, check_cells, run_cells
from tests.helpers.prepared_site import Desk, Machine, Mint, PreparedSite, prepared_site

SIGN_OUT = "/cordon.v1.IdentityService/SignOut"
REVOKED = ("on the connection from before", "on a new connection")
SOON = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Staff:
    """Somebody of each role signed in, and a machine of each to be revoked."""

    mint: Mint
    desk: Machine
    revoked: dict[Role, Machine]

    def token(self, role: PersonRole, sha256: str, use: str = "calls") -> Metadata:
        """Of somebody of the role, bound to this certificate."""
        bound = Binding(thumbprint(sha256))
        claims = self.mint.claims(user_of(role), self.desk, use, cnf=bound)
        return bearer(self.mint.sign(claims))

    def best(self, method: str, role: Role, sha256: str) -> Metadata:
        """All that the method wants to be shown beside the certificate."""
        people = sorted(PERMISSIONS[method].people)
        # Signing out ends a session that others would go on with.
        use = f"sign out {role}" if method == SIGN_OUT else "calls"
        return (*(self.token(people[0], sha256, use) if people else ()), *REASON)


def fill(desk: Desk) -> Staff:
    first = desk.machine(Role.ADMIN, "desk")
    for role in PersonRole:
        desk.user(user_of(role), role)
        for use in ("calls", *(f"sign out {machine}" for machine in Role)):
            desk.session(user_of(role), first, use)
    desk.camera("camera-1")
    officer = user_of(PersonRole.WATCHLIST_OFFICER)
    desk.deployment("ours", "camera-1", officer, first, map(user_of, PersonRole))
    return Staff(desk.mint, first, {role: desk.machine(role, "revoked") for role in Role})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PreparedSite, Staff]]:
    with prepared_site(tmp_path_factory.mktemp("certificates") / "site", fill) as made:
        yield made


def uri(role: Role) -> str:
    return f"spiffe://test.example/{role}/camera-1"


def cells_of(
    staff: Staff, connection: grpc.aio.Channel, label: str, role: Role, sha256: str
) -> Iterator[Cell]:
    """Every method over the connection, with all else in order; no handler is to begin."""
    for method, request in requests("ours", taken="camera-1").items():
        # Nothing answers to Enrol on this port, whoever asks.
        codes = {"UNAUTHENTICATED", "UNAVAILABLE"} if method != ENROL else {"UNIMPLEMENTED"}
        codes |= {"UNAVAILABLE"}
        shown = staff.best(method, role, sha256)
        yield Cell(
            f"{role} {label}", method, connection, request, Expected(frozenset(codes)), shown
        )


def in_order(method: str) -> Expected:
    """What is to come of a call with everything in order; of a second person's, whose first made
    nothing, that nothing is there."""
    if PERMISSIONS[method].four_eyes in (Work.ENTRY, Work.PROPOSAL):
        return Expected(frozenset({"NOT_FOUND"}))
    return entered(method)


@asynccontextmanager
async def connections(
    site: PreparedSite, shown: dict[tuple[str, Role], Shown], *options: tuple[str, Any]
) -> AsyncIterator[dict[tuple[str, Role], grpc.aio.Channel]]:
    opened = {key: channel(site, each, *options) for key, each in shown.items()}
    try:
        yield opened
    finally:
        await asyncio.gather(*(each.close() for each in opened.values()))


@pytest.mark.slow
async def test_no_handler_begins_for_a_certificate_that_is_not_in_order(
    site: tuple[PreparedSite, Staff],
) -> None:
    running, staff = site
    good = {("in order", role): a_certificate(running, uris=(uri(role),)) for role in Role}
    bad = {
        (kind, role): forge(running, uri(role)) for kind, forge in FORGED.items() for role in Role
    }
    async with connections(running, good | bad) as opened:
        refused = [
            cell
            for (kind, role), shown in bad.items()
            for cell in cells_of(staff, opened[kind, role], kind, role, shown.sha256)
        ]
        await run_cells(running, refused)
        taken = [
            cell
            for (kind, role), shown in good.items()
            for cell in cells_of(staff, opened[kind, role], kind, role, shown.sha256)
            if role in PERMISSIONS[cell.method].machines
        ]
        for cell in taken:
            cell.expected = in_order(cell.method)
        await run_cells(running, taken)
    check_cells(refused, "certificates x methods")
    check_cells(taken, "certificates in order x methods")


@pytest.mark.slow
async def test_no_handler_begins_for_a_revoked_certificate(
    site: tuple[PreparedSite, Staff],
) -> None:
    running, staff = site
    before = {role: running.channel(machine.pair) for role, machine in staff.revoked.items()}
    after = {role: running.channel(machine.pair) for role, machine in staff.revoked.items()}
    try:
        for role, opened in before.items():
            await opened.channel_ready()
            await revoke(running, staff, staff.revoked[role])
        cells = [
            cell
            for label, opened in zip(REVOKED, (before, after), strict=True)
            for role, machine in staff.revoked.items()
            for cell in cells_of(staff, opened[role], label, role, machine.sha256)
        ]
        await run_cells(running, cells)
    finally:
        await asyncio.gather(*(each.close() for each in (*before.values(), *after.values())))
    check_cells(cells, "revoked certificates x methods")
    reasons = {cell.reason for cell in cells if cell.method != ENROL}
    assert reasons == {"CERTIFICATE_REVOKED"}


async def revoke(site: PreparedSite, staff: Staff, machine: Machine) -> None:
    request = machine_pb2.RevokeCertificateRequest(name=f"certificates/{machine.sha256}")
    administrator = staff.token(PersonRole.ADMINISTRATOR, staff.desk.sha256)
    async with site.channel(staff.desk.pair) as connection:
        stub = MachineServiceStub(connection)
        await stub.RevokeCertificate(request, metadata=(*administrator, *REASON))


@pytest.mark.slow
async def test_no_handler_begins_for_a_resumed_session_nor_once_the_certificate_has_expired(
    site: tuple[PreparedSite, Staff],
) -> None:
    running, staff = site
    ends = datetime.now(UTC) + SOON
    shown = {("short", role): a_certificate(running, uris=(uri(role),), end=SOON) for role in Role}
    caches: dict[Role, Any] = {role: cygrpc.SSLSessionCacheLRU(1) for role in Role}
    resumed: list[Cell] = []
    over: list[Cell] = []
    first, again, later = (
        {
            role: channel(running, shown["short", role], ("grpc.ssl_session_cache", caches[role]))
            for role in Role
        }
        for _ in range(3)
    )
    try:
        for role in Role:
            await first[role].channel_ready()  # takes the ticket
        for role in Role:
            sha256 = shown["short", role].sha256
            resumed += cells_of(staff, again[role], "by a ticket", role, sha256)
        await run_cells(running, resumed)

        await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 1)

        for label, opened in (("since before", first), ("by a ticket, expired", later)):
            for role in Role:
                over += cells_of(staff, opened[role], label, role, shown["short", role].sha256)
        await run_cells(running, over)
    finally:
        opened_all = (*first.values(), *again.values(), *later.values())
        await asyncio.gather(*(each.close() for each in opened_all))
    check_cells(resumed, "resumed sessions x methods")
    check_cells(over, "expired certificates, open and by a ticket x methods")
    assert {cell.reason for cell in resumed if cell.method != ENROL} == {"SESSION_RESUMED"}
