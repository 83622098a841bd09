"""A client's identity folder: which server, which certificate, which key.

It knows files and permissions, not connections.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cordon_client.errors import ClientError, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

_TOML, _CA, _CERTIFICATE, _KEY = "identity.toml", "ca.pem", "cert.pem", "key.pem"
_NEXT_KEY = "key.pem.next"
"""The key of a certificate that is being replaced; there only while it is."""


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who a client is and whom it talks to."""

    server: str
    """"host:port"."""
    spiffe_id: str
    """As in the certificate: spiffe://{site}/{role}/{name}."""
    ca_pem: bytes
    """The site's certificate authority: whom this client believes."""
    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)
    folder: Path
    """Where all of it lies."""

    @property
    def role(self) -> str:
        """camera, control or admin."""
        return self.spiffe_id.split("/")[-2]

    @property
    def name(self) -> str:
        """The last part of the SPIFFE identity."""
        return self.spiffe_id.split("/")[-1]


def load_identity(folder: Path) -> ClientIdentity:
    """The identity in a folder; refused (SIGN_IN) if a part is missing or others may read it."""
    check_folder(folder)
    check_private(folder)
    _finish_replacement(folder)
    server, spiffe_id = _settings(folder / _TOML)
    return ClientIdentity(
        server=server,
        spiffe_id=spiffe_id,
        ca_pem=_read(folder / _CA),
        certificate_pem=_read(folder / _CERTIFICATE),
        private_key_pem=_read(folder / _KEY),
        folder=folder,
    )


def check_folder(folder: Path) -> None:
    """The folder is there, with every part."""
    if not folder.is_dir():
        raise _unusable(
            f"There is no identity folder {folder}.",
            "A client shows a certificate; the folder holds it and its key.",
            f"cordon control enrol TOKEN SERVER --out {folder}",
        )
    missing = [name for name in (_TOML, _CA, _CERTIFICATE, _KEY) if not (folder / name).exists()]
    if missing:
        raise _unusable(
            f"The identity folder {folder} is not whole.",
            f"Missing: {', '.join(missing)}.",
            f"ls -la {folder}",
        )


def check_private(folder: Path) -> None:
    """Nobody but the owner can read the folder or its key."""
    check_private_file(folder)
    check_private_file(folder / _KEY)


def check_private_file(path: Path) -> None:
    """Nobody but the owner can read this one."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise _unreadable(path, error) from error
    if mode & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise _unusable(
            f"{path} can be read by others (mode {mode:o}).",
            "Whoever reads what is in it can act as this client.",
            f"chmod {wanted} {path}",
        )


def save_identity(
    folder: Path,
    *,
    server: str,
    spiffe_id: str,
    ca_pem: bytes,
    certificate_pem: bytes,
    private_key_pem: bytes,
) -> None:
    """Writes an identity folder that only its owner can read; replaces what is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    # JSON's strings are TOML's basic strings.
    toml = f"server = {json.dumps(server)}\nspiffe_id = {json.dumps(spiffe_id)}\n"
    write_private(folder / _KEY, private_key_pem)
    write_private(folder / _CERTIFICATE, certificate_pem)
    write_private(folder / _CA, ca_pem)
    write_private(folder / _TOML, toml.encode())


def replace_certificate(folder: Path, certificate_pem: bytes, private_key_pem: bytes) -> None:
    """Puts the next certificate and its key in the place of those there.

    The two belong together, and a machine may die between two files: the key waits under another
    name until its certificate is there, and whoever loads the folder finishes what was begun.
    """
    write_private(folder / _NEXT_KEY, private_key_pem)
    write_private(folder / _CERTIFICATE, certificate_pem)
    _finish_replacement(folder)


def _finish_replacement(folder: Path) -> None:
    waiting = folder / _NEXT_KEY
    if not waiting.exists():
        return
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(_read(folder / _CERTIFICATE))
        key = load_pem_private_key(_read(waiting), None)
        if key.public_key() == certificate.public_key():
            waiting.replace(folder / _KEY)
        else:
            waiting.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # Another process was faster.
    except ValueError as error:
        raise _damaged(folder / _CERTIFICATE, f"{error}.") from error


def make_key_and_csr() -> tuple[bytes, bytes]:
    """A new ECDSA P-256 key (PEM, PKCS #8) and a signing request for it (DER).

    The request carries the public key and a signature, no name: the server writes that.
    """
    # Imported here: a tenth of a second that only `cert issue` needs.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, csr.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def split_address(server: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"; a ClientError when it is neither."""
    host, _, port = server.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ClientError(
            f"{server!r} is not a server address.",
            why="It has to be HOST:PORT.",
            hint="cordon status --server cordon.example.org:8443",
            exit_code=ExitCode.USAGE,
        )
    return host, int(port)


def _settings(path: Path) -> tuple[str, str]:
    try:
        found = tomllib.loads(_read(path).decode())
        server, spiffe_id = found["server"], found["spiffe_id"]
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise _damaged(path, "It has to name `server` and `spiffe_id`.") from error
    if not isinstance(server, str) or not isinstance(spiffe_id, str):
        raise _damaged(path, "`server` and `spiffe_id` have to be texts.")
    if not spiffe_id.startswith("spiffe://") or spiffe_id.count("/") != 4:
        raise _damaged(path, "spiffe_id has to read spiffe://SITE/ROLE/NAME.")
    return server, spiffe_id


def _damaged(path: Path, why: str) -> ClientError:
    return _unusable(f"{path} cannot be used.", why, f"cordon doctor --identity {path.parent}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ClientError:
    return _unusable(
        f"{path} cannot be read.",
        f"{error.strerror}.",
        f"ls -la {path.parent}",
    )


def _unusable(what: str, why: str, hint: str) -> ClientError:
    return ClientError(what, why, hint, exit_code=ExitCode.SIGN_IN)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and never readable by others."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
