"""A real mutual-TLS server that speaks RecognitionService and does as the test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from cordon.v1 import recognition_pb2 as pb
from cordon.v1 import recognition_pb2_grpc
from cordon_client.identity import ClientIdentity
from tests.helpers.pki import DAY, HOUR, Authority

Outcome = Callable[[pb.Frame], pb.FrameOutcome.ValueType]


def processed(_: pb.Frame) -> pb.FrameOutcome.ValueType:
    """Every frame is processed."""
    return pb.FRAME_OUTCOME_PROCESSED


@dataclass
class Script:
    """What the server does; a test changes it at any time."""

    credit: int = 2
    outcome: Outcome = processed
    refuse: tuple[grpc.StatusCode, str] | None = None
    """Every stream is refused with this."""
    break_after: int = 0
    """The next stream breaks, unanswered, once it has received so many frames; then this is 0."""
    halt: tuple[pb.HaltReason.ValueType, str] | None = None
    """Every stream is halted at its first frame."""
    advice: pb.Advice | None = None
    clock_ahead: timedelta = timedelta()
    jpeg_bytes_max: int = 4_000_000
    answer_gate: asyncio.Event | None = None
    """Answers wait for this."""


@dataclass
class RecognitionServer(recognition_pb2_grpc.RecognitionServiceServicer):
    """Records what it hears, in the order of hearing."""

    script: Script = field(default_factory=Script)
    hellos: list[pb.Hello] = field(default_factory=list)
    frames: list[pb.Frame] = field(default_factory=list)
    sequences: list[list[int]] = field(default_factory=list)
    """Of each stream."""
    overdrawn: int = 0
    """Frames that came without credit."""

    async def StreamFrames(  # noqa: N802 - the name is the contract's
        self, request_iterator: AsyncIterator[pb.StreamFramesRequest], context: Any
    ) -> AsyncIterator[pb.StreamFramesResponse]:
        script = self.script
        if script.refuse is not None:
            await context.abort(*script.refuse)
        first = await anext(request_iterator)
        assert first.WhichOneof("payload") == "hello"
        self.hellos.append(first.hello)
        self.sequences.append([])
        yield pb.StreamFramesResponse(welcome=self._welcome())
        if script.advice is not None:
            yield pb.StreamFramesResponse(advice=script.advice)
        yield pb.StreamFramesResponse(credit=pb.Credit(frames=script.credit))
        async for response in self._answers(request_iterator, context):
            yield response

    async def _answers(
        self, requests: AsyncIterator[pb.StreamFramesRequest], context: Any
    ) -> AsyncIterator[pb.StreamFramesResponse]:
        script = self.script
        credit, received = script.credit, 0
        async for request in requests:
            received += 1
            self.overdrawn += credit == 0
            credit -= 1
            self.sequences[-1].append(request.frame.sequence)
            if script.break_after and received >= script.break_after:
                script.break_after = 0
                await context.abort(grpc.StatusCode.UNAVAILABLE, "The server is restarting.")
            if script.halt is not None:
                reason, message = script.halt
                yield pb.StreamFramesResponse(halt=pb.Halt(reason=reason, message=message))
                return
            if script.break_after:
                continue
            self.frames.append(request.frame)
            if script.answer_gate is not None:
                await script.answer_gate.wait()
            yield pb.StreamFramesResponse(result=self._result(request.frame))
            credit += 1
            yield pb.StreamFramesResponse(credit=pb.Credit(frames=1))

    def _welcome(self) -> pb.Welcome:
        welcome = pb.Welcome(
            camera="cameras/gate-1",
            deployment="deployments/market",
            limits=pb.FrameLimits(
                jpeg_bytes_max=self.script.jpeg_bytes_max, width_max=4096, height_max=4096
            ),
        )
        welcome.server_time.FromDatetime(datetime.now(UTC) + self.script.clock_ahead)
        return welcome

    def _result(self, frame: pb.Frame) -> pb.FrameResult:
        outcome = self.script.outcome(frame)
        result = pb.FrameResult(sequence=frame.sequence, outcome=outcome)
        if outcome == pb.FRAME_OUTCOME_PROCESSED:
            result.faces.detected = result.faces.searched = 2
        if outcome == pb.FRAME_OUTCOME_REJECTED:
            result.error.reason = "FRAME_NOT_JPEG"
            result.error.message = "This is not a JPEG; send baseline JPEG."
        result.latency.FromTimedelta(timedelta(milliseconds=5))
        return result


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens, and an identity that may come."""

    servicer: RecognitionServer
    identity: ClientIdentity
    authority: Authority
    port: int
    stop: Callable[[], Any]


@asynccontextmanager
async def running_server(
    folder: Path,
    script: Script | None = None,
    *,
    port: int = 0,
    authority: Authority | None = None,
    certificate_start: timedelta = -HOUR,
    options: tuple[tuple[str, int], ...] = (),
) -> AsyncIterator[RunningServer]:
    """A server on 127.0.0.1 for the block, with mutual TLS."""
    authority = authority or Authority()
    leaf = authority.server(life=(certificate_start, certificate_start + DAY))
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", 16 * 2**20),
            *options,
        ]
    )
    servicer = RecognitionServer(script or Script())
    recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(servicer, server)
    port = server.add_secure_port(f"127.0.0.1:{port}", authority.server_credentials(leaf))
    await server.start()
    identity = authority.client(folder / "identity", f"127.0.0.1:{port}", role="camera")
    try:
        yield RunningServer(servicer, identity, authority, port, lambda: server.stop(0))
    finally:
        await server.stop(0)
