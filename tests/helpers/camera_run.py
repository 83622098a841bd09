"""A camera stream in the test's own process, and sources for it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

from cordon_camera.faults import Fault, SourceError
from cordon_camera.report import JsonReport
from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_camera.sources.picture import Picture, jpeg_picture
from cordon_camera.stream import CameraStream
from cordon_client.errors import ExitCode
from cordon_client.identity import ClientIdentity
from tests.helpers import pictures


def folder_of(path: Path) -> SourceSettings:
    return SourceSettings(SourceKind.FOLDER, path=path)


def file_of(path: Path) -> SourceSettings:
    return SourceSettings(SourceKind.FILE, path=path)


class Endless:
    """A live source: small JPEGs, a few milliseconds apart, until it is closed."""

    def __init__(self, frames: int | None = None) -> None:
        self._stop = Event()
        self._frames = frames

    def frames(self) -> Iterator[Picture]:
        count = 0
        while not self._stop.wait(0.003):
            if count == self._frames:
                raise SourceError(Fault.CONNECTION_LOST, "test")
            yield jpeg_picture(pictures.jpeg(pictures.flat(count % 256)))
            count += 1

    def close(self) -> None:
        self._stop.set()


LIVE = SourceSettings(SourceKind.RTSP, host="camera.test")


class Camera:
    """A stream with its report's lines."""

    def __init__(
        self,
        identity: ClientIdentity,
        source: SourceSettings,
        stream: StreamSettings | None = None,
        **options: object,
    ) -> None:
        self.out = io.StringIO()
        self.stream = CameraStream(
            identity,
            source,
            stream or StreamSettings(),
            JsonReport(self.out),
            **options,  # type: ignore[arg-type]  # passed on as they are
        )

    async def run(self) -> ExitCode:
        return await asyncio.wait_for(self.stream.run(), 20)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.out.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    @property
    def summary(self) -> dict[str, Any]:
        (found,) = self.events("summary")
        return found


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
