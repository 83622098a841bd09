"""`cordon control drift`: whether the cameras still see people as they did when armed (R28)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cordon.v1 import measurement_pb2
from cordon.v1.measurement_pb2_grpc import MeasurementServiceStub
from cordon_client.channel import call, connected
from cordon_client.cli import (
    DeploymentArgument,
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.names import deployment_name, short
from cordon_client.output import Format, emit
from cordon_client.times import moment

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

_COLUMNS = {
    "CAMERA": "camera_id",
    "MEASURE": "measure",
    "BASELINE": "baseline",
    "NOW": "current",
    "WINDOWS": "windows",
    "STATE": "state",
    "SINCE": "alarm_time",
}
_MEASURES = {
    measurement_pb2.DRIFT_MEASURE_QUALITY: "quality",
    measurement_pb2.DRIFT_MEASURE_SCORE: "score",
    measurement_pb2.DRIFT_MEASURE_ALERTS: "alerts",
}


def drift(
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show whether each camera sees people as it did when the deployment was armed.

    QUALITY is how good the best view of a person is, SCORE how like the list people are who are no
    match, ALERTS how many of those searched raise one. Where one of them is in ALARM, look at the
    camera: its lens, its light, where it points, and who passes.

    \b
    Example:
      cordon control drift market
    """
    request = measurement_pb2.ListCameraDriftsRequest(parent=deployment_name(deployment))
    run(_drift(identity_for("control", identity, server), request, output))


async def _drift(
    identity: ClientIdentity, request: measurement_pb2.ListCameraDriftsRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(MeasurementServiceStub(channel).ListCameraDrifts, request)
    emit([each for camera in response.drifts for each in records(camera)], _COLUMNS, output)


def records(camera: measurement_pb2.CameraDrift) -> list[dict[str, Any]]:
    """A row for each measure of a camera."""
    return [
        {
            "name": camera.camera,
            "camera_id": short(camera.camera),
            "measure": _MEASURES.get(each.measure, "unknown"),
            "baseline": round(each.baseline, 4) if each.HasField("baseline") else None,
            "current": round(each.current, 4) if each.HasField("current") else None,
            "baseline_people": camera.baseline_people,
            "windows": camera.windows,
            "window_people": camera.window_people,
            "state": _state(camera, each),
            "alarm_time": moment(each, "alarm_time"),
        }
        for each in camera.measures
    ]


def _state(camera: measurement_pb2.CameraDrift, drift: measurement_pb2.MeasureDrift) -> str:
    if drift.HasField("alarm_time"):
        return "ALARM"
    needed = camera.baseline_people_needed
    if camera.baseline_people < needed:
        return f"baseline: {camera.baseline_people} of {needed} people"
    return "as at first"
