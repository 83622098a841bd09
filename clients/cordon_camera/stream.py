"""A camera from its start to its end: capture, streams one after the other, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import grpc

from cordon.v1 import recognition_pb2 as pb
from cordon.v1.recognition_pb2_grpc import RecognitionServiceStub
from cordon_camera.capture import Capture
from cordon_camera.faults import SourceError
from cordon_camera.flow import Flow
from cordon_camera.line import Line
from cordon_camera.report import Report, in_one_line
from cordon_camera.session import Ended, Session
from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_camera.slot import Slot
from cordon_camera.sources import open_source
from cordon_camera.sources.picture import Picture, Source
from cordon_camera.status import Tally
from cordon_client.backoff import full_jitter
from cordon_client.channel import explain
from cordon_client.errors import ClientError, ExitCode

if TYPE_CHECKING:
    from cordon_camera.encode import Encoder
    from cordon_client.identity import ClientIdentity

_QUALITY = 85
_RECONNECT_BASE_S = 0.5
_RECONNECT_CAP_S = 15.0
_ASKED_WAIT_S_MAX = 300.0
# For so long the server may still hold the stream that this very camera lost.
_OWN_GHOST_S = 60.0
_FINAL = frozenset(
    (
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNIMPLEMENTED,
    )
)
"""What trying again does not mend; every other status is waited out."""


def sends_stills(source: SourceSettings, stream: StreamSettings) -> bool:
    """Whether the pictures are unrelated, so that each of them counts."""
    return source.kind is SourceKind.FOLDER and not stream.as_video


def newest_wins(source: SourceSettings, stream: StreamSettings) -> bool:
    """Whether a newer picture takes the place of one that still waits to be sent."""
    if sends_stills(source, stream):
        return False
    return source.kind.is_live or stream.realtime or bool(stream.fps)


class CameraStream:
    """Streams one source to one server. `run` once."""

    def __init__(
        self,
        identity: ClientIdentity,
        source: SourceSettings,
        stream: StreamSettings,
        report: Report,
        *,
        opener: Callable[[SourceSettings, StreamSettings], Source] = open_source,
    ) -> None:
        self._identity = identity
        self._source = source
        self._stream = stream
        self._report = report
        self._opener = opener
        self._stills = sends_stills(source, stream)
        self._newest_wins = newest_wins(source, stream)
        # A paced source keeps its own time; only a live one is thinned out.
        own_fps_max = stream.fps if source.kind.is_live else 0.0
        self._flow = Flow(every_picture=not self._newest_wins, fps_max=own_fps_max)
        self.tally = Tally()
        self._advice = pb.Advice()
        self._encoder: Encoder | None = None
        self._encoding = ThreadPoolExecutor(1, "encode")
        self._source_error: BaseException | None = None
        self._welcomed_until_s = float("-inf")

    async def run(self) -> ExitCode:
        """Runs to the source's end; raises ClientError for what cannot be waited out."""
        loop = asyncio.get_running_loop()
        self._line = Line(self._identity, self._report.note)
        self._wake = asyncio.Event()
        self._source_done = asyncio.Event()
        self._slot = Slot(
            newest_wins=self._newest_wins,
            filled=lambda: _tell(loop, self._wake.set),
        )
        capture = Capture(
            lambda: self._opener(self._source, self._stream),
            self._slot,
            is_live=self._source.kind.is_live,
            ended=lambda error: _tell(loop, self._end_source, error),
            waiting=lambda failed: _tell(loop, self._note_failed, failed),
        )
        capture.start()
        try:
            await self._watched()
        finally:
            capture.stop()
            self._encoding.shutdown(wait=False)
            lost = self._flow.lost + self._flow.in_flight
            self._report.summary(self.tally, self._slot.replaced, lost)
        return ExitCode.PARTLY if self._stills and self.tally.rejected else ExitCode.OK

    async def _watched(self) -> None:
        """The connections; beside them a status every second and the certificate's renewal."""
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(each) for each in (self._tick(), self._line.keep())]
                await self._connections()
                for task in beside:
                    task.cancel()
        except* ClientError as errors:
            raise errors.exceptions[0] from None
        if self._source_error is not None:
            raise self._source_error

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._report.tick(self.tally, self._slot.replaced, monotonic())

    async def _connections(self) -> None:
        waits_s = full_jitter(_RECONNECT_BASE_S, _RECONNECT_CAP_S)
        while not self._is_over:
            async with self._line.channel() as channel:
                ended = await self._session().run(RecognitionServiceStub(channel))
            if ended.welcomed:
                self._welcomed_until_s = monotonic()
                waits_s = full_jitter(_RECONNECT_BASE_S, _RECONNECT_CAP_S)
            if self._is_over:
                return
            if ended.left:
                continue  # the next channel waits
            problem = await self._problem(ended)
            if self._source_done.is_set() and not self._holds_every_picture:
                raise problem  # nothing new will come, and what waits is the past
            self._report.note("waiting", in_one_line(problem))
            # After what the server asks for, spread out: others were told the same.
            asked_s = min(problem.retry_after_s, _ASKED_WAIT_S_MAX)
            await self._pause(asked_s + next(waits_s))

    def _session(self) -> Session:
        return Session(
            flow=self._flow,
            slot=self._slot,
            tally=self.tally,
            encode=self._encode,
            advise=self._take_advice,
            note=self._report.note,
            wake=self._wake,
            leave=self._line.turn,
            stills=self._stills,
        )

    @property
    def _is_over(self) -> bool:
        return self._source_error is not None or self._flow.is_finished(self._slot.is_empty)

    @property
    def _holds_every_picture(self) -> bool:
        return not self._newest_wins

    async def _problem(self, ended: Ended) -> ClientError:
        """Why the stream ended, to wait out; raises what waiting does not mend."""
        if ended.halt is not None:
            return _halted(ended.halt)
        if ended.error is None:
            return ClientError("The server closed the stream.", exit_code=ExitCode.UNAVAILABLE)
        error = await explain(ended.error, self._line.identity)
        if self._is_final(ended.error.code(), error):
            raise error
        return error

    def _is_final(self, code: grpc.StatusCode, error: ClientError) -> bool:
        if code is grpc.StatusCode.ALREADY_EXISTS:
            return monotonic() - self._welcomed_until_s > _OWN_GHOST_S
        return code in _FINAL or error.exit_code is ExitCode.SIGN_IN

    async def _pause(self, seconds: float) -> None:
        """Waits; cut short when the source fails meanwhile."""
        if self._source_done.is_set():
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._source_done.wait(), seconds)

    async def _encode(self, picture: Picture) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(
            self._encoding, self._encode_now, picture
        )

    def _encode_now(self, picture: Picture) -> bytes:
        from cordon_camera.encode import Encoder

        if self._encoder is None:
            self._encoder = Encoder(_QUALITY)
        self._encoder.quality = self._stream.jpeg_quality or self._advice.jpeg_quality or _QUALITY
        self._encoder.side_px_max = self._side_px_max()
        assert picture.planes is not None
        return self._encoder.encode(picture.planes)

    def _side_px_max(self) -> int:
        limits = self._flow.limits
        bounds = (
            self._stream.side_px_max,
            self._advice.side_px_max,
            limits.width_max,
            limits.height_max,
        )
        return min((bound for bound in bounds if bound), default=0)

    def _take_advice(self, advice: pb.Advice) -> None:
        self._advice = advice

    def _end_source(self, error: BaseException | None) -> None:
        self._source_error = error
        self._flow.source_ended()
        self._source_done.set()
        self._wake.set()

    def _note_failed(self, failed: SourceError) -> None:
        self._report.note("no picture", in_one_line(failed))


def _halted(halt: pb.Halt) -> ClientError:
    """What a Halt means; raised where the camera is out for good."""
    if halt.reason == pb.HALT_REASON_CAMERA_REVOKED:
        raise ClientError(
            "This camera has been revoked.", halt.message, exit_code=ExitCode.NOT_PERMITTED
        )
    code = ExitCode.UNAVAILABLE
    if halt.reason in (pb.HALT_REASON_DEPLOYMENT_ENDED, pb.HALT_REASON_WINDOW_CLOSED):
        code = ExitCode.CONFLICT
    return ClientError(halt.message or "The server halted this camera.", exit_code=code)


def _tell(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """From the capture thread to the loop; a loop that has closed has no more interest."""
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        return
