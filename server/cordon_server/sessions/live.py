"""The deployments that are open on this server and the cameras that stream into them.

Introduces authority, gallery, match log and recognition to each other. A match is written to the
log before anyone hears of its frame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from cordon_server.authority.cameras import Cameras
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.domain import (
    AlreadyExists,
    CordonError,
    Frame,
    FrameResult,
    LimitReached,
    NotNow,
    NotReady,
    Sighting,
)
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.scheduler import FrameFate, Outcome, Scheduler
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.sessions.camera import CameraSession, HaltReason, check_clock
from cordon_server.sessions.deployment import DeploymentOpener, OpenDeployment
from cordon_server.sessions.load_watch import RETRY_AFTER_S, LoadWatch

log = structlog.get_logger()

WINDOW_CHECK_S = 1.0
"""How often windows are looked at; recognition outlives its window by no more than this."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What camera streams must keep to."""

    video_credit: int
    stills_credit: int
    clock_skew_max: timedelta
    cameras_connected_max: int
    tracking: bool
    rule: DecisionRule


class Live:
    """Opens, arms and ends deployments; connects cameras. Used from the event loop alone."""

    def __init__(
        self,
        deployments: Deployments,
        cameras: Cameras,
        opener: DeploymentOpener,
        scheduler: Scheduler,
        limits: StreamLimits,
        load: LoadWatch,
        *,
        tasks: asyncio.TaskGroup,
        clock: Callable[[], datetime],
    ) -> None:
        self._deployments = deployments
        self._cameras = cameras
        self._opener = opener
        self._scheduler = scheduler
        self._limits = limits
        self._load = load
        self._tasks = tasks
        self._clock = clock
        self._open: dict[str, OpenDeployment] = {}
        self._opening = asyncio.Lock()
        self._moving = asyncio.Lock()
        self._revoked: set[str] = set()
        self._is_stopping = False
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Loads the armed deployments and finishes what a crash left half ended (R2)."""
        for record in await self._deployments.all_in(State.ENDED):
            self._opener.erase(record.deployment_id)
        for record in await self._deployments.all_in(State.ARMED):
            await self.opened(record.deployment_id)
        self._watching = [
            self._tasks.create_task(self._watch_windows()),
            self._tasks.create_task(self._load.run()),
        ]

    async def stop(self) -> None:
        """Sends the cameras away and closes every database."""
        self._is_stopping = True
        for task in self._watching:
            task.cancel()
        going = "the server is going down; connect again in a moment"
        for deployment in self._open.values():
            for session in list(deployment.cameras.values()):
                session.halt(HaltReason.SERVER_STOPPING, going, after_answers=True)
        for deployment in self._open.values():
            await deployment.log.close()

    async def close(self) -> None:
        """Closes every database; after the scheduler has stopped."""
        for deployment in self._open.values():
            await deployment.close()
        self._open.clear()

    async def opened(self, deployment_id: str) -> OpenDeployment:
        """A deployment that has not ended; raises `NotFound` or `NotReady`."""
        async with self._opening:
            if (known := self._open.get(deployment_id)) is not None:
                return known
            record = await self._deployments.get(deployment_id)
            if record.state is State.ENDED:
                raise NotReady(
                    f"deployment {deployment_id} has ended and its watchlist and matches are "
                    "destroyed; only its record is left: cordon admin deployment show "
                    f"{deployment_id}"
                )
            deployment = await self._opener.open(record)
            self._open[deployment_id] = deployment
            return deployment

    async def arm(self, deployment_id: str, *, dry_run: bool) -> DeploymentRecord:
        """Rebuilds the gallery from the database, then lets the cameras in.

        What may not be armed keeps its gallery: connected cameras search the one they began with.
        """
        async with self._moving:
            deployment = await self.opened(deployment_id)
            entries, _ = await deployment.watchlist.counts()
            armed = await self._deployments.arm(deployment_id, entry_count=entries, dry_run=True)
            if dry_run:
                return armed
            await deployment.watchlist.load()
            armed = await self._deployments.arm(deployment_id, entry_count=entries, dry_run=False)
            deployment.record = armed
        log.info("deployment.armed", deployment=deployment_id, references=len(deployment.gallery))
        return armed

    async def end(self, deployment_id: str, *, dry_run: bool) -> DeploymentRecord:
        """Stops recognition, then destroys list and log (R2)."""
        async with self._moving:
            return await self._end(deployment_id, dry_run=dry_run)

    async def _end(self, deployment_id: str, *, dry_run: bool) -> DeploymentRecord:
        deployment = await self.opened(deployment_id)
        entries, references = await deployment.watchlist.counts()
        ended = await self._deployments.end(
            deployment_id,
            entries=entries,
            references=references,
            matches=await deployment.log.count(),
            dry_run=dry_run,
        )
        if dry_run:
            return ended
        deployment.record = ended
        for camera in list(deployment.cameras.values()):
            camera.halt(HaltReason.DEPLOYMENT_ENDED, f"deployment {deployment_id} has ended")
        del self._open[deployment_id]
        await deployment.close()
        await asyncio.to_thread(self._opener.erase, deployment_id)
        log.info("deployment.ended", deployment=deployment_id)
        return ended

    async def connect(
        self, camera_id: str, *, sent_at: datetime, stills: bool
    ) -> tuple[CameraSession, OpenDeployment]:
        """Lets a camera stream into the armed deployment that names it.

        Raises `NotFound` (not registered), `NotReady` (revoked, clock off, no armed deployment,
        window closed), `AlreadyExists` (it streams already) or `LimitReached`.
        """
        await self._check_camera(camera_id, sent_at)
        deployment = self._armed_for(camera_id)
        session = self._session(camera_id, deployment, stills=stills)
        deployment.cameras[camera_id] = session
        log.info("camera.connected", camera=camera_id, deployment=deployment.record.deployment_id)
        return session, deployment

    def session(self, camera_id: str) -> CameraSession | None:
        """A camera's stream, while it is connected."""
        sessions = (d.cameras.get(camera_id) for d in self._open.values())
        return next((session for session in sessions if session is not None), None)

    def check_open(self, deployment: OpenDeployment) -> None:
        """Raises `NotReady` outside a deployment's window or when it is not armed (R7)."""
        record, now = deployment.record, self._clock()
        if record.state is not State.ARMED:
            raise NotReady(f"deployment {record.deployment_id} is {record.state}, not armed")
        if not record.start_time <= now < record.end_time:
            raise NotReady(
                f"the window of deployment {record.deployment_id} closed at "
                f"{record.end_time:%Y-%m-%d %H:%M} UTC; nothing is recognised outside it"
            )

    def check_following(self, deployment: OpenDeployment) -> None:
        """Raises what a subscriber hears when a deployment's log has closed."""
        if deployment.record.state is State.ENDED:
            raise NotReady(
                f"deployment {deployment.record.deployment_id} has ended; its matches are destroyed"
            )
        raise NotNow("the server is going down; subscribe again from the last sequence you have")

    def revoke(self, camera_id: str) -> None:
        """Ends a revoked camera's stream, and one that is just being let in."""
        self._revoked.add(camera_id)
        if (session := self.session(camera_id)) is not None:
            session.halt(
                HaltReason.CAMERA_REVOKED, f"camera {camera_id} was revoked; it cannot come back"
            )

    async def _check_camera(self, camera_id: str, sent_at: datetime) -> None:
        record = await self._cameras.get(camera_id)
        if record.revoke_time is not None or camera_id in self._revoked:
            raise NotReady(
                f"camera {camera_id} was revoked; register and certify another name",
                reason="CAMERA_REVOKED",
            )
        error = check_clock(sent_at, self._clock(), self._limits.clock_skew_max)
        if error is not None:
            raise NotReady(error.message, reason=error.reason)

    def _armed_for(self, camera_id: str) -> OpenDeployment:
        if self._is_stopping:
            raise NotReady("the server is going down; connect again in a moment")
        for deployment in self._open.values():
            record = deployment.record
            if record.state is State.ARMED and camera_id in record.cameras:
                self.check_open(deployment)
                return deployment
        raise NotReady(
            f"no armed deployment names camera {camera_id}; arm one with: "
            "cordon admin deployment arm NAME",
            reason="NOT_ARMED",
        )

    def _session(
        self, camera_id: str, deployment: OpenDeployment, *, stills: bool
    ) -> CameraSession:
        if camera_id in deployment.cameras:
            raise AlreadyExists(
                f"camera {camera_id} is streaming already; stop the other client, or give this "
                "one a name and certificate of its own",
                reason="SECOND_STREAM",
            )
        connected = sum(len(each.cameras) for each in self._open.values())
        if connected >= self._limits.cameras_connected_max:
            raise LimitReached(
                f"{connected} cameras are connected; limits.cameras_connected_max allows no more",
                retry_after_s=RETRY_AFTER_S,
            )
        self._load.check_room()
        session = CameraSession(
            camera_id,
            deployment.record.deployment_id,
            credit=self._limits.stills_credit if stills else self._limits.video_credit,
            clock_skew_max=self._limits.clock_skew_max,
            now=self._clock(),
            on_close=lambda: self._disconnected(deployment, session),
            on_answer=lambda outcome: self._load.note(session, outcome),
        )
        loop = asyncio.get_running_loop()

        def deliver(outcome: Outcome) -> None:
            loop.call_soon_threadsafe(self._finish, deployment, session, outcome)

        tracked = self._limits.tracking and not stills
        session.attach(
            self._scheduler.open_mailbox(
                camera_id,
                deployment.gallery,
                deliver,
                stills=stills,
                waiting_max=session.credit,
                tracks=CameraTracks(self._limits.rule) if tracked else None,
                weight=self._load.weight(camera_id),
            )
        )
        self._load.joined(session, stills=stills, tracked=tracked)
        return session

    def _disconnected(self, deployment: OpenDeployment, session: CameraSession) -> None:
        self._load.left(session)
        deployment.visits.left(session.stream)
        if deployment.cameras.get(session.camera_id) is session:
            del deployment.cameras[session.camera_id]
        log.info("camera.disconnected", camera=session.camera_id)

    def _finish(self, deployment: OpenDeployment, session: CameraSession, outcome: Outcome) -> None:
        """Answers a frame; through the match log when it raised matches."""
        if outcome.result is not None and outcome.result.sightings:
            self._tasks.create_task(self._log_then_answer(deployment, session, outcome))
        else:
            session.answer(outcome)

    async def _log_then_answer(
        self, deployment: OpenDeployment, session: CameraSession, outcome: Outcome
    ) -> None:
        assert outcome.result is not None
        listed = tuple(
            sighting
            for sighting in outcome.result.sightings
            if sighting.candidate.entry_id in deployment.gallery
        )
        try:
            self.check_open(deployment)
            listed = await self._log(deployment, session, outcome.frame, listed)
        except CordonError as error:
            log.error("match.not_logged", deployment=session.deployment_id, error=error.message)
            session.answer(replace(outcome, fate=FrameFate.REJECTED, result=None, error=error))
            return
        session.answer(replace(outcome, result=FrameResult(outcome.result.counts, listed)))

    async def _log(
        self,
        deployment: OpenDeployment,
        session: CameraSession,
        frame: Frame,
        sightings: tuple[Sighting, ...],
    ) -> tuple[Sighting, ...]:
        """Logs what is news of a frame; the sightings that became new matches."""
        async with deployment.logging:
            now_s = time.monotonic()
            news = deployment.visits.news(session.stream, sightings, now_s)
            if news:
                logged = await deployment.log.append(
                    frame, [each.sighting for each in news], [each.betters for each in news]
                )
                deployment.visits.logged(news, logged, now_s)
        return tuple(each.sighting for each in news if each.betters is None)

    async def _watch_windows(self) -> None:
        while True:
            for deployment in self._open.values():
                record = deployment.record
                if record.state is State.ARMED and record.end_time <= self._clock():
                    for session in list(deployment.cameras.values()):
                        session.halt(
                            HaltReason.WINDOW_CLOSED,
                            f"the window of deployment {record.deployment_id} is over",
                        )
            await asyncio.sleep(WINDOW_CHECK_S)
