"""`cordon control pass|tpir`: volunteers who pass, and how many of them are recognised (R28)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import measurement_pb2
from cordon.v1.measurement_pb2_grpc import MeasurementServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    CameraOption,
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    RefArgument,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.names import camera_name, deployment_name, short
from cordon_client.output import Format, emit, talk
from cordon_client.times import moment, parse_time

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

_COLUMNS = {
    "CAMERA": "camera_id",
    "HOUR": "start_time",
    "PASSES": "passes",
    "RECOGNISED": "recognised",
    "TPIR": "tpir",
    "FROM": "tpir_low",
    "TO": "tpir_high",
}


def record_pass(
    deployment: DeploymentArgument,
    ref: RefArgument,
    camera: CameraOption,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="When, if not just now.")] = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Say that a volunteer passes a camera; `tpir` shows how many passes were recognised.

    A volunteer is enrolled in the category `volunteer`, with consent, and is never an alert. Say it
    while he is in view or within 30 seconds, before or after; one visit counts for one pass.

    \b
    Example:
      cordon control pass market V-3 --camera north
    """
    request = measurement_pb2.RecordPassRequest(
        parent=deployment_name(deployment),
        external_ref=ref,
        camera=camera_name(camera),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    if at:
        request.pass_time.FromDatetime(parse_time(at))
    run(_pass(identity_for("control", identity, server), request, output))


def tpir(
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show how many of the volunteers' passes were recognised, by camera and hour.

    FROM and TO bound the rate with 95 % confidence: few passes say little.

    \b
    Example:
      cordon control tpir market
    """
    request = measurement_pb2.GetTpirRequest(parent=deployment_name(deployment))
    run(_tpir(identity_for("control", identity, server), request, output))


async def _pass(
    identity: ClientIdentity, request: measurement_pb2.RecordPassRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(MeasurementServiceStub(channel).RecordPass, request)
    if request.validate_only:
        talk("The pass could be recorded; nothing was changed.")
        return
    record = {
        "name": request.external_ref,
        "camera_id": short(request.camera),
        "pass_time": moment(response, "pass_time"),
    }
    columns = {"Volunteer": "name", "Camera": "camera_id", "Passed": "pass_time"}
    emit([record], columns, output, single=True)


async def _tpir(
    identity: ClientIdentity, request: measurement_pb2.GetTpirRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(MeasurementServiceStub(channel).GetTpir, request)
    emit(list(map(_record, response.rates)), _COLUMNS, output, empty="No volunteer has passed.")


def _record(hour: measurement_pb2.HourlyRate) -> dict[str, Any]:
    rate = hour.recognised
    return {
        "name": hour.camera,
        "camera_id": short(hour.camera),
        "start_time": moment(hour, "start_time"),
        "passes": rate.total,
        "recognised": rate.count,
        "tpir": rate.count / rate.total if rate.total else None,
        "tpir_low": rate.low,
        "tpir_high": rate.high,
    }
