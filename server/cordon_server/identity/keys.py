"""The keys that tokens are signed with: two live at most, the newest signs, each for a day."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.identity.tokens import TOKEN_LIFE_MAX
from cordon_server.store.environment import Environment, Table, Transaction

KEY_PERIOD = timedelta(days=1)
"""How long a key signs. For as long again it is read, though its last token dies much sooner."""
KEYS_MAX = 2
assert KEY_PERIOD > TOKEN_LIFE_MAX


class KeyRecord(msgspec.Struct, frozen=True):
    """A signing key; `private` is its 32 bytes."""

    kid: str
    private: bytes
    create_time: datetime


SIGNING_KEYS = Table("signing_keys", KeyRecord)
"""By key id."""

Keys = dict[str, Ed25519PrivateKey]


class SigningKeys:
    """Keeps and rotates the keys."""

    def __init__(self, registry: Environment, *, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._clock = clock
        self._records = registry.write_now(self._rotated)

    @property
    def keys(self) -> Keys:
        """Key id to key, the one that signs last."""
        return {
            record.kid: Ed25519PrivateKey.from_private_bytes(record.private)
            for record in self._records
        }

    async def rotate(self) -> bool:
        """Makes a new key when the newest has signed for its period; whether it was time."""
        if not self._is_due(self._records, self._clock()):
            return False
        self._records = await self._registry.write(self._rotated)
        return True

    def _rotated(self, txn: Transaction) -> list[KeyRecord]:
        records = sorted(
            (record for _, record in txn.scan(SIGNING_KEYS)), key=lambda each: each.create_time
        )
        now = self._clock()
        if not self._is_due(records, now):
            return records
        private = Ed25519PrivateKey.generate().private_bytes_raw()
        records.append(KeyRecord(secrets.token_hex(8), private, now))
        for retired in records[:-KEYS_MAX]:
            txn.delete(SIGNING_KEYS, retired.kid.encode())
        txn.put(SIGNING_KEYS, records[-1].kid.encode(), records[-1])
        return records[-KEYS_MAX:]

    def _is_due(self, records: list[KeyRecord], now: datetime) -> bool:
        return not records or now - records[-1].create_time >= KEY_PERIOD
