"""When a superseded frame gives its credit back: under a clock that the test moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.domain import Frame, InvalidInput, NotNow
from cordon_server.recognition.line import FrameFate, Lane, Line, Outcome, Ticket, answer, answered
from cordon_server.sessions.camera import SUPERSEDED_S_MIN, CameraSession
from tests.unit.server.rooms import NOON, a_frame


class Timers:
    """A clock and what is to be done at which time."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Timer]] = []

    def later(self, delay_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        timer = Timer(act)
        heapq.heappush(self._due, (self.now_s + delay_s, next(self._order), timer))
        return cast("asyncio.TimerHandle", timer)

    def advance(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self._due and self._due[0][0] <= until_s:
            self.now_s, _, timer = heapq.heappop(self._due)
            timer.act()
        self.now_s = until_s


class Timer:
    """What a loop gives for something that is to be done later."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def cancel(self) -> None:
        self.act = lambda: None


class Lone:
    """A video camera's session on its own line, worked on by the test."""

    def __init__(self, credit: int = 2) -> None:
        self.timers = Timers()
        self.line = Line(age_s_max=2.0)
        self.lane: Lane = self.line.open(stills=False, waiting_max=1, unanswered_max=64)
        self.in_work: list[Ticket] = []
        self.sent = 0
        self.session = CameraSession(
            "north",
            "market",
            credit=credit,
            clock_skew_max=timedelta(seconds=30),
            now=NOON,
            on_close=lambda: None,
            clock_s=lambda: self.timers.now_s,
            later=self.timers.later,
        )
        self.session.attach(self)
        self.credit = credit

    def put(self, frame: Frame) -> None:
        """As a mailbox."""
        self.line.put(self.lane, frame)
        self._deliver()

    def close(self) -> None:
        """As a mailbox."""
        self.line.close(self.lane, NotNow("closed"))
        self._deliver()

    def send(self) -> None:
        """Sends a frame, with credit."""
        self.credit -= 1
        self.sent += 1
        frame = replace(a_frame(self.sent), received_s=self.timers.now_s)
        self.session.offer(frame, NOON)

    def serve(self) -> None:
        """A worker takes the frame that waits."""
        ticket, _ = self.line.take(self.timers.now_s)
        self.in_work += [ticket] if ticket else []
        self._deliver()

    def finish(self) -> None:
        """The worker that was first is done."""
        if self.in_work:
            ticket = self.in_work.pop(0)
            answer(ticket, FrameFate.PROCESSED)
            self.line.done(ticket)
            self._deliver()

    def hear(self) -> list[tuple[int, FrameFate]]:
        """What the camera is told now; each gives one credit back."""
        told = []
        while not self.session._answers.empty():
            outcome = asyncio.run(self.session.next_answer())
            assert isinstance(outcome, Outcome)
            told.append((outcome.frame.sequence, outcome.fate))
        self.credit += len(told)
        return told

    def _deliver(self) -> None:
        for outcome in answered(self.lane):
            self.session.answer(outcome)


def test_a_frame_that_is_displaced_at_once_holds_its_credit_for_a_moment() -> None:
    camera = Lone()
    camera.send()
    camera.send()

    at_once = camera.hear()
    camera.timers.advance(SUPERSEDED_S_MIN - 0.001)
    too_early = camera.hear()
    camera.timers.advance(0.002)

    assert at_once == too_early == []
    assert camera.hear() == [(1, FrameFate.SUPERSEDED)]


def test_it_gives_it_back_when_the_camera_is_served_before_that_and_in_order() -> None:
    camera = Lone()
    camera.send()
    camera.send()
    camera.serve()

    camera.finish()

    assert camera.hear() == [(1, FrameFate.SUPERSEDED), (2, FrameFate.PROCESSED)]


def test_a_camera_at_its_own_pace_has_its_credit_back_at_once() -> None:
    camera, told = Lone(), list[int]()
    for _ in range(21):
        camera.timers.advance(SUPERSEDED_S_MIN + 1e-6)
        camera.send()
        told.append(len(camera.hear()))

    assert told == [0, *[1] * 20]
    assert camera.session.counts.fates[FrameFate.SUPERSEDED] == 20


def test_a_client_that_sends_whenever_it_may_displaces_itself_at_a_bounded_rate() -> None:
    camera = Lone(credit=2)
    for _ in range(10_000):
        while camera.credit:
            camera.send()
        camera.timers.advance(0.001)
        camera.hear()

    assert camera.sent <= 2 * (10 / SUPERSEDED_S_MIN + 1)


def test_who_sends_no_more_is_told_of_every_frame_before_the_end() -> None:
    camera = Lone()
    camera.send()
    camera.send()

    camera.session.drain()
    camera.serve()
    camera.finish()

    assert asyncio.run(camera.session.next_answer()) == Outcome(
        replace(a_frame(1), received_s=100.0), FrameFate.SUPERSEDED
    )
    asyncio.run(camera.session.next_answer())
    assert asyncio.run(camera.session.next_answer()) is None


def test_after_the_stream_nothing_of_it_is_due() -> None:
    camera = Lone()
    camera.send()
    camera.send()

    camera.session.close()
    camera.hear()
    camera.timers.advance(1.0)

    assert camera.hear() == []


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(["send", "send", "serve", "finish", "hear", "refuse"])
        | st.floats(0, 0.1).map(lambda seconds: round(seconds, 3)),
        max_size=80,
    ),
    credit=st.integers(1, 5),
)
def test_no_credit_is_lost_or_doubled_and_every_frame_is_told_once_in_order(
    steps: list[str | float], credit: int
) -> None:
    camera, told = Lone(credit), list[int]()
    for step in steps:
        match step:
            case "send" if camera.credit:
                camera.send()
            case "refuse" if not camera.credit:
                with pytest.raises(InvalidInput):
                    camera.session.offer(a_frame(camera.sent + 1), NOON)
            case "serve":
                camera.serve()
            case "finish":
                camera.finish()
            case "hear":
                told += [sequence for sequence, _ in camera.hear()]
            case float():
                camera.timers.advance(step)
        assert camera.credit + (camera.sent - len(told)) == credit

    camera.serve()
    while camera.in_work:
        camera.finish()
        camera.serve()
    camera.timers.advance(1.0)
    told += [sequence for sequence, _ in camera.hear()]

    assert told == list(range(1, camera.sent + 1))
    assert camera.credit == credit
