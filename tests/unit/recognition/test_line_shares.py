"""Who gets how much over a long run: random arrivals from cameras of different weight, stepped."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.domain import FaceCounts, Frame, FrameResult
from cordon_server.recognition.line import FrameFate, Lane, Line, Ticket, answer, answered

AGE_S_MAX = 2.0
SERVICE_S = 0.05
RESULT = FrameResult(FaceCounts(), ())


@dataclass
class Camera:
    """Sends at random moments, `fps` a second on average."""

    fps: float
    weight: float
    tracked: bool
    lane: Lane | None = None
    sequence: int = 0
    served: list[int] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    fates: Counter[FrameFate] = field(default_factory=Counter)
    waiting_since_s: float | None = None
    longest_wait_s: float = 0.0


def run(cameras: list[Camera], *, workers: int, seconds: float, seed: int) -> None:
    """So many workers serve the cameras, each frame for SERVICE_S; checks rules at every step."""
    chance, line, busy = random.Random(seed), Line(age_s_max=AGE_S_MAX), list[Ticket]()
    for camera in cameras:
        camera.lane = line.open(
            stills=False,
            waiting_max=1,
            unanswered_max=64,
            tracked=camera.tracked,
            weight=camera.weight,
        )
    owner = {id(camera.lane): camera for camera in cameras}
    for tick in range(round(seconds / SERVICE_S)):
        now_s = tick * SERVICE_S
        for ticket in chance.sample(busy, len(busy)):  # whoever finishes first
            answer(ticket, FrameFate.PROCESSED, result=RESULT)
            line.done(ticket)
        busy.clear()
        for camera in chance.sample(cameras, len(cameras)):
            _arrive(line, camera, chance, now_s)
        while len(busy) < workers:
            ticket_or_none, _ = line.take(now_s)
            if ticket_or_none is None:
                break
            busy.append(ticket_or_none)
            owner[id(ticket_or_none.lane)].served.append(ticket_or_none.frame.sequence)
        for camera in cameras:
            _look(camera, now_s)


def _arrive(line: Line, camera: Camera, chance: random.Random, now_s: float) -> None:
    assert camera.lane is not None
    expected = camera.fps * SERVICE_S
    for _ in range(int(expected) + (chance.random() < expected % 1)):
        camera.sequence += 1
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        line.put(camera.lane, Frame("c", camera.sequence, moment, now_s, b""))


def _look(camera: Camera, now_s: float) -> None:
    lane = camera.lane
    assert lane is not None
    assert len(lane.waiting) <= 1
    assert len(lane.unanswered) <= 64
    assert not camera.tracked or lane.in_work <= 1
    for outcome in answered(lane):
        camera.told.append(outcome.frame.sequence)
        camera.fates[outcome.fate] += 1
    if not lane.waiting:
        camera.waiting_since_s = None
    elif camera.waiting_since_s is None:
        camera.waiting_since_s = now_s
    else:
        camera.longest_wait_s = max(camera.longest_wait_s, now_s - camera.waiting_since_s)


arrivals = st.lists(
    st.builds(
        Camera,
        fps=st.floats(0.2, 200),
        weight=st.sampled_from([0.5, 1.0, 2.0]),
        tracked=st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


@settings(deadline=None, max_examples=30)
@given(cameras=arrivals, workers=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_nobody_starves_no_frame_goes_back_in_time_and_every_frame_is_told_in_order(
    cameras: list[Camera], workers: int, seed: int
) -> None:
    run(cameras, workers=workers, seconds=12, seed=seed)

    round_s = sum(camera.weight for camera in cameras) / 0.5 * SERVICE_S
    for camera in cameras:
        assert camera.served == sorted(set(camera.served))
        assert camera.told == list(range(1, len(camera.told) + 1))
        assert camera.sequence - len(camera.told) <= 1 + workers
        assert camera.longest_wait_s <= round_s + 2 * SERVICE_S


@settings(deadline=None, max_examples=15)
@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]), min_size=2, max_size=8),
    seed=st.integers(0, 2**16),
)
def test_cameras_that_always_wait_are_served_by_their_weights(
    weights: list[float], seed: int
) -> None:
    cameras = [Camera(200, weight, tracked=False) for weight in weights]

    run(cameras, workers=1, seconds=60, seed=seed)

    total = sum(len(camera.served) for camera in cameras)
    for camera in cameras:
        share = camera.weight / sum(weights)
        # One frame a step at most comes to be waited for, however large the share.
        assert len(camera.served) / total == pytest.approx(share, rel=0.05)


def test_what_one_leaves_the_others_share_by_weight() -> None:
    idle, light, heavy = Camera(1, 2, False), Camera(200, 1, False), Camera(200, 3, False)

    run([idle, light, heavy], workers=1, seconds=100, seed=1)

    assert len(idle.served) >= 0.95 * idle.sequence
    assert len(heavy.served) == pytest.approx(3 * len(light.served), rel=0.05)


def test_one_that_offers_ten_times_as_much_gets_no_more_than_its_share() -> None:
    cameras = [Camera(40, 1, False) for _ in range(15)] + [Camera(400, 1, False)]

    run(cameras, workers=2, seconds=40, seed=2)

    served = [len(camera.served) for camera in cameras]
    assert min(served) / max(served) >= 0.9
