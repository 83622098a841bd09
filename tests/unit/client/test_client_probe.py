"""Broken connections in words: each against a real server that is broken in just that way."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from cordon_client.channel import call, connected
from cordon_client.errors import ClientError, ExitCode
from cordon_client.probe import diagnose
from tests.helpers.pki import DAY, Authority, Leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cordon_client.identity import ClientIdentity


@pytest.fixture
def authority() -> Authority:
    return Authority()


@asynccontextmanager
async def serving(authority: Authority, leaf: Leaf | None = None) -> AsyncIterator[str]:
    server = grpc.aio.server()
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", authority.server_credentials(leaf))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def failing(identity: ClientIdentity) -> ClientError:
    """What a plain call says when it cannot reach the server."""

    async def ask() -> None:
        async with connected(identity) as channel:
            method = health_pb2_grpc.HealthStub(channel).Check
            await call(method, health_pb2.HealthCheckRequest(), timeout_s=5, attempts_max=1)

    with pytest.raises(ClientError) as failed:
        await ask()
    assert failed.value.hint
    return failed.value


async def test_a_good_connection_has_no_diagnosis(tmp_path: Path, authority: Authority) -> None:
    async with serving(authority) as address:
        identity = authority.client(tmp_path / "id", address)

        found = await asyncio.to_thread(diagnose, identity)

    assert found is None


async def test_a_server_that_is_not_there(tmp_path: Path, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    identity = authority.client(tmp_path / "id", f"127.0.0.1:{port}")

    error = await failing(identity)

    assert "No server answers at" in error.what
    assert "refused" in error.why
    assert error.exit_code is ExitCode.UNAVAILABLE


async def test_a_name_that_does_not_resolve(tmp_path: Path, authority: Authority) -> None:
    identity = authority.client(tmp_path / "id", "no-such-host.invalid:8443")

    error = await failing(identity)

    assert "no-such-host.invalid cannot be resolved" in error.what


async def test_a_server_of_another_site(tmp_path: Path, authority: Authority) -> None:
    async with serving(Authority("another")) as address:
        error = await failing(authority.client(tmp_path / "id", address))

    assert "is not our server" in error.what
    assert "not signed by this site's authority" in error.why


async def test_a_server_whose_certificate_has_expired(tmp_path: Path, authority: Authority) -> None:
    leaf = authority.server(life=(-2 * DAY, -DAY))
    async with serving(authority, leaf) as address:
        error = await failing(authority.client(tmp_path / "id", address))

    assert error.what == "The server's certificate has expired."
    assert "clock" in error.why


async def test_a_server_whose_certificate_is_not_valid_yet(
    tmp_path: Path, authority: Authority
) -> None:
    leaf = authority.server(life=(DAY / 2, DAY))
    async with serving(authority, leaf) as address:
        error = await failing(authority.client(tmp_path / "id", address))

    assert error.what == "The server's certificate is not valid yet."
    assert error.hint == "timedatectl status"


async def test_a_server_under_another_name(tmp_path: Path, authority: Authority) -> None:
    async with serving(authority, authority.server("192.0.2.1")) as address:
        error = await failing(authority.client(tmp_path / "id", address))

    assert "does not carry the address 127.0.0.1" in error.what


async def test_our_own_certificate_has_expired(tmp_path: Path, authority: Authority) -> None:
    async with serving(authority) as address:
        identity = authority.client(tmp_path / "id", address, life=(-2 * DAY, -DAY))
        error = await failing(identity)

    assert "The certificate of spiffe://test/admin/anna" in error.what
    assert "cert.pem) expired on" in error.what
    assert error.hint.startswith("cordon admin enrol TOKEN 127.0.0.1:")
    assert error.exit_code is ExitCode.SIGN_IN


async def test_our_own_certificate_is_not_valid_yet(tmp_path: Path, authority: Authority) -> None:
    async with serving(authority) as address:
        identity = authority.client(tmp_path / "id", address, life=(DAY / 2, DAY))
        error = await failing(identity)

    assert "is good only from" in error.what
    assert "clock" in error.why


async def test_our_certificate_is_of_another_site(tmp_path: Path, authority: Authority) -> None:
    async with serving(authority) as address:
        stranger = Authority("another").client(tmp_path / "id", address, believes=authority)
        error = await failing(stranger)

    assert "does not accept the certificate of spiffe://test/admin/anna" in error.what
    assert error.exit_code is ExitCode.SIGN_IN


async def test_something_else_at_the_port(tmp_path: Path, authority: Authority) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n" * 10)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        error = await failing(authority.client(tmp_path / "id", f"127.0.0.1:{port}"))

    assert "does not speak TLS" in error.what


async def test_a_port_that_takes_connections_and_is_silent(
    tmp_path: Path, authority: Authority
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        identity = authority.client(tmp_path / "id", f"127.0.0.1:{mute.getsockname()[1]}")
        error = await asyncio.to_thread(diagnose, identity, timeout_s=0.2)

    assert error is not None
    assert "does not answer" in error.what
    assert error.exit_code is ExitCode.UNAVAILABLE


async def test_a_key_of_another_certificate(tmp_path: Path, authority: Authority) -> None:
    async with serving(authority) as address:
        identity = authority.client(tmp_path / "id", address)
        (tmp_path / "id" / "key.pem").write_bytes(authority.server().key_pem)
        error = await asyncio.to_thread(diagnose, identity)

    assert error is not None
    assert "do not belong together" in error.why


async def test_a_server_that_speaks_only_older_tls_is_not_believed(
    tmp_path: Path, authority: Authority
) -> None:
    leaf = authority.server()
    (tmp_path / "chain.pem").write_bytes(leaf.certificate_pem + leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0, ssl=context) as old:
        port = old.sockets[0].getsockname()[1]
        identity = authority.client(tmp_path / "id", f"127.0.0.1:{port}")
        error = await asyncio.to_thread(diagnose, identity)

    assert error is not None
    # Whether its alert or its hanging up is seen first is a matter of timing.
    assert "No secure connection" in error.what or "broke off the handshake" in error.what
