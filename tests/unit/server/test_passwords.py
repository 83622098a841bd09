"""What a password has to be, and what is kept of it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import Type, extract_parameters

from cordon_server.domain import InvalidInput, LimitReached
from cordon_server.identity.passwords import (
    HASHER,
    WAITING_MAX,
    Passwords,
    check_acceptable,
    make_password,
)
from tests.unit.server.persons import PASSWORD, QUICK


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "12 characters at least"),
        ("Tr0ub4dor&3", "12 characters at least"),
        ("x" * 129, "128 characters at most"),
        ("123456789012", "easy to guess"),
        ("passwordpassword", "easy to guess"),
        ("qwertyuiop[]", "easy to guess"),
        ("aaaaaaaaaaaaaaaa", "easy to guess"),
        ("abcdefghijklmnop", "easy to guess"),
        ("anna.schmidt.2026", "easy to guess"),
        ("north.example.1", "easy to guess"),
    ],
)
def test_a_password_that_is_short_long_or_easy_is_refused(password: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        check_acceptable(password, known=("anna.schmidt", "north.example"), field="new_password")

    assert refused.value.field == "new_password"
    assert not password or password not in refused.value.message


@pytest.mark.parametrize(
    "password",
    [PASSWORD, "räuber uhr apfel wolke", "x7#Qp!vb92Lm", "用户的秘密口令是一个很长的句子"],
)
def test_a_password_that_is_hard_to_guess_is_taken_in_any_script(password: str) -> None:
    check_acceptable(password, known=("anna",))


def test_a_password_that_was_made_is_acceptable_and_never_the_same() -> None:
    made = {make_password() for _ in range(20)}

    assert len(made) == 20
    for each in made:
        check_acceptable(each)


@pytest.mark.slow
def test_what_is_kept_is_argon2id_at_its_stated_price_and_salted() -> None:
    one, other = HASHER.hash(PASSWORD), HASHER.hash(PASSWORD)

    parameters = extract_parameters(one)
    assert one != other
    assert PASSWORD not in one
    assert (parameters.type, parameters.memory_cost, parameters.time_cost, parameters.salt_len) == (
        Type.ID,
        46 * 1024,
        2,
        16,
    )


async def test_only_the_password_that_was_kept_is_right() -> None:
    with ThreadPoolExecutor(1) as executor:
        passwords = Passwords(executor, QUICK)
        kept = await passwords.hash(PASSWORD)

        for given in (PASSWORD, PASSWORD + " ", PASSWORD.upper(), "", "x" * 10_000):
            assert await passwords.is_right(kept, given) == (given == PASSWORD)
        assert not await passwords.is_right(None, PASSWORD)


async def test_too_many_at_once_are_refused_and_the_rest_are_answered() -> None:
    go = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(go.wait)
        passwords = Passwords(executor, QUICK)
        waiting = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)

        with pytest.raises(LimitReached) as refused:
            await passwords.hash(PASSWORD)
        go.set()
        await asyncio.gather(*waiting)

        assert refused.value.retry_after_s > 0
        assert await passwords.hash(PASSWORD)
