"""Whether a camera would recognise people who have agreed to be, before it has to (R28).

Frames taken at the camera go the way that all its frames go: detection, quality, its zone, search
of the whole list at the deployment's threshold. Of each it is told in advance which volunteer it
shows, and of all together it tells in how many that was found: of whoever else is there, listed or
not, nothing is told, counted, logged or kept. One picture is one look; a person who walks by is
looked at several times, so that the rate is rather a low one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cordon_server.acts import Act, AuditClass, Recorder
from cordon_server.authority.records import State
from cordon_server.domain import (
    VOLUNTEER,
    FaceCounts,
    InvalidFrame,
    InvalidInput,
    LimitReached,
    NotNow,
    NotReady,
)
from cordon_server.matches.rates import Rate, rate
from cordon_server.recognition.limits import (
    PREFLIGHT_BYTES_MAX,
    PREFLIGHT_PICTURES_MAX,
    PREFLIGHT_WAIT_S_MAX,
)
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.showing import Show, showing
from cordon_server.sessions.streams import zone_of
from cordon_server.sessions.tested import PreflightRecord, keep

TESTED_IN = (State.AUTHORISED, State.ARMED, State.HALTED)
"""Before somebody has signed for it, nobody's face is looked for at a place."""


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A frame of the camera, and which volunteer it shows."""

    external_ref: str
    jpeg: bytes


class Missed(StrEnum):
    """Why a volunteer was not found, by the best of what the picture has."""

    NO_FACE = "no_face"
    OUTSIDE_ZONE = "outside_zone"
    TOO_SMALL = "too_small"
    TOO_POOR = "too_poor"
    BELOW_THRESHOLD = "below_threshold"
    """A face was searched; the volunteer's was not like enough, or somebody else's was."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a camera made of known pictures, all of them together."""

    recognised: Rate
    """Pictures whose volunteer was found."""
    missed: dict[Missed, int]
    volunteers: Rate
    """Of those who are shown, who was found in a picture at least."""
    threshold: float


class Preflights:
    """Tests cameras of deployments, of each deployment one at a time. Used from the event loop."""

    def __init__(
        self,
        scheduler: Scheduler,
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
        wait_s_max: float = PREFLIGHT_WAIT_S_MAX,
    ) -> None:
        """`clock` tells when deployments are over."""
        self._scheduler = scheduler
        self._recorder = recorder
        self._clock = clock
        self._wait_s_max = wait_s_max
        self._running: set[str] = set()

    async def check(
        self, deployment: OpenDeployment, camera_id: str, pictures: AsyncIterator[KnownPicture]
    ) -> None:
        """Raises what `run` would before it looks at any picture."""
        self._check(deployment, camera_id)
        async for picture in self._bounded(pictures):
            await volunteer(deployment, picture.external_ref)

    async def run(
        self,
        deployment: OpenDeployment,
        camera_id: str,
        pictures: AsyncIterator[KnownPicture],
        user_id: str,
    ) -> Preflight:
        """Shows the pictures to recognition; what came of them is on record before it is told.

        Raises `NotReady` where the deployment is not authorised or is over, `InvalidInput` for
        another's camera or one who is no volunteer or a picture that is no frame, `NotFound`,
        `LimitReached`, `NotRecorded`, `StorageFull`.
        """
        self._check(deployment, camera_id)
        with (
            self._alone(deployment),
            showing(
                self._scheduler,
                camera_id,
                deployment.gallery,
                clock=self._clock,
                zone=zone_of(deployment, camera_id),
            ) as show,
        ):
            found = await self._shown(deployment, camera_id, pictures, show)
        await self._recorder.record(_act(deployment, camera_id, found, user_id))
        await keep(deployment.environment, camera_id, self._test(deployment, found))
        return found

    def _test(self, deployment: OpenDeployment, found: Preflight) -> PreflightRecord:
        authority, recognised = deployment.record.authority, found.recognised
        assert authority is not None, "without one no camera is tested"
        return PreflightRecord(authority.digest, recognised.count, recognised.of, self._clock())

    async def _shown(
        self,
        deployment: OpenDeployment,
        camera_id: str,
        pictures: AsyncIterator[KnownPicture],
        show: Show,
    ) -> Preflight:
        missed: Counter[Missed] = Counter()
        seen: Counter[str] = Counter()
        count = 0
        async for picture in self._bounded(pictures):
            entry_id = await volunteer(deployment, picture.external_ref)
            # It may have ended meanwhile, and the list with it.
            self._check(deployment, camera_id)
            count += 1
            why = await _look(show, picture.jpeg, entry_id, count)
            seen[entry_id] += why is None
            if why is not None:
                missed[why] += 1
        if not count:
            raise InvalidInput("a pre-flight takes one picture at least", field="picture")
        return Preflight(
            recognised=rate(count - missed.total(), count),
            missed={why: missed[why] for why in Missed},
            volunteers=rate(sum(times > 0 for times in seen.values()), len(seen)),
            threshold=deployment.record.threshold,
        )

    async def _bounded(self, pictures: AsyncIterator[KnownPicture]) -> AsyncIterator[KnownPicture]:
        """The pictures, as long as they keep within the limits."""
        left, bytes_left = PREFLIGHT_PICTURES_MAX, PREFLIGHT_BYTES_MAX
        while (picture := await self._next(pictures)) is not None:
            left, bytes_left = left - 1, bytes_left - len(picture.jpeg)
            if left < 0 or bytes_left < 0:
                raise LimitReached(
                    f"a pre-flight takes {PREFLIGHT_PICTURES_MAX} pictures and "
                    f"{PREFLIGHT_BYTES_MAX >> 20} MiB at most; make two of it",
                    reason="PREFLIGHT_TOO_LARGE",
                )
            yield picture

    async def _next(self, pictures: AsyncIterator[KnownPicture]) -> KnownPicture | None:
        try:
            async with asyncio.timeout(self._wait_s_max):
                return await anext(pictures, None)
        except TimeoutError as error:
            raise NotNow(
                f"no picture came for {self._wait_s_max:g} s; begin the pre-flight again",
                reason="PREFLIGHT_SILENT",
            ) from error

    @contextmanager
    def _alone(self, deployment: OpenDeployment) -> Iterator[None]:
        name = deployment.record.deployment_id
        if name in self._running:
            raise LimitReached(
                f"a pre-flight of deployment {name} is under way; wait until it is over",
                reason="PREFLIGHT_RUNNING",
            )
        self._running.add(name)
        try:
            yield
        finally:
            self._running.discard(name)

    def _check(self, deployment: OpenDeployment, camera_id: str) -> None:
        record = deployment.record
        if record.state not in TESTED_IN:
            raise NotReady(
                f"deployment {record.deployment_id} is {record.state}; its cameras are tested once "
                "it is authorised",
                reason="NOT_AUTHORISED",
            )
        if record.until <= self._clock():
            raise NotReady(
                f"the authority of deployment {record.deployment_id} ended at "
                f"{record.until:%Y-%m-%d %H:%M} UTC; nobody is looked for without one",
                reason="AUTHORITY_EXPIRED",
            )
        if camera_id not in record.cameras:
            raise InvalidInput(
                f"camera {camera_id} is not of this deployment; its cameras are: "
                + ", ".join(record.cameras),
                field="camera",
            )


async def volunteer(deployment: OpenDeployment, external_ref: str) -> str:
    """The entry of a volunteer who is searched for.

    Raises `NotFound`, or `InvalidInput` (NO_VOLUNTEER) for anybody else on the list.
    """
    deployment.watchlist.drop_expired()
    entry, _ = await deployment.watchlist.get(external_ref)
    if entry.category != VOLUNTEER:
        raise InvalidInput(
            f"{entry.entry_id} is on the list and no volunteer; passes and pictures are of entries "
            f"in the category {VOLUNTEER}",
            reason="NO_VOLUNTEER",
            field="external_ref",
        )
    return entry.entry_id


async def _look(show: Show, jpeg: bytes, entry_id: str, number: int) -> Missed | None:
    """Why this volunteer was not found in a picture; None where he was."""
    outcome = await show(jpeg)
    if isinstance(outcome.error, InvalidFrame):
        raise InvalidInput(
            f"picture {number}: {outcome.error.message}",
            reason=outcome.error.reason,
            field="picture.jpeg",
        )
    if outcome.error is not None:
        raise outcome.error
    assert outcome.result is not None
    if any(each.candidate.entry_id == entry_id for each in outcome.result.sightings):
        return None
    return why_missed(outcome.result.counts)


def why_missed(counts: FaceCounts) -> Missed:
    """What became of the face in a picture that was to be found, by the one that came furthest."""
    if counts.searched or counts.shed:
        return Missed.BELOW_THRESHOLD
    if counts.too_poor:
        return Missed.TOO_POOR
    if counts.too_small:
        return Missed.TOO_SMALL
    return Missed.OUTSIDE_ZONE if counts.outside_zone else Missed.NO_FACE


def _act(deployment: OpenDeployment, camera_id: str, found: Preflight, user_id: str) -> Act:
    name = deployment.record.deployment_id
    return Act(
        AuditClass.COLLECTION,
        "measurement.preflight",
        name,
        f"deployments/{name}",
        facts={
            "camera": camera_id,
            "pictures": found.recognised.of,
            "recognised": found.recognised.count,
            **{why.value: count for why, count in found.missed.items()},
            "volunteers": found.volunteers.of,
            "volunteers_recognised": found.volunteers.count,
            "threshold": round(found.threshold, 4),
        },
        personal={"person": user_id},
    )
