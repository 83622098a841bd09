"""Every certificate that was issued, and the deny list: those revoked before their time.

Written before the certificate is handed out, in the transaction that allows it. Who may revoke is
not known here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from cordon_server.domain import NotFound, NotReady
from cordon_server.identity.calls import Call
from cordon_server.identity.names import SpiffeId
from cordon_server.identity.peers import Peer, check_honoured
from cordon_server.store.environment import Environment, Table, Transaction

KEPT_FOR = timedelta(days=400)
"""How long a record outlives its certificate: a year's report and a month to write it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CertificateRecord(msgspec.Struct, frozen=True):
    """A certificate that was issued."""

    sha256: str
    spiffe_id: str
    serial: str
    """Hexadecimal, as OpenSSL prints it but in lower case."""
    create_time: datetime
    expire_time: datetime
    issued_by: str
    """Who asked for it: "PERSON at MACHINE", the machine itself, or "init"."""
    revoke_time: datetime | None = None


CERTIFICATES = Table("certificates", CertificateRecord)
"""In the order of issue: microseconds since 1970, then SHA-256."""
CERTIFICATE_KEYS = Table("certificate_keys", bytes)
"""SHA-256 -> key in CERTIFICATES."""


class CertificateRegister:
    """Records, lists and revokes certificates. The deny list is in memory."""

    def __init__(self, registry: Environment, *, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._clock = clock
        self._denied_sha256: set[str] = set()
        self._denied_serials: set[int] = set()
        now = clock()
        registry.write_now(lambda txn: forget_old(txn, now))
        for record in registry.read_now(lambda txn: [each for _, each in txn.scan(CERTIFICATES)]):
            if record.revoke_time is not None and now < record.expire_time:
                self._deny(record)

    def denies(self, peer: Peer) -> bool:
        """Whether a caller's certificate was revoked, by its fingerprint or its serial number."""
        return peer.sha256 in self._denied_sha256 or peer.serial in self._denied_serials

    def judge(self, call: Call[Any]) -> datetime:
        """Until when a running call's certificate holds; raises `Unauthenticated`."""
        check_honoured(call.peer, self._clock(), self)
        return call.peer.not_after

    async def page(
        self, after: bytes, count: int, spiffe_id: str = ""
    ) -> list[tuple[bytes, CertificateRecord]]:
        """Up to `count` records by time of issue, after a key; of one identity if it is given."""

        def act(txn: Transaction) -> list[tuple[bytes, CertificateRecord]]:
            found = (
                (key, record)
                for key, record in txn.scan(CERTIFICATES, after=after)
                if not spiffe_id or record.spiffe_id == spiffe_id
            )
            return [each for each, _ in zip(found, range(count), strict=False)]

        return await self._registry.read(act)

    async def revoke(
        self, *, sha256: str = "", spiffe_id: str = "", dry_run: bool
    ) -> list[CertificateRecord]:
        """Denies one certificate, or all of an identity that could still be used.

        Raises `NotFound`, or `NotReady` when nothing is left to revoke.
        """

        def act(txn: Transaction) -> list[CertificateRecord]:
            found = [_found(txn, sha256)] if sha256 else list(_of(txn, spiffe_id))
            revoked = [each for each in map(self._revoked, found) if each is not None]
            if not revoked:
                raise NotReady(
                    f"every certificate of {found[0].spiffe_id if found else spiffe_id} has "
                    "expired or is revoked already; nothing is left to do"
                )
            if not dry_run:
                for record in revoked:
                    txn.put(CERTIFICATES, _key(record), record)
            return revoked

        revoked = await self._registry.write(act)
        if not dry_run:
            for record in revoked:
                self._deny(record)
        return revoked

    def _revoked(self, record: CertificateRecord) -> CertificateRecord | None:
        now = self._clock()
        if record.revoke_time is not None or record.expire_time <= now:
            return None
        return msgspec.structs.replace(record, revoke_time=now)

    def _deny(self, record: CertificateRecord) -> None:
        self._denied_sha256.add(record.sha256)
        self._denied_serials.add(int(record.serial, 16))


def record_certificate(
    txn: Transaction,
    certificate: x509.Certificate,
    spiffe_id: SpiffeId,
    *,
    issued_by: str,
    now: datetime,
) -> CertificateRecord:
    """Puts a certificate on record, within the transaction that allows it."""
    record = CertificateRecord(
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        spiffe_id=str(spiffe_id),
        serial=f"{certificate.serial_number:x}",
        create_time=now,
        expire_time=certificate.not_valid_after_utc,
        issued_by=issued_by,
    )
    txn.put(CERTIFICATES, _key(record), record)
    txn.put(CERTIFICATE_KEYS, bytes.fromhex(record.sha256), _key(record))
    return record


def forget_old(txn: Transaction, now: datetime) -> None:
    """Removes the records of certificates that expired long ago."""
    old = [
        (key, record)
        for key, record in txn.scan(CERTIFICATES)
        if record.expire_time + KEPT_FOR < now
    ]
    for key, record in old:
        txn.delete(CERTIFICATES, key)
        txn.delete(CERTIFICATE_KEYS, bytes.fromhex(record.sha256))


def is_revoked(txn: Transaction, sha256: str) -> bool:
    """Whether a certificate is on the deny list, as the transaction sees it."""
    record = _find(txn, sha256)
    return record is not None and record.revoke_time is not None


def _key(record: CertificateRecord) -> bytes:
    microseconds = (record.create_time - _EPOCH) // timedelta(microseconds=1)
    return struct.pack(">Q", microseconds) + bytes.fromhex(record.sha256)


def _of(txn: Transaction, spiffe_id: str) -> Iterator[CertificateRecord]:
    found = (record for _, record in txn.scan(CERTIFICATES) if record.spiffe_id == spiffe_id)
    first = next(found, None)
    if first is None:
        raise NotFound(f"no certificate of {spiffe_id} is on record; see: cordon admin cert list")
    yield first
    yield from found


def _find(txn: Transaction, sha256: str) -> CertificateRecord | None:
    key = txn.get(CERTIFICATE_KEYS, bytes.fromhex(sha256))
    return txn.get(CERTIFICATES, key) if key is not None else None


def _found(txn: Transaction, sha256: str) -> CertificateRecord:
    record = _find(txn, sha256)
    if record is None:
        raise NotFound(f"no certificate {sha256} is on record; see: cordon admin cert list")
    return record
