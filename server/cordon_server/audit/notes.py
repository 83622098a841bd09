"""Signed notes (C2SP signed-note) and the checkpoints in them (C2SP tlog-checkpoint).

https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint: anything that reads the
checkpoints of transparency logs reads these.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.audit.leaves import time_text
from cordon_server.domain import ConfigInvalid, StorageDamaged

ED25519 = b"\x01"
"""The signature type that a key's id is computed with."""
SIGNATURE_PREFIX = "— "
KEY_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs the checkpoints of one record. Its name is the record's origin."""

    name: str
    key: Ed25519PrivateKey

    @property
    def vkey(self) -> str:
        """The public key, as verifiers are given it: name+id+key."""
        public = base64.b64encode(ED25519 + self._public).decode()
        return f"{self.name}+{self._key_id.hex()}+{public}"

    def sign(self, text: str) -> str:
        """The note: the text, which ends in a newline, and its signature."""
        signature = base64.b64encode(self._key_id + self.key.sign(text.encode())).decode()
        return f"{text}\n{SIGNATURE_PREFIX}{self.name} {signature}\n"

    def opened(self, note: str) -> str:
        """The text of a note that this key has signed; raises `StorageDamaged` for any other."""
        text, _, line = note.rpartition(f"\n{SIGNATURE_PREFIX}{self.name} ")
        try:
            signature = base64.b64decode(line.removesuffix("\n"), validate=True)
            if signature[:KEY_ID_BYTES] != self._key_id:
                raise InvalidSignature
            self.key.public_key().verify(signature[KEY_ID_BYTES:], text.encode())
        except (ValueError, InvalidSignature) as error:
            raise StorageDamaged(
                "a checkpoint of the audit record does not bear this server's signature"
            ) from error
        return text

    @property
    def _public(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    @property
    def _key_id(self) -> bytes:
        digest = hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self._public).digest()
        return digest[:KEY_ID_BYTES]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: the record as it is at a size."""

    size: int
    root: bytes
    number: int
    """From 1 without gaps: a checkpoint that is left out is missed."""
    time: str

    def text(self, origin: str) -> str:
        """The three lines of the format, and one of ours: number and time."""
        root = base64.b64encode(self.root).decode()
        return f"{origin}\n{self.size}\n{root}\ncheckpoint {self.number} {self.time}\n"


def checkpoint(size: int, root: bytes, number: int, now: datetime) -> Checkpoint:
    """A checkpoint of now."""
    return Checkpoint(size, root, number, time_text(now))


def read_checkpoint(text: str) -> Checkpoint:
    """What the text of a checkpoint says; raises `StorageDamaged`."""
    try:
        _, size, root, ours = text.splitlines()
        word, number, time = ours.split(" ")
        if word != "checkpoint":
            raise ValueError(word)
        return Checkpoint(int(size), base64.b64decode(root, validate=True), int(number), time)
    except ValueError as error:
        raise StorageDamaged(f"a checkpoint of the audit record cannot be read: {error}") from error


def origin_of(site: str) -> str:
    """What the record of a site is called."""
    return f"{site}/cordon-audit"


def load_signer(path: Path, site: str) -> Signer:
    """The signer whose key is in a PEM file; raises `ConfigInvalid`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigInvalid(
            f"{path} cannot be read as the key that signs the audit record; put it back from where "
            "it is kept, or make a site anew with: cordon server init DIR"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigInvalid(f"{path} is not an Ed25519 key; put back the one that server init made")
    return Signer(origin_of(site), key)


def key_pem(key: Ed25519PrivateKey) -> bytes:
    """A key as it is kept."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
