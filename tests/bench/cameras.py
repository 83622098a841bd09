"""Any number of cameras in one process, each over a connection of its own, for a stretch of time.

`python -m tests.bench.cameras PLAN` prints one JSON object. A camera with a rate offers a picture
at every beat, whether or not the last one went out, and keeps only the newest: an open loop, as
cameras are. One without a rate sends a picture when the one before was answered, and stills
whenever it holds credit: a closed loop, which finds the capacity and supersedes nothing. Both
ignore advice. What is counted is what happened within the stretch, after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import grpc

from cordon.v1 import recognition_pb2 as pb
from cordon.v1.recognition_pb2_grpc import RecognitionServiceStub
from cordon_client.identity import load_identity
from cordon_client.transport import MESSAGE_BYTES_MAX, machine_channel
from tests.bench.harness import run_program
from tests.bench.street import frame_files

_CONNECT_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """How one camera sends."""

    identity: str
    """Its identity folder."""
    fps: float = 0.0
    """Pictures it offers a second; 0 is a closed loop."""
    stills: bool = False
    plain_address: str = ""
    """Sends here without TLS instead."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent, by whom and how long."""

    frames: str
    """A folder of JPEGs, sent in their order, again and again."""
    cameras: tuple[CameraPlan, ...]
    seconds: float
    warm_s: float = 1.0
    clip_fps: float = 0.0
    """Pictures are dated as a video of this rate, however fast they are sent; 0 dates them now."""


@dataclass(slots=True)
class Tally:
    """What became of one camera's pictures."""

    offered: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    faces: Counter[str] = field(default_factory=Counter)
    ages_ms: list[float] = field(default_factory=list)
    """Of each processed one: from when it was taken to its result."""

    def as_dict(self) -> dict[str, Any]:
        # Not asdict: it makes something else of a Counter.
        return {
            "offered": self.offered,
            "fates": dict(self.fates),
            "faces": dict(self.faces),
            "ages_ms": self.ages_ms,
        }


@dataclass(slots=True)
class Stretch:
    """When counting begins and ends."""

    begin_s: float = float("inf")
    end_s: float = float("inf")

    def holds(self, now_s: float) -> bool:
        return self.begin_s <= now_s < self.end_s


class Camera:
    """One stream."""

    def __init__(
        self, plan: CameraPlan, jpegs: Sequence[bytes], stretch: Stretch, clip_fps: float
    ) -> None:
        self.tally = Tally()
        self.welcomed = asyncio.Event()
        self._plan = plan
        self._jpegs = jpegs
        self._stretch = stretch
        self._clip_fps = clip_fps
        self._credit = asyncio.Semaphore(0)
        self._answered = asyncio.Event()
        self._answered.set()
        self._offered = asyncio.Event()
        self._newest: tuple[int, float] | None = None
        self._taken_s: dict[int, float] = {}

    async def run(self, delay_s: float) -> None:
        """Connects, and sends until the stretch ends; `delay_s` shifts its beat."""
        async with self._channel() as channel:
            call = RecognitionServiceStub(channel).StreamFrames()
            kind = pb.SOURCE_KIND_STILLS if self._plan.stills else pb.SOURCE_KIND_VIDEO
            hello = pb.Hello(client_version="bench", source_kind=kind)
            hello.sent_at.GetCurrentTime()
            await call.write(pb.StreamFramesRequest(hello=hello))
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(self._hear(call))
                beating = group.create_task(self._beat(delay_s)) if self._plan.fps else None
                await self._send(call)
                if beating is not None:
                    beating.cancel()
                await call.done_writing()
                await hearing

    def _channel(self) -> grpc.aio.Channel:
        if not self._plan.plain_address:
            return machine_channel(load_identity(Path(self._plan.identity)))
        limits = [
            (f"grpc.max_{way}_message_length", MESSAGE_BYTES_MAX) for way in ("send", "receive")
        ]
        return grpc.aio.insecure_channel(self._plan.plain_address, options=limits)

    async def _beat(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        began_s = time.perf_counter()
        for number in count():
            due_s = began_s + number / self._plan.fps
            await asyncio.sleep(due_s - time.perf_counter())
            self._newest = (number, time.perf_counter())
            self.tally.offered += self._stretch.holds(due_s)
            self._offered.set()

    async def _send(self, call: Any) -> None:
        began = datetime.now(UTC)
        for sequence in count(1):
            number, taken_s = await self._next(sequence - 1)
            if taken_s >= self._stretch.end_s:
                return
            frame = pb.Frame(sequence=sequence, jpeg=self._jpegs[number % len(self._jpegs)])
            age = timedelta(seconds=time.perf_counter() - taken_s)
            dated = datetime.now(UTC) - age
            if self._clip_fps:
                dated = began + timedelta(seconds=number / self._clip_fps)
            frame.captured_at.FromDatetime(dated)
            self._taken_s[sequence] = taken_s
            await call.write(pb.StreamFramesRequest(frame=frame))

    async def _next(self, number: int) -> tuple[int, float]:
        """The number of a picture to send now, and when it was taken."""
        await self._credit.acquire()
        if not self._plan.fps:
            if not self._plan.stills:
                # With two of a camera under way and none in work, one only displaces the other.
                await self._answered.wait()
                self._answered.clear()
            return number, time.perf_counter()
        while self._newest is None:
            self._offered.clear()
            await self._offered.wait()
        newest, self._newest = self._newest, None
        return newest

    async def _hear(self, call: Any) -> None:
        async for response in call:
            match response.WhichOneof("payload"):
                case "welcome":
                    self.welcomed.set()
                case "credit":
                    for _ in range(response.credit.frames):
                        self._credit.release()
                case "result":
                    self._count(response.result)
                case "halt":
                    raise RuntimeError(response.halt.message)

    def _count(self, result: pb.FrameResult) -> None:
        now_s = time.perf_counter()
        self._answered.set()
        taken_s = self._taken_s.pop(result.sequence)
        if result.outcome == pb.FRAME_OUTCOME_REJECTED:
            raise RuntimeError(f"a frame was rejected: {result.error.message}")
        if not self._stretch.holds(now_s):
            return
        fate = pb.FrameOutcome.Name(result.outcome).removeprefix("FRAME_OUTCOME_").lower()
        self.tally.fates[fate] += 1
        if result.outcome == pb.FRAME_OUTCOME_PROCESSED:
            self.tally.ages_ms.append((now_s - taken_s) * 1000)
            for name in ("detected", "searched", "embedded"):
                self.tally.faces[name] += getattr(result.faces, name)


async def stream(plan: Plan) -> dict[str, Any]:
    """Runs the plan; what each camera counted, and what this process itself took."""
    jpegs = [path.read_bytes() for path in frame_files(Path(plan.frames))]
    stretch = Stretch()
    cameras = [Camera(each, jpegs, stretch, plan.clip_fps) for each in plan.cameras]
    async with asyncio.TaskGroup() as group:
        for number, camera in enumerate(cameras):
            share = number / len(cameras)
            group.create_task(camera.run(share / (plan.cameras[number].fps or 1.0)))
        async with asyncio.timeout(_CONNECT_S_MAX):
            await asyncio.gather(*(camera.welcomed.wait() for camera in cameras))
        begin_s = time.perf_counter() + plan.warm_s
        stretch.begin_s, stretch.end_s = begin_s, begin_s + plan.seconds
        await asyncio.sleep(plan.warm_s)
        cpu_s = time.process_time()
        await asyncio.sleep(plan.seconds)
        cpu_s = time.process_time() - cpu_s
    tallies = [camera.tally.as_dict() for camera in cameras]
    return {"seconds": plan.seconds, "client_cpu_s": cpu_s, "cameras": tallies}


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a plan gave."""

    seconds: float
    client_cpu_s: float
    cameras: list[dict[str, Any]]

    def total(self, kind: str, name: str) -> int:
        """Of all cameras: a fate ("fates", "processed") or a face count ("faces", "embedded")."""
        return sum(camera[kind].get(name, 0) for camera in self.cameras)

    @property
    def frames_per_s(self) -> float:
        return self.total("fates", "processed") / self.seconds

    @property
    def faces_per_s(self) -> float:
        return self.total("faces", "embedded") / self.seconds

    @property
    def ages_ms(self) -> list[float]:
        return [age for camera in self.cameras for age in camera["ages_ms"]]


def run_plan(plan: Plan) -> Streamed:
    """The plan in a process of its own."""
    return Streamed(**run_program("cameras", json.dumps(asdict(plan))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="a Plan as JSON")
    told = json.loads(parser.parse_args().plan)
    plans = tuple(CameraPlan(**each) for each in told.pop("cameras"))
    print(json.dumps(asyncio.run(stream(Plan(cameras=plans, **told)))))


if __name__ == "__main__":
    main()
