"""The deployments that are open on this server and the cameras that stream into them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import structlog

from cordon_server.authority.cameras import Cameras
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.domain import CordonError, NotNow, NotReady
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.sessions.answers import Answers
from cordon_server.sessions.camera import CameraSession, HaltReason, check_clock
from cordon_server.sessions.deployment import DeploymentOpener, OpenDeployment
from cordon_server.sessions.load_watch import LoadWatch
from cordon_server.sessions.streams import StreamLimits, Streams, Tell

log = structlog.get_logger()

WATCH_S = 1.0
"""How often windows and silent cameras are looked at: recognition outlives its window, and what is
remembered of people on a camera that sends nothing its limit, by no more than this."""

_RECOGNISES_NOT = (
    "the server's GPU has failed and it recognises nobody until it is started again; tell whoever "
    "runs it, and connect again later"
)


BeforeEnd = Callable[[OpenDeployment], Awaitable[None]]
"""Is awaited before what is open of a deployment that has ended is closed and destroyed."""


async def _nothing(deployment: OpenDeployment) -> None:
    return


OnListChange = Callable[[OpenDeployment, bool], Awaitable[bool]]
"""Is awaited before a list changes, with whether it only narrows; raises what forbids it, returns
whether an authority over the list stays."""


async def _any_change(deployment: OpenDeployment, narrows: bool) -> bool:
    return False


class Live:
    """Opens deployments and connects cameras. Used from the event loop alone."""

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
        wall: Callable[[], datetime],
        tell: Tell,
    ) -> None:
        """`clock` tells when deployments are over and never goes back; `wall` is compared with the
        cameras' clocks."""
        self._deployments = deployments
        self._cameras = cameras
        self._opener = opener
        self._scheduler = scheduler
        self._limits = limits
        self._load = load
        answers = Answers(tasks=tasks, clock=clock)
        self._streams = Streams(scheduler, limits, load, answers, clock=clock, tell=tell)
        self._tasks = tasks
        self._clock = clock
        self._wall = wall
        self._open: dict[str, OpenDeployment] = {}
        self._opening = asyncio.Lock()
        self._revoked: set[str] = set()
        self._is_stopping = False
        self._recognises = True
        self.on_list_change: OnListChange = _any_change
        self._watching: list[asyncio.Task[None]] = []
        self.before_end: BeforeEnd = _nothing

    def start(self) -> None:
        """Begins to look after streams."""
        self._watching = [
            self._tasks.create_task(self._watch()),
            self._tasks.create_task(self._load.run()),
        ]

    async def stop(self) -> None:
        """Sends the cameras away and closes every database."""
        self._is_stopping = True
        for task in self._watching:
            task.cancel()
        self._send_away("the server is going down; connect again in a moment")
        for deployment in self._open.values():
            await deployment.log.close()

    def stop_recognising(self) -> None:
        """Sends the cameras away and lets none in until the server is started again.

        What needs no networks goes on: people still see and judge the matches there are.
        """
        self._recognises = False
        self._send_away(_RECOGNISES_NOT)

    async def close(self) -> None:
        """Closes every database; after the scheduler has stopped."""
        for deployment in self._open.values():
            await deployment.close()
        self._open.clear()

    async def opened(self, deployment_id: str) -> OpenDeployment:
        """A deployment that has not ended; raises `NotFound` or `NotReady`."""
        if (known := self._open.get(deployment_id)) is not None:
            return known  # without waiting for another that is being loaded
        async with self._opening:
            if (known := self._open.get(deployment_id)) is not None:
                return known
            record = await self._deployments.get(deployment_id)
            if record.has_ended:
                raise NotReady(
                    f"deployment {deployment_id} has ended and its watchlist and matches are "
                    "destroyed; only its record is left: cordon admin deployment show "
                    f"{deployment_id}"
                )
            deployment = await self._opener.open(record)
            # It may have moved meanwhile; from here on whoever moves it tells.
            deployment.moved_to(self._deployments.get_now(deployment_id))
            deployment.watchlist.on_change = partial(self._list_changes, deployment)
            self._open[deployment_id] = deployment
            return deployment

    async def _list_changes(self, deployment: OpenDeployment, narrows: bool) -> bool:
        return await self.on_list_change(deployment, narrows)

    @property
    def open_deployments(self) -> tuple[OpenDeployment, ...]:
        """All that are open just now."""
        return tuple(self._open.values())

    def known(self, deployment_id: str) -> OpenDeployment | None:
        """A deployment, where it is open already."""
        return self._open.get(deployment_id)

    def send_away(self, deployment: OpenDeployment, reason: HaltReason, why: str) -> None:
        """Halts every stream of a deployment at once: what waits is not worked on any more."""
        for session in list(deployment.cameras.values()):
            session.halt(reason, why)

    async def forget(self, ended: DeploymentRecord) -> None:
        """Sends the cameras of a deployment that has ended away and closes its database."""
        deployment = self._open.pop(ended.deployment_id, None)
        if deployment is None:
            return
        deployment.record = ended
        self.send_away(
            deployment,
            HaltReason.DEPLOYMENT_ENDED,
            f"deployment {ended.deployment_id} has ended",
        )
        try:
            await self.before_end(deployment)
        except CordonError as error:  # Nothing keeps what has to be forgotten.
            log.error("deployment.not_kept", deployment=ended.deployment_id, error=error.message)
        await deployment.close()

    async def erase(self, deployment_id: str) -> None:
        """Destroys what is kept of a deployment that has ended (R2)."""
        await asyncio.to_thread(self._opener.erase, deployment_id)

    async def connect(
        self, camera_id: str, *, sent_at: datetime, stills: bool
    ) -> tuple[CameraSession, OpenDeployment]:
        """Lets a camera stream into the armed deployment that names it.

        Raises `NotFound` (not registered), `NotReady` (revoked, clock off, no armed deployment,
        window closed), `AlreadyExists` (it streams already), `LimitReached`, or `NotNow` where
        recognition has failed.
        """
        await self._check_camera(camera_id, sent_at)
        deployment = self._armed_for(camera_id)
        connected = sum(len(each.cameras) for each in self._open.values())
        session = self._streams.open(camera_id, deployment, stills=stills, connected=connected)
        log.info("camera.connected", camera=camera_id, deployment=deployment.record.deployment_id)
        return session, deployment

    def used(self) -> float:
        """How full the fullest database of an open deployment is, 0 to 1; from any thread."""
        return max((each.environment.used() for each in tuple(self._open.values())), default=0.0)

    def session(self, camera_id: str) -> CameraSession | None:
        """A camera's stream, while it is connected."""
        sessions = (d.cameras.get(camera_id) for d in self._open.values())
        return next((session for session in sessions if session is not None), None)

    def check_open(self, deployment: OpenDeployment) -> None:
        """Raises `NotReady` outside a deployment's window or when it is not armed (R7)."""
        deployment.check_open(self._clock())

    def check_following(self, deployment: OpenDeployment) -> None:
        """Raises what a subscriber hears when a deployment's log has closed."""
        if deployment.record.has_ended:
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
        error = check_clock(sent_at, self._wall(), self._limits.clock_skew_max)
        if error is not None:
            raise NotReady(error.message, reason=error.reason)

    def _armed_for(self, camera_id: str) -> OpenDeployment:
        if self._is_stopping:
            raise NotReady("the server is going down; connect again in a moment")
        if not self._recognises:
            raise NotNow(_RECOGNISES_NOT, reason="NOT_RECOGNISING")
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

    def _send_away(self, why: str) -> None:
        for deployment in self._open.values():
            for session in list(deployment.cameras.values()):
                session.halt(HaltReason.SERVER_STOPPING, why, after_answers=True)

    async def _watch(self) -> None:
        while True:
            self._scheduler.forget_idle()
            for deployment in self.open_deployments:
                record = deployment.record
                deployment.watchlist.drop_expired()
                if record.state is State.ARMED and record.until <= self._clock():
                    self.send_away(
                        deployment,
                        HaltReason.WINDOW_CLOSED,
                        f"the window of deployment {record.deployment_id} is over",
                    )
            await asyncio.sleep(WATCH_S)
