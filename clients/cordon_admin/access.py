"""Who is kept out of `cordon admin user`'s people, and let in again: locks, passwords, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import identity_pb2
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon_admin.user import FirstPasswordOption, UserArgument, act
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    ConfirmOption,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    confirm,
    identity_for,
    run,
)
from cordon_client.names import short, user_name
from cordon_client.output import Format, talk
from cordon_client.passwords import new_password, read_password

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity


def lock(
    user: UserArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Keep a person out until unlocked, at once. Wants your password afresh.

    \b
    Example:
      cordon admin user lock anna
    """
    request = identity_pb2.LockUserRequest(
        name=user_name(user), request_id=new_request_id(), validate_only=dry_run
    )
    who = identity_for("admin", identity, server)
    run(act(who, lambda stub: call(stub.LockUser, request), output, dry_run))


def unlock(
    user: UserArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Let a locked person in again, or one who gave too many wrong passwords.

    \b
    Example:
      cordon admin user unlock anna
    """
    request = identity_pb2.UnlockUserRequest(
        name=user_name(user), request_id=new_request_id(), validate_only=dry_run
    )
    who = identity_for("admin", identity, server)
    run(act(who, lambda stub: call(stub.UnlockUser, request), output, dry_run))


def revoke(
    user: UserArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Shut a person out for good, at once. Cannot be undone; wants your password afresh.

    \b
    Example:
      cordon admin user revoke anna
    """
    who = identity_for("admin", identity, server)
    if not dry_run:
        confirm(short(user), confirmed, f"{short(user)} will never sign in again.")
    request = identity_pb2.RevokeUserRequest(
        name=user_name(user), request_id=new_request_id(), validate_only=dry_run
    )
    run(act(who, lambda stub: call(stub.RevokeUser, request), output, dry_run))


def reset_password(
    user: UserArgument,
    password_file: FirstPasswordOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Give a person a new first password, shown once. Wants your own password afresh.

    \b
    Example:
      cordon admin user reset-password anna
    """
    password = read_password(password_file) if password_file else new_password()
    request = identity_pb2.ResetPasswordRequest(
        name=user_name(user),
        password=password,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    who = identity_for("admin", identity, server)
    shown = None if password_file else password
    run(act(who, lambda stub: call(stub.ResetPassword, request), output, dry_run, shown))


def sign_out(
    user: UserArgument,
    session: Annotated[
        str, typer.Option("--session", metavar="ID", help="This one alone; else all of them.")
    ] = "",
    dry_run: DryRunOption = False,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """End a person's sessions at every workstation, at once. Wants your password afresh.

    \b
    Example:
      cordon admin user sign-out anna
    """
    request = identity_pb2.RevokeSessionsRequest(
        name=user_name(user),
        session_id=session,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_sign_out(identity_for("admin", identity, server), request))


async def _sign_out(identity: ClientIdentity, request: identity_pb2.RevokeSessionsRequest) -> None:
    async with connected(identity) as channel:
        response = await call(IdentityServiceStub(channel).RevokeSessions, request)
    talk(
        f"{short(request.name)} could be signed out; nothing was changed."
        if request.validate_only
        else f"Sessions ended: {response.sessions_revoked}."
    )
