"""Pictures out of whatever PyAV opens: MJPEG packets as they are, everything else decoded.

Knows nothing of where the bytes come from. PyAV's own error texts carry the URL, password
included: they are never shown, nor chained to what is raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Event
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from cordon_camera import jpeg as jpeg_bytes
from cordon_camera.faults import Fault, SourceError
from cordon_camera.sources.picture import Picture, decoded_picture, jpeg_picture

if TYPE_CHECKING:
    from av import Packet

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
# A damaged packet is skipped; this many in a row mean that nothing can be decoded.
BROKEN_PACKETS_MAX = 100


class Container:
    """One opened container with a video stream.

    Raises av.FFmpegError from the constructor: the kind of source knows what that means.
    """

    def __init__(
        self,
        url: str,
        described: str,
        *,
        format: str | None = None,
        options: Mapping[str, str] | None = None,
        threads: int = 1,
    ) -> None:
        self._described = described
        self._stop = Event()
        self._any_picture = False
        self._broken = 0
        self._container: InputContainer = av.open(
            url,
            mode="r",
            format=format,
            options=dict(options or {}),
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
        )
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(Fault.NOT_A_VIDEO, described, "no video stream")
        self._video: VideoStream = self._container.streams.video[0]
        context = self._video.codec_context
        if context is None:
            self._container.close()
            raise SourceError(Fault.CODEC, described)
        # Threads by slices: threads by frames would each hold a frame and delay it.
        self._video.thread_type = "SLICE"
        context.thread_count = threads

    @property
    def stopped(self) -> Event:
        """Set by close."""
        return self._stop

    @property
    def codec(self) -> str:
        """The codec's name, "h264"."""
        return self._video.codec_context.name

    def pictures(self) -> Iterator[tuple[Picture, float]]:
        """Each picture with its position in seconds; the container closes at their end."""
        try:
            yield from self._pictures()
        finally:
            self._container.close()

    def close(self) -> None:
        """Asks `pictures` to end; it closes the container in its own thread."""
        self._stop.set()

    def _pictures(self) -> Iterator[tuple[Picture, float]]:
        passes_through = self.codec == "mjpeg"
        tick_s = float(self._video.time_base or 0)
        for packet in self._packets():
            untouched = _untouched(packet, tick_s) if passes_through else None
            if untouched is None:
                yield from self._decoded(packet)
            else:
                self._any_picture = True
                yield untouched
        if not self._any_picture and not self._stop.is_set():
            raise SourceError(Fault.NOT_A_VIDEO, self._described)

    def _decoded(self, packet: Packet[VideoStream]) -> Iterator[tuple[Picture, float]]:
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError):
            self._broken += 1
            if self._broken > BROKEN_PACKETS_MAX:
                raise SourceError(Fault.NOT_A_VIDEO, self._described, "damaged") from None
            return
        self._broken = 0
        while frames:
            self._any_picture = True
            frame = frames.pop(0)
            position_s = frame.time or 0.0
            picture = decoded_picture(frame)
            del frame  # a decoded frame is megabytes: nobody keeps it but who is given it
            yield picture, position_s
            del picture

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        packets = self._container.demux(self._video)
        while not self._stop.is_set():
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise _read_failure(error, self._described) from None
            if packet is None:
                return
            yield packet


def _read_failure(error: Exception, described: str) -> SourceError:
    if isinstance(error, av.ExitError | TimeoutError):
        return SourceError(Fault.NO_DATA, described, f"nothing for {READ_TIMEOUT_S:.0f} s")
    return SourceError(Fault.CONNECTION_LOST, described)


def _untouched(packet: Packet[VideoStream], tick_s: float) -> tuple[Picture, float] | None:
    """The packet as the JPEG that it is; None where it is not one."""
    data = bytes(packet)
    if not jpeg_bytes.is_jpeg(data):
        return None
    return jpeg_picture(data), (packet.pts or 0) * tick_s
