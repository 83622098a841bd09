"""The server's certificate and the authorities it believes change while it runs; what is broken
changes nothing."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon_server.identity.certificates import KeyPair
from cordon_server.identity.hierarchy import load_authority
from tests.helpers.certificates import a_certificate, channel, foreign_authority
from tests.helpers.site import Site

HOSTS = ("localhost", "127.0.0.1")
FILES = ("server.pem", "server-key.pem", "ca.pem")
FAILURES = "cordon_certificate_reload_failures_total"
FAILED, RELOADED = '"certificates.reload_failed"', '"certificates.reloaded"'


@pytest.fixture
def certs(site: Site) -> Iterator[Path]:
    """The server's certificates; as they were when the test is over."""
    folder = site.folder / "certs"
    before = {name: (folder / name).read_bytes() for name in FILES}
    yield folder
    for name, content in before.items():
        replace(folder / name, content)


def replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def put(folder: Path, pair: KeyPair) -> None:
    """The key first: until its certificate is there too the server keeps what it has."""
    replace(folder / "server-key.pem", pair.key_pem)
    replace(folder / "server.pem", pair.certificate_pem)


def new_pair(site: Site) -> KeyPair:
    return load_authority(site.folder / "certs").issue_server(HOSTS, now=datetime.now(UTC))


def fingerprint(pair: KeyPair) -> str:
    leaf = x509.load_pem_x509_certificates(pair.certificate_pem)[0]
    return leaf.fingerprint(hashes.SHA256()).hex()


def shown_at(port: int, context: ssl.SSLContext) -> str:
    """The fingerprint of the certificate that a new connection sees."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        der = wrapped.getpeercert(binary_form=True)
        assert der is not None
        return hashlib.sha256(der).hexdigest()


async def is_served(connection: grpc.aio.Channel) -> bool:
    try:
        stub = health_pb2_grpc.HealthStub(connection)
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_a_new_server_certificate_is_shown_on_both_ports_and_cuts_nobody_off(
    site: Site, certs: Path, tmp_path: Path
) -> None:
    shown = a_certificate(site)
    context = shown.context(tmp_path)
    pair = new_pair(site)
    async with channel(site, shown) as before:
        assert await is_served(before)
        old = shown_at(site.port, context)

        put(certs, pair)

        for port in (site.port, site.enrolment_port):
            assert shown_at(port, context) == fingerprint(pair) != old
        assert await is_served(before)
    assert RELOADED in site.log


async def test_a_broken_server_certificate_leaves_the_old_one_and_raises_an_alarm(
    site: Site, certs: Path, tmp_path: Path
) -> None:
    shown = a_certificate(site)
    context = shown.context(tmp_path)
    good = shown_at(site.port, context)
    for content in (b"", b"no certificate", new_pair(site).certificate_pem):
        alarms, counted = site.log.count(FAILED), site.metrics[FAILURES]
        replace(certs / "server.pem", content)

        assert shown_at(site.port, context) == good
        assert site.log.count(FAILED) > alarms
        assert site.metrics[FAILURES] > counted
    async with channel(site, shown) as connection:
        assert await is_served(connection)
    pair = new_pair(site)

    put(certs, pair)

    assert shown_at(site.port, context) == fingerprint(pair)


async def test_an_authority_is_believed_while_its_root_is_there(site: Site, certs: Path) -> None:
    foreign = foreign_authority()
    own_root = (certs / "ca.pem").read_bytes()
    stranger = a_certificate(site, by=foreign)
    async with channel(site, stranger) as connection:
        assert not await is_served(connection)

    replace(certs / "ca.pem", own_root + foreign.root_pem)

    async with channel(site, stranger) as connection:
        assert await is_served(connection)
    replace(certs / "ca.pem", own_root)
    async with channel(site, stranger) as connection:
        assert not await is_served(connection)
    async with channel(site, a_certificate(site)) as connection:
        assert await is_served(connection)
