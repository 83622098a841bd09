from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.domain import (
    FaceCounts,
    Frame,
    FrameResult,
    InvalidInput,
    LimitReached,
    NotNow,
)
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.recognition.load import Advice
from cordon_server.sessions.camera import CameraSession, Halted, HaltReason, check_clock
from tests.unit.server.live_rooms import heard
from tests.unit.server.rooms import NOON, a_frame

SKEW_MAX = timedelta(seconds=30)


class Box:
    """A mailbox that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.is_closed = False
        self.refusal: LimitReached | NotNow | None = None

    def put(self, frame: Frame) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.frames.append(frame)

    def close(self) -> None:
        self.is_closed = True


def a_session(credit: int = 2) -> tuple[CameraSession, Box]:
    closed: list[bool] = []
    session = CameraSession(
        "north",
        "market",
        credit=credit,
        clock_skew_max=SKEW_MAX,
        now=NOON,
        on_close=lambda: closed.append(True),
    )
    box = Box()
    session.attach(box)
    return session, box


def processed(frame: Frame, searched: int = 1) -> Outcome:
    return Outcome(frame, FrameFate.PROCESSED, FrameResult(FaceCounts(searched=searched), ()))


async def test_a_frame_goes_to_the_mailbox_and_its_answer_to_the_camera() -> None:
    session, box = a_session()
    frame = a_frame(1)

    session.offer(frame, NOON)
    session.answer(processed(frame, searched=3))

    assert box.frames == [frame]
    assert await heard(session) == processed(frame, searched=3)
    assert session.counts.received == 1
    assert session.counts.last_frame_time == NOON
    assert session.counts.fates[FrameFate.PROCESSED] == 1
    assert session.counts.faces_searched == 3


async def test_a_frame_without_credit_breaks_the_protocol() -> None:
    session, box = a_session(credit=2)
    session.offer(a_frame(1), NOON)
    session.offer(a_frame(2), NOON)

    with pytest.raises(InvalidInput, match="wait for Credit") as refused:
        session.offer(a_frame(3), NOON)

    assert refused.value.reason == "NO_CREDIT"
    assert [frame.sequence for frame in box.frames] == [1, 2]
    assert session.counts.received == 2


async def test_credit_comes_back_with_the_answer_that_is_taken() -> None:
    session, box = a_session(credit=1)
    session.offer(a_frame(1), NOON)
    session.answer(processed(box.frames[0]))
    await heard(session)

    session.offer(a_frame(2), NOON)

    assert len(box.frames) == 2


async def test_a_camera_that_does_not_read_gets_no_further_credit() -> None:
    session, box = a_session(credit=2)
    for sequence in (1, 2):
        session.offer(a_frame(sequence), NOON)
        session.answer(processed(box.frames[-1]))

    with pytest.raises(InvalidInput) as refused:
        session.offer(a_frame(3), NOON)

    assert refused.value.reason == "NO_CREDIT"


@pytest.mark.parametrize("sequence", [0, 4, 5])
async def test_sequences_rise(sequence: int) -> None:
    session, _ = a_session(credit=5)
    session.offer(a_frame(5), NOON)

    with pytest.raises(InvalidInput, match="must rise") as refused:
        session.offer(a_frame(sequence), NOON)

    assert (refused.value.reason, refused.value.field) == ("SEQUENCE_NOT_RISING", "frame.sequence")
    session.offer(a_frame(7), NOON)


@pytest.mark.parametrize(
    ("skew_s", "words"),
    [
        (0, None),
        (30, None),
        (-30, None),
        (31, "31 s ahead of"),
        (-31, "31 s behind"),
        (86_400 * 365 * 5000, "ahead of"),
    ],
)
def test_a_clock_far_off_is_said_with_the_direction(skew_s: int, words: str | None) -> None:
    error = check_clock(NOON + timedelta(seconds=skew_s), NOON, SKEW_MAX)

    if words is None:
        assert error is None
    else:
        assert error is not None
        assert words in error.message
        assert "NTP" in error.message
        assert error.reason == "CLOCK_OFF"


async def test_a_frame_of_an_impossible_time_is_rejected_and_the_stream_goes_on() -> None:
    session, box = a_session()

    session.offer(a_frame(1, captured_at=NOON - timedelta(minutes=1)), NOON)
    session.offer(a_frame(2), NOON)

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert answer.fate is FrameFate.REJECTED
    assert answer.error is not None
    assert answer.error.reason == "CLOCK_OFF"
    assert [frame.sequence for frame in box.frames] == [2]


@pytest.mark.parametrize("refusal", [LimitReached("full"), NotNow("stopping")])
async def test_a_frame_that_the_mailbox_refuses_is_answered_too(
    refusal: LimitReached | NotNow,
) -> None:
    session, box = a_session()
    box.refusal = refusal

    session.offer(a_frame(1), NOON)

    assert await heard(session) == Outcome(a_frame(1), FrameFate.REJECTED, error=refusal)
    assert session.counts.received == session.counts.fates[FrameFate.REJECTED] == 1


async def test_after_the_last_answer_of_a_drained_stream_nothing_follows() -> None:
    session, box = a_session()
    session.offer(a_frame(1), NOON)
    session.offer(a_frame(2), NOON)

    session.drain()
    for frame in box.frames:
        session.answer(processed(frame))

    assert [await heard(session) for _ in range(3)] == [*map(processed, box.frames), None]


async def test_a_drained_stream_with_nothing_under_way_ends_at_once() -> None:
    session, _ = a_session()

    session.drain()

    assert await heard(session) is None


async def test_a_halted_camera_hears_it_once_and_its_frames_are_passed_over() -> None:
    session, box = a_session()
    session.halt(HaltReason.CAMERA_REVOKED, "revoked")
    session.halt(HaltReason.SERVER_STOPPING, "stopping")

    session.offer(a_frame(1), NOON)
    session.drain()

    assert await heard(session) == Halted(HaltReason.CAMERA_REVOKED, "revoked")
    assert await heard(session) is None
    assert box.frames == []
    assert session.counts.received == 0


async def test_closing_closes_the_mailbox() -> None:
    session, box = a_session()

    session.close()

    assert box.is_closed


STEPS = st.lists(
    st.sampled_from(["offer", "offer", "late", "answer", "answer", "hear", "hear", "refuse"])
    | st.sampled_from(list(FrameFate)),
    max_size=60,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 5))
def test_every_frame_taken_ends_in_exactly_one_count(
    steps: list[str | FrameFate], credit: int
) -> None:
    session, box = a_session(credit)
    sequence = offered = told = 0
    waiting: list[Frame] = []

    def take() -> int:
        answers = session._answers
        taken = 0
        while not answers.empty() and asyncio.run(session.next_answer()) is not None:
            taken += 1
        return taken

    for step in steps:
        if step in ("offer", "late", "refuse"):
            sequence += 1
            box.refusal = LimitReached("full") if step == "refuse" else None
            captured_at = NOON - timedelta(hours=1) if step == "late" else NOON
            frame = a_frame(sequence, captured_at=captured_at)
            before = len(box.frames)
            if offered - told >= credit:
                with pytest.raises(InvalidInput):
                    session.offer(frame, NOON)
            else:
                session.offer(frame, NOON)
                offered += 1
            waiting += box.frames[before:]
        elif step == "hear":
            told += take()
        elif waiting:
            fate = step if isinstance(step, FrameFate) else FrameFate.PROCESSED
            session.answer(Outcome(waiting.pop(0), fate))
        counts = session.counts
        assert counts.received == offered == sum(counts.fates.values()) + len(waiting)
        assert session._answers.qsize() <= credit

    session.drain()
    for frame in waiting:
        session.answer(Outcome(frame, FrameFate.EXPIRED))
    told += take()
    assert session.counts.received == sum(session.counts.fates.values()) == offered == told


async def test_newer_advice_takes_the_place_of_advice_that_was_not_told_yet() -> None:
    session, _ = a_session()
    slow, slower = Advice(5.0, 1920, 85), Advice(3.0, 1920, 85)

    session.advise(slow)
    session.advise(slower)
    first = await session.next_answer()
    session.advise(slow)
    second = await session.next_answer()

    assert (first, second) == (slower, slow)
