"""The import of pictures over a connection that may break; knows the stream, not where rows come
from or how reports are shown.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from cordon.v1 import watchlist_pb2
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from cordon_admin.report import RowReport
from cordon_client.backoff import full_jitter
from cordon_client.channel import explain, new_request_id, open_channel
from cordon_client.cli import again
from cordon_client.errors import ClientError, ExitCode, is_masked
from cordon_client.person import mend
from cordon_client.transport import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cordon_admin.rows import Row
    from cordon_client.identity import ClientIdentity

    Stream = grpc.aio.StreamStreamCall[
        watchlist_pb2.ImportReferencesRequest, watchlist_pb2.ImportReferencesResponse
    ]
    Lost = grpc.aio.AioRpcError | ClientError | None

IN_FLIGHT_MAX = 8
"""Rows sent and not answered yet. More would only fill memory: the server takes them one by one."""

_SILENCE_S_MAX = 60.0
"""Without one answer for so long a connection counts as lost."""

_CAREFUL_S = 0.3
"""Time for a server to refuse an import's start before the first row goes out."""

_PICTURE_BYTES_MAX = MESSAGE_BYTES_MAX - 64 * 1024
"""What fits into a message beside a row's other fields."""


@dataclass(slots=True)
class Import:
    """Sends rows, each until it is answered; one report a row goes to `on_report`.

    On a lost connection it connects again and sends the unanswered rows once more: what had
    landed is answered ALREADY_ENROLLED. It gives up when nothing was answered for
    `give_up_after_s`.
    """

    identity: ClientIdentity
    parent: str
    rows: Sequence[Row]
    on_report: Callable[[RowReport], None]
    on_trouble: Callable[[str], None]
    """Is told in words when the connection is lost; not again until it was back."""
    validate_only: bool = False
    as_proposal: bool = False
    """The rows are kept for a second person to apply."""
    proposal: str = ""
    """What they are kept in, once a row is answered."""
    give_up_after_s: float = 60.0
    _request_id: str = field(default_factory=new_request_id)
    _waiting: deque[Row] = field(default_factory=deque)
    """Not sent yet."""
    _unanswered: dict[int, Row] = field(default_factory=dict)
    """Sent, by number, in order; never more than IN_FLIGHT_MAX."""
    _is_careful: bool = False
    """Rows go one at a time: a refusal that a failed write hid comes out."""
    _is_mended: bool = False
    """A person signed in or gave the password since the last answer."""
    _told: str = ""
    """The trouble that was told last; empty since the last answer."""
    _progress_s: float = 0.0
    """When something was last answered, monotonic."""

    async def run(self) -> None:
        """Returns when every row is answered; a ClientError says why it could not go on."""
        self._waiting.extend(self.rows)
        self._progress_s = time.monotonic()
        async with open_channel(self.identity) as channel:
            stub = WatchlistServiceStub(channel)
            waits_s = full_jitter(0.2, 5.0)
            while self._goes_on:
                answered_before_s = self._progress_s
                lost = await self._attempt(stub.ImportReferences())
                if lost is None:
                    return
                if await self._mends(lost):
                    continue
                await self._weigh(lost)
                if self._progress_s > answered_before_s:
                    waits_s = full_jitter(0.2, 5.0)
                await asyncio.sleep(next(waits_s))

    async def _mends(self, lost: grpc.aio.AioRpcError | ClientError) -> bool:
        """Whether a person did what the server asked for; not twice for the same rows."""
        if self._is_mended or not isinstance(lost, grpc.aio.AioRpcError):
            return False
        self._is_mended = await mend(lost, self.identity)
        return self._is_mended

    async def _attempt(self, stream: Stream) -> Lost:
        """One stream from its start to its end; what broke it, None where all is answered."""
        slots = asyncio.Semaphore(1 if self._is_careful else IN_FLIGHT_MAX)
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write(stream, slots))
                lost = await self._read(stream, slots)
                writing.cancel()
        finally:
            stream.cancel()
        return lost

    async def _write(self, stream: Stream, slots: asyncio.Semaphore) -> None:
        again_first = list(self._unanswered.values())
        try:
            start = watchlist_pb2.ImportStart(
                parent=self.parent,
                validate_only=self.validate_only,
                request_id=self._request_id,
                as_proposal=self.as_proposal,
                row_count=len(self.rows),
            )
            await stream.write(watchlist_pb2.ImportReferencesRequest(start=start))
            if self._is_careful:
                await asyncio.sleep(_CAREFUL_S)
            for row in again_first:
                await self._send(stream, slots, row)
            while self._waiting:
                await self._send(stream, slots, self._waiting[0])
            await stream.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The stream is over; the reader knows why.

    async def _send(self, stream: Stream, slots: asyncio.Semaphore, row: Row) -> None:
        """Sends one row once there is room; a picture that cannot be read is reported at once."""
        await slots.acquire()
        try:
            picture = await asyncio.to_thread(_picture, row)
        except OSError as error:
            slots.release()
            self._settle(row, RowReport.refused(row, "not_an_image", f"{error.strerror}."))
            return
        except ValueError as error:
            slots.release()
            self._settle(row, RowReport.refused(row, "image_too_large", str(error)))
            return
        self._unanswered[row.number] = row
        if self._waiting and self._waiting[0] is row:
            self._waiting.popleft()
        await stream.write(watchlist_pb2.ImportReferencesRequest(row=_message(row, picture)))

    async def _read(self, stream: Stream, slots: asyncio.Semaphore) -> Lost:
        try:
            while (response := await _answer(stream)) is not None:
                row = self._unanswered.get(response.row)
                if row is None:
                    continue  # Not one of ours.
                slots.release()
                self._progress_s = time.monotonic()
                self._told, self._is_mended = "", False
                self.proposal = response.proposal
                self._settle(row, RowReport.answered(row, response))
        except grpc.aio.AioRpcError as error:
            return error
        except TimeoutError:
            return _unavailable(f"The server was silent for {_SILENCE_S_MAX:.0f} seconds.")
        return _unavailable("The server ended the import early.") if self._is_open else None

    @property
    def _goes_on(self) -> bool:
        """Whether there is need of another stream: a proposal is complete when one has ended
        well."""
        return self._is_open or (self.as_proposal and bool(self.rows))

    @property
    def _is_open(self) -> bool:
        return bool(self._waiting or self._unanswered)

    def _settle(self, row: Row, report: RowReport) -> None:
        self._unanswered.pop(row.number, None)
        if self._waiting and self._waiting[0] is row:
            self._waiting.popleft()
        self.on_report(report)

    async def _weigh(self, lost: grpc.aio.AioRpcError | ClientError) -> None:
        """Returns to try again, raises to give up."""
        self._is_careful = isinstance(lost, grpc.aio.AioRpcError) and is_masked(lost)
        reason = lost if isinstance(lost, ClientError) else await explain(lost, self.identity)
        if reason.exit_code is not ExitCode.UNAVAILABLE:
            raise reason
        silent_s = time.monotonic() - self._progress_s
        if silent_s >= self.give_up_after_s:
            left = len(self._waiting) + len(self._unanswered)
            raise ClientError(
                f"{reason.what} Gave up after {silent_s:.0f} s; {left} rows are not answered.",
                why=f"{reason.why} What was accepted stays; the same command goes on.".lstrip(),
                hint=again(),
                exit_code=ExitCode.UNAVAILABLE,
            )
        if reason.what != self._told:
            self._told = reason.what
            self.on_trouble(f"{reason.what} Trying again.")


async def _answer(stream: Stream) -> watchlist_pb2.ImportReferencesResponse | None:
    """The next answer, None at the end of the stream; TimeoutError when none comes."""
    async with asyncio.timeout(_SILENCE_S_MAX):
        response = await stream.read()
    return response if isinstance(response, watchlist_pb2.ImportReferencesResponse) else None


def _unavailable(what: str) -> ClientError:
    return ClientError(what, exit_code=ExitCode.UNAVAILABLE)


def _picture(row: Row) -> bytes:
    if (size := row.image.stat().st_size) > _PICTURE_BYTES_MAX:
        megabytes = _PICTURE_BYTES_MAX // (1024 * 1024)
        raise ValueError(f"{size} bytes; at most {megabytes} MiB. Save it smaller.")
    return row.image.read_bytes()


def _message(row: Row, picture: bytes) -> watchlist_pb2.ImportRow:
    point = watchlist_pb2.ImagePoint(x=row.face[0], y=row.face[1]) if row.face else None
    message = watchlist_pb2.ImportRow(
        row=row.number,
        external_ref=row.external_ref,
        category=row.category,
        threshold=row.threshold,
        image=picture,
        face_point=point,
    )
    row.said.fill(message)
    return message
