"""No token but a good one, where and while it is good, lets anybody in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cordon_server.domain import CordonError, Unauthenticated
from cordon_server.identity.names import PersonRole
from cordon_server.identity.permissions import PERMISSIONS, permission
from cordon_server.identity.tokens import TOKEN_CHARACTERS_MAX, TOKEN_LIFE_MAX
from tests.unit.server.forgery import EXPIRED, KINDS, Forger, encode, forger
from tests.unit.server.persons import PASSWORD, RULES, WHO_AM_I, Desk, a_peer, a_user, bearer

KINDS_MIN = 40


RENEW = "/cordon.v1.IdentityService/RenewToken"


def refusal(desk: Desk, *metadata: tuple[str, str | bytes], method: str = WHO_AM_I) -> str:
    """The reason that a call with this metadata is refused for; "accepted" when it is not."""
    try:
        desk.admit(*metadata, method=method)
    except Unauthenticated as refused:
        return refused.reason if "cordon admin sign-in" in refused.message else refused.message
    except CordonError as other:
        return type(other).__name__
    return "accepted"


def test_forged_tokens_are_accepted_in_none_of_at_least_forty_kinds(desk: Desk) -> None:
    desk.add(a_user("anna"))
    good = forger(desk)
    assert refusal(desk, bearer(good.token)) == "accepted"

    outcomes = {name: refusal(desk, bearer(make(good))) for name, (_, make) in KINDS.items()}

    accepted = [name for name, outcome in outcomes.items() if outcome == "accepted"]
    print(f"kinds of forged tokens: {len(KINDS)}, accepted: {len(accepted)}")
    assert outcomes == {name: reason for name, (reason, _) in KINDS.items()}
    assert len(KINDS) >= KINDS_MIN


async def test_renewing_excuses_the_end_of_a_token_and_nothing_else(desk: Desk) -> None:
    desk.add(a_user("anna"))
    good = forger(desk)
    excused = {name for name, (reason, _) in KINDS.items() if reason == "TOKEN_EXPIRED"}
    assert excused

    outcomes = {
        name: refusal(desk, bearer(make(good)), method=RENEW) for name, (_, make) in KINDS.items()
    }

    assert outcomes == {
        name: "accepted" if name in excused else reason for name, (reason, _) in KINDS.items()
    }


@pytest.mark.parametrize("method", [name for name in PERMISSIONS if name != RENEW])
def test_an_expired_token_renews_itself_and_opens_nothing_else(desk: Desk, method: str) -> None:
    row = permission(method)
    if not row.people:
        return
    desk.add(a_user("anna", *row.people))
    peer = a_peer(sorted(row.machines)[0])
    token = desk.token("anna", peer)
    desk.clock.now += RULES.token_life

    with pytest.raises(Unauthenticated) as refused:
        desk.admit(bearer(token), method=method, peer=peer)

    assert refused.value.reason == "TOKEN_EXPIRED"


async def test_a_session_left_alone_goes_on_until_it_has_idled_too_long(desk: Desk) -> None:
    desk.add(a_user("anna"))
    left_alone = desk.token("anna")
    desk.clock.now += RULES.idle_max - timedelta(seconds=1)

    admitted = desk.admit(bearer(left_alone), method=RENEW)
    assert admitted.person is not None
    renewed = (await desk.people.renew(admitted.person)).token
    desk.clock.now += RULES.idle_max

    assert refusal(desk, bearer(renewed), method=RENEW) == "SESSION_EXPIRED"
    assert refusal(desk, bearer(left_alone), method=RENEW) == "SESSION_EXPIRED"


Spoil = Callable[[Desk, str], Coroutine[Any, Any, object]]


async def _wait(desk: Desk, **parts: float) -> None:
    desk.clock.advance(**parts)


async def _rotated_out(desk: Desk, token: str) -> None:
    for _ in range(2):
        await desk.rotate()


SPOILED: dict[str, tuple[str, Spoil]] = {
    "after ten minutes": ("TOKEN_EXPIRED", lambda d, t: _wait(d, minutes=10)),
    "the clock an hour on": ("TOKEN_EXPIRED", lambda d, t: _wait(d, hours=1)),
    "the clock an hour back": ("TOKEN_NOT_YET", lambda d, t: _wait(d, hours=-1)),
    "after signing out": ("SESSION_OVER", lambda d, t: d.people.sign_out(_anna(d, t))),
    "after its session was revoked": (
        "SESSION_OVER",
        lambda d, t: d.people.end_sessions("anna", _anna(d, t).session_id, dry_run=False),
    ),
    "after all were": (
        "SESSION_OVER",
        lambda d, t: d.people.end_sessions("anna", "", dry_run=False),
    ),
    "after she was locked": ("SESSION_OVER", lambda d, t: d.users.lock("anna", dry_run=False)),
    "after she was revoked": ("SESSION_OVER", lambda d, t: d.users.revoke("anna", dry_run=False)),
    "after her roles changed": (
        "SESSION_OVER",
        lambda d, t: d.users.set_roles("anna", (PersonRole.OPERATOR,), dry_run=False),
    ),
    "after a new first password": (
        "SESSION_OVER",
        lambda d, t: d.users.set_first_password("anna", "hash", dry_run=False),
    ),
    "after its key was replaced twice": ("TOKEN_KEY", _rotated_out),
}


def _anna(desk: Desk, token: str) -> Any:
    return desk.people.authenticate(token, a_peer())


@pytest.mark.parametrize("how", SPOILED)
async def test_a_token_that_was_good_is_refused(desk: Desk, how: str) -> None:
    reason, spoil = SPOILED[how]
    desk.add(a_user("anna"))
    token = desk.token("anna")
    assert refusal(desk, bearer(token)) == "accepted"

    await spoil(desk, token)

    assert refusal(desk, bearer(token)) == reason


@pytest.mark.parametrize(
    "how", [name for name, (reason, _) in SPOILED.items() if reason != EXPIRED]
)
async def test_a_token_whose_session_is_over_does_not_renew_it(desk: Desk, how: str) -> None:
    reason, spoil = SPOILED[how]
    desk.add(a_user("anna"))
    token = desk.token("anna")

    await spoil(desk, token)

    assert refusal(desk, bearer(token), method=RENEW) == reason


def test_a_token_is_good_for_the_certificate_it_was_issued_to_alone(desk: Desk) -> None:
    desk.add(a_user("anna"))
    token = desk.token("anna", a_peer(sha256="ab" * 32))

    with pytest.raises(Unauthenticated) as refused:
        desk.admit(bearer(token), peer=a_peer(sha256="ab" * 31 + "ac"))

    assert refused.value.reason == "TOKEN_BINDING"


def test_a_token_of_another_site_with_the_same_people_is_refused(desk: Desk) -> None:
    desk.add(a_user("anna"))
    good = forger(desk)
    theirs = Forger(good.token, Ed25519PrivateKey.generate(), good.kid)

    assert refusal(desk, bearer(theirs.claiming())) == "TOKEN_SIGNATURE"


SHOWN: dict[str, Callable[[str], list[tuple[str, str | bytes]]]] = {
    "twice": lambda token: [bearer(token), bearer(token)],
    "beside another": lambda token: [bearer("x"), bearer(token)],
    "without a scheme": lambda token: [("authorization", token)],
    "with the scheme in small letters": lambda token: [("authorization", f"bearer {token}")],
    "with Basic": lambda token: [("authorization", f"Basic {token}")],
    "with two spaces": lambda token: [("authorization", f"Bearer  {token}")],
    "with the scheme twice": lambda token: [("authorization", f"Bearer Bearer {token}")],
    "as bytes": lambda token: [("authorization", f"Bearer {token}".encode())],
    "as nothing": lambda token: [("authorization", "")],
    "as a scheme alone": lambda token: [("authorization", "Bearer ")],
}


@pytest.mark.parametrize("how", SHOWN)
def test_a_good_token_shown_in_another_way_is_refused(desk: Desk, how: str) -> None:
    desk.add(a_user("anna"))

    assert refusal(desk, *SHOWN[how](desk.token("anna"))) == "TOKEN_FORM"


def test_a_token_in_other_metadata_is_none(desk: Desk) -> None:
    desk.add(a_user("anna"))
    token = desk.token("anna")

    for key in ("Authorization", "authorization-bin", "proxy-authorization", "cookie"):
        assert desk.admit((key, f"Bearer {token}")).person is None


def test_a_token_may_be_ahead_by_five_seconds_and_lives_to_its_last(desk: Desk) -> None:
    desk.add(a_user("anna"))
    good = forger(desk)
    ahead = good.claims["iat"] + 5

    assert refusal(desk, bearer(good.claiming(iat=ahead, nbf=ahead, auth_time=ahead))) == "accepted"
    desk.clock.now += TOKEN_LIFE_MAX - timedelta(microseconds=1)
    assert refusal(desk, bearer(good.token)) == "accepted"


async def test_a_rotated_key_still_reads_what_it_signed(desk: Desk) -> None:
    desk.add(a_user("anna"))
    before = desk.token("anna")

    desk.clock.advance(days=1)
    fresh = desk.token("anna")
    issued = await desk.people.renew(_anna(desk, fresh))

    assert jwt.get_unverified_header(issued.token)["kid"] != jwt.get_unverified_header(fresh)["kid"]
    assert jwt.get_unverified_header(before)["kid"] == jwt.get_unverified_header(fresh)["kid"]
    assert refusal(desk, bearer(fresh)) == refusal(desk, bearer(issued.token)) == "accepted"
    assert len(desk.keys.keys) == 2


async def test_keys_outlive_a_restart_and_two_live_at_most(desk: Desk) -> None:
    desk.add(a_user("anna"))
    for _ in range(3):
        await desk.rotate()
    token = desk.token("anna")

    again = Desk(desk.registry, desk.executor, desk.clock)

    assert refusal(again, bearer(token)) == "accepted"
    assert list(again.keys.keys) == list(desk.keys.keys)
    assert len(again.keys.keys) == 2


async def test_what_is_issued_is_small_and_says_what_it_must(desk: Desk) -> None:
    desk.add(a_user("a" * 63, password_hash=await desk.passwords.hash(PASSWORD)))

    issued = await desk.people.sign_in("a" * 63, PASSWORD, "", a_peer())

    header = jwt.get_unverified_header(issued.token)
    claims = jwt.decode(issued.token, options={"verify_signature": False})
    assert len(issued.token) < TOKEN_CHARACTERS_MAX / 2
    assert header == {"alg": "EdDSA", "kid": next(iter(desk.keys.keys)), "typ": "cordon+jwt"}
    assert claims.keys() == {
        *("iss", "aud", "sub", "jti", "iat", "nbf", "exp", "sid", "auth_time", "cnf")
    }
    assert claims["exp"] - claims["iat"] == RULES.token_life.total_seconds()
    assert claims["cnf"] == {"x5t#S256": encode(bytes.fromhex("ab" * 32))}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=200) | st.binary(max_size=200).map(encode))
def test_whatever_is_no_token_is_refused(desk: Desk, junk: str) -> None:
    assert refusal(desk, bearer(junk)) in ("TOKEN_FORM", "TOKEN_KEY")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6), st.characters(codec="ascii"))
def test_a_token_changed_anywhere_is_refused(desk: Desk, place: int, letter: str) -> None:
    desk.add(a_user("anna"))
    token = desk.token("anna")
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]

    assert (refusal(desk, bearer(changed)) == "accepted") == (changed == token)


@pytest.mark.parametrize(("excess", "reason"), [(0, "TOKEN_KEY"), (1, "TOKEN_FORM")])
def test_a_token_has_so_many_characters_at_most(desk: Desk, excess: int, reason: str) -> None:
    token = f"a.b.{'c' * (TOKEN_CHARACTERS_MAX - 4 + excess)}"

    assert refusal(desk, bearer(token)) == reason
