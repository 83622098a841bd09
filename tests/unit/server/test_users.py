"""Who people are is the administrators' to say, and there is always one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from cordon_server.domain import AlreadyExists, InvalidInput, LimitReached, NotFound, NotReady
from cordon_server.identity.names import PersonRole
from cordon_server.identity.permissions import INCOMPATIBLE
from cordon_server.identity.users import UserRecord, Users, UserState
from tests.unit.server.persons import Desk, a_user
from tests.unit.server.rooms import NOON

ADMINISTRATOR, AUDITOR = PersonRole.ADMINISTRATOR, PersonRole.AUDITOR

Alter = Callable[[Users, str, bool], Awaitable[UserRecord]]
LOSSES: dict[str, Alter] = {
    "roles": lambda users, name, dry: users.set_roles(name, (AUDITOR,), dry_run=dry),
    "lock": lambda users, name, dry: users.lock(name, dry_run=dry),
    "revoke": lambda users, name, dry: users.revoke(name, dry_run=dry),
}
OTHERS: dict[str, Alter] = {
    "password": lambda users, name, dry: users.set_first_password(name, "new", dry_run=dry),
    "training": lambda users, name, dry: users.set_training(name, NOON, dry_run=dry),
    "unlock": lambda users, name, dry: users.unlock(name, dry_run=dry),
}
ALTERATIONS = LOSSES | OTHERS
KEEPS_SESSIONS = {"training", "unlock"}


async def create(
    users: Users, user_id: str = "anna", *roles: PersonRole, dry_run: bool = False
) -> UserRecord:
    return await users.create(
        user_id,
        display_name="Anna",
        roles=roles or (PersonRole.OPERATOR,),
        training_expire_time=NOON + timedelta(days=1),
        password_hash="hash",
        dry_run=dry_run,
    )


async def test_a_new_person_is_active_and_has_to_change_the_password(desk: Desk) -> None:
    made = await create(desk.users)

    assert made == await desk.users.get("anna")
    assert (made.state, made.must_change_password) == (UserState.ACTIVE, True)
    assert (made.create_time, made.sign_in_time) == (NOON, None)
    assert made.training_expire_time == NOON + timedelta(days=1)


async def test_a_name_is_taken_for_good(desk: Desk) -> None:
    await create(desk.users)
    await desk.users.revoke("anna", dry_run=False)

    with pytest.raises(AlreadyExists):
        await create(desk.users)
    for alter in ALTERATIONS.values():
        with pytest.raises(NotReady, match="revoked for good"):
            await alter(desk.users, "anna", False)


async def test_the_number_of_people_is_limited(desk: Desk) -> None:
    for number in range(6):
        await create(desk.users, f"user-{number}")

    with pytest.raises(LimitReached, match=r"people\.users_max"):
        await create(desk.users, "one-more")


@pytest.mark.parametrize(("one", "other", "why"), INCOMPATIBLE)
async def test_incompatible_roles_are_not_given_to_one_person(
    desk: Desk, one: PersonRole, other: PersonRole, why: str
) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        await create(desk.users, "anna", AUDITOR, other, one)
    assert (refused.value.field, refused.value.reason) == ("user.roles", "ROLES_INCOMPATIBLE")
    with pytest.raises(NotFound):
        await desk.users.get("anna")

    await create(desk.users, "anna", one)
    with pytest.raises(InvalidInput, match=why):
        await desk.users.set_roles("anna", (one, other), dry_run=False)
    assert (await desk.users.get("anna")).roles == (one,)


async def test_roles_are_kept_once_and_in_order(desk: Desk) -> None:
    operator, supervisor = PersonRole.OPERATOR, PersonRole.SUPERVISOR
    made = await create(desk.users, "anna", supervisor, operator, supervisor)

    assert made.roles == (operator, supervisor)


@pytest.mark.parametrize("how", LOSSES)
async def test_the_last_active_administrator_stays_one(desk: Desk, how: str) -> None:
    desk.add(a_user("anna", ADMINISTRATOR))
    for state in (UserState.LOCKED, UserState.REVOKED):
        desk.add(a_user(f"not-{state}", ADMINISTRATOR))
    await desk.users.lock("not-locked", dry_run=False)
    await desk.users.revoke("not-revoked", dry_run=False)
    desk.add(a_user("otto", AUDITOR))

    for dry_run in (True, False):
        with pytest.raises(NotReady, match="last active administrator") as refused:
            await LOSSES[how](desk.users, "anna", dry_run)
        assert refused.value.reason == "LAST_ADMINISTRATOR"

    await desk.users.unlock("not-locked", dry_run=False)
    await LOSSES[how](desk.users, "anna", False)
    with pytest.raises(NotReady):
        await LOSSES[how](desk.users, "not-locked", False)


@pytest.mark.parametrize("how", OTHERS)
async def test_the_last_administrator_may_lose_what_leaves_him_one(desk: Desk, how: str) -> None:
    desk.add(a_user("anna", ADMINISTRATOR))

    await OTHERS[how](desk.users, "anna", False)


async def test_the_last_administrator_may_become_auditor_too(desk: Desk) -> None:
    desk.add(a_user("anna", ADMINISTRATOR))

    await desk.users.set_roles("anna", (ADMINISTRATOR, AUDITOR), dry_run=False)


@pytest.mark.parametrize("how", ALTERATIONS)
async def test_a_trial_changes_nothing(desk: Desk, how: str) -> None:
    before = desk.add(a_user("anna", PersonRole.OPERATOR))
    desk.token("anna")

    trial = await ALTERATIONS[how](desk.users, "anna", True)

    assert await desk.users.get("anna") == before
    assert (trial != before) == (how != "unlock")
    assert desk.session_count("anna") == 1


async def test_a_trial_of_a_new_person_registers_nobody(desk: Desk) -> None:
    assert (await create(desk.users, dry_run=True)).user_id == "anna"

    with pytest.raises(NotFound):
        await desk.users.get("anna")


@pytest.mark.parametrize("how", ALTERATIONS)
async def test_who_loses_something_loses_his_sessions_and_nobody_elses(
    desk: Desk, how: str
) -> None:
    for name in ("anna", "anna-2"):
        desk.add(a_user(name, PersonRole.OPERATOR))
        desk.token(name)

    await ALTERATIONS[how](desk.users, "anna", False)

    assert desk.session_count("anna") == (1 if how in KEEPS_SESSIONS else 0)
    assert desk.session_count("anna-2") == 1


@pytest.mark.parametrize("how", ALTERATIONS)
async def test_who_is_not_registered_is_not_altered(desk: Desk, how: str) -> None:
    with pytest.raises(NotFound, match="cordon admin user list"):
        await ALTERATIONS[how](desk.users, "nobody", False)


async def test_people_come_in_pages_by_name(desk: Desk) -> None:
    for name in ("carl", "anna", "bert"):
        desk.add(a_user(name))

    first = await desk.users.page("", 2)
    rest = await desk.users.page(first[-1].user_id, 2)

    assert [[each.user_id for each in page] for page in (first, rest)] == [
        ["anna", "bert"],
        ["carl"],
    ]
