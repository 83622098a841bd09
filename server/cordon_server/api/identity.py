"""IdentityService: people, their sign-in and who they are, translated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from cordon.v1 import identity_pb2, identity_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.calls import once
from cordon_server.api.edge import Context, caller, signed_in, the_person
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.domain import NotFound, Unauthenticated
from cordon_server.identity.admission import outlives_session, permitted
from cordon_server.identity.calls import Call, LiveCalls
from cordon_server.identity.names import PersonRole
from cordon_server.identity.people import Issued, People, Person
from cordon_server.identity.tokens import SIGN_IN
from cordon_server.identity.users import UserRecord, Users, UserState
from cordon_server.store.requests import Message, RequestLedger

ROLES: dict[identity_pb2.UserRole.ValueType, PersonRole] = {
    identity_pb2.USER_ROLE_OPERATOR: PersonRole.OPERATOR,
    identity_pb2.USER_ROLE_SUPERVISOR: PersonRole.SUPERVISOR,
    identity_pb2.USER_ROLE_WATCHLIST_OFFICER: PersonRole.WATCHLIST_OFFICER,
    identity_pb2.USER_ROLE_AUTHORISING_OFFICER: PersonRole.AUTHORISING_OFFICER,
    identity_pb2.USER_ROLE_AUDITOR: PersonRole.AUDITOR,
    identity_pb2.USER_ROLE_ADMINISTRATOR: PersonRole.ADMINISTRATOR,
}
_ROLES_BACK = {role: value for value, role in ROLES.items()}
STATES = {
    UserState.ACTIVE: identity_pb2.USER_STATE_ACTIVE,
    UserState.LOCKED: identity_pb2.USER_STATE_LOCKED,
    UserState.REVOKED: identity_pb2.USER_STATE_REVOKED,
}
Alteration = (
    identity_pb2.SetUserRolesRequest
    | identity_pb2.ResetPasswordRequest
    | identity_pb2.LockUserRequest
    | identity_pb2.RevokeUserRequest
)
M = TypeVar("M", bound=Message)


class Alter(Protocol):
    """Alters a person on record."""

    def __call__(self, user_id: str, *, dry_run: bool) -> Awaitable[UserRecord]: ...


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """Serves people."""

    def __init__(
        self,
        people: People,
        users: Users,
        calls: LiveCalls[Person],
        ledger: RequestLedger,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._people = people
        self._users = users
        self._calls = calls
        self._ledger = ledger
        self._clock = clock

    # What a person does for himself.

    async def SignIn(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.SignInRequest, context: Context
    ) -> identity_pb2.SignInResponse:
        user_id = convert.last_part(request.name)
        issued = await self._people.sign_in(
            user_id, request.password, request.new_password, caller()
        )
        if request.new_password:
            self._end_calls(user_id, but=issued.session_id)
        return identity_pb2.SignInResponse(token=_token(issued), user=_user(issued.user))

    async def RenewToken(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.RenewTokenRequest, context: Context
    ) -> identity_pb2.RenewTokenResponse:
        issued = await self._people.renew(the_person())
        return identity_pb2.RenewTokenResponse(token=_token(issued))

    async def StepUp(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.StepUpRequest, context: Context
    ) -> identity_pb2.StepUpResponse:
        issued = await self._people.step_up(the_person(), request.password, caller())
        return identity_pb2.StepUpResponse(
            token=_token(issued), fresh_until=convert.timestamp(issued.fresh_until)
        )

    async def SignOut(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.SignOutRequest, context: Context
    ) -> identity_pb2.SignOutResponse:
        person = the_person()
        await self._people.sign_out(person)
        self._end_calls(person.user_id, session_id=person.session_id)
        return identity_pb2.SignOutResponse()

    async def WhoAmI(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.WhoAmIRequest, context: Context
    ) -> identity_pb2.WhoAmIResponse:
        peer, person = caller(), signed_in()
        answer = identity_pb2.WhoAmIResponse(
            spiffe_id=str(peer.spiffe_id),
            certificate_expire_time=convert.timestamp(peer.not_after),
            certificate_sha256=peer.sha256,
            methods=permitted(peer, person, self._clock()),
        )
        if person is not None:
            user, session_expire_time = self._people.record(person)
            answer.user.CopyFrom(_user(user))
            answer.session_expire_time.CopyFrom(convert.timestamp(session_expire_time))
        return answer

    async def ChangePassword(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.ChangePasswordRequest, context: Context
    ) -> identity_pb2.ChangePasswordResponse:
        person = the_person()
        await self._people.change_password(person, request.password, request.new_password, caller())
        self._end_calls(person.user_id, but=person.session_id)
        return identity_pb2.ChangePasswordResponse()

    # What an administrator does.

    async def CreateUser(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.CreateUserRequest, context: Context
    ) -> identity_pb2.CreateUserResponse:
        wanted = request.user

        async def act() -> identity_pb2.CreateUserResponse:
            record = await self._users.create(
                request.user_id,
                display_name=wanted.display_name,
                roles=_roles(wanted.roles),
                training_expire_time=convert.optional_moment(
                    wanted, "training_expire_time", "user.training_expire_time"
                ),
                password_hash=await self._people.first_hash(
                    request.password, known=(request.user_id, wanted.display_name)
                ),
                dry_run=request.validate_only,
            )
            return identity_pb2.CreateUserResponse(user=_user(record))

        return await self._once(request, identity_pb2.CreateUserResponse(), act)

    async def GetUser(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.GetUserRequest, context: Context
    ) -> identity_pb2.GetUserResponse:
        record = await self._users.get(convert.last_part(request.name))
        return identity_pb2.GetUserResponse(user=_user(record))

    async def ListUsers(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.ListUsersRequest, context: Context
    ) -> identity_pb2.ListUsersResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found = await self._users.page(convert.after_token(request.page_token), size + 1)
        page = found[:size]
        return identity_pb2.ListUsersResponse(
            users=[_user(each) for each in page],
            next_page_token=convert.page_token(page[-1].user_id) if len(found) > size else "",
        )

    async def SetUserRoles(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.SetUserRolesRequest, context: Context
    ) -> identity_pb2.SetUserRolesResponse:
        async def act() -> identity_pb2.SetUserRolesResponse:
            record = await self._shut_out(
                request,
                lambda user_id, *, dry_run: self._users.set_roles(
                    user_id, _roles(request.roles), dry_run=dry_run
                ),
            )
            return identity_pb2.SetUserRolesResponse(user=_user(record))

        return await self._once(request, identity_pb2.SetUserRolesResponse(), act)

    async def SetUserTraining(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.SetUserTrainingRequest, context: Context
    ) -> identity_pb2.SetUserTrainingResponse:
        async def act() -> identity_pb2.SetUserTrainingResponse:
            record = await self._users.set_training(
                convert.last_part(request.name),
                convert.optional_moment(request, "training_expire_time", "training_expire_time"),
                dry_run=request.validate_only,
            )
            return identity_pb2.SetUserTrainingResponse(user=_user(record))

        return await self._once(request, identity_pb2.SetUserTrainingResponse(), act)

    async def ResetPassword(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.ResetPasswordRequest, context: Context
    ) -> identity_pb2.ResetPasswordResponse:
        async def reset(user_id: str, *, dry_run: bool) -> UserRecord:
            kept = await self._people.first_hash(request.password, known=(user_id,))
            record = await self._users.set_first_password(user_id, kept, dry_run=dry_run)
            if not dry_run:
                self._people.lift_lock_out(user_id)
            return record

        async def act() -> identity_pb2.ResetPasswordResponse:
            return identity_pb2.ResetPasswordResponse(
                user=_user(await self._shut_out(request, reset))
            )

        return await self._once(request, identity_pb2.ResetPasswordResponse(), act)

    async def LockUser(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.LockUserRequest, context: Context
    ) -> identity_pb2.LockUserResponse:
        async def act() -> identity_pb2.LockUserResponse:
            record = await self._shut_out(request, self._users.lock)
            return identity_pb2.LockUserResponse(user=_user(record))

        return await self._once(request, identity_pb2.LockUserResponse(), act)

    async def UnlockUser(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.UnlockUserRequest, context: Context
    ) -> identity_pb2.UnlockUserResponse:
        user_id = convert.last_part(request.name)

        async def act() -> identity_pb2.UnlockUserResponse:
            record = await self._users.unlock(user_id, dry_run=request.validate_only)
            if not request.validate_only:
                self._people.lift_lock_out(user_id)
            return identity_pb2.UnlockUserResponse(user=_user(record))

        return await self._once(request, identity_pb2.UnlockUserResponse(), act)

    async def RevokeUser(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.RevokeUserRequest, context: Context
    ) -> identity_pb2.RevokeUserResponse:
        async def act() -> identity_pb2.RevokeUserResponse:
            record = await self._shut_out(request, self._users.revoke)
            return identity_pb2.RevokeUserResponse(user=_user(record))

        return await self._once(request, identity_pb2.RevokeUserResponse(), act)

    async def RevokeSessions(  # noqa: N802  # gRPC's name
        self, request: identity_pb2.RevokeSessionsRequest, context: Context
    ) -> identity_pb2.RevokeSessionsResponse:
        user_id = convert.last_part(request.name)

        async def act() -> identity_pb2.RevokeSessionsResponse:
            await self._users.get(user_id)
            count = await self._people.end_sessions(
                user_id, request.session_id, dry_run=request.validate_only
            )
            if request.session_id and not count:
                raise NotFound(f"{user_id} has no session {request.session_id}; it may be over")
            if not request.validate_only:
                self._end_calls(user_id, session_id=request.session_id)
            return identity_pb2.RevokeSessionsResponse(sessions_revoked=count)

        return await self._once(request, identity_pb2.RevokeSessionsResponse(), act)

    # How.

    async def _once(self, request: Any, response: M, act: Callable[[], Awaitable[M]]) -> M:
        """Once per request id. What the ledger keeps of a request says nothing of a password."""
        compared = type(request).FromString(request.SerializeToString())
        if "password" in request.DESCRIPTOR.fields_by_name:
            compared.password = ""
        return await once(self._ledger, compared, response, act)

    async def _shut_out(self, request: Alteration, alter: Alter) -> UserRecord:
        """Alters a person and ends what he has running."""
        user_id = convert.last_part(request.name)
        record = await alter(user_id, dry_run=request.validate_only)
        if not request.validate_only:
            self._end_calls(user_id)
        return record

    def _end_calls(self, user_id: str, *, session_id: str = "", but: str = "") -> None:
        """Ends a person's running calls: of one session, or of all but one."""

        def is_ended(call: Call[Person]) -> bool:
            person = call.person
            return (
                person is not None
                and person.user_id == user_id
                and session_id in ("", person.session_id)
                and but != person.session_id
                and not outlives_session(call.method)
            )

        self._calls.end(
            is_ended,
            Unauthenticated(f"the session was ended; {SIGN_IN}", reason="SESSION_OVER"),
        )


def _roles(values: Iterable[identity_pb2.UserRole.ValueType]) -> tuple[PersonRole, ...]:
    return tuple(ROLES[value] for value in values)


def _token(issued: Issued) -> identity_pb2.Token:
    return identity_pb2.Token(
        token=issued.token,
        expire_time=convert.timestamp(issued.expire_time),
        session_expire_time=convert.timestamp(issued.session_expire_time),
        session_id=issued.session_id,
    )


def _user(record: UserRecord) -> identity_pb2.User:
    user = identity_pb2.User(
        name=f"users/{record.user_id}",
        display_name=record.display_name,
        roles=[_ROLES_BACK[role] for role in record.roles],
        state=STATES[record.state],
        must_change_password=record.must_change_password,
        create_time=convert.timestamp(record.create_time),
    )
    if record.training_expire_time is not None:
        user.training_expire_time.CopyFrom(convert.timestamp(record.training_expire_time))
    if record.sign_in_time is not None:
        user.sign_in_time.CopyFrom(convert.timestamp(record.sign_in_time))
    return user
