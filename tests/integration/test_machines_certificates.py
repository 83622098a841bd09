"""What a client shows is looked at on every call: by TLS once, by the server each time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without stubs
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.helpers.certificates import FORGED, NAME, a_certificate, channel
from tests.helpers.site import Site

TLS_MAY_REFUSE = {"UNAUTHENTICATED", "UNAVAILABLE"}


async def answer(connection: grpc.aio.Channel) -> tuple[str, str]:
    """Status and words of a call that every machine may make."""
    stub = health_pb2_grpc.HealthStub(connection)
    try:
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
    except grpc.aio.AioRpcError as error:
        return error.code().name, str(error.details())
    return "OK", ""


async def test_a_certificate_like_the_servers_own_is_taken(site: Site) -> None:
    """What makes the forged ones below forged is what is said of them, and nothing else."""
    async with channel(site, a_certificate(site)) as connection:
        assert await answer(connection) == ("OK", "")


@pytest.mark.parametrize("kind", FORGED)
async def test_a_certificate_that_is_not_in_order_gets_nowhere(site: Site, kind: str) -> None:
    async with channel(site, FORGED[kind](site, NAME)) as connection:
        assert (await answer(connection))[0] in TLS_MAY_REFUSE


async def test_what_has_expired_is_refused_on_an_open_connection_and_by_a_ticket(
    site: Site,
) -> None:
    soon = timedelta(seconds=4)
    shown = a_certificate(site, end=soon)
    ends = datetime.now(UTC) + soon
    cache: Any = cygrpc.SSLSessionCacheLRU(4)
    with_ticket = ("grpc.ssl_session_cache", cache)
    async with channel(site, shown) as opened, channel(site, shown, with_ticket) as first:
        assert await answer(opened) == await answer(first) == ("OK", "")
        async with channel(site, shown, with_ticket) as resumed:
            # A ticket is there and is taken; what it resumes shows no certificate of now.
            code, words = await answer(resumed)
            assert code == "UNAUTHENTICATED"
            assert "session was resumed" in words

        await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 1)

        for connection in (opened, first):
            code, words = await answer(connection)
            assert code == "UNAUTHENTICATED"
            assert "is valid from" in words
    async with channel(site, shown, with_ticket) as resumed:
        assert (await answer(resumed))[0] == "UNAUTHENTICATED"
    async with channel(site, shown) as anew:
        assert (await answer(anew))[0] in TLS_MAY_REFUSE


def ports(site: Site) -> list[int]:
    return [site.port, site.enrolment_port]


def test_tls_1_2_gets_nowhere_on_either_port(site: Site, tmp_path: Path) -> None:
    context = a_certificate(site).context(tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    for port in ports(site):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            context.wrap_socket(raw, server_hostname="localhost")


def test_tls_1_3_is_spoken_on_both(site: Site, tmp_path: Path) -> None:
    context = a_certificate(site).context(tmp_path)

    for port in ports(site):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            assert wrapped.version() == "TLSv1.3"
