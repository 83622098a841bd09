"""`cordon control seed|shift-report`: known cases among the matches, and how people judged them
(R27)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import measurement_pb2
from cordon.v1.measurement_pb2_grpc import MeasurementServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import camera_name, deployment_name, short
from cordon_client.output import Format, emit, talk
from cordon_client.times import parse_time

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

_COLUMNS = {
    "PERSON": "user_id",
    "TRUE CASES": "true_cases",
    "MISSED": "missed",
    "FALSE CASES": "false_cases",
    "ACCEPTED": "accepted",
    "UNDECIDED": "undecided",
    "ERROR RATE": "error_rate",
    "FROM": "error_rate_low",
    "TO": "error_rate_high",
}


def seed(
    deployment: DeploymentArgument,
    ref: Annotated[str, typer.Argument(metavar="REF", help="Whom the face is taken for.")],
    photo: Annotated[
        Path, typer.Argument(metavar="PHOTO", help="A face as the camera would take it.")
    ],
    camera: Annotated[
        str, typer.Option("--camera", metavar="CAMERA", help="Where it is as if seen.")
    ],
    is_same: Annotated[
        bool, typer.Option("--true/--false", help="Whether it is the listed person.")
    ],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Put a case whose truth you know among the matches, to measure who judges it.

    To everyone but you it is a match like any other; it counts in no report but `shift-report`.
    The camera has to be streaming. Tell nobody.

    \b
    Examples:
      cordon control seed market A-17 other-picture-of-a17.jpg --camera north --true
      cordon control seed market A-17 somebody-else.jpg --camera north --false
    """
    request = measurement_pb2.SeedCaseRequest(
        parent=deployment_name(deployment),
        external_ref=ref,
        camera=camera_name(camera),
        image=_read(photo),
        same_person=is_same,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_seed(identity_for("control", identity, server), request, output))


def shift_report(
    deployment: DeploymentArgument,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Judgements from then on; else all.")
    ] = "",
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show how each person judged the known cases, at the end of a shift.

    An error is a true case judged false or a false one judged true; FROM and TO bound the error
    rate with 95 % confidence.

    \b
    Example:
      cordon control shift-report market --since "2026-01-31 08:00"
    """
    request = measurement_pb2.GetShiftReportRequest(parent=deployment_name(deployment))
    if since:
        request.since.FromDatetime(parse_time(since))
    run(_report(identity_for("control", identity, server), request, output))


async def _seed(
    identity: ClientIdentity, request: measurement_pb2.SeedCaseRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(MeasurementServiceStub(channel).SeedCase, request)
    if request.validate_only:
        talk("The case could be placed; nothing was changed.")
        return
    record = {"name": response.match, "same_person": request.same_person}
    emit([record], {"Case": "name", "The same person": "same_person"}, output, single=True)


async def _report(
    identity: ClientIdentity, request: measurement_pb2.GetShiftReportRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(MeasurementServiceStub(channel).GetShiftReport, request)
    records = [_record(result) for result in response.results]
    emit(records, _COLUMNS, output, empty="Nobody has judged a known case.")


def _record(result: measurement_pb2.OperatorResult) -> dict[str, Any]:
    errors = result.errors
    return {
        "name": result.user,
        "user_id": short(result.user),
        "true_cases": result.missed.total,
        "missed": result.missed.count,
        "false_cases": result.accepted.total,
        "accepted": result.accepted.count,
        "undecided": result.undecided.count,
        "errors": errors.count,
        "error_rate": errors.count / errors.total if errors.total else None,
        "error_rate_low": errors.low,
        "error_rate_high": errors.high,
    }


def _read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise ClientError(
            f"{photo} cannot be read.",
            f"{error.strerror}.",
            f"ls -l {photo}",
            exit_code=ExitCode.USAGE,
        ) from error
