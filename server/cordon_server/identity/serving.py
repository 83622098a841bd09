"""What the server shows and believes on its ports, read again whenever its files change.

It knows files and certificates, not gRPC. Files that do not fit together change nothing: what was
good before stays, and the log raises an alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cordon_server.domain import ConfigInvalid
from cordon_server.identity.certificates import general_name
from cordon_server.identity.hierarchy import ROOT_CERTIFICATE

log = structlog.get_logger()

SERVER_CERTIFICATE, SERVER_KEY = "server.pem", "server-key.pem"
FILES = (SERVER_CERTIFICATE, SERVER_KEY, ROOT_CERTIFICATE)
LOOK_S = 10.0
"""How often the files are looked at while nobody connects."""
SOON = timedelta(days=30)
"""The log warns of a server certificate that ends within this."""
MAKE_ONE = "make one with: cordon server renew"


@dataclass(frozen=True, slots=True)
class Shown:
    """What goes into TLS; all PEM."""

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    root_pem: bytes
    """Whose clients are let in."""
    hosts: tuple[str, ...]
    """Names and addresses in the certificate."""
    not_after: datetime


class ServerCertificate:
    """The server's certificate as its files have it. Asked from gRPC's threads and the loop."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime]) -> None:
        """Raises `ConfigInvalid` when the files do not make a server certificate."""
        self._folder = folder
        self._clock = clock
        self._lock = Lock()
        self._stamp = _stamp(folder)
        self.shown = read_server_certificate(folder, clock())
        self._warned_of: Shown | None = None
        self.reload_failures = 0
        """Since the start; more than none wants a look at the log."""

    def refresh(self) -> Shown:
        """What to show now; reads the files again when they have changed since the last look."""
        with self._lock:
            stamp = _stamp(self._folder)
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload()
            return self.shown

    def _reload(self) -> None:
        try:
            self.shown = read_server_certificate(self._folder, self._clock())
        except Exception as error:  # noqa: BLE001  # whatever a file holds, the server goes on
            self.reload_failures += 1
            log.error("certificates.reload_failed", why=str(error), failures=self.reload_failures)
            return
        log.info("certificates.reloaded", not_after=self.shown.not_after.isoformat())

    async def watch(self) -> None:
        """Looks at the files every now and then, until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Reads what has changed; warns, once for each certificate, before its end comes."""
        shown = self.refresh()
        if shown is not self._warned_of and shown.not_after - self._clock() < SOON:
            self._warned_of = shown
            log.warning("certificates.end_soon", not_after=shown.not_after.isoformat())


def read_server_certificate(folder: Path, now: datetime) -> Shown:
    """The server's certificate, key and root; raises `ConfigInvalid` unless they fit together and
    today lies within the dates."""
    try:
        chain_pem, key_pem, root_pem = [(folder / name).read_bytes() for name in FILES]
        chain = x509.load_pem_x509_certificates(chain_pem)
        key = serialization.load_pem_private_key(key_pem, None)
        roots = x509.load_pem_x509_certificates(root_pem)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigInvalid(
            f"the server's certificates in {folder} cannot be read ({error}); {MAKE_ONE}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        # With an RSA key, TLS 1.2 would find a cipher.
        raise ConfigInvalid(f"{folder / SERVER_KEY} is not an ECDSA key; {MAKE_ONE}")
    if key.public_key() != chain[0].public_key():
        raise ConfigInvalid(
            f"{SERVER_KEY} is not the key of {SERVER_CERTIFICATE} in {folder}; put both in place "
            "together"
        )
    names = _verified_names(chain, roots, now)
    return Shown(chain_pem, key_pem, root_pem, names, chain[0].not_valid_after_utc)


def hosts_of(folder: Path) -> tuple[str, ...]:
    """The names and addresses in the server's certificate, expired or not; raises
    `ConfigInvalid`."""
    try:
        leaf = x509.load_pem_x509_certificates((folder / SERVER_CERTIFICATE).read_bytes())[0]
        return _names(leaf)
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise ConfigInvalid(
            f"{folder / SERVER_CERTIFICATE} does not say which hosts it is for; name them: --host"
        ) from error


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    )


def _verified_names(
    chain: list[x509.Certificate], roots: list[x509.Certificate], now: datetime
) -> tuple[str, ...]:
    try:
        names = _names(chain[0])
        subject = general_name(names[0])
        verifier = x509.verification.PolicyBuilder().store(x509.verification.Store(roots))
        verifier.time(now).build_server_verifier(subject).verify(chain[0], chain[1:])
    except (
        x509.verification.VerificationError,
        x509.ExtensionNotFound,
        IndexError,
        ValueError,
    ) as error:
        raise ConfigInvalid(
            f"{SERVER_CERTIFICATE} is no server certificate that {ROOT_CERTIFICATE} vouches for "
            f"today ({error}); {MAKE_ONE}"
        ) from error
    return names


def _stamp(folder: Path) -> tuple[tuple[int, int, int], ...]:
    """What tells that a file has changed; zeros for one that is not there."""
    stamps = []
    for name in FILES:
        try:
            found = (folder / name).stat()
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        except OSError:
            stamps.append((0, 0, 0))
    return tuple(stamps)
