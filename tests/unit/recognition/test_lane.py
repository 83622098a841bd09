"""Callers of many threads share one device, and none is ever left waiting for it (R16)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cordon_server.domain import DeviceLost
from cordon_server.recognition.models.lane import Lane

PATIENCE_S = 30.0
ROOM = 4


class Device:
    """Answers each number with its double; holds back until told, and keeps what came together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.fails: list[BaseException] = []

    def run(self, kind: Hashable, works: Sequence[int]) -> list[int]:
        self.batches.append(list(works))
        assert self.go.wait(PATIENCE_S)
        if self.fails:
            raise self.fails.pop(0)
        return [2 * work for work in works]


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def lane(device: Device) -> Iterator[Lane[int, int]]:
    lane: Lane[int, int] = Lane("test", device.run, room=lambda kind: ROOM, stall_s_max=PATIENCE_S)
    yield lane
    device.go.set()
    lane.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def until(claim: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < end_s
        time.sleep(0.001)


def ask_in_order(
    pool: ThreadPoolExecutor, lane: Lane[int, int], works: Sequence[tuple[Hashable, int, int]]
) -> list[Future[int]]:
    """Each (kind, work, size) by a thread of its own, one after the other."""
    asked = []
    for kind, work, size in works:
        before = len(lane._waiting)
        asked.append(pool.submit(lane.ask, kind, work, size))
        until(lambda before=before: len(lane._waiting) == before + 1)  # type: ignore[misc]  # bound now
    return asked


def hold(pool: ThreadPoolExecutor, lane: Lane[int, int], device: Device) -> Future[int]:
    """Puts the device to work until `device.go` is set."""
    device.go.clear()
    held = pool.submit(lane.ask, "a", 0)
    until(lambda: bool(device.batches))
    return held


def test_one_that_asks_alone_waits_for_nobody(lane: Lane[int, int], device: Device) -> None:
    assert lane.ask("a", 21) == 42
    assert device.batches == [[21]]


def test_what_waits_when_the_device_is_free_is_one_batch(
    lane: Lane[int, int], device: Device, pool: ThreadPoolExecutor
) -> None:
    held = hold(pool, lane, device)
    asked = ask_in_order(pool, lane, [("a", 1, 1), ("a", 2, 1), ("a", 3, 1)])

    device.go.set()

    assert [each.result(PATIENCE_S) for each in [held, *asked]] == [0, 2, 4, 6]
    assert device.batches == [[0], [1, 2, 3]]
    assert lane.batches == {1: 1, 3: 1}


def test_a_batch_holds_one_kind_up_to_its_room_and_the_oldest_comes_first(
    lane: Lane[int, int], device: Device, pool: ThreadPoolExecutor
) -> None:
    held = hold(pool, lane, device)
    works = [("a", 1, 3), ("b", 2, 1), ("a", 3, 2), ("a", 4, 1), ("b", 5, 1), ("a", 6, 9)]
    asked = ask_in_order(pool, lane, works)

    device.go.set()

    assert [each.result(PATIENCE_S) for each in [held, *asked]] == [0, 2, 4, 6, 8, 10, 12]
    # Work 4 would still have fitted beside 1, but came after 3; 6 is larger than any batch.
    assert device.batches == [[0], [1], [2, 5], [3, 4], [6]]


def test_many_threads_each_get_their_own_answer(
    lane: Lane[int, int], pool: ThreadPoolExecutor
) -> None:
    works = range(2_000)

    assert list(pool.map(lambda work: lane.ask(work % 3, work), works)) == [2 * w for w in works]


def test_a_batch_that_fails_costs_those_in_it_and_no_other(
    lane: Lane[int, int], device: Device
) -> None:
    device.fails = [ValueError("odd")]

    with pytest.raises(ValueError, match="odd"):
        lane.ask("a", 1)

    assert lane.ask("a", 2) == 4


@pytest.mark.parametrize(
    "fault", [DeviceLost("gone", reason="DEVICE_LOST"), SystemExit(1), KeyboardInterrupt()]
)
def test_a_lost_device_fails_who_waits_and_who_asks_later_and_says_so_once(
    lane: Lane[int, int], device: Device, pool: ThreadPoolExecutor, fault: BaseException
) -> None:
    told: list[DeviceLost] = []
    lane.watch(told.append)
    held = hold(pool, lane, device)
    asked = ask_in_order(pool, lane, [("a", 1, 1), ("b", 2, 1)])
    device.fails = [fault]

    device.go.set()

    for each in [held, *asked]:
        with pytest.raises(DeviceLost):
            each.result(PATIENCE_S)
    with pytest.raises(DeviceLost):
        lane.ask("a", 3)
    until(lambda: len(told) == 1)
    late: list[DeviceLost] = []
    lane.watch(late.append)
    assert late == told


def test_a_device_that_hangs_is_lost_and_nobody_waits_for_it(pool: ThreadPoolExecutor) -> None:
    device = Device()
    lane: Lane[int, int] = Lane("test", device.run, room=lambda kind: ROOM, stall_s_max=0.1)
    told: list[DeviceLost] = []
    lane.watch(told.append)

    held = hold(pool, lane, device)
    waiting = pool.submit(lane.ask, "a", 1)

    for each in (held, waiting):
        with pytest.raises(DeviceLost, match="no answer"):
            each.result(PATIENCE_S)
    until(lambda: len(told) == 1)
    lane.stop()  # does not wait for it either
    assert lane._thread.is_alive()
    device.go.set()
    until(lambda: not lane._thread.is_alive())


def test_what_takes_long_by_intent_is_no_stall_and_runs_on_the_devices_thread() -> None:
    device = Device()
    lane: Lane[int, int] = Lane("test", device.run, room=lambda kind: ROOM, stall_s_max=0.05)

    def load() -> int:
        time.sleep(0.7)  # longer than those who wait look away
        return threading.get_ident()

    assert lane.do(load) == lane._thread.ident
    assert lane.ask("a", 1) == 2
    with pytest.raises(ValueError, match="bad"):
        lane.do(lambda: int("bad"))
    lane.stop()


def test_after_a_stop_what_waits_and_whoever_asks_is_refused(
    device: Device, pool: ThreadPoolExecutor
) -> None:
    lane: Lane[int, int] = Lane("test", device.run, room=lambda kind: ROOM)
    told: list[DeviceLost] = []
    lane.watch(told.append)
    held = hold(pool, lane, device)
    (waiting,) = ask_in_order(pool, lane, [("a", 1, 1)])

    stopping = pool.submit(lane.stop)
    until(lambda: lane._is_stopping)
    device.go.set()
    stopping.result(PATIENCE_S)

    assert held.result(PATIENCE_S) == 0
    with pytest.raises(DeviceLost, match="stopping"):
        waiting.result(PATIENCE_S)
    with pytest.raises(DeviceLost, match="stopping"):
        lane.ask("a", 2)
    assert told == []  # it was let go, not lost
