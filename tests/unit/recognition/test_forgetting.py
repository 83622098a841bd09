"""What the scheduler keeps of people and pictures, and when it lets go of them (R1)."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from cordon_server.domain import (
    Box,
    Face,
    FaceCounts,
    Frame,
    FrameResult,
    InvalidFrame,
)
from cordon_server.recognition.decide import Gallery
from cordon_server.recognition.limits import TRACKS_IDLE_S_MAX
from cordon_server.recognition.line import Outcome
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.recognition.tracker import TrackerRules
from cordon_server.recognition.tracks import CameraTracks, Shot
from cordon_server.recognition.zone import Zone
from tests.bench.accuracy import ExactGallery

GALLERY = ExactGallery(0.47)
PATIENCE_S = 20.0


class TrackingAnalyser:
    """Sees one person in every frame, and keeps a template of them on their track."""

    def __init__(self) -> None:
        self.stage_seconds = {"decode": 0.0}
        self.templates: list[weakref.ref[Any]] = []
        self.numbers: list[int] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.has_begun = threading.Event()

    def analyse(
        self,
        jpeg: bytes,
        gallery: Gallery,
        tracks: CameraTracks | None = None,
        taken_s: float = 0.0,
        zone: Zone | None = None,
    ) -> FrameResult:
        if jpeg.startswith(b"bad"):
            try:
                raise ValueError
            except ValueError as cause:
                raise InvalidFrame("bad", reason="FRAME_NOT_JPEG") from cause
        if jpeg.startswith(b"worse"):
            try:
                raise ValueError
            except ValueError:
                # Another cause than what was being handled: two errors lie behind this one.
                raise InvalidFrame("worse", reason="FRAME_NOT_JPEG") from KeyError()
        if jpeg.startswith(b"bug"):
            raise ZeroDivisionError
        if tracks is not None:
            face = Face(Box(50.0, 50.0, 60.0, 60.0), np.zeros((5, 2), np.float32), 0.9)
            (person,) = tracks.follow([face], taken_s)
            person.add(Shot(np.eye(4, dtype=np.float32)[0].copy(), 0.5), 0.5)
            self.templates.append(weakref.ref(person.shots[-1].vector))
            self.numbers.append(person.number)
        self.has_begun.set()
        assert self.may_go_on.wait(PATIENCE_S)
        return FrameResult(FaceCounts(searched=1), ())

    @property
    def kept(self) -> int:
        """Templates that are still in memory."""
        gc.collect()
        return sum(template() is not None for template in self.templates)


class Engine:
    """A scheduler with one worker, a clock that the test moves, and one tracked camera."""

    def __init__(self, analyser: TrackingAnalyser) -> None:
        self.now_s = 1000.0
        self.scheduler = Scheduler([analyser], clock=lambda: self.now_s)
        self._heard = threading.Semaphore(0)
        self._sequence = 0
        self.mailbox = self.scheduler.open_mailbox(
            "gate", GALLERY, self._hear, tracks=CameraTracks()
        )

    def _hear(self, outcome: Outcome) -> None:
        del outcome
        self._heard.release()

    def put(self, jpeg: bytes = b"") -> None:
        self._sequence += 1
        moment = datetime.fromtimestamp(self.now_s, UTC)
        self.mailbox.put(Frame("gate", self._sequence, moment, self.now_s, jpeg))

    def wait(self) -> None:
        assert self._heard.acquire(timeout=PATIENCE_S)


@pytest.fixture
def analyser() -> TrackingAnalyser:
    return TrackingAnalyser()


@pytest.fixture
def engine(analyser: TrackingAnalyser) -> Iterator[Engine]:
    engine = Engine(analyser)
    yield engine
    analyser.may_go_on.set()
    assert engine.scheduler.stop(PATIENCE_S)


@pytest.mark.serves("R1")
def test_nobody_is_remembered_on_a_camera_that_sends_nothing(
    engine: Engine, analyser: TrackingAnalyser
) -> None:
    engine.put()
    engine.wait()
    engine.now_s += TRACKS_IDLE_S_MAX - 0.1
    engine.scheduler.forget_idle()
    before = analyser.kept

    engine.now_s += 0.2
    engine.scheduler.forget_idle()

    assert before == 1
    assert analyser.kept == 0


def test_a_camera_that_comes_back_to_life_gives_nobody_an_old_number(
    engine: Engine, analyser: TrackingAnalyser
) -> None:
    for _ in range(3):
        engine.put()
        engine.wait()
        engine.now_s += TRACKS_IDLE_S_MAX
        engine.scheduler.forget_idle()

    assert analyser.numbers == [1, 2, 3]


def test_a_pause_that_a_track_would_outlive_is_not_idleness() -> None:
    assert TrackerRules().lost_s_max < TRACKS_IDLE_S_MAX


@pytest.mark.serves("R1")
def test_nobody_is_remembered_when_the_stream_ends(
    engine: Engine, analyser: TrackingAnalyser
) -> None:
    engine.put()
    engine.wait()

    engine.mailbox.close()

    assert analyser.kept == 0


@pytest.mark.serves("R1")
def test_a_frame_in_work_when_the_stream_ends_or_idles_leaves_nobody_behind(
    engine: Engine, analyser: TrackingAnalyser
) -> None:
    analyser.may_go_on.clear()
    engine.put()
    assert analyser.has_begun.wait(PATIENCE_S)

    engine.now_s += 2 * TRACKS_IDLE_S_MAX
    engine.scheduler.forget_idle()  # the worker has them in hand
    engine.mailbox.close()
    in_work = analyser.kept
    analyser.may_go_on.set()
    engine.wait()

    assert in_work == 1
    assert analyser.kept == 0


@contextmanager
def _without_gc() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.serves("R1")
@pytest.mark.parametrize("begins", [b"fine", b"bad", b"worse", b"bug"])
def test_no_frame_is_kept_once_it_is_answered_whatever_became_of_it(
    engine: Engine, begins: bytes
) -> None:
    jpeg = begins + bytes(100)
    before = sys.getrefcount(jpeg)

    with _without_gc():
        engine.put(jpeg)
        engine.wait()
        engine.scheduler.stop(PATIENCE_S)

        assert sys.getrefcount(jpeg) == before


@pytest.mark.serves("R1")
def test_an_idle_worker_keeps_no_frame(engine: Engine) -> None:
    jpeg = b"fine" + bytes(100)
    before = sys.getrefcount(jpeg)

    with _without_gc():
        engine.put(jpeg)
        engine.wait()
        patience = threading.Event()
        for _ in range(1000):
            if sys.getrefcount(jpeg) == before:
                return
            patience.wait(0.01)
    raise AssertionError("the frame is still held")
