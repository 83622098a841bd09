"""Opens cameras' streams: a session, a mailbox, and what becomes of them at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from cordon_server.domain import AlreadyExists, FaceCounts, LimitReached
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.line import Outcome
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.recognition.zone import Zone
from cordon_server.sessions.answers import Answers, forget_when_over
from cordon_server.sessions.camera import CameraSession
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.load_watch import RETRY_AFTER_S, LoadWatch

log = structlog.get_logger()

Tell = Callable[[str, FaceCounts | None, int], None]
"""Takes a frame's outcome, and its faces and new matches where it was processed."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What camera streams must keep to."""

    video_credit: int
    stills_credit: int
    clock_skew_max: timedelta
    cameras_connected_max: int
    tracking: bool
    rule: DecisionRule


class Streams:
    """Introduces cameras to workers. Used from the event loop alone."""

    def __init__(
        self,
        scheduler: Scheduler,
        limits: StreamLimits,
        load: LoadWatch,
        answers: Answers,
        *,
        clock: Callable[[], datetime],
        tell: Tell,
    ) -> None:
        self._scheduler = scheduler
        self._limits = limits
        self._load = load
        self._answers = answers
        self._clock = clock
        self._tell = tell

    def open(
        self, camera_id: str, deployment: OpenDeployment, *, stills: bool, connected: int
    ) -> CameraSession:
        """A stream of a camera beside `connected` others.

        Raises `AlreadyExists` (it streams already) or `LimitReached`.
        """
        self._check_room(camera_id, deployment, connected)
        session = self._session(camera_id, deployment, stills=stills)
        tracked = self._limits.tracking and not stills
        loop = asyncio.get_running_loop()

        def deliver(outcome: Outcome) -> None:
            loop.call_soon_threadsafe(self._answers.finish, deployment, session, outcome)

        session.attach(
            self._scheduler.open_mailbox(
                camera_id,
                deployment.gallery,
                deliver,
                stills=stills,
                waiting_max=session.credit,
                tracks=CameraTracks(self._limits.rule) if tracked else None,
                weight=self._load.weight(camera_id),
                zone=zone_of(deployment, camera_id),
            )
        )
        self._load.joined(session, stills=stills, tracked=tracked)
        deployment.visits.came(session.stream)
        deployment.cameras[camera_id] = session
        return session

    def _check_room(self, camera_id: str, deployment: OpenDeployment, connected: int) -> None:
        if camera_id in deployment.cameras:
            raise AlreadyExists(
                f"camera {camera_id} is streaming already; stop the other client, or give this "
                "one a name and certificate of its own",
                reason="SECOND_STREAM",
            )
        if connected >= self._limits.cameras_connected_max:
            raise LimitReached(
                f"{connected} cameras are connected; limits.cameras_connected_max allows no more",
                retry_after_s=RETRY_AFTER_S,
            )
        self._load.check_room()

    def _session(
        self, camera_id: str, deployment: OpenDeployment, *, stills: bool
    ) -> CameraSession:
        session = CameraSession(
            camera_id,
            deployment.record.deployment_id,
            credit=self._limits.stills_credit if stills else self._limits.video_credit,
            clock_skew_max=self._limits.clock_skew_max,
            now=self._clock(),
            counts_people=stills or self._limits.tracking,
            on_close=lambda: self._disconnected(deployment, session),
            on_answer=lambda outcome: self._answered(session, outcome),
        )
        return session

    def _answered(self, session: CameraSession, outcome: Outcome) -> None:
        self._load.note(session, outcome)
        result = outcome.result
        self._tell(
            outcome.fate,
            result.counts if result is not None else None,
            len(result.sightings) if result is not None else 0,
        )

    def _disconnected(self, deployment: OpenDeployment, session: CameraSession) -> None:
        self._load.left(session)
        forget_when_over(deployment, session)
        if deployment.cameras.get(session.camera_id) is session:
            del deployment.cameras[session.camera_id]
        log.info("camera.disconnected", camera=session.camera_id)


def zone_of(deployment: OpenDeployment, camera_id: str) -> Zone | None:
    """Where the authority lets this camera recognise; None for its whole picture."""
    zones = deployment.record.zones
    return next((Zone(zone.points) for zone in zones if zone.camera_id == camera_id), None)
