"""People as they sign in and call: from a password to a session, from a token back to a person.

What is on record decides, at every call: a token says whose session it is and no more. Reading the
registry for it takes microseconds, so the record is read in place and kept nowhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from cordon_server.domain import InvalidInput, NotNow, NotReady, Unauthenticated
from cordon_server.identity.attempts import Attempts
from cordon_server.identity.keys import SigningKeys
from cordon_server.identity.names import PersonRole
from cordon_server.identity.passwords import Passwords, check_acceptable
from cordon_server.identity.peers import Peer
from cordon_server.identity.sessions import (
    SessionRecord,
    SessionRules,
    end_session,
    end_sessions,
    find_session,
    open_session,
    put_session,
    sessions_of,
)
from cordon_server.identity.tokens import SIGN_IN, Tokens
from cordon_server.identity.users import UserRecord, UserState, all_users, find_user, put_user
from cordon_server.store.environment import Environment, Transaction

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, as a call finds him."""

    user_id: str
    roles: frozenset[PersonRole]
    session_id: str
    auth_time: datetime
    """When he gave the password last, by the token shown."""
    good_until: datetime
    """When the session ends unless its token is renewed."""
    training_expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and whom and what it is for."""

    token: str
    expire_time: datetime
    session_id: str
    session_expire_time: datetime
    fresh_until: datetime
    user: UserRecord


class People:
    """Signs people in and tells who calls."""

    def __init__(
        self,
        registry: Environment,
        passwords: Passwords,
        attempts: Attempts,
        keys: SigningKeys,
        rules: SessionRules,
        *,
        site: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.rules = rules
        self._registry = registry
        self._passwords = passwords
        self._attempts = attempts
        self._keys = keys
        self._site = site
        self._clock = clock
        self._tokens = Tokens(f"spiffe://{site}", keys.keys, clock=clock)
        for user in registry.read_now(lambda txn: list(all_users(txn))):
            if user.locked_out_until is not None and clock() < user.locked_out_until:
                attempts.lock_out(user.user_id, user.locked_out_until)

    # What every call needs.

    def authenticate(self, token: str, peer: Peer, *, even_expired: bool = False) -> Person:
        """Whose token this is, shown from here, now; raises `Unauthenticated`.

        An expired one, where that is excused, is good as long as its session.
        """
        claims = self._tokens.read(token, peer.sha256, even_expired=even_expired)
        auth_time = datetime.fromtimestamp(claims.auth_time, UTC)
        return self._person(claims.sub, claims.sid, auth_time)

    def again(self, person: Person) -> Person:
        """The same person as he is on record now; raises `Unauthenticated` when his session is
        over. For calls that run, which have shown their token when they began."""
        return self._person(person.user_id, person.session_id, person.auth_time)

    def record(self, person: Person) -> tuple[UserRecord, datetime]:
        """All about the person, and when his session ends at the latest."""
        user, session = self._registry.read_now(
            lambda txn: _on_record(txn, person.user_id, person.session_id)
        )
        return user, self.rules.expire_time(session)

    def _person(self, user_id: str, session_id: str, auth_time: datetime) -> Person:
        user, session = self._registry.read_now(lambda txn: _on_record(txn, user_id, session_id))
        until = self.rules.good_until(session)
        if self._clock() >= until:
            raise _refused("SESSION_EXPIRED", "the session has expired")
        if user.state is not UserState.ACTIVE:
            raise _refused("USER_SHUT_OUT", f"{user_id} is {user.state}")
        return Person(
            user_id,
            frozenset(user.roles),
            session_id,
            auth_time,
            until,
            user.training_expire_time,
        )

    # What a person does for himself.

    async def sign_in(self, user_id: str, password: str, new_password: str, peer: Peer) -> Issued:
        """Opens a session; raises `Unauthenticated` for a wrong name or password alike,
        `LimitReached` after too many, `NotReady` when a new password is needed."""
        user = await self._compared(user_id, password, peer)
        if user.state is not UserState.ACTIVE:
            raise Unauthenticated(
                f"{user_id} is {user.state}; ask an administrator", reason="USER_SHUT_OUT"
            )
        if user.must_change_password and not new_password:
            raise NotReady(
                "this password is good for one sign-in that changes it; give a new one with: "
                "cordon admin sign-in --new-password-file FILE, or at the prompt",
                reason="PASSWORD_CHANGE_NEEDED",
            )
        new_hash = await self._new_hash(user, password, new_password) if new_password else ""
        now = self._clock()

        def act(txn: Transaction) -> tuple[UserRecord, SessionRecord]:
            after = _as_compared(txn, user)
            if new_hash:
                after = _with_password(after, new_hash)
                end_sessions(txn, user_id)
            after = msgspec.structs.replace(after, sign_in_time=now, locked_out_until=None)
            put_user(txn, after)
            return after, open_session(txn, user_id, peer.sha256, rules=self.rules, now=now)

        signed_in, session = await self._registry.write(act)
        log.info("person.signed_in", user=user_id, peer=str(peer.spiffe_id))
        return await self._issue(signed_in, session)

    async def renew(self, person: Person) -> Issued:
        """The next token of the session; raises `Unauthenticated` when that is over."""
        return await self._renewed(person, {"renew_time": self._clock()})

    async def step_up(self, person: Person, password: str, peer: Peer) -> Issued:
        """A token that says the password was given now; raises as `sign_in` does."""
        await self._compared(person.user_id, password, peer)
        now = self._clock()
        return await self._renewed(person, {"renew_time": now, "auth_time": now})

    async def sign_out(self, person: Person) -> None:
        """Ends the session."""
        await self.end_sessions(person.user_id, person.session_id, dry_run=False)

    async def change_password(
        self, person: Person, password: str, new_password: str, peer: Peer
    ) -> None:
        """Replaces the password and ends the person's other sessions; raises as `sign_in` does."""
        user = await self._compared(person.user_id, password, peer)
        new_hash = await self._new_hash(user, password, new_password)

        def act(txn: Transaction) -> None:
            put_user(txn, _with_password(_as_compared(txn, user), new_hash))
            end_sessions(txn, person.user_id, but=person.session_id)

        await self._registry.write(act)

    # What an administrator does to someone's sessions and passwords.

    async def end_sessions(self, user_id: str, session_id: str, *, dry_run: bool) -> int:
        """Ends one session of a person, or all; how many there were."""

        def act(txn: Transaction) -> int:
            ending = [
                session
                for session in sessions_of(txn, user_id)
                if session_id in ("", session.session_id)
            ]
            for session in ending if not dry_run else ():
                end_session(txn, session)
            return len(ending)

        return await self._registry.write(act)

    async def first_hash(self, password: str, *, known: tuple[str, ...]) -> str:
        """What to keep of a first password; raises `InvalidInput` when it is not good enough."""
        await self._check_acceptable(password, known, "password")
        return await self._passwords.hash(password)

    def lift_lock_out(self, user_id: str) -> None:
        """Lets a person try again who was wrong too often."""
        self._attempts.lift(user_id)

    async def rotate_keys(self) -> None:
        """Takes a new signing key when it is time for one."""
        if await self._keys.rotate():
            self._tokens.use(self._keys.keys)
            log.info("tokens.key_rotated")

    # How.

    async def _compared(self, user_id: str, password: str, peer: Peer) -> UserRecord:
        """The person whose password this is; counted before it is compared."""
        machine = str(peer.spiffe_id)
        self._attempts.begin(user_id, machine)
        user = self._registry.read_now(partial(find_user, user_id=user_id))
        is_right = await self._passwords.is_right(user.password_hash if user else None, password)
        if user is None or not is_right:
            if user is not None:
                await self._keep_lock_out(user_id)
            # A name that nobody has may be a password that was typed one line too early.
            log.warning("person.wrong_password", user=user and user.user_id, peer=machine)
            raise Unauthenticated(
                "there is no such user, or the password is wrong; try again, or ask an "
                "administrator for a new one: cordon admin user reset-password NAME",
                reason="WRONG_PASSWORD",
            )
        self._attempts.succeeded(user_id, machine)
        return user

    async def _keep_lock_out(self, user_id: str) -> None:
        """Puts a lock-out on record, so that a restart does not end it."""
        until = self._attempts.locked_until(user_id)
        if until is None:
            return

        def act(txn: Transaction) -> None:
            if (user := find_user(txn, user_id)) is not None:
                put_user(txn, msgspec.structs.replace(user, locked_out_until=until))

        await self._registry.write(act)

    async def _new_hash(self, user: UserRecord, password: str, new_password: str) -> str:
        if new_password == password:
            raise InvalidInput("new_password is the old one; choose another", field="new_password")
        known = (user.user_id, user.display_name)
        await self._check_acceptable(new_password, known, "new_password")
        return await self._passwords.hash(new_password)

    async def _check_acceptable(self, password: str, known: tuple[str, ...], field: str) -> None:
        words = (*known, self._site, "cordon")
        await self._passwords.run(lambda: check_acceptable(password, known=words, field=field))

    async def _renewed(self, person: Person, times: dict[str, datetime]) -> Issued:
        def act(txn: Transaction) -> tuple[UserRecord, SessionRecord]:
            user, session = _on_record(txn, person.user_id, person.session_id)
            session = msgspec.structs.replace(session, **times)
            put_session(txn, session)
            return user, session

        return await self._issue(*await self._registry.write(act))

    async def _issue(self, user: UserRecord, session: SessionRecord) -> Issued:
        await self.rotate_keys()
        session_end = self.rules.expire_time(session)
        expire_time = min(self._clock() + self.rules.token_life, session_end)
        token = self._tokens.issue(
            user_id=user.user_id,
            session_id=session.session_id,
            token_id=secrets.token_hex(16),
            auth_time=session.auth_time,
            expire_time=expire_time,
            certificate_sha256=session.certificate_sha256,
        )
        fresh_until = session.auth_time + self.rules.fresh_for
        return Issued(token, expire_time, session.session_id, session_end, fresh_until, user)


def _on_record(txn: Transaction, user_id: str, session_id: str) -> tuple[UserRecord, SessionRecord]:
    user, session = find_user(txn, user_id), find_session(txn, user_id, session_id)
    if user is None or session is None:
        raise _refused("SESSION_OVER", "the session was ended")
    return user, session


def _as_compared(txn: Transaction, compared: UserRecord) -> UserRecord:
    """The person as he is on record; raises `NotNow` when what was compared is not any more."""
    user = find_user(txn, compared.user_id)
    if user is None or (user.password_hash, user.state) != (
        compared.password_hash,
        compared.state,
    ):
        raise NotNow(f"{compared.user_id} was changed at this moment; try again")
    return user


def _with_password(user: UserRecord, password_hash: str) -> UserRecord:
    return msgspec.structs.replace(user, password_hash=password_hash, must_change_password=False)


def _refused(reason: str, words: str) -> Unauthenticated:
    return Unauthenticated(f"{words}; {SIGN_IN}", reason=reason)
