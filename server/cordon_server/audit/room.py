"""The audit room as the server opens it, and as `server init` furnishes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.acts import Act, AuditClass
from cordon_server.audit import newest, record
from cordon_server.audit.log import AuditLog, not_recorded
from cordon_server.audit.notes import Signer, load_signer, origin_of
from cordon_server.audit.personal import KEPT_FOR_MIN
from cordon_server.domain import StorageDamaged, StorageFull
from cordon_server.store.environment import Environment, Transaction
from cordon_server.store.keyring import Keyring
from cordon_server.store.sealing import PlainSealer

KEY_FILE = "audit-key.pem"
VKEY_FILE = "audit.vkey"
BEGUN = "record.begun"
ACCEPTED = "record.accepted"


@dataclass(frozen=True, slots=True)
class AuditPlaces:
    """Where the record of a site lies, and what it may take."""

    site: str
    data: Path
    """The database."""
    certificates: Path
    """The signing key."""
    never_backed_up: Path
    """The newest checkpoint: put back with a backup of the data, it would not tell that it was."""
    size_bytes_max: int
    kept_for: timedelta = KEPT_FOR_MIN
    """How long personal parts can be read after the month that they were recorded in."""

    @property
    def key_file(self) -> Path:
        return self.certificates / KEY_FILE

    @property
    def newest_file(self) -> Path:
        return self.never_backed_up / newest.NEWEST_FILE


@asynccontextmanager
async def open_audit(
    places: AuditPlaces, keyring: Keyring, *, clock: Callable[[], datetime]
) -> AsyncIterator[AuditLog]:
    """The site's record, closed when the block ends.

    Raises `ConfigInvalid` without its signing key, and `StorageDamaged` when it does not go on from
    the newest checkpoint that was signed here.
    """
    signer = load_signer(places.key_file, places.site)
    with ThreadPoolExecutor(1, thread_name_prefix="audit") as writer:
        environment = _environment(places, writer)
        try:
            environment.read_now(lambda txn: newest.check(txn, places.newest_file, signer))
        except BaseException:  # raised again: whatever it was, the files are closed
            environment.close_now()
            raise
        audit = AuditLog(
            environment,
            keyring,
            signer,
            newest_file=places.newest_file,
            writer=writer,
            kept_for=places.kept_for,
            clock=clock,
        )
        try:
            yield audit
        finally:
            await audit.close()


def make_signer(site: str) -> Signer:
    """A new key to sign a site's record with."""
    return Signer(origin_of(site), Ed25519PrivateKey.generate())


def begin(places: AuditPlaces, signer: Signer, now: datetime) -> None:
    """Begins the record of a site that no server runs on yet, signed from its first leaf on."""
    _write(places, signer, Act(AuditClass.ALTERATION, BEGUN), now)


def accept(places: AuditPlaces, now: datetime) -> tuple[int, int | None]:
    """Goes on from the record as it is, although it is not what was signed last, and records that;
    how many leaves there are, and how many were signed where that is known."""
    signer = load_signer(places.key_file, places.site)
    with ThreadPoolExecutor(1) as writer:
        environment = _environment(places, writer)
        there = environment.read_now(record.size_of)
        environment.close_now()
    signed = newest.size_signed(places.newest_file)
    facts = {"leaves": there} if signed is None else {"leaves": there, "leaves_signed": signed}
    _write(places, signer, Act(AuditClass.ALTERATION, ACCEPTED, facts=facts), now)
    return there, signed


def record_apart(places: AuditPlaces, act: Act, now: datetime) -> None:
    """Records one act without a person, signed, beside whatever server runs.

    Nothing of the record is kept in memory, so two processes may add to it. Raises `ConfigInvalid`
    and `NotRecorded`.
    """
    _write(places, load_signer(places.key_file, places.site), act, now)


def _write(places: AuditPlaces, signer: Signer, act: Act, now: datetime) -> None:
    def write(txn: Transaction) -> str:
        record.append(txn, act, now, None)
        return record.sign(txn, signer, now)

    with ThreadPoolExecutor(1) as writer:
        environment = _environment(places, writer)
        try:
            note = environment.write_now(write)
        except (StorageFull, StorageDamaged) as error:
            raise not_recorded(error) from error
        finally:
            environment.close_now()
    newest.keep(places.newest_file, note)


def _environment(places: AuditPlaces, writer: Executor) -> Environment:
    return Environment(
        places.data / "audit",
        record.TABLES,
        size_bytes_max=places.size_bytes_max,
        sealer=PlainSealer(),
        writer=writer,
    )
