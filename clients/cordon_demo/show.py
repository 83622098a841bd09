"""One run of the demo, from an empty folder to an outcome."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from cordon.v1 import camera_pb2, match_pb2
from cordon.v1.camera_pb2_grpc import CameraServiceStub
from cordon.v1.match_pb2_grpc import MatchServiceStub
from cordon_client.channel import call, connected
from cordon_client.errors import ClientError
from cordon_client.names import short
from cordon_control.follow import Follower
from cordon_demo.cameras import camera_command
from cordon_demo.children import Children
from cordon_demo.footage import scene_of
from cordon_demo.pairs import Pair, prepare_folder, write_pair
from cordon_demo.plan import STREETS
from cordon_demo.portraits import find_face
from cordon_demo.scene import FPS
from cordon_demo.site import DEPLOYMENT, arm, open_site
from cordon_demo.tally import Tally
from cordon_demo.truth import Truth

if TYPE_CHECKING:
    from pathlib import Path

    from cordon.v1.camera_pb2_grpc import CameraServiceAsyncStub
    from cordon.v1.match_pb2_grpc import MatchServiceAsyncStub
    from cordon_demo.children import Child
    from cordon_demo.plan import Plan
    from cordon_demo.screen import Screen
    from cordon_demo.site import Site

_CAUSE_S = 2.0
"""How long a failure waits for the end of a process that it may have come of."""
_CONNECT_S = 30.0
_SETTLE_S = 1.5
"""After the cameras stop: what is under way still becomes matches."""


@dataclass(slots=True)
class Show:
    """A run; `run` may be called once."""

    plan: Plan
    folder: Path
    """Holds the site while the demo runs."""
    out: Path
    screen: Screen
    began_s: float
    """Monotonic time at which the program began."""
    tally: Tally = field(init=False)
    first_match_s: float | None = None
    latest: str = ""
    streaming_s: float = 0.0
    stopped_s: float = 0.0
    """Unix time at which the cameras were stopped."""
    arrived: asyncio.Queue[tuple[match_pb2.Match, float]] = field(
        default_factory=lambda: asyncio.Queue(10_000)
    )
    """Matches and when they came; when it is full, the match stream waits: it loses nothing."""

    def __post_init__(self) -> None:
        self.tally = Tally(self.plan)

    async def run(self) -> None:
        """Ends when the time is over; every process is gone when it returns."""
        await asyncio.to_thread(prepare_folder, self.out)
        logs = self.folder / "logs"
        logs.mkdir()
        async with Children(logs) as children:
            died = asyncio.create_task(children.watch())
            shown = asyncio.create_task(self._perform(children))
            try:
                await asyncio.wait({died, shown}, return_when=asyncio.FIRST_COMPLETED)
                if shown.done() and shown.exception() is not None:
                    # Whoever lost a process may hear of it before its end is noticed.
                    await asyncio.wait({died}, timeout=_CAUSE_S)
                if died.done():
                    died.result()
                await shown
            finally:
                for task in (died, shown):
                    task.cancel()
                await asyncio.gather(died, shown, return_exceptions=True)
        self.screen.close(self.tally, self.streaming_s)

    async def _perform(self, children: Children) -> None:
        footage, renderers = await self._start_rendering(children)
        self.screen.step("making a site: certificates, server, identities")
        site = await open_site(self.folder, self.plan, children)
        names = ", ".join(wanted.reference for wanted in self.plan.wanted)
        self.screen.step(f"watchlist: {names}")
        await arm(site, self.plan)
        for renderer in renderers:
            await children.finish(renderer, 60)
        follower = Follower(site.control, DEPLOYMENT, 0, self._on_match, self.screen.step)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(follower.run()), group.create_task(self._take_matches(site))]
            cameras = await self._start_cameras(children, site, footage)
            await self._stream(site)
            self.stopped_s = time.time()
            await asyncio.gather(*(children.stop(camera) for camera in cameras))
            await asyncio.sleep(_SETTLE_S)
            await self.arrived.join()
            for task in tasks:
                task.cancel()

    async def _start_rendering(self, children: Children) -> tuple[dict[str, str], list[Child]]:
        """What each camera shows, and the processes that still write it."""
        if not self.plan.is_rendered:
            return dict(zip(self.plan.cameras, self.plan.sources, strict=True)), []
        for wanted in self.plan.walking:
            # A photo that cannot walk is refused now, not when half of the site is made.
            await asyncio.to_thread(find_face, wanted.photo)
        self.screen.step("rendering two streets")
        footage, renderers = {}, []
        for street in STREETS:
            name = street.camera
            path = self.folder / f"{name}.mkv"
            photos = [str(wanted.photo) for wanted in self.plan.walking]
            module = (sys.executable, "-P", "-m", "cordon_demo.footage")
            renderers.append(
                await children.start(
                    f"render-{name}", [*module, str(path), name, *photos], lasts=False
                )
            )
            footage[name] = str(path)
        return footage, renderers

    async def _start_cameras(
        self, children: Children, site: Site, footage: dict[str, str]
    ) -> list[Child]:
        self.screen.step(f"cameras: {', '.join(site.cameras)}")
        # Evenly paced, rendered footage repeats without a hitch, as its ground truth does.
        fps = FPS if self.plan.is_rendered else 0
        return [
            await children.start(f"camera-{name}", *camera_command(home, footage[name], fps))
            for name, home in site.cameras.items()
        ]

    async def _stream(self, site: Site) -> None:
        """Watches the cameras until the time is over; it runs from the last camera's start."""
        async with connected(site.admin) as channel:
            stub = CameraServiceStub(channel)
            started_s = await self._wait_for_cameras(stub)
            self.screen.step(f"streaming for {self.plan.seconds:g} s")
            while True:
                self.streaming_s = time.monotonic() - started_s
                await self._take_counts(stub)
                self.screen.show(self.tally, self.streaming_s, self.plan.seconds, self.latest)
                left_s = self.plan.seconds - self.streaming_s
                if left_s <= 0:
                    return
                await asyncio.sleep(min(0.5, left_s))

    async def _wait_for_cameras(self, stub: CameraServiceAsyncStub) -> float:
        try:
            async with asyncio.timeout(_CONNECT_S):
                while not await self._take_counts(stub):  # noqa: ASYNC110 - another process's event
                    await asyncio.sleep(0.25)
        except TimeoutError as error:
            raise ClientError(
                f"Not every camera sent a frame within {_CONNECT_S:.0f} s.",
                "A source may be slow to open or show nothing.",
                "cordon camera check --help",
            ) from error
        return time.monotonic()

    async def _take_counts(self, stub: CameraServiceAsyncStub) -> bool:
        """Updates the counts; whether every camera is sending."""
        answer = await call(stub.ListCameras, camera_pb2.ListCamerasRequest(page_size=1000))
        sending = 0
        for camera in answer.cameras:
            name = camera.name.removeprefix("cameras/")
            if camera.HasField("live"):
                self.tally.cameras[name].take_live(camera.live)
                sending += camera.live.frames_received > 0
                self._learn_start(name, camera.live)
        return sending == len(self.plan.cameras)

    def _learn_start(self, name: str, live: camera_pb2.CameraLive) -> None:
        if self.plan.is_rendered and name not in self.tally.truths:
            street = next(street for street in STREETS if street.camera == name)
            scene = scene_of(street, len(self.plan.walking))
            started_s = live.connect_time.ToNanoseconds() / 1e9
            self.tally.truths[name] = Truth(scene, started_s)

    async def _on_match(self, _: MatchServiceAsyncStub, match: match_pb2.Match) -> None:
        """Takes the time and nothing else: what follows would delay the matches behind it."""
        if self.first_match_s is None:
            self.first_match_s = time.monotonic() - self.began_s
        await self.arrived.put((match, time.time()))

    async def _take_matches(self, site: Site) -> None:
        """Judges each match and writes its picture, in order."""
        async with connected(site.control) as channel:
            stub = MatchServiceStub(channel)
            while True:
                match, arrived_s = await self.arrived.get()
                await self._wait_for_truth(match.camera.removeprefix("cameras/"))
                pair = make_pair(match, self.tally.take_match(match, arrived_s), arrived_s)
                self.latest = f"{pair.camera}: {pair.reference}, score {pair.score:.3f}"
                request = match_pb2.GetMatchImagesRequest(name=match.name)
                images = await call(stub.GetMatchImages, request)
                probe, reference = images.probes[0].jpeg, images.references[0].jpeg
                await asyncio.to_thread(write_pair, self.out, pair, probe, reference)
                self.arrived.task_done()

    async def _wait_for_truth(self, camera: str) -> None:
        """A match can be faster than the first look at the cameras."""
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self.plan.is_rendered and camera not in self.tally.truths:  # noqa: ASYNC110 - set by the other task, once
                    await asyncio.sleep(0.05)


def make_pair(match: match_pb2.Match, is_true: bool | None, arrived_s: float) -> Pair:
    """What the picture of a match says."""
    return Pair(
        sequence=int(short(match.name)),
        camera=short(match.camera),
        reference=short(match.entry),
        captured_at=match.captured_at.ToDatetime(tzinfo=UTC),
        score=match.score,
        margin=match.margin,
        threshold=match.threshold,
        latency_ms=(arrived_s - match.captured_at.ToNanoseconds() / 1e9) * 1000,
        face_px=match.box.width,
        is_true=is_true,
    )
