"""One connection's stream: sends as the flow allows, hears what the server says, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc

from cordon.v1 import recognition_pb2 as pb
from cordon_camera.flow import Flow, Outcome
from cordon_camera.messages import answer_of, frame_message, hello_message, limits_of
from cordon_camera.slot import Slot
from cordon_camera.sources.picture import Picture, taken_now
from cordon_camera.status import Answer, Tally

if TYPE_CHECKING:
    from cordon.v1.recognition_pb2_grpc import RecognitionServiceAsyncStub

_CLOSE_S_MAX = 5.0
Encode = Callable[[Picture], Awaitable[bytes]]
Note = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a stream ended: an error, a Halt, or neither. `welcomed` where it had begun well; `left`
    where it was asked to end and every frame was answered."""

    welcomed: bool
    left: bool = False
    error: grpc.aio.AioRpcError | None = None
    halt: pb.Halt | None = None


class Session:
    """One stream. `wake` is set by whoever fills the slot or ends the source.

    Once `leave` is set no more is sent; when what was sent is answered the stream ends in order.
    """

    def __init__(
        self,
        *,
        flow: Flow,
        slot: Slot,
        tally: Tally,
        encode: Encode,
        advise: Callable[[pb.Advice], None],
        note: Note,
        wake: asyncio.Event,
        leave: asyncio.Event,
        stills: bool,
    ) -> None:
        self._flow = flow
        self._slot = slot
        self._tally = tally
        self._encode = encode
        self._advise = advise
        self._note = note
        self._wake = wake
        self._leave = leave
        self._stills = stills
        self._names: dict[int, str] = {}
        self._welcomed = False
        self._gave_up = False
        self._halt: pb.Halt | None = None

    async def run(self, stub: RecognitionServiceAsyncStub) -> Ended:
        """Opens the stream and keeps it going until either side ends it."""
        self._flow.connected()
        call = stub.StreamFrames()
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send(call))
                leaver = group.create_task(self._wake_to_leave())
                error = await self._receive(call)
                sender.cancel()
                leaver.cancel()
        finally:
            call.cancel()
        left = self._leave.is_set() and not self._flow.in_flight
        return Ended(self._welcomed, left, error, self._halt)

    async def _wake_to_leave(self) -> None:
        await self._leave.wait()
        self._wake.set()

    async def _receive(self, call: Any) -> grpc.aio.AioRpcError | None:
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                self._hear(message)
        except grpc.aio.AioRpcError as error:
            return error
        except asyncio.CancelledError:
            if not self._gave_up:
                raise
        return None

    def _hear(self, message: pb.StreamFramesResponse) -> None:
        """Wakes the sender only for what changes whether it may send."""
        match message.WhichOneof("payload"):
            case "result":
                self._count(message.result)
                if self._is_done:
                    self._wake.set()
            case "credit":
                if self._flow.credited(message.credit.frames):
                    self._wake.set()
            case "advice":
                self._flow.advised(message.advice.fps_max)
                self._advise(message.advice)
                self._wake.set()
            case "welcome":
                self._begin(message.welcome)
            case "halt":
                self._halt = message.halt
            case _:
                return  # of a newer contract

    def _begin(self, welcome: pb.Welcome) -> None:
        self._welcomed = True
        self._tally.connections += 1
        self._flow.welcomed(limits_of(welcome.limits))
        self._note("connected", f"as {welcome.camera}, for {welcome.deployment}")

    def _count(self, result: pb.FrameResult) -> None:
        sent = self._flow.answered(result.sequence)
        if sent is None:
            return
        answer = answer_of(result, self._names.pop(result.sequence, ""))
        self._tally.answered(answer, monotonic() - sent.sent_s)
        if answer.outcome is Outcome.REJECTED and self._tally.rejected == 1:
            self._note("rejected", " ".join(part for part in (answer.name, answer.message) if part))

    async def _send(self, call: Any) -> None:
        """Sends until everything is answered, then says so. A broken stream is the receiver's."""
        try:
            await call.write(hello_message(stills=self._stills))
            while not self._is_done:
                await self._send_one(call, await self._next())
            await call.done_writing()
            await asyncio.sleep(_CLOSE_S_MAX)
            self._gave_up = True  # a call that is cancelled here raises CancelledError there
            call.cancel()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    @property
    def _is_done(self) -> bool:
        if self._leave.is_set():
            return not self._flow.in_flight
        return self._flow.is_finished(self._slot.is_empty)

    async def _next(self) -> Picture | None:
        """A picture to send now; None after something happened that changes what may be sent."""
        self._wake.clear()
        wait_s = None if self._leave.is_set() else self._flow.wait_s(monotonic())
        if wait_s == 0:
            picture = self._flow.take_again() or self._slot.take()
            if picture is not None:
                return picture
            wait_s = None
        if self._is_done:
            return None
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait_s)
        return None

    async def _send_one(self, call: Any, picture: Picture | None) -> None:
        if picture is None:
            return
        # In the flow first: if this is cut off anywhere below, the flow knows the picture.
        if self._stills:
            picture = taken_now(picture)
        sequence = self._flow.send(picture, monotonic())
        jpeg = picture.jpeg or await self._encode(picture)
        size_max = self._flow.limits.jpeg_bytes_max
        if size_max and len(jpeg) > size_max:
            self._refuse(sequence, picture, len(jpeg), size_max)
            return
        self._names[sequence] = picture.name
        self._tally.sent(monotonic())
        message = frame_message(sequence, picture.captured_at, jpeg)
        del picture, jpeg  # the decoded frame is megabytes, and the write may wait
        await call.write(message)

    def _refuse(self, sequence: int, picture: Picture, size: int, size_max: int) -> None:
        """The server would refuse it: it is counted as if it had, and spares the line."""
        self._flow.withdraw(sequence)
        message = f"It is {size} bytes of JPEG; the server takes {size_max}. Lower its quality."
        answer = Answer(
            Outcome.REJECTED, reason="FRAME_TOO_LARGE", message=message, name=picture.name
        )
        self._tally.answered(answer, 0.0)
        if self._tally.rejected == 1:
            self._note("rejected", message)
