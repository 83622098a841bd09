"""Certificates that a site's own server would never issue, signed with its key all the same, and
connections that show them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cordon_server.identity.certificates import CertificateAuthority, key_pem
from cordon_server.identity.hierarchy import load_authority, make_root
from tests.helpers.site import Site

NAME = "spiffe://test.example/camera/forged"
HOUR = timedelta(hours=1)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client shows, and whom it believes."""

    chain_pem: bytes
    key_pem: bytes
    root_pem: bytes
    sha256: str

    def credentials(self) -> grpc.ChannelCredentials:
        """For a gRPC channel."""
        return grpc.ssl_channel_credentials(self.root_pem, self.key_pem, self.chain_pem)

    def context(self, folder: Path) -> ssl.SSLContext:
        """For Python's own TLS, speaking HTTP/2; the folder is for files."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.root_pem.decode())
        (folder / "shown.pem").write_bytes(self.chain_pem + self.key_pem)
        context.load_cert_chain(folder / "shown.pem")
        context.set_alpn_protocols(["h2"])
        return context


def a_certificate(
    site: Site,
    *,
    uris: tuple[str, ...] = (NAME,),
    uses: tuple[x509.ObjectIdentifier, ...] = (CLIENT,),
    begin: timedelta = -HOUR,
    end: timedelta = HOUR,
    is_authority: bool = False,
    by: CertificateAuthority | None = None,
) -> Shown:
    """Signed by the site's issuing authority unless another is given; `begin` and `end` are seen
    from now."""
    issuing = load_authority(site.folder / "certs")
    signer = by or issuing
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a forged one")]))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False
        )
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    certificate = builder.sign(signer.key, hashes.SHA256())
    return Shown(
        signer.chain_pem(certificate),
        key_pem(key),
        issuing.root_pem,
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def foreign_authority() -> CertificateAuthority:
    """One that calls itself what the site's does."""
    now = datetime.now(UTC)
    return make_root("test.example", now=now).issuing("test.example", ("localhost",), now=now)


SERVER = ExtendedKeyUsageOID.SERVER_AUTH
SPIFFE = "spiffe://test.example"
FORGED: dict[str, Callable[[Site, str], Shown]] = {
    "no URI": lambda site, _: a_certificate(site, uris=()),
    "two URIs": lambda site, uri: a_certificate(site, uris=(uri, f"{SPIFFE}/admin/other")),
    "the same URI twice": lambda site, uri: a_certificate(site, uris=(uri, uri)),
    "no role of ours": lambda site, _: a_certificate(site, uris=(f"{SPIFFE}/boss/a",)),
    "a path too long": lambda site, uri: a_certificate(site, uris=(f"{uri}/b",)),
    "for servers": lambda site, uri: a_certificate(site, uris=(uri,), uses=(SERVER,)),
    "for both": lambda site, uri: a_certificate(site, uris=(uri,), uses=(CLIENT, SERVER)),
    "for no use": lambda site, uri: a_certificate(site, uris=(uri,), uses=()),
    "an authority": lambda site, uri: a_certificate(site, uris=(uri,), is_authority=True),
    "another site": lambda site, uri: a_certificate(
        site, uris=(uri.replace("test.example", "other.example"),)
    ),
    "a foreign authority": lambda site, uri: a_certificate(
        site, uris=(uri,), by=foreign_authority()
    ),
    "expired": lambda site, uri: a_certificate(site, uris=(uri,), begin=-2 * HOUR, end=-HOUR),
    "not yet valid": lambda site, uri: a_certificate(site, uris=(uri,), begin=HOUR, end=2 * HOUR),
}
"""By what is wrong with it: a certificate of the identity named and in order but for that."""


def channel(site: Site, shown: Shown, *options: tuple[str, Any]) -> grpc.aio.Channel:
    """A connection of its own to the site's server."""
    own = ("grpc.use_local_subchannel_pool", 1)
    return grpc.aio.secure_channel(site.address, shown.credentials(), [own, *options])
