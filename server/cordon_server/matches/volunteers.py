"""People who have agreed to be recognised: how many of their passes are (R28).

They stand on the list in a category of their own and are never alerts. Somebody who walks with them
declares each pass; what recognition makes of it is compared. The share is the rate at which a
listed person who passes is recognised (TPIR), on this day, at this camera.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from cordon_server.acts import Act, AuditClass, Recorder
from cordon_server.domain import Frame, InvalidInput, Sighting
from cordon_server.matches.rates import Rate, rate
from cordon_server.matches.records import (
    PASSES,
    RECOGNITIONS,
    VolunteerRecord,
    match_key,
)
from cordon_server.store.environment import Environment, Table, Transaction

PASS_WINDOW = timedelta(seconds=30)
"""How far from the time that was declared a recognition still is of that pass; passes of one
volunteer at one camera are further apart than both their windows."""
SAME_VISIT = timedelta(seconds=5)
"""A volunteer recognised again so soon at a camera is still passing."""


@dataclass(frozen=True, slots=True)
class HourlyRate:
    """How many of the passes at a camera in an hour were recognised."""

    camera_id: str
    hour: datetime
    """When it began, UTC."""
    recognised: Rate


class Volunteers:
    """The volunteers' passes of one deployment."""

    def __init__(
        self,
        environment: Environment,
        *,
        deployment_id: str,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._environment = environment
        self._deployment_id = deployment_id
        self._recorder = recorder
        self._clock = clock
        self._last: dict[tuple[str, str], datetime] = {}
        """When each volunteer was last recognised at each camera."""
        self._passing = asyncio.Lock()
        """Held from looking at the passes to writing one more."""

    async def seen(self, frame: Frame, sightings: Sequence[Sighting]) -> None:
        """Keeps which volunteers a frame shows, once a visit."""
        for sighting in sightings:
            entry_id, camera_id = sighting.candidate.entry_id, frame.camera_id
            last = self._last.get((entry_id, camera_id))
            self._last[entry_id, camera_id] = frame.captured_at
            if last is None or frame.captured_at - last > SAME_VISIT:
                record = VolunteerRecord(entry_id, camera_id, frame.captured_at)
                await self._recorder.record(self._act("volunteer.recognised", record))
                await self._environment.write(partial(_add, RECOGNITIONS, record))

    async def passed(self, record: VolunteerRecord, *, dry_run: bool) -> None:
        """Keeps that somebody says a volunteer passed; raises `InvalidInput` where it is too near
        to another pass to tell which of the two was recognised."""

        def look(txn: Transaction) -> None:
            for _, earlier in txn.scan(PASSES):
                if _is_same(earlier, record) and abs(earlier.time - record.time) <= 2 * PASS_WINDOW:
                    raise InvalidInput(
                        f"{record.entry_id} passed camera {record.camera_id} at "
                        f"{earlier.time:%H:%M:%S} UTC already; passes are counted that are more "
                        f"than {2 * PASS_WINDOW.seconds} s apart",
                        reason="PASS_TOO_NEAR",
                        field="pass_time",
                    )

        async with self._passing:
            await self._environment.read(look)
            if not dry_run:
                await self._recorder.record(self._act("volunteer.passed", record))
                await self._environment.write(partial(_add, PASSES, record))

    async def rates(self) -> list[HourlyRate]:
        """By camera and hour."""

        def act(txn: Transaction) -> list[HourlyRate]:
            passes = [record for _, record in txn.scan(PASSES)]
            return hourly_rates(passes, [record for _, record in txn.scan(RECOGNITIONS)])

        return await self._environment.read(act)

    def _act(self, action: str, record: VolunteerRecord) -> Act:
        return Act(
            AuditClass.COLLECTION,
            action,
            deployment_id=self._deployment_id,
            resource=f"deployments/{self._deployment_id}",
            facts={"camera": record.camera_id},
            personal={"entry": record.entry_id, "person": record.user_id},
        )


def hourly_rates(
    passes: Iterable[VolunteerRecord], recognitions: Sequence[VolunteerRecord]
) -> list[HourlyRate]:
    """How many of the passes have a recognition within their window, by camera and hour."""
    ordered = sorted(passes, key=_place)
    rates = []
    for (camera_id, hour), group in groupby(ordered, _place):
        own = list(group)
        found = sum(
            any(
                _is_same(seen, one) and abs(seen.time - one.time) <= PASS_WINDOW
                for seen in recognitions
            )
            for one in own
        )
        rates.append(HourlyRate(camera_id, hour, rate(found, len(own))))
    return rates


def _place(record: VolunteerRecord) -> tuple[str, datetime]:
    return record.camera_id, record.time.replace(minute=0, second=0, microsecond=0)


def _is_same(one: VolunteerRecord, other: VolunteerRecord) -> bool:
    return (one.entry_id, one.camera_id) == (other.entry_id, other.camera_id)


def _add(table: Table[VolunteerRecord], record: VolunteerRecord, txn: Transaction) -> None:
    last = int.from_bytes(txn.last_key(table) or b"", "big")
    txn.put(table, match_key(last + 1), record)
