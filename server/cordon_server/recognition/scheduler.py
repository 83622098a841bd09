"""Worker threads between the cameras' mailboxes and the analysers; the choices are made in `line`.

Work-conserving: whenever a frame waits, no worker idles. Every frame that is put is answered once.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import structlog

from cordon_server.domain import CordonError, Frame, FrameResult, NotNow, NotReady, OurFault
from cordon_server.recognition.decide import Gallery
from cordon_server.recognition.limits import STILLS_WAITING_MAX, TRACKS_IDLE_S_MAX, UNANSWERED_MAX
from cordon_server.recognition.line import FrameFate, Lane, Line, Outcome, Ticket, answer, answered
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.recognition.zone import Zone

__all__ = ["Deliver", "FrameAnalyser", "FrameFate", "Mailbox", "Outcome", "Scheduler"]

log = structlog.get_logger(__name__)

Deliver = Callable[[Outcome], None]
E = TypeVar("E", bound=BaseException)


class FrameAnalyser(Protocol):
    """What a worker thread owns and calls."""

    @property
    def stage_seconds(self) -> Mapping[str, float]: ...

    def analyse(
        self,
        jpeg: bytes,
        gallery: Gallery,
        tracks: CameraTracks | None = None,
        taken_s: float = 0.0,
        zone: Zone | None = None,
    ) -> FrameResult: ...


class Mailbox:
    """Where one camera's frames go in. Any thread may call it."""

    def __init__(
        self,
        scheduler: Scheduler,
        lane: Lane,
        camera_id: str,
        gallery: Gallery,
        deliver: Deliver,
        tracks: CameraTracks | None,
        zone: Zone | None,
    ) -> None:
        self.camera_id = camera_id
        self.gallery = gallery
        self.deliver = deliver
        self.tracks = tracks
        self.zone = zone
        self.is_delivering = False
        self.worked_s = 0.0
        """When its last frame was done, or when it was opened."""
        self._scheduler = scheduler
        self._lane = lane

    def put(self, frame: Frame) -> None:
        """Hands over a frame; never blocks. Full means: video drops the older frame (SUPERSEDED),
        stills raise LimitReached. NotReady after close, NotNow while the server stops.
        """
        self._scheduler.put(self._lane, frame)

    def close(self) -> None:
        """Takes no more frames; those that wait are answered REJECTED, the one in work as usual."""
        self._scheduler.close(self._lane)


class Scheduler:
    """Runs one thread for each analyser until it is stopped."""

    def __init__(
        self,
        analysers: Sequence[FrameAnalyser],
        *,
        age_s_max: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = Line(age_s_max=age_s_max)
        self._clock = clock
        self._changed = threading.Condition()
        self._mailboxes: dict[Lane, Mailbox] = {}
        self._in_hand: dict[int, Ticket] = {}
        self._is_stopping = False
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"analyser-{n}", daemon=True)
            for n, each in enumerate(analysers)
        ]
        for thread in self._threads:
            thread.start()

    def open_mailbox(
        self,
        camera_id: str,
        gallery: Gallery,
        deliver: Deliver,
        stills: bool = False,
        *,
        waiting_max: int = STILLS_WAITING_MAX,
        tracks: CameraTracks | None = None,
        weight: float = 1.0,
        zone: Zone | None = None,
    ) -> Mailbox:
        """A mailbox for one stream; with `tracks`, its frames are worked on one after the other.

        Streams that are all busy are served in proportion to their weights.

        `deliver` is called from any thread, never twice at a time, in
        the order in which frames were put; it must return quickly.
        """
        with self._changed:
            self._refuse_when_stopping()
            lane = self._line.open(
                stills=stills,
                waiting_max=waiting_max,
                unanswered_max=UNANSWERED_MAX,
                tracked=tracks is not None,
                weight=weight,
            )
            mailbox = Mailbox(self, lane, camera_id, gallery, deliver, tracks, zone)
            mailbox.worked_s = self._clock()
            self._mailboxes[lane] = mailbox
        return mailbox

    def put(self, lane: Lane, frame: Frame) -> None:
        """See Mailbox.put."""
        with self._changed:
            self._refuse_when_stopping()
            self._line.put(lane, frame)
            self._changed.notify()
        self._deliver(lane)

    def close(self, lane: Lane) -> None:
        """See Mailbox.close."""
        with self._changed:
            self._line.close(
                lane,
                NotReady("The stream was closed before this frame's turn.", reason="STREAM_CLOSED"),
            )
            self._forget(lane)
        self._deliver(lane)

    def waiting_s(self) -> float:
        """How long the oldest frame that waits has waited by now; from any thread."""
        with self._changed:
            first = [lane.waiting[0].frame.received_s for lane in self._mailboxes if lane.waiting]
            return max(0.0, self._clock() - min(first)) if first else 0.0

    def forget_idle(self) -> None:
        """Drops the tracks of cameras that sent nothing for TRACKS_IDLE_S_MAX (R1)."""
        with self._changed:
            since_s = self._clock() - TRACKS_IDLE_S_MAX
            for lane, mailbox in self._mailboxes.items():
                if mailbox.worked_s <= since_s:
                    self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        """Drops a lane's tracks, unless a worker uses them; it does so itself at the end."""
        mailbox = self._mailboxes.get(lane)
        if mailbox is not None and mailbox.tracks is not None and not lane.in_work:
            mailbox.tracks.forget()

    def stop(self, grace_s: float) -> bool:
        """Takes no more frames, works on those that wait for up to `grace_s`, rejects the rest.

        Whether every worker has ended; one that has not is inside a native call and ends after it.
        """
        deadline = time.monotonic() + grace_s
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._reject_the_rest()
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _reject_the_rest(self) -> None:
        with self._changed:
            lanes = list(self._mailboxes)
            for lane in lanes:
                self._line.close(
                    lane, NotNow("The server is stopping; connect again later.", reason="STOPPING")
                )
            self._changed.notify_all()
        for lane in lanes:
            self._deliver(lane)

    def _refuse_when_stopping(self) -> None:
        if self._is_stopping:
            raise NotNow("The server is stopping; connect again later.", reason="STOPPING")

    def _run(self, analyser: FrameAnalyser) -> None:
        """Works until the server stops. What ends a worker costs the frame that it had in hand."""
        while True:
            try:
                self._work(analyser)
            except BaseException as fatal:  # noqa: BLE001 - told to the camera and logged.
                self._recover(fatal)
            else:
                return

    def _recover(self, fatal: BaseException) -> None:
        with self._changed:
            ticket = self._in_hand.pop(threading.get_ident(), None)
            if ticket is not None:
                self._settle(ticket, FrameFate.REJECTED, error=_our_fault(ticket.frame, fatal))
        log.error("worker.restarted", error=type(fatal).__name__)
        if ticket is not None:
            self._deliver(ticket.lane)

    def _work(self, analyser: FrameAnalyser) -> None:
        while True:
            ticket, expired = self._next()
            for lane in expired:
                self._deliver(lane)
            if ticket is not None:
                self._serve(analyser, ticket)
                del ticket  # Or the last frame would be kept until the next one comes (R1).
            elif not expired:
                return

    def _next(self) -> tuple[Ticket | None, list[Lane]]:
        """Waits for work; neither a ticket nor expired lanes means: stop."""
        with self._changed:
            while True:
                ticket, expired = self._line.take(self._clock())
                if ticket is not None:
                    self._in_hand[threading.get_ident()] = ticket
                if ticket is not None or expired or self._is_stopping:
                    return ticket, expired
                self._changed.wait()

    def _serve(self, analyser: FrameAnalyser, ticket: Ticket) -> None:
        fate, result = FrameFate.REJECTED, None
        error: CordonError | None = None
        began_s, decoded_s = time.perf_counter(), analyser.stage_seconds["decode"]
        try:
            mailbox, frame = self._mailboxes[ticket.lane], ticket.frame
            taken_s = frame.captured_at.timestamp()
            result = analyser.analyse(
                frame.jpeg, mailbox.gallery, mailbox.tracks, taken_s, mailbox.zone
            )
            fate = FrameFate.PROCESSED
        except OurFault as fault:
            error = _our_fault(ticket.frame, fault)
        except CordonError as known:
            error = _without_frames(known)
        except Exception as unknown:  # noqa: BLE001 - handed to the camera's stream and to the log.
            error = _our_fault(ticket.frame, unknown)
        work_s = time.perf_counter() - began_s
        decode_s = analyser.stage_seconds["decode"] - decoded_s
        with self._changed:
            del self._in_hand[threading.get_ident()]
            self._settle(ticket, fate, result, error, work_s, decode_s)
        self._deliver(ticket.lane)

    def _settle(
        self,
        ticket: Ticket,
        fate: FrameFate,
        result: FrameResult | None = None,
        error: CordonError | None = None,
        work_s: float = 0.0,
        decode_s: float = 0.0,
    ) -> None:
        answer(ticket, fate, result=result, error=error, work_s=work_s, decode_s=decode_s)
        self._line.done(ticket)
        self._mailboxes[ticket.lane].worked_s = self._clock()
        if not ticket.lane.is_open:
            self._forget(ticket.lane)
        self._changed.notify()

    def _deliver(self, lane: Lane) -> None:
        """Delivers what is ready, outside the lock, one thread at a time: whoever comes while
        another delivers leaves it to that one, so the order holds.
        """
        with self._changed:
            mailbox = self._mailboxes.get(lane)
            if mailbox is None or mailbox.is_delivering:
                return
            mailbox.is_delivering = True
        while outcomes := self._ready(lane, mailbox):
            for outcome in outcomes:
                _hand_over(mailbox, outcome)

    def _ready(self, lane: Lane, mailbox: Mailbox) -> list[Outcome]:
        """The outcomes to deliver now; when there are none, delivering ends in the same step."""
        with self._changed:
            outcomes = answered(lane)
            mailbox.is_delivering = bool(outcomes)
            if not lane.is_open and not lane.unanswered and not outcomes:
                self._mailboxes.pop(lane, None)
            return outcomes


def _hand_over(mailbox: Mailbox, outcome: Outcome) -> None:
    try:
        mailbox.deliver(outcome)
    except BaseException as error:  # noqa: BLE001 - must not end a worker between two answers; logged.
        log.error("outcome.undelivered", camera=mailbox.camera_id, error=type(error).__name__)


def _our_fault(frame: Frame, error: BaseException) -> OurFault:
    """The error for the camera; the log gets where it happened, never what was in the frame."""
    reason = error.reason if isinstance(error, OurFault) else "FRAME_FAILED"
    log.error(
        "frame.failed",
        camera=frame.camera_id,
        sequence=frame.sequence,
        error=type(error).__name__,
        reason=reason,
        where=[f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-5:]],
    )
    fault = OurFault(
        "The server failed on this frame; it goes on with the next. If it happens again, report "
        "the server's log.",
        reason=reason,
    )
    fault.__cause__ = _without_frames(error)
    return fault


def _without_frames(error: E) -> E:
    """The error without the stack it came through: its variables are the picture (R1)."""
    seen: list[BaseException] = []
    behind: list[BaseException | None] = [error]
    while behind:
        each = behind.pop()
        if each is not None and each not in seen:
            each.__traceback__ = None
            seen.append(each)
            behind += (each.__cause__, each.__context__)
    return error
