"""How values look on disk. Everything stored passes through a `Sealer`; nothing goes round it."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cordon_server.domain import StorageDamaged

KEY_BYTES = 32
"""AES-256."""
NONCE_BYTES = 12
"""Random: 2^32 values under one key may be sealed (NIST SP 800-38D, 8.3); a deployment has far
fewer."""
TAG_BYTES = 16


class Sealer(Protocol):
    """Turns a value into what is written and back; bound to its place."""

    def seal(self, place: bytes, value: bytes) -> bytes:
        """What to write."""
        ...

    def unseal(self, place: bytes, stored: bytes) -> bytes:
        """What was sealed; raises `StorageDamaged` when it is not what was written there."""
        ...

    def digest(self, value: bytes) -> bytes:
        """What stands for a value in a key of the database, 32 bytes."""
        ...


class PlainSealer:
    """Writes values as they are: for databases that hold no biometrics."""

    def seal(self, place: bytes, value: bytes) -> bytes:
        return value

    def unseal(self, place: bytes, stored: bytes) -> bytes:
        return stored

    def digest(self, value: bytes) -> bytes:
        return hashlib.sha256(value).digest()


class DeploymentSealer:
    """AES-256-GCM under a deployment's data key: once that is gone, so is what was sealed (R2).

    A value opens only in the table, under the key, as the version of the record type and with the
    model that it was sealed for. What stands for a picture in a database key is an HMAC-SHA-256, so
    that nobody can tell by a picture he has whether it was enrolled.
    """

    def __init__(self, data_key: bytes, *, model_id: str) -> None:
        assert len(data_key) == KEY_BYTES
        self._cipher = AESGCM(data_key)
        self._digest_key = hmac.digest(data_key, b"cordon: digests in database keys", "sha256")
        self._model = joined(model_id.encode())

    def seal(self, place: bytes, value: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, self._model + place)

    def unseal(self, place: bytes, stored: bytes) -> bytes:
        try:
            return self._cipher.decrypt(
                stored[:NONCE_BYTES], stored[NONCE_BYTES:], self._model + place
            )
        except (InvalidTag, ValueError) as error:  # ValueError: not even a nonce's length
            raise StorageDamaged(
                "a sealed record is not what was written there, or was written with another model; "
                "end the deployment and make it again"
            ) from error

    def digest(self, value: bytes) -> bytes:
        return hmac.digest(self._digest_key, value, "sha256")


def joined(*parts: bytes) -> bytes:
    """Parts in a row that can be told apart: each after its length in four bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
