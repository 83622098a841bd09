"""The two authorities above every certificate of a site, and the files that they are kept in.

root        believed by all; its key, encrypted, is kept off the server
└─ issuing  signs on the server: no authority below it, names of this site alone
   ├─ the server's certificate
   └─ the clients' certificates
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from cordon_server.domain import ConfigInvalid
from cordon_server.identity.certificates import (
    BACKDATE,
    CertificateAuthority,
    general_name,
    key_pem,
    key_usage,
    name_of,
    write_private,
)

ROOT_LIFE = timedelta(days=3650)
ISSUING_LIFE = timedelta(days=1825)
PASSPHRASE_CHARACTERS_MIN = 16
ROOT_CERTIFICATE, ROOT_KEY = "ca.pem", "root-key.pem"
ISSUING_CERTIFICATE, ISSUING_KEY = "issuing.pem", "issuing-key.pem"
MAKE_ONE = "make a site with: cordon server init"


@dataclass(frozen=True, slots=True)
class Root:
    """The root authority with its key; in memory only while it signs an issuing authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def issuing(self, site: str, hosts: tuple[str, ...], *, now: datetime) -> CertificateAuthority:
        """A new issuing authority for a site whose server has these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(f"Cordon issuing {site}", key.public_key(), path_length=0)
            .issuer_name(self.certificate.subject)
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + ISSUING_LIFE, self.certificate.not_valid_after_utc))
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(_constraints(site, hosts), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        return CertificateAuthority(certificate, key, self.certificate)


def make_root(site: str, *, now: datetime) -> Root:
    """A new root for a site."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(f"Cordon root {site}", key.public_key(), path_length=1)
    certificate = (
        builder.issuer_name(name_of(f"Cordon root {site}"[:64]))
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + ROOT_LIFE)
        .sign(key, hashes.SHA256())
    )
    return Root(certificate, key)


def new_passphrase() -> str:
    """One that nobody has to think up: 160 bits."""
    return secrets.token_hex(20)


def check_passphrase(passphrase: str) -> None:
    """Raises `ConfigInvalid` for one that could be guessed."""
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise ConfigInvalid(
            f"the root's passphrase needs {PASSPHRASE_CHARACTERS_MIN} characters; take several "
            "words, or leave it out and one is made"
        )


def save_root(folder: Path, root: Root, passphrase: str) -> None:
    """Writes a root with its key encrypted; the folder is then to be taken off the server."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / ROOT_CERTIFICATE).write_bytes(
        root.certificate.public_bytes(serialization.Encoding.PEM)
    )
    encrypted = root.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    write_private(folder / ROOT_KEY, encrypted)


def load_root(folder: Path, passphrase: str) -> Root:
    """The root kept in a folder; raises `ConfigInvalid`."""
    certificate = _certificate(folder / ROOT_CERTIFICATE)
    return Root(certificate, _key(folder / ROOT_KEY, certificate, passphrase.encode()))


def save_authority(folder: Path, authority: CertificateAuthority) -> None:
    """Writes what the server keeps: the root's certificate, and the issuing authority with its
    key."""
    (folder / ROOT_CERTIFICATE).write_bytes(authority.root_pem)
    (folder / ISSUING_CERTIFICATE).write_bytes(
        authority.certificate.public_bytes(serialization.Encoding.PEM)
    )
    write_private(folder / ISSUING_KEY, key_pem(authority.key))


def load_authority(folder: Path) -> CertificateAuthority:
    """The issuing authority kept in a folder; raises `ConfigInvalid`, also for one that the root
    beside it did not sign."""
    root = _certificate(folder / ROOT_CERTIFICATE)
    certificate = _certificate(folder / ISSUING_CERTIFICATE)
    key = _key(folder / ISSUING_KEY, certificate, None)
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ConfigInvalid(
            f"{folder / ISSUING_CERTIFICATE} was not signed by {folder / ROOT_CERTIFICATE}; put "
            "back the pair that belongs together"
        ) from error
    return CertificateAuthority(certificate, key, root)


def permitted_hosts(authority: CertificateAuthority, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the hosts that the issuing authority may name."""
    found = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    names = {
        each.value for each in found.permitted_subtrees or () if isinstance(each, x509.DNSName)
    }
    may_name_addresses = not found.excluded_subtrees
    return tuple(
        host
        for host in hosts
        if host in names or (may_name_addresses and isinstance(general_name(host), x509.IPAddress))
    )


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"{path} cannot be read as a certificate; {MAKE_ONE}") from error


def _key(
    path: Path, certificate: x509.Certificate, passphrase: bytes | None
) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError) as error:
        reason = "is the passphrase right?" if passphrase else MAKE_ONE
        raise ConfigInvalid(f"{path} cannot be read as a private key; {reason}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigInvalid(f"{path} is not an ECDSA key; {MAKE_ONE}")
    if key.public_key() != certificate.public_key():
        raise ConfigInvalid(
            f"{path} is not the key of the certificate beside it; put back the pair that belongs "
            "together"
        )
    return key


def _builder(
    common_name: str, public_key: ec.EllipticCurvePublicKey, *, path_length: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name_of(common_name[:64]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _constraints(site: str, hosts: tuple[str, ...]) -> x509.NameConstraints:
    """Identities of this site, and the host names that the server was given at its making.

    gRPC's TLS library knows no constraint of addresses: it refuses every certificate with an
    address below an authority that has one. So all are shut out where the server has none, and
    otherwise they are left open.
    """
    names = [general_name(host) for host in hosts]
    hostnames = [name for name in names if isinstance(name, x509.DNSName)]
    shut_out = [x509.IPAddress(ip_network(every)) for every in ("0.0.0.0/0", "::/0")]
    return x509.NameConstraints(
        permitted_subtrees=[
            x509.UniformResourceIdentifier(site),
            *(hostnames or [x509.DNSName(site)]),
        ],
        excluded_subtrees=shut_out if len(hostnames) == len(names) else None,
    )
