"""The doctor's steps, from the identity folder to a call that the role allows.

Each is one line: ok, or failed with the next step. Every step rests on those before it, so what
follows a failed one is skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon.v1 import identity_pb2
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon_client import probe
from cordon_client.channel import call, connected
from cordon_client.dates import renewal_wait
from cordon_client.errors import ClientError, ExitCode, sign_in_command
from cordon_client.identity import check_folder, check_private, load_identity, split_address
from cordon_client.names import short
from cordon_client.output import Format, emit

if TYPE_CHECKING:
    from pathlib import Path

    from cordon_client.identity import ClientIdentity

SERVER_TIME_KEY = "cordon-time"
"""Of the trailing metadata in which a server tells its clock, RFC 3339."""

_CLOCK_OFF_MAX = timedelta(seconds=5)
"""Of this computer's clock from the server's; the times of frames are compared."""


@dataclass(slots=True)
class Patient:
    """What the steps look at."""

    folder: Path
    server: str | None
    """In place of the identity's."""
    loaded: ClientIdentity | None = None

    @property
    def identity(self) -> ClientIdentity:
        """There after the step that loads it."""
        assert self.loaded is not None
        return self.loaded


async def examine(folder: Path, server: str | None, output: Format) -> ExitCode:
    """Takes the steps, prints what they come to, returns the exit code of the one that failed."""
    records, code = await _take_steps(Patient(folder, server))
    if output is Format.TABLE:
        for record in records:
            _print_line(record)
    else:
        emit(records, {}, output)
    return code


async def _take_steps(patient: Patient) -> tuple[list[dict[str, Any]], ExitCode]:
    records: list[dict[str, Any]] = []
    code = ExitCode.OK
    for name, step in _STEPS.items():
        record: dict[str, Any] = {"name": name, "result": "skipped", "told": "", "hint": ""}
        records.append(record)
        if code is not ExitCode.OK:
            continue
        try:
            record |= {"result": "ok", "told": await step(patient)}
        except ClientError as error:
            code = error.exit_code
            told = f"{error.what} {error.why}".strip()
            record |= {"result": "failed", "told": told, "hint": error.hint}
    return records, code


def _print_line(record: dict[str, Any]) -> None:
    print(f"{record['result']:<8} {record['name']:<12} {record['told']}".rstrip())
    if record["hint"]:
        print(f"{'':<8} {'':<12} hint: {record['hint']}")


async def _folder(patient: Patient) -> str:
    check_folder(patient.folder)
    return str(patient.folder)


async def _permissions(patient: Patient) -> str:
    check_private(patient.folder)
    return "nobody else can read the key"


async def _identity(patient: Patient) -> str:
    patient.loaded = load_identity(patient.folder)
    if patient.server is not None:
        split_address(patient.server)
        patient.loaded = replace(patient.loaded, server=patient.server)
    return patient.identity.spiffe_id


async def _certificate(patient: Patient) -> str:
    now = datetime.now(UTC)
    probe.check_certificate(patient.identity, now)
    if (found := probe.spiffe_id(patient.identity)) != patient.identity.spiffe_id:
        raise ClientError(
            f"cert.pem is for {found}, identity.toml says {patient.identity.spiffe_id}.",
            why="The folder's parts belong to different identities.",
            hint=f"ls -la {patient.folder}",
            exit_code=ExitCode.SIGN_IN,
        )
    _, end = probe.validity(patient.identity)
    is_late = not renewal_wait(patient.identity.certificate_pem, now, is_new=False)
    soon = f" Renew it: cordon {patient.identity.role} renew" if is_late else ""
    return f"good until {end.astimezone():%Y-%m-%d %H:%M}.{soon}"


async def _tcp(patient: Patient) -> str:
    await asyncio.to_thread(probe.check_tcp, patient.identity)
    return f"{patient.identity.server} answers"


async def _tls(patient: Patient) -> str:
    await asyncio.to_thread(probe.check_tls, patient.identity)
    return "the server is this site's, and it accepts this certificate"


async def _clock(patient: Patient) -> str:
    async with connected(patient.identity) as channel:
        asked = datetime.now(UTC)
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        await check
        answered = datetime.now(UTC)
        metadata = dict(await check.trailing_metadata() or ())
    told = metadata.get(SERVER_TIME_KEY)
    if not isinstance(told, str):
        return "within the dates of both certificates; this server does not tell its time"
    # The server looked at its clock between the two readings of ours.
    off = datetime.fromisoformat(told) - (asked + (answered - asked) / 2)
    if abs(off) > _CLOCK_OFF_MAX:
        raise ClientError(
            f"This computer's clock is {abs(off).total_seconds():.0f} seconds "
            f"{'behind' if off > timedelta() else 'ahead of'} the server's.",
            why="One of the two is wrong; the times of frames and matches would be.",
            hint="timedatectl status",
        )
    return f"{off.total_seconds():+.1f} s from the server's"


async def _health(patient: Patient) -> str:
    async with connected(patient.identity) as channel:
        method = health_pb2_grpc.HealthStub(channel).Check
        response = await call(method, health_pb2.HealthCheckRequest())
    if response.status != health_pb2.HealthCheckResponse.SERVING:
        raise ClientError(
            "The server is up but not serving yet.",
            why="It is loading its models or its watchlists, or it is shutting down.",
            hint=f"cordon status --identity {patient.folder}",
            exit_code=ExitCode.UNAVAILABLE,
        )
    return "serving"


async def _role(patient: Patient) -> str:
    role = patient.identity.role
    taken = f"{role}: the server takes you as {patient.identity.name}"
    if role == "camera":  # What a camera may do only a stream could show.
        return taken
    async with connected(patient.identity) as channel:
        found = await call(IdentityServiceStub(channel).WhoAmI, identity_pb2.WhoAmIRequest())
    if not found.HasField("user"):
        return f"{taken}; nobody is signed in ({sign_in_command(patient.identity)})"
    return f"{taken}; {short(found.user.name)} is signed in"


_STEPS: dict[str, Callable[[Patient], Awaitable[str]]] = {
    "folder": _folder,
    "permissions": _permissions,
    "identity": _identity,
    "certificate": _certificate,
    "connection": _tcp,
    "encryption": _tls,
    "clock": _clock,
    "health": _health,
    "role": _role,
}
