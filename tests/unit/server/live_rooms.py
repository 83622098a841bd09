"""Live deployments over real databases, with a scheduler that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast

from cordon_server.acts import Fact
from cordon_server.api.measurement import MeasurementServicer
from cordon_server.authority.cameras import Cameras
from cordon_server.authority.ceiling import PER_FACE_MAX, Ceiling
from cordon_server.authority.clock import KeptClock
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.policy import load_policy
from cordon_server.authority.records import DeploymentRecord
from cordon_server.authority.terms import HaltCause
from cordon_server.authority.watchlist_rules import Application
from cordon_server.domain import FaceCounts, Frame, FrameResult, Sighting
from cordon_server.gallery import Gallery
from cordon_server.matches.views import ReviewRule
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.load import Advice, Load, LoadRules
from cordon_server.recognition.scheduler import FrameFate, Outcome, Scheduler
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.recognition.zone import Zone
from cordon_server.sessions.camera import CameraSession, Halted
from cordon_server.sessions.ceiling_watch import CeilingWatch
from cordon_server.sessions.counting import Counting
from cordon_server.sessions.deployment import DeploymentOpener, OpenDeployment
from cordon_server.sessions.ground import Ground
from cordon_server.sessions.live import Live
from cordon_server.sessions.load_watch import LoadWatch
from cordon_server.sessions.moves import Authorisation, Moves
from cordon_server.sessions.preflight import Preflights
from cordon_server.sessions.stops import Stops
from cordon_server.sessions.streams import StreamLimits
from cordon_server.store.environment import Environment
from tests.unit.server.authority_rooms import APPROVER, OPERATOR, PUBLIC_KEY, a_terms, sign
from tests.unit.server.rooms import (
    DIMENSION,
    ENTRY_RULES,
    MODEL,
    OFFICER,
    Clock,
    DegreesExaminer,
    KeptActs,
    a_sighting,
    open_keyring,
    picture,
)


@dataclass
class FakeMailbox:
    """Keeps frames until the test answers them."""

    gallery: Gallery
    deliver: Callable[[Outcome], None]
    waiting_max: int
    frames: list[Frame] = field(default_factory=list)
    is_closed: bool = False

    def put(self, frame: Frame) -> None:
        self.frames.append(frame)

    def close(self) -> None:
        self.is_closed = True


class FakeScheduler:
    """Opens mailboxes that nobody works on."""

    def __init__(self) -> None:
        self.mailboxes: dict[str, FakeMailbox] = {}
        self.forgotten = asyncio.Event()

    def forget_idle(self) -> None:
        self.forgotten.set()

    def open_mailbox(
        self,
        camera_id: str,
        gallery: Gallery,
        deliver: Callable[[Outcome], None],
        stills: bool = False,
        *,
        waiting_max: int,
        tracks: CameraTracks | None = None,
        weight: float = 1.0,
        zone: Zone | None = None,
    ) -> FakeMailbox:
        self.mailboxes[camera_id] = FakeMailbox(gallery, deliver, waiting_max)
        return self.mailboxes[camera_id]


MADE_OF: dict[str, Fact] = {"components": "a" * 64, "detector": "yunet", "embedder": "sface"}
"""What the server of a `LiveSite` is made of."""


@dataclass
class LiveSite:
    """Live deployments over real databases, with a scheduler that the test plays."""

    live: Live
    moves: Moves
    stops: Stops
    deployments: Deployments
    cameras: Cameras
    scheduler: FakeScheduler
    clock: Clock
    opener: DeploymentOpener
    load: Load
    acts: KeptActs
    """What the moves put on record."""
    keys: dict[str, bytes]
    """The officers' signing keys."""

    async def draft(self, name: str, *cameras: str) -> OpenDeployment:
        await self.moves.create(
            name, a_terms(self.clock.now, cameras=cameras), OFFICER, dry_run=False
        )
        opened = await self.live.opened(name)
        await self.enrol(opened, "s-1", 10)
        return opened

    async def armed(self, name: str = "market", *cameras: str) -> OpenDeployment:
        opened = await self.draft(name, *(cameras or ("north",)))
        await self.arm(name)
        return opened

    async def arm(self, name: str = "market") -> None:
        """What was asked for is signed by another, and armed by him."""
        await self.authorise(name)
        await self.moves.arm(name, APPROVER, dry_run=False)

    async def authorise(self, name: str = "market") -> None:
        record = await self.moves.submit(name, OFFICER, "", dry_run=False)
        await self.moves.authorise(name, APPROVER, Authorisation(*sign(record)), dry_run=False)

    async def halt(self, name: str = "market") -> DeploymentRecord:
        return await self.stops.halt(name, OPERATOR, HaltCause.PERSON, dry_run=False)

    async def end(self, name: str = "market") -> DeploymentRecord:
        return await self.stops.end(name, APPROVER, dry_run=False)

    async def enrol(self, opened: OpenDeployment, entry_id: str, degrees: float) -> None:
        image = picture(degrees)
        application = Application(entry_id, "wanted", None, image, None)
        examined = await opened.watchlist.examine(image, None)
        await opened.watchlist.enrol(application, examined, dry_run=False)

    async def connect(self, camera_id: str = "north", *, stills: bool = False) -> CameraSession:
        session, _ = await self.live.connect(camera_id, sent_at=self.clock.now, stills=stills)
        return session

    def answered(self, camera_id: str, *entries: str) -> None:
        """Recognition has seen these subjects in the camera's first waiting frame."""
        self.saw(camera_id, *(a_sighting(entry) for entry in entries))

    def saw(self, camera_id: str, *sightings: Sighting) -> None:
        """The same, said in full."""
        mailbox = self.scheduler.mailboxes[camera_id]
        result = FrameResult(FaceCounts(searched=len(sightings)), sightings)
        mailbox.deliver(Outcome(mailbox.frames.pop(0), FrameFate.PROCESSED, result))


@asynccontextmanager
async def a_live_site(
    folder: Path,
    registry: Environment,
    writer: Executor,
    clock: Clock,
    review: ReviewRule | None = None,
) -> AsyncIterator[LiveSite]:
    """One with the cameras north, south and west, for the block."""
    acts = KeptActs()
    cameras = Cameras(registry, count_max=10, clock=clock)
    for name in ("north", "south", "west"):
        await cameras.create(name, "", dry_run=False)
    kept_clock = KeptClock(registry, wall=clock, monotonic_s=lambda: 0.0)
    deployments = Deployments(registry, load_policy("demo"), open_max=9, clock=kept_clock.now)
    opener = DeploymentOpener(
        folder=folder / "deployments",
        keyring=open_keyring(folder),
        model_id=MODEL,
        dimension=DIMENSION,
        size_bytes_max=16 * 2**20,
        duplicate_score=0.8,
        entries_max=100,
        references_per_entry_max=10,
        entry_rules=ENTRY_RULES,
        examiner=DegreesExaminer(),
        examining=writer,
        writer=writer,
        clock=clock,
        rule=DecisionRule(),
        review=review or ReviewRule(),
        recorder=acts,
    )
    limits = StreamLimits(
        video_credit=2,
        stills_credit=6,
        clock_skew_max=timedelta(seconds=30),
        cameras_connected_max=2,
        tracking=True,
        rule=DecisionRule(),
    )
    scheduler, load = FakeScheduler(), Load(1, LoadRules(), typical_s=0.01)
    async with asyncio.TaskGroup() as tasks:
        live = Live(
            deployments,
            cameras,
            opener,
            cast("Scheduler", scheduler),
            limits,
            LoadWatch(load, {}),
            tasks=tasks,
            clock=kept_clock.now,
            wall=clock,
            tell=lambda *_: None,
        )
        keys = {APPROVER.user_id: PUBLIC_KEY}
        ground = Ground(deployments, live, acts, kept_clock, MODEL, MADE_OF, keys.get, tasks)
        moves, stops = Moves(ground), Stops(ground, Counting(lambda: live.open_deployments, acts))
        live.on_list_change = moves.list_changes
        yield LiveSite(
            live, moves, stops, deployments, cameras, scheduler, clock, opener, load, acts, keys
        )
        await live.stop()
        await live.close()


def no_ceiling() -> CeilingWatch:
    """For tests that no false alert may end."""

    async def suspend(deployment_id: str) -> None:
        raise AssertionError(f"{deployment_id} would be suspended")

    return CeilingWatch(Ceiling(PER_FACE_MAX, 0.999999), suspend)


def measuring(site: LiveSite) -> MeasurementServicer:
    """The service of measurement, with recognition that tests of cameras have no need of."""
    preflights = Preflights(cast("Scheduler", site.scheduler), site.acts, clock=site.clock)
    return MeasurementServicer(site.live, preflights, clock=site.clock)


async def heard(session: CameraSession) -> Outcome | Halted | None:
    """What comes next but for advice."""
    while isinstance(answer := await asyncio.wait_for(session.next_answer(), 5), Advice):
        pass
    return answer
