"""People over the wire: what each method answers, and whose calls end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import identity_pb2 as pb
from cordon_server.api import convert, edge
from cordon_server.api.identity import ROLES, STATES, IdentityServicer
from cordon_server.domain import CordonError, InvalidInput, NotFound, Unauthenticated
from cordon_server.identity.admission import Admitted
from cordon_server.identity.calls import Call, LiveCalls
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.people import Person
from cordon_server.identity.users import UserRecord, UserState
from cordon_server.store.requests import REQUESTS, RequestLedger
from tests.unit.server.persons import PASSWORD, Desk, a_peer, a_user
from tests.unit.server.signing import NEW

SUBSCRIBE = "/cordon.v1.MatchService/SubscribeMatches"
LONG_AGO = Timestamp(seconds=1_000_000_000)
REQUEST_ID = "0a1b2c3d-0000-4000-8000-00000000000a"
CONTEXT = cast(edge.Context, None)
"""None of these methods asks it anything."""


class Office:
    """The service, an administrator who calls it, and Anna with two calls that run."""

    def __init__(self, desk: Desk, anna: UserRecord) -> None:
        self.desk = desk
        self.calls: LiveCalls[Person] = LiveCalls([desk.admission.judge], clock=desk.clock)
        self.servicer = IdentityServicer(
            desk.people,
            desk.users,
            self.calls,
            RequestLedger(desk.registry, clock=desk.clock),
            clock=desk.clock,
        )
        desk.add(a_user("boss", PersonRole.ADMINISTRATOR, password_hash=anna.password_hash))
        self.boss = desk.person("boss")
        self.sessions = [desk.person("anna"), desk.person("anna")]
        self.running = [self._call(person) for person in (*self.sessions, self.boss)]
        self.own = self._call(self.boss, "/cordon.v1.IdentityService/LockUser")
        self.as_(self.boss)

    def as_(self, person: Person | None, role: Role = Role.ADMIN) -> None:
        """Who calls from now on."""
        edge._ADMITTED.set(Admitted(a_peer(role), person, ""))

    @property
    def ended(self) -> list[bool]:
        """Of Anna's two calls and the administrator's, which were ended."""
        assert self.own.ended_by is None, "a call is not ended by what it does itself"
        return [call.ended_by is not None for call in self.running]

    def _call(self, person: Person, method: str = SUBSCRIBE) -> Call[Person]:
        async def abort(error: CordonError) -> None:
            """Told by `ended_by`; nothing runs here."""

        call = Call(method, a_peer(), person, abort, None)
        self.calls._calls.add(call)
        return call


@pytest.fixture
async def office(desk: Desk, anna: UserRecord) -> Office:
    return Office(desk, anna)


Act = Callable[[Office], Awaitable[Any]]


async def sign_in(office: Office, **parts: str) -> pb.SignInResponse:
    request = pb.SignInRequest(name="users/anna", password=PASSWORD, **parts)
    office.as_(None)
    return await office.servicer.SignIn(request, CONTEXT)


async def test_signing_in_answers_with_a_token_and_who_it_is_for(office: Office) -> None:
    answer = await sign_in(office)

    person = office.desk.people.authenticate(answer.token.token, a_peer())
    assert answer.user.name == "users/anna"
    assert answer.token.session_id == person.session_id
    assert answer.token.expire_time.ToDatetime() < answer.token.session_expire_time.ToDatetime()
    assert answer.user.HasField("sign_in_time")
    assert office.ended == [False, False, False]


async def test_tokens_are_renewed_and_stepped_up(office: Office) -> None:
    office.as_(office.sessions[0])
    office.desk.clock.advance(minutes=3)

    renewed = await office.servicer.RenewToken(pb.RenewTokenRequest(), CONTEXT)
    stepped = await office.servicer.StepUp(pb.StepUpRequest(password=PASSWORD), CONTEXT)

    now = convert.timestamp(office.desk.clock())
    assert renewed.token.session_id == stepped.token.session_id == office.sessions[0].session_id
    assert stepped.fresh_until.seconds == now.seconds + 120


async def test_who_am_i_says_who_from_where_and_what_he_may(office: Office) -> None:
    office.as_(office.boss)
    answer = await office.servicer.WhoAmI(pb.WhoAmIRequest(), CONTEXT)
    office.as_(None, Role.CONTROL)
    nobody = await office.servicer.WhoAmI(pb.WhoAmIRequest(), CONTEXT)

    assert (answer.user.name, answer.spiffe_id) == ("users/boss", str(a_peer().spiffe_id))
    assert answer.certificate_sha256 == a_peer().sha256
    assert answer.HasField("session_expire_time")
    assert "/cordon.v1.IdentityService/LockUser" in answer.methods
    assert not nobody.HasField("user")
    assert not nobody.HasField("session_expire_time")
    assert "/cordon.v1.IdentityService/SignIn" in nobody.methods
    assert "/cordon.v1.IdentityService/LockUser" not in nobody.methods


async def signing_out(office: Office) -> None:
    office.as_(office.sessions[0])
    await office.servicer.SignOut(pb.SignOutRequest(), CONTEXT)


async def changing_the_password(office: Office) -> None:
    office.as_(office.sessions[0])
    request = pb.ChangePasswordRequest(password=PASSWORD, new_password=NEW)
    await office.servicer.ChangePassword(request, CONTEXT)


async def revoking_one(office: Office) -> None:
    request = pb.RevokeSessionsRequest(name="users/anna", session_id=office.sessions[1].session_id)
    assert (await office.servicer.RevokeSessions(request, CONTEXT)).sessions_revoked == 1


async def revoking_all(office: Office) -> None:
    request = pb.RevokeSessionsRequest(name="users/anna")
    assert (await office.servicer.RevokeSessions(request, CONTEXT)).sessions_revoked == 2


ENDINGS: dict[str, tuple[Act, list[bool]]] = {
    "signing in": (sign_in, [False, False, False]),
    "signing in with a new password": (
        lambda o: sign_in(o, new_password=NEW),
        [True, True, False],
    ),
    "signing out": (signing_out, [True, False, False]),
    "changing the password": (changing_the_password, [False, True, False]),
    "revoking one session": (revoking_one, [False, True, False]),
    "revoking all": (revoking_all, [True, True, False]),
    "roles": (
        lambda o: o.servicer.SetUserRoles(
            pb.SetUserRolesRequest(name="users/anna", roles=[pb.USER_ROLE_AUDITOR]), CONTEXT
        ),
        [True, True, False],
    ),
    "a new first password": (
        lambda o: o.servicer.ResetPassword(
            pb.ResetPasswordRequest(name="users/anna", password=NEW), CONTEXT
        ),
        [True, True, False],
    ),
    "locking": (
        lambda o: o.servicer.LockUser(pb.LockUserRequest(name="users/anna"), CONTEXT),
        [True, True, False],
    ),
    "revoking": (
        lambda o: o.servicer.RevokeUser(pb.RevokeUserRequest(name="users/anna"), CONTEXT),
        [True, True, False],
    ),
    "unlocking": (
        lambda o: o.servicer.UnlockUser(pb.UnlockUserRequest(name="users/anna"), CONTEXT),
        [False, False, False],
    ),
    "training": (
        lambda o: o.servicer.SetUserTraining(pb.SetUserTrainingRequest(name="users/anna"), CONTEXT),
        [False, False, False],
    ),
}


@pytest.mark.parametrize("how", ENDINGS)
async def test_the_calls_of_what_has_ended_end_and_no_others(office: Office, how: str) -> None:
    act, ended = ENDINGS[how]

    await act(office)

    assert office.ended == ended
    for call in office.running:
        assert call.ended_by is None or isinstance(call.ended_by, Unauthenticated)


TRIALS: dict[str, Any] = {
    "SetUserRoles": pb.SetUserRolesRequest(roles=[pb.USER_ROLE_AUDITOR]),
    "ResetPassword": pb.ResetPasswordRequest(password=NEW),
    "LockUser": pb.LockUserRequest(),
    "RevokeUser": pb.RevokeUserRequest(),
    "RevokeSessions": pb.RevokeSessionsRequest(),
}


@pytest.mark.parametrize("method", TRIALS)
async def test_a_trial_ends_nothing(office: Office, method: str) -> None:
    request = TRIALS[method]
    request.name, request.validate_only = "users/anna", True

    await getattr(office.servicer, method)(request, CONTEXT)

    assert office.ended == [False, False, False]
    assert office.desk.session_count("anna") == 2


async def test_a_person_is_registered_shown_and_listed(office: Office) -> None:
    user = pb.User(
        name="users/ignored",
        display_name="Otto",
        roles=[pb.USER_ROLE_SUPERVISOR, pb.USER_ROLE_OPERATOR],
        training_expire_time=LONG_AGO,
    )
    request = pb.CreateUserRequest(user_id="otto", user=user, password=NEW)

    made = (await office.servicer.CreateUser(request, CONTEXT)).user
    shown = (await office.servicer.GetUser(pb.GetUserRequest(name="users/otto"), CONTEXT)).user
    first = await office.servicer.ListUsers(pb.ListUsersRequest(page_size=2), CONTEXT)
    rest = await office.servicer.ListUsers(
        pb.ListUsersRequest(page_token=first.next_page_token), CONTEXT
    )

    assert made == shown
    assert (made.name, made.display_name, made.state) == ("users/otto", "Otto", 1)
    assert list(made.roles) == [pb.USER_ROLE_OPERATOR, pb.USER_ROLE_SUPERVISOR]
    assert made.training_expire_time == LONG_AGO
    assert made.must_change_password
    listed = [each.name for each in (*first.users, *rest.users)]
    assert listed == ["users/anna", "users/boss", "users/otto"]
    assert not rest.next_page_token


async def test_a_first_password_has_to_be_good(office: Office) -> None:
    for password in ("short", "anna-anna-anna"):
        with pytest.raises(InvalidInput):
            await office.servicer.ResetPassword(
                pb.ResetPasswordRequest(name="users/anna", password=password), CONTEXT
            )
    with pytest.raises(InvalidInput):
        await office.servicer.CreateUser(
            pb.CreateUserRequest(user_id="otto", user=pb.User(), password="otto-otto-otto"), CONTEXT
        )


async def test_a_session_that_is_not_his_is_not_found(office: Office) -> None:
    for name, session_id in (("anna", office.boss.session_id), ("nobody", "")):
        with pytest.raises(NotFound):
            await office.servicer.RevokeSessions(
                pb.RevokeSessionsRequest(name=f"users/{name}", session_id=session_id), CONTEXT
            )


async def test_a_request_sent_again_has_no_second_effect_and_leaves_no_password(
    office: Office,
) -> None:
    request = pb.ResetPasswordRequest(name="users/anna", password=NEW, request_id=REQUEST_ID)
    first = await office.servicer.ResetPassword(request, CONTEXT)
    kept = (await office.desk.users.get("anna")).password_hash

    request.password = PASSWORD
    again = await office.servicer.ResetPassword(request, CONTEXT)

    assert again == first
    assert (await office.desk.users.get("anna")).password_hash == kept
    # What is kept of the request is the same whatever the password: nothing to guess it by.
    records = office.desk.registry.read_now(lambda txn: [each for _, each in txn.scan(REQUESTS)])
    assert len(records) == 1


async def test_one_administrators_request_id_is_not_anothers(office: Office) -> None:
    request = pb.LockUserRequest(name="users/anna", request_id=REQUEST_ID)
    await office.servicer.LockUser(request, CONTEXT)
    office.desk.add(a_user("other", PersonRole.ADMINISTRATOR))
    office.as_(office.desk.person("other"))

    await office.desk.users.unlock("anna", dry_run=False)
    await office.servicer.LockUser(request, CONTEXT)

    assert (await office.desk.users.get("anna")).state is UserState.LOCKED


def test_every_role_and_state_has_its_word_on_the_wire() -> None:
    assert set(ROLES.values()) == set(PersonRole)
    assert {pb.UserRole.Name(value) for value in ROLES} == {
        f"USER_ROLE_{role.name}" for role in PersonRole
    }
    assert {pb.UserState.Name(value) for value in STATES.values()} == {
        f"USER_STATE_{state.name}" for state in UserState
    }
