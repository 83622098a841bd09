"""The command line of one `cordon camera run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cordon_camera.camera_toml import PASSWORD_VARIABLE
from cordon_camera.settings import SourceKind, parse_uri
from cordon_demo.children import CORDON

if TYPE_CHECKING:
    from pathlib import Path


_FOLDER_FPS = 5.0
"""Pictures of a folder a second: a folder of a few is not shown a hundred times over."""


def camera_command(identity: Path, uri: str, fps: float = 0.0) -> tuple[list[str], dict[str, str]]:
    """The arguments, and the environment that carries a password past the process list.

    Recordings start again at their end. `fps` 0 leaves a source its own pace.
    """
    source = parse_uri(uri)
    command = [*CORDON, "camera", "run", "--identity", str(identity), f"--{source.kind}"]
    if source.kind is SourceKind.WEBCAM:
        command += [source.device]
    elif source.kind.is_network:
        command += [source.host, "--port", str(source.effective_port)]
        command += ["--stream-path", source.stream_path] if source.stream_path else []
        command += ["--user", source.user] if source.user else []
        command += ["--tls"] if source.tls else []
    else:
        command += [str(source.path), "--loop"]
        fps = fps or (_FOLDER_FPS if source.kind is SourceKind.FOLDER else 0.0)
    command += ["--fps", f"{fps:g}"] if fps else []
    return command, {PASSWORD_VARIABLE: source.password} if source.password else {}
