"""Who is served next: each rule at the head of `line`, stepped without threads."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from cordon_server.domain import LimitReached, NotNow, NotReady
from cordon_server.recognition.line import FrameFate, Lane, Line, Outcome, Ticket, answer, answered
from tests.unit.recognition.checked_line import AGE_S_MAX, RESULT, CheckedLine
from tests.unit.recognition.checked_line import a_frame as _frame


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


def test_a_new_lane_queues_up_behind_those_that_wait() -> None:
    line = Line(age_s_max=AGE_S_MAX)
    first, second = _open(line), _open(line)
    for lane in (first, second, first, second):
        line.put(lane, _frame(1))
        _take(line)
    line.put(first, _frame(2))
    line.put(second, _frame(2))

    new = _open(line)
    line.put(new, _frame(1))

    assert [_take(line).lane for _ in range(3)] == [first, second, new]


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
    """Any order of puts, takes, answers, deaths of workers, closes and passing time."""

    lanes = Bundle("lanes")

    def __init__(self) -> None:
        super().__init__()
        self.world = CheckedLine()

    @rule(
        target=lanes,
        kind=st.sampled_from(["stills", "video", "tracked"]),
        weight=st.sampled_from([0.25, 1.0, 4.0]),
    )
    def open(self, kind: str, weight: float) -> Lane:
        return self.world.open(kind, weight)

    @rule(lane=lanes)
    def put(self, lane: Lane) -> None:
        self.world.put(lane)

    @rule()
    def take(self) -> None:
        self.world.take()

    @rule(data=st.data(), dies=st.booleans())
    def finish(self, data: st.DataObject, dies: bool) -> None:
        if count := len(self.world.in_work):
            self.world.finish(data.draw(st.integers(0, count - 1)), dies=dies)

    @rule(lane=lanes)
    def close(self, lane: Lane) -> None:
        self.world.close(lane)

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.world.now_s += seconds

    def teardown(self) -> None:
        self.world.drain()


TestLine = LineMachine.TestCase


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cameras=st.integers(1, 12),
    workers=st.integers(1, 4),
    kinds=st.sampled_from([("video",), ("tracked",), ("stills",), ("video", "tracked", "stills")]),
    overload=st.floats(0.2, 5),
)
def test_a_day_of_random_arrivals_breaks_no_rule(
    seed: int, cameras: int, workers: int, kinds: tuple[str, ...], overload: float
) -> None:
    chance, world = random.Random(seed), CheckedLine()

    def new() -> Lane:
        return world.open(chance.choice(kinds), chance.choice([0.25, 1.0, 1.0, 2.0, 4.0]))

    lanes = [new() for _ in range(cameras)]
    for _ in range(300):
        world.now_s += chance.expovariate(4.0)
        for _ in range(int(chance.expovariate(1 / (overload * workers)) + 0.5)):
            world.put(chance.choice(lanes))
        for _ in range(chance.randrange(workers + 1)):
            if world.in_work:
                world.finish(chance.randrange(len(world.in_work)), dies=chance.random() < 0.05)
        while len(world.in_work) < workers and world.take():
            pass
        if chance.random() < 0.02:
            leaves = chance.randrange(cameras)
            world.close(lanes[leaves])
            lanes[leaves] = new()
    world.drain()
