"""One camera that misbehaves: `python -m tests.bench.bad_camera IDENTITY FRAMES KIND FPS SECONDS`.

Two for comparison: `good` sends as the others do, `greedy` a picture as soon as the one before was
answered, which takes a camera's full turn. `flood` sends whenever it has credit, `garbage` half
of each picture, `sizes` the picture at another size each time; `stall` stops within a frame and
stays connected. Prints how many frames it sent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import grpc
from simplejpeg import decode_jpeg, encode_jpeg

from cordon.v1 import recognition_pb2 as pb
from cordon.v1.recognition_pb2_grpc import RecognitionServiceStub
from cordon_client.channel import open_channel
from cordon_client.identity import ClientIdentity, load_identity, split_address
from tests.bench.street import frame_files
from tests.helpers.tcp_proxy import TcpProxy

_STALLED_BYTES = 50_000
SIZES = ((1920, 1080), (640, 480), (480, 640), (1280, 720))


def _same(jpegs: list[bytes]) -> list[bytes]:
    return jpegs


def _halves(jpegs: list[bytes]) -> list[bytes]:
    return [jpeg[: len(jpeg) // 2] for jpeg in jpegs]


def _resized(jpegs: list[bytes]) -> list[bytes]:
    return [
        encode_jpeg(cv2.resize(decode_jpeg(jpeg, "BGR"), size), quality=90, colorspace="BGR")
        for jpeg, size in zip(jpegs, cycle(SIZES), strict=False)
    ]


KINDS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "good": _same,
    "greedy": _same,
    "flood": _same,
    "garbage": _halves,
    "sizes": _resized,
    "stall": _same,
}
"""What each sends of the pictures."""


class BadCamera:
    """One stream."""

    def __init__(self, jpegs: list[bytes], fps: float, *, waits: bool = False) -> None:
        """`fps` 0 sends whenever there is credit, or with `waits` when the last was answered."""
        self.sent = 0
        self._jpegs = jpegs
        self._fps = fps
        self._credit = asyncio.Semaphore(0)
        self._waits = waits
        self._answered = asyncio.Semaphore(0)

    async def run(self, channel: grpc.aio.Channel, proxy: TcpProxy | None) -> None:
        """Streams until it is cancelled."""
        call = RecognitionServiceStub(channel).StreamFrames()
        hello = pb.Hello(client_version="bench", source_kind=pb.SOURCE_KIND_VIDEO)
        hello.sent_at.GetCurrentTime()
        await call.write(pb.StreamFramesRequest(hello=hello))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(call))
            await self._credit.acquire()
            if proxy is not None:
                await proxy.stall_after(_STALLED_BYTES)
            await self._send(call)

    async def _send(self, call: Any) -> None:
        began_s = time.perf_counter()
        for jpeg in cycle(self._jpegs):
            self.sent += 1
            frame = pb.Frame(sequence=self.sent, jpeg=jpeg)
            frame.captured_at.GetCurrentTime()
            await call.write(pb.StreamFramesRequest(frame=frame))
            if self._fps:
                await asyncio.sleep(began_s + self.sent / self._fps - time.perf_counter())
            if self._waits:
                await self._answered.acquire()
            await self._credit.acquire()

    async def _hear(self, call: Any) -> None:
        async for response in call:
            if response.WhichOneof("payload") == "result":
                self._answered.release()
            for _ in range(response.credit.frames):
                self._credit.release()


async def misbehave(
    identity: ClientIdentity, jpegs: list[bytes], kind: str, fps: float, seconds: float
) -> int:
    """Streams for so many seconds; how many frames went out."""
    is_paced = kind not in ("greedy", "flood")
    camera = BadCamera(KINDS[kind](jpegs), fps if is_paced else 0.0, waits=kind == "greedy")
    async with _way(identity, kind) as (reached, proxy), open_channel(reached) as channel:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                try:
                    await camera.run(channel, proxy)
                except* (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    if proxy is None:
                        raise
                    await asyncio.sleep(seconds)  # its kernel has given the connection up
    return camera.sent


@asynccontextmanager
async def _way(
    identity: ClientIdentity, kind: str
) -> AsyncIterator[tuple[ClientIdentity, TcpProxy | None]]:
    """How the server is reached: straight, or over a network that may stall."""
    if kind != "stall":
        yield identity, None
        return
    _, port = split_address(identity.server)
    async with TcpProxy(port).running() as proxy:
        yield replace(identity, server=proxy.address), proxy


def main() -> None:
    identity, frames, kind, fps, seconds = sys.argv[1:]
    jpegs = [path.read_bytes() for path in frame_files(Path(frames))]
    sent = asyncio.run(
        misbehave(load_identity(Path(identity)), jpegs, kind, float(fps), float(seconds))
    )
    print(sent)


if __name__ == "__main__":
    main()
