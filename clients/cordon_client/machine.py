"""This machine's own certificate: the first for a one-time token, the next before it ends.

The key is made here and never leaves; the server sees a signing request without a name in it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import socket
import ssl
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc

from cordon.v1 import machine_pb2
from cordon.v1.machine_pb2_grpc import EnrolmentServiceStub, MachineServiceStub
from cordon_client.errors import ClientError, ExitCode, from_rpc
from cordon_client.identity import (
    load_identity,
    make_key_and_csr,
    replace_certificate,
    save_identity,
    split_address,
)
from cordon_client.session import forget_session
from cordon_client.transport import machine_channel, pinned_channel

if TYPE_CHECKING:
    from pathlib import Path

    from cordon_client.identity import ClientIdentity

_PREFIX = "cordon1."
_FINGERPRINT_BYTES = 32
_TOKEN_BYTES = 64
_TIMEOUT_S = 30.0
_SHAKE_HANDS_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a one-time token was turned into."""

    identity: ClientIdentity
    not_after: datetime


async def enrol(token: str, server: str, enrolment_address: str, folder: Path) -> Enrolled:
    """Spends a token at the enrolment address and writes the identity folder.

    Nothing is written before the certificate is there, and the token goes to nobody whose chain
    does not end in the authority that it names.
    """
    split_address(server)
    ca_pem = await asyncio.to_thread(_authority_at, enrolment_address, fingerprint_of(token))
    private_key_pem, csr_der = make_key_and_csr()
    request = machine_pb2.EnrolRequest(token=token, csr_der=csr_der)
    try:
        async with pinned_channel(enrolment_address, ca_pem) as channel:
            response = await EnrolmentServiceStub(channel).Enrol(request, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise _not_enrolled(error, enrolment_address) from error
    save_identity(
        folder,
        server=server,
        spiffe_id=response.spiffe_id,
        ca_pem=ca_pem,
        certificate_pem=response.certificate_pem.encode(),
        private_key_pem=private_key_pem,
    )
    forget_session(folder)  # It was another certificate's.
    return Enrolled(load_identity(folder), response.not_after.ToDatetime(UTC))


async def renew(identity: ClientIdentity) -> ClientIdentity:
    """The identity with its next certificate, for a new key; raises AioRpcError. See `keep`."""
    private_key_pem, csr_der = make_key_and_csr()
    request = machine_pb2.RenewCertificateRequest(csr_der=csr_der)
    async with machine_channel(identity) as channel:
        response = await MachineServiceStub(channel).RenewCertificate(request, timeout=_TIMEOUT_S)
    certificate_pem = response.certificate_pem.encode()
    return replace(identity, certificate_pem=certificate_pem, private_key_pem=private_key_pem)


def keep(renewed: ClientIdentity) -> None:
    """Writes a renewed certificate and its key to the identity's folder; raises OSError.

    Whoever was signed in with the one before has to sign in again: a session is bound to it.
    """
    replace_certificate(renewed.folder, renewed.certificate_pem, renewed.private_key_pem)
    forget_session(renewed.folder)


def fingerprint_of(token: str) -> bytes:
    """SHA-256 of the root certificate that a token names."""
    try:
        told = base64.b64decode(token.removeprefix(_PREFIX) + "==", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        told = b""
    if not token.startswith(_PREFIX) or len(told) != _TOKEN_BYTES:
        raise ClientError(
            "This is no enrolment token.",
            why=f"It starts with {_PREFIX} and has {len(_PREFIX) + 86} characters; copy it whole.",
            hint="cordon admin cert token ROLE/NAME (an administrator, for a new one)",
            exit_code=ExitCode.USAGE,
        )
    return told[:_FINGERPRINT_BYTES]  # The secret follows.


def _authority_at(address: str, fingerprint: bytes) -> bytes:
    """The root certificate in the chain that a server shows, PEM; it has to have the fingerprint.

    Whether the chain holds is for the connection to find out that believes this root alone.
    """
    for der in _chain_at(address):
        if hmac.compare_digest(hashlib.sha256(der).digest(), fingerprint):
            return ssl.DER_cert_to_PEM_cert(der).encode()
    raise ClientError(
        f"Who answers at {address} is not the server that the token is for.",
        why="Its chain does not hold the authority whose fingerprint the token carries. The token "
        "was sent to nobody.",
        hint="cordon camera enrol TOKEN HOST:PORT (the address that came with the token)",
        exit_code=ExitCode.SIGN_IN,
    )


def _chain_at(address: str) -> list[bytes]:
    """The certificates that a server shows, DER, believed by nobody yet."""
    host, port = split_address(address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_SHAKE_HANDS_S_MAX) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            return _unverified_chain(tls)
    except OSError as error:  # ssl.SSLError among them.
        raise ClientError(
            f"No server answers at {address} in TLS.",
            why=f"{error.strerror or error}. The enrolment port is one above the server's, unless "
            "it was set up otherwise.",
            hint="cordon camera enrol TOKEN HOST:PORT --enrol-at HOST:PORT",
            exit_code=ExitCode.UNAVAILABLE,
        ) from error


def _unverified_chain(tls: ssl.SSLSocket) -> list[bytes]:
    # Public since Python 3.13; the object beneath has had it since 3.10.
    inner: Any = tls if hasattr(tls, "get_unverified_chain") else tls._sslobj  # type: ignore[attr-defined]
    chain = inner.get_unverified_chain() or []
    return [each if isinstance(each, bytes) else _der(each) for each in chain]


def _der(certificate: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())


def _not_enrolled(error: grpc.aio.AioRpcError, address: str) -> ClientError:
    found = from_rpc(error)
    if found.exit_code is ExitCode.UNAVAILABLE:
        return ClientError(
            f"{address} showed the right authority, but no secure connection comes about.",
            why="Its certificate is not for that name, has expired, or the server is stopping.",
            hint="cordon camera enrol TOKEN HOST:PORT (a name that the server was set up with)",
            exit_code=ExitCode.UNAVAILABLE,
        )
    found.hint = "cordon admin cert token ROLE/NAME (an administrator, for a new token)"
    return found
