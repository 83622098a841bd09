"""A site's authority and the identities it issues, made in a moment for one test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cordon_client.identity import ClientIdentity, save_identity

SITE = "test-site"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate_pem: bytes
    private_key_pem: bytes


class SiteAuthority:
    """Signs for one site; every certificate is good from an hour ago unless said otherwise."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{SITE} CA")])
        now = datetime.now(UTC)
        self.certificate = (
            _builder(self._name, self._name, self._key, now - timedelta(hours=1), timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, SHA256())
        )

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def server(self, *, start: datetime | None = None) -> Pair:
        """A server's certificate for 127.0.0.1 and localhost."""
        names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        return self._issue("server", names, start)

    def client(self, role: str, name: str, *, start: datetime | None = None) -> Pair:
        """A client's certificate with its one URI."""
        uri = x509.UniformResourceIdentifier(f"spiffe://{SITE}/{role}/{name}")
        return self._issue(name, [uri], start)

    def identity(
        self, folder: Path, server: str, *, role: str = "camera", start: datetime | None = None
    ) -> ClientIdentity:
        """A saved and loaded identity folder."""
        from cordon_client.identity import load_identity

        pair = self.client(role, "gate-1", start=start)
        save_identity(
            folder,
            server=server,
            spiffe_id=f"spiffe://{SITE}/{role}/gate-1",
            ca_pem=self.ca_pem,
            certificate_pem=pair.certificate_pem,
            private_key_pem=pair.private_key_pem,
        )
        return load_identity(folder)

    def _issue(
        self, common_name: str, names: list[x509.GeneralName], start: datetime | None
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        start = start or datetime.now(UTC) - timedelta(hours=1)
        certificate = (
            _builder(subject, self._name, key, start, timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(certificate.public_bytes(Encoding.PEM), private)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    start: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
    )
