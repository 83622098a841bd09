"""A network camera by RTSP, over TCP: behind a firewall and on Wi-Fi UDP loses pictures."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import av

from cordon_camera.faults import Fault, SourceError
from cordon_camera.probe import first_fault
from cordon_camera.settings import SourceSettings, StreamSettings
from cordon_camera.sources.container import Container
from cordon_camera.sources.picture import Picture

_OPTIONS = {
    "rtsp_transport": "tcp",
    # Half a second of looking is enough for a video stream; the default of 5 s delays the start.
    "analyzeduration": "500000",
    "allowed_media_types": "video",
}


class RtspSource:
    """Pictures of an RTSP stream; its end is a lost connection."""

    def __init__(self, source: SourceSettings, stream: StreamSettings) -> None:
        self._described = source.describe()
        scheme = "rtsps" if source.tls else "rtsp"
        self._container = open_network(source, scheme, stream, None, _OPTIONS)

    def frames(self) -> Iterator[Picture]:
        for picture, _ in self._container.pictures():
            yield picture
            del picture
        if not self._container.stopped.is_set():
            raise SourceError(Fault.CONNECTION_LOST, self._described)

    def close(self) -> None:
        self._container.close()


def open_network(
    source: SourceSettings,
    scheme: str,
    stream: StreamSettings,
    format: str | None,
    options: dict[str, str],
) -> Container:
    """The opened stream; when that fails, the camera is asked why, and SourceError says it.

    The errors of the library hold the URL with the password: they go no further than here.
    """
    described = source.describe()
    try:
        return Container(
            url_of(source, scheme),
            described,
            format=format,
            options=options,
            threads=stream.threads,
        )
    except (av.FFmpegError, OSError):
        pass
    found = first_fault(source)
    if found is not None:
        raise SourceError(found.fault, described, found.detail)
    raise SourceError(Fault.NO_DATA, described)


def url_of(source: SourceSettings, scheme: str) -> str:
    """The URL with user and password; it lives for the opening alone and is never printed."""
    host = f"[{source.host}]" if ":" in source.host else source.host
    signs_in = ""
    if source.user:
        signs_in = f"{quote(source.user, safe='')}:{quote(source.password, safe='')}@"
    path = source.stream_path
    slash = "" if path.startswith("/") else "/"
    return f"{scheme}://{signs_in}{host}:{source.effective_port}{slash}{path}"
