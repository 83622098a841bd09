"""Sessions: a person signed in at one certificate, from his password until one of three ends.

A session ends when it is as long as a shift, when nobody renews its token for a while, and when it
is ended. An ended one is removed: what is not on record is over.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from cordon_server.store.environment import Table, Transaction

SESSION_ID_PATTERN = r"[0-9a-f]{32}"


class SessionRecord(msgspec.Struct, frozen=True):
    """A session that was not ended; it may be over all the same."""

    session_id: str
    user_id: str
    certificate_sha256: str
    """The certificate that it was opened with, hexadecimal."""
    start_time: datetime
    renew_time: datetime
    auth_time: datetime
    """When the password was given last."""


SESSIONS = Table("sessions", SessionRecord)
"""By user, then session: "anna/0123…"."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long sessions and their tokens live."""

    life_max: timedelta
    idle_max: timedelta
    """Without a renewal of its token."""
    token_life: timedelta
    fresh_for: timedelta
    """How long a password counts as just given."""
    per_user_max: int
    """Sessions of one person; one more ends the oldest."""

    def expire_time(self, session: SessionRecord) -> datetime:
        """When the session ends, renewed or not."""
        return session.start_time + self.life_max

    def good_until(self, session: SessionRecord) -> datetime:
        """When the session ends unless it is renewed."""
        return min(self.expire_time(session), session.renew_time + self.idle_max)


def open_session(
    txn: Transaction, user_id: str, certificate_sha256: str, *, rules: SessionRules, now: datetime
) -> SessionRecord:
    """A new session; those of the person that are over, or too many, are removed."""
    live = []
    for session in sessions_of(txn, user_id):
        if now < rules.good_until(session):
            live.append(session)
        else:
            end_session(txn, session)
    live.sort(key=lambda session: session.start_time)
    for session in live[: len(live) + 1 - rules.per_user_max]:
        end_session(txn, session)
    session = SessionRecord(secrets.token_hex(16), user_id, certificate_sha256, now, now, now)
    put_session(txn, session)
    return session


def find_session(txn: Transaction, user_id: str, session_id: str) -> SessionRecord | None:
    """A session that was not ended, or None."""
    return txn.get(SESSIONS, _key(user_id, session_id))


def put_session(txn: Transaction, session: SessionRecord) -> None:
    """Writes a session."""
    txn.put(SESSIONS, _key(session.user_id, session.session_id), session)


def sessions_of(txn: Transaction, user_id: str) -> list[SessionRecord]:
    """A person's sessions that were not ended."""
    return [session for _, session in txn.scan(SESSIONS, prefix=_key(user_id, ""))]


def end_session(txn: Transaction, session: SessionRecord) -> None:
    """Ends one."""
    txn.delete(SESSIONS, _key(session.user_id, session.session_id))


def end_sessions(txn: Transaction, user_id: str, *, but: str = "") -> None:
    """Ends all of a person's sessions but one."""
    for session in sessions_of(txn, user_id):
        if session.session_id != but:
            end_session(txn, session)


def _key(user_id: str, session_id: str) -> bytes:
    return f"{user_id}/{session_id}".encode()
