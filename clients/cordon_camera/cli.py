"""`cordon camera`: stream a source, or find out why there is no picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon_client.cli import (
    IdentityOption,
    ProfileOption,
    ServerOption,
    debug_asked,
    identity_for,
    new_app,
)
from cordon_client.cli import run as run_command
from cordon_client.lazy import LazyGroup
from cordon_client.workstation import MACHINE

if TYPE_CHECKING:
    from cordon_camera.settings import SourceSettings, StreamSettings


class Commands(LazyGroup):
    """What every machine can do, beside the commands below."""

    table = MACHINE


app = new_app(
    """Stream a camera to the recognition server, or check why there is no picture.

    \b
    Examples:
      cordon camera enrol TOKEN cordon.example.org:7443
      cordon camera run --file street.mp4
    """,
    cls=Commands,
)


@app.callback()
def camera(profile: ProfileOption = None) -> None:
    """Takes the options that stand before the command."""


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="camera.toml; flags win over it."),
]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="PATH", help="A video file."),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="A folder of pictures, each sent once. JPEG files go untouched, EXIF orientation "
        "included: the server does not turn pictures.",
    ),
]
WebcamOption = Annotated[
    str | None,
    typer.Option("--webcam", metavar="DEVICE", help="0, or /dev/video0."),
]
RtspOption = Annotated[
    str | None,
    typer.Option("--rtsp", metavar="HOST", help="A network camera's RTSP stream."),
]
MjpegOption = Annotated[
    str | None,
    typer.Option("--mjpeg", metavar="HOST", help="A network camera's HTTP MJPEG stream."),
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", help="TCP port, if not the usual."),
]
UserOption = Annotated[str | None, typer.Option("--user", help="Who signs in.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="Its first line is the password. Else CORDON_CAMERA_PASSWORD, else you are asked.",
    ),
]
StreamPathOption = Annotated[
    str | None,
    typer.Option("--stream-path", metavar="PATH", help="/h264/main, …"),
]
TlsOption = Annotated[bool | None, typer.Option("--tls", help="RTSPS or HTTPS.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output.")]


@app.command()
def run(
    config: ConfigOption = None,
    file: FileOption = None,
    folder: FolderOption = None,
    webcam: WebcamOption = None,
    rtsp: RtspOption = None,
    mjpeg: MjpegOption = None,
    port: PortOption = None,
    user: UserOption = None,
    password_file: PasswordFileOption = None,
    stream_path: StreamPathOption = None,
    tls: TlsOption = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Pictures a second: the pace of a file or folder, else the most."),
    ] = None,
    loop: Annotated[bool | None, typer.Option("--loop", help="Start again at the end.")] = None,
    realtime: Annotated[
        bool | None,
        typer.Option(
            "--realtime/--no-realtime",
            help="A file at its own speed (default), or every picture as fast as the server goes.",
        ),
    ] = None,
    as_video: Annotated[
        bool | None,
        typer.Option("--as-video", help="A folder's pictures are one scene, paced by --fps."),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="JPEG quality 1-100, where this client encodes.")
    ] = None,
    side: Annotated[
        int | None, typer.Option(help="Longest side in pixels, where this client encodes.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Decoder threads; each costs memory.")] = None,
    identity: IdentityOption = None,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Stream one source until it ends (a file, a folder) or you press Ctrl-C.

    Only the newest picture is ever sent; nothing is written to disk. A lost server or camera is
    waited for. Exit codes: 0 all done, 3 some pictures of a folder were rejected, 4 sign-in
    refused, 5 not permitted or revoked, 7 this camera streams already, 8 not reachable.

    \b
    Examples:
      cordon camera run --file street.mp4
      cordon camera run --folder faces/ --json
      cordon camera run --webcam 0 --fps 10
      cordon camera run --rtsp 10.0.0.7 --user viewer --password-file pw --stream-path /h264/main
      cordon camera run --config camera.toml --identity /etc/cordon/camera
    """
    flags = _source_flags(file, folder, webcam, rtsp, mjpeg, port, user, stream_path, tls)
    sending: dict[str, Any] = {
        "fps": fps,
        "loop": loop,
        "realtime": realtime,
        "as_video": as_video,
        "jpeg_quality": quality,
        "side_px_max": side,
        "threads": threads,
    }
    source, stream = _settings(config, flags, password_file, sending)
    who = identity_for("camera", identity, server)

    from cordon_camera.process import Job, become

    become(Job(source, stream, who.folder, who.server, as_json=json, debug=debug_asked()))


@app.command()
def check(
    config: ConfigOption = None,
    file: FileOption = None,
    folder: FolderOption = None,
    webcam: WebcamOption = None,
    rtsp: RtspOption = None,
    mjpeg: MjpegOption = None,
    port: PortOption = None,
    user: UserOption = None,
    password_file: PasswordFileOption = None,
    stream_path: StreamPathOption = None,
    tls: TlsOption = None,
    identity: IdentityOption = None,
    server: ServerOption = None,
    no_server: Annotated[
        bool, typer.Option("--no-server", help="Look at the source alone.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Name why there is no picture, with one next step. Sends no picture anywhere.

    Looks at the source step by step, then at the server. Exit codes: 0 all is well, otherwise as
    for `run`.

    \b
    Examples:
      cordon camera check --webcam 0
      cordon camera check --rtsp 10.0.0.7 --user viewer --stream-path /h264/main
      cordon camera check --file street.mp4 --no-server --json
    """
    flags = _source_flags(file, folder, webcam, rtsp, mjpeg, port, user, stream_path, tls)
    source, stream = _settings(config, flags, password_file, {})

    from cordon_camera.check import check_all

    folder_of_identity = None if no_server else (identity, server)
    run_command(check_all(source, stream, folder_of_identity, as_json=json))


def _source_flags(
    file: Path | None,
    folder: Path | None,
    webcam: str | None,
    rtsp: str | None,
    mjpeg: str | None,
    port: int | None,
    user: str | None,
    stream_path: str | None,
    tls: bool | None,
) -> dict[str, Any]:
    """The flags as source settings; at most one kind may be given."""
    from cordon_camera.settings import SettingError

    kinds = {
        "file": ("path", file),
        "folder": ("path", folder),
        "webcam": ("device", webcam),
        "rtsp": ("host", rtsp),
        "mjpeg": ("host", mjpeg),
    }
    given = [(kind, name, value) for kind, (name, value) in kinds.items() if value is not None]
    if len(given) > 1:
        names = ", ".join(f"--{kind}" for kind, _, _ in given)
        raise SettingError("source", f"must be one, not several: {names}")
    values: dict[str, Any] = {"port": port, "user": user, "stream_path": stream_path, "tls": tls}
    for kind, name, value in given:
        values |= {"kind": kind, name: value}
    return {name: value for name, value in values.items() if value is not None}


def _settings(
    config: Path | None,
    flags: dict[str, Any],
    password_file: Path | None,
    sending: dict[str, Any],
) -> tuple[SourceSettings, StreamSettings]:
    """Settings from the file and the flags, which win; another kind of source drops the file's."""
    from cordon_camera.camera_toml import make_source, read_camera_toml
    from cordon_camera.settings import StreamSettings

    source, stream = read_camera_toml(config) if config else ({}, {})
    if flags.get("kind", source.get("kind")) != source.get("kind"):
        source = {}
    source = {**source, **flags}
    from_file = source.pop("password_file", None)
    file = password_file or (Path(from_file) if from_file else None)
    stream |= {name: value for name, value in sending.items() if value is not None}
    return make_source(source, _password(source, file)), StreamSettings(**stream)


def _password(source: dict[str, Any], file: Path | None) -> str:
    """From the file, the environment, or a prompt; only where a user signs in."""
    import sys

    from cordon_camera.camera_toml import password_from_environment, read_password

    if file is not None:
        return read_password(file)
    if not source.get("user"):
        return ""
    found = password_from_environment()
    if not found and sys.stdin.isatty():
        found = typer.prompt("Password of the camera", hide_input=True, err=True)
    return str(found)
