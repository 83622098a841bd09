"""What a call shows, what becomes of it, and until when it may go on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cordon_server.domain import InvalidInput, NotPermitted, Unauthenticated
from cordon_server.identity.calls import NEVER, Call
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.people import Person
from cordon_server.identity.users import UserRecord, UserState, put_user
from tests.unit.server.persons import RULES, WHO_AM_I, Desk, a_peer, a_user, bearer
from tests.unit.server.rooms import NOON

REASON = "cordon-justification"
SUBSCRIBE = "/cordon.v1.MatchService/SubscribeMatches"
IMPORT = "/cordon.v1.WatchlistService/ImportReferences"
LIST = "/cordon.v1.DeploymentService/ListDeployments"
REVOKE = "/cordon.v1.MachineService/RevokeCertificate"


def reason_of(error: pytest.ExceptionInfo[NotPermitted | Unauthenticated]) -> str:
    return error.value.reason


async def ended(error: object) -> None:
    """What a call is aborted by; no test here gets that far."""


def running(person: Person | None, method: str = SUBSCRIBE) -> Call[Person]:
    return Call(method, a_peer(), person, ended, None)


def an_operator(desk: Desk) -> UserRecord:
    return desk.add(a_user("anna", PersonRole.OPERATOR))


def test_a_call_is_admitted_as_who_made_it_and_why(desk: Desk) -> None:
    desk.add(a_user("anna"))

    admitted = desk.admit(bearer(desk.token()), (REASON, "lost with the van"))

    assert admitted.peer == a_peer()
    assert admitted.person is not None
    assert (admitted.person.user_id, admitted.justification) == ("anna", "lost with the van")


def test_a_method_for_people_wants_one(desk: Desk) -> None:
    with pytest.raises(Unauthenticated, match="sign in with: cordon admin sign-in") as refused:
        desk.admit(method=SUBSCRIBE, peer=a_peer(Role.CONTROL))

    assert reason_of(refused) == "SIGN_IN_NEEDED"


def test_the_machine_is_judged_before_the_token_is_read(desk: Desk) -> None:
    with pytest.raises(NotPermitted, match="is for control certificates and") as refused:
        desk.admit(bearer("junk"), method=SUBSCRIBE)

    assert reason_of(refused) == "WRONG_MACHINE"


def test_a_person_of_another_role_is_told_whose_it_is(desk: Desk) -> None:
    desk.add(a_user("anna", PersonRole.ADMINISTRATOR))
    peer = a_peer(Role.CONTROL)

    with pytest.raises(NotPermitted, match="is for operator, supervisor and anna is") as refused:
        desk.admit(bearer(desk.token()), method=SUBSCRIBE, peer=peer)

    assert reason_of(refused) == "WRONG_ROLE"


@pytest.mark.parametrize(
    "method",
    ["/cordon.v1.IdentityService/SignIn", "/grpc.health.v1.Health/Check"],
)
def test_where_the_certificate_alone_calls_no_token_is_read(desk: Desk, method: str) -> None:
    assert desk.admit(bearer("junk"), bearer("junk"), method=method).person is None


def test_where_a_person_is_optional_a_token_that_is_shown_has_to_be_good(desk: Desk) -> None:
    assert desk.admit(method=WHO_AM_I).person is None
    with pytest.raises(Unauthenticated):
        desk.admit(bearer("junk"), method=WHO_AM_I)


def test_a_password_goes_stale_after_two_minutes(desk: Desk) -> None:
    desk.add(a_user("anna", PersonRole.WATCHLIST_OFFICER))
    token = desk.token()

    desk.clock.now += RULES.fresh_for
    desk.admit(bearer(token), method=IMPORT)
    desk.clock.advance(seconds=1)
    with pytest.raises(NotPermitted, match="cordon admin step-up") as refused:
        desk.admit(bearer(token), method=IMPORT)

    assert reason_of(refused) == "STEP_UP_NEEDED"


def test_a_method_that_wants_a_reason_gets_one_or_is_refused(desk: Desk) -> None:
    desk.add(a_user("anna", PersonRole.ADMINISTRATOR))
    token = desk.token()

    assert desk.admit(bearer(token), (REASON, " stolen "), method=REVOKE).justification == "stolen"
    for empty in ((), ((REASON, ""),), ((REASON, "   "),)):
        with pytest.raises(NotPermitted) as refused:
            desk.admit(bearer(token), *empty, method=REVOKE)
        assert reason_of(refused) == "JUSTIFICATION_NEEDED"


def test_a_reason_may_be_in_any_language(desk: Desk) -> None:
    assert desk.admit((f"{REASON}-bin", "gestohlen, größer".encode())).justification == (
        "gestohlen, größer"
    )


@pytest.mark.parametrize(
    "given",
    [
        [(REASON, "x" * 501)],
        [(REASON, "two\nlines")],
        [(REASON, "bell\a")],
        [(f"{REASON}-bin", "\u202eright to left".encode())],
        [(f"{REASON}-bin", b"\xff\xfe")],
        [(REASON, "one"), (REASON, "two")],
        [(REASON, "one"), (f"{REASON}-bin", b"two")],
        [(REASON, ""), (REASON, "two")],
    ],
)
def test_a_reason_that_cannot_be_kept_is_refused(
    desk: Desk, given: list[tuple[str, str | bytes]]
) -> None:
    with pytest.raises(InvalidInput, match="one line of 500 characters") as refused:
        desk.admit(*given)

    assert refused.value.field == REASON


def test_a_reason_of_five_hundred_characters_is_kept(desk: Desk) -> None:
    assert len(desk.admit((REASON, "x" * 500)).justification) == 500


def test_a_call_without_a_person_goes_on(desk: Desk) -> None:
    assert desk.admission.judge(running(None)) == NEVER


def test_a_running_call_is_good_as_long_as_its_session(desk: Desk) -> None:
    an_operator(desk)
    person = desk.person()

    assert desk.admission.judge(running(person)) == NOON + RULES.idle_max
    desk.clock.now += RULES.idle_max
    with pytest.raises(Unauthenticated) as refused:
        desk.admission.judge(running(person))

    assert reason_of(refused) == "SESSION_EXPIRED"


async def test_a_running_call_goes_on_while_its_session_is_renewed(desk: Desk) -> None:
    an_operator(desk)
    person = desk.person()
    desk.clock.advance(minutes=9)

    await desk.people.renew(person)

    assert desk.admission.judge(running(person)) == desk.clock() + RULES.idle_max


@pytest.mark.serves("R27")
def test_a_running_call_ends_with_the_training(desk: Desk) -> None:
    until = NOON + timedelta(minutes=7)
    desk.add(a_user("anna", PersonRole.OPERATOR, training_expire_time=until))
    person = desk.person()

    assert desk.admission.judge(running(person)) == until
    assert desk.admission.judge(running(person, LIST)) == (NOON + RULES.idle_max)
    desk.clock.now = until
    with pytest.raises(NotPermitted) as refused:
        desk.admission.judge(running(person))

    assert reason_of(refused) == "TRAINING_NEEDED"


def test_a_running_call_does_not_want_the_password_again(desk: Desk) -> None:
    desk.add(a_user("anna", PersonRole.WATCHLIST_OFFICER))
    person = desk.person()
    desk.clock.advance(minutes=20)

    assert desk.admission.judge(running(person, IMPORT)) == NOON + RULES.idle_max


async def test_a_running_call_ends_with_its_session(desk: Desk) -> None:
    an_operator(desk)
    person = desk.person()

    await desk.people.sign_out(person)

    with pytest.raises(Unauthenticated) as refused:
        desk.admission.judge(running(person))
    assert reason_of(refused) == "SESSION_OVER"


@pytest.mark.parametrize("state", [UserState.LOCKED, UserState.REVOKED])
def test_who_is_not_active_is_not_admitted_whatever_session_is_on_record(
    desk: Desk, state: UserState
) -> None:
    user = an_operator(desk)
    token, person = desk.token(), desk.person()
    shut_out = UserRecord(
        user.user_id, "", user.roles, user.password_hash, user.create_time, state=state
    )
    desk.registry.write_now(lambda txn: put_user(txn, shut_out))

    with pytest.raises(Unauthenticated) as refused:
        desk.admit(bearer(token))
    assert reason_of(refused) == "USER_SHUT_OUT"
    with pytest.raises(Unauthenticated):
        desk.admission.judge(running(person))


@pytest.mark.parametrize("method", ["SignOut", "RevokeSessions", "SetUserRoles"])
async def test_a_call_that_ends_its_own_session_is_left_to_answer(desk: Desk, method: str) -> None:
    an_operator(desk)
    person = desk.person()
    await desk.people.sign_out(person)

    assert desk.admission.judge(running(person, f"/cordon.v1.IdentityService/{method}")) == NEVER
