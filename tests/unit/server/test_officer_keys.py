"""An officer's signing key: one, his own, and good for as long as he may sign (R8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_client.signing_key import possession
from cordon_server.domain import InvalidInput, NotFound
from cordon_server.identity.names import PersonRole
from cordon_server.identity.officer_keys import OFFICER_KEYS, OfficerKeys
from cordon_server.identity.users import USERS, UserRecord, UserState, find_user, put_user
from cordon_server.store.environment import Environment, Transaction
from tests.unit.server.rooms import NOON, Clock, open_environment

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
DESK = "spiffe://site.local/admin/second"


@pytest.fixture
async def people(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "people", (USERS, OFFICER_KEYS), writer)
    for name in ("otto", "oscar"):
        roles = (PersonRole.AUTHORISING_OFFICER,)
        record = UserRecord(name, "", roles, "", NOON, must_change_password=False)
        environment.write_now(partial(_put, record=record))
    yield environment
    await environment.close()


def _put(txn: Transaction, record: UserRecord) -> None:
    put_user(txn, record)


@pytest.fixture
def keys(people: Environment, clock: Clock) -> OfficerKeys:
    return OfficerKeys(people, clock=clock)


async def register(keys: OfficerKeys, user: str = "otto", key: Ed25519PrivateKey = KEY) -> None:
    public = key.public_key().public_bytes_raw()
    await keys.register(user, DESK, public, possession(key, f"users/{user}"), dry_run=False)


@pytest.mark.serves("R8")
async def test_an_officer_has_the_key_that_he_registered_last(keys: OfficerKeys) -> None:
    assert keys.find("otto") is None
    await register(keys)
    assert keys.find("otto") == PUBLIC
    other = Ed25519PrivateKey.generate()
    await register(keys, key=other)

    assert keys.find("otto") == other.public_key().public_bytes_raw()
    assert keys.find("oscar") is None


@pytest.mark.serves("R8")
@pytest.mark.parametrize(
    "changed",
    [
        {"state": UserState.LOCKED},
        {"state": UserState.REVOKED},
        {"roles": (PersonRole.OPERATOR,)},
    ],
)
async def test_who_may_not_sign_any_more_has_no_key(
    keys: OfficerKeys, people: Environment, changed: dict[str, object]
) -> None:
    await register(keys)

    def act(txn: Transaction) -> None:
        user = find_user(txn, "otto")
        assert user is not None
        put_user(txn, msgspec.structs.replace(user, **changed))

    await people.write(act)
    assert keys.find("otto") is None


@pytest.mark.serves("R8")
async def test_a_key_is_ones_own_and_not_anothers(keys: OfficerKeys) -> None:
    await register(keys)

    with pytest.raises(InvalidInput) as refused:
        await register(keys, "oscar")

    assert refused.value.reason == "KEY_TAKEN"


SMALL = bytes(32)


@pytest.mark.serves("R8")
@pytest.mark.parametrize(
    ("public", "signature"),
    [
        (PUBLIC, possession(KEY, "users/oscar")),
        (PUBLIC, bytes(64)),
        (SMALL, bytes(64)),
        (b"\x01" + bytes(31), bytes(64)),
        (bytes(31) + b"\x80", bytes(64)),
        (b"short", bytes(64)),
    ],
)
async def test_a_key_that_the_caller_has_not_or_that_anybody_has_is_refused(
    keys: OfficerKeys, public: bytes, signature: bytes
) -> None:
    with pytest.raises(InvalidInput):
        await keys.register("otto", DESK, public, signature, dry_run=False)

    assert keys.find("otto") is None


async def test_a_trial_registers_nothing_and_nobody_is_no_user(keys: OfficerKeys) -> None:
    await keys.register("otto", DESK, PUBLIC, possession(KEY, "users/otto"), dry_run=True)
    assert keys.find("otto") is None

    with pytest.raises(NotFound):
        await register(keys, "nobody")
