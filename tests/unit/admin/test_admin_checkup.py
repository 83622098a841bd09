"""The doctor's lines, each against a real folder or a real server that is ill in that way."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon_admin.checkup import SERVER_TIME_KEY, examine
from cordon_client.errors import ExitCode
from cordon_client.output import Format
from tests.helpers.pki import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_Servicer: Any = health_pb2_grpc.HealthServicer


class Health(_Servicer):  # type: ignore[misc]  # the base has no types
    """Says how it is and what time it is."""

    def __init__(self, status: int, clock_off: timedelta) -> None:
        self._status = status
        self._clock_off = clock_off

    async def Check(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        """The answer with the server's time beside it."""
        now = datetime.now(UTC) + self._clock_off
        context.set_trailing_metadata(((SERVER_TIME_KEY, now.isoformat()),))
        return health_pb2.HealthCheckResponse(status=self._status)


@asynccontextmanager
async def serving(
    authority: Authority, status: int = SERVING, clock_off: timedelta = timedelta()
) -> AsyncIterator[str]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Health(status, clock_off), server)
    port = server.add_secure_port("127.0.0.1:0", authority.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def lines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[ExitCode, dict[str, dict[str, str]]]:
    code = await examine(folder, None, Format.JSON)
    return code, {line["name"]: line for line in json.loads(capsys.readouterr().out)}


async def test_a_healthy_connection_is_ok_at_every_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    async with serving(authority) as address:
        authority.client(tmp_path / "id", address, role="camera")
        code, found = await lines(tmp_path / "id", capsys)

    assert code is ExitCode.OK
    assert {line["result"] for line in found.values()} == {"ok"}
    assert len(found) == 9


async def test_what_rests_on_a_failed_step_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Authority().client(tmp_path / "id", "127.0.0.1:1")

    code, found = await lines(tmp_path / "id", capsys)

    assert code is ExitCode.UNAVAILABLE
    assert found["certificate"]["result"] == "ok"
    assert found["connection"]["result"] == "failed"
    assert found["connection"]["hint"]
    assert {found[name]["result"] for name in ("encryption", "clock", "health")} == {"skipped"}


async def test_a_missing_folder_is_the_first_thing_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = await lines(tmp_path / "nothing", capsys)

    assert code is ExitCode.SIGN_IN
    assert found["folder"]["result"] == "failed"


async def test_a_key_that_others_can_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Authority().client(tmp_path / "id", "127.0.0.1:1")
    (tmp_path / "id" / "key.pem").chmod(0o644)

    _, found = await lines(tmp_path / "id", capsys)

    assert found["folder"]["result"] == "ok"
    assert found["permissions"]["result"] == "failed"
    assert found["permissions"]["hint"] == f"chmod 600 {tmp_path}/id/key.pem"


async def test_a_certificate_of_another_identity_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    authority.client(tmp_path / "id", "127.0.0.1:1", role="camera")
    authority.client(tmp_path / "other", "127.0.0.1:1", role="admin")
    for part in ("cert.pem", "key.pem"):
        (tmp_path / "other" / part).replace(tmp_path / "id" / part)

    _, found = await lines(tmp_path / "id", capsys)

    assert "spiffe://test/admin/anna" in found["certificate"]["told"]


async def test_a_clock_that_is_off_is_told_with_its_direction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    async with serving(authority, clock_off=timedelta(seconds=90)) as address:
        authority.client(tmp_path / "id", address)
        _, found = await lines(tmp_path / "id", capsys)

    assert "90 seconds behind the server's" in found["clock"]["told"]
    assert found["clock"]["hint"] == "timedatectl status"


async def test_a_server_that_does_not_serve_yet_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    async with serving(authority, NOT_SERVING) as address:
        authority.client(tmp_path / "id", address)
        code, found = await lines(tmp_path / "id", capsys)

    assert code is ExitCode.UNAVAILABLE
    assert "not serving yet" in found["health"]["told"]
