"""Who is served next: each rule at the head of `line`, stepped without threads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
)

from cordon_server.domain import FaceCounts, Frame, FrameResult, LimitReached, NotNow, NotReady
from cordon_server.recognition.line import FrameFate, Lane, Line, Outcome, Ticket, answer, answered

RESULT = FrameResult(FaceCounts(), ())
AGE_S_MAX = 2.0


def _frame(sequence: int, received_s: float = 0.0, camera: str = "c") -> Frame:
    return Frame(camera, sequence, datetime(2026, 1, 1, tzinfo=UTC), received_s, b"")


def _open(line: Line, *, stills: bool = False, tracked: bool = False) -> Lane:
    return line.open(stills=stills, waiting_max=3, unanswered_max=10, tracked=tracked)


def _take(line: Line, now_s: float = 0.0) -> Ticket:
    ticket, _ = line.take(now_s)
    assert ticket is not None
    return ticket


def _fates(outcomes: list[Outcome]) -> list[tuple[int, FrameFate]]:
    return [(o.frame.sequence, o.fate) for o in outcomes]


def test_a_newer_video_frame_supersedes_the_one_that_waits() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line)

    line.put(lane, _frame(1))
    line.put(lane, _frame(2))

    assert _fates(answered(lane)) == [(1, FrameFate.SUPERSEDED)]
    assert _take(line).frame.sequence == 2


def test_stills_are_served_in_order_and_refused_when_full() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line, stills=True)
    for sequence in (1, 2, 3):
        line.put(lane, _frame(sequence))

    with pytest.raises(LimitReached):
        line.put(lane, _frame(4))

    assert [_take(line, 99.0).frame.sequence for _ in range(3)] == [1, 2, 3]


def test_an_old_video_frame_expires_instead_of_being_served() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    old, fresh = _open(line), _open(line)
    line.put(old, _frame(1, received_s=0.0))
    line.put(fresh, _frame(1, received_s=2.5))

    ticket, expired = line.take(3.0)

    assert ticket is not None
    assert ticket.lane is fresh
    assert expired == [old]
    assert _fates(answered(old)) == [(1, FrameFate.EXPIRED)]


def test_outcomes_wait_for_those_of_older_frames() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line)
    line.put(lane, _frame(1))
    first = _take(line)
    line.put(lane, _frame(2))
    second = _take(line)

    answer(second, FrameFate.PROCESSED, result=RESULT)
    early = answered(lane)
    answer(first, FrameFate.PROCESSED, result=RESULT)

    assert early == []
    assert [o.frame.sequence for o in answered(lane)] == [1, 2]


def test_the_least_recently_served_lane_is_next() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    busy, quiet = _open(line), _open(line)
    line.put(busy, _frame(1))
    _take(line)
    line.put(busy, _frame(2))
    line.put(quiet, _frame(1))

    assert _take(line).lane is quiet


def test_closing_rejects_what_waits_and_refuses_what_comes() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line)
    line.put(lane, _frame(1))

    line.close(lane, NotNow("closed"))

    assert _fates(answered(lane)) == [(1, FrameFate.REJECTED)]
    assert line.take(0.0) == (None, [])
    with pytest.raises(NotReady):
        line.put(lane, _frame(2))


def test_a_lane_whose_outcomes_nobody_takes_is_refused_in_the_end() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line)
    for sequence in range(10):
        line.put(lane, _frame(sequence))

    with pytest.raises(LimitReached):
        line.put(lane, _frame(11))


def test_a_tracked_lane_has_one_frame_in_work_and_the_newest_waits_for_it() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line, tracked=True)
    line.put(lane, _frame(1))
    first = _take(line)
    line.put(lane, _frame(2))
    line.put(lane, _frame(3))

    nothing, _ = line.take(0.0)
    answer(first, FrameFate.PROCESSED, result=RESULT)
    line.done(first)

    assert nothing is None
    assert _take(line).frame.sequence == 3
    assert _fates(answered(lane)) == [(1, FrameFate.PROCESSED), (2, FrameFate.SUPERSEDED)]


def test_a_tracked_lane_in_work_holds_up_no_other() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    tracked, other = _open(line, tracked=True), _open(line)
    line.put(tracked, _frame(1))
    _take(line)
    line.put(tracked, _frame(2))
    line.put(other, _frame(1))

    assert _take(line).lane is other


def test_a_tracked_lane_closed_while_in_work_is_not_served_again() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line, tracked=True)
    line.put(lane, _frame(1))
    first = _take(line)
    line.put(lane, _frame(2))

    line.close(lane, NotNow("closed"))
    answer(first, FrameFate.PROCESSED, result=RESULT)
    line.done(first)

    assert line.take(0.0) == (None, [])
    assert _fates(answered(lane)) == [(1, FrameFate.PROCESSED), (2, FrameFate.REJECTED)]


def test_a_frame_that_waited_too_long_for_the_one_in_work_expires() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    lane = _open(line, tracked=True)
    line.put(lane, _frame(1))
    first = _take(line)
    line.put(lane, _frame(2))

    answer(first, FrameFate.PROCESSED, result=RESULT)
    line.done(first)

    assert line.take(AGE_S_MAX + 0.1) == (None, [lane])
    line.put(lane, _frame(3, AGE_S_MAX + 0.1))
    assert _take(line, AGE_S_MAX + 0.1).frame.sequence == 3


class LineMachine(RuleBasedStateMachine):
    """Any order of puts, takes, answers, closes and passing time."""

    lanes = Bundle("lanes")

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(age_s_max=AGE_S_MAX)
        self.now_s = 0.0
        self.all: list[Lane] = []
        self.put_order: dict[int, list[int]] = {}
        self.delivered: dict[int, list[int]] = {}
        self.in_work: list[Ticket] = []
        self.passed_over: dict[int, int] = {}
        self.sequence = 0

    @rule(target=lanes, kind=st.sampled_from(["stills", "video", "tracked"]))
    def open(self, kind: str) -> Lane:
        lane = _open(self.line, stills=kind == "stills", tracked=kind == "tracked")
        self.all.append(lane)
        self.put_order[id(lane)] = []
        self.delivered[id(lane)] = []
        return lane

    @rule(lane=lanes)
    def put(self, lane: Lane) -> None:
        self.sequence += 1
        try:
            self.line.put(lane, _frame(self.sequence, self.now_s))
        except (LimitReached, NotReady):
            return
        self.put_order[id(lane)].append(self.sequence)

    @rule()
    def take(self) -> None:
        waiting = [lane for lane in self.all if self.may_be_served(lane)]
        ticket, _ = self.line.take(self.now_s)
        if ticket is None:
            assert not any(self.may_be_served(lane) for lane in self.all)
            return
        assert ticket.lane.stills or self.now_s - ticket.frame.received_s <= AGE_S_MAX
        self.in_work.append(ticket)
        for lane in waiting:
            is_served = lane is ticket.lane or not lane.waiting
            self.passed_over[id(lane)] = 0 if is_served else self.passed_over.get(id(lane), 0) + 1
            assert self.passed_over[id(lane)] <= len(self.all), "a lane starves"

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.in_work:
            position = data.draw(st.integers(0, len(self.in_work) - 1))
            ticket = self.in_work.pop(position)
            answer(ticket, FrameFate.PROCESSED, result=RESULT)
            self.line.done(ticket)

    def may_be_served(self, lane: Lane) -> bool:
        return bool(lane.waiting) and not (lane.tracked and self.works_on(lane))

    def works_on(self, lane: Lane) -> int:
        return sum(ticket.lane is lane for ticket in self.in_work)

    @rule(lane=lanes)
    def close(self, lane: Lane) -> None:
        self.line.close(lane, NotNow("closed"))

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def a_tracked_lane_never_has_two_frames_in_work(self) -> None:
        assert all(self.works_on(lane) <= 1 for lane in self.all if lane.tracked)

    @invariant()
    def outcomes_come_once_and_in_order(self) -> None:
        for lane in self.all:
            self.delivered[id(lane)] += [o.frame.sequence for o in answered(lane)]
            done = self.delivered[id(lane)]
            assert done == self.put_order[id(lane)][: len(done)]

    def teardown(self) -> None:
        while True:
            ticket, expired = self.line.take(self.now_s)
            self.in_work += [ticket] if ticket else []
            if ticket is None and not expired:
                if not self.in_work:
                    break
                last = self.in_work.pop()
                answer(last, FrameFate.PROCESSED, result=RESULT)
                self.line.done(last)
        self.outcomes_come_once_and_in_order()
        assert self.delivered == self.put_order


TestLine = LineMachine.TestCase
