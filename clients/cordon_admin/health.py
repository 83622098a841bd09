"""`cordon status` and `cordon doctor`: how the server is, and why it cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon.v1 import camera_pb2, deployment_pb2
from cordon.v1.camera_pb2_grpc import CameraServiceStub
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_admin.checkup import examine
from cordon_admin.records import camera_record, deployment_record
from cordon_client.channel import call, connected, pages
from cordon_client.cli import (
    IdentityOption,
    OutputOption,
    ServerOption,
    default_folder,
    folder_for,
    identity_for,
    run,
)
from cordon_client.errors import ExitCode, sign_in_command
from cordon_client.output import Format, emit, talk, to_json
from cordon_client.session import load_session

if TYPE_CHECKING:
    from pathlib import Path

    from cordon_client.identity import ClientIdentity

_ROLES = ("admin", "control", "camera")

_SERVER_COLUMNS = {"Server": "server", "Health": "health", "You": "identity"}

_DEPLOYMENT_COLUMNS = {
    "DEPLOYMENT": "id",
    "STATE": "state",
    "UNTIL": "end_time",
    "SUBJECTS": "entry_count",
    "MATCHES": "match_count",
}

_CAMERA_COLUMNS = {
    "CAMERA": "id",
    "STATE": "state",
    "LIVE": "is_live",
    "LAST FRAME": "last_frame_time",
    "FRAMES": "frames_processed",
    "FACES": "faces_searched",
}


def status(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show the server at a glance: its health; to whoever is signed in, deployments and cameras.

    Exit code 8: it is not serving.

    \b
    Example:
      cordon status
    """
    run(_status(identity_for(_role_at_hand(identity), identity, server), output))


def doctor(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Look at every step from this computer to the server, and say what to do where one fails.

    \b
    Example:
      cordon doctor --identity north-gate-identity
    """
    folder = folder_for(_role_at_hand(identity), identity)
    run(examine(folder, server, output))


def _role_at_hand(folder: Path | None) -> str:
    """The first role that has an identity here; which one does not matter with a folder given."""
    if folder is not None:
        return _ROLES[0]
    return next((role for role in _ROLES if default_folder(role).exists()), _ROLES[0])


async def _status(identity: ClientIdentity, output: Format) -> ExitCode:
    async with connected(identity) as channel:
        health = await _health(channel)
        may_look = identity.role != "camera" and load_session(identity.folder) is not None
        record: dict[str, Any] = {
            "name": identity.server,
            "server": identity.server,
            "identity": identity.spiffe_id,
            "health": health,
            "deployments": await _deployments(channel) if may_look else [],
            "cameras": await _cameras(channel) if may_look else [],
        }
    if output is Format.TABLE:
        _print_tables(record)
        if identity.role != "camera" and not may_look:
            talk(f"For deployments and cameras: {sign_in_command(identity)}")
    elif output is Format.NAME:
        print(record["name"])
    else:
        print(to_json(record, indent=2 if output is Format.JSON else None))
    return ExitCode.OK if health == "serving" else ExitCode.UNAVAILABLE


async def _health(channel: grpc.aio.Channel) -> str:
    """serving, not_serving …; of the server as a whole."""
    method = health_pb2_grpc.HealthStub(channel).Check
    response = await call(method, health_pb2.HealthCheckRequest(), timeout_s=10)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)).lower()


async def _deployments(channel: grpc.aio.Channel) -> list[dict[str, Any]]:
    request = deployment_pb2.ListDeploymentsRequest(page_size=1000)
    method = DeploymentServiceStub(channel).ListDeployments
    return [deployment_record(d) async for page in pages(method, request) for d in page.deployments]


async def _cameras(channel: grpc.aio.Channel) -> list[dict[str, Any]]:
    request = camera_pb2.ListCamerasRequest(page_size=1000)
    method = CameraServiceStub(channel).ListCameras
    return [camera_record(c) async for page in pages(method, request) for c in page.cameras]


def _print_tables(record: dict[str, Any]) -> None:
    emit([record], _SERVER_COLUMNS, Format.TABLE, single=True)
    if record["deployments"]:
        print()
        emit(record["deployments"], _DEPLOYMENT_COLUMNS, Format.TABLE)
    if record["cameras"]:
        print()
        emit(record["cameras"], _CAMERA_COLUMNS, Format.TABLE)
