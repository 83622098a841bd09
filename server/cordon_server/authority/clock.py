"""The time by which deployments end: it never goes back, however the wall clock is set (R2, R9).

It is the wall clock's, unless that is behind the latest time seen plus what has passed since by the
monotonic clock. So a window ends when either clock says so. The latest time seen is kept in the
registry, for what a running server knows a new start does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from cordon_server.domain import StorageFull
from cordon_server.store.environment import Environment, Table, Transaction

log = structlog.get_logger()

KEEP_EVERY = timedelta(seconds=30)
"""How much time a start may not know of."""
SET_BACK_MIN = timedelta(minutes=1)
"""By less the clock is put right every day."""


class ClockRecord(msgspec.Struct, frozen=True):
    """The latest time that was seen."""

    latest: datetime


CLOCK = Table("clock", ClockRecord)
_KEY = b"latest"


class KeptClock:
    """Tells the time."""

    def __init__(
        self,
        registry: Environment,
        *,
        wall: Callable[[], datetime],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._wall = wall
        self._monotonic_s = monotonic_s
        kept = registry.read_now(lambda txn: txn.get(CLOCK, _KEY))
        self._kept = kept.latest if kept else wall()
        # One value, replaced whole: it is read from more than one thread.
        self._seen = (max(wall(), self._kept), monotonic_s())
        if wall() < self._kept - SET_BACK_MIN:
            log.error("clock.set_back", wall=wall().isoformat(), latest=self._kept.isoformat())

    def now(self) -> datetime:
        """The time; never before one that it told."""
        latest, at_s = self._seen
        now_s = self._monotonic_s()
        run = latest + timedelta(seconds=max(0.0, now_s - at_s))
        wall = self._wall()
        if wall > run:
            self._seen = (wall, now_s)
        return max(wall, run)

    async def keep(self, *, always: bool = False) -> None:
        """Notes the time for the next start, where the note is older than KEEP_EVERY.

        On a full disk it is noted later: whoever ends what is over must not stop for want of room.
        """
        now = self.now()
        if not always and now - self._kept < KEEP_EVERY:
            return
        try:
            await self._registry.write(lambda txn: _put(txn, ClockRecord(now)))
        except StorageFull as error:
            log.error("clock.not_kept", error=error.message)
        else:
            self._kept = now


def _put(txn: Transaction, record: ClockRecord) -> None:
    txn.put(CLOCK, _KEY, record)
