"""Guessing passwords leads nowhere."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from cordon_server.domain import LimitReached, Unauthenticated
from cordon_server.identity import attempts
from cordon_server.identity.users import UserRecord
from tests.unit.server.persons import LIMITS, PASSWORD, Desk
from tests.unit.server.signing import WRONG, on_record, outcome, sign_in


async def test_a_wrong_name_is_told_as_a_wrong_password_is_after_the_same_work(
    desk: Desk, anna: UserRecord
) -> None:
    told = []
    for user_id in ("anna", "nobody"):
        before = desk.passwords.comparisons
        with pytest.raises(Unauthenticated) as refused:
            await sign_in(desk, user_id, WRONG)
        told.append((refused.value.message, refused.value.reason))
        assert desk.passwords.comparisons == before + 1

    assert told[0] == told[1]
    assert told[0][1] == "WRONG_PASSWORD"


async def test_of_a_thousand_wrong_passwords_ten_are_compared(desk: Desk, anna: UserRecord) -> None:
    in_a_row = [await outcome(desk) for _ in range(1000)]

    assert desk.passwords.comparisons == LIMITS.per_user_max
    assert in_a_row[:10] == ["WRONG_PASSWORD"] * 10
    assert set(in_a_row[10:]) == {"LOCKED_OUT"}
    assert await outcome(desk, password=PASSWORD) == "LOCKED_OUT"
    assert await outcome(desk, password=PASSWORD, machine="second") == "LOCKED_OUT"


async def test_of_a_thousand_wrong_passwords_at_once_no_more_are_compared(
    desk: Desk, anna: UserRecord
) -> None:
    at_once = await asyncio.gather(*(outcome(desk) for _ in range(1000)))

    assert desk.passwords.comparisons == LIMITS.per_user_max
    assert at_once.count("LOCKED_OUT") == 990


async def test_a_machine_tries_thirty_names_and_no_more(desk: Desk, anna: UserRecord) -> None:
    tried = [await outcome(desk, f"name-{number}") for number in range(40)]

    assert tried.count("WRONG_PASSWORD") == desk.passwords.comparisons == LIMITS.per_machine_max
    assert await outcome(desk, password=PASSWORD) == "LOCKED_OUT"
    assert await outcome(desk, password=PASSWORD, machine="second") == "signed in"


async def test_whoever_is_kept_waiting_hears_what_would_end_it(
    desk: Desk, anna: UserRecord
) -> None:
    for _ in range(10):
        await outcome(desk, "nobody")
    with pytest.raises(LimitReached, match=r"this name.*user unlock"):
        await sign_in(desk, "nobody")
    for number in range(20):
        await outcome(desk, f"name-{number}")

    with pytest.raises(LimitReached, match=r"this machine.*on another machine"):
        await sign_in(desk)


async def test_who_has_one_name_cannot_clear_his_machine(desk: Desk, anna: UserRecord) -> None:
    outcomes = []
    for number in range(31):
        outcomes.append(await outcome(desk, f"name-{number}"))
        if number % 10 == 9 and number < 29:
            assert await outcome(desk, password=PASSWORD) == "signed in"

    assert outcomes == ["WRONG_PASSWORD"] * 30 + ["LOCKED_OUT"]


async def test_a_lock_out_says_how_long_and_ends_by_itself(desk: Desk, anna: UserRecord) -> None:
    for _ in range(10):
        await outcome(desk)
    desk.clock.advance(minutes=5)

    with pytest.raises(LimitReached, match="wait 10 minutes") as refused:
        await sign_in(desk)

    assert refused.value.retry_after_s == 600
    desk.clock.advance(minutes=10)
    assert await outcome(desk, password=PASSWORD) == "signed in"
    assert on_record(desk).locked_out_until is None


async def test_a_name_that_nobody_has_is_locked_out_alike(desk: Desk) -> None:
    tried = [await outcome(desk, "nobody") for _ in range(11)]

    assert tried == ["WRONG_PASSWORD"] * 10 + ["LOCKED_OUT"]


async def test_a_restart_does_not_end_a_lock_out(desk: Desk, anna: UserRecord) -> None:
    for _ in range(10):
        await outcome(desk)

    again = Desk(desk.registry, desk.executor, desk.clock)

    assert await outcome(again, password=PASSWORD) == "LOCKED_OUT"
    desk.clock.advance(minutes=15)
    assert await outcome(again, password=PASSWORD) == "signed in"


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_administrator_ends_a_lock_out(
    desk: Desk, anna: UserRecord, restarted: bool
) -> None:
    for _ in range(10):
        await outcome(desk)

    await desk.users.unlock("anna", dry_run=False)
    desk.people.lift_lock_out("anna")

    if restarted:
        desk = Desk(desk.registry, desk.executor, desk.clock)
    assert await outcome(desk, password=PASSWORD) == "signed in"


async def test_the_right_password_forgets_the_wrong_ones(desk: Desk, anna: UserRecord) -> None:
    for _ in range(2):
        assert [await outcome(desk) for _ in range(9)] == ["WRONG_PASSWORD"] * 9
        assert await outcome(desk, password=PASSWORD) == "signed in"


async def test_wrong_passwords_long_ago_do_not_count(desk: Desk, anna: UserRecord) -> None:
    for _ in range(12):
        assert await outcome(desk) == "WRONG_PASSWORD"
        desk.clock.advance(minutes=2)


async def test_a_wrong_password_is_logged_with_a_name_that_is_somebodys_and_no_other(
    desk: Desk, anna: UserRecord
) -> None:
    with capture_logs() as logs:
        await outcome(desk)
        await outcome(desk, "a password typed too early")

    assert [event["user"] for event in logs] == ["anna", None]


async def test_when_too_many_names_are_remembered_the_quietest_is_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "KEYS_MAX", 3)  # two names and their machine
    for _ in range(10):
        await outcome(desk, "one")
    await outcome(desk, "two")
    assert desk.attempts.locked_until("one") is not None

    await outcome(desk, "three")

    assert desk.attempts.locked_until("one") is None
