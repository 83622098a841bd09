"""Time never goes back, whatever is done to the wall clock, a start between or not (R2, R9)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cordon_server.authority.clock import CLOCK, KEEP_EVERY, SET_BACK_MIN, KeptClock
from cordon_server.domain import StorageFull
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import NOON, Clock

HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)


class Monotonic:
    """Seconds that only grow."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.mark.serves("R2", "R9")
async def test_a_clock_that_is_set_back_goes_on_by_the_monotonic_one(
    registry: Environment, clock: Clock
) -> None:
    passed = Monotonic()
    kept = KeptClock(registry, wall=clock, monotonic_s=passed)

    clock.advance(hours=-5)
    passed.s += 60
    assert kept.now() == NOON + timedelta(minutes=1)
    clock.now = NOON + HOUR
    assert kept.now() == NOON + HOUR
    clock.advance(hours=-5)
    passed.s += 60
    assert kept.now() == NOON + HOUR + timedelta(minutes=1)


@pytest.mark.serves("R2", "R9")
async def test_a_stopped_wall_clock_ends_a_window_all_the_same(
    registry: Environment, clock: Clock
) -> None:
    passed = Monotonic()
    kept = KeptClock(registry, wall=clock, monotonic_s=passed)

    passed.s += 24 * 3600

    assert kept.now() == NOON + 24 * HOUR


@pytest.mark.serves("R2", "R9")
async def test_a_start_knows_the_latest_time_that_was_kept(
    registry: Environment, clock: Clock
) -> None:
    kept = KeptClock(registry, wall=clock, monotonic_s=Monotonic())
    clock.now = NOON + HOUR
    await kept.keep()
    clock.now = NOON + HOUR + KEEP_EVERY / 2
    await kept.keep()

    clock.now = NOON - HOUR
    again = KeptClock(registry, wall=clock, monotonic_s=Monotonic())

    assert again.now() == NOON + HOUR
    record = registry.read_now(lambda txn: txn.get(CLOCK, b"latest"))
    assert record is not None
    assert record.latest == NOON + HOUR


async def test_the_time_is_kept_when_the_note_is_old_enough_or_always(
    registry: Environment, clock: Clock
) -> None:
    kept = KeptClock(registry, wall=clock, monotonic_s=Monotonic())

    for passed, always, noted in (
        (KEEP_EVERY - MOMENT, False, None),
        (KEEP_EVERY, False, KEEP_EVERY),
        (KEEP_EVERY + MOMENT, True, KEEP_EVERY + MOMENT),
    ):
        clock.now = NOON + passed
        await kept.keep(always=always)
        record = registry.read_now(lambda txn: txn.get(CLOCK, b"latest"))
        assert (record and record.latest) == (noted and NOON + noted)


@pytest.mark.parametrize(("back", "told"), [(SET_BACK_MIN, []), (SET_BACK_MIN + MOMENT, ["error"])])
async def test_a_start_tells_that_the_clock_was_set_back(
    registry: Environment, clock: Clock, back: timedelta, told: list[str]
) -> None:
    await KeptClock(registry, wall=clock, monotonic_s=Monotonic()).keep(always=True)

    clock.now = NOON - back
    with capture_logs() as logs:
        KeptClock(registry, wall=clock, monotonic_s=Monotonic())

    assert [each["log_level"] for each in logs if each["event"] == "clock.set_back"] == told


async def test_a_full_disk_stops_nobody_who_keeps_the_time_and_it_is_kept_when_there_is_room(
    registry: Environment, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptClock(registry, wall=clock, monotonic_s=Monotonic())
    clock.now = NOON + HOUR

    async def is_full(act: object) -> None:
        raise StorageFull("there is no room left")

    with monkeypatch.context() as full:
        full.setattr(registry, "write", is_full)
        await kept.keep()
    assert registry.read_now(lambda txn: txn.get(CLOCK, b"latest")) is None
    await kept.keep()

    record = registry.read_now(lambda txn: txn.get(CLOCK, b"latest"))
    assert record is not None
    assert record.latest == NOON + HOUR


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**4)), max_size=20))
def test_it_never_tells_a_time_before_one_that_it_told(jumps: list[tuple[int, int]]) -> None:
    clock, passed = Clock(), Monotonic()
    kept = KeptClock(_Nothing(), wall=clock, monotonic_s=passed)  # type: ignore[arg-type]
    latest, passed_s = kept.now(), passed.s

    for wall_s, run_s in jumps:
        clock.advance(seconds=wall_s)
        passed.s += run_s
        now = kept.now()
        assert now >= latest + timedelta(seconds=passed.s - passed_s)
        assert now >= clock.now
        latest, passed_s = now, passed.s


class _Nothing:
    """A registry in which no time was kept."""

    def read_now(self, act: object) -> None:
        return None
