"""What a camera client is told: where the pictures come from and how they are sent.

Address, user, password and path stay apart; a URL exists only in memory while a source is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cordon_client.errors import ClientError, ExitCode


class SettingError(ClientError):
    """A setting breaks a rule; `field` names it."""

    def __init__(self, field: str, rule: str, hint: str = "") -> None:
        super().__init__(f"The setting {field} {rule}.", "", hint, exit_code=ExitCode.USAGE)
        self.field = field
        self.rule = rule


class SourceKind(StrEnum):
    """The kinds of source."""

    FILE = "file"
    FOLDER = "folder"
    WEBCAM = "webcam"
    RTSP = "rtsp"
    MJPEG = "mjpeg"

    @property
    def is_network(self) -> bool:
        return self in (SourceKind.RTSP, SourceKind.MJPEG)

    @property
    def is_live(self) -> bool:
        """Whether pictures come at their own pace and an end is a fault, not an end."""
        return self.is_network or self is SourceKind.WEBCAM


_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%\w]*")
_DEVICE = re.compile(r"[0-9]{1,3}|/dev/[\w./-]+")
_DEFAULT_PORTS = {
    (SourceKind.RTSP, False): 554,
    (SourceKind.RTSP, True): 322,
    (SourceKind.MJPEG, False): 80,
    (SourceKind.MJPEG, True): 443,
}


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where pictures come from; only the fields of its kind are set. It prints no password."""

    kind: SourceKind
    path: Path | None = None
    """File or folder."""
    device: str = ""
    """Webcam: "/dev/video0", or the number alone."""
    host: str = ""
    """Network camera: name or IP address, without brackets."""
    port: int = 0
    """Network camera: TCP port; 0 for the protocol's own."""
    user: str = ""
    """Network camera: who signs in; empty for nobody."""
    password: str = field(default="", repr=False)
    stream_path: str = ""
    """Network camera: path of the stream, "/h264/main"; a query may follow."""
    tls: bool = False
    """Network camera: RTSPS or HTTPS. The certificate is not verified: cameras sign their own."""

    def __post_init__(self) -> None:
        self._check_presence()
        if self.kind is SourceKind.WEBCAM and not _DEVICE.fullmatch(self.device):
            raise SettingError("device", "must be a number or a path below /dev", "try: 0")
        if self.kind.is_network:
            self._check_network()

    def _check_presence(self) -> None:
        needed = {SourceKind.FILE: "path", SourceKind.FOLDER: "path", SourceKind.WEBCAM: "device"}
        name = needed.get(self.kind, "host")
        if not getattr(self, name):
            raise SettingError(name, f"is needed for a source of kind {self.kind}")
        allowed = {name} if not self.kind.is_network else _NETWORK_FIELDS
        for each in fields(self):
            if each.name not in {"kind", *allowed} and getattr(self, each.name) != each.default:
                raise SettingError(each.name, f"has no meaning for a source of kind {self.kind}")

    def _check_network(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise SettingError(
                "host",
                "must be a host name or an IP address alone",
                "port, user and path are settings of their own",
            )
        if not 0 <= self.port <= 65535:
            raise SettingError("port", "must be 1 to 65535")
        if self.password and not self.user:
            raise SettingError("user", "is needed with a password")
        if any(ord(c) < 33 or ord(c) == 127 for c in self.stream_path):
            raise SettingError("stream_path", "must not contain spaces or control characters")

    @property
    def effective_port(self) -> int:
        """The port to connect to."""
        return self.port or _DEFAULT_PORTS[self.kind, self.tls]

    @property
    def device_path(self) -> Path:
        """The webcam's device file."""
        return Path(f"/dev/video{self.device}" if self.device.isdigit() else self.device)

    def describe(self) -> str:
        """The source for people and logs: neither user nor password, nor the path's query."""
        if self.kind.is_network:
            host = f"[{self.host}]" if ":" in self.host else self.host
            path = self.stream_path.partition("?")[0]
            return f"{self.kind} {host}:{self.effective_port}{path}"
        if self.kind is SourceKind.WEBCAM:
            return f"webcam {self.device_path}"
        return f"{self.kind} {self.path}"


_NETWORK_FIELDS = {"host", "port", "user", "password", "stream_path", "tls"}


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How pictures are sent."""

    fps: float = 0.0
    """Pictures a second at most; for a file or folder, its pace. 0: the source's own pace."""
    loop: bool = False
    """A file or folder starts again at its end."""
    realtime: bool = True
    """A file plays at its own speed. False: every picture, as fast as the server takes them."""
    as_video: bool = False
    """A folder's pictures are successive pictures of one scene, paced by `fps` (25 if 0)."""
    jpeg_quality: int = 0
    """Where this client encodes: 70 is visibly worse for small faces, above 95 only grows.
    0: as the server advises, else 85."""
    side_px_max: int = 0
    """Longest side where this client encodes; the server's advice may lower it. 0: no bound."""
    threads: int = 1
    """Decoder threads; each costs memory, and one is enough for 1080p."""

    def __post_init__(self) -> None:
        _within("fps", self.fps, 0, 240)
        _within("jpeg_quality", self.jpeg_quality, 0, 100)
        _within("threads", self.threads, 1, 16)
        if self.side_px_max and not 160 <= self.side_px_max <= 16384:
            raise SettingError("side_px_max", "must be 0 or 160 to 16384")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # "not <=" also refuses NaN
        raise SettingError(name, f"must be {low:g} to {high:g}")


def parse_uri(uri: str) -> SourceSettings:
    """The source that a URI, a path, or "webcam:0" names; raises SettingError.

    Meant for short-lived use: a password in a URI given to a program is seen by others.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "webcam":
        return SourceSettings(SourceKind.WEBCAM, device=rest)
    if uri.startswith("/dev/video"):
        return SourceSettings(SourceKind.WEBCAM, device=uri)
    if scheme in _SCHEMES and rest.startswith("//"):
        return _parse_network(uri)
    if rest.startswith("//") and scheme != "file":
        raise SettingError(
            "source", f"has no known scheme: {scheme}", "use rtsp, rtsps, http, https, file, webcam"
        )
    path = Path(unquote(urlsplit(uri).path) if scheme == "file" and rest else uri)
    kind = SourceKind.FOLDER if path.is_dir() else SourceKind.FILE
    return SourceSettings(kind, path=path)


_SCHEMES = {
    "rtsp": (SourceKind.RTSP, False),
    "rtsps": (SourceKind.RTSP, True),
    "http": (SourceKind.MJPEG, False),
    "https": (SourceKind.MJPEG, True),
}


def _parse_network(uri: str) -> SourceSettings:
    try:
        parts = urlsplit(uri)
        port = parts.port or 0
    except ValueError:
        # The library's own message would repeat the URI, password included.
        raise SettingError("source", "is not a URI that can be read") from None
    kind, tls = _SCHEMES[parts.scheme]
    return SourceSettings(
        kind,
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        stream_path=parts.path + (f"?{parts.query}" if parts.query else ""),
        tls=tls,
    )
