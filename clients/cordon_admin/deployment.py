"""`cordon admin deployment`: makes, arms and ends deployments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_admin import deployment_papers
from cordon_admin.listed import was_listed
from cordon_admin.records import DEPLOYMENT_COLUMNS, DEPLOYMENT_DETAILS, deployment_record
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    ConfirmOption,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    confirm,
    identity_for,
    new_app,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import camera_name, deployment_name, short, user_name
from cordon_client.output import Format, emit, talk
from cordon_client.times import parse_time

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """One place, one window of time, one watchlist.

    \b
    Example:
      cordon admin deployment list
    """
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The deployment's name.")]


@app.command()
def create(
    name: NameArgument,
    location: Annotated[str, typer.Option("--location", help="Where in the world, for people.")],
    camera: Annotated[
        list[str], typer.Option("--camera", metavar="NAME", help="One it may use; repeat it.")
    ],
    threshold: Annotated[
        float, typer.Option("--threshold", help="Lowest score that is a match; 0: the model's.")
    ] = 0.0,
    start: Annotated[
        str | None, typer.Option("--start", metavar="TIME", help="Not before this; else now.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Not after this.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", help="In place of --end: how long; else 24.")
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--assign", metavar="USER", help="One who works on it; repeat it."),
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Make a deployment. Nobody is recognised before it has a watchlist and is armed.

    A TIME reads like "2026-01-31 18:00" (local) or 2026-01-31T18:00:00Z.

    \b
    Example:
      cordon admin deployment create market --location "Market Street" \\
        --camera north-gate --camera south-gate --hours 6 --assign anna
    """
    who = identity_for("admin", identity, server)
    start_time, end_time = _window(start, end, hours)
    request = deployment_pb2.CreateDeploymentRequest(
        deployment_id=short(name),
        deployment=deployment_pb2.Deployment(
            location=location,
            cameras=[camera_name(given) for given in camera],
            threshold=threshold,
            start_time=_stamp(start_time),
            end_time=_stamp(end_time),
            assignees=[user_name(given) for given in assign or ()],
        ),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_create(who, request, output))


@app.command("list")
def list_(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List the deployments, ended ones too.

    \b
    Example:
      cordon admin deployment list -o name
    """
    run(_list(identity_for("admin", identity, server), output))


@app.command()
def show(
    name: NameArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show one deployment.

    \b
    Example:
      cordon admin deployment show market -o json
    """
    run(_show(identity_for("admin", identity, server), deployment_name(name), output))


@app.command()
def assign(
    name: NameArgument,
    users: Annotated[
        list[str] | None, typer.Argument(metavar="[USER]...", help="Who is to work on it.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="USER", help="Who is not to any longer; repeat it."),
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Say who works on a deployment: nobody else sees its list or its matches.

    Operators, supervisors and watchlist officers have to be assigned; who makes it is.

    \b
    Example:
      cordon admin deployment assign market anna --remove carl
    """
    if not users and not remove:
        raise ClientError(
            "Nobody is named.",
            hint="cordon admin deployment assign --help",
            exit_code=ExitCode.USAGE,
        )
    request = deployment_pb2.AssignDeploymentRequest(
        name=deployment_name(name),
        add=[user_name(given) for given in users or ()],
        remove=[user_name(given) for given in remove or ()],
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_assign(identity_for("admin", identity, server), request, output))


@app.command()
def arm(
    name: NameArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Load the watchlist and let the cameras in.

    \b
    Example:
      cordon admin deployment arm market
    """
    request = deployment_pb2.ArmDeploymentRequest(
        name=deployment_name(name), request_id=new_request_id(), validate_only=dry_run
    )
    run(_arm(identity_for("admin", identity, server), request, output))


@app.command()
def end(
    name: NameArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Stop recognition and destroy the watchlist and the match log. Cannot be undone.

    \b
    Example:
      cordon admin deployment end market
    """
    who = identity_for("admin", identity, server)
    if not dry_run:
        consequence = f"The watchlist and the match log of {short(name)} will be destroyed."
        confirm(short(name), confirmed, consequence)
    request = deployment_pb2.EndDeploymentRequest(
        name=deployment_name(name), request_id=new_request_id(), validate_only=dry_run
    )
    run(_end(who, request, output))


for _paper in deployment_papers.COMMANDS:
    app.command()(_paper)
app.command("was-listed")(was_listed)


async def _create(
    identity: ClientIdentity, request: deployment_pb2.CreateDeploymentRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(DeploymentServiceStub(channel).CreateDeployment, request)
    if request.validate_only:
        talk(f"Deployment {request.deployment_id} could be made; nothing was changed.")
        return
    _emit_one(response.deployment, output)
    talk(
        "Next: its watchlist, then arm it.\n"
        f"  cordon admin watchlist import {request.deployment_id} FOLDER --category CATEGORY\n"
        f"  cordon admin deployment arm {request.deployment_id}"
    )


async def _list(identity: ClientIdentity, output: Format) -> None:
    request = deployment_pb2.ListDeploymentsRequest(page_size=1000)
    async with connected(identity) as channel:
        method = DeploymentServiceStub(channel).ListDeployments
        records = [
            deployment_record(deployment)
            async for page in pages(method, request)
            for deployment in page.deployments
        ]
    empty = "No deployments yet: cordon admin deployment create --help"
    emit(records, DEPLOYMENT_COLUMNS, output, empty=empty)


async def _show(identity: ClientIdentity, name: str, output: Format) -> None:
    request = deployment_pb2.GetDeploymentRequest(name=name)
    async with connected(identity) as channel:
        response = await call(DeploymentServiceStub(channel).GetDeployment, request)
    _emit_one(response.deployment, output)


async def _assign(
    identity: ClientIdentity, request: deployment_pb2.AssignDeploymentRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(DeploymentServiceStub(channel).AssignDeployment, request)
    if request.validate_only:
        talk(f"Deployment {short(request.name)} could be assigned so; nothing was changed.")
        return
    _emit_one(response.deployment, output)


async def _arm(
    identity: ClientIdentity, request: deployment_pb2.ArmDeploymentRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        # Loading a long watchlist takes a while.
        method = DeploymentServiceStub(channel).ArmDeployment
        response = await call(method, request, timeout_s=300)
    if request.validate_only:
        talk(f"Deployment {short(request.name)} could be armed; nothing was changed.")
        return
    _emit_one(response.deployment, output)


async def _end(
    identity: ClientIdentity, request: deployment_pb2.EndDeploymentRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        method = DeploymentServiceStub(channel).EndDeployment
        response = await call(method, request, timeout_s=300)
    if request.validate_only:
        talk(f"Deployment {short(request.name)} could be ended; nothing was changed.")
        return
    _emit_one(response.deployment, output)


def _emit_one(deployment: deployment_pb2.Deployment, output: Format) -> None:
    emit([deployment_record(deployment)], DEPLOYMENT_DETAILS, output, single=True)


def _window(
    start: str | None, end: str | None, hours: float | None
) -> tuple[datetime | None, datetime | None]:
    """What was asked for; None leaves it to the server (now, and 24 hours later)."""
    if end is not None and hours is not None:
        raise ClientError(
            "--end and --hours say the same thing twice.",
            hint="cordon admin deployment create --help",
            exit_code=ExitCode.USAGE,
        )
    start_time = parse_time(start) if start else None
    if end is not None:
        return start_time, parse_time(end)
    if hours is not None:
        return start_time, (start_time or datetime.now(UTC)) + timedelta(hours=hours)
    return start_time, None


def _stamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
