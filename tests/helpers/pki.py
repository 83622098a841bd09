"""Certificates of clients and servers for tests, by a small authority that no site has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cordon_client.identity import ClientIdentity, load_identity, save_identity

if TYPE_CHECKING:
    from pathlib import Path

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIFE = (-HOUR, DAY)
"""From and until now, so that nobody renews it yet."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate and its key, PEM."""

    certificate_pem: bytes
    key_pem: bytes


class Authority:
    """Signs what a test needs."""

    def __init__(self, name: str = "test site") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._key.public_key(), (-DAY, DAY))
        ca = x509.BasicConstraints(ca=True, path_length=0)
        certificate = (
            builder.issuer_name(self._name)
            .add_extension(ca, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def leaf(
        self,
        *names: x509.GeneralName,
        life: tuple[timedelta, timedelta] = LIFE,
    ) -> Leaf:
        """A certificate for the names, good from and until now plus `life`."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(x509.Name([]), key.public_key(), life)
            .issuer_name(self._name)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Leaf(certificate.public_bytes(serialization.Encoding.PEM), key_pem)

    def server(self, address: str = "127.0.0.1", life: tuple[timedelta, timedelta] = LIFE) -> Leaf:
        """A server's certificate for one address."""
        return self.leaf(x509.IPAddress(ip_address(address)), life=life)

    def client(
        self,
        folder: Path,
        server: str,
        *,
        role: str = "admin",
        life: tuple[timedelta, timedelta] = LIFE,
        believes: Authority | None = None,
    ) -> ClientIdentity:
        """An identity folder, written and read back."""
        spiffe_id = f"spiffe://test/{role}/anna"
        leaf = self.leaf(x509.UniformResourceIdentifier(spiffe_id), life=life)
        save_identity(
            folder,
            server=server,
            spiffe_id=spiffe_id,
            ca_pem=(believes or self).pem,
            certificate_pem=leaf.certificate_pem,
            private_key_pem=leaf.key_pem,
        )
        return load_identity(folder)

    def server_credentials(self, leaf: Leaf | None = None) -> grpc.ServerCredentials:
        """Mutual TLS for a gRPC server."""
        leaf = leaf or self.server()
        return grpc.ssl_server_credentials(
            [(leaf.key_pem, leaf.certificate_pem)], self.pem, require_client_auth=True
        )


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, life: tuple[timedelta, timedelta]
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + life[0])
        .not_valid_after(now + life[1])
    )
