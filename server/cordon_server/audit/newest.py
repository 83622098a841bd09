"""The newest checkpoint once more, outside the record's database: a record that was put back to
what it was before does not pass for the whole one."""

from __future__ import annotations

from pathlib import Path

from cordon_server.audit import record
from cordon_server.audit.notes import Signer, read_checkpoint
from cordon_server.domain import StorageDamaged
from cordon_server.store.durable import write_whole
from cordon_server.store.environment import Transaction

NEWEST_FILE = "audit.checkpoint"
_MEANT = (
    "; if that is a backup that you mean to go on from, say so, and it is recorded: "
    "cordon server accept-record"
)


def keep(path: Path, note: str) -> None:
    """Writes the note, whole and synced, in place of the one before."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, note.encode())


def check(txn: Transaction, path: Path, signer: Signer) -> None:
    """Raises `StorageDamaged` unless the record goes on from the checkpoint that is kept apart."""
    try:
        # What is no text is no note of this key's either.
        note = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise StorageDamaged(
            f"{path} is gone, which says how far the audit record had come{_MEANT}",
            reason="RECORD_UNMARKED",
        ) from None
    seen = read_checkpoint(signer.opened(note))
    size = record.size_of(txn)
    if size < seen.size:
        raise StorageDamaged(
            f"the audit record has {size} leaves and had {seen.size} at {seen.time}: it was put "
            f"back to what it was before{_MEANT}",
            reason="RECORD_ROLLED_BACK",
        )
    if record.root_at(txn, seen.size) != seen.root:
        raise StorageDamaged(
            f"the audit record is not the one that {path} was written for: it was exchanged or "
            f"changed{_MEANT}",
            reason="RECORD_CHANGED",
        )


def size_signed(path: Path) -> int | None:
    """How many leaves the checkpoint that is kept apart covers; None where none can be read."""
    try:
        return record.read_note(path.read_text(encoding="utf-8")).size
    except (OSError, UnicodeDecodeError, StorageDamaged):
        return None
