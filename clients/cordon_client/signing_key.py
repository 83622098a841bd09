"""An authorising officer's signing key: made here, kept here, in a file that only he can read.

It knows files and signatures, not connections. One file for each user: two officers who share a
workstation do not share a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cordon_client.authority import SIGNED_PREFIX
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import check_private_file, write_private
from cordon_client.names import short

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

POSSESSION_PREFIX = b"cordon.v1.SigningKey\n"
_MAKE = "cordon admin signing-key make"


def key_file(folder: Path, user: str) -> Path:
    """Where a user's key lies in an identity folder."""
    return folder / f"signing-{short(user)}.pem"


def make_signing_key(folder: Path, user: str, *, replace: bool = False) -> Ed25519PrivateKey:
    """A new key in its file; refused where there is one, unless it is to be replaced."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    path = key_file(folder, user)
    if path.exists() and not replace:
        raise ClientError(
            f"{short(user)} has a signing key already: {path}.",
            why="What was authorised with it and is not armed yet would have to be signed again.",
            hint=f"{_MAKE} --replace",
            exit_code=ExitCode.CONFLICT,
        )
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def load_signing_key(folder: Path, user: str) -> Ed25519PrivateKey:
    """A user's key; refused where there is none, or others may read it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = key_file(folder, user)
    if not path.exists():
        raise ClientError(
            f"{short(user)} has no signing key here ({path}).",
            why="An authority is a signature by a key of your own.",
            hint=_MAKE,
            exit_code=ExitCode.NOT_FOUND,
        )
    check_private_file(path)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path)
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Its public half, 32 bytes."""
    return key.public_key().public_bytes_raw()


def possession(key: Ed25519PrivateKey, user: str) -> bytes:
    """A signature that shows that the user has the key."""
    return key.sign(POSSESSION_PREFIX + user.encode())


def sign_authority(key: Ed25519PrivateKey, digest: bytes) -> bytes:
    """The officer's signature over what he was shown."""
    return key.sign(SIGNED_PREFIX + digest)


def _damaged(path: Path) -> ClientError:
    return ClientError(
        f"{path} is no Ed25519 key.", hint=f"{_MAKE} --replace", exit_code=ExitCode.SIGN_IN
    )
