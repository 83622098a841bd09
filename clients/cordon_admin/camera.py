"""`cordon admin camera`: registers, lists and revokes cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import camera_pb2
from cordon.v1.camera_pb2_grpc import CameraServiceStub
from cordon_admin.cert import Role, new_token
from cordon_admin.records import CAMERA_COLUMNS, CAMERA_DETAILS, camera_record
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
from cordon_client.names import camera_name, short
from cordon_client.output import Format, emit, local_time, talk

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """The cameras that the server knows.

    \b
    Example:
      cordon admin camera list
    """
)

CameraArgument = Annotated[str, typer.Argument(metavar="CAMERA", help="Which camera.")]


@app.command()
def add(
    camera: CameraArgument,
    display_name: Annotated[
        str, typer.Option("--display-name", help='For people ("North gate, left").')
    ] = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Register a camera, and give out the one-time token with which its machine enrols.

    \b
    Example:
      cordon admin camera add north-gate --display-name "North gate, left"
    """
    request = camera_pb2.CreateCameraRequest(
        camera_id=short(camera),
        camera=camera_pb2.Camera(display_name=display_name),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_add(identity_for("admin", identity, server), request, output))


@app.command("list")
def list_(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List the cameras with what they are doing now.

    \b
    Example:
      cordon admin camera list -o jsonl
    """
    run(_list(identity_for("admin", identity, server), output))


@app.command()
def show(
    camera: CameraArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show one camera with its counts since it connected.

    \b
    Example:
      cordon admin camera show north-gate
    """
    run(_show(identity_for("admin", identity, server), camera_name(camera), output))


@app.command()
def revoke(
    camera: CameraArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Shut a camera out for good and end its stream. Cannot be undone; wants your password afresh.

    \b
    Example:
      cordon admin camera revoke north-gate
    """
    who = identity_for("admin", identity, server)
    if not dry_run:
        confirm(short(camera), confirmed, f"Camera {short(camera)} will never stream again.")
    request = camera_pb2.RevokeCameraRequest(
        name=camera_name(camera), request_id=new_request_id(), validate_only=dry_run
    )
    run(_revoke(who, request, output))


async def _add(
    identity: ClientIdentity, request: camera_pb2.CreateCameraRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(CameraServiceStub(channel).CreateCamera, request)
        if request.validate_only:
            talk(f"Camera {request.camera_id} could be added; nothing was changed.")
            return
        token = await new_token(channel, identity, Role.CAMERA, request.camera_id)
    record = camera_record(response.camera) | {"enrolment": token}
    emit([record], CAMERA_DETAILS, output, single=True)
    if output is Format.TABLE:
        talk(
            f"Next, on the camera's machine, until {local_time(token['expire_time'])}; the token "
            f"is shown this once:\n  {token['command']}"
        )


async def _list(identity: ClientIdentity, output: Format) -> None:
    request = camera_pb2.ListCamerasRequest(page_size=1000)
    async with connected(identity) as channel:
        method = CameraServiceStub(channel).ListCameras
        records = [
            camera_record(camera)
            async for page in pages(method, request)
            for camera in page.cameras
        ]
    emit(records, CAMERA_COLUMNS, output, empty="No cameras yet: cordon admin camera add NAME")


async def _show(identity: ClientIdentity, name: str, output: Format) -> None:
    async with connected(identity) as channel:
        response = await call(
            CameraServiceStub(channel).GetCamera, camera_pb2.GetCameraRequest(name=name)
        )
    _emit_one(response.camera, output)


async def _revoke(
    identity: ClientIdentity, request: camera_pb2.RevokeCameraRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(CameraServiceStub(channel).RevokeCamera, request)
    if request.validate_only:
        talk(f"Camera {short(request.name)} could be revoked; nothing was changed.")
        return
    _emit_one(response.camera, output)


def _emit_one(camera: camera_pb2.Camera, output: Format) -> None:
    emit([camera_record(camera)], CAMERA_DETAILS, output, single=True)
