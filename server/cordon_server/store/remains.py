"""What is left of a sealed database, and whether anybody who has these keys could read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cordon_server.domain import StorageDamaged
from cordon_server.store.environment import Environment, Table, Transaction
from cordon_server.store.sealing import DeploymentSealer, PlainSealer


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of trying keys on every value of a database."""

    values: int
    opened: tuple[bytes, ...]
    """The values that some key opened, in clear."""


def open_values(
    folder: Path,
    tables: Sequence[Table[Any]],
    keys: Iterable[bytes],
    *,
    model_id: str,
    size_bytes_max: int,
) -> Opened:
    """Tries every key on every value of a database that no server has open, as sealed for a
    model."""
    sealers = [DeploymentSealer(key, model_id=model_id) for key in keys]

    def act(txn: Transaction) -> Opened:
        stored = [
            (table.place(key), value)
            for table in tables
            for key, value in txn.scan(Table(table.name, bytes))
        ]
        opened = (_opened(place, value, sealers) for place, value in stored)
        return Opened(len(stored), tuple(value for value in opened if value is not None))

    with ThreadPoolExecutor(1) as unused:
        plain = Environment(
            folder, tables, size_bytes_max=size_bytes_max, sealer=PlainSealer(), writer=unused
        )
        try:
            return plain.read_now(act)
        finally:
            plain.close_now()


def _opened(place: bytes, stored: bytes, sealers: Sequence[DeploymentSealer]) -> bytes | None:
    for sealer in sealers:
        try:
            return sealer.unseal(place, stored)
        except StorageDamaged:
            continue
    return None
