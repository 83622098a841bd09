"""The site's passphrase and the key that scrypt makes of it: what stands above every data key."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cordon_server.domain import ConfigInvalid

CREDENTIAL = "cordon-site-passphrase"
"""Its name among systemd's credentials."""
PASSPHRASE_CHARACTERS_MIN = 16
SALT_BYTES = 16
SITE_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """How much work a guess at the passphrase takes: 128 * n * r bytes of memory, here 64 MiB."""

    n: int = 2**16
    r: int = 8
    p: int = 1


def site_passphrase(file: Path) -> str:
    """The passphrase: systemd's credential, else the file's first line, else what is typed.

    Raises `ConfigInvalid` where there is none, or one that could be guessed.
    """
    return _acceptable(_given(file))


def site_key(passphrase: str, salt: bytes, cost: ScryptCost) -> bytes:
    """The key that a passphrase stands for (RFC 7914)."""
    derivation = Scrypt(salt=salt, length=SITE_KEY_BYTES, n=cost.n, r=cost.r, p=cost.p)
    return derivation.derive(passphrase.encode())


def _given(file: Path) -> str:
    if folder := os.environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / CREDENTIAL
        if credential.exists():
            return _first_line(credential)
    if file.exists():
        return _first_line(file)
    if sys.stdin.isatty():
        return getpass.getpass("passphrase of the site: ")
    raise ConfigInvalid(
        f"the site's passphrase is not to be had: there is no systemd credential {CREDENTIAL} and "
        f"no {file}; put it there (mode 0600), set storage.passphrase_file, or start the server "
        "at a terminal and type it"
    )


def _first_line(file: Path) -> str:
    try:
        return file.read_text().splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise ConfigInvalid(f"{file} cannot be read as a line of text ({error})") from error


def _acceptable(passphrase: str) -> str:
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise ConfigInvalid(
            f"the site's passphrase needs {PASSPHRASE_CHARACTERS_MIN} characters at least; let "
            "cordon server init make one"
        )
    return passphrase
