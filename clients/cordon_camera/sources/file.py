"""A video file (or one picture), played at its own speed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import av

from cordon_camera.faults import Fault, SourceError
from cordon_camera.settings import SourceSettings, StreamSettings
from cordon_camera.sources.container import Container
from cordon_camera.sources.pace import Metronome, Pace
from cordon_camera.sources.picture import Picture, taken_now


class FileSource:
    """Pictures of a file: in real time, at `fps`, or as fast as they are taken."""

    def __init__(self, source: SourceSettings, stream: StreamSettings) -> None:
        assert source.path is not None
        self._path = source.path
        self._described = source.describe()
        self._stream = stream
        self._stop = Event()
        self._container: Container | None = self._open()

    def frames(self) -> Iterator[Picture]:
        paced = self._stream.realtime or bool(self._stream.fps)
        metronome = Metronome(Pace(self._stream.fps) if paced else None, self._stop)
        while True:
            for picture, position_s in self._opened().pictures():
                if not metronome.wait(position_s):
                    return
                yield taken_now(picture)
                del picture
            # Let go of this decoder before there is another: each holds some 25 MB at 1080p.
            self._container = None
            if not self._stream.loop or self._stop.is_set():
                return
            metronome.restart()

    def close(self) -> None:
        self._stop.set()
        if (container := self._container) is not None:
            container.close()

    def _opened(self) -> Container:
        if self._container is None:
            self._container = self._open()
        return self._container

    def _open(self) -> Container:
        check_readable(self._path, self._described)
        try:
            # "file:" keeps a path such as "http:x" from being taken for a URL.
            return Container(f"file:{self._path}", self._described, threads=self._stream.threads)
        except (av.FFmpegError, OSError):
            raise SourceError(Fault.NOT_A_VIDEO, self._described) from None


def check_readable(path: Path, described: str) -> None:
    """Raises SourceError where a file or folder is missing or may not be read."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            path.open("rb").close()
    except FileNotFoundError as error:
        raise SourceError(Fault.MISSING, described) from error
    except OSError as error:
        raise SourceError(Fault.NO_PERMISSION, described, error.strerror or "") from error
