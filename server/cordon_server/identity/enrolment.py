"""One-time tokens: with one, a machine that has no certificate yet gets its first.

A token is for one machine, once, within minutes. It carries 256 random bits, of which the server
keeps a hash, and the fingerprint of the site's root, by which the machine knows the server. The
newest token of a machine voids those before it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from cordon_server.domain import LimitReached, Unauthenticated
from cordon_server.identity.certificates import LIFE_MAX
from cordon_server.identity.issuance import Issued, Issuer
from cordon_server.identity.names import SpiffeId, parse_spiffe_id
from cordon_server.store.environment import Environment, Table, Transaction

PREFIX = "cordon1."
TOKEN_LIFE = timedelta(minutes=15)
SECRET_BYTES = 32
FINGERPRINT_BYTES = 32
TOKENS_MAX = 5000
"""Tokens on record at once."""
KEPT_FOR = timedelta(days=1)
"""How long a token that is spent or expired can still be told from one that never was."""
ANOTHER = "ask an administrator for another"


class EnrolmentRecord(msgspec.Struct, frozen=True):
    """A token that was given out, under the SHA-256 of its secret."""

    spiffe_id: str
    created_by: str
    create_time: datetime
    expire_time: datetime
    spend_time: datetime | None = None
    certificate_sha256: str = ""


ENROLMENTS = Table("enrolments", EnrolmentRecord)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is shown, once."""

    text: str
    expire_time: datetime


class Enrolments:
    """Gives out tokens and turns them into certificates."""

    def __init__(self, registry: Environment, issuer: Issuer) -> None:
        self._registry = registry
        self._issuer = issuer

    async def create(self, spiffe_id: SpiffeId, *, created_by: str, dry_run: bool) -> Token | None:
        """A token for a machine, or None when it was only tried; raises `LimitReached`, and
        `NotFound` or `NotReady` for a machine that may have no certificate."""
        if dry_run:
            await self._registry.read(lambda txn: self._issuer.check(txn, spiffe_id))
            return None
        secret = secrets.token_bytes(SECRET_BYTES)
        now = self._issuer.clock()
        record = EnrolmentRecord(str(spiffe_id), created_by, now, now + TOKEN_LIFE)

        def act(txn: Transaction) -> None:
            self._issuer.check(txn, spiffe_id)
            _make_room(txn, record)
            txn.put(ENROLMENTS, _digest(secret), record)

        await self._registry.write(act)
        text = write_token(self._issuer.authority.root_sha256, secret)
        return Token(text, record.expire_time)

    async def spend(self, token: str, public_key: ec.EllipticCurvePublicKey) -> Issued:
        """The certificate of the machine that the token is for; the token is then spent.

        Raises `Unauthenticated` for a token that is none of ours, spent, void or expired. Of many
        that spend one at once, one gets a certificate.
        """
        secret = read_token(token, self._issuer.authority.root_sha256)
        return await self._registry.write(lambda txn: self._spend(txn, secret, public_key))

    def _spend(
        self, txn: Transaction, secret: bytes, public_key: ec.EllipticCurvePublicKey
    ) -> Issued:
        record = txn.get(ENROLMENTS, _digest(secret))
        now = self._issuer.clock()
        if record is None:
            raise Unauthenticated(
                f"this token is not on record, or a newer one voided it; {ANOTHER}",
                reason="TOKEN_UNKNOWN",
            )
        if record.spend_time is not None:
            raise Unauthenticated(
                f"this token was used at {record.spend_time:%Y-%m-%d %H:%M} UTC; if that was not "
                f"you, have {record.spiffe_id} revoked, and {ANOTHER}",
                reason="TOKEN_SPENT",
            )
        if not record.create_time <= now < record.expire_time:
            raise Unauthenticated(
                f"this token expired at {record.expire_time:%Y-%m-%d %H:%M} UTC; {ANOTHER}",
                reason="TOKEN_EXPIRED",
            )
        spiffe_id = parse_spiffe_id(record.spiffe_id)
        assert spiffe_id is not None
        issued = self._issuer.issue_in(
            txn, spiffe_id, public_key, LIFE_MAX[spiffe_id.role], issued_by=record.created_by
        )
        spent = msgspec.structs.replace(record, spend_time=now, certificate_sha256=issued.sha256)
        txn.put(ENROLMENTS, _digest(secret), spent)
        return issued


def write_token(root_sha256: bytes, secret: bytes) -> str:
    """A token as text: the prefix, then base64url of fingerprint and secret."""
    return PREFIX + base64.urlsafe_b64encode(root_sha256 + secret).decode().rstrip("=")


def read_token(token: str, root_sha256: bytes) -> bytes:
    """The secret in a token of this site; raises `Unauthenticated`."""
    try:
        raw = base64.b64decode(token.removeprefix(PREFIX) + "==", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if not token.startswith(PREFIX) or len(raw) != FINGERPRINT_BYTES + SECRET_BYTES:
        raise Unauthenticated(
            f"this is no enrolment token; copy it whole, or {ANOTHER}", reason="TOKEN_UNKNOWN"
        )
    if raw[:FINGERPRINT_BYTES] != root_sha256:
        raise Unauthenticated(f"this token is of another site; {ANOTHER}", reason="TOKEN_UNKNOWN")
    return raw[FINGERPRINT_BYTES:]


def _digest(secret: bytes) -> bytes:
    # Looked up by its hash: a comparison's time tells nothing about the secret.
    return hashlib.sha256(secret).digest()


def _make_room(txn: Transaction, new: EnrolmentRecord) -> None:
    """Voids the machine's earlier tokens, forgets old ones; raises `LimitReached`."""
    now = new.create_time
    for key, record in list(txn.scan(ENROLMENTS)):
        is_open = record.spend_time is None
        if (is_open and record.spiffe_id == new.spiffe_id) or record.expire_time + KEPT_FOR < now:
            txn.delete(ENROLMENTS, key)
    if txn.count(ENROLMENTS) >= TOKENS_MAX:
        raise LimitReached(
            f"{TOKENS_MAX} enrolment tokens were given out within a day; try again tomorrow",
            retry_after_s=3600,
        )
