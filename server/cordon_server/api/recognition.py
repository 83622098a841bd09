"""RecognitionService: a camera's stream of frames, translated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from cordon.v1 import recognition_pb2, recognition_pb2_grpc
from cordon_server.acts import Recorder
from cordon_server.api import convert
from cordon_server.api.edge import Context, admitted, caller
from cordon_server.api.recording import act_on, recorded
from cordon_server.config.sections import Limits
from cordon_server.domain import Frame, InvalidInput
from cordon_server.recognition.load import Advice
from cordon_server.sessions.camera import CameraSession, Halted
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live

Requests = AsyncIterator[recognition_pb2.StreamFramesRequest]
Response = recognition_pb2.StreamFramesResponse
STREAM = "/cordon.v1.RecognitionService/StreamFrames"


class RecognitionServicer(recognition_pb2_grpc.RecognitionServiceServicer):
    """Lets cameras stream."""

    def __init__(
        self, live: Live, limits: Limits, recorder: Recorder, clock: Callable[[], datetime]
    ) -> None:
        self._live = live
        self._recorder = recorder
        self._limits = limits
        self._clock = clock

    async def StreamFrames(self, request_iterator: Requests, context: Context) -> None:  # type: ignore[override]  # noqa: N802  # grpcio's stub knows generators only
        hello = await _hello(request_iterator)
        session, deployment = await self._live.connect(
            caller().spiffe_id.name,
            sent_at=convert.moment(hello.sent_at, "hello.sent_at"),
            stills=hello.source_kind == recognition_pb2.SOURCE_KIND_STILLS,
        )
        act = act_on(STREAM, f"deployments/{session.deployment_id}", admitted())
        try:
            # On record before the first frame is asked for.
            async with recorded(self._recorder, act):
                await self._greet(session, context)
                answering = asyncio.create_task(self._answer(session, context))
                reading = asyncio.create_task(self._read(session, deployment, request_iterator))
                await _both(session, reading, answering)
        finally:
            session.close()

    async def _greet(self, session: CameraSession, context: Context) -> None:
        limits = self._limits
        welcome = recognition_pb2.Welcome(
            camera=f"cameras/{session.camera_id}",
            deployment=f"deployments/{session.deployment_id}",
            limits=recognition_pb2.FrameLimits(
                jpeg_bytes_max=limits.jpeg_bytes_max,
                width_max=limits.frame_width_max,
                height_max=limits.frame_height_max,
            ),
            server_time=convert.timestamp(self._clock()),
        )
        await context.write(Response(welcome=welcome))
        # The first of a session's answers, put there before it could have any other.
        first = await session.next_answer()
        assert isinstance(first, Advice)
        await context.write(Response(advice=convert.advice(first)))
        await context.write(Response(credit=recognition_pb2.Credit(frames=session.credit)))

    async def _read(
        self, session: CameraSession, deployment: OpenDeployment, requests: Requests
    ) -> None:
        async for request in requests:
            if request.WhichOneof("payload") != "frame":
                raise InvalidInput("Hello comes first and once; send frames now", field="payload")
            if session.is_halted:
                return  # it hears why from its Halt, and not from this frame's refusal
            self._live.check_open(deployment)
            session.offer(_frame(request.frame, session.camera_id), self._clock())
            del request  # Or the frame would be kept until the next one comes (R1).

    async def _answer(self, session: CameraSession, context: Context) -> None:
        """Writes answers until the camera has heard all, or is told to stop."""
        while (answer := await session.next_answer()) is not None:
            if isinstance(answer, Halted):
                await context.write(Response(halt=convert.halt(answer)))
                return
            if isinstance(answer, Advice):
                await context.write(Response(advice=convert.advice(answer)))
                continue
            latency_s = time.monotonic() - answer.frame.received_s
            result = convert.frame_result(answer, latency_s)
            del answer  # Or the frame would be kept until the next answer (R1).
            await context.write(Response(result=result))
            await context.write(Response(credit=recognition_pb2.Credit(frames=1)))


async def _hello(requests: Requests) -> recognition_pb2.Hello:
    first = await anext(requests, None)
    if first is None or first.WhichOneof("payload") != "hello":
        raise InvalidInput("the first message of a stream is Hello", field="payload")
    return first.hello


def _frame(message: recognition_pb2.Frame, camera_id: str) -> Frame:
    return Frame(
        camera_id=camera_id,
        sequence=message.sequence,
        captured_at=convert.moment(message.captured_at, "frame.captured_at"),
        received_s=time.monotonic(),
        jpeg=message.jpeg,
    )


async def _both(
    session: CameraSession, reading: asyncio.Task[None], answering: asyncio.Task[None]
) -> None:
    """Runs until the camera has said its last and heard all, or is told to stop."""
    try:
        await asyncio.wait({reading, answering}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            reading.result()
            session.drain()
        await answering
    finally:
        for task in (reading, answering):
            task.cancel()
        await asyncio.gather(reading, answering, return_exceptions=True)
