"""`cordon admin deployment`: asks for deployments and shows them; the moves stand beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_admin import deployment_moves, deployment_papers
from cordon_admin import deployment_terms as terms
from cordon_admin.listed import was_listed
from cordon_admin.records import DEPLOYMENT_COLUMNS, DEPLOYMENT_DETAILS, deployment_record
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    new_app,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import deployment_name, short, user_name
from cordon_client.output import Format, emit

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """One place, one window of time, one watchlist; asked for by one person, signed by another.

    \b
    Example:
      cordon admin deployment list
    """
)

UPDATE = "cordon admin deployment update --help"


@app.command()
def create(
    deployment: DeploymentArgument,
    location: Annotated[str, typer.Option("--location", help="Where in the world, for people.")],
    camera: Annotated[
        list[str], typer.Option("--camera", metavar="CAMERA", help="One it may use; repeat it.")
    ],
    threshold: terms.ThresholdOption = None,
    start: terms.StartOption = None,
    end: terms.EndOption = None,
    hours: terms.HoursOption = None,
    purpose: terms.PurposeOption = None,
    justification: terms.JustificationOption = None,
    accountable: terms.AccountableOption = None,
    zone: terms.ZoneOption = None,
    impact_assessment: terms.AssessmentOption = None,
    impact_owner: terms.AssessmentOwnerOption = None,
    impact_review: terms.AssessmentReviewOption = None,
    notice_exemption: terms.ExemptionOption = None,
    urgent: terms.UrgentOption = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--assign", metavar="USER", help="One who works on it; repeat it."),
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Make a deployment. Nobody is recognised before it is signed by another person and armed.

    A TIME reads like "2026-01-31 18:00" (local) or 2026-01-31T18:00:00Z.

    \b
    Example:
      cordon admin deployment create market --location "Market Street" \\
        --camera north-gate --camera south-gate --hours 6 --assign anna \\
        --justification "Thefts on market days" --accountable "The duty superintendent"
    """
    who = identity_for("admin", identity, server)
    start_time, end_time = terms.window(start, end, hours)
    asked, _ = terms.wanted(
        location=location,
        camera=camera,
        threshold=threshold,
        start_time=start_time,
        end_time=end_time,
        purpose=purpose,
        justification=justification,
        accountable=accountable,
        zone=zone,
        impact=terms.assessment(impact_assessment, impact_owner, impact_review),
        exemption=notice_exemption,
        urgent=urgent,
    )
    asked.assignees.extend(user_name(given) for given in assign or ())
    request = deployment_pb2.CreateDeploymentRequest(
        deployment_id=short(deployment),
        deployment=asked,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(deployment_moves.move(who, "CreateDeployment", request, output))


@app.command()
def update(
    deployment: DeploymentArgument,
    location: Annotated[
        str | None, typer.Option("--location", help="Where in the world, for people.")
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", metavar="CAMERA", help="All that it may use; repeat it."),
    ] = None,
    threshold: terms.ThresholdOption = None,
    start: terms.StartOption = None,
    end: terms.EndOption = None,
    hours: terms.HoursOption = None,
    purpose: terms.PurposeOption = None,
    justification: terms.JustificationOption = None,
    accountable: terms.AccountableOption = None,
    zone: terms.ZoneOption = None,
    impact_assessment: terms.AssessmentOption = None,
    impact_owner: terms.AssessmentOwnerOption = None,
    impact_review: terms.AssessmentReviewOption = None,
    notice_exemption: terms.ExemptionOption = None,
    urgent: terms.UrgentOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Change what is asked for. What was submitted or authorised is void, and a draft again.

    \b
    Example:
      cordon admin deployment update market --hours 4
    """
    who = identity_for("admin", identity, server)
    start_time, end_time = terms.window(start, end, hours)
    asked, fields = terms.wanted(
        location=location,
        camera=camera,
        threshold=threshold,
        start_time=start_time,
        end_time=end_time,
        purpose=purpose,
        justification=justification,
        accountable=accountable,
        zone=zone,
        impact=terms.assessment(impact_assessment, impact_owner, impact_review),
        exemption=notice_exemption,
        urgent=urgent,
    )
    if not fields:
        raise ClientError("Nothing is to change.", hint=UPDATE, exit_code=ExitCode.USAGE)
    request = deployment_pb2.UpdateDeploymentRequest(
        name=deployment_name(deployment),
        deployment=asked,
        update_mask=FieldMask(paths=fields),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(deployment_moves.move(who, "UpdateDeployment", request, output))


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
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show one deployment.

    \b
    Example:
      cordon admin deployment show market -o json
    """
    run(_show(identity_for("admin", identity, server), deployment_name(deployment), output))


@app.command()
def assign(
    deployment: DeploymentArgument,
    users: Annotated[
        list[str] | None, typer.Argument(metavar="USER", help="Who is to work on it.")
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

    Operators, supervisors and watchlist officers have to be assigned; who makes it is. Before it
    is armed, others than were signed for make the signature void.

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
        name=deployment_name(deployment),
        add=[user_name(given) for given in users or ()],
        remove=[user_name(given) for given in remove or ()],
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    who = identity_for("admin", identity, server)
    run(deployment_moves.move(who, "AssignDeployment", request, output))


for _move in deployment_moves.COMMANDS:
    app.command()(_move)


for _paper in deployment_papers.COMMANDS:
    app.command()(_paper)
app.command("was-listed")(was_listed)


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
    emit([deployment_record(response.deployment)], DEPLOYMENT_DETAILS, output, single=True)
