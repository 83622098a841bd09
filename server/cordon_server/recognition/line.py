"""Who is served next, and what is answered in which order; pure: no threads, no clock, no pictures.

Rules, for whoever edits this:
1. Every frame that is put gets exactly one outcome.
2. The outcomes of one lane come in the order in which its frames were put, however many workers
   served them and whichever finished first.
3. A video lane holds one waiting frame: a newer one supersedes it. A stills lane holds several and
   refuses what is beyond.
4. The lane that is due next is served next: each frame moves its lane back by one over its weight,
   so that lanes with work are served in proportion to their weights; of two that are due alike, the
   one served less recently. Idleness earns nothing, and a new lane queues up behind all others.
5. Of a tracked lane one frame at a time is in work: what a frame shows depends on the one before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from cordon_server.domain import CordonError, Frame, FrameResult, LimitReached, NotReady


class FrameFate(StrEnum):
    """What became of a frame."""

    PROCESSED = "processed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The one answer to a frame: a result if it was processed, an error if it was rejected."""

    frame: Frame
    fate: FrameFate
    result: FrameResult | None = None
    error: CordonError | None = None
    work_s: float = 0.0
    """How long a worker had it."""
    decode_s: float = 0.0
    """Of that, for decoding."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A frame's place in the line."""

    lane: Lane
    frame: Frame
    outcome: Outcome | None = None


@dataclass(slots=True, eq=False)
class Lane:
    """The frames of one stream. Only the line changes it."""

    stills: bool
    """Whether every frame counts (pictures) or the newest only (video)."""
    waiting_max: int
    unanswered_max: int
    tracked: bool = False
    """Whether its frames build on each other, so that only one may be in work."""
    weight: float = 1.0
    """Its share of the workers beside the other lanes'."""
    in_work: int = 0
    due: float = 0.0
    """When it is its turn, on the line's own scale: one round of lanes of weight 1 is 1."""
    last_served: int = 0
    is_open: bool = True
    waiting: deque[Ticket] = field(default_factory=deque)
    unanswered: deque[Ticket] = field(default_factory=deque)
    """All tickets without a delivered outcome, oldest first: waiting, in work, or held back."""


class Line:
    """All lanes, and the choice between them."""

    def __init__(self, *, age_s_max: float) -> None:
        self._age_s_max = age_s_max
        self._turn = 0
        self._round = 0.0
        # Only lanes with a frame that may be taken; a dict because it forgets quickly.
        self._waiting: dict[int, Lane] = {}

    def open(
        self,
        *,
        stills: bool,
        waiting_max: int,
        unanswered_max: int,
        tracked: bool = False,
        weight: float = 1.0,
    ) -> Lane:
        """A new lane; `waiting_max` counts for stills only."""
        waiting_max = waiting_max if stills else 1
        lane = Lane(stills, waiting_max, unanswered_max, tracked, weight)
        lane.due, lane.last_served = self._round + 1 / weight, self._turn
        return lane

    def put(self, lane: Lane, frame: Frame) -> None:
        """Lets a frame wait. LimitReached where the lane is full, NotReady where it is closed."""
        if not lane.is_open:
            raise NotReady("The stream is closed; open a new one.", reason="STREAM_CLOSED")
        if len(lane.unanswered) >= lane.unanswered_max:
            raise _full(len(lane.unanswered))
        if len(lane.waiting) >= lane.waiting_max:
            if lane.stills:
                raise _full(len(lane.waiting))
            answer(lane.waiting.popleft(), FrameFate.SUPERSEDED)
        ticket = Ticket(lane, frame)
        lane.waiting.append(ticket)
        lane.unanswered.append(ticket)
        self._list(lane)

    def take(self, now_s: float) -> tuple[Ticket | None, list[Lane]]:
        """The next frame to work on, and the lanes where frames expired on the way to it."""
        expired: list[Lane] = []
        while self._waiting:
            lane = min(self._waiting.values(), key=lambda each: (each.due, each.last_served))
            ticket = lane.waiting.popleft()
            if not lane.waiting:
                del self._waiting[id(lane)]
            if not lane.stills and now_s - ticket.frame.received_s > self._age_s_max:
                answer(ticket, FrameFate.EXPIRED)
                expired.append(lane)
                continue
            self._turn += 1
            self._round = lane.due
            lane.due += 1 / lane.weight
            lane.last_served = self._turn
            lane.in_work += 1
            if lane.tracked:
                self._waiting.pop(id(lane), None)
            return ticket, expired
        return None, expired

    def done(self, ticket: Ticket) -> None:
        """The work on a frame that was taken is over."""
        ticket.lane.in_work -= 1
        self._list(ticket.lane)

    def _list(self, lane: Lane) -> None:
        if lane.waiting and not (lane.tracked and lane.in_work) and id(lane) not in self._waiting:
            lane.due = max(lane.due, self._round)
            self._waiting[id(lane)] = lane

    def close(self, lane: Lane, error: CordonError) -> None:
        """Takes no more frames; those that wait are rejected with `error`."""
        lane.is_open = False
        self._waiting.pop(id(lane), None)
        while lane.waiting:
            answer(lane.waiting.popleft(), FrameFate.REJECTED, error=error)


def answer(
    ticket: Ticket,
    fate: FrameFate,
    *,
    result: FrameResult | None = None,
    error: CordonError | None = None,
    work_s: float = 0.0,
    decode_s: float = 0.0,
) -> None:
    """Settles a frame's fate, once."""
    assert ticket.outcome is None
    ticket.outcome = Outcome(ticket.frame, fate, result, error, work_s, decode_s)


def answered(lane: Lane) -> list[Outcome]:
    """Takes out the outcomes that may be delivered: those with no unanswered frame before them."""
    ready: list[Outcome] = []
    while lane.unanswered and (outcome := lane.unanswered[0].outcome) is not None:
        lane.unanswered.popleft()
        ready.append(outcome)
    return ready


def _full(held: int) -> LimitReached:
    return LimitReached(
        f"{held} frames of this camera wait already; send the next one when a result has come.",
        reason="FRAMES_WAITING",
    )
