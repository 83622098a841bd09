"""The person at a workstation: signs in, renews the token in silence, gives the password afresh.

What the server answers is kept in the identity folder's session file, where every channel looks.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc

from cordon.v1 import identity_pb2
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon_client import passwords
from cordon_client.errors import (
    ClientError,
    ExitCode,
    Reason,
    from_rpc,
    reason_of,
    sign_in_command,
    wants_sign_in,
)
from cordon_client.names import short, user_name
from cordon_client.output import talk
from cordon_client.session import (
    CurrentToken,
    forget_session,
    from_token,
    load_session,
    save_session,
)
from cordon_client.transport import machine_channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from cordon.v1.identity_pb2_grpc import IdentityServiceAsyncStub
    from cordon_client.identity import ClientIdentity

_TIMEOUT_S = 30.0


async def sign_in(
    identity: ClientIdentity, user: str, password: str, new_password: str = ""
) -> identity_pb2.User:
    """Opens a session and keeps it; raises AioRpcError."""
    request = identity_pb2.SignInRequest(
        name=user_name(user), password=password, new_password=new_password
    )
    async with machine_channel(identity) as channel:
        response = await IdentityServiceStub(channel).SignIn(request, timeout=_TIMEOUT_S)
    save_session(identity.folder, from_token(response.user.name, response.token))
    return response.user


async def sign_out(identity: ClientIdentity) -> bool:
    """Ends the session here and on the server; False where nobody was signed in."""
    if load_session(identity.folder) is None:
        return False
    try:
        async with _identity_service(identity) as (stub, metadata):
            request = identity_pb2.SignOutRequest()
            await stub.SignOut(request, metadata=metadata, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
    forget_session(identity.folder)
    return True


async def renew_token(identity: ClientIdentity) -> None:
    """The next token of the session; raises AioRpcError."""
    async with _identity_service(identity) as (stub, metadata):
        request = identity_pb2.RenewTokenRequest()
        response = await stub.RenewToken(request, metadata=metadata, timeout=_TIMEOUT_S)
    _keep(identity.folder, response.token)


async def step_up(identity: ClientIdentity, password: str) -> datetime:
    """Gives the password afresh; until when that opens methods that want it so."""
    async with _identity_service(identity) as (stub, metadata):
        request = identity_pb2.StepUpRequest(password=password)
        response = await stub.StepUp(request, metadata=metadata, timeout=_TIMEOUT_S)
    _keep(identity.folder, response.token)
    return response.fresh_until.ToDatetime(UTC)


async def renew_if_due(identity: ClientIdentity) -> None:
    """Renews the token where it is time; what the server has against it, the next call hears."""
    session = load_session(identity.folder)
    if session is None or not session.is_due(datetime.now(UTC)):
        return
    try:
        await renew_token(identity)
    except grpc.aio.AioRpcError:
        return


async def mend(error: grpc.aio.AioRpcError, identity: ClientIdentity) -> bool:
    """Does what the server asks a person for, if it asks; True where the call may be repeated.

    A terminal is asked at, a script's password file is read; where there is neither, False.
    """
    reason = reason_of(error)
    if wants_sign_in(reason):
        return await _renewed(identity) or await _signed_in_again(identity)
    return reason == Reason.STEP_UP_NEEDED and await _stepped_up(identity)


async def _renewed(identity: ClientIdentity) -> bool:
    if load_session(identity.folder) is None:
        return False
    try:
        await renew_token(identity)
    except grpc.aio.AioRpcError:
        return False
    return True


async def _signed_in_again(identity: ClientIdentity) -> bool:
    session = load_session(identity.folder)
    file = passwords.file_of_script()
    if session is None or not (file or passwords.can_ask()):
        return False
    user = short(session.user)
    talk(f"The session of {user} is over.")
    question = f"Password of {user}"
    password = await asyncio.to_thread(passwords.get_password, question, file)
    await _or_in_words(sign_in(identity, user, password), identity)
    return True


async def _stepped_up(identity: ClientIdentity) -> bool:
    session = load_session(identity.folder)
    file = passwords.file_of_script()
    if session is None or not (file or passwords.can_ask()):
        return False
    question = f"This needs the password of {short(session.user)} again"
    password = await asyncio.to_thread(passwords.get_password, question, file)
    await _or_in_words(step_up(identity, password), identity)
    return True


@asynccontextmanager
async def staying_signed_in(identity: ClientIdentity) -> AsyncIterator[grpc.CallCredentials]:
    """What puts the session's token on each call of a channel; renewed while the block runs."""
    await renew_if_due(identity)
    renewing = asyncio.create_task(_renew_on(identity))
    try:
        yield grpc.metadata_call_credentials(_Bearer(identity.folder), "cordon")
    finally:
        renewing.cancel()


class Mending(grpc.aio.UnaryUnaryClientInterceptor):
    """Repeats a call once the person has done what the server asked for; once."""

    def __init__(self, identity: ClientIdentity) -> None:
        self._identity = identity
        self._asking = asyncio.Lock()

    async def intercept_unary_unary(  # type: ignore[no-untyped-def]  # grpcio's are untyped
        self, continuation, client_call_details, request
    ):
        """As grpcio calls it."""
        first = await continuation(client_call_details, request)
        if await first.code() is grpc.StatusCode.OK:
            return first
        try:
            await first
        except grpc.aio.AioRpcError as error:
            async with self._asking:
                if not await mend(error, self._identity):
                    return first
        return await continuation(client_call_details, request)


class _Bearer(grpc.AuthMetadataPlugin):
    """Reads the token for each call, from a thread of gRPC's."""

    def __init__(self, folder: Path) -> None:
        self._current = CurrentToken(folder)

    def __call__(
        self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback
    ) -> None:
        token = self._current.read()
        callback((("authorization", f"Bearer {token}"),) if token else (), None)


_LOOK_EVERY_S = 15.0


async def _renew_on(identity: ClientIdentity) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        with suppress(ClientError):  # A damaged file; the next command says so.
            await renew_if_due(identity)


@asynccontextmanager
async def _identity_service(
    identity: ClientIdentity,
) -> AsyncIterator[tuple[IdentityServiceAsyncStub, tuple[tuple[str, str], ...]]]:
    """The service and the session's token as metadata; a ClientError where nobody is signed in."""
    session = load_session(identity.folder)
    if session is None:
        raise nobody_signed_in(identity)
    async with machine_channel(identity) as channel:
        yield IdentityServiceStub(channel), (("authorization", f"Bearer {session.token}"),)


def signed_in_user(identity: ClientIdentity) -> str:
    """ "users/{user}" of whoever is signed in at the workstation; a ClientError where nobody is."""
    session = load_session(identity.folder)
    if session is None:
        raise nobody_signed_in(identity)
    return session.user


def nobody_signed_in(identity: ClientIdentity) -> ClientError:
    """Says how to sign in."""
    return ClientError(
        f"Nobody is signed in with {identity.folder}.",
        why="A certificate says which workstation this is; who works at it says a person.",
        hint=sign_in_command(identity),
        exit_code=ExitCode.SIGN_IN,
    )


async def _or_in_words(asking: Awaitable[object], identity: ClientIdentity) -> None:
    """A refusal of what a person was just asked for, as that person may read it."""
    try:
        await asking
    except grpc.aio.AioRpcError as error:
        raise await asyncio.to_thread(from_rpc, error, identity) from error


def _keep(folder: Path, token: identity_pb2.Token) -> None:
    session = load_session(folder)
    if session is not None:  # Signed out meanwhile: stay so.
        save_session(folder, from_token(session.user, token))
