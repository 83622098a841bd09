"""The people who may sign in, as an administrator keeps them. Knows no passwords, only what is kept
of them. A person is not deleted but revoked: his name is never another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum

import msgspec

from cordon_server.domain import AlreadyExists, InvalidInput, LimitReached, NotFound, NotReady
from cordon_server.identity.names import PersonRole
from cordon_server.identity.permissions import clash
from cordon_server.identity.sessions import end_sessions
from cordon_server.store.environment import Environment, Table, Transaction


class UserState(StrEnum):
    """Whether a person can sign in."""

    ACTIVE = "active"
    LOCKED = "locked"
    REVOKED = "revoked"


class UserRecord(msgspec.Struct, frozen=True):
    """A person."""

    user_id: str
    display_name: str
    roles: tuple[PersonRole, ...]
    password_hash: str
    create_time: datetime
    state: UserState = UserState.ACTIVE
    must_change_password: bool = True
    training_expire_time: datetime | None = None
    sign_in_time: datetime | None = None
    locked_out_until: datetime | None = None
    """Too many wrong passwords; passes by itself."""


USERS = Table("users", UserRecord)
"""By user id."""


class Users:
    """Registers, finds and alters people. Whoever loses something loses his sessions with it."""

    def __init__(self, registry: Environment, *, count_max: int, clock: Callable[[], datetime]):
        self._registry = registry
        self._count_max = count_max
        self._clock = clock

    async def create(
        self,
        user_id: str,
        *,
        display_name: str,
        roles: tuple[PersonRole, ...],
        training_expire_time: datetime | None,
        password_hash: str,
        dry_run: bool,
    ) -> UserRecord:
        """Registers a person; raises `AlreadyExists`, `InvalidInput` (the roles) or
        `LimitReached`."""
        record = UserRecord(
            user_id,
            display_name,
            _checked(roles, "user.roles"),
            password_hash,
            self._clock(),
            training_expire_time=training_expire_time,
        )

        def act(txn: Transaction) -> None:
            if find_user(txn, user_id) is not None:
                raise AlreadyExists(
                    f"user {user_id} is registered already; choose another name (a revoked name "
                    "stays taken)"
                )
            if txn.count(USERS) >= self._count_max:
                raise LimitReached(
                    f"{self._count_max} users are registered and people.users_max allows no "
                    "more; raise it in the server's settings"
                )
            if not dry_run:
                put_user(txn, record)

        await self._registry.write(act)
        return record

    async def get(self, user_id: str) -> UserRecord:
        """A person, revoked or not; raises `NotFound`."""
        return await self._registry.read(lambda txn: _found(txn, user_id))

    async def page(self, after: str, count: int) -> list[UserRecord]:
        """Up to `count` people by name, after the one named."""

        def act(txn: Transaction) -> list[UserRecord]:
            scan = txn.scan(USERS, after=after.encode())
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._registry.read(act)

    async def set_roles(
        self, user_id: str, roles: tuple[PersonRole, ...], *, dry_run: bool
    ) -> UserRecord:
        """Replaces the roles; raises `NotFound`, `InvalidInput`, or `NotReady` where nobody would
        be left to administer."""
        checked = _checked(roles, "roles")
        return await self._alter(user_id, dry_run, roles=checked)

    async def set_training(
        self, user_id: str, expire_time: datetime | None, *, dry_run: bool
    ) -> UserRecord:
        """Notes until when the training is valid (R27); raises `NotFound`."""
        return await self._alter(
            user_id, dry_run, ends_sessions=False, training_expire_time=expire_time
        )

    async def set_first_password(
        self, user_id: str, password_hash: str, *, dry_run: bool
    ) -> UserRecord:
        """A password to be changed at the next sign-in, and an end of a lock-out."""
        return await self._alter(
            user_id,
            dry_run,
            password_hash=password_hash,
            must_change_password=True,
            locked_out_until=None,
        )

    async def lock(self, user_id: str, *, dry_run: bool) -> UserRecord:
        """Keeps a person out until unlocked; raises `NotFound` or `NotReady`."""
        return await self._alter(user_id, dry_run, state=UserState.LOCKED)

    async def unlock(self, user_id: str, *, dry_run: bool) -> UserRecord:
        """Lets a person in again, whether locked or locked out; raises `NotFound`, `NotReady`."""
        return await self._alter(
            user_id, dry_run, ends_sessions=False, state=UserState.ACTIVE, locked_out_until=None
        )

    async def revoke(self, user_id: str, *, dry_run: bool) -> UserRecord:
        """Shuts a person out for good; raises `NotFound` or `NotReady`."""
        return await self._alter(user_id, dry_run, state=UserState.REVOKED)

    async def _alter(
        self, user_id: str, dry_run: bool, *, ends_sessions: bool = True, **fields: object
    ) -> UserRecord:
        def act(txn: Transaction) -> UserRecord:
            before = _found(txn, user_id)
            if before.state is UserState.REVOKED:
                raise NotReady(f"user {user_id} is revoked for good; register another name")
            after = msgspec.structs.replace(before, **fields)
            if _administers(before) and not _administers(after):
                _check_others_administer(txn, user_id)
            if not dry_run:
                put_user(txn, after)
                if ends_sessions:
                    end_sessions(txn, user_id)
            return after

        return await self._registry.write(act)


def find_user(txn: Transaction, user_id: str) -> UserRecord | None:
    """A person, or None."""
    return txn.get(USERS, user_id.encode())


def put_user(txn: Transaction, record: UserRecord) -> None:
    """Writes a person."""
    txn.put(USERS, record.user_id.encode(), record)


def all_users(txn: Transaction) -> Iterator[UserRecord]:
    """Everyone, by name."""
    return (record for _, record in txn.scan(USERS))


def _found(txn: Transaction, user_id: str) -> UserRecord:
    record = find_user(txn, user_id)
    if record is None:
        raise NotFound(f"there is no user {user_id}; see: cordon admin user list")
    return record


def _checked(roles: tuple[PersonRole, ...], field: str) -> tuple[PersonRole, ...]:
    if (why := clash(roles)) is not None:
        raise InvalidInput(
            f"{why}; give them to two people", field=field, reason="ROLES_INCOMPATIBLE"
        )
    return tuple(sorted(set(roles)))


def _administers(record: UserRecord) -> bool:
    return record.state is UserState.ACTIVE and PersonRole.ADMINISTRATOR in record.roles


def _check_others_administer(txn: Transaction, user_id: str) -> None:
    if not any(_administers(other) for other in all_users(txn) if other.user_id != user_id):
        raise NotReady(
            f"{user_id} is the last active administrator; make another first: "
            "cordon admin user add NAME --role administrator",
            reason="LAST_ADMINISTRATOR",
        )
