"""A camera that does nothing but send: frames from memory, over mutual TLS, as credit allows.

`python -m tests.bench.sender IDENTITY FRAMES [--warm N] [--pause SECONDS]` sends each frame once
and prints one JSON object. With a pause it sends one frame at a time: latency without a queue.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cordon.v1 import recognition_pb2 as pb
from cordon.v1.recognition_pb2_grpc import RecognitionServiceStub
from cordon_client.channel import open_channel
from cordon_client.identity import load_identity
from tests.bench.street import frame_files


class Sender:
    """One stream of stills: none is ever superseded."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._credit = asyncio.Semaphore(0)
        self._sent_s: dict[int, float] = {}
        self._sequence = 0
        self._told = asyncio.Condition()
        self.answers: list[pb.FrameResult] = []
        self.latencies_ms: list[float] = []

    async def hello(self) -> None:
        hello = pb.Hello(client_version="bench", source_kind=pb.SOURCE_KIND_STILLS)
        hello.sent_at.GetCurrentTime()
        await self._stream.write(pb.StreamFramesRequest(hello=hello))

    async def hear(self) -> None:
        """Takes what the server says until it ends the stream."""
        async for response in self._stream:
            match response.WhichOneof("payload"):
                case "credit":
                    for _ in range(response.credit.frames):
                        self._credit.release()
                case "result":
                    await self._take(response.result)
                case "halt":
                    raise RuntimeError(response.halt.message)

    async def send(self, jpegs: Sequence[bytes], pause_s: float = 0.0) -> float:
        """Sends every picture and waits for the last answer; returns how many seconds it took."""
        wanted = len(self.answers) + len(jpegs)
        began_s = time.perf_counter()
        for jpeg in jpegs:
            await self._credit.acquire()
            self._sequence += 1
            frame = pb.Frame(sequence=self._sequence, jpeg=jpeg)
            frame.captured_at.GetCurrentTime()
            self._sent_s[self._sequence] = time.perf_counter()
            await self._stream.write(pb.StreamFramesRequest(frame=frame))
            if pause_s:
                await self._wait_for(self._sequence)
                await asyncio.sleep(pause_s)
        await self._wait_for(wanted)
        return time.perf_counter() - began_s

    async def _take(self, result: pb.FrameResult) -> None:
        self.latencies_ms.append((time.perf_counter() - self._sent_s.pop(result.sequence)) * 1000)
        if result.outcome != pb.FRAME_OUTCOME_PROCESSED:
            raise RuntimeError(f"a frame was not processed: {result}")
        async with self._told:
            self.answers.append(result)
            self._told.notify_all()

    async def _wait_for(self, count: int) -> None:
        async with self._told:
            await self._told.wait_for(lambda: len(self.answers) >= count)


async def run(identity: Path, folder: Path, warm: int, pause_s: float) -> dict[str, Any]:
    jpegs = [path.read_bytes() for path in frame_files(folder)]
    async with open_channel(load_identity(identity)) as channel, asyncio.TaskGroup() as group:
        stream = RecognitionServiceStub(channel).StreamFrames()
        sender = Sender(stream)
        hearing = group.create_task(sender.hear())
        await sender.hello()
        await sender.send(jpegs[:warm])
        sender.latencies_ms.clear()
        elapsed_s = await sender.send(jpegs, pause_s)
        await stream.done_writing()
        await hearing
    answers = sender.answers[warm:]
    return {
        "frames": len(answers),
        "faces_detected": sum(answer.faces.detected for answer in answers),
        "faces": sum(answer.faces.searched for answer in answers),
        "elapsed_s": elapsed_s,
        "latencies_ms": sender.latencies_ms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("identity", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--warm", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(run(args.identity, args.frames, args.warm, args.pause))))


if __name__ == "__main__":
    main()
