"""One camera's stream as the server sees it: credit, order, clock, counts; knows no gRPC.

Every frame that is offered ends in exactly one `Outcome`. A frame holds its credit until its answer
is taken to be told, so that answers wait in a queue that credit bounds, however slowly the camera
reads. The answer to a superseded frame is told a little later than it is known: a client that sends
whenever it may would displace its own frames as fast as the network carries them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from cordon_server.domain import CordonError, Frame, InvalidFrame, InvalidInput
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.recognition.load import Advice

SUPERSEDED_S_MIN = 0.04
"""A superseded frame holds its credit for so long since it came, or until a later one is answered.
Cameras of 25 frames a second and less never wait for it."""

Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""Calls something after so many seconds, as a loop does."""


class HaltReason(Enum):
    """Why a camera is told to stop."""

    DEPLOYMENT_ENDED = "deployment_ended"
    WINDOW_CLOSED = "window_closed"
    CAMERA_REVOKED = "camera_revoked"
    SERVER_STOPPING = "server_stopping"
    DEPLOYMENT_HALTED = "deployment_halted"


@dataclass(frozen=True, slots=True)
class Halted:
    """The last thing a camera hears."""

    reason: HaltReason
    message: str


class Mailbox(Protocol):
    """Where frames wait for a worker."""

    def put(self, frame: Frame) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Counts:
    """A camera's counts since it connected."""

    connect_time: datetime
    last_frame_time: datetime | None = None
    received: int = 0
    faces_searched: int = 0
    fates: dict[FrameFate, int] = field(default_factory=lambda: dict.fromkeys(FrameFate, 0))


class CameraSession:
    """A connected camera. Used from the event loop alone."""

    def __init__(
        self,
        camera_id: str,
        deployment_id: str,
        *,
        credit: int,
        clock_skew_max: timedelta,
        now: datetime,
        on_close: Callable[[], None],
        counts_people: bool = True,
        on_answer: Callable[[Outcome], None] = lambda _: None,
        clock_s: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        """`clock_s` is the clock of the frames' `received_s`; `later` is the running loop's.
        `counts_people` says whether one person is one face: not in a video that is not tracked."""
        self.camera_id = camera_id
        self.stream = f"{camera_id}#{id(self)}"
        """Names this very stream; a camera that comes back has another."""
        self.deployment_id = deployment_id
        self.counts = Counts(now)
        self.credit = credit
        self.counts_people = counts_people
        self.is_halted = False
        self.is_closed = False
        self._answers: asyncio.Queue[Outcome | Advice | Halted | None] = asyncio.Queue()
        self._clock_skew_max = clock_skew_max
        self._under_way = 0
        self._untold = 0
        self._newest = 0
        self.newest: tuple[int, datetime] | None = None
        """Number and time of the newest frame that it was to work on; None before the first."""
        self._is_draining = False
        self._last: Halted | None = None
        self._mailbox: Mailbox | None = None
        self._on_close = on_close
        self._on_answer = on_answer
        self._advice: Advice | None = None
        self._clock_s = clock_s
        self._later = later
        self._superseded: deque[Outcome] = deque()
        """Answers to superseded frames that are not told yet, oldest first."""
        self._telling: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is closed and nothing of it is in work any more."""
        return self.is_closed and not self._under_way

    def attach(self, mailbox: Mailbox) -> None:
        """Where offered frames go."""
        self._mailbox = mailbox

    def offer(self, frame: Frame, now: datetime) -> None:
        """Takes a frame; its answer comes through `next_answer`.

        Raises `InvalidInput` when the camera breaks the protocol: no credit, or a sequence that
        does not rise. A frame whose time is impossible, or that the mailbox refuses, is answered as
        rejected. After a halt frames are passed over.
        """
        if self.is_halted:
            return
        if self._untold >= self.credit:
            raise InvalidInput(
                f"this frame had no credit: {self.credit} are under way; wait for Credit",
                reason="NO_CREDIT",
                field="frame",
            )
        if frame.sequence <= self._newest:
            raise InvalidInput(
                f"frame sequences must rise: {frame.sequence} came after {self._newest}",
                reason="SEQUENCE_NOT_RISING",
                field="frame.sequence",
            )
        self._newest = frame.sequence
        self._under_way += 1
        self._untold += 1
        self.counts.received += 1
        self.counts.last_frame_time = now
        if (error := check_clock(frame.captured_at, now, self._clock_skew_max)) is not None:
            self.answer(Outcome(frame, FrameFate.REJECTED, error=error))
            return
        self.newest = frame.sequence, frame.captured_at
        assert self._mailbox is not None
        try:
            self._mailbox.put(frame)
        except CordonError as refused:
            self.answer(Outcome(frame, FrameFate.REJECTED, error=refused))

    async def next_answer(self) -> Outcome | Advice | Halted | None:
        """What to tell the camera next, when there is something; None when nothing will follow.

        An answer's credit is the camera's again.
        """
        answer = await self._answers.get()
        if isinstance(answer, Outcome):
            self._untold -= 1
        if isinstance(answer, Advice):
            answer, self._advice = self._advice, None
        return answer

    def advise(self, advice: Advice) -> None:
        """Tells the camera how to send; one that was not told yet gives way to it."""
        is_new = self._advice is None
        self._advice = advice
        if is_new:
            self._answers.put_nowait(advice)

    def answer(self, answer: Outcome) -> None:
        """Counts a frame's fate and hands it to the camera."""
        self._under_way -= 1
        self.counts.fates[answer.fate] += 1
        if answer.result is not None:
            self.counts.faces_searched += answer.result.counts.searched
        self._on_answer(answer)
        if answer.fate is FrameFate.SUPERSEDED:
            self._superseded.append(answer)
            self._tell_superseded()
        else:
            self._tell_superseded(all_of_them=True)
            self._answers.put_nowait(answer)
        self._end_when_drained()

    def _tell_superseded(self, *, all_of_them: bool = False) -> None:
        """Hands those superseded frames' answers to the camera that have held credit for long
        enough; the next one follows in its time.
        """
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        while self._superseded:
            wait_s = self._superseded[0].frame.received_s + SUPERSEDED_S_MIN - self._clock_s()
            if wait_s > 0 and not all_of_them:
                later = self._later or asyncio.get_running_loop().call_later
                self._telling = later(wait_s, self._tell_superseded)
                return
            self._answers.put_nowait(self._superseded.popleft())

    def drain(self) -> None:
        """The camera sends no more: None, or the halt, follows the last answer."""
        self._is_draining = True
        self._end_when_drained()

    def _end_when_drained(self) -> None:
        if self._is_draining and not self._under_way:
            self._tell_superseded(all_of_them=True)
            self._answers.put_nowait(self._last)

    def halt(self, reason: HaltReason, message: str, *, after_answers: bool = False) -> None:
        """Tells the camera to stop, once; what waits is not worked on, what follows not told.

        With `after_answers` the frames under way are worked on and answered first.
        """
        if self.is_halted:
            return
        self.is_halted = True
        halted = Halted(reason, message)
        if after_answers:
            self._last = halted
            self.drain()
            return
        self._answers.put_nowait(halted)
        if self._mailbox is not None:
            self._mailbox.close()

    def close(self) -> None:
        """Takes no more frames; those under way are finished but not told."""
        self.is_closed = True
        self._superseded.clear()
        self._tell_superseded()
        if self._mailbox is not None:
            self._mailbox.close()
        self._on_close()


def check_clock(captured_at: datetime, now: datetime, skew_max: timedelta) -> InvalidFrame | None:
    """What is wrong with a camera's time, in words, or None."""
    skew = captured_at - now
    if abs(skew) <= skew_max:
        return None
    direction = "ahead of" if skew > timedelta(0) else "behind"
    return InvalidFrame(
        f"the camera's clock is {abs(skew).total_seconds():.0f} s {direction} the server's, "
        f"{skew_max.total_seconds():.0f} s are allowed; set it by NTP",
        reason="CLOCK_OFF",
        field="captured_at",
    )
