"""The worker threads: every frame is answered once, in order, whatever happens to a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog.testing

from cordon_server.domain import (
    FaceCounts,
    Frame,
    FrameResult,
    InvalidFrame,
    LimitReached,
    NotNow,
    NotReady,
    OurFault,
)
from cordon_server.recognition.decide import Gallery
from cordon_server.recognition.scheduler import FrameFate, Outcome, Scheduler
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.recognition.zone import Zone
from tests.bench.accuracy import ExactGallery

RESULT = FrameResult(FaceCounts(searched=1), ())
GALLERY = ExactGallery(0.47)
PATIENCE_S = 20.0


class GatedAnalyser:
    """Works on a frame when it is told to; the frame's bytes say how it ends."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)
        self.is_open = False
        self.stage_seconds = {"decode": 0.0}

    def analyse(
        self,
        jpeg: bytes,
        gallery: Gallery,
        tracks: CameraTracks | None = None,
        taken_s: float = 0.0,
        zone: Zone | None = None,
    ) -> FrameResult:
        self.started.release()
        if not self.is_open:
            assert self.permits.acquire(timeout=PATIENCE_S)
        if jpeg == b"bad":
            raise InvalidFrame("bad", reason="FRAME_NOT_JPEG")
        if jpeg == b"bug":
            raise ZeroDivisionError("secret")
        if jpeg == b"fatal":
            raise SystemExit("the end of this thread")
        return RESULT


class Inbox:
    """Where outcomes arrive."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._changed = threading.Condition()

    def deliver(self, outcome: Outcome) -> None:
        with self._changed:
            self.outcomes.append(outcome)
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[tuple[int, FrameFate]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.outcomes) >= count, PATIENCE_S)
            return [(o.frame.sequence, o.fate) for o in self.outcomes]


@pytest.fixture
def analyser() -> GatedAnalyser:
    return GatedAnalyser()


@pytest.fixture
def scheduler(analyser: GatedAnalyser) -> Iterator[Scheduler]:
    scheduler = Scheduler([analyser], clock=lambda: 0.0)
    yield scheduler
    analyser.is_open = True
    analyser.permits.release(100)
    assert scheduler.stop(PATIENCE_S)


def _frame(sequence: int, jpeg: bytes = b"", received_s: float = 0.0) -> Frame:
    return Frame("gate", sequence, datetime(2026, 1, 1, tzinfo=UTC), received_s, jpeg)


def test_frames_come_back_processed(scheduler: Scheduler, analyser: GatedAnalyser) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=False)
    analyser.permits.release()

    mailbox.put(_frame(1))

    assert inbox.wait_for(1) == [(1, FrameFate.PROCESSED)]
    assert inbox.outcomes[0].result is RESULT


def test_while_a_worker_is_busy_only_the_newest_frame_waits(
    scheduler: Scheduler, analyser: GatedAnalyser
) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=False)
    mailbox.put(_frame(1))
    analyser.started.acquire()

    mailbox.put(_frame(2))
    mailbox.put(_frame(3))
    analyser.permits.release(2)

    assert inbox.wait_for(3) == [
        (1, FrameFate.PROCESSED),
        (2, FrameFate.SUPERSEDED),
        (3, FrameFate.PROCESSED),
    ]


def test_stills_are_all_processed_and_too_many_are_refused(
    scheduler: Scheduler, analyser: GatedAnalyser
) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=True, waiting_max=2)
    mailbox.put(_frame(1))
    analyser.started.acquire()
    mailbox.put(_frame(2))
    mailbox.put(_frame(3))

    with pytest.raises(LimitReached):
        mailbox.put(_frame(4))

    analyser.permits.release(3)
    assert [fate for _, fate in inbox.wait_for(3)] == [FrameFate.PROCESSED] * 3


def test_a_stale_frame_expires_unseen(scheduler: Scheduler) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=False)

    mailbox.put(_frame(1, received_s=-2.1))

    assert inbox.wait_for(1) == [(1, FrameFate.EXPIRED)]


def test_a_bad_frame_is_rejected_and_the_next_is_processed(
    scheduler: Scheduler, analyser: GatedAnalyser
) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=True)
    analyser.permits.release(2)

    mailbox.put(_frame(1, b"bad"))
    mailbox.put(_frame(2))

    assert inbox.wait_for(2) == [(1, FrameFate.REJECTED), (2, FrameFate.PROCESSED)]
    assert isinstance(inbox.outcomes[0].error, InvalidFrame)


def test_a_bug_in_a_worker_rejects_one_frame_is_logged_without_content_and_work_goes_on(
    scheduler: Scheduler, analyser: GatedAnalyser
) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=True)
    analyser.permits.release(2)

    with structlog.testing.capture_logs() as logs:
        mailbox.put(_frame(1, b"bug"))
        mailbox.put(_frame(2))
        inbox.wait_for(2)

    assert isinstance(inbox.outcomes[0].error, OurFault)
    assert inbox.outcomes[1].fate is FrameFate.PROCESSED
    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("frame.failed", "ZeroDivisionError")
    ]
    assert "secret" not in str(logs)


def test_what_ends_a_worker_costs_one_frame_and_the_worker_is_back(
    scheduler: Scheduler, analyser: GatedAnalyser
) -> None:
    inbox, other = Inbox(), Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=True)
    beside = scheduler.open_mailbox("door", GALLERY, other.deliver, stills=True)
    analyser.permits.release(10)

    with structlog.testing.capture_logs() as logs:
        mailbox.put(_frame(1, b"fatal"))
        mailbox.put(_frame(2, b"fatal"))
        beside.put(_frame(1))
        mailbox.put(_frame(3))
        fates = inbox.wait_for(3)
        beside_fates = other.wait_for(1)

    assert fates == [
        (1, FrameFate.REJECTED),
        (2, FrameFate.REJECTED),
        (3, FrameFate.PROCESSED),
    ]
    assert beside_fates == [(1, FrameFate.PROCESSED)]
    assert isinstance(inbox.outcomes[0].error, OurFault)
    assert [each["event"] for each in logs].count("worker.restarted") == 2


def test_an_outcome_says_how_long_a_worker_had_the_frame(
    scheduler: Scheduler, analyser: GatedAnalyser
) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver)
    mailbox.put(_frame(1))
    analyser.started.acquire()
    mailbox.put(_frame(2))
    mailbox.put(_frame(3))
    analyser.permits.release(2)

    inbox.wait_for(3)

    assert inbox.outcomes[0].work_s > 0
    assert inbox.outcomes[1].work_s == 0  # superseded


def test_a_receiver_that_raises_does_not_end_the_worker(
    scheduler: Scheduler, analyser: GatedAnalyser
) -> None:
    def gone(outcome: Outcome) -> None:
        raise ConnectionError

    inbox = Inbox()
    scheduler.open_mailbox("gone", GALLERY, gone, stills=False).put(_frame(1))
    analyser.permits.release(2)

    scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=False).put(_frame(2))

    assert inbox.wait_for(1) == [(2, FrameFate.PROCESSED)]


def test_a_receiver_may_put_the_next_frame(scheduler: Scheduler, analyser: GatedAnalyser) -> None:
    inbox = Inbox()

    def deliver(outcome: Outcome) -> None:
        inbox.deliver(outcome)
        if outcome.frame.sequence < 5:
            mailbox.put(_frame(outcome.frame.sequence + 1))

    mailbox = scheduler.open_mailbox("gate", GALLERY, deliver, stills=False)
    analyser.permits.release(5)
    mailbox.put(_frame(1))

    assert [sequence for sequence, _ in inbox.wait_for(5)] == [1, 2, 3, 4, 5]


def test_closing_answers_what_waits(scheduler: Scheduler, analyser: GatedAnalyser) -> None:
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=False)
    mailbox.put(_frame(1))
    analyser.started.acquire()
    mailbox.put(_frame(2))

    mailbox.close()
    analyser.permits.release()

    assert inbox.wait_for(2) == [(1, FrameFate.PROCESSED), (2, FrameFate.REJECTED)]
    with pytest.raises(NotReady):
        mailbox.put(_frame(3))


def test_stopping_finishes_what_waits_and_then_refuses() -> None:
    analyser = GatedAnalyser()
    analyser.is_open = True
    scheduler = Scheduler([analyser], clock=lambda: 0.0)
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=True)
    for sequence in range(5):
        mailbox.put(_frame(sequence))

    assert scheduler.stop(PATIENCE_S)

    assert inbox.wait_for(5) == [(n, FrameFate.PROCESSED) for n in range(5)]
    with pytest.raises(NotNow):
        mailbox.put(_frame(6))
    with pytest.raises(NotNow):
        scheduler.open_mailbox("late", GALLERY, inbox.deliver)


def test_stopping_without_grace_rejects_what_waits() -> None:
    analyser = GatedAnalyser()
    scheduler = Scheduler([analyser], clock=lambda: 0.0)
    inbox = Inbox()
    mailbox = scheduler.open_mailbox("gate", GALLERY, inbox.deliver, stills=True)
    for sequence in (1, 2):
        mailbox.put(_frame(sequence))
    analyser.started.acquire()

    has_ended = scheduler.stop(0.0)
    analyser.permits.release(2)

    assert not has_ended
    assert inbox.wait_for(2) == [(1, FrameFate.PROCESSED), (2, FrameFate.REJECTED)]
    assert isinstance(inbox.outcomes[1].error, NotNow)
    assert scheduler.stop(PATIENCE_S)


def test_under_a_storm_every_frame_of_every_camera_is_answered_once_and_in_order() -> None:
    analysers = [GatedAnalyser() for _ in range(3)]
    for analyser in analysers:
        analyser.is_open = True
    scheduler = Scheduler(analysers, clock=lambda: 0.0)
    inboxes = [Inbox() for _ in range(4)]
    accepted: list[list[int]] = [[] for _ in inboxes]

    def storm(number: int, stills: bool) -> None:
        mailbox = scheduler.open_mailbox(str(number), GALLERY, inboxes[number].deliver, stills)
        for sequence in range(300):
            try:
                mailbox.put(_frame(sequence, b"bad" if sequence % 7 == 0 else b""))
            except LimitReached:
                continue
            accepted[number].append(sequence)

    threads = [threading.Thread(target=storm, args=(n, n % 2 == 0)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert scheduler.stop(PATIENCE_S)
    for inbox, sequences in zip(inboxes, accepted, strict=True):
        assert [sequence for sequence, _ in inbox.wait_for(len(sequences))] == sequences
