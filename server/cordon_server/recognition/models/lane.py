"""One thread that owns a device: any number of callers, one batch at a time; knows no device.

Work-conserving: whatever waits of one kind when the device becomes free is the next batch, up to
what it takes at once. Nothing waits for a batch to fill: the busy time is the batching window.

A lane ends once and for all: by `stop`, or by losing its device. From then on whoever waits and
whoever asks gets DeviceLost; nobody is left waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog

from cordon_server.domain import DeviceLost

__all__ = ["STALL_S_MAX", "Lane"]

log = structlog.get_logger(__name__)

STALL_S_MAX = 30.0
"""A batch takes milliseconds. A device that gives none back for so long has hung, and is lost."""
_LOOK_S = 0.5
"""How often those who wait look whether the lane still lives."""

Work = TypeVar("Work")
Answer = TypeVar("Answer")
Result = TypeVar("Result")

OnLost = Callable[[DeviceLost], None]


@dataclass(slots=True, eq=False)
class _Job:
    """One caller's work, or an action, and where its answer comes."""

    kind: Hashable
    work: Any
    size: int
    action: Callable[[], Any] | None = None
    answer: Any = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def fail(self, error: BaseException) -> None:
        if not self.done.is_set():
            self.error = error
            self.done.set()


class Lane(Generic[Work, Answer]):
    """Runs batches on a thread of its own. Any number of threads may ask."""

    def __init__(
        self,
        name: str,
        run: Callable[[Hashable, Sequence[Work]], Sequence[Answer]],
        *,
        room: Callable[[Hashable], int],
        stall_s_max: float = STALL_S_MAX,
    ) -> None:
        """`run` gives an answer for each work, in order; it is called from the lane's thread alone.

        Where it raises DeviceLost the lane ends; anything else fails that batch. `room` says how
        much of a kind is taken at once; a single work may be larger.
        """
        self._run = run
        self._room = room
        self._stall_s_max = stall_s_max
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._in_hand: list[_Job] = []
        self._busy_since_s: float | None = None
        self._lost: DeviceLost | None = None
        self._is_stopping = False
        self._watchers: list[OnLost] = []
        self.batches: dict[int, int] = {}
        """How many batches of each size were run; only grows."""
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def ask(self, kind: Hashable, work: Work, size: int = 1) -> Answer:
        """The answer to `work`, after what came before it; raises DeviceLost, or what `run` did."""
        answer: Answer = self._wait_for(_Job(kind, work, size))
        return answer

    def do(self, action: Callable[[], Result]) -> Result:
        """Does something else on the lane's thread, in its turn and by itself.

        What needs long at first (loading, warming up) goes here: it is not held to be a stall.
        """
        result: Result = self._wait_for(_Job(None, None, 0, action))
        return result

    def watch(self, on_lost: OnLost) -> None:
        """Calls that, once, from any thread, when the device is lost; at once where it is."""
        with self._changed:
            if self._lost is None:
                self._watchers.append(on_lost)
                return
        on_lost(self._lost)

    def stop(self) -> None:
        """Ends the lane after the batch in hand; what waits, and whoever asks later, is refused."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            is_lost = self._lost is not None
        # A device that hangs is lost; its thread may never come back.
        self._thread.join(0 if is_lost else self._stall_s_max)
        self._fail_all(_stopped())

    def _put(self, job: _Job) -> None:
        with self._changed:
            if self._lost is not None:
                raise _again(self._lost)
            if self._is_stopping:
                raise _stopped()
            self._waiting.append(job)
            self._changed.notify()

    def _wait_for(self, job: _Job) -> Any:
        self._put(job)
        while not job.done.wait(_LOOK_S):
            self._look()
        if job.error is not None:
            raise _again(job.error) if isinstance(job.error, DeviceLost) else job.error
        return job.answer

    def _look(self) -> None:
        """Loses the device where the thread is dead or hangs."""
        with self._changed:
            since_s, is_alive = self._busy_since_s, self._thread.is_alive()
        if not is_alive:
            self._lose(DeviceLost("The thread of the device has died.", reason="DEVICE_LOST"))
        elif since_s is not None and time.monotonic() - since_s > self._stall_s_max:
            self._lose(
                DeviceLost(
                    f"The device has given no answer for {self._stall_s_max:.0f} s.",
                    reason="DEVICE_LOST",
                )
            )

    def _live(self) -> None:
        try:
            while jobs := self._next():
                self._serve(jobs)
        except DeviceLost as lost:
            self._lose(lost)
        except BaseException as fatal:  # noqa: BLE001 - told to everybody who waits, and logged.
            death = DeviceLost(f"The device's thread has died: {fatal!r}", reason="DEVICE_LOST")
            death.__cause__ = fatal
            self._lose(death)

    def _next(self) -> list[_Job]:
        """The next batch: the oldest work, and what waits of its kind as far as it fits; none
        means: end."""
        with self._changed:
            self._busy_since_s = None
            self._in_hand = []
            while not self._waiting and not self._has_ended():
                self._changed.wait()
            if self._has_ended():
                return []
            first = self._waiting.popleft()
            jobs = [first]
            if first.action is None:
                jobs += self._take(first.kind, self._room(first.kind) - first.size)
                self._busy_since_s = time.monotonic()
            self._in_hand = jobs
            return jobs

    def _has_ended(self) -> bool:
        return self._is_stopping or self._lost is not None

    def _take(self, kind: Hashable, room: int) -> list[_Job]:
        """What waits of that kind, in order, up to `room`; the rest keeps its place."""
        taken: list[_Job] = []
        left: deque[_Job] = deque()
        for job in self._waiting:
            if job.action is None and job.kind == kind and job.size <= room:
                room -= job.size
                taken.append(job)
            else:
                left.append(job)
                # Nothing overtakes: of this kind, what came later waits behind what did not fit.
                room = 0 if job.kind == kind else room
        self._waiting = left
        return taken

    def _serve(self, jobs: list[_Job]) -> None:
        try:
            action = jobs[0].action
            if action is not None:
                answers: Sequence[Any] = [action()]
            else:
                answers = self._run(jobs[0].kind, [job.work for job in jobs])
                size = sum(job.size for job in jobs)
                self.batches[size] = self.batches.get(size, 0) + 1
            assert len(answers) == len(jobs)
        except DeviceLost:
            raise
        except Exception as error:  # noqa: BLE001 - handed to those whose batch it was.
            for job in jobs:
                job.fail(error)
            return
        for job, answer in zip(jobs, answers, strict=True):
            job.answer = answer
            job.done.set()

    def _lose(self, lost: DeviceLost) -> None:
        """Ends the lane for good; the first reason counts."""
        with self._changed:
            if self._lost is not None:
                return
            self._lost = lost
            watchers, self._watchers = self._watchers, []
            self._changed.notify_all()
        log.critical("device.lost", lane=self._thread.name, why=lost.message)
        self._fail_all(lost)
        for on_lost in watchers:
            on_lost(lost)

    def _fail_all(self, error: DeviceLost) -> None:
        with self._changed:
            jobs = [*self._in_hand, *self._waiting]
            self._waiting.clear()
        for job in jobs:
            job.fail(error)


def _stopped() -> DeviceLost:
    return DeviceLost("The device was let go; the server is stopping.", reason="STOPPING")


def _again(lost: DeviceLost) -> DeviceLost:
    """The same for another thread: one exception raised in many would collect their tracebacks."""
    again = DeviceLost(lost.message, reason=lost.reason)
    again.__cause__ = lost
    return again
