"""How values look on disk. Everything stored passes through a `Sealer`; nothing goes round it."""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Turns a value into what is written and back; bound to its table and key."""

    def seal(self, table: str, key: bytes, value: bytes) -> bytes:
        """What to write."""
        ...

    def unseal(self, table: str, key: bytes, stored: bytes) -> bytes:
        """What was sealed; raises `StorageDamaged` when it is not what was written."""
        ...


class PlainSealer:
    """Writes values as they are: for databases that hold no biometrics."""

    def seal(self, table: str, key: bytes, value: bytes) -> bytes:
        return value

    def unseal(self, table: str, key: bytes, stored: bytes) -> bytes:
        return stored
