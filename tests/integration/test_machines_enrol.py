"""A machine without a certificate gets one by a one-time token, on the port that is for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon.v1 import machine_pb2 as pb
from cordon.v1.machine_pb2_grpc import EnrolmentServiceStub, MachineServiceStub
from cordon_server.api.server import methods
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site

AN_AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)
ANOTHERS_NAME = x509.SubjectAlternativeName(
    [x509.UniformResourceIdentifier("spiffe://test.example/admin/first")]
)
ANY_USE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])


def a_csr(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *extensions: x509.ExtensionType
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for each in extensions:
        builder = builder.add_extension(each, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def a_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@asynccontextmanager
async def stranger(site: Site) -> AsyncIterator[grpc.aio.Channel]:
    """A connection without a certificate to the enrolment port."""
    root = (site.admin / "ca.pem").read_bytes()
    address = f"localhost:{site.enrolment_port}"
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(root)) as channel:
        yield channel


async def a_token(site: Site, *, camera: str = "") -> tuple[str, str]:
    """A fresh camera's name and token."""
    name = camera or site.new_name("enrolled")
    if not camera:
        await asyncio.to_thread(site.cordon, "admin", "camera", "add", name)
    async with channel_of(site.admin) as channel:
        made = await MachineServiceStub(channel).CreateEnrolmentToken(
            pb.CreateEnrolmentTokenRequest(role=pb.ROLE_CAMERA, id=name)
        )
    assert made.enrolment_address == f"localhost:{site.enrolment_port}"
    return name, made.token


async def enrol(channel: grpc.aio.Channel, token: str, csr: bytes) -> pb.EnrolResponse:
    request = pb.EnrolRequest(token=token, csr_der=csr)
    return await EnrolmentServiceStub(channel).Enrol(request, timeout=30)


async def refusal(channel: grpc.aio.Channel, token: str, csr: bytes) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await enrol(channel, token, csr)
    return refused.value.code().name, str(refused.value.details())


async def test_of_a_request_the_key_alone_is_taken(site: Site) -> None:
    name, token = await a_token(site)
    key = a_key()

    async with stranger(site) as channel:
        csr = a_csr(key, AN_AUTHORITY, ANOTHERS_NAME, ANY_USE)
        enrolled = await enrol(channel, token, csr)

    leaf, issuing = x509.load_pem_x509_certificates(enrolled.certificate_pem.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert enrolled.spiffe_id == f"spiffe://test.example/camera/{name}"
    assert list(names) == [x509.UniformResourceIdentifier(enrolled.spiffe_id)]
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.public_key() == key.public_key()
    leaf.verify_directly_issued_by(issuing)
    credentials = grpc.ssl_channel_credentials(
        enrolled.ca_pem.encode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        enrolled.certificate_pem.encode(),
    )
    async with grpc.aio.secure_channel(site.address, credentials) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_token_made_on_the_server_itself_is_taken_by_the_one_that_runs(site: Site) -> None:
    name = site.new_name("office")
    config = ("--config", str(site.folder / "cordon.toml"))

    made = await asyncio.to_thread(site.cordon, "server", "token", "admin", name, *config)

    async with stranger(site) as channel:
        enrolled = await enrol(channel, made.stdout.strip(), a_csr(a_key()))
    assert enrolled.spiffe_id == f"spiffe://test.example/admin/{name}"


async def test_a_bad_request_is_refused_in_words_and_does_not_spend_the_token(site: Site) -> None:
    _, token = await a_token(site)
    good = a_csr(a_key())
    bad = {
        "not ECDSA P-256": a_csr(rsa.generate_private_key(65537, 1024)),
        "does not verify": good[:-1] + bytes([good[-1] ^ 1]),
        "not a PKCS #10 request": b"no request",
        "8192 bytes at most": b"\x30" * 9000,
        "must not be empty": b"",
    }

    async with stranger(site) as channel:
        for words, csr in bad.items():
            code, details = await refusal(channel, token, csr)
            assert (code, words in details) == ("INVALID_ARGUMENT", True), details
        assert (await enrol(channel, token, good)).certificate_pem


async def test_of_fifty_that_use_one_token_at_once_one_wins(site: Site) -> None:
    name, token = await a_token(site)
    async with stranger(site) as channel:
        answers = await asyncio.gather(
            *(enrol(channel, token, a_csr(a_key())) for _ in range(50)), return_exceptions=True
        )
        # However many of them the limit of tries let through, one token is one certificate.
        won = [each for each in answers if isinstance(each, pb.EnrolResponse)]
        lost = {each.code().name for each in answers if isinstance(each, grpc.aio.AioRpcError)}

    assert len(won) == 1
    assert lost <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    async with channel_of(site.admin) as channel:
        request = pb.ListCertificatesRequest(spiffe_id=f"spiffe://test.example/camera/{name}")
        listed = await MachineServiceStub(channel).ListCertificates(request)
    assert len(listed.certificates) == 1


async def test_the_port_answers_nothing_else(site: Site) -> None:
    others = [method for method in methods() if not method.endswith("/Enrol")]

    async with stranger(site) as channel:
        for method in others:
            call: Any = channel.unary_unary(method)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"", timeout=30)
            assert refused.value.code().name == "UNIMPLEMENTED", method


async def test_enrolment_is_nowhere_but_on_its_port(site: Site) -> None:
    async with channel_of(site.admin) as channel:
        code, _ = await refusal(channel, "cordon1.AAAA", a_csr(a_key()))

    assert code == "UNIMPLEMENTED"
