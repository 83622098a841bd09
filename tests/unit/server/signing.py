"""Signing in, for tests: what comes of it in a word."""

from __future__ import annotations

from cordon_server.domain import CordonError, Unauthenticated
from cordon_server.identity.names import Role
from cordon_server.identity.people import Issued
from cordon_server.identity.users import UserRecord, find_user
from tests.unit.server.persons import PASSWORD, Desk, a_peer

NEW = "orchid-pebble-tunnel-4"
WRONG = "not-her-password-at-all"


async def sign_in(
    desk: Desk,
    user_id: str = "anna",
    password: str = PASSWORD,
    new: str = "",
    machine: str = "first",
) -> Issued:
    return await desk.people.sign_in(user_id, password, new, a_peer(Role.ADMIN, machine))


async def outcome(desk: Desk, user_id: str = "anna", password: str = WRONG, **parts: str) -> str:
    try:
        await sign_in(desk, user_id, password, **parts)
    except CordonError as refused:
        return refused.reason
    return "signed in"


def is_signed_in(desk: Desk, issued: Issued) -> bool:
    try:
        desk.people.authenticate(issued.token, a_peer())
    except Unauthenticated:
        return False
    return True


def on_record(desk: Desk, user_id: str = "anna") -> UserRecord:
    found = desk.registry.read_now(lambda txn: find_user(txn, user_id))
    assert found is not None
    return found
