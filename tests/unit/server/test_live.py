from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from cordon_server.authority.cameras import Cameras
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.records import State
from cordon_server.authority.watchlist import Application
from cordon_server.domain import (
    AlreadyExists,
    FaceCounts,
    Frame,
    FrameResult,
    LimitReached,
    NotFound,
    NotNow,
    NotReady,
    StorageDamaged,
)
from cordon_server.gallery import Gallery
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.load import Advice, Load, LoadRules
from cordon_server.recognition.scheduler import FrameFate, Outcome, Scheduler
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.sessions import live as live_module
from cordon_server.sessions.camera import CameraSession, Halted, HaltReason
from cordon_server.sessions.deployment import DeploymentOpener, OpenDeployment
from cordon_server.sessions.live import Live, StreamLimits
from cordon_server.sessions.load_watch import LoadWatch
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import (
    DIMENSION,
    MODEL,
    NOON,
    OFFICER,
    Clock,
    DegreesExaminer,
    a_frame,
    a_sighting,
    facing,
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
    ) -> FakeMailbox:
        self.mailboxes[camera_id] = FakeMailbox(gallery, deliver, waiting_max)
        return self.mailboxes[camera_id]


@dataclass
class Site:
    """Live deployments over real databases, with a scheduler that the test plays."""

    live: Live
    deployments: Deployments
    cameras: Cameras
    scheduler: FakeScheduler
    clock: Clock
    opener: DeploymentOpener
    load: Load

    async def draft(self, name: str, *cameras: str) -> OpenDeployment:
        await self.deployments.create(
            name,
            location="",
            cameras=cameras,
            threshold=0.5,
            start_time=None,
            end_time=None,
            creator=OFFICER,
            dry_run=False,
        )
        opened = await self.live.opened(name)
        await self.enrol(opened, "s-1", 10)
        return opened

    async def armed(self, name: str = "market", *cameras: str) -> OpenDeployment:
        opened = await self.draft(name, *(cameras or ("north",)))
        await self.live.arm(name, dry_run=False)
        return opened

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
        mailbox = self.scheduler.mailboxes[camera_id]
        sightings = tuple(a_sighting(entry) for entry in entries)
        result = FrameResult(FaceCounts(searched=len(entries)), sightings)
        mailbox.deliver(Outcome(mailbox.frames.pop(0), FrameFate.PROCESSED, result))


@pytest.fixture
async def site(
    tmp_path: Path,
    registry: Environment,
    writer: Executor,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Site]:
    monkeypatch.setattr(live_module, "WINDOW_CHECK_S", 0.01)
    cameras = Cameras(registry, count_max=10, clock=clock)
    for name in ("north", "south", "west"):
        await cameras.create(name, "", dry_run=False)
    deployments = Deployments(registry, open_max=9, window_max=timedelta(hours=24), clock=clock)
    opener = DeploymentOpener(
        folder=tmp_path / "deployments",
        model_id=MODEL,
        dimension=DIMENSION,
        size_bytes_max=16 * 2**20,
        duplicate_score=0.8,
        entries_max=100,
        references_per_entry_max=10,
        examiner=DegreesExaminer(),
        examining=writer,
        writer=writer,
        clock=clock,
        rule=DecisionRule(),
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
            clock=clock,
        )
        yield Site(live, deployments, cameras, scheduler, clock, opener, load)
        await live.stop()
        await live.close()


async def heard(session: CameraSession) -> Outcome | Halted | None:
    """What comes next but for advice."""
    while isinstance(answer := await asyncio.wait_for(session.next_answer(), 5), Advice):
        pass
    return answer


async def test_start_erases_what_a_crash_left_of_an_ended_deployment_and_loads_the_armed(
    site: Site,
) -> None:
    await site.draft("ended", "south")
    await site.armed("armed", "north")
    await site.draft("draft", "west")
    await site.live.close()
    # The crash: ended in the registry, its database still there.
    await site.deployments.end("ended", entries=1, references=1, matches=0, dry_run=False)

    await site.live.start()

    left = {folder.name for folder in site.opener.folder.iterdir()}
    assert left == {"armed", "draft"}
    session = await site.connect("north")
    assert session.deployment_id == "armed"
    assert "s-1" in site.scheduler.mailboxes["north"].gallery


async def test_an_ended_deployment_leaves_no_file_but_its_record(site: Site) -> None:
    opened = await site.armed()
    session = await site.connect()
    await opened.log.append(a_frame(1), (a_sighting(),))

    ended = await site.live.end("market", dry_run=False)

    assert (ended.state, ended.entry_count, ended.match_count) == (State.ENDED, 1, 1)
    assert list(site.opener.folder.iterdir()) == []
    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.DEPLOYMENT_ENDED
    assert opened.log.is_closed
    with pytest.raises(NotReady, match="has ended"):
        await site.live.opened("market")
    with pytest.raises(NotReady):
        site.live.check_open(opened)
    with pytest.raises(NotReady, match="has ended"):
        site.live.check_following(opened)
    with pytest.raises(NotReady):
        await site.live.end("market", dry_run=False)


async def test_of_two_who_end_it_at_once_one_is_told_that_it_has_ended(site: Site) -> None:
    await site.armed()

    answers = await asyncio.gather(
        *(site.live.end("market", dry_run=False) for _ in range(2)), return_exceptions=True
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["DeploymentRecord", "NotReady"]


async def test_what_cannot_be_erased_is_said_and_not_passed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    site.opener.erase("never there")
    monkeypatch.setattr("cordon_server.sessions.deployment.shutil.rmtree", refuse)

    with pytest.raises(StorageDamaged, match="by hand"):
        site.opener.erase("market")


async def test_a_dry_run_ends_and_arms_nothing(site: Site) -> None:
    opened = await site.draft("market", "north")
    gallery = opened.gallery

    armed = await site.live.arm("market", dry_run=True)
    ended = await site.live.end("market", dry_run=True)

    assert (armed.state, ended.state) == (State.ARMED, State.ENDED)
    assert opened.record.state is State.DRAFT
    assert opened.gallery is gallery
    assert (await site.live.opened("market")) is opened


async def test_arming_what_is_armed_leaves_cameras_the_gallery_they_search(site: Site) -> None:
    opened = await site.armed()
    await site.connect()

    with pytest.raises(NotReady):
        await site.live.arm("market", dry_run=False)
    await site.enrol(opened, "s-2", 100)
    await opened.watchlist.remove("s-1", dry_run=False)

    searched = site.scheduler.mailboxes["north"].gallery
    assert searched is opened.gallery
    (candidate,) = searched.search(facing(10).vector[None])
    assert candidate is not None
    assert candidate.entry_id == "s-2"


async def test_a_deployment_is_opened_once_however_many_ask_at_once(site: Site) -> None:
    await site.draft("market", "north")
    await site.live.close()

    opened = await asyncio.gather(*(site.live.opened("market") for _ in range(5)))

    assert len({id(each) for each in opened}) == 1


async def test_a_camera_connects_with_the_credit_of_its_kind(site: Site) -> None:
    await site.armed("market", "north", "south")

    video = await site.connect("north")
    stills = await site.connect("south", stills=True)

    assert (video.credit, stills.credit) == (2, 6)
    assert site.scheduler.mailboxes["south"].waiting_max >= 6
    assert site.live.session("north") is video
    video.close()
    assert site.live.session("north") is None
    assert site.scheduler.mailboxes["north"].is_closed


async def test_who_may_not_stream_is_told_why(site: Site) -> None:
    await site.armed("market", "north", "west")
    await site.connect("north")

    with pytest.raises(NotFound):
        await site.connect("nowhere")
    with pytest.raises(NotReady) as not_armed:
        await site.connect("south")
    with pytest.raises(AlreadyExists) as second:
        await site.connect("north")
    with pytest.raises(NotReady) as clock_off:
        await site.live.connect("west", sent_at=NOON - timedelta(minutes=5), stills=False)
    await site.cameras.revoke("west", dry_run=False)
    with pytest.raises(NotReady) as revoked:
        await site.connect("west")
    site.clock.advance(hours=24)
    with pytest.raises(NotReady, match="the window of deployment market closed"):
        await site.connect("north")

    reasons = [raised.value.reason for raised in (not_armed, second, clock_off, revoked)]
    assert reasons == ["NOT_ARMED", "SECOND_STREAM", "CLOCK_OFF", "CAMERA_REVOKED"]


async def test_no_more_cameras_than_the_limit_are_connected(site: Site) -> None:
    await site.armed("market", "north", "south", "west")
    await site.connect("north")
    second = await site.connect("south")

    with pytest.raises(LimitReached, match=r"limits\.cameras_connected_max"):
        await site.connect("west")
    second.close()
    await site.connect("west")


async def test_a_revoked_camera_is_halted_and_one_on_its_way_in_is_not_let_in(site: Site) -> None:
    await site.armed()
    session = await site.connect()

    site.live.revoke("north")
    site.live.revoke("south")

    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.CAMERA_REVOKED
    session.close()
    with pytest.raises(NotReady, match="revoked"):
        await site.connect("north")


async def test_a_match_is_in_the_log_before_its_frame_is_answered(site: Site) -> None:
    opened = await site.armed()
    session = await site.connect()
    session.offer(a_frame(1), NOON)

    site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert (await opened.log.get(1)).entry_id == "s-1"
    assert answer.fate is FrameFate.PROCESSED
    assert answer.result is not None
    assert len(answer.result.sightings) == 1


async def test_a_frame_without_matches_is_answered_without_the_log(site: Site) -> None:
    opened = await site.armed()
    session = await site.connect()
    session.offer(a_frame(1), NOON)

    site.answered("north")

    assert isinstance(await heard(session), Outcome)
    assert opened.log.head == 0


async def test_who_was_removed_while_the_frame_was_in_work_is_not_logged(site: Site) -> None:
    opened = await site.armed()
    session = await site.connect()
    session.offer(a_frame(1), NOON)
    await opened.watchlist.remove("s-1", dry_run=False)

    site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert answer.result is not None
    assert answer.result.sightings == ()
    assert opened.log.head == 0


async def test_a_match_after_the_window_is_neither_logged_nor_told(site: Site) -> None:
    opened = await site.armed()
    session = await site.connect()
    session.offer(a_frame(1), NOON)
    site.clock.advance(hours=24)

    site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert (answer.fate, answer.result) == (FrameFate.REJECTED, None)
    assert isinstance(answer.error, NotReady)
    assert opened.log.head == 0


async def test_a_match_of_a_deployment_that_has_ended_is_neither_logged_nor_told(
    site: Site,
) -> None:
    await site.armed()
    session = await site.connect()
    session.offer(a_frame(1), NOON)
    await site.live.end("market", dry_run=False)
    assert isinstance(await heard(session), Halted)

    site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert answer.fate is FrameFate.REJECTED


async def test_cameras_are_halted_when_the_window_is_over(site: Site) -> None:
    await site.armed()
    await site.live.start()
    session = await site.connect()

    site.clock.advance(hours=24)

    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.WINDOW_CLOSED


async def test_a_stopping_server_sends_cameras_and_followers_away_for_now(site: Site) -> None:
    opened = await site.armed()
    session = await site.connect()

    await site.live.stop()

    halted = await heard(session)
    assert isinstance(halted, Halted)
    assert halted.reason is HaltReason.SERVER_STOPPING
    assert opened.log.is_closed
    with pytest.raises(NotNow, match="subscribe again"):
        site.live.check_following(opened)
    with pytest.raises(NotReady, match="going down"):
        await site.connect("north")


async def test_a_camera_that_would_not_fit_is_told_when_to_come_back(site: Site) -> None:
    site.load.typical_s = 0.4  # two frames a second of it fill one worker nearly
    await site.armed("market", "north", "south")
    first = await site.connect("north")

    with pytest.raises(LimitReached) as refused:
        await site.connect("south")
    first.close()
    await site.connect("south")

    assert refused.value.reason == "NO_CAPACITY"
    assert refused.value.retry_after_s > 0
