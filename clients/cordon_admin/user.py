"""`cordon admin user`: the people who use the system, and what each may do."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import identity_pb2
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    new_app,
    run,
)
from cordon_client.lazy import Lazy, LazyGroup
from cordon_client.names import short, user_name
from cordon_client.output import Format, emit, talk
from cordon_client.passwords import new_password, read_password
from cordon_client.people import person_record
from cordon_client.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cordon.v1.identity_pb2_grpc import IdentityServiceAsyncStub
    from cordon_client.identity import ClientIdentity


class Access(LazyGroup):
    """What keeps people out and lets them in, beside the commands below."""

    table = {  # noqa: RUF012 - the base declares it ClassVar
        "lock": Lazy("cordon_admin.access:lock", "Keep a person out until unlocked."),
        "unlock": Lazy("cordon_admin.access:unlock", "Let a locked person in again."),
        "revoke": Lazy("cordon_admin.access:revoke", "Shut a person out for good."),
        "reset-password": Lazy("cordon_admin.access:reset_password", "Give a new password."),
        "sign-out": Lazy("cordon_admin.access:sign_out", "End a person's sessions."),
    }


app = new_app(
    """The people who use the system, and what each may do.

    \b
    Example:
      cordon admin user add anna --role operator --trained-until 2027-01-31
    """,
    cls=Access,
)


class Role(StrEnum):
    """What a person may do."""

    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    WATCHLIST_OFFICER = "watchlist_officer"
    AUTHORISING_OFFICER = "authorising_officer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


COLUMNS = {
    "NAME": "id",
    "DISPLAY NAME": "display_name",
    "ROLES": "roles",
    "STATE": "state",
    "TRAINED UNTIL": "training_expire_time",
    "LAST SIGN-IN": "sign_in_time",
}

DETAILS = {
    "Name": "id",
    "Display name": "display_name",
    "Roles": "roles",
    "State": "state",
    "Trained until": "training_expire_time",
    "Has to change the password": "must_change_password",
    "Registered": "create_time",
    "Last sign-in": "sign_in_time",
    "First password": "password",
}

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Which person.")]
FirstPasswordOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="Its first line is the first password; - for standard input. Else one is made up.",
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--trained-until", metavar="TIME", help="Until when training counts.")
]


class HasUser(Protocol):
    """An answer with a person in it."""

    @property
    def user(self) -> identity_pb2.User:
        """He."""


@app.command()
def add(
    user: UserArgument,
    role: Annotated[list[Role], typer.Option("--role", help="What he may do; repeat it.")],
    display_name: Annotated[
        str, typer.Option("--display-name", help='For people ("Anna Berg").')
    ] = "",
    trained_until: UntilOption = None,
    password_file: FirstPasswordOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Register a person. The first password is shown once, and changed at the first sign-in.

    \b
    Examples:
      cordon admin user add anna --role operator --trained-until 2027-01-31
      cordon admin user add ben --role watchlist_officer --password-file ben.password
    """
    password = read_password(password_file) if password_file else new_password()
    request = identity_pb2.CreateUserRequest(
        user_id=short(user),
        user=identity_pb2.User(
            display_name=display_name,
            roles=_roles(role),
            training_expire_time=_stamp(trained_until) if trained_until else None,
        ),
        password=password,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    who = identity_for("admin", identity, server)
    shown = None if password_file else password
    run(act(who, lambda stub: call(stub.CreateUser, request), output, dry_run, shown))


@app.command("list")
def list_(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List the people with their roles.

    \b
    Example:
      cordon admin user list
    """
    run(_list(identity_for("admin", identity, server), output))


@app.command()
def show(
    user: UserArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show one person.

    \b
    Example:
      cordon admin user show anna
    """
    request = identity_pb2.GetUserRequest(name=user_name(user))
    who = identity_for("admin", identity, server)
    run(act(who, lambda stub: call(stub.GetUser, request), output))


@app.command()
def role(
    user: UserArgument,
    roles: Annotated[list[Role], typer.Argument(metavar="ROLE", help="All of them.")],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Replace a person's roles, and end his sessions. Wants your password afresh.

    \b
    Example:
      cordon admin user role anna operator supervisor
    """
    request = identity_pb2.SetUserRolesRequest(
        name=user_name(user),
        roles=_roles(roles),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    who = identity_for("admin", identity, server)
    run(act(who, lambda stub: call(stub.SetUserRoles, request), output, dry_run))


@app.command()
def train(
    user: UserArgument,
    until: Annotated[str, typer.Argument(metavar="TIME", help="Until when it counts.")],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Note until when a person's training counts. Without it nobody looks at matches (R27).

    \b
    Example:
      cordon admin user train anna 2027-01-31
    """
    request = identity_pb2.SetUserTrainingRequest(
        name=user_name(user),
        training_expire_time=_stamp(until),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    who = identity_for("admin", identity, server)
    run(act(who, lambda stub: call(stub.SetUserTraining, request), output, dry_run))


async def act(
    identity: ClientIdentity,
    ask: Callable[[IdentityServiceAsyncStub], Awaitable[HasUser]],
    output: Format,
    dry_run: bool = False,
    password: str | None = None,
) -> None:
    """Asks for what answers with a person, and prints him; a password is shown this once."""
    async with connected(identity) as channel:
        response = await ask(IdentityServiceStub(channel))
    if dry_run:
        talk("It could be done; nothing was changed.")
        return
    record = person_record(response.user)
    if password is not None:
        record["password"] = password
    emit([record], DETAILS, output, single=True)
    if password is not None and output is Format.TABLE:
        talk("Hand the password over in person: it is shown this once, and good for one sign-in.")


async def _list(identity: ClientIdentity, output: Format) -> None:
    request = identity_pb2.ListUsersRequest(page_size=1000)
    async with connected(identity) as channel:
        method = IdentityServiceStub(channel).ListUsers
        records = [
            person_record(user) async for page in pages(method, request) for user in page.users
        ]
    emit(records, COLUMNS, output)


def _roles(roles: list[Role]) -> list[identity_pb2.UserRole.ValueType]:
    return [identity_pb2.UserRole.Value(f"USER_ROLE_{role.upper()}") for role in roles]


def _stamp(text: str) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(parse_time(text))
    return stamp
