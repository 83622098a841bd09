"""The site's issuing authority: makes the server's certificate and the clients'.

Keys are ECDSA P-256. A client chooses its key and nothing else: names, life and use of a
certificate are the server's to write, whatever the signing request says.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cordon_server.domain import ConfigInvalid, InvalidInput
from cordon_server.identity.names import Role, SpiffeId

SERVER_LIFE = timedelta(days=825)
LIFE_MIN = timedelta(minutes=1)
LIFE_MAX = {
    Role.CAMERA: timedelta(hours=24),
    Role.CONTROL: timedelta(days=30),
    Role.ADMIN: timedelta(days=30),
}
"""How long a client's certificate lives at most, and does when no life is asked for."""
BACKDATE = timedelta(minutes=1)
"""Certificates start in the past by this much, for clocks that are a little behind."""
CSR_BYTES_MAX = 8192
HOST_PATTERN = r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The issuing authority: signs the site's certificates, below a root that is kept elsewhere."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    root: x509.Certificate
    """Whom clients and server believe."""

    @property
    def root_pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    @property
    def root_sha256(self) -> bytes:
        """What a one-time token carries for a client to know the server by."""
        return self.root.fingerprint(hashes.SHA256())

    def chain_pem(self, leaf: x509.Certificate) -> bytes:
        """A certificate and what it chains to below the root: what its owner presents."""
        return leaf.public_bytes(serialization.Encoding.PEM) + self.certificate.public_bytes(
            serialization.Encoding.PEM
        )

    def issue_server(self, hosts: tuple[str, ...], *, now: datetime) -> KeyPair:
        """A server certificate for host names and IP addresses; raises `ConfigInvalid`."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([general_name(host) for host in hosts])
        # With a space, so that nobody takes it for a host name and tests it against constraints.
        builder = self._builder(
            f"Cordon server {hosts[0]}"[:64], key.public_key(), now, SERVER_LIFE
        )
        builder = builder.add_extension(names, critical=False)
        certificate = self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH)
        return KeyPair(self.chain_pem(certificate), key_pem(key))

    def issue_client(
        self,
        public_key: ec.EllipticCurvePublicKey,
        spiffe_id: SpiffeId,
        life: timedelta,
        *,
        now: datetime,
    ) -> x509.Certificate:
        """A client certificate with exactly one URI SAN."""
        uri = x509.UniformResourceIdentifier(str(spiffe_id))
        builder = self._builder(f"{spiffe_id.role} {spiffe_id.name}"[:64], public_key, now, life)
        builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        return self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _builder(
        self,
        common_name: str,
        public_key: ec.EllipticCurvePublicKey,
        now: datetime,
        life: timedelta,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name_of(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + life, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(is_ca=False), critical=True)
            # RFC 5280 wants it, and Python's ssl insists since 3.13.
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )

    def _sign(
        self, builder: x509.CertificateBuilder, use: x509.ObjectIdentifier
    ) -> x509.Certificate:
        return builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False).sign(
            self.key, hashes.SHA256()
        )


def read_csr(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a signing request; raises `InvalidInput` unless it is an ECDSA P-256 key
    whose owner signed the request."""
    if len(csr_der) > CSR_BYTES_MAX:
        raise InvalidInput(f"csr_der has {CSR_BYTES_MAX} bytes at most", field="csr_der")
    try:
        csr = x509.load_der_x509_csr(csr_der)
        key = csr.public_key()
        is_signed = csr.is_signature_valid
    except (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
    ) as error:
        raise InvalidInput(
            "csr_der is not a PKCS #10 request in DER of a known kind; make one with: "
            "cordon admin cert issue",
            field="csr_der",
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise InvalidInput(
            "the key in csr_der is not ECDSA P-256; make such a key", field="csr_der"
        )
    if not is_signed:
        raise InvalidInput("the signature of csr_der does not verify", field="csr_der")
    return key


def check_life(role: Role, life: timedelta) -> None:
    """Raises `InvalidInput` for a life that a client's certificate may not have."""
    if not LIFE_MIN <= life <= LIFE_MAX[role]:
        raise InvalidInput(
            f"lifetime of a {role} certificate must be from {LIFE_MIN.total_seconds():.0f} seconds "
            f"to {LIFE_MAX[role] // timedelta(hours=1)} hours",
            field="lifetime",
        )


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS #8 PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read; refuses to replace one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def name_of(text: str) -> x509.Name:
    """A distinguished name of a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def check_host(host: str) -> None:
    """Raises `ConfigInvalid` unless it is a host name or an IP address."""
    general_name(host)


def general_name(host: str) -> x509.DNSName | x509.IPAddress:
    """A host as a certificate has it; raises `ConfigInvalid`."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not re.fullmatch(HOST_PATTERN, host):
            raise ConfigInvalid(
                f"{host!r} is neither a host name nor an IP address; write a name as DNS has it"
            ) from None
        return x509.DNSName(host)


def key_usage(*, is_ca: bool) -> x509.KeyUsage:
    """Signs certificates, or signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
