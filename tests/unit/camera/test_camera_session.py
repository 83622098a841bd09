"""One stream's session over a call that the test plays."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from cordon.v1 import recognition_pb2 as pb
from cordon_camera.flow import Flow
from cordon_camera.session import Ended, Session
from cordon_camera.slot import Slot
from cordon_camera.sources.picture import jpeg_picture
from cordon_camera.status import Tally
from tests.helpers import pictures

PATIENCE_S = 10


class Call:
    """What the server says is put into `says`; it ends the stream when the camera has ended it."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.frames: asyncio.Queue[pb.Frame] = asyncio.Queue()

    async def read(self) -> Any:
        return await self.says.get()

    async def write(self, request: pb.StreamFramesRequest) -> None:
        if request.WhichOneof("payload") == "frame":
            self.frames.put_nowait(request.frame)

    async def done_writing(self) -> None:
        self.says.put_nowait(grpc.aio.EOF)

    def cancel(self) -> None:
        pass


class Stub:
    def __init__(self, call: Call) -> None:
        self._call = call

    def StreamFrames(self) -> Call:  # noqa: N802  # gRPC's name
        return self._call


async def test_a_stream_that_is_to_move_ends_with_its_last_answer_though_credit_is_left() -> None:
    wake, leave, call = asyncio.Event(), asyncio.Event(), Call()
    slot = Slot(newest_wins=True, filled=wake.set)
    stub: Any = Stub(call)
    session = Session(
        flow=Flow(every_picture=False),
        slot=slot,
        tally=Tally(),
        encode=lambda _: asyncio.sleep(0, b""),
        advise=lambda _: None,
        note=lambda *_: None,
        wake=wake,
        leave=leave,
        stills=False,
    )
    slot.put(jpeg_picture(pictures.jpeg(pictures.flat(9))))
    running = asyncio.create_task(session.run(stub))
    call.says.put_nowait(pb.StreamFramesResponse(welcome=pb.Welcome()))
    call.says.put_nowait(pb.StreamFramesResponse(credit=pb.Credit(frames=2)))
    sent = await asyncio.wait_for(call.frames.get(), PATIENCE_S)

    leave.set()
    for _ in range(10):  # the sender has seen that it is to leave, and waits for the answer
        await asyncio.sleep(0)
    result = pb.FrameResult(sequence=sent.sequence, outcome=pb.FRAME_OUTCOME_PROCESSED)
    call.says.put_nowait(pb.StreamFramesResponse(result=result))

    assert await asyncio.wait_for(running, PATIENCE_S) == Ended(welcomed=True, left=True)
