"""Signing in, staying signed in, and no longer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from cordon_server.domain import (
    InvalidInput,
    LimitReached,
    NotNow,
    NotReady,
    Unauthenticated,
)
from cordon_server.identity.sessions import sessions_of
from cordon_server.identity.users import USERS, UserRecord
from tests.unit.server.persons import PASSWORD, RULES, Desk, a_peer, a_user
from tests.unit.server.signing import NEW, WRONG, is_signed_in, on_record, outcome, sign_in


async def test_the_right_password_opens_a_session(desk: Desk, anna: UserRecord) -> None:
    issued = await sign_in(desk)

    person = desk.people.authenticate(issued.token, a_peer())
    assert (person.user_id, person.roles) == ("anna", frozenset(anna.roles))
    assert issued.expire_time == desk.clock() + RULES.token_life
    assert issued.session_expire_time == desk.clock() + RULES.life_max
    assert on_record(desk).sign_in_time == desk.clock()


@pytest.mark.parametrize("how", ["lock", "revoke"])
async def test_who_is_shut_out_hears_so_with_the_right_password_alone(
    desk: Desk, anna: UserRecord, how: str
) -> None:
    await getattr(desk.users, how)("anna", dry_run=False)

    assert await outcome(desk) == "WRONG_PASSWORD"
    assert await outcome(desk, password=PASSWORD) == "USER_SHUT_OUT"
    assert desk.registry.read_now(lambda txn: sessions_of(txn, "anna")) == []


async def test_who_is_locked_while_the_password_is_compared_does_not_get_in(
    desk: Desk, anna: UserRecord
) -> None:
    # One thread does it all here, in turn: compare, lock, and only then what sign_in writes.
    signing_in = asyncio.create_task(sign_in(desk))
    await asyncio.sleep(0)

    await desk.users.lock("anna", dry_run=False)

    with pytest.raises(NotNow):
        await signing_in
    assert desk.registry.read_now(lambda txn: sessions_of(txn, "anna")) == []


async def test_a_first_password_is_good_for_changing_it(desk: Desk, anna: UserRecord) -> None:
    await desk.users.set_first_password("anna", anna.password_hash, dry_run=False)

    with pytest.raises(NotReady) as refused:
        await sign_in(desk)
    assert refused.value.reason == "PASSWORD_CHANGE_NEEDED"
    for bad in (PASSWORD, "short", "anna-anna-anna", "password1234", "x" * 129):
        with pytest.raises(InvalidInput) as unfit:
            await sign_in(desk, new=bad)
        assert unfit.value.field == "new_password"

    assert is_signed_in(desk, await sign_in(desk, new=NEW))
    assert await outcome(desk, password=PASSWORD) == "WRONG_PASSWORD"
    assert await outcome(desk, password=NEW) == "signed in"


async def test_a_new_password_ends_the_other_sessions(desk: Desk, anna: UserRecord) -> None:
    one, other = await sign_in(desk), await sign_in(desk)
    person = desk.people.authenticate(one.token, a_peer())

    await desk.people.change_password(person, PASSWORD, NEW, a_peer())

    assert is_signed_in(desk, one)
    assert not is_signed_in(desk, other)
    third = await sign_in(desk, password=NEW, new=PASSWORD)
    assert not is_signed_in(desk, one)
    assert is_signed_in(desk, third)


async def test_changing_the_password_takes_the_old_one_and_a_good_one(
    desk: Desk, anna: UserRecord
) -> None:
    person = desk.people.authenticate((await sign_in(desk)).token, a_peer())

    with pytest.raises(Unauthenticated):
        await desk.people.change_password(person, WRONG, NEW, a_peer())
    with pytest.raises(InvalidInput, match="easy to guess"):
        await desk.people.change_password(person, PASSWORD, "site.local2026", a_peer())

    assert on_record(desk).password_hash == anna.password_hash


async def test_a_password_given_again_is_in_the_next_token_and_those_after(
    desk: Desk, anna: UserRecord
) -> None:
    first = await sign_in(desk)
    begun = desk.clock()
    desk.clock.advance(minutes=5)
    person = desk.people.authenticate(first.token, a_peer())

    with pytest.raises(Unauthenticated):
        await desk.people.step_up(person, WRONG, a_peer())
    stepped = await desk.people.step_up(person, PASSWORD, a_peer())
    renewed = await desk.people.renew(person)

    times = [
        desk.people.authenticate(each.token, a_peer()).auth_time
        for each in (first, stepped, renewed)
    ]
    assert times == [begun, desk.clock(), desk.clock()]
    assert stepped.fresh_until == desk.clock() + RULES.fresh_for


async def test_wrong_passwords_count_wherever_they_are_given(desk: Desk, anna: UserRecord) -> None:
    person = desk.people.authenticate((await sign_in(desk)).token, a_peer())
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await desk.people.step_up(person, WRONG, a_peer())
        with pytest.raises(Unauthenticated):
            await desk.people.change_password(person, WRONG, NEW, a_peer())

    with pytest.raises(LimitReached):
        await desk.people.step_up(person, PASSWORD, a_peer())


async def test_a_session_that_is_renewed_lasts_ten_hours(desk: Desk, anna: UserRecord) -> None:
    issued = await sign_in(desk)
    begun = desk.clock()

    while is_signed_in(desk, issued):
        last = issued
        desk.clock.advance(minutes=9, seconds=59)
        if is_signed_in(desk, issued):
            issued = await desk.people.renew(desk.people.authenticate(issued.token, a_peer()))

    assert last.expire_time == last.session_expire_time == begun + timedelta(hours=10)
    assert desk.clock() - begun >= timedelta(hours=10)


async def test_a_session_that_nobody_renews_ends_after_half_an_hour(
    desk: Desk, anna: UserRecord
) -> None:
    person = desk.people.authenticate((await sign_in(desk)).token, a_peer())

    desk.clock.now += RULES.idle_max - timedelta(microseconds=1)
    assert desk.people.again(person).good_until == desk.clock() + timedelta(microseconds=1)
    desk.clock.now += timedelta(microseconds=1)
    with pytest.raises(Unauthenticated) as refused:
        desk.people.again(person)

    assert refused.value.reason == "SESSION_EXPIRED"


async def test_a_session_that_is_over_cannot_be_renewed(desk: Desk, anna: UserRecord) -> None:
    person = desk.people.authenticate((await sign_in(desk)).token, a_peer())
    await desk.people.sign_out(person)

    for act in (desk.people.renew(person), desk.people.step_up(person, PASSWORD, a_peer())):
        with pytest.raises(Unauthenticated) as refused:
            await act
        assert refused.value.reason == "SESSION_OVER"


async def test_one_session_too_many_ends_the_oldest(desk: Desk, anna: UserRecord) -> None:
    issued = []
    for _ in range(RULES.per_user_max + 1):
        issued.append(await sign_in(desk))
        desk.clock.advance(seconds=1)

    assert [is_signed_in(desk, each) for each in issued] == [False, True, True, True]


async def test_sessions_that_are_over_are_removed_at_the_next(desk: Desk, anna: UserRecord) -> None:
    await sign_in(desk)
    desk.clock.now += RULES.idle_max

    latest = await sign_in(desk)

    kept = desk.registry.read_now(lambda txn: sessions_of(txn, "anna"))
    assert [each.session_id for each in kept] == [latest.session_id]


async def test_one_persons_sessions_are_not_anothers(desk: Desk, anna: UserRecord) -> None:
    desk.add(a_user("anna-2", password_hash=anna.password_hash))
    hers, others = await sign_in(desk), await sign_in(desk, "anna-2")

    assert await desk.people.end_sessions("anna", others.session_id, dry_run=False) == 0
    assert await desk.people.end_sessions("anna", "", dry_run=True) == 1
    assert is_signed_in(desk, hers)
    assert await desk.people.end_sessions("anna", "", dry_run=False) == 1
    assert not is_signed_in(desk, hers)
    assert is_signed_in(desk, others)


async def test_a_session_of_nobody_on_record_is_over(desk: Desk, anna: UserRecord) -> None:
    issued = await sign_in(desk)

    desk.registry.write_now(lambda txn: txn.delete(USERS, b"anna"))

    with pytest.raises(Unauthenticated) as refused:
        desk.people.authenticate(issued.token, a_peer())
    assert refused.value.reason == "SESSION_OVER"


async def test_who_is_gone_while_the_password_is_compared_does_not_get_in(
    desk: Desk, anna: UserRecord
) -> None:
    signing_in = asyncio.create_task(sign_in(desk))
    await asyncio.sleep(0)

    await desk.registry.write(lambda txn: txn.delete(USERS, b"anna"))

    with pytest.raises(NotNow):
        await signing_in


async def test_a_new_key_signs_from_the_next_sign_in_on_and_is_told_once(
    desk: Desk, anna: UserRecord
) -> None:
    before = await sign_in(desk)
    desk.clock.advance(days=1)

    with capture_logs() as logs:
        after = [await sign_in(desk) for _ in range(2)]

    kids = [issued.token.partition(".")[0] for issued in (before, *after)]
    assert kids[0] != kids[1] == kids[2]
    assert is_signed_in(desk, after[1])
    assert [event["event"] for event in logs].count("tokens.key_rotated") == 1
