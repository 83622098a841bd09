"""The commands of whoever sits at a workstation: sign-in, sign-out, step-up, whoami, passwd."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import grpc
import typer

from cordon.v1 import identity_pb2
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon_client import person
from cordon_client.channel import call, connected, explained
from cordon_client.cli import (
    IdentityOption,
    OutputOption,
    ServerOption,
    group_name,
    identity_for,
    run,
)
from cordon_client.dates import renewal_wait
from cordon_client.errors import ClientError, ExitCode, Reason, reason_of
from cordon_client.machine import keep, renew
from cordon_client.names import short
from cordon_client.output import Format, emit, local_time, talk
from cordon_client.passwords import PasswordFileOption, can_ask, get_new_password, get_password
from cordon_client.people import person_record
from cordon_client.session import load_session
from cordon_client.times import moment

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

NewPasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--new-password-file",
        metavar="FILE",
        help="Its first line is the password from now on. Else you are asked, twice.",
    ),
]

WHO_COLUMNS = {
    "You": "name",
    "Name": "display_name",
    "Roles": "roles",
    "Trained until": "training_expire_time",
    "Session until": "session_expire_time",
    "Workstation": "spiffe_id",
    "Its certificate until": "certificate_expire_time",
    "You may": "methods",
}


def sign_in(
    user: Annotated[
        str | None, typer.Argument(metavar="USER", help="Who you are; else whoever was last.")
    ] = None,
    password_file: PasswordFileOption = None,
    new_password_file: NewPasswordFileOption = None,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Sign in at this workstation, for some hours or until ten minutes without a command.

    A first password has to be changed: you are asked for a new one. Where the workstation's
    certificate is in the last third of its life, it is renewed first.

    \b
    Examples:
      cordon admin sign-in anna
      cordon control sign-in anna --password-file anna.password
    """
    who = identity_for(group_name(), identity, server)
    name = user or _last_user(who)
    run(_sign_in(who, name, password_file, new_password_file, output))


def sign_out(identity: IdentityOption = None, server: ServerOption = None) -> None:
    """End your session at this workstation, here and on the server.

    \b
    Examples:
      cordon admin sign-out
      cordon control sign-out
    """
    run(_sign_out(identity_for(group_name(), identity, server)))


def step_up(
    password_file: PasswordFileOption = None,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Give your password afresh: some commands want it minutes old at most.

    They revoke, lock, sign somebody out, give roles or a first password, register a signing key,
    lift a hold, import a list. At a terminal they ask by themselves; a script runs this first.

    \b
    Examples:
      cordon admin step-up --password-file anna.password
      cordon control step-up
    """
    run(_step_up(identity_for(group_name(), identity, server), password_file))


def whoami(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show who you are to the server: workstation, person, roles, what you may do.

    \b
    Examples:
      cordon admin whoami
      cordon control whoami -o json
    """
    run(_whoami(identity_for(group_name(), identity, server), output))


def passwd(
    password_file: PasswordFileOption = None,
    new_password_file: NewPasswordFileOption = None,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Change your password. Your sessions at other workstations end.

    \b
    Examples:
      cordon admin passwd
      cordon control passwd
    """
    run(_passwd(identity_for(group_name(), identity, server), password_file, new_password_file))


def _last_user(identity: ClientIdentity) -> str:
    session = load_session(identity.folder)
    if session is not None:
        return short(session.user)
    if not can_ask():
        raise ClientError(
            "Who signs in was not said.",
            hint=f"cordon {identity.role} sign-in USER",
            exit_code=ExitCode.USAGE,
        )
    return str(typer.prompt("Sign in as", err=True))


async def _sign_in(
    identity: ClientIdentity,
    user: str,
    password_file: Path | None,
    new_password_file: Path | None,
    output: Format,
) -> None:
    identity = await _with_a_fresh_certificate(identity)
    password = await asyncio.to_thread(get_password, f"Password of {short(user)}", password_file)
    async with explained(identity):
        try:
            found = await person.sign_in(identity, user, password)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != Reason.PASSWORD_CHANGE_NEEDED:
                raise
            new = await _replacement(error, new_password_file)
            found = await person.sign_in(identity, user, password, new)
    session = load_session(identity.folder)
    assert session is not None
    record = person_record(found) | {"session_expire_time": session.session_expire_time}
    emit([record], WHO_COLUMNS, output, single=True)


async def _replacement(error: grpc.aio.AioRpcError, file: Path | None) -> str:
    """The new password that the server wants; from a script only where it has one."""
    if file is None and not can_ask():
        raise ClientError(
            error.details() or "The password has to be changed.",
            hint="cordon admin sign-in USER --password-file OLD --new-password-file NEW",
            exit_code=ExitCode.CONFLICT,
        ) from error
    if file is None:
        talk("This password was given to you: choose your own.")
    return await asyncio.to_thread(get_new_password, file)


async def _with_a_fresh_certificate(identity: ClientIdentity) -> ClientIdentity:
    """Renewed in the last third of its life: a session ends with its certificate."""
    if renewal_wait(identity.certificate_pem, datetime.now(UTC), is_new=False) > timedelta():
        return identity
    try:
        renewed = await renew(identity)
    except grpc.aio.AioRpcError:
        return identity  # What is wrong with it, the sign-in hears.
    await asyncio.to_thread(keep, renewed)
    talk(f"The certificate of {identity.spiffe_id} was renewed.")
    return renewed


async def _sign_out(identity: ClientIdentity) -> None:
    async with explained(identity):
        was_in = await person.sign_out(identity)
    talk("Signed out." if was_in else "Nobody was signed in.")


async def _step_up(identity: ClientIdentity, password_file: Path | None) -> None:
    session = load_session(identity.folder)
    if session is None:
        raise person.nobody_signed_in(identity)
    await person.renew_if_due(identity)
    question = f"Password of {short(session.user)}"
    password = await asyncio.to_thread(get_password, question, password_file)
    async with explained(identity):
        until = await person.step_up(identity, password)
    talk(f"Your password counts as fresh until {local_time(until)}.")


async def _whoami(identity: ClientIdentity, output: Format) -> None:
    async with connected(identity) as channel:
        method = IdentityServiceStub(channel).WhoAmI
        found = await call(method, identity_pb2.WhoAmIRequest())
    record = {
        **(person_record(found.user) if found.HasField("user") else {"name": None}),
        "session_expire_time": moment(found, "session_expire_time"),
        "spiffe_id": found.spiffe_id,
        "certificate_expire_time": moment(found, "certificate_expire_time"),
        "certificate_sha256": found.certificate_sha256,
        "methods": list(found.methods),
    }
    ours = [short(method) for method in found.methods if method.startswith("/cordon.")]
    shown = record | {"methods": ours}
    emit([shown if output is Format.TABLE else record], WHO_COLUMNS, output, single=True)


async def _passwd(
    identity: ClientIdentity, password_file: Path | None, new_password_file: Path | None
) -> None:
    password = await asyncio.to_thread(get_password, "Your password", password_file)
    new = await asyncio.to_thread(get_new_password, new_password_file)
    request = identity_pb2.ChangePasswordRequest(password=password, new_password=new)
    async with connected(identity) as channel:
        # Once: a wrong password repeated is two wrong passwords.
        await call(IdentityServiceStub(channel).ChangePassword, request, attempts_max=1)
    talk("The password is changed. Your sessions at other workstations are over.")
