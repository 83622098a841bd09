"""The pictures of a folder, in the order of their names: each for itself, or paced as a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import av

from cordon_camera import jpeg as jpeg_bytes
from cordon_camera.faults import Fault, SourceError
from cordon_camera.settings import SourceSettings, StreamSettings
from cordon_camera.sources.container import Container
from cordon_camera.sources.file import check_readable
from cordon_camera.sources.pace import Metronome, Pace
from cordon_camera.sources.picture import Picture, jpeg_picture, taken_now

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
_FPS_AS_VIDEO = 25.0


class FolderSource:
    """Every picture of a folder and of the folders in it, once (or in a loop).

    JPEG files pass through untouched, EXIF orientation included. So do files that are no picture
    after all: the server says of each, by name, what is wrong.
    """

    def __init__(self, source: SourceSettings, stream: StreamSettings) -> None:
        assert source.path is not None
        self._folder = source.path
        self._described = source.describe()
        self._stream = stream
        self._stop = Event()
        check_readable(self._folder, self._described)
        self._paths = picture_files(self._folder)
        if not self._paths:
            raise SourceError(Fault.NO_PICTURES, self._described)

    def frames(self) -> Iterator[Picture]:
        fps = self._stream.fps or (_FPS_AS_VIDEO if self._stream.as_video else 0.0)
        metronome = Metronome(Pace(fps) if fps else None, self._stop)
        while True:
            for path in self._paths:
                picture = self._read(path)
                if not metronome.wait(0.0):
                    return
                yield taken_now(picture)
            if not self._stream.loop or self._stop.is_set():
                return

    def close(self) -> None:
        self._stop.set()

    def _read(self, path: Path) -> Picture:
        name = str(path.relative_to(self._folder))
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceError(Fault.NO_PERMISSION, f"file {path}", error.strerror or "") from error
        if jpeg_bytes.is_jpeg(data) or path.suffix.lower() in (".jpg", ".jpeg"):
            return jpeg_picture(data, name=name)
        return _decoded(path, name) or jpeg_picture(data, name=name)


def _decoded(path: Path, name: str) -> Picture | None:
    """The file's first picture; None where there is none."""
    try:
        picture, _ = next(Container(f"file:{path}", name).pictures())
    except (av.FFmpegError, OSError, SourceError):
        return None
    return replace(picture, name=name)


def picture_files(folder: Path) -> list[Path]:
    """The picture files below a folder, sorted by their paths; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
