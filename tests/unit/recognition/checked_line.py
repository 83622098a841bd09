"""A line, and at every step what its rules promise: for tests that drive it at random."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from cordon_server.domain import FaceCounts, Frame, FrameResult, LimitReached, NotNow, NotReady
from cordon_server.recognition.line import FrameFate, Lane, Line, Ticket, answer, answered

RESULT = FrameResult(FaceCounts(), ())
AGE_S_MAX = 2.0
WAITING_MAX = 3
UNANSWERED_MAX = 10


def a_frame(sequence: int, received_s: float = 0.0) -> Frame:
    return Frame("c", sequence, datetime(2026, 1, 1, tzinfo=UTC), received_s, b"")


class CheckedLine:
    """Raises AssertionError where a rule is broken. Sequences rise over all lanes."""

    def __init__(self) -> None:
        self.line = Line(age_s_max=AGE_S_MAX)
        self.now_s = 0.0
        self.lanes: list[Lane] = []
        self.in_work: list[Ticket] = []
        self._put: dict[int, list[int]] = {}
        self._told: dict[int, list[int]] = {}
        self._taken: dict[int, int] = {}
        """The newest frame of each lane that was worked on."""
        self._passed_over: dict[int, Counter[int]] = {}
        """Of each lane that waits: how often each other one was served meanwhile."""
        self._sequence = 0

    def open(self, kind: str, weight: float) -> Lane:
        """A lane of "stills", "video" or "tracked" video."""
        lane = self.line.open(
            stills=kind == "stills",
            waiting_max=WAITING_MAX,
            unanswered_max=UNANSWERED_MAX,
            tracked=kind == "tracked",
            weight=weight,
        )
        self.lanes.append(lane)
        self._put[id(lane)], self._told[id(lane)] = [], []
        self._passed_over[id(lane)] = Counter()
        return lane

    def put(self, lane: Lane) -> None:
        """One more frame; refused exactly where the lane is full or closed."""
        self._sequence += 1
        is_full = len(lane.unanswered) >= UNANSWERED_MAX or (
            lane.stills and len(lane.waiting) >= WAITING_MAX
        )
        try:
            self.line.put(lane, a_frame(self._sequence, self.now_s))
        except NotReady:
            assert not lane.is_open
        except LimitReached:
            assert is_full
        else:
            assert lane.is_open
            assert not is_full
            self._put[id(lane)].append(self._sequence)
        self.check()

    def take(self) -> bool:
        """A worker is free; whether it got a frame. It does wherever one may be worked on."""
        waited = [lane for lane in self.lanes if self._may_be_served(lane)]
        ticket, _ = self.line.take(self.now_s)
        if ticket is None:
            assert not any(map(self._may_be_served, self.lanes)), "a worker idles beside work"
            self.check()
            return False
        assert ticket.lane in waited
        self._check_taken(ticket)
        self.in_work.append(ticket)
        self._check_fair(ticket.lane, waited)
        self.check()
        return True

    def finish(self, position: int, *, dies: bool) -> None:
        """A worker is done with a frame, or died of it."""
        ticket = self.in_work.pop(position)
        if dies:
            answer(ticket, FrameFate.REJECTED, error=NotNow("failed"))
        else:
            answer(ticket, FrameFate.PROCESSED, result=RESULT)
        self.line.done(ticket)
        self.check()

    def close(self, lane: Lane) -> None:
        self.line.close(lane, NotNow("closed"))
        self.check()

    def drain(self) -> None:
        """Works on what is left: then every frame was told, once."""
        while self.take() or self.in_work:
            if self.in_work:
                self.finish(0, dies=False)
        assert self._told == self._put

    def check(self) -> None:
        """Bounds, and the order in which frames are told."""
        for lane in self.lanes:
            assert len(lane.waiting) <= (WAITING_MAX if lane.stills else 1)
            assert len(lane.unanswered) <= UNANSWERED_MAX
            assert lane.in_work == self._works_on(lane)
            assert not lane.tracked or lane.in_work <= 1
            told = self._told[id(lane)]
            for outcome in answered(lane):
                told.append(outcome.frame.sequence)
                # Of pictures every one counts: none is displaced, and none is ever too old.
                is_dropped = outcome.fate in (FrameFate.SUPERSEDED, FrameFate.EXPIRED)
                assert not (lane.stills and is_dropped)
            assert told == self._put[id(lane)][: len(told)]

    def _check_taken(self, ticket: Ticket) -> None:
        lane, frame = ticket.lane, ticket.frame
        assert lane.stills or self.now_s - frame.received_s <= AGE_S_MAX
        assert frame.sequence > self._taken.get(id(lane), 0), "an older frame after a newer"
        self._taken[id(lane)] = frame.sequence

    def _check_fair(self, served: Lane, waited: list[Lane]) -> None:
        """Who waits is passed over by each other by no more than the weights say."""
        for lane in self.lanes:
            over = self._passed_over[id(lane)]
            if lane is served or lane not in waited or not lane.waiting:
                over.clear()
                continue
            over[id(served)] += 1
            assert over[id(served)] <= 1 + max(1.0, served.weight / lane.weight), "a lane starves"

    def _may_be_served(self, lane: Lane) -> bool:
        return bool(lane.waiting) and not (lane.tracked and self._works_on(lane))

    def _works_on(self, lane: Lane) -> int:
        return sum(ticket.lane is lane for ticket in self.in_work)
