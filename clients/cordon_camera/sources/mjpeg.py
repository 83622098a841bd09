"""A network camera that sends JPEG after JPEG over HTTP (multipart/x-mixed-replace)."""

from __future__ import annotations

from collections.abc import Iterator

from cordon_camera.faults import Fault, SourceError
from cordon_camera.settings import SourceSettings, StreamSettings
from cordon_camera.sources.picture import Picture
from cordon_camera.sources.rtsp import open_network

# Each part's JPEG is passed on as it is, so the stream need not be looked at before.
_OPTIONS = {"analyzeduration": "0", "probesize": "1048576", "multiple_requests": "0"}


class MjpegSource:
    """Pictures of an HTTP MJPEG stream; its end is a lost connection."""

    def __init__(self, source: SourceSettings, stream: StreamSettings) -> None:
        self._described = source.describe()
        scheme = "https" if source.tls else "http"
        self._container = open_network(source, scheme, stream, "mpjpeg", _OPTIONS)

    def frames(self) -> Iterator[Picture]:
        for picture, _ in self._container.pictures():
            yield picture
        if not self._container.stopped.is_set():
            raise SourceError(Fault.CONNECTION_LOST, self._described)

    def close(self) -> None:
        self._container.close()
