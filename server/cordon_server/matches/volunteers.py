"""People who have agreed to be recognised: how many of their passes are (R28).

They stand on the list in a category of their own and are never alerts. Somebody who walks with them
declares each pass; what recognition makes of it is compared. The share is the rate at which a
listed person who passes is recognised (TPIR), on this day, at this camera.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import msgspec

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
"""How long before a pass that was declared a visit may be over, or after it begin, and still be of
that pass; passes of one volunteer at one camera are further apart than both their windows."""
SAME_VISIT = timedelta(seconds=5)
"""A volunteer recognised again so soon at a camera is still there."""
KEPT_EVERY = timedelta(seconds=1)
"""How often it is written down that somebody is still there; what is not yet is this much at most,
and little beside the window."""


@dataclass(frozen=True, slots=True)
class HourlyRate:
    """How many of the passes at a camera in an hour were recognised."""

    camera_id: str
    hour: datetime
    """When it began, UTC."""
    recognised: Rate


@dataclass(slots=True)
class Visit:
    """A volunteer's visit to a camera that may go on."""

    key: bytes
    record: VolunteerRecord
    """As it is kept."""
    seen: datetime
    """When recognition saw the volunteer last."""

    def holds(self, time: datetime) -> bool:
        """Whether a recognition then is of this visit; a camera's clock may be set back."""
        return abs(time - self.seen) <= SAME_VISIT


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
        self._visits: dict[tuple[str, str], Visit] = {}
        """The newest of each volunteer to each camera."""
        self._passing = asyncio.Lock()
        """Held from looking at the passes to writing one more."""

    async def seen(self, frame: Frame, sightings: Sequence[Sighting]) -> None:
        """Keeps which volunteers a frame shows: each visit once, and how long it lasts."""
        for sighting in sightings:
            place, time = (sighting.candidate.entry_id, frame.camera_id), frame.captured_at
            visit = self._visits.get(place)
            if visit is None or not visit.holds(time):
                self._visits[place] = await self._begin(VolunteerRecord(*place, time))
            else:
                await self._go_on(visit, time)

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

    async def _begin(self, record: VolunteerRecord) -> Visit:
        await self._recorder.record(self._act("volunteer.recognised", record))
        key = await self._environment.write(partial(_add, RECOGNITIONS, record))
        return Visit(key, record, record.time)

    async def _go_on(self, visit: Visit, time: datetime) -> None:
        visit.seen = max(visit.seen, time)
        if visit.seen - visit.record.end >= KEPT_EVERY:
            longer = msgspec.structs.replace(visit.record, last=visit.seen)
            await self._environment.write(lambda txn: txn.put(RECOGNITIONS, visit.key, longer))
            visit.record = longer

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
    passes: Sequence[VolunteerRecord], visits: Sequence[VolunteerRecord]
) -> list[HourlyRate]:
    """How many of the passes were recognised, by camera and hour."""
    found = Counter(map(_place, recognised(passes, visits)))
    declared = Counter(map(_place, passes))
    return [
        HourlyRate(*place, rate(found[place], count)) for place, count in sorted(declared.items())
    ]


def recognised(
    passes: Sequence[VolunteerRecord], visits: Sequence[VolunteerRecord]
) -> list[VolunteerRecord]:
    """The passes that were recognised, each by a visit of its own, and as many as can be.

    Who is still there when the pass is declared, or was within the window, is found. In the order
    of time a pass takes, of the visits near it, the one that is over first: those that last are the
    later passes' (F. Glover, Naval Research Logistics Quarterly 14, 1967).
    """
    free = sorted(visits, key=lambda visit: visit.end)
    found = []
    for one in sorted(passes, key=lambda one: one.time):
        near = next((visit for visit in free if _is_of(visit, one)), None)
        if near is not None:
            free.remove(near)
            found.append(one)
    return found


def _is_of(visit: VolunteerRecord, one: VolunteerRecord) -> bool:
    is_near = visit.time - PASS_WINDOW <= one.time <= visit.end + PASS_WINDOW
    return is_near and _is_same(visit, one)


def _place(record: VolunteerRecord) -> tuple[str, datetime]:
    return record.camera_id, record.time.replace(minute=0, second=0, microsecond=0)


def _is_same(one: VolunteerRecord, other: VolunteerRecord) -> bool:
    return (one.entry_id, one.camera_id) == (other.entry_id, other.camera_id)


def _add(table: Table[VolunteerRecord], record: VolunteerRecord, txn: Transaction) -> bytes:
    """Its key."""
    key = match_key(int.from_bytes(txn.last_key(table) or b"", "big") + 1)
    txn.put(table, key, record)
    return key
