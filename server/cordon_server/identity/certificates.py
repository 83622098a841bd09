"""The site's certificate authority: makes itself, the server's certificate, and clients'.

Keys are ECDSA P-256. A client chooses its key and nothing else: names, life and use of a
certificate are the server's to write, whatever the signing request says.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cordon_server.domain import ConfigInvalid, InvalidInput
from cordon_server.identity.names import SpiffeId

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=825)
CLIENT_LIFE = timedelta(days=30)
"""A client certificate's life when none is asked for."""
CLIENT_LIFE_MAX = timedelta(days=90)
CLIENT_LIFE_MIN = timedelta(minutes=1)
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
    """Signs the site's certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue_server(self, hosts: tuple[str, ...]) -> KeyPair:
        """A server certificate for host names and IP addresses; raises `ConfigInvalid`."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = self._builder(hosts[0][:64], key.public_key(), SERVER_LIFE)
        builder = builder.add_extension(names, critical=False)
        certificate = self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH)
        return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key))

    def issue_client(
        self, public_key: ec.EllipticCurvePublicKey, spiffe_id: SpiffeId, life: timedelta
    ) -> x509.Certificate:
        """A client certificate with exactly one URI SAN."""
        uri = x509.UniformResourceIdentifier(str(spiffe_id))
        builder = self._builder(f"{spiffe_id.role} {spiffe_id.name}"[:64], public_key, life)
        builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        return self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _builder(
        self, common_name: str, public_key: ec.EllipticCurvePublicKey, life: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + life, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_ca=False), critical=True)
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


def make_authority(site: str) -> CertificateAuthority:
    """A new self-signed authority for a site."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = _common_name(f"Cordon site {site}"[:64])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CertificateAuthority(certificate, key)


def load_authority(folder: Path) -> CertificateAuthority:
    """The authority kept in a folder as ca.pem and ca-key.pem; raises `ConfigInvalid`."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"the site's certificate authority in {folder} cannot be read ({error}); make one "
            "with: cordon server init"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigInvalid(f"{folder / 'ca-key.pem'} is not an ECDSA key")
    return CertificateAuthority(certificate, key)


def read_csr(csr_der: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a signing request; raises `InvalidInput` unless it is an ECDSA P-256 key
    whose owner signed the request."""
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


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def check_host(host: str) -> None:
    """Raises `ConfigInvalid` unless it is a host name or an IP address."""
    _general_name(host)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not re.fullmatch(HOST_PATTERN, host):
            raise ConfigInvalid(
                f"{host!r} is neither a host name nor an IP address; write a name as DNS has it"
            ) from None
        return x509.DNSName(host)


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
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
