"""Compares what each camera of a deployment sees with what it saw at first, and raises alarms.

Of people it is told sums alone and keeps sums alone (R1): of the baseline, of the newest whole
window, and of the window that fills. An alarm stands on record before anybody can see it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog

from cordon_server.acts import Act, AuditClass, Recorder
from cordon_server.domain import CordonError, Passed
from cordon_server.matches.drift import (
    BASELINE_TRACKS,
    CALM_WINDOWS,
    WINDOW_TRACKS,
    Measure,
    Sample,
    drifted,
)
from cordon_server.store.environment import Environment, Table, Transaction

log = structlog.get_logger()

Tell = Callable[[str], None]
"""Takes the measure that an alarm is raised for."""


class Alarm(msgspec.Struct, frozen=True):
    """A measure that is not what it was."""

    raise_time: datetime
    calm: int = 0
    """Windows without it since, one after the other."""


class CameraDrift(msgspec.Struct, frozen=True):
    """What is known of one camera."""

    baseline: Sample
    """Whole where windows are compared with it."""
    current: Sample | None = None
    """The newest whole window."""
    windows: int = 0
    """That were compared."""
    alarms: dict[Measure, Alarm] = {}  # msgspec copies it


DRIFT = Table("drift", CameraDrift)
"""By camera; from its whole baseline on. What a server that is killed has not compared is lost."""


class DriftWatch:
    """The cameras of one deployment. Used from the event loop alone."""

    def __init__(
        self,
        environment: Environment,
        *,
        deployment_id: str,
        recorder: Recorder,
        clock: Callable[[], datetime],
        tell: Tell,
    ) -> None:
        self._environment = environment
        self._deployment_id = deployment_id
        self._recorder = recorder
        self._clock = clock
        self._tell = tell
        self._known = environment.read_now(_kept)
        self._filling: dict[str, Sample] = {}
        self._comparing = asyncio.Lock()

    def passed(self, camera_id: str, passed: Passed) -> Sample | None:
        """Takes in who has passed a camera; a sample that is whole by it, for `compare`."""
        sample = self._filling.get(camera_id, Sample()).with_passed(passed)
        wanted = WINDOW_TRACKS if camera_id in self._known else BASELINE_TRACKS
        is_whole = sample.tracks >= wanted
        self._filling[camera_id] = Sample() if is_whole else sample
        return sample if is_whole else None

    def alerted(self, camera_id: str, count: int) -> None:
        """Takes in new alerts of a camera."""
        self._filling[camera_id] = self._filling.get(camera_id, Sample()).with_alerts(count)

    async def compare(self, camera_id: str, sample: Sample) -> None:
        """Compares a whole sample with the baseline, or makes it that; raises and clears alarms.

        Raises `StorageFull` where it cannot be kept. An alarm that cannot be recorded is said in
        the log and raised with the next window that shows it.
        """
        async with self._comparing:
            known = self._known.get(camera_id)
            if known is None:
                await self._keep(camera_id, CameraDrift(sample))
                return
            now = msgspec.structs.replace(known, current=sample, windows=known.windows + 1)
            changed = drifted(known.baseline, sample)
            for measure in Measure:
                now = await self._judged(camera_id, now, measure, is_changed=measure in changed)
            await self._keep(camera_id, now)

    def camera(self, camera_id: str) -> CameraDrift:
        """What is known of a camera; of one without a whole baseline, what there is of it."""
        known = self._known.get(camera_id)
        return known or CameraDrift(self._filling.get(camera_id, Sample()))

    async def _judged(
        self, camera_id: str, drift: CameraDrift, measure: Measure, *, is_changed: bool
    ) -> CameraDrift:
        """The camera with one measure's alarm raised, kept or cleared."""
        alarm = drift.alarms.get(measure)
        if alarm is None:
            if not is_changed or not await self._record("drift", camera_id, drift, measure):
                return drift
            self._tell(measure)
            return _with(drift, measure, Alarm(self._clock()))
        calm = 0 if is_changed else alarm.calm + 1
        if calm < CALM_WINDOWS or not await self._record(
            "drift_cleared", camera_id, drift, measure
        ):
            return _with(drift, measure, Alarm(alarm.raise_time, calm))
        others = {each: alarm for each, alarm in drift.alarms.items() if each is not measure}
        return msgspec.structs.replace(drift, alarms=others)

    async def _record(
        self, what: str, camera_id: str, drift: CameraDrift, measure: Measure
    ) -> bool:
        """Puts on record that an alarm is raised or cleared; whether that was possible."""
        assert drift.current is not None
        facts: dict[str, str | int | float] = {
            "camera": camera_id,
            "measure": measure.value,
            "baseline": round(drift.baseline.value(measure), 4),
            "current": round(drift.current.value(measure), 4),
            "windows": drift.windows,
        }
        name = self._deployment_id
        act = Act(AuditClass.NONE, f"measurement.{what}", name, f"deployments/{name}", facts=facts)
        try:
            await self._recorder.record(act)
        except CordonError as error:
            log.error(f"camera.{what}_not_recorded", **facts, error=error.message)
            return False
        log.warning(f"camera.{what}", deployment=name, **facts)
        return True

    async def _keep(self, camera_id: str, drift: CameraDrift) -> None:
        self._known[camera_id] = drift
        await self._environment.write(lambda txn: txn.put(DRIFT, camera_id.encode(), drift))


def _with(drift: CameraDrift, measure: Measure, alarm: Alarm) -> CameraDrift:
    return msgspec.structs.replace(drift, alarms=drift.alarms | {measure: alarm})


def _kept(txn: Transaction) -> dict[str, CameraDrift]:
    return {key.decode(): drift for key, drift in txn.scan(DRIFT)}
