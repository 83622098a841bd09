"""The record as it lies in its database: leaves, the hashes of complete subtrees, checkpoints.

Everything here happens in one transaction, in whichever thread that is; it knows neither queue nor
clock. Nothing that was written is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cordon_server.acts import Act
from cordon_server.audit import tree
from cordon_server.audit.leaves import Leaf, decode, encode, leaf_of
from cordon_server.audit.notes import Checkpoint, Signer, checkpoint, read_checkpoint
from cordon_server.audit.personal import seal
from cordon_server.domain import InvalidInput, StorageDamaged
from cordon_server.store.environment import Table, Transaction
from cordon_server.store.keyring import Keyring

LEAVES = Table("leaves", bytes)
"""Canonical bytes by index, 8 bytes big-endian."""
NODES = Table("nodes", bytes)
"""Hashes of complete subtrees of two leaves and more, by level and index."""
CHECKPOINTS = Table("checkpoints", bytes)
"""Signed notes by number."""
BY_DEPLOYMENT = Table("by_deployment", bytes)
"""Nothing, by deployment and index."""
TABLES = (LEAVES, NODES, CHECKPOINTS, BY_DEPLOYMENT)

LEAVES_PER_CHECKPOINT = 100
QUIET = "deployment.counts"
"""The one act of a deployment that changes no state of it."""

_NEVER = datetime.min.replace(tzinfo=UTC)


def append(txn: Transaction, act: Act, now: datetime, keyring: Keyring | None) -> int:
    """Adds an act as the next leaf; its index."""
    index = size_of(txn)
    leaf = seal(leaf_of(act, index, now, last_time(txn)), act.personal, keyring)
    content = encode(leaf)
    txn.put(LEAVES, _number(index), content)
    for level, at, found in tree.completed(index, tree.leaf_hash(content), _nodes(txn)):
        txn.put(NODES, _node_key(level, at), found)
    if act.deployment_id:
        txn.put(BY_DEPLOYMENT, _deployment_key(act.deployment_id, index), b"")
    return index


def is_checkpoint_due(act: Act, index: int) -> bool:
    """Whether the record is signed right after this leaf: every so many, and when a deployment's
    state has changed."""
    is_change = act.action.startswith("deployment.") and act.action != QUIET
    return is_change or (index + 1) % LEAVES_PER_CHECKPOINT == 0


def sign(txn: Transaction, signer: Signer, now: datetime) -> str:
    """Signs the record as it is, unless that is signed already; the newest note."""
    size, newest = size_of(txn), newest_checkpoint(txn)
    if newest is not None and newest[0].size == size:
        return newest[1]
    number = 1 if newest is None else newest[0].number + 1
    made = checkpoint(size, root_at(txn, size), number, max(now, last_time(txn)))
    note = signer.sign(made.text(signer.name))
    txn.put(CHECKPOINTS, _number(number), note.encode())
    return note


def size_of(txn: Transaction) -> int:
    """How many leaves there are."""
    last = txn.last_key(LEAVES)
    return 0 if last is None else int.from_bytes(last, "big") + 1


def last_time(txn: Transaction) -> datetime:
    """The latest time on record; what comes is never before it."""
    size, newest = size_of(txn), newest_checkpoint(txn)
    times = [decode(leaf_bytes(txn, size - 1)).time] if size else []
    if newest is not None:
        times.append(datetime.fromisoformat(newest[0].time))
    return max(times, default=_NEVER)


def newest_checkpoint(txn: Transaction) -> tuple[Checkpoint, str] | None:
    """The newest checkpoint and its note; None before the first."""
    last = txn.last_key(CHECKPOINTS)
    if last is None:
        return None
    stored = txn.get(CHECKPOINTS, last)
    assert stored is not None
    return read_note(stored.decode()), stored.decode()


def read_note(note: str) -> Checkpoint:
    """What a note of ours says, whoever signed it."""
    return read_checkpoint(note.partition("\n\n")[0] + "\n")


def checkpoints(txn: Transaction, after: int, count: int) -> list[tuple[Checkpoint, str]]:
    """Up to so many checkpoints with their notes, by number, after the one of a number."""
    found = txn.scan(CHECKPOINTS, after=_number(after) if after else b"")
    notes = [stored.decode() for (_, stored), _ in zip(found, range(count), strict=False)]
    return [(read_note(note), note) for note in notes]


def leaf_bytes(txn: Transaction, index: int) -> bytes:
    """The bytes of a leaf; raises `StorageDamaged` for one that ought to be there and is not."""
    content = txn.get(LEAVES, _number(index))
    if content is None:
        raise StorageDamaged(f"leaf {index} of the audit record is missing; restore a backup")
    return content


def leaves(txn: Transaction, start: int, end: int) -> list[bytes]:
    """The bytes of the leaves from start to before end, as far as there are any."""
    return [leaf_bytes(txn, index) for index in range(start, min(end, size_of(txn)))]


def leaves_of(txn: Transaction, deployment_id: str, start: int) -> Iterator[Leaf]:
    """The leaves of a deployment from an index on."""
    prefix = f"{deployment_id}/".encode()
    after = prefix + _number(start - 1) if start else b""
    for key, _ in txn.scan(BY_DEPLOYMENT, prefix=prefix, after=after):
        yield decode(leaf_bytes(txn, int.from_bytes(key[len(prefix) :], "big")))


def root_at(txn: Transaction, size: int) -> bytes:
    """The root of the record as it was at a size."""
    return tree.root(size, _nodes(txn))


def inclusion(txn: Transaction, index: int, size: int) -> list[bytes]:
    """The proof that a leaf is in the record of a size; raises `InvalidInput`."""
    if index >= size:
        raise InvalidInput(f"a record of {size} leaves has no leaf {index}", field="index")
    return tree.inclusion(index, size, _nodes(txn))


def consistency(txn: Transaction, old: int, new: int) -> list[bytes]:
    """The proof that the record of one size is the beginning of that of another; raises
    `InvalidInput`."""
    if old > new:
        raise InvalidInput(f"{old} leaves are no beginning of {new}", field="first_size")
    return tree.consistency(old, new, _nodes(txn))


def _nodes(txn: Transaction) -> tree.Node:
    def node(level: int, index: int) -> bytes:
        if level == 0:
            return tree.leaf_hash(leaf_bytes(txn, index))
        found = txn.get(NODES, _node_key(level, index))
        if found is None:
            raise StorageDamaged("a hash of the audit record is missing; restore a backup")
        return found

    return node


def _number(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _node_key(level: int, index: int) -> bytes:
    return bytes([level]) + _number(index)


def _deployment_key(deployment_id: str, index: int) -> bytes:
    return f"{deployment_id}/".encode() + _number(index)
