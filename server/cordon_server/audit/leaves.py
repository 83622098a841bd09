"""A leaf of the record: which bytes are hashed, and what they say.

A leaf is one JSON object in canonical form: keys sorted, no blanks, ASCII alone. Whoever parses it
and writes it again gets the same bytes. `v` is the version of this layout: bytes that were hashed
never change, so a new layout is a new version beside the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cordon_server.acts import Act, AuditClass, Fact
from cordon_server.domain import StorageDamaged

VERSION = 1


@dataclass(frozen=True, slots=True)
class Sealed:
    """The personal parts of a leaf, encrypted: readable for as long as their key is kept."""

    key: str
    """The name of the key."""
    nonce: str
    """12 bytes, hexadecimal."""
    data: str
    """AES-256-GCM's ciphertext and tag, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One act as it is on record."""

    index: int
    time: datetime
    """Never before the leaf before."""
    kind: AuditClass
    action: str
    deployment_id: str
    resource: str
    machine: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    clock: datetime | None = None
    """What the server's clock showed, where that was before the leaf before."""
    sealed: Sealed | None = None


def leaf_of(act: Act, index: int, now: datetime, last: datetime) -> Leaf:
    """An act as the leaf with an index, its personal parts left out; `last` is the time of the leaf
    before."""
    return Leaf(
        index,
        max(now, last),
        act.kind,
        act.action,
        act.deployment_id,
        act.resource,
        act.machine,
        act.facts,
        clock=now if now < last else None,
    )


def canonical(value: object) -> bytes:
    """The one way to write a value as JSON; raises ValueError for what JSON has no number for."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def encode(leaf: Leaf) -> bytes:
    """The bytes that are hashed."""
    return canonical(_fields(leaf))


def decode(content: bytes) -> Leaf:
    """What `encode` wrote; raises `StorageDamaged`."""
    try:
        fields = json.loads(content)
        if fields["v"] != VERSION:
            raise ValueError(f"version {fields['v']}")
        return Leaf(
            fields["index"],
            datetime.fromisoformat(fields["time"]),
            AuditClass(fields["kind"]),
            fields["action"],
            fields["deployment"],
            fields["resource"],
            fields["machine"],
            fields["facts"],
            datetime.fromisoformat(fields["clock"]) if "clock" in fields else None,
            Sealed(**fields["sealed"]) if "sealed" in fields else None,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StorageDamaged(
            f"a leaf of the audit record cannot be read ({error}); export the record and look for "
            "the first fault with: cordon admin audit verify FILE"
        ) from error


def time_text(moment: datetime) -> str:
    """A moment in UTC, to the microsecond."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _fields(leaf: Leaf) -> dict[str, object]:
    fields: dict[str, object] = {
        "v": VERSION,
        "index": leaf.index,
        "time": time_text(leaf.time),
        "kind": leaf.kind.value,
        "action": leaf.action,
        "deployment": leaf.deployment_id,
        "resource": leaf.resource,
        "machine": leaf.machine,
        "facts": dict(leaf.facts),
    }
    if leaf.clock is not None:
        fields["clock"] = time_text(leaf.clock)
    if leaf.sealed is not None:
        sealed = leaf.sealed
        fields["sealed"] = {"key": sealed.key, "nonce": sealed.nonce, "data": sealed.data}
    return fields
