"""Why there is no picture: every known fault of a source, in words, with one next step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cordon_client.errors import ClientError, ExitCode


class Fault(StrEnum):
    """One reason for having no picture."""

    MISSING = "missing"
    NO_PERMISSION = "no_permission"
    NOT_A_VIDEO = "not_a_video"
    NO_PICTURES = "no_pictures"
    HOST_NAME = "host_name"
    UNREACHABLE = "unreachable"
    PORT_CLOSED = "port_closed"
    SILENT = "silent"
    NOT_THE_PROTOCOL = "not_the_protocol"
    PASSWORD_MISSING = "password_missing"
    PASSWORD_WRONG = "password_wrong"
    AUTHENTICATION_KIND = "authentication_kind"
    STREAM_PATH = "stream_path"
    TOO_MANY_VIEWERS = "too_many_viewers"
    REFUSED = "refused"
    CODEC = "codec"
    DEVICE_MISSING = "device_missing"
    DEVICE_BUSY = "device_busy"
    DEVICE_GROUP = "device_group"
    NOT_A_CAMERA = "not_a_camera"
    NO_DATA = "no_data"
    BLACK = "black"
    FROZEN = "frozen"
    CONNECTION_LOST = "connection_lost"


@dataclass(frozen=True, slots=True)
class FaultText:
    """What a fault means, the one thing to do about it, and whether waiting may mend it."""

    why: str
    next_step: str
    may_pass: bool = False
    exit_code: ExitCode = ExitCode.FAILED


_AWAY = ExitCode.UNAVAILABLE
_GONE = ExitCode.NOT_FOUND

FAULTS: dict[Fault, FaultText] = {
    Fault.MISSING: FaultText("it does not exist", "check the path", exit_code=_GONE),
    Fault.NO_PERMISSION: FaultText(
        "this user may not read it",
        "give this user the right to read it",
        exit_code=ExitCode.FAILED,
    ),
    Fault.NOT_A_VIDEO: FaultText(
        "it holds no picture that can be decoded",
        "choose a video or image file that plays elsewhere",
    ),
    Fault.NO_PICTURES: FaultText(
        "the folder holds no picture files",
        "put .jpg, .png, .webp or .bmp files into it, or choose another folder",
        exit_code=_GONE,
    ),
    Fault.HOST_NAME: FaultText(
        "the host name is not known to this machine's name service",
        "check the spelling of the host, or give the camera's IP address",
        may_pass=True,
        exit_code=_AWAY,
    ),
    Fault.UNREACHABLE: FaultText(
        "nothing answers at this address",
        "check the camera's power, its network cable and that this machine is on its network",
        may_pass=True,
        exit_code=_AWAY,
    ),
    Fault.PORT_CLOSED: FaultText(
        "the host answers, but nothing listens on this port",
        "check the port, and that this kind of stream is switched on in the camera's settings",
        may_pass=True,
        exit_code=_AWAY,
    ),
    Fault.SILENT: FaultText(
        "the port is open, but the camera does not answer a request",
        "restart the camera; if that does not help, check that the port is its stream port",
        may_pass=True,
        exit_code=_AWAY,
    ),
    Fault.NOT_THE_PROTOCOL: FaultText(
        "what answers on this port does not speak this protocol",
        "check the port (RTSP is mostly 554, HTTP 80) and whether it needs --tls",
    ),
    Fault.PASSWORD_MISSING: FaultText(
        "the camera asks for a user and a password and none was given",
        "give --user and --password-file (or set CORDON_CAMERA_PASSWORD)",
        exit_code=ExitCode.SIGN_IN,
    ),
    Fault.PASSWORD_WRONG: FaultText(
        "the camera refuses this user and password",
        "check both by signing in on the camera's own web page",
        exit_code=ExitCode.SIGN_IN,
    ),
    Fault.AUTHENTICATION_KIND: FaultText(
        "the camera asks for a kind of authentication that is not supported",
        "set its authentication to Digest (MD5) or Basic in the camera's settings",
        exit_code=ExitCode.SIGN_IN,
    ),
    Fault.STREAM_PATH: FaultText(
        "the camera has no stream at this path",
        "look up the stream path in the camera's manual and give it as --stream-path",
        exit_code=_GONE,
    ),
    Fault.TOO_MANY_VIEWERS: FaultText(
        "the camera has no room for another viewer",
        "close other programs that watch this camera, or raise its limit",
        may_pass=True,
        exit_code=_AWAY,
    ),
    Fault.REFUSED: FaultText(
        "the camera refuses the request", "look into the camera's own log", may_pass=True
    ),
    Fault.CODEC: FaultText(
        "the stream's video codec cannot be decoded here",
        "set the camera's stream to H.264, H.265 or MJPEG",
    ),
    Fault.DEVICE_MISSING: FaultText(
        "there is no such device",
        "plug the webcam in and see which devices there are with: ls /dev/video*",
        exit_code=_GONE,
    ),
    Fault.DEVICE_BUSY: FaultText(
        "another program uses it",
        "close that program; this names it: fuser -v /dev/video*",
        exit_code=ExitCode.CONFLICT,
    ),
    Fault.DEVICE_GROUP: FaultText(
        "this user may not open it and is not in the device's group",
        "add the user to the group and sign in again: sudo usermod -aG video $USER",
        exit_code=ExitCode.NOT_PERMITTED,
    ),
    Fault.NOT_A_CAMERA: FaultText(
        "it is no video capture device",
        "try the next one of: ls /dev/video*",
    ),
    Fault.NO_DATA: FaultText(
        "it was opened, but no picture came",
        "check the cable between sensor and encoder, and that the stream is not paused",
        may_pass=True,
        exit_code=_AWAY,
    ),
    Fault.BLACK: FaultText(
        "the pictures are black", "take off the lens cap, or light the scene", may_pass=True
    ),
    Fault.FROZEN: FaultText(
        "the picture never changes, not even by noise",
        "restart the camera; an encoder that hangs repeats its last picture",
        may_pass=True,
    ),
    Fault.CONNECTION_LOST: FaultText(
        "the connection to the camera ended",
        "check its power and network; the client goes on trying by itself",
        may_pass=True,
        exit_code=_AWAY,
    ),
}


class SourceError(ClientError):
    """The source gives no pictures; `fault` says why."""

    def __init__(self, fault: Fault, source: str, detail: str = "") -> None:
        text = FAULTS[fault]
        why = f"{text.why} ({detail})" if detail else text.why
        super().__init__(
            f"No picture comes from {source}.",
            f"{why[0].upper()}{why[1:]}.",
            text.next_step,
            exit_code=text.exit_code,
        )
        self.fault = fault
        self.detail = detail

    @property
    def may_pass(self) -> bool:
        """Whether waiting and trying again can mend it."""
        return FAULTS[self.fault].may_pass
