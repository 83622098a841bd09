"""What the cameras hear of the load, and what the log says of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import structlog

from cordon_server.domain import FaceCounts, FrameResult, LimitReached, NotNow
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.recognition.load import STEP_S, Advice, Load, LoadRules
from cordon_server.sessions.camera import CameraSession
from cordon_server.sessions.load_watch import LOG_EVERY_S, LoadWatch
from tests.unit.server.rooms import NOON, a_frame

WANTED = Advice(0.0, 1920, 85)


class Watched:
    """A watch over sessions that a test answers, and its clock."""

    def __init__(self, *, typical_s: float = 0.01, weights: dict[str, float] | None = None) -> None:
        self.now_s = 0.0
        self.load = Load(1, LoadRules(), typical_s)
        self.watch = LoadWatch(self.load, weights or {}, clock=lambda: self.now_s)

    def camera(self, camera_id: str = "north") -> CameraSession:
        session = CameraSession(
            camera_id,
            "market",
            credit=2,
            clock_skew_max=timedelta(seconds=30),
            now=NOON,
            on_close=lambda: self.watch.left(session),
            on_answer=lambda outcome: self.watch.note(session, outcome),
        )
        self.watch.joined(session, stills=False, tracked=False)
        return session

    def answered(self, session: CameraSession, fate: FrameFate, work_s: float = 0.0) -> None:
        result = FrameResult(FaceCounts(searched=3), ()) if fate is FrameFate.PROCESSED else None
        error = NotNow("x", reason="FRAME_FAILED") if fate is FrameFate.REJECTED else None
        session.answer(Outcome(a_frame(1), fate, result, error, work_s))

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += STEP_S
            self.watch.step()


async def next_advice(session: CameraSession) -> Advice:
    while not isinstance(answer := await asyncio.wait_for(session.next_answer(), 5), Advice):
        pass
    return answer


async def test_a_camera_hears_first_what_is_wanted_and_then_what_fits() -> None:
    watched = Watched()
    session = watched.camera()
    assert await next_advice(session) == WANTED

    for _ in range(2):
        for _ in range(60):
            watched.answered(session, FrameFate.PROCESSED, work_s=0.1)
        watched.step()

    assert (await next_advice(session)).fps_max == pytest.approx(15)


async def test_a_camera_that_does_not_fit_is_let_in_once_another_has_left() -> None:
    watched = Watched(typical_s=0.4)
    first = watched.camera()

    with pytest.raises(LimitReached, match="no room") as refused:
        watched.watch.check_room()
    first.close()
    watched.watch.check_room()

    assert refused.value.reason == "NO_CAPACITY"
    assert refused.value.retry_after_s > 0


def test_weights_go_by_the_cameras_name_and_are_one_unless_set() -> None:
    watched = Watched(weights={"gate": 3.0})

    assert watched.watch.weight("gate") == 3
    assert watched.watch.weight("north") == 1


async def test_the_log_says_the_load_with_drops_by_reason_and_nothing_without_traffic() -> None:
    watched = Watched()
    session = watched.camera()
    steps = round(LOG_EVERY_S / STEP_S)

    with structlog.testing.capture_logs() as logs:
        watched.answered(session, FrameFate.PROCESSED, work_s=0.5)
        watched.answered(session, FrameFate.SUPERSEDED)
        watched.answered(session, FrameFate.REJECTED)
        watched.step(3 * steps)

    (said,) = [each for each in logs if each["event"] == "load"]
    assert said["drops"] == {"superseded": 1, "FRAME_FAILED": 1}
    assert said["utilisation"] == 0.05
    assert (said["frames_per_s"], said["faces_per_s"]) == (0.1, 0.3)


async def test_the_counts_of_a_camera_that_has_gone_are_not_held() -> None:
    watched = Watched()
    session = watched.camera()

    session.close()
    watched.answered(session, FrameFate.PROCESSED, work_s=0.5)
    watched.step()

    assert watched.load.load == 0
